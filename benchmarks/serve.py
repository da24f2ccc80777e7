"""A server under load: its throughput beside the model's own and beside others' servers, writing, a long mixed load.

    python benchmarks/serve.py [--shared ../shared/data] [--cells resnet18 minilm int8 writing start soak]
        [--seconds 15] [--turns 3] [--minutes 30] [--again] [--show]

resnet18 (224 x 224, photos of cats and dogs) and MiniLM (film reviews) are trained for a moment, since what they answer
does not matter here. Sides take turns: `pervade serve`, a plain FastAPI endpoint that calls the same eager model, and
LitServe with batching on (in .bench/litserve; serve_peers.py, serve_litserve.py), 32 connections each, the load from a
process of its own (serve_load.py). Kept of each turn: inputs a second, a CPU second of the server's processes, and MB
(proportional set size). The model's own throughput is that of its predict loop, and of its network alone, by 32. `int8`
serves the exported graph in eight bits. `writing` has gpt-tiny go on from 16 texts at once, and one after another.
`start` is the time from the command to the first answer. `soak` sends good, bad and hostile requests for `--minutes` at
full load through 20 reloads. Each cell is a line in measured/serve.jsonl, and a stopped script goes on. Take a quiet
machine.
"""

from __future__ import annotations

import argparse
import base64
import concurrent.futures
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # whoever starts a server twice has its modules compiled

import psutil
from busy import lines, note
from encoder import encoder

NAME = "serve.jsonl"
ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
PERVADE = str(Path(sys.executable).with_name("pervade"))
CONNECTIONS, BATCH, CONVERSATIONS, TOKENS, SWAPS = 32, 32, 16, 100, 20
CELLS = ("resnet18", "minilm", "int8", "writing", "start", "soak")


# what is served


def trained(cell: str, shared: Path, folder: Path, *more: str) -> Path:
    """A run of a moment's training."""
    texts = cell == "minilm"
    model = ["--model", f"hf:{encoder()}"] if texts else ["--model", "resnet18", "-o", "domain.size=224"]
    data = shared / ("sst2" if texts else "cats_dogs")
    command([PERVADE, "train", data, *model, "--time-limit", "60", "--name", "run", "--runs", folder, *more])
    return folder / "run"


def command(words: list[Any]) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(" ".join(done.stderr.strip().splitlines()[-2:]))
    return done.stdout


def bodies(cell: str, shared: Path, folder: Path) -> tuple[Path, list[bytes], list[str]]:
    """64 inputs as they are: the bytes of pictures, or texts; and a file that holds them as bodies of requests of
    `pervade serve`."""
    if cell == "minilm":
        rows = next((shared / "sst2").glob("*test*")).read_text(encoding="utf-8").splitlines()[:64]
        held = [row.split("\t")[0].encode() for row in rows]
        asked = [json.dumps({"inputs": [text.decode()]}).encode() for text in held]
    else:
        paths = sorted((shared / "cats_dogs" / "test").rglob("*.jpg"))[::16][:64]
        held = [path.read_bytes() for path in paths]
        asked = [form(data) for data in held]
    return written(folder / "ours", asked), held, ["application/json" if cell == "minilm" else FORM]


BOUNDARY = "pervade-benchmark"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def form(data: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="photo.jpg"\r\n\r\n'
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def written(path: Path, asked: list[bytes]) -> Path:
    path.write_text("\n".join(base64.b64encode(body).decode() for body in asked))
    return path


# servers


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def running(words: list[Any], port: int, more: dict[str, str] | None = None) -> Iterator[psutil.Process]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(word) for word in words], stdout=log, stderr=log, env={**os.environ, **(more or {})}
        )
        try:
            while not listens(port):
                if process.poll() is not None:
                    log.seek(0)
                    raise RuntimeError(log.read().decode()[-400:])
                time.sleep(0.05)
            yield psutil.Process(process.pid)
        finally:
            family = processes(psutil.Process(process.pid)) if process.poll() is None else []
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
            for one in family:  # LitServe leaves its workers behind, who would go on
                with suppress(psutil.NoSuchProcess):
                    one.kill()


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def serving(run: Path, port: int, *more: str) -> list[Any]:
    return [PERVADE, "serve", run, "--port", port, *more]


