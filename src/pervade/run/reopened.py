"""An exported graph, opened by ONNX Runtime in a process of its own: run as a file.

    python -I reopened.py JOB    JOB: a folder with job.json and feeds.npz; answers.npz is written there

torch and pervade cannot be imported here. What the graph answers to each feed, and, where a `script` is named (run.py),
what that answers to each of `given`.
"""

import json
import runpy
import sys
from pathlib import Path
from typing import Any


def main(work: Path) -> None:
    sys.modules["torch"] = sys.modules["pervade"] = None  # type: ignore[assignment]
    import numpy as np
    import onnxruntime

    job = json.loads((work / "job.json").read_text(encoding="utf-8"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    session = onnxruntime.InferenceSession(job["graph"], options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    answers: dict[str, Any] = {}
    with np.load(work / "feeds.npz", allow_pickle=False) as feeds:
        for number in range(job["feeds"]):
            feed = {spec.name: feeds[f"{number}/{spec.name}"] for spec in session.get_inputs()}
            answers |= {
                f"fed/{number}/{name}": value for name, value in zip(names, session.run(names, feed), strict=True)
            }
    if job["given"]:
        answer = runpy.run_path(job["script"])["answer"]
        for number, given in job["given"].items():
            answers |= {f"raw/{number}/{name}": value for name, value in answer(given).items()}
    np.savez(work / "answers.npz", allow_pickle=False, **answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
