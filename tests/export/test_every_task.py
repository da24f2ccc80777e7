"""A run of every task as an ONNX graph, or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pervade.core.contracts import Context
from pervade.core.contracts.capabilities import Acting, Portable, able
from pervade.core.errors import ConfigError
from pervade.core.types import Rows
from pervade.engine.checkpoint import Loaded, load_checkpoint
from pervade.export.onnx import graph
from pervade.nn import actions
from pervade.run.workflow import load_rows
from tests.export import graphs
from tests.trainings import TRAININGS, trained

MOST = 4  # rows that are compared


def columns(loaded: Loaded, rows: Rows) -> None:
    """What is called like a column of the predictions file is the same."""
    given = graphs.agree(loaded, rows)
    assert any(name in given for name in ("probabilities", "prediction", "embedding"))


def every(name: str, output: str) -> Callable[[Loaded, Rows], None]:
    """What the task infers under `name`, example by example."""

    def compared(loaded: Loaded, rows: Rows) -> None:
        session = graphs.session(loaded)
        assert isinstance(loaded.domain, Portable)
        for row in rows:
            examples = loaded.domain.transform(row, None)
            for feed, example in zip(loaded.domain.feeds(row), examples, strict=True):
                batch = loaded.domain.collate([example])
                context = Context(loaded.domain, decision=loaded.decision, targets=False)
                with torch.inference_mode():
                    made = loaded.task.forward(loaded.network, batch, context)[name].float()
                if name == "logits" and output != "logits":
                    made = made.log_softmax(2) if output == "log_prob" else made.softmax(2)
                np.testing.assert_allclose(graphs.run(session, feed)[output], made.numpy(), rtol=0, atol=2e-5)

    return compared


def spans(loaded: Loaded, rows: Rows) -> None:
    """The best piece of each window, and what there being none is worth."""
    session = graphs.session(loaded)
    assert isinstance(loaded.domain, Portable)
    context = Context(loaded.domain, decision=loaded.decision, targets=False)
    for row in rows:
        for feed, example in zip(loaded.domain.feeds(row), loaded.domain.transform(row, None), strict=True):
            with torch.inference_mode():
                wanted: Any = loaded.task.infer(loaded.network, loaded.domain.collate([example]), context)
            given = graphs.run(session, feed)
            np.testing.assert_allclose(given["score"], wanted["score"][:, 0], atol=1e-5)
            assert given["begin_token"].item() == wanted["begin"][0, 0].item()
            assert given["end_token"].item() == wanted["end"][0, 0].item()
            absent = wanted["absent"].item() - float(loaded.decision.get("margin", 0.0))
            assert given["absent_score"].item() == pytest.approx(absent, abs=1e-5)


def acts(loaded: Loaded, rows: Rows) -> None:
    """Does what the agent does, of observations beside those that an episode begins with, too."""
    session = graphs.session(loaded)
    assert isinstance(loaded.domain, Portable)
    task: Any = loaded.task
    space = able(loaded.domain, Acting).space  # type: ignore[attr-defined]
    (spec,) = loaded.domain.takes()
    seen = np.random.default_rng(0).normal(0, 0.5, (64, *map(int, spec.shape[1:]))).astype(spec.type)
    with torch.inference_mode():
        output = {name: made.numpy() for name, made in loaded.network(torch.from_numpy(seen)).items()}
    wanted = actions.outward(task.act(output, space, None), space)
    given = graphs.run(session, {spec.name: seen})["action"]
    np.testing.assert_allclose(given, wanted, atol=1e-5)
    assert graphs.run(session, loaded.domain.feeds(rows[0])[0])["action"].shape == (1, wanted.shape[1])


EXPORTED: dict[str, Callable[[Loaded, Rows], None]] = {
    **dict.fromkeys(("pictures", "labels_of_pictures", "numbers_of_pictures", "faces", "texts"), columns),
    **dict.fromkeys(("pictures_from_a_teacher", "faces_at_once", "histograms_of_pictures"), columns),
    "texts_in_two_ways": columns,
    **dict.fromkeys(("words_at_once", "texts_with_adapters", "sounds"), columns),
    **dict.fromkeys(("running_text", "adapters_alone", "conversations"), every("logits", "logits")),
    "hidden_words": every("logits", "probabilities"),
    "transcripts": every("logits", "log_prob"),
    "asked_of_texts": spans,
    **dict.fromkeys(("rollouts", "rollouts_of_forces", "replay"), acts),
}
REFUSED = {
    "pictures_as_codes": "noise or codes",
    "statistics_of_sounds": "statistics of a recording",
    "counts_of_running_text": "aten.searchsorted",
    "dictation": "token by token",
    "made_sounds": "sounds to be made",
    "pictures_by_two_players": "noise or codes",
    "noisy_pictures": "noise or codes",
}
THE_SAME = {"rollouts_in_processes": "rollouts", "preferences": "running_text"}  # of other rows, the same graph


def test_every_training_is_looked_at() -> None:
    assert {*EXPORTED, *REFUSED, *THE_SAME} == set(TRAININGS)


def opened(name: str, folder: Path) -> tuple[Loaded, Rows]:
    run = trained(TRAININGS[name].asked(folder), folder / "runs" / "run").directory
    loaded = load_checkpoint(run, run.require_checkpoint(None))
    rows = load_rows(run, loaded.domain).where("split", "test")
    return loaded, rows.select(range(min(len(rows), MOST)))


@pytest.mark.slow  # each trains for a second, and is traced in two to ten
@pytest.mark.parametrize("name", EXPORTED)
def test_a_graph_answers_as_its_run_does(name: str, tmp_path: Path) -> None:
    EXPORTED[name](*opened(name, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_no_graph_holds_is_refused_in_a_line(name: str, tmp_path: Path) -> None:
    loaded, _ = opened(name, tmp_path)
    with pytest.raises(ConfigError, match=REFUSED[name]) as caught:
        graph(loaded)
    assert "\n" not in str(caught.value)
