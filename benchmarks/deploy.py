"""What int8 and pruning are worth on this machine, beside eager fp32 and beside ONNX Runtime's own tools used by hand.

    python benchmarks/deploy.py [--shared ../shared/data] [--cells resnet18 mobilenet minilm digits pruned]
        [--limit 420] [--again] [--show]

A cell trains one network (its time limit is `--limit`, in seconds), runs `pervade compress` with the cell's steps, and
keeps what that says: the headline on the test split with its paired interval, sizes, and the speeds of eager fp32, of
the fp32 graph and of the compressed one, which take turns in processes of their own. Then the same network goes the way
of somebody who has ONNX Runtime alone: torch.onnx.export and `quantize_static` (per channel, unsigned activations, 128
training rows) or `quantize_dynamic`; both graphs answer the same rows of the test split, and their calls take turns in
one process. Each cell is a line in measured/deploy.jsonl, and a stopped script goes on. Take a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

from pervade.core import runtime

runtime.prepare(threads=2)

import numpy as np
import onnxruntime
import torch
from busy import lines, note
from encoder import encoder
from onnxruntime import quantization

import pervade
from pervade.core.types import Rows
from pervade.data.rows.loader import Loader
from pervade.run import workflow

NAME = "deploy.jsonl"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SPOKEN = ["--label-pattern", r"^(\d)_", "--group-pattern", r"_(?P<speaker>.+)_"]
# By cell: the data, how they are trained, the steps, what is asked (times faster than eager, times smaller, points
# lower at most), and which of ONNX Runtime's tools somebody would take.
CELLS: dict[str, tuple[str, Callable[[], list[str]], str, tuple[float, float, float], str]] = {
    "resnet18": (
        "cats_dogs",
        lambda: ["--model", "resnet18", "-o", "domain.size=224"],
        "int8",
        (5, 3.9, 0.5),
        "static",
    ),
    "mobilenet": (
        "cats_dogs",
        lambda: ["--model", "mobilenet-v2", "-o", "domain.size=224"],
        "int8",
        (3, 0, 1),
        "static",
    ),
    "minilm": ("sst2", lambda: ["--model", f"hf:{encoder()}"], "int8", (3.3, 3.9, 0.5), "dynamic"),
    "digits": ("fsdd", lambda: ["--model", "sound-cnn", *SPOKEN], "int8", (3, 0, 0.5), "static"),
    "pruned": ("cats_dogs", lambda: ["--model", "resnet18", "-o", "domain.size=224"], "prune", (1.7, 0, 1), ""),
}
ELSEWHERE = 2.5  # times the fp32 graph, asked of int8 on a processor without VNNI or AMX
CALIBRATION = 128  # rows
SEEN = 64  # rows a call, of accuracy
TURNS, CALLS = 9, 20  # of each side, of single rows


def measure(cell: str, shared: Path, limit: float, folder: Path) -> dict[str, Any]:
    data, trained, steps, _, by_hand = CELLS[cell]
    runs = folder / "runs"
    pervade_command = str(Path(sys.executable).with_name("pervade"))
    train = [pervade_command, "train", str(shared / data), "--name", "run", "--runs", str(runs), *trained()]
    for command in (
        [*train, "--time-limit", f"{limit:g}"],
        [pervade_command, "compress", str(runs / "run"), "--steps", steps, "--time-limit", f"{limit:g}"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return {"failed": " ".join(done.stderr.strip().splitlines()[-2:])}
    result = json.loads((runs / "run" / "results" / f"compress@{steps}.json").read_text())
    about = {"n": result["n"], **result["details"]["compressed"]}
    return about | ({"by_hand": beside_by_hand(pervade.load(runs / "run"), steps, by_hand, folder)} if by_hand else {})


def beside_by_hand(run: pervade.Run, made: str, how: str, folder: Path) -> dict[str, Any]:
    """Seconds of a call of one row, and the share of right answers, of our graph and of one made by hand."""
    from pervade.export.onnx import Onnx

    ours = folder / "ours"
    ours.mkdir()
    loaded, compressed = run.load(), run.load(made)
    rows = workflow.load_rows(run.directory, loaded.domain, run.screen)
    graph = Onnx()(compressed, ours)
    hand = by_hand(loaded, rows, how, folder)
    sessions = {"ours": session(graph), "by hand": session(hand)}
    test = rows.where("split", "test")
    feeds = {"ours": [loaded.domain.feeds(row)[0] for row in test], "by hand": inputs_of(loaded, test)}
    right = np.asarray([row["target"] for row in test], dtype=object)
    labels = np.asarray(loaded.domain.labels, dtype=object)
    told: dict[str, Any] = {"bytes": {"ours": graph.stat().st_size, "by hand": hand.stat().st_size}}
    scores = {side: np.stack([first(one, feed).mean(0) for feed in feeds[side]]) for side, one in sessions.items()}
    told["accuracy"] = {side: float((labels[score.argmax(1)] == right).mean()) for side, score in scores.items()}
    told["latency"] = in_turns(sessions, {side: some[:CALLS] for side, some in feeds.items()})
    return told


def by_hand(loaded: Any, rows: Rows, how: str, folder: Path) -> Path:
    """The way of ONNX Runtime's documentation."""
    train = rows.where("split", "train")
    drawn = np.random.default_rng(0).permutation(len(train))[:CALIBRATION].tolist()
    feeds = inputs_of(loaded, train.select(drawn))
    plain, quick = folder / "plain.onnx", folder / "hand.onnx"
    given = tuple(torch.from_numpy(value) for value in feeds[0].values())
    several = tuple(torch.cat([one, one]) for one in given)
    axes = {0: torch.export.Dim.DYNAMIC}
    free = tuple({**axes, 1: torch.export.Dim.DYNAMIC} if one.ndim == 2 else axes for one in given)
    torch.onnx.export(
        Logits(loaded.network),
        several,
        plain,
        dynamo=True,
        dynamic_shapes=free,
        input_names=list(feeds[0]),
        external_data=False,
        verbose=False,
    )
    if how == "dynamic":
        quantization.quantize_dynamic(plain, quick, per_channel=True, weight_type=quantization.QuantType.QInt8)
        return quick
    prepared = folder / "prepared.onnx"
    quantization.shape_inference.quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    reader = Reader(feeds)
    quantization.quantize_static(
        prepared,
        quick,
        reader,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return quick


class Logits(torch.nn.Module):
    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        logits: torch.Tensor = self.network(input, mask=mask)["logits"]
        return logits


class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: list[dict[str, np.ndarray]]) -> None:
        self.feeds = iter(feeds)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def inputs_of(loaded: Any, rows: Rows) -> list[dict[str, np.ndarray]]:
    """What the network is given, a row at a time; one that is heard or seen several times has as many examples."""
    loader = Loader(rows, loaded.domain, 1, seed=0, training=False)
    return [{name: batch[name].numpy() for name in ("input", "mask") if name in batch} for batch in loader]


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 2, 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def first(one: onnxruntime.InferenceSession, feed: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(one.run(None, feed)[0])


def in_turns(sessions: dict[str, Any], feeds: dict[str, list[dict[str, np.ndarray]]]) -> dict[str, list[float]]:
    """The median of each turn, in seconds."""
    taken: dict[str, list[float]] = {side: [] for side in sessions}
    for _ in range(TURNS):
        for side, one in sessions.items():
            seconds = []
            for feed in feeds[side]:
                began = time.perf_counter()
                one.run(None, feed)
                seconds.append(time.perf_counter() - began)
            taken[side].append(float(np.median(seconds)))
    return taken


def show() -> None:
    latest = {cell["cell"]: cell for cell in lines(NAME)}
    for name, cell in latest.items():
        if "failed" in cell:
            print(f"{name}: {cell['failed']}")
            continue
        _, smaller, lower = CELLS[name][3]
        gap = cell["differences"][cell["headline"]]
        print(f"{name}: {'; '.join(cell['summaries'])}")
        between = "no interval"  # where no answer differs
        if gap["low"] is not None:
            between = f"{100 * gap['low']:+.2f} to {100 * gap['high']:+.2f}"
        print(
            f"  {cell['headline']} {gap['first']:.4f} -> {gap['second']:.4f}: {100 * gap['difference']:+.2f} points "
            f"({between}, n = {cell['n']:,}; asked at most {lower:g} lower)"
        )
        if "speeds" not in cell:
            print(f"  {cell.get('untimed')}")
            continue
        sides = cell["speeds"]
        for side, speed in sides.items():
            memory = f"{speed['memory'] / 1e6:,.0f} MB" if speed["memory"] else "memory unknown"
            print(
                f"  {side:>10}: {1000 * speed['latency']:8.2f} ms a row (p99 {1000 * speed['latency_p99']:.2f}), "
                f"{speed['throughput']:8.1f} rows/s, {speed['size'] / 1e6:6.1f} MB, {memory}"
            )
        less = sides["graph"]["size"] / sides["compressed"]["size"]
        print(f"  {faster(cell)}; {less:.2f} times smaller", end="")
        print(f" (asked {smaller:g})" if smaller else "")
        if hand := cell.get("by_hand"):
            median = {side: float(np.median(turns)) for side, turns in hand["latency"].items()}
            ratios = np.divide(hand["latency"]["by hand"], hand["latency"]["ours"])
            print(
                f"  by hand: {1000 * median['by hand']:.2f} ms against {1000 * median['ours']:.2f} "
                f"({np.median(ratios):.2f} times, {ratios.min():.2f} to {ratios.max():.2f} by turn), accuracy "
                f"{hand['accuracy']['by hand']:.4f} against {hand['accuracy']['ours']:.4f}, "
                f"{hand['bytes']['by hand'] / 1e6:.1f} MB against {hand['bytes']['ours'] / 1e6:.1f}"
            )


def faster(cell: dict[str, Any]) -> str:
    """How much faster than eager and than the fp32 graph, and which of the two is asked on the chip of this cell."""
    times, sides = CELLS[cell["cell"]][3][0], cell["speeds"]
    eager, graph = (sides[side]["latency"] / sides["compressed"]["latency"] for side in ("eager", "graph"))
    told = f"{eager:.2f} times eager ({{}}), {graph:.2f} times the fp32 graph ({{}})"
    if CELLS[cell["cell"]][2] != "int8":
        return told.format(asked(eager, times), "nothing asked")
    if (has := cell.get("whole_numbers")) is None:  # not recorded, or not told by the system
        either = f"with VNNI or AMX {asked(eager, times)}", f"without {asked(graph, ELSEWHERE)}"
        return told.format(*either) + ", which of them the chip has is not known"
    if has:
        return told.format(asked(eager, times), "not asked") + f", on a chip with {', '.join(has)}"
    return told.format("not asked", asked(graph, ELSEWHERE)) + ", on a chip without VNNI or AMX"


def asked(measured: float, bound: float) -> str:
    return f"asked {bound:g}: {'met' if measured >= bound else 'MISSED'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--limit", type=float, default=420)
    parser.add_argument("--again", action="store_true", help="Measure cells that are there already once more.")
    parser.add_argument("--show", action="store_true", help="Print what was measured, and measure nothing.")
    options = parser.parse_args()
    there = {cell["cell"] for cell in lines(NAME) if "failed" not in cell}
    for cell in [] if options.show else options.cells:
        if cell in there and not options.again:
            continue
        load = round(os.getloadavg()[0], 2)
        with tempfile.TemporaryDirectory() as folder:
            note(
                NAME,
                {
                    "cell": cell,
                    "limit": options.limit,
                    "load": load,
                    **measure(cell, options.shared, options.limit, Path(folder)),
                },
            )
    show()


if __name__ == "__main__":
    main()
