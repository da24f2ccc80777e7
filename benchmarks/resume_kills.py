"""Kills what is under way at a random moment, goes on, and compares every bit with what was never stopped.

    python benchmarks/resume_kills.py [KILLS]        100 unless given; about 30 minutes

Ten kinds of work take turns: trainings of pictures, texts, running text, agents (PPO; DQN with two worker processes)
and sound, a cross-validation, a search, an evaluation, a report. Of each ten kills three fall into a save (the script
watches for the temporary folder that a save writes), two are SIGTERM to the whole process group, as a job's scheduler
sends it, and the rest SIGKILL at any moment. What must be the same: the SHA-256 of the best and the last weights
(every fold's and every trial's), and of all results; of a report, the page.

One thread, since sums in another order are other bits. Each kill is one line of benchmarks/measured/resume_kills.jsonl;
a script that was stopped goes on where it was, and the table is made from all lines.
"""

from __future__ import annotations

import collections
import hashlib
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "PERVADE_OFFLINE": "1"}

from pervade import cli
from pervade.core import files, runtime
from pervade.data.image import digits

KILLS = 100
HERE = Path(__file__).resolve().parent
LINES = HERE / "measured" / "resume_kills.jsonl"
SAVING = ("--save-every", "0.2")
EVERY = ("--init", "random", "-o", "threads=1")
SMALL = ("--model", "reference-cnn", "-o", "domain.size=16", *EVERY)
RL = (*("-o", "threads=1"), "-o", "domain.episodes=6")
REPLAY = [
    f"-osource.{each}" for each in ("begin=200", "steps=256", "every=16", "lessons=4", "size=1000", "priority=0.6")
]


def pictures(folder: Path) -> Path:
    digits.write(folder)
    for place in folder.iterdir():
        for path in sorted(place.iterdir())[30:]:
            path.unlink()
    return folder


def texts(folder: Path) -> Path:
    rng = random.Random(0)
    filling, told = ("the", "film", "was", "story", "plot", "so", "very", "actor"), (("dull", "cold"), ("fine", "warm"))
    lines = ["text\tlabel"]
    for number in range(200):
        words = rng.choices(filling, k=rng.randint(3, 12))
        words.insert(rng.randrange(len(words)), rng.choice(told[number % 2]))
        lines.append(f"{' '.join(words)} {number}\t{('bad', 'good')[number % 2]}")
    folder.mkdir()
    (folder / "reviews.tsv").write_text("\n".join(lines) + "\n")
    return folder / "reviews.tsv"


def stories(folder: Path) -> Path:
    rng = random.Random(0)
    folder.mkdir()
    for number in range(30):
        said = [f"the {rng.choice(('cat', 'dog'))} {rng.choice(('sees', 'likes'))} a small bird." for _ in range(30)]
        (folder / f"{number}.txt").write_text("\n".join(said) + "\n")
    return folder


def sounds(folder: Path) -> Path:
    import numpy as np
    import soundfile

    for number in range(60):
        rng, low = np.random.default_rng(number), number % 2 == 0
        at = np.arange(4000) / 8000
        wave = 0.3 * np.sin(2 * np.pi * (200 if low else 500) * at) + rng.normal(0, 0.05, len(at))
        (folder / ("low" if low else "high")).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / ("low" if low else "high") / f"{number}.wav", wave, 8000)
    return folder


GPT = ("-omodel.width=32", "-omodel.depth=2", "-omodel.heads=2", "-odomain.length=32", "-odomain.num_tokens=300")
TEXT = ("-omodel.width=32", "-odomain.length=16", "-odomain.num_tokens=400")
# What is made of which data: the verb and its settings.
KINDS: dict[str, tuple[Callable[[Path], Path] | str, tuple[str, ...]]] = {
    "pictures": (pictures, ("train", *SMALL, "--epochs", "6")),
    "texts": (texts, ("train", *EVERY, *TEXT, "--ladder", "trained", "--epochs", "6")),
    "gpt": (stories, ("train", "-o", "threads=1", *GPT, "--epochs", "3", "--batch-size", "16")),
    "ppo": ("gym://CartPole-v1", ("train", "--steps", "8192", *RL)),
    "dqn": (
        "gym://CartPole-v1",
        *[("train", "--algorithm", "dqn", "--steps", "3000", *RL, *REPLAY, "-odomain.processes=2")],
    ),
    "sound": (sounds, ("train", *EVERY, "--ladder", "trained", "--epochs", "6")),
    "folds": (pictures, ("train", *SMALL, "--epochs", "2", "--folds", "3")),
    "tune": (pictures, ("tune", *SMALL, "--epochs", "2", "--trials", "3")),
    "evaluation": (pictures, ("evaluate",)),
    "report": (pictures, ("report",)),
}


