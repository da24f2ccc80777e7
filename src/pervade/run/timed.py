"""One side of a timing, in a process of its own: `python -m pervade.run.timed SIDE.json`.

Reads lines from standard input, each a request, and answers each with a line of JSON:

    {"batch": 1, "seconds": 0.3}   calls for so long  -> {"seconds": [of each call]}
    {"memory": true}               -> {"bytes": the most memory that this process has had, or null}

An ONNX graph needs numpy and ONNX Runtime alone; torch is loaded for networks only, so that the memory is of the engine
that answers. What answers is called as its user would: all that comes before the network and after it included.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pervade.core.terminal import echo

WARM = 2  # calls before any is timed
MOST_CALLS = 1000  # in a turn
Feed = Mapping[str, np.ndarray]


def engine(side: Mapping[str, Any]) -> Callable[[Feed], Any]:
    """What answers a feed: of a graph ONNX Runtime, of a checkpoint torch, eagerly, in fp32."""
    return _graph(side) if "graph" in side else _network(side)


def _graph(side: Mapping[str, Any]) -> Callable[[Feed], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = side["threads"], 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(side["graph"], options, providers=["CPUExecutionProvider"])
    return lambda feed: session.run(None, dict(feed))


def _network(side: Mapping[str, Any]) -> Callable[[Feed], Any]:
    import torch

    from pervade.core import runtime
    from pervade.core.run import RunDirectory
    from pervade.engine.checkpoint import load_checkpoint
    from pervade.engine.deployment import Deployed

    runtime.prepare(side["threads"])
    torch.set_num_threads(side["threads"])
    whole = Deployed(load_checkpoint(RunDirectory(Path(side["run"])), side["checkpoint"])).eval()
    names = [spec.name for spec in whole.signature.inputs]

    def answer(feed: Feed) -> Any:
        with torch.inference_mode():
            return whole(*(torch.from_numpy(feed[name]) for name in names))

    return answer


def peak() -> int | None:
    """Bytes. Of this process alone: the `ru_maxrss` of one that another started begins with that one's."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


def timed(answer: Callable[[Feed], Any], feeds: list[Feed], seconds: float) -> list[float]:
    """Of each call, in turn of each feed, as many as end in so long; one at least."""
    taken: list[float] = []
    ends = time.perf_counter() + seconds
    while not taken or (time.perf_counter() < ends and len(taken) < MOST_CALLS):
        feed = feeds[len(taken) % len(feeds)]
        began = time.perf_counter()
        answer(feed)
        taken.append(time.perf_counter() - began)
    return taken


def main() -> None:
    side = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with np.load(side["feeds"]) as stored:
        singles: list[Feed] = [
            {name: stored[f"{place}/{name}"] for name in side["names"]} for place in range(side["rows"])
        ]
    answer = engine(side)
    feeds: dict[int, list[Feed]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "memory" in request:
            reply: dict[str, Any] = {"bytes": peak()}
        else:
            batch = request["batch"]
            if batch not in feeds:
                # Rows differ in size, so that a batch is one of them, so many times.
                many: Feed = {name: value.repeat(batch, 0) for name, value in singles[0].items()}
                feeds[batch] = singles if batch == 1 else [many]
                for _ in range(WARM):
                    answer(feeds[batch][0])
            reply = {"seconds": timed(answer, feeds[batch], request["seconds"])}
        echo(json.dumps(reply))


if __name__ == "__main__":
    main()
