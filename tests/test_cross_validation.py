"""Where rows are few, a ladder's rungs are judged by rows that they did not learn from, each in turn, and not by one
small validation split."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pervade
from pervade.core import files
from pervade.core.errors import DataError, OutOfMemoryError, TrainingError
from pervade.core.run import RunDirectory
from pervade.core.types import Rows, Table
from pervade.engine import predictions
from pervade.init.pretrained import Pretrained
from pervade.metrics.classification import classification_metrics
from pervade.recipes import text
from pervade.run import blending, cross_validation, workflow
from pervade.run.candidates import Candidates
from pervade.run.ladder import Ladder, Rung
from pervade.run.training import Options
from tests import texts


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_validation, "FEW", 500)
    monkeypatch.setattr(cross_validation, "FOLDS", 3)


def climb(rows: list[tuple[str, str]], folder: Path, names: str, **more) -> pervade.Run:
    data = texts.write(folder / "rows.tsv", rows)
    asked = {"recipe": texts.recipe(epochs=1), "task": "text-classification", "options": Options(), **more}
    return pervade.fit(data, ladder=names.split(","), runs=folder, name="run", **asked)


def rung_of(run: pervade.Run) -> dict:
    return files.read_json(run.path / "ladder.json")["rungs"][0]


def test_every_row_is_answered_once_by_a_training_that_never_saw_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every text is two words that stand nowhere else, and its label a coin: who has seen it knows its label, and
    nobody else does."""
    monkeypatch.setattr(cross_validation, "FOLDS", 2)
    rng = np.random.default_rng(1)
    rows = [(f"{hex(number * 7919)} {hex(number * 104729)}", str(rng.choice(["no", "yes"]))) for number in range(60)]
    run = climb(rows, tmp_path, "plain,frozen")  # of which the second is not at hand
    rung = rung_of(run)
    (place,) = (run.path / "members/plain/predictions").glob("*@out-of-fold.parquet")
    table = predictions.read_columns(place)
    split = run.directory.read_data()["columns"]["split"]
    assert table["row"].tolist() == [row for row, name in enumerate(split) if name != "test"]
    assert rung["folds"] == 2
    assert rung["n"] == len(table["row"]) == 51
    assert rung["value"] == pytest.approx((table["prediction"] == table["target"]).mean())
    assert 0.25 < rung["value"] < 0.75
    assert not (run.path / "members/plain/members").exists()
    page = run.report().read_text(encoding="utf-8")
    assert "on 51 rows each by one of 2 trainings without it" in page
    assert "chosen by cross-validation" in page