def start(*arguments: str) -> int:
    """The command line in a process group of its own, forked from this process, which has loaded torch."""
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        said = os.open("said.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        for stream in (0, 1, 2):
            os.dup2(os.open(os.devnull, os.O_RDONLY) if stream == 0 else said, stream)
        sys.argv = ["pervade", *arguments]
        runtime.prepare()
        cli.main()
    except SystemExit as ended:
        os._exit(int(ended.code or 0))
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(1)


def ended(child: int) -> int | None:
    """Its exit status, negative where a signal ended it; None while it runs."""
    found, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def finish(*arguments: str) -> None:
    status = os.waitstatus_to_exitcode(os.waitpid(start(*arguments), 0)[1])
    if status:
        raise SystemExit(f"pervade {' '.join(arguments)}: exit status {status}\n{Path('said.txt').read_text()}")


def saving(run: Path) -> bool:
    """Whether a file or folder of the run, or of a run inside it, is being written, or taking its place."""
    try:
        runs = [run, *(run / "members").iterdir()] if (run / "members").is_dir() else [run]
        places = [each / inside for each in runs for inside in ("", "checkpoints", "results", "predictions")]
        there = [each.name for place in places if place.is_dir() for each in place.iterdir()]
        return any(name.startswith(".") and name.endswith((".tmp", ".new", ".old")) for name in there)
    except OSError:
        return False


def kill(arguments: tuple[str, ...], run: Path, how: str, whole: float, rng: random.Random) -> str:
    """Starts the work and kills it; returns what it was doing."""
    child, began, wait = start(*arguments), time.monotonic(), rng.uniform(0.02, 0.9) * whole
    status = None
    while status is None and time.monotonic() - began < wait:
        time.sleep(0.001)
        status = ended(child)
    while how == "in a save" and status is None and not saving(run) and time.monotonic() - began < 2 * whole:
        time.sleep(0.0005)
        status = ended(child)
    if status is not None:
        return "ended before"
    group = how == "SIGTERM to the group"
    os.killpg(child, signal.SIGTERM) if group else os.kill(child, signal.SIGSTOP)
    was = how if group else "in a save" if saving(run) else "between saves" if run.exists() else "before the run"
    if group:
        limit = time.monotonic() + 120
        while ended(child) is None:
            if time.monotonic() > limit:
                os.killpg(child, signal.SIGKILL)
                was = "SIGTERM, not ended"
            time.sleep(0.01)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return was


def traces(run: Path) -> dict[str, str]:
    """SHA-256 of all that must be the same; of results without the seconds of a search."""
    found = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.name == "model.safetensors":
            found[name] = files.sha256(path)
        elif path.parent.name == "results":
            figures = json.loads(path.read_text())
            found[name] = hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest()
    return found


class Bench:
    """Data and a run that was never stopped, of every kind, made when first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole: dict[str, tuple[tuple[str, ...], dict[str, str], float]] = {}

    def of(self, kind: str) -> tuple[tuple[str, ...], dict[str, str], float]:
        if kind not in self.whole:
            data, (verb, *rest) = KINDS[kind]
            name = data if isinstance(data, str) else str(self.folder / "data" / data.__name__)
            if not isinstance(data, str) and not Path(name).exists():
                (self.folder / "data").mkdir(exist_ok=True)
                name = str(data(Path(name)))
            elif data is texts:
                name += "/reviews.tsv"
            run = Path("runs") / f"{kind}-whole"
            if verb in ("train", "tune"):
                arguments = (verb, name, *rest, *(SAVING if verb == "train" else ()))
                begun = time.monotonic()
                finish(*arguments, "--name", run.name)
            else:
                finish("train", name, *KINDS["pictures"][1][1:], "--name", run.name)
                arguments = (verb,)
                begun = time.monotonic()
                finish(verb, str(run))
            self.whole[kind] = arguments, self.seen(kind, run), time.monotonic() - begun
        return self.whole[kind]

    def seen(self, kind: str, run: Path) -> dict[str, str]:
        page = {"report.html": files.sha256(run / "report.html")} if kind == "report" else {}
        return traces(run) | page

    def one(self, kind: str, number: int) -> dict[str, object]:
        """One kill: what it was doing, and whether the end was the same."""
        arguments, expected, whole = self.of(kind)
        rng = random.Random(f"{kind} {number}")
        how = ("in a save", "SIGTERM to the group", "any moment", "any moment")[
            number % 10 % 4 if number % 10 < 9 else 2
        ]
        run = Path("runs") / f"{kind}-{number}"
        was, attempt = "ended before", 0
        while was == "ended before" and attempt < 5:
            attempt += 1
            subprocess.run(["rm", "-rf", str(run)], check=True)
            if kind in ("evaluation", "report"):
                # Under the whole one's name: the page says it.
                subprocess.run(["cp", "-a", f"runs/{kind}-whole", str(run)], check=True)
                for old in (*run.glob("results/*"), *run.glob("predictions/*")) if kind == "evaluation" else ():
                    old.unlink()
                was = kill((*arguments, str(run)), run, how, whole, rng)
            else:
                was = kill((*arguments, "--name", run.name), run, how, whole, rng)
        if kind in ("evaluation", "report"):
            again: tuple[str, ...] = (*arguments, str(run))
        elif (run / "recipe.yaml").exists():
            again = ("resume", str(run), *SAVING)
        else:
            subprocess.run(["rm", "-rf", str(run)], check=True)
            again = (*arguments, "--name", run.name)
        finish(*again)
        found = self.seen(kind, run)
        if kind == "report":  # which says the run's name
            page = (run / "report.html").read_text().replace(run.name, f"{kind}-whole")
            found["report.html"] = hashlib.sha256(page.encode()).hexdigest()
        other = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        left = [str(each.relative_to(run)) for each in run.rglob(".*") if each.name != ".lock"]
        subprocess.run(["rm", "-rf", str(run)], check=True)
        return {"kind": kind, "number": number, "killed": was, "same": not other, "other": other, "left": left}


def about() -> dict[str, str]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout
    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if (info.exists())
        else []
    )
    chip = names[0] if names else platform.processor()
    return {"commit": commit.strip(), "chip": chip, "date": datetime.now(UTC).strftime("%Y-%m-%d")}


def table(lines: list[dict]) -> str:
    rows = ["| what | kills | in a save | SIGTERM to the group | the same bits |", "|---|---|---|---|---|"]
    for kind in KINDS:
        own = [each for each in lines if each["kind"] == kind]
        killed = collections.Counter(each["killed"] for each in own)
        same = sum(each["same"] for each in own)
        rows.append(f"| {kind} | {len(own)} | {killed['in a save']} | {killed['SIGTERM to the group']} | {same} |")
    return "\n".join([*rows, f"| **all** | {len(lines)} | | | **{sum(each['same'] for each in lines)}** |"])


def main(kills: int) -> None:
    LINES.parent.mkdir(exist_ok=True)
    lines = [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.exists() else []
    lines = [each for each in lines if each["killed"] != "ended before"]  # which is no kill, and is tried again
    done = {(each["kind"], each["number"]) for each in lines}
    cells = [(kind, number) for number in range(-(-kills // len(KINDS))) for kind in KINDS][:kills]
    known = about()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["PERVADE_CACHE"] = str(Path(folder) / "cache")
        bench = Bench(Path(folder))
        for kind, number in cells:
            if (kind, number) in done:
                continue
            line = {**bench.one(kind, number), **known}
            lines.append(line)
            with LINES.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{kind} {number}: {line['killed']}, {'the same' if line['same'] else 'OTHER BITS'}", file=sys.stderr)
        os.chdir(HERE)
    print(table(lines))
    print(f"\nAsked: all the same. {'Met' if all(each['same'] for each in lines) else 'MISSED'}.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS)