def own_place(package: str) -> str:
    """A package in .bench alone, as a path for Python."""
    place = ROOT / ".bench" / package
    if not place.is_dir():
        command([sys.executable, "-m", "pip", "install", "-q", "--target", place, package])
    return str(place)


def load(port: int, path: str, body: Path, kind: str, seconds: float, *more: Any) -> dict[str, Any]:
    script = Path(__file__).with_name("serve_load.py")
    words = [sys.executable, script, port, path, body, kind, "--seconds", seconds, *more]
    told: dict[str, Any] = json.loads(command(words))
    return told


def processes(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def cpu(process: psutil.Process) -> float:
    """Seconds, of the process and those it started."""
    return sum(sum(one.cpu_times()[:2]) for one in processes(process))


def memory(process: psutil.Process) -> float:
    """MB: proportional set size, so that pages that are shared count once."""
    return sum(one.memory_full_info().pss for one in processes(process)) / 1e6


# cells


def throughput(cell: str, shared: Path, seconds: float, turns: int, folder: Path) -> dict[str, Any]:
    run = trained("resnet18" if cell == "int8" else cell, shared, folder)
    ours, held, (kind,) = bodies(cell, shared, folder)
    raw = held if cell != "minilm" else [json.dumps({"text": text.decode()}).encode() for text in held]
    plain = written(folder / "plain", raw)
    served: Path = run
    if cell == "int8":
        command([PERVADE, "compress", run, "--steps", "int8", "--time-limit", "60"])
        served = Path(command([PERVADE, "export", run, "--checkpoint", "int8"]).strip())
    called = "run"
    beside_us = {name: Path(__file__).with_name(f"serve_{name}.py") for name in ("peers", "litserve")}
    beside = {"PYTHONPATH": os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), own_place("litserve")])}
    sides: dict[str, tuple[list[Any], str, Path, str, dict[str, str]]] = {
        "ours": (serving(served, 0), f"/v1/models/{called}/predict", ours, kind, {}),
        "fastapi": ([sys.executable, beside_us["peers"], run], "/predict", plain, "application/octet-stream", {}),
    }
    if cell != "int8":
        sides["litserve"] = (
            [sys.executable, beside_us["litserve"], run],
            "/predict",
            plain if cell == "minilm" else ours,
            kind,
            beside,
        )
    told: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(turns):
        for side, (words, path, body, content, more) in sides.items():
            port = free_port()
            words = serving(served, port) if side == "ours" else [*words, port]
            with running(words, port, more) as process:
                ready(port, path, body, content)
                load(port, path, body, content, 3, "--connections", CONNECTIONS)  # warm
                before = cpu(process)
                one = load(port, path, body, content, seconds, "--connections", CONNECTIONS)
                one |= {"cpu": cpu(process) - before, "memory": memory(process)}
                if side == "ours":
                    rate = 0.8 * one["answered"] / one["seconds"]
                    one["at_80"] = load(port, path, body, content, seconds, "--rate", rate)
                told[side].append(one)
    return {"sides": told, "own": own(run if cell != "int8" else served, held, cell, folder)}


def ready(port: int, path: str, body: Path, content: str) -> None:
    """Until a request is answered."""
    asked = base64.b64decode(body.read_text().split()[0])
    for _ in range(600):
        status, _ = ask(port, path, asked, content)
        if status == 200:
            return
        time.sleep(0.1)
    raise RuntimeError(f"{path}: no answer but {status}")


def ask(port: int, path: str, data: bytes | None, content: str, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"content-type": content, **headers})
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


OWN = """
import json, sys, time
from pervade.core import runtime
runtime.prepare(threads=2)
import torch, pervade
from pervade.core.types import Rows
from pervade.engine.predictor import Predictor
from pervade.data.read import division, inputs
loaded = pervade.load(sys.argv[1]).load()
given = json.load(open(sys.argv[2]))
def predicted():
    rows = division.rows(list(inputs.entries(loaded.domain, given)))
    rows, _ = loaded.domain.prepare(rows, lambda done, total: None, keep=False)
    return Predictor.of(loaded, targets=False, batch_size=32).table(rows)
predicted()
rates = []
for _ in range(5):
    began = time.perf_counter(); predicted(); rates.append(len(given) / (time.perf_counter() - began))
print(json.dumps(rates))
"""


