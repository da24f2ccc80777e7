"""Two ranks climb a ladder together: what is solved has one process's bits, what fails in one is passed by in all, and
a stop that one was asked for stops both, with the best so far delivered."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pervade
from pervade.core import files
from pervade.core.run import RunDirectory
from pervade.run.training import Options
from tests import texts
from tests.small_run import same, weights

pytestmark = pytest.mark.slow  # 25 s: three ladders and a search of two processes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ladders")
    texts.write(folder / "reviews.tsv", texts.reviews(120))
    command = [sys.executable, "-m", "tests.engine.share_of_a_ladder", str(folder)]
    processes = [subprocess.Popen([*command, str(rank)]) for rank in range(2)]
    try:  # ranks that wait for each other for ever are a failure
        for process in processes:
            assert process.wait(timeout=300) == 0
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return folder


def test_what_is_solved_has_the_bits_of_one_process(folder: Path) -> None:
    run = RunDirectory(folder / "whole")
    recipe = texts.recipe(epochs=2, threads=1)
    more = {"ladder": ["plain"], "name": "alone", "runs": folder, "options": Options()}
    alone = pervade.fit(folder / "reviews.tsv", recipe=recipe, task="text-classification", **more)
    assert same(weights(run.member("plain")), weights(alone.directory))


def test_one_is_taken_and_measured_once(folder: Path) -> None:
    run = RunDirectory(folder / "whole")
    record = files.read_json(run.path / "ladder.json")
    assert [rung["state"] for rung in record["rungs"][:2]] == ["complete", "complete"]
    assert same(weights(run, "best"), weights(run.member(record["taken"]), "best"))
    assert [path.name for path in run.path.rglob("*@test.parquet")] == ["best@test.parquet"]


def test_a_rung_that_fails_in_one_rank_is_passed_by_in_all(folder: Path) -> None:
    plain, trained, _ = files.read_json(folder / "failing" / "ladder.json")["rungs"]
    assert (plain["state"], plain["reason"]) == ("passed by", "this rank has no words")
    assert trained["state"] == "complete"


def test_one_that_was_stopped_goes_on_to_the_same(folder: Path) -> None:
    for rank in range(2):
        said = json.loads((folder / f"{rank}.json").read_text())
        assert said == {"stopped": [False, False, True], "taken": "plain"}
    whole, stopped = RunDirectory(folder / "whole"), RunDirectory(folder / "stopped")
    for name in ("plain", "trained"):
        assert same(weights(whole.member(name)), weights(stopped.member(name)))


def test_what_was_searched_is_put_together(folder: Path) -> None:
    """Whether it is better or not, here."""
    run = RunDirectory(folder / "searched")
    record = files.read_json(run.path / "search.json")
    assert [(trial["rung"], trial["state"]) for trial in record["trials"]] == [
        (name, "complete") for name in ("plain", "trained", "blend")
    ]
    assert record["winner"] == "trial-002"
    assert not list((run.path / "members").rglob("*@test.parquet"))
