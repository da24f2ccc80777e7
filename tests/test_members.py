"""Runs of runs: seeds share a split, folds test every row once, and both are resumed bit for bit."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import pervade
from pervade.core import files
from pervade.core.errors import CheckpointError, ConfigError, DataError
from pervade.core.types import Rows
from pervade.data.rows import folds
from pervade.engine import predictions
from pervade.metrics.classification import classification_metrics
from pervade.metrics.interval import student
from pervade.run import members
from pervade.run.stopping import Stopped
from pervade.run.training import Options
from tests.small_run import recipe, same, stop_at, weights

__all__ = ["stop_at"]


def fit(data: Path, runs: Path, name: str, **more) -> pervade.Run:
    return pervade.fit(data, recipe=more.pop("recipe", recipe()), name=name, runs=runs, options=Options(), **more)


# folds by themselves


def rows(labels: list[str], **columns: list) -> Rows:
    return Rows({"id": [str(i) for i in range(len(labels))], "target": labels, **columns})


def test_every_row_is_tested_once_and_classes_are_balanced() -> None:
    labels = ["a"] * 20 + ["b"] * 10 + ["c"] * 7
    divided, left_out = folds.assign(rows(labels), 5, seed=0)
    assert left_out == []
    per_fold = Counter(zip(divided.column("fold"), labels, strict=True))
    for label in "abc":
        counts = [per_fold[fold, label] for fold in range(1, 6)]
        assert max(counts) - min(counts) <= 1
    sizes = Counter(divided.column("fold"))
    assert max(sizes.values()) - min(sizes.values()) <= 1
    for number in range(1, 6):
        split = list(folds.member(divided, number, 0.15, seed=0).column("split"))
        assert [i for i, each in enumerate(split) if each == "test"] == [
            i for i, each in enumerate(divided.column("fold")) if each == number
        ]
        assert {"train", "validation"} <= set(split)


def test_groups_and_duplicates_are_never_divided() -> None:
    rng = np.random.default_rng(0)
    group = [f"person {i}" for i in rng.integers(0, 30, 60)]
    hashes = [f"bytes {i}" for i in rng.integers(0, 300, 60)]
    labels = [("a", "b")[i % 2] for i in range(60)]
    divided, _ = folds.assign(rows(labels, group=group, hash=hashes), 2, seed=1)
    for values in (divided.column("group"), divided.column("hash")):
        where: dict[str, set[int]] = {}
        for value, fold in zip(values, divided.column("fold"), strict=True):
            where.setdefault(value, set()).add(fold)
        assert all(len(each) == 1 for each in where.values())


def test_a_given_test_split_stays_aside() -> None:
    given = ["test"] * 5 + ["validation"] * 5 + ["train"] * 20
    divided, _ = folds.assign(rows([("a", "b")[i % 2] for i in range(30)], split=given), 5, seed=0)
    assert list(divided.column("fold"))[:5] == [0] * 5
    assert 0 not in list(divided.column("fold"))[5:]
    assert list(folds.member(divided, 1, 0.15, 0).column("split"))[:5] == [folds.ASIDE] * 5


def test_what_belongs_to_a_row_set_aside_is_in_no_fold() -> None:
    given = ["test", "train", "train", "validation", *["train"] * 8]
    group = ["x", "x", "y", "y", *"abcdefgh"]
    hashes = [str(i) for i in range(11)] + ["0"]
    divided, left_out = folds.assign(
        rows([("a", "b")[i // 2 % 2] for i in range(12)], split=given, group=group, hash=hashes), 2, seed=0
    )
    assert [(each.source, each.reason) for each in left_out] == [
        ("1", "of the same group as 0 in the test split, so not used for train"),
        ("11", "the same as 0 in the test split, so not used for train"),
    ]
    by_id = dict(zip(divided.column("id"), divided.column("fold"), strict=True))
    assert by_id["0"] == 0
    assert by_id["2"] == by_id["3"] > 0  # a given validation split goes into the folds, so nothing parts these
    assert 0 not in [fold for name, fold in by_id.items() if name != "0"]


def test_no_two_groups_share_a_folder() -> None:
    plan = members.Plan("folds", 4, groups=("x", "x-3", "x?", "x!"))
    names = plan.names(recipe())
    assert names[:2] == ["x", "x-3"] and len(set(names)) == 4


def test_too_few_to_divide() -> None:
    with pytest.raises(DataError, match="3 independent rows cannot be divided into 5 folds"):
        folds.assign(rows(["a", "b", "a"]), 5, seed=0)
    with pytest.raises(DataError, match="all rows of class 'b' are in one of the 3 folds"):
        folds.assign(rows(["a"] * 6 + ["b"] * 2, group=[*"123456", "x", "x"]), 3, seed=0)


def test_student() -> None:
    """By hand: of 1..5 the mean is 3, s / sqrt(5) = sqrt(2.5 / 5), and t of 4 degrees of freedom is 2.776445."""
    low, high = student(np.arange(1.0, 6.0))
    assert (low, high) == pytest.approx((3 - 2.776445 * 0.5**0.5, 3 + 2.776445 * 0.5**0.5), abs=1e-5)
    assert all(np.isnan(student(np.ones(1))))


# whole runs


@pytest.fixture(scope="module")
def of_seeds(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERVADE_CACHE", str(folder / "cache"))
        return fit(shapes, folder, "parent", seeds=3, seed=4).path


def test_seeds_share_the_split_and_differ_in_nothing_else(of_seeds: Path, shapes: Path, tmp_path: Path) -> None:
    parent = pervade.load(of_seeds)
    names = ["seed-4", "seed-5", "seed-6"]
    assert sorted(each.name for each in (of_seeds / "members").iterdir()) == names
    runs = [pervade.load(of_seeds / "members" / name) for name in names]
    assert [each.recipe().seed for each in runs] == [4, 5, 6]
    whole = files.read_json(parent.directory.data)["columns"]
    for each in runs:
        assert files.read_json(each.directory.data)["columns"] == whole
        assert each.directory.report.exists()
        assert each.results()["n"] > 0
    assert not same(weights(runs[0].directory), weights(runs[1].directory))
    # The first member is the run that one would have had with this seed.
    alone = fit(shapes, tmp_path, "alone", seed=4)
    assert same(weights(alone.directory), weights(runs[0].directory))


def test_the_mean_is_of_the_members(of_seeds: Path) -> None:
    parent = pervade.load(of_seeds)
    result = parent.results()
    own = [pervade.load(of_seeds / "members" / name).results()["metrics"]["log_loss"] for name in result["members"]]
    values = np.array([each["value"] for each in own])
    found = result["metrics"]["log_loss"]
    assert found["mean"] == pytest.approx(values.mean())
    assert found["deviation"] == pytest.approx(values.std(ddof=1))
    low, high = student(values)
    assert (found["low"], found["high"]) == pytest.approx((max(low, 0.0), high))  # no log-loss is below 0
    assert "over 3 seeds" in found["method"]
    assert found["members"]["seed-5"]["low"] == own[1]["low"]


def test_a_parent_is_reported_and_evaluated_again(of_seeds: Path, tmp_path: Path) -> None:
    run = pervade.load(shutil.copytree(of_seeds, tmp_path / "copy"))
    before = run.results()
    (run.path / "members" / "seed-5" / "results" / "evaluate@best.json").unlink()
    assert {"format": 1, **run.evaluate()} == before
    page = run.report().read_text()
    assert "3 seeds" in page
    assert "seed-5" in page
    assert "Training has not finished" not in page
    assert "Training has not finished" not in run.directory.model_card.read_text()


def test_a_parent_has_no_model_and_names_those_that_have(of_seeds: Path, shapes: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds 3 runs and no model of its own; name one .*members/seed-4"):
        pervade.load(of_seeds).predict([shapes])


def test_folds_test_every_row_once(shapes: Path, tmp_path: Path) -> None:
    run = fit(shapes, tmp_path, "parent", folds=3)
    result = run.results()
    assert result["n"] == 60
    columns = predictions.read_columns(run.directory.predictions(members.NAME, "test"))
    assert columns["row"].tolist() == list(range(60))
    labels = files.read_json(run.directory.data)["columns"]["target"]
    # The pooled figure is of that file alone, and so is its interval.
    right = (columns["target"] == columns["prediction"]).mean()
    assert result["metrics"]["accuracy"]["value"] == pytest.approx(right)
    assert result["metrics"]["accuracy"]["n"] == 60
    assert [["left", "right"][each] for each in columns["target"]] == labels
    assert sum(each["n"] for each in result["members"].values()) == 60
    trained = {
        row
        for name in result["members"]
        for row, split in enumerate(files.read_json(run.directory.member(name).data)["columns"]["split"])
        if split == "train"
    }
    counts = Counter(labels[row] for row in trained)
    assert result["details"]["train_counts"] == [counts[label] for label in ("left", "right")]
    assert result["details"]["baseline"]["name"].endswith("in training, all folds together")
    assert "Each has its own page" in run.report().read_text()


@pytest.mark.slow
def test_folds_that_a_table_names(shapes: Path, tmp_path: Path) -> None:
    """Three folds, a test split beside them that no member sees, and a run that is read again to be reported."""
    pictures = sorted(shapes.rglob("*.png"))
    lines = [
        f"{file},{file.parent.name},{i % 3 + 1},{'test' if i % 10 == 9 else 'train'}\n"
        for i, file in enumerate(pictures)
    ]
    table = tmp_path / "shapes.csv"
    table.write_text("image,label,fold,split\n" + "".join(lines))
    run = fit(table, tmp_path, "parent", folds="column")
    asked = members.read_plan(run.directory)
    assert (asked.number, asked.groups, asked.by) == (3, ("fold-1", "fold-2", "fold-3"), "column")
    stored = files.read_json(run.directory.data)["columns"]
    for number, name in enumerate(asked.groups or (), start=1):
        own = files.read_json(run.directory.member(name).data)["columns"]["split"]
        tested = [i for i, split in enumerate(own) if split == "test"]
        assert tested == [
            i
            for i, (fold, split) in enumerate(zip(stored["fold"], stored["split"], strict=True))
            if fold == number and split == "test"
        ]
        assert all(stored["fold_given"][i] == str(number) for i in tested)
        assert own.count("aside") == 6
    assert run.results()["n"] == 54
    assert "fold-2" in run.report().read_text()


def test_a_killed_parent_goes_on_as_if_never_stopped(shapes: Path, tmp_path: Path, stop_at) -> None:
    whole = fit(shapes, tmp_path, "whole", folds=2)
    stop_at(19)  # in the second member's second pass
    with pytest.raises(Stopped):
        fit(shapes, tmp_path, "stopped", folds=2)
    assert not (tmp_path / "stopped" / "results").exists()
    resumed = pervade.resume(tmp_path / "stopped", options=Options())
    for name in ("fold-1", "fold-2"):
        assert same(weights(whole.directory.member(name)), weights(resumed.directory.member(name)))
    assert resumed.results() == whole.results()


def test_an_unfinished_parent_says_how_to_go_on(shapes: Path, tmp_path: Path, stop_at) -> None:
    stop_at(3)
    with pytest.raises(Stopped):
        fit(shapes, tmp_path, "a", seeds=2)
    run = pervade.load(tmp_path / "a")
    assert run.concluded() is None
    assert "has not finished" in run.report().read_text()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"folds": "colum"}, "neither a number nor 'group' nor 'column'"),
        ({"seeds": 2, "folds": 2}, "exclude each other"),
        ({"seeds": 1}, "at least 2"),
        ({"folds": 0}, "at least 2"),
    ],
)
def test_what_is_refused(shapes: Path, tmp_path: Path, asked: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fit(shapes, tmp_path / "runs", "a", **asked)
    assert not (tmp_path / "runs").exists()


def test_more_folds_than_rows_leaves_no_run(shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="61"):
        fit(shapes, tmp_path / "runs", "a", folds=61)
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "values", "low", "high"),
    [
        ("roc_auc", (0.98, 1.0, 0.99), None, 1.0),
        ("f1_macro", (0.01, 0.0, 0.02), 0.0, None),
        ("log_loss", (0.01, 0.0, 0.05), 0.0, None),
        ("log_loss", (1.01, 1.9, 3.0), 0.0, None),
        ("brier", (1.8, 2.0, 1.9), None, 2.0),
    ],
)
def test_no_interval_leaves_what_there_can_be(
    name: str, values: tuple[float, ...], low: float | None, high: float | None
) -> None:
    least, most = classification_metrics(["a", "b", "c"])[name].bounds
    bounds = [least, most if np.isfinite(most) else None]
    results = {
        str(i): {"metrics": {name: {"value": each, "low": None, "high": None, "n": 9, "bounds": bounds}}}
        for i, each in enumerate(values)
    }
    found, (below, above) = members._together(name, results), student(np.array(values))
    assert below < least or above > most
    assert (found["low"], found["high"]) == (below if low is None else low, above if high is None else high)


def test_bounds_are_written_with_the_figures(of_seeds: Path) -> None:
    figures = pervade.load(of_seeds / "members" / "seed-4").results()["metrics"]
    assert (figures["roc_auc"]["bounds"], figures["log_loss"]["bounds"]) == ([0.0, 1.0], [0.0, None])
    assert all(each["bounds"][0] == 0.0 for each in figures.values())


def test_all_alike_claims_no_interval(shapes: Path) -> None:
    own = {"value": 1.0, "low": 0.8, "high": 1.0, "n": 10}
    results = {name: {"metrics": {"accuracy": own}} for name in ("seed-0", "seed-1")}
    found = members._together("accuracy", results)
    assert (found["mean"], found["low"], found["deviation"]) == (1.0, None, 0.0)
    assert "cannot tell" in found["why"]