def own(run: Path, held: list[bytes], cell: str, folder: Path) -> list[float] | None:
    """Inputs a second of the model's own predict loop, by 32, files and all; None of graphs, which answer one by
    one."""
    if cell == "int8":
        return None
    given = [text.decode() for text in held] if cell == "minilm" else []
    for number, data in enumerate(held if cell != "minilm" else []):
        path = folder / f"{number}.jpg"
        path.write_bytes(data)
        given.append(str(path))
    (folder / "given.json").write_text(json.dumps(given))
    rates: list[float] = json.loads(command([sys.executable, "-c", OWN, run, folder / "given.json"]))
    return rates


def writing(shared: Path, folder: Path) -> dict[str, Any]:
    import pydoc_data.topics

    texts = folder / "texts"
    texts.mkdir()
    for name, text in pydoc_data.topics.topics.items():
        (texts / f"{name}.txt").write_text(text)
    command([PERVADE, "train", texts, "--model", "gpt-tiny", "--time-limit", "60", "--name", "run", "--runs", folder])
    port = free_port()
    prompts = [f"The statement number {number} of the language" for number in range(CONVERSATIONS)]

    def write(prompt: str) -> tuple[int, float, float]:
        """Tokens, seconds, and seconds to the first piece."""
        asked = {"model": "run", "prompt": prompt, "max_tokens": TOKENS, "temperature": 1.0, "seed": 1, "stream": True}
        asked["stream_options"] = {"include_usage": True}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/completions", json.dumps(asked).encode(), {"content-type": "application/json"}
        )
        began, first, count = time.monotonic(), 0.0, 0
        with urllib.request.urlopen(request, timeout=300) as response:
            for line in response:
                if not line.startswith(b"data: ") or b"[DONE]" in line:
                    continue
                first = first or time.monotonic() - began
                if usage := json.loads(line[6:]).get("usage"):
                    count = usage["completion_tokens"]
        return count, time.monotonic() - began, first

    told: dict[str, list[float]] = {"alone": [], "together": [], "first": []}
    with running(serving(folder / "run", port), port), concurrent.futures.ThreadPoolExecutor(CONVERSATIONS) as pool:
        write(prompts[0])
        for _ in range(5):
            began = time.monotonic()
            told["alone"].append(sum(write(prompt)[0] for prompt in prompts) / (time.monotonic() - began))
            began = time.monotonic()
            several = list(pool.map(write, prompts))
            told["together"].append(sum(one[0] for one in several) / (time.monotonic() - began))
            told["first"] += [one[2] for one in several]
    return told


def start(shared: Path, folder: Path) -> dict[str, Any]:
    run = trained("resnet18", shared, folder)
    graph = Path(command([PERVADE, "export", run]).strip())
    ours, _, (kind,) = bodies("resnet18", shared, folder)
    weights = run / "checkpoints" / "best" / "model.safetensors"
    reading = f"import torch, safetensors.torch; safetensors.torch.load_file({str(weights)!r})"
    told: dict[str, list[float]] = {"torch": [], "run": [], "graph": []}
    for _ in range(5):
        began = time.monotonic()
        command([sys.executable, "-c", reading])
        told["torch"].append(time.monotonic() - began)
        for side, served in (("run", run), ("graph", graph)):
            port, began = free_port(), time.monotonic()
            with running(serving(served, port), port):
                ready(port, "/v1/models/run/predict", ours, kind)
                told[side].append(time.monotonic() - began)
    return told


HOSTILE = (
    (b"{", "application/json"),
    (b'{"inputs": []}', "application/json"),
    (b'{"inputs": ["/etc/passwd"], "top": -1}', "application/json"),
    (b"\xff\xd8\xff\xe0 no picture", "image/jpeg"),
    (form(b"GIF89a no picture"), FORM),
    (form(b"")[:-20], FORM),
    (b"x" * 1000, "text/html"),
)


