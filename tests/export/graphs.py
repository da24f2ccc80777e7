"""An untrained checkpoint, and its graph run by ONNX Runtime beside the predict loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
import torch

from pervade.core.contracts import Domain, Model, Task
from pervade.core.contracts.capabilities import Portable
from pervade.core.types import Rows
from pervade.engine.checkpoint import Loaded
from pervade.engine.predictor import Predictor
from pervade.export.onnx import graph


def checkpoint(model: Model, domain: Domain, task: Task, **decision: Any) -> Loaded:
    torch.manual_seed(0)
    network = model.build(domain.inputs(), task.outputs(domain)).eval()
    return Loaded("best", network, domain, task, (), {}, decision)


def session(loaded: Loaded) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph(loaded).SerializeToString(), options)


def run(session: onnxruntime.InferenceSession, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def answers(session: onnxruntime.InferenceSession, loaded: Loaded, rows: Rows) -> dict[str, np.ndarray]:
    """The graph's, one row at a time, of rows that come in one part each."""
    assert isinstance(loaded.domain, Portable)
    made = [run(session, feed) for row in rows for feed in loaded.domain.feeds(row)]
    return {name: np.concatenate([answer[name] for answer in made]) for name in made[0]}


def agree(loaded: Loaded, rows: Rows, tolerance: float = 1e-5, **names: str) -> dict[str, np.ndarray]:
    """Compares what is called the same (or by `names`: a column by output), and returns what the graph gave."""
    given = answers(session(loaded), loaded, rows)
    table = replace(Predictor.of(loaded), targets="target" in rows, workers=0).table(rows)
    for name in given:
        if (column := names.get(name, name)) in table:
            wanted = np.asarray(table[column])
            if given[name].dtype.kind in "ib":
                np.testing.assert_array_equal(given[name], wanted, err_msg=name)
            else:
                np.testing.assert_allclose(given[name], wanted, rtol=0, atol=tolerance, err_msg=name)
    return given