@pytest.mark.parametrize(
    ("targets", "seconds", "why"),
    [
        (
            ["a", "b"] * 10,
            6.0,
            "there is no time for 3 trainings more",
        ),  # 18 s, of the 15 that are a quarter of the rest
        (["a", "b"] * 9 + ["rare"] * 2, 1.0, "all rows of class 'rare' are in one of the 3 folds"),
    ],
)
def test_where_there_is_none_the_validation_split_judges_and_that_is_said(
    targets: list[str], seconds: float, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last two rows have the same bytes, so that they belong together."""
    ladder, rung = object.__new__(Ladder), Rung("plain")
    ladder.run, ladder.options, ladder.began = RunDirectory(tmp_path), Options(), time.monotonic()
    ladder.request = workflow.Request("rows")
    monkeypatch.setattr(Ladder, "base", replace(texts.recipe(), time_limit=60.0))
    contents = [*map(str, range(19)), "18"]
    rows = Rows({"id": list(map(str, range(20))), "target": targets, "hash": contents, "split": ["train"] * 20})
    ladder._cross_validate(rung, rows, seconds)
    assert rung.folds == 0
    (line,) = files.read_json(tmp_path / "remarks.json")["remarks"]
    assert f"plain is judged by the validation split, and not by cross-validation, since {why}" in line


def test_what_one_fold_stumbles_over_costs_no_rung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ladder, rung = object.__new__(Ladder), Rung("plain")
    ladder.run, ladder.options, ladder.began = RunDirectory(tmp_path), Options(), time.monotonic()
    ladder.request = workflow.Request("rows")
    monkeypatch.setattr(Ladder, "base", texts.recipe())

    def too_large(*asked: object) -> None:
        raise OutOfMemoryError("there is no memory left")

    monkeypatch.setattr(cross_validation, "answer", too_large)
    rows = Rows({"id": list(map(str, range(20))), "target": ["a", "b"] * 10, "split": ["train"] * 20})
    ladder._cross_validate(rung, rows, 1.0)
    assert rung.folds == 0
    (line,) = files.read_json(tmp_path / "remarks.json")["remarks"]
    assert line.endswith("not by cross-validation, since there is no memory left")


def test_where_no_figure_is_defined_the_first_rung_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    accuracy = classification_metrics(["a", "b"])["accuracy"]
    monkeypatch.setattr(Candidates, "headline", lambda self: ("accuracy", accuracy))
    monkeypatch.setattr(Candidates, "best", lambda self, rungs, without=None: rungs[0])
    ladder = object.__new__(Ladder)
    ladder.run, ladder.recipes = RunDirectory(Path("run")), {"plain": texts.recipe()}
    ladder.half_of, ladder.settling = {}, set()
    ladder.rungs = [Rung("plain", "complete"), Rung("trained", "complete")]
    ladder.faults, ladder.best_of = [], "accuracy"
    assert ladder.take().name == "plain"
    assert "is not defined on the validation rows" in ladder.why
    ladder.rungs[1].value = 0.6
    assert ladder.take().name == "trained"


def test_few_rows_are_those_that_train_and_validate() -> None:
    splits = ["train"] * 400 + ["validation"] * 99 + ["test"] * 50
    rows = Rows({"id": list(map(str, range(549))), "split": splits})
    assert cross_validation.are_few(rows)
    assert not cross_validation.are_few(Rows({"id": list("abc") * 200, "split": ["train"] * 600}))


def test_groups_stay_whole_and_a_test_split_stays_aside() -> None:
    rows = Rows(
        {
            "id": list(map(str, range(24))),
            "target": ["a", "b"] * 12,
            "group": [str(number // 4) for number in range(24)],
            "split": ["train"] * 16 + ["validation"] * 4 + ["test"] * 4,
        }
    )
    divided = cross_validation.divide(rows, seed=0)
    fold = np.array(divided.column("fold"))
    assert fold[20:].tolist() == [0] * 4
    assert all(len(set(fold[start : start + 4])) == 1 for start in range(0, 24, 4))
    assert set(fold[:20]) == {1, 2, 3}
    with pytest.raises(DataError, match="cannot be divided into 3 folds"):
        cross_validation.divide(rows.select([*range(8), 20]), seed=0)


def test_what_begins_from_another_rung_begins_from_its_training_without_the_same_fold(tmp_path: Path) -> None:
    frozen, trained = (RunDirectory(tmp_path / "members" / name) for name in ("frozen", "trained"))
    own = replace(texts.recipe(), init=Pretrained(str(frozen.path)))
    with pytest.raises(TrainingError, match="frozen, from which it begins, was not cross-validated"):
        cross_validation._without(own, trained, 2, None)
    frozen.member("fold-2").checkpoint("best").mkdir(parents=True)
    (frozen.member("fold-2").checkpoint("best") / "architecture.json").write_text("{}")
    assert cross_validation._without(own, trained, 2, 5.0).init.source == str(frozen.member("fold-2").path)
    assert cross_validation._without(texts.recipe(), trained, 2, 5.0) == replace(texts.recipe(), time_limit=5.0)


@pytest.mark.parametrize(("right", "taken"), [(30, "trained"), (26, "plain"), (20, "plain")])
def test_a_rung_that_few_rows_judge_has_to_be_shown_to_be_better(
    right: int, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 30 rows the plain rung has 24: McNemar's p of 6 to none is 2 / 2^6 = 0.031, of 2 to none 0.5."""
    target = np.zeros(30, int)

    def table(correct: int) -> Table:
        prediction = np.where(np.arange(30) < correct, 0, 1)
        return {"row": np.arange(30), "group": np.arange(30), "target": target, "prediction": prediction}

    tables = {"plain": table(24), "trained": table(right)}
    accuracy = classification_metrics(["a", "b"])["accuracy"]
    monkeypatch.setattr(Candidates, "headline", lambda self: ("accuracy", accuracy))
    monkeypatch.setattr(Candidates, "tables", lambda self, rungs, without=None: [tables[rung.name] for rung in rungs])
    rungs = [Rung("plain", folds=3), Rung("trained")]
    assert Candidates(RunDirectory(Path("run")), texts.recipe(), ()).best(rungs).name == taken


@pytest.mark.slow
def test_all_rungs_of_a_whole_ladder_are_judged_by_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blend that is put together whether it is better or not lets each half of the rows weigh the other."""
    monkeypatch.setattr(Candidates, "loses", lambda *asked: False)
    monkeypatch.setattr(blending, "weights", lambda task, tables, scales, domain: [scale / 3 for scale in scales])
    small = replace(text.recipe(init=str(texts.encoder_folder(tmp_path / "encoder"))), epochs=2, workers=0)
    run = climb(texts.reviews(100), tmp_path, "plain,frozen,trained,blend", recipe=small)
    rungs = files.read_json(run.path / "ladder.json")["rungs"]
    assert {(rung["name"], rung["state"], rung["folds"], rung["n"]) for rung in rungs} == {
        (name, "complete", 3, 84) for name in ("plain", "frozen", "trained", "blend")
    }
    tables = {}
    for name in ("plain", "frozen", "trained", "blend"):
        (place,) = (run.path / "members" / name / "predictions").glob("*@out-of-fold.parquet")
        tables[name] = predictions.read_columns(place)
    assert all(table["row"].tolist() == tables["plain"]["row"].tolist() for table in tables.values())