def soak(shared: Path, minutes: float, folder: Path) -> dict[str, Any]:
    """Good requests by 16 connections, hostile ones by 4, and at even times another checkpoint, of two; what each got,
    and memory by the minute. What is right `pervade predict` says of each checkpoint beforehand."""
    run = trained("resnet18", shared, folder)
    other = trained("resnet18", shared, folder / "other", "--seed", "1")
    _, held, (kind,) = bodies("resnet18", shared, folder)
    asked, paths = [form(data) for data in held[:16]], first_files(held, folder)
    right = {}
    for one in (run, other):
        told = command([PERVADE, "predict", one, *paths, "--json", "--top", "3"]).splitlines()
        right[version(one)] = [without_name(json.loads(line)) for line in told]
    assert len(right) == 2, "two checkpoints with other weights"
    port, until = free_port(), time.monotonic() + 60 * minutes
    path, token = "/v1/models/run/predict", "soak-" + "x" * 32
    (folder / "tokens").write_text(token + "\n")
    statuses: dict[str, Counter[int]] = {"good": Counter(), "hostile": Counter(), "reload": Counter()}
    versions: Counter[str] = Counter()
    wrong, sizes = [0], []
    words = serving(run, port, "--admin-token-file", folder / "tokens")
    with running(words, port) as process, concurrent.futures.ThreadPoolExecutor(24) as pool:
        ready(port, path, written(folder / "one", asked[:1]), kind)

        def good(first: int) -> None:
            number = first
            while time.monotonic() < until:
                place = number % len(asked)
                status, body = ask(port, path, asked[place], kind)
                statuses["good"][status] += 1
                if status == 200:
                    told = json.loads(body)
                    versions[told["version"]] += 1
                    wrong[0] += without_name(told["answers"][0]) != right[told["version"]][place]
                number += 1

        def hostile(first: int) -> None:
            number = first
            while time.monotonic() < until:
                body, content = HOSTILE[number % len(HOSTILE)]
                statuses["hostile"][ask(port, path, body, content)[0]] += 1
                number += 1
                time.sleep(0.05)

        busy = [pool.submit(good, number) for number in range(16)] + [pool.submit(hostile, n) for n in range(4)]
        began, swaps = time.monotonic(), 0
        while time.monotonic() < until:
            time.sleep(min(5.0, 60 * minutes / 40))
            sizes.append((round(time.monotonic() - began, 1), memory(process)))
            if swaps < SWAPS and time.monotonic() - began > (swaps + 1) * 60 * minutes / (SWAPS + 1):
                swap(run, other)
                bearer = {"Authorization": f"Bearer {token}"}
                statuses["reload"][ask(port, "/admin/reload", b"", "application/json", **bearer)[0]] += 1
                swaps += 1
        for one in busy:
            one.result()
        alive = process.is_running()
    counted = {name: {str(status): count for status, count in some.items()} for name, some in statuses.items()}
    told = {"statuses": counted, "versions": versions, "wrong": wrong[0], "alive": alive}
    return {"minutes": minutes, **told, "memory": sizes}


def version(run: Path) -> str:
    architecture = json.loads((run / "checkpoints" / "best" / "architecture.json").read_text())
    return str(architecture["sha256"][:12])


def without_name(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "input"}


def swap(run: Path, other: Path) -> None:
    """Each has the other's best checkpoint."""
    here, there = (one / "checkpoints" / "best" for one in (run, other))
    aside = there.with_name("aside")
    for source, target in ((there, aside), (here, there), (aside, here)):
        source.rename(target)


def first_files(held: list[bytes], folder: Path) -> list[Path]:
    paths = [folder / f"soak{number}.jpg" for number in range(16)]
    for path, data in zip(paths, held, strict=False):
        path.write_bytes(data)
    return paths


# what came out


