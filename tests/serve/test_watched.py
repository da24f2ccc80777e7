"""GET /v1/models/{run}/watch and /metrics of a server that is asked about rows like its own, and then about others."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest

from pervade import api
from pervade.core.run import RunDirectory
from pervade.run import exported, serving, watching
from tests.serve.graphs import graph as graph
from tests.serve.served import Counting, server


@pytest.fixture(scope="module")
def measured(promised: api.Run) -> api.Run:
    """With predictions of held-out rows beside it."""
    if not promised.directory.predictions("best", "test").exists():
        promised.evaluate()
    return promised


def ask(client: httpx.Client, asked: list[str]) -> None:
    for place in range(0, len(asked), 50):
        client.post("/v1/models/reviews/predict", json={"inputs": asked[place : place + 50]}).raise_for_status()


def test_other_texts_are_noticed(measured: api.Run) -> None:
    columns = measured.directory.read_data()["columns"]
    like = [str(text) for text in columns["text"]]
    rng = np.random.default_rng(0)
    with server(serving.opened(str(measured.path), Path())) as (client, _):
        ask(client, [like[place] for place in rng.permutation(len(like))[:150]])
        told = client.get("/v1/models/reviews/watch").json()
        assert told["inputs"] == 150
        assert not told["alarm"]
        assert set(told["statistics"]) == {"confidence", "characters"}
        assert 'pervade_watch_alarm{model="reviews"} 0.0' in client.get("/metrics").text
        other = [" ".join(like[place] for place in rng.integers(0, len(like), 8)) for _ in range(100)]
        ask(client, other)
        told = client.get("/v1/models/reviews/watch").json()
        assert told["alarm"]
        assert told["sentence"].startswith("what comes in no longer looks like what this model learnt from: ")
        assert told["statistics"]["characters"]["alarm"]["inputs"] <= 200
        metrics = client.get("/metrics").text
        assert 'pervade_watch_alarm{model="reviews"} 1.0' in metrics
        assert 'pervade_watch_middle{model="reviews",of="learnt_from",statistic="confidence"}' in metrics


def test_what_cannot_be_compared(measured: api.Run) -> None:
    with server(Counting()) as (client, _):
        told = client.get("/v1/models/lengths/watch").json()
        assert told["statistics"] == {}
        assert told["sentence"].startswith("there is nothing to compare with")
    with server(Counting(), watch=False) as (client, _):
        answer = client.get("/v1/models/lengths/watch")
        assert answer.status_code == 404
        assert "without --no-watch" in answer.json()["detail"]
        assert "pervade_watch_alarm{" not in client.get("/metrics").text


def test_rows_that_a_model_is_compared_with(graph: Path, tmp_path: Path) -> None:
    """Those of predictions by the same weights alone; what is not there, or damaged, is no reference and no fault."""
    artefact = exported.opened(str(graph))
    told = watching.beside(graph, artefact.loaded, artefact.weights, ("picture",))
    assert set(told) == {"confidence", "pixels", "ratio"}
    assert set(told["pixels"]) == {480.0}
    assert watching.beside(graph, artefact.loaded, "0" * 64, ("picture",)) == {}
    assert watching.beside(tmp_path / "a" / "b" / "model.onnx", artefact.loaded, artefact.weights, ("picture",)) == {}
    run = RunDirectory(tmp_path / "run")
    (place := run.predictions("best", "test")).parent.mkdir(parents=True)
    place.write_bytes(b"PAR1")
    assert watching.reference(run, artefact.loaded, artefact.weights, ("picture",)) == {}
