"""A run that a task needs: it learns first, from the same rows, or is taken from elsewhere; and what is shown of the
training that follows."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pervade import api
from pervade.core import files
from pervade.core.contracts import Recipe
from pervade.core.errors import ConfigError
from pervade.core.run import RunDirectory
from pervade.engine import checkpoint
from pervade.recipes import generation
from pervade.run import workflow
from pervade.run.progress import Silent
from pervade.run.stopping import Stopped
from pervade.run.training import Options, Training
from tests.data.drawing import class_folders
from tests.painter import JudgedPainting, Painter, Painting, classifier


class Lines(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def recipe(task: Painting) -> Recipe:
    made = generation.general(Painter(), task, rows=16)
    domain = replace(made.domain, size=8)
    return replace(made, domain=domain, epochs=4, batch_size=6, workers=0, threads=1, early_stopping=STOPPING)


STOPPING = replace(generation.general(Painter(), Painting(), 16).early_stopping, every=2)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))
    return class_folders(tmp_path / "data", count=10)


def test_what_it_needs_learns_first_in_a_share_of_the_time(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, float | None]] = []
    monkeypatch.setattr(Training, "go", lambda self: begun.append((self.run.name, self.recipe.time_limit)))
    screen, asked = Lines(), replace(recipe(JudgedPainting()), time_limit=60.0)
    run = api.fit(data, recipe=asked, name="r", runs=tmp_path, options=Options(screen))
    assert begun == [("judge", pytest.approx(9.0)), ("r", 60.0)]
    judge = run.directory.member("judge")
    assert checkpoint.read_recipe(judge.recipe).threads == 1
    own, its = (each.read_data()["columns"] for each in (run.directory, judge))
    assert (own["id"], own["split"]) == (its["id"], its["split"])
    models = [line for line in screen.lines if "model: " in line]
    assert models == ["judge: model: reference-mlp", "model: toy-painter"]


def test_what_is_asked_of_a_run_is_not_asked_of_what_it_needs(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("on_pass", "pause_at", "least_passes", "rows_after", "keep_validation")
    asked = dict(zip(names, (lambda at, value: None, 0.5, 0.5, 7, True), strict=True))
    told: dict[str, list[object]] = {}

    def go(self: Training) -> None:
        told[self.run.name] = [getattr(self.options, name) for name in names]

    monkeypatch.setattr(Training, "go", go)
    run = RunDirectory(tmp_path / "r")
    task = "unconditional-image-generation"
    workflow.begin(run, recipe(JudgedPainting()), workflow.Request(str(data), task))
    workflow.train(run, workflow.requested(run), options=Options(**asked))
    assert told == {"judge": [None, None, 0.0, 0, False], "r": list(asked.values())}
    judge = workflow.requested(run.member("judge"))
    assert (judge.source, judge.task) == (workflow.requested(run).source, None)


def test_who_is_stopped_while_it_learns_goes_on_with_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = Training.go

    def stopped(self: Training) -> None:
        if self.run.name == "judge":
            self.rehearse()
            self._save()
            raise Stopped(2, self.run.path)
        go(self)

    monkeypatch.setattr(Training, "go", stopped)
    with pytest.raises(Stopped) as stop:
        api.fit(data, recipe=recipe(JudgedPainting()), name="r", runs=tmp_path, options=Options())
    assert stop.value.path == tmp_path / "r"
    monkeypatch.setattr(Training, "go", go)
    resumed = api.resume(tmp_path / "r", options=Options())
    assert set(resumed.load().members) == {"judge"}


def test_who_is_stopped_before_it_learns_goes_on_with_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing listens for Ctrl-C yet that could save a state."""
    with monkeypatch.context() as patch:
        patch.setattr(Training, "rehearse", lambda self: signal.raise_signal(signal.SIGINT))
        with pytest.raises(Stopped) as stop:
            api.fit(data, recipe=recipe(JudgedPainting()), name="r", runs=tmp_path, options=Options())
    assert (stop.value.path, stop.value.number) == (tmp_path / "r", signal.SIGINT)
    assert set(api.resume(tmp_path / "r", options=Options()).load().members) == {"judge"}


@pytest.fixture
def judge(data: Path, tmp_path: Path) -> api.Run:
    return api.fit(
        data, recipe=replace(classifier(), workers=0, threads=1), name="judge", runs=tmp_path, options=Options()
    )


def test_a_judge_that_is_given_is_copied(data: Path, tmp_path: Path, judge: api.Run) -> None:
    # By its name inside `runs`, as every run is.
    run = api.fit(
        data, recipe=recipe(JudgedPainting()), judge="judge", name="r", runs=tmp_path, options=Options(), epochs=1
    )
    own, its = (
        files.read_json(each / "architecture.json")["sha256"]
        for each in (run.path / "members" / "judge" / "checkpoints" / "best", judge.path / "checkpoints" / "best")
    )
    assert own == its
    assert not (run.path / "members" / "judge" / "state").exists()
    assert set(run.load().members) == {"judge"}


def test_what_is_no_judge_is_refused(data: Path, tmp_path: Path, judge: api.Run) -> None:
    asked = {"runs": tmp_path, "options": Options(), "epochs": 1}
    painter = api.fit(data, recipe=recipe(Painting()), name="painter", **asked)
    with pytest.raises(ConfigError, match="no run that classifies pictures"):
        api.fit(data, recipe=recipe(Painting()), judge=str(painter.path), name="r", **asked)
    with pytest.raises(ConfigError, match=r"--judge .* is for --task unconditional-image-generation"):
        api.fit(data, recipe=classifier(), judge="judge", name="c", **asked)


def test_what_it_makes_is_kept_as_it_learns(data: Path, tmp_path: Path) -> None:
    run = api.fit(data, recipe=recipe(Painting()), name="r", runs=tmp_path, options=Options())
    shown = {path.stem: np.asarray(Pillow.open(path)) for path in (run.path / "media" / "progress").iterdir()}
    assert shown.keys() == {"2", "4"}
    assert not np.array_equal(shown["2"], shown["4"])
    # The same seeds: what differs is what was learnt in between.
    run.evaluate()
    page = run.report().read_text()
    assert page.count("after pass 2") and page.count("after pass 4")
    assert "As it learnt" in page and "What it makes" in page