def show() -> None:
    for name, cell in {line["cell"]: line for line in lines(NAME)}.items():
        print(f"{name} (load {cell['load']})")
        if "failed" in cell:
            print(f"  {cell['failed']}")
        elif "sides" in cell:
            show_sides(cell)
        elif name == "writing":
            alone, together = statistics.median(cell["alone"]), statistics.median(cell["together"])
            ratios = [more / less for more, less in zip(cell["together"], cell["alone"], strict=True)]
            first = sorted(cell["first"])[int(0.95 * len(cell["first"]))]
            print(f"  one after another {alone:.0f} tokens/s, 16 at once {together:.0f}", end="")
            print(f": {statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f}; asked 4)", end="")
            print(f"; first token p95 {1000 * first:.0f} ms")
        elif name == "start":
            median = {side: statistics.median(seconds) for side, seconds in cell.items() if side in STARTS}
            times = median["run"] / median["torch"]
            print(f"  torch and weights {median['torch']:.2f} s, first answer {median['run']:.2f} s: ", end="")
            print(f"{times:.2f} times (asked 1.3); of a graph {median['graph']:.2f} s (asked 4)")
        else:
            early = [size for at, size in cell["memory"] if cell["minutes"] / 6 <= at / 60 <= cell["minutes"] / 3]
            late = [size for at, size in cell["memory"] if at / 60 >= cell["minutes"] * 5 / 6]
            more = statistics.mean(late) / statistics.mean(early) - 1
            print(
                f"  {cell['minutes']:g} minutes: {cell['statuses']}, {cell['wrong']} wrong answers; {more:+.1%} memory"
            )


STARTS = ("torch", "run", "graph")


def show_sides(cell: dict[str, Any]) -> None:
    rates = {side: [one["answered"] / one["seconds"] for one in turns] for side, turns in cell["sides"].items()}
    frugal = {side: [one["answered"] / one["cpu"] for one in turns] for side, turns in cell["sides"].items()}
    for side, turns in cell["sides"].items():
        held = statistics.median(one["memory"] for one in turns)
        others = sum((Counter(one["others"]) for one in turns), Counter())
        print(
            f"  {side:>9}: {statistics.median(rates[side]):7.1f} inputs/s ({min(rates[side]):.1f} to "
            f"{max(rates[side]):.1f}), {statistics.median(frugal[side]):6.1f} a CPU second, {held:,.0f} MB"
            + (f", not answered {dict(others)}" if others else "")
        )
        if side != "ours":
            quick = [a / b for a, b in zip(rates["ours"], rates[side], strict=True)]
            sparing = [a / b for a, b in zip(frugal["ours"], frugal[side], strict=True)]
            print(
                f"             ours {statistics.median(quick):.2f} times as many ({min(quick):.2f} to {max(quick):.2f})"
                f", {statistics.median(sparing):.2f} times a CPU second, "
                f"{statistics.median(one['memory'] for one in cell['sides']['ours']) / held:.2f} times the memory"
            )
    late = [one["at_80"]["p99"] for one in cell["sides"]["ours"]]
    print(
        f"  at 80% load: p99 {1000 * statistics.median(late):.0f} ms ({1000 * min(late):.0f} to {1000 * max(late):.0f})"
    )
    if cell["own"]:
        share = statistics.median(rates["ours"]) / statistics.median(cell["own"])
        print(f"  the model's own predict loop {statistics.median(cell['own']):.1f} inputs/s: {share:.0%} (asked 95%)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--seconds", type=float, default=15.0, help="Of load, a side and turn.")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=30.0, help="Of the long mixed load.")
    parser.add_argument("--again", action="store_true", help="Measure cells that are there already once more.")
    parser.add_argument("--show", action="store_true", help="Print what was measured, and measure nothing.")
    options = parser.parse_args()
    there = {line["cell"] for line in lines(NAME) if "failed" not in line}
    for cell in [] if options.show else options.cells:
        if cell in there and not options.again:
            continue
        busy = round(os.getloadavg()[0], 2)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            try:
                if cell == "writing":
                    told = writing(options.shared, folder)
                elif cell == "start":
                    told = start(options.shared, folder)
                elif cell == "soak":
                    told = soak(options.shared, options.minutes, folder)
                else:
                    told = throughput(cell, options.shared, options.seconds, options.turns, folder)
            except Exception as error:  # whatever it is, the other cells are not to be lost by it
                told = {"failed": f"{type(error).__name__}: {error}"}
        note(NAME, {"cell": cell, "load": busy, **told})
    show()


if __name__ == "__main__":
    main()
