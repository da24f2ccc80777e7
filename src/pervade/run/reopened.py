"""What was exported, opened in a process of its own: run as a file.

    python -I reopened.py JOB    JOB: a folder with job.json and feeds.npz; answers.npz is written there

An ONNX graph is opened by ONNX Runtime, where torch and pervade cannot be imported: what it answers to each feed, and,
where a `script` is named (run.py), what that answers to each of `given`. Another form is opened by its `exporter`.
"""

import json
import runpy
import sys
from pathlib import Path
from typing import Any


def main(work: Path) -> None:
    job = json.loads((work / "job.json").read_text(encoding="utf-8"))
    if "graph" in job:
        sys.modules["torch"] = sys.modules["pervade"] = None  # type: ignore[assignment]
    import numpy as np

    with np.load(work / "feeds.npz", allow_pickle=False) as stored:
        feeds: list[dict[str, Any]] = [{} for _ in range(job["feeds"])]
        for key in stored.files:
            number, name = key.split("/", 1)
            feeds[int(number)][name] = stored[key]
    answers = by_onnx_runtime(job, feeds) if "graph" in job else by_exporter(job, feeds)
    np.savez(work / "answers.npz", allow_pickle=False, **answers)


def by_onnx_runtime(job: dict[str, Any], feeds: list[dict[str, Any]]) -> dict[str, Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    session = onnxruntime.InferenceSession(job["graph"], options, providers=["CPUExecutionProvider"])
    names, takes = ([one.name for one in some] for some in (session.get_outputs(), session.get_inputs()))
    answers: dict[str, Any] = {}
    for number, feed in enumerate(feeds):
        made = session.run(names, {name: feed[name] for name in takes})
        answers |= {f"fed/{number}/{name}": value for name, value in zip(names, made, strict=True)}
    if job["given"]:
        answer = runpy.run_path(job["script"])["answer"]
        for number, given in job["given"].items():
            answers |= {f"raw/{number}/{name}": value for name, value in answer(given).items()}
    return answers


def by_exporter(job: dict[str, Any], feeds: list[dict[str, Any]]) -> dict[str, Any]:
    import torch

    from pervade.core import spec
    from pervade.core.contracts import Exporter, Reopens

    torch.set_num_threads(job["threads"])
    exporter: Exporter = spec.decode(job["exporter"], Exporter)
    assert isinstance(exporter, Reopens), "as whoever asks made sure"
    answer = exporter.reopened(Path(job["folder"]))
    answers: dict[str, Any] = {}
    for number, feed in enumerate(feeds):
        batch: dict[str, Any] = {}
        for key, value in feed.items():
            name, _, part = key.partition(".")
            inside = batch.setdefault(name, {}) if part else batch
            inside[part or name] = torch.from_numpy(value)
        answers |= {f"fed/{number}/{name}": value.numpy() for name, value in answer(batch).items()}
    return answers


if __name__ == "__main__":
    main(Path(sys.argv[1]))
