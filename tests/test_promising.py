"""Promises are settled by rows that chose nothing else, when all else is decided, and kept wherever there are
answers."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pervade
from pervade.core import contents, files
from pervade.core.errors import CheckpointError, ConfigError, DataError
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.data.rows import folds
from pervade.domains.image import Image
from pervade.engine import checkpoint, predictions, promises
from pervade.promises.cost import Cost
from pervade.promises.threshold import Threshold
from pervade.run import promising, workflow
from pervade.run.progress import Silent
from pervade.run.training import Options
from tests import texts

SOLVED = (
    "domain=bag",
    "optimizer={use: linear-solver, strengths: [1.0]}",
    "source=whole",
    "schedule=constant",
    "tuning=null",
)
SETTINGS = (*SOLVED, "validation=0.4", "test=0.2", "batch_size=8", "threads=1", "workers=0")
PROMISED = {"good": 0.9}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some labels of each class are wrong, so that no model can be sure."""
    flipped = {"good": "bad", "bad": "good"}
    reviews = enumerate(texts.reviews(400))
    rows = [(words, flipped[label] if number % 40 in (0, 21) else label) for number, (words, label) in reviews]
    return texts.write(tmp_path_factory.mktemp("data") / "reviews.tsv", rows)


def fit(data: Path, runs: Path, name: str = "run", **more: Any) -> pervade.Run:
    asked = {"task": "text-classification", "model": "linear", "epochs": 1, "settings": SETTINGS, "options": Options()}
    return pervade.fit(data, runs=runs, name=name, **{**asked, **more})


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> pervade.Run:
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERVADE_CACHE", str(folder / "cache"))
        return fit(data, folder, min_recall=PROMISED, max_false_alarms=0.99)


def settled(run: RunDirectory) -> Any:
    return run.of_checkpoint(run.require_checkpoint(None), "decision.json")["promises"]


# which rows


def test_half_of_the_validation_rows_are_set_apart_groups_whole_and_classes_in_like_shares() -> None:
    target = ["a"] * 60 + ["b"] * 20
    group = [f"g{number // 2}" for number in range(80)]
    split = ["validation" if number % 8 < 4 else "train" for number in range(80)]
    rows = Rows({"id": list(map(str, range(80))), "target": target, "group": group, "split": split})
    cut = list(folds.for_promises(rows, seed=3).column("split"))
    counts = Counter(zip(cut, target, strict=True))
    assert [counts[name, "a"] for name in ("train", "validation", "promise")] == [28, 16, 16]
    assert [counts[name, "b"] for name in ("train", "validation", "promise")] == [12, 4, 4]
    where: dict[str, set[str]] = {}
    for name, own in zip(group, cut, strict=True):
        where.setdefault(name, set()).add(own)
    assert all(len(splits) == 1 for splits in where.values())
    with pytest.raises(DataError, match=r"by half of the validation rows, and there are none; leave some"):
        folds.for_promises(rows.where("split", "train"), seed=0)


def test_rows_of_promises_are_in_no_fold() -> None:
    split = ["promise"] * 4 + ["validation"] * 4 + ["train"] * 12
    rows = Rows({"id": list(map(str, range(20))), "target": list("ab" * 10), "split": split})
    divided, left_out = folds.assign(rows, 2, seed=0)
    assert not left_out
    assert list(divided.column("fold"))[:4] == [0] * 4 and 0 not in list(divided.column("fold"))[4:]


# what is asked


def test_what_flags_promise() -> None:
    asked = promising.asked({"min_recall": {"a": 0.9}, "max_false_alarms": 0.02, "epochs": 3, "costs": None})
    assert asked == [Threshold({"a": 0.9}, {"": 0.02})]
    assert asked[0].asked == "--min-recall a=0.9 --max-false-alarms 0.02"
    costs = {"a": {"a": 0.0, "b": 1.0}, "b": {"a": 2.0, "b": 0.0}}
    assert promising.asked({"costs": costs}) == [Cost(costs)]
    assert promising.asked({}) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"min_recall": {"a": 1.0}}, "--min-recall a=1.0 is no share that rows can show; give one above 0 and below 1"),
        ({"min_recall": 0}, "--min-recall 0 is no share"),
        ({"max_false_alarms": {"a": float("nan")}}, "--max-false-alarms a=nan is no share.* such as a=0.02"),
        ({"max_false_alarms": "0.1"}, "is no share"),
        ({"min_recall": {"a": True}}, "is no share"),
        ({"coverage": 1.0}, "--coverage 1.0 is no share that rows can show"),
        ({"max_risk": 0.0}, "--max-risk 0.0 is no share"),
        ({"coverage_by": "class"}, "--coverage-by class says by what --coverage holds"),
        ({"costs": {"a": {"a": -1}}}, "costs: .* does not fit"),
        ({"costs": [[0, 1], [5, 0]]}, "costs: .* does not fit"),
    ],
)
def test_what_is_no_promise(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        promising.asked(flags)


def test_an_environment_has_no_rows_to_promise_anything_of() -> None:
    with pytest.raises(ConfigError, match=r"--coverage 0\.9 is for answers to rows, and an environment has none"):
        pervade.fit("gym://CartPole-v1", coverage=0.9)


def test_two_that_say_the_answer_exclude_each_other(whole: pervade.Run) -> None:
    asked = promising.asked({"min_recall": PROMISED, "costs": {"a": {"a": 0.0}}})
    with pytest.raises(ConfigError, match=r"--min-recall good=0.9 and --cost exclude each other"):
        promising.promising(whole.recipe(), asked)
    for first in ({"min_recall": PROMISED}, {"costs": {"a": {"a": 0.0}}}):
        with pytest.raises(ConfigError, match=r"and --max-risk 0.02 exclude each other: each says what is answered"):
            promising.promising(replace(whole.recipe(), promises=()), promising.asked({**first, "max_risk": 0.02}))
    again = promising.promising(whole.recipe(), [Threshold({"bad": 0.5})])  # another of the same kind takes its place
    assert again.promises == (Threshold({"bad": 0.5}),)


# a run


def test_a_run_keeps_what_it_promises(whole: pervade.Run, data: Path) -> None:
    splits = Counter(whole.directory.read_data()["columns"]["split"])
    assert splits == {"train": 160, "validation": 80, "promise": 80, "test": 80}
    (entry,) = settled(whole.directory)
    assert entry["kept"] and entry["n"] == 80
    threshold = entry["settled"]["thresholds"]["good"]
    result = whole.evaluate()
    columns = predictions.read_columns(whole.directory.predictions("best", "test"))
    good = columns["probabilities"][:, 1]
    assert (columns["prediction"] == (good >= threshold)).all()
    assert (columns["prediction"] != columns["probabilities"].argmax(1)).any()
    (told,) = result["details"]["promises"]
    assert told["kept"] and told["n"] == 80 and "finds " in told["sentence"] and "good" in told["sentence"]
    alarms = result["metrics"]["false_alarms[good]"]
    assert alarms["value"] == pytest.approx((good[columns["target"] == 0] >= threshold).mean())
    # The rows that settled it: as many are found as the bound asks for, and not one more.
    kept = whole.evaluate(split="promise")
    assert kept["metrics"]["recall[good]"]["value"] >= 0.9
    page = whole.report().read_text()
    assert "to settle what is promised" in page
    assert "promises: settled by 80 of the validation rows" in page


def test_costs_set_no_rows_apart(data: Path, tmp_path: Path) -> None:
    run = fit(data, tmp_path, costs={"bad": {"bad": 0, "good": 1}, "good": {"bad": 9, "good": 0}})
    splits = Counter(run.directory.read_data()["columns"]["split"])
    assert splits == {"train": 160, "validation": 160, "test": 80}
    (entry,) = settled(run.directory)
    assert entry["kept"] and entry["n"] == 0
    run.evaluate()
    columns = predictions.read_columns(run.directory.predictions("best", "test"))
    assert (columns["prediction"] == (columns["probabilities"][:, 1] > 0.1)).all()  # where 9 p is more than 1 - p


def test_predict_says_it_alike(whole: pervade.Run, data: Path) -> None:
    asked = [words for words, _ in texts.reviews(60, seed=5)]
    threshold = settled(whole.directory)[0]["settled"]["thresholds"]["good"]
    show = whole.display()
    for answer, probabilities in zip(whole.predict(asked), whole.predict_proba(asked), strict=True):
        assert answer["answer"] == ("good" if probabilities[1] >= threshold else "bad")
        assert show(answer).line.startswith(f"answer {answer['answer']}  ")
        assert [row["answer"] for row in show(answer).rows] == [answer["answer"]] * 2


def test_one_that_was_killed_before_it_settled_goes_on(
    whole: pervade.Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*asked: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(promising, "settle", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(data, tmp_path, min_recall=PROMISED, max_false_alarms=0.99)
    stopped = pervade.load(tmp_path / "run")
    assert "promises" not in stopped.directory.of_checkpoint("best", "decision.json")
    told = str(stopped.unfinished())
    assert "do not keep what was promised (--min-recall good=0.9" in told and "pervade resume" in told
    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "plan", lambda run: {"finished": False})
        told = str(stopped.unfinished())
    assert "whose answers do not yet keep what is promised (--min-recall good=0.9" in told and "unfinished" in told
    resumed = pervade.resume(tmp_path / "run", options=Options())
    assert settled(resumed.directory) == settled(whole.directory)
    assert resumed.unfinished() is None
    assert "which is not settled for 'last'; take 'best'" in str(resumed.unfinished("last"))
    resumed.evaluate()
    pervade.resume(tmp_path / "run", options=Options())  # nothing is left to do: what was measured stays
    assert resumed.directory.result("evaluate", "best").exists()


def test_what_cannot_be_kept_is_said_and_the_model_stays(whole: pervade.Run, tmp_path: Path) -> None:
    run = pervade.load(shutil.copytree(whole.path, tmp_path / "run"))
    recipe = replace(run.recipe(), promises=(Threshold({"good": 0.93, "bad": 0.93}),))
    promising.settle(run.directory, recipe, workflow.load_rows(run.directory, recipe.domain), Silent())
    (entry,) = settled(run.directory)
    assert not entry["kept"] and "cannot be kept beside what else is promised" in entry["why"]
    (told,) = run.evaluate()["details"]["promises"]
    assert not told["kept"] and told["why"] == entry["why"]
    assert "answer" not in run.predict(["so fine"])[0]
    assert "promise NOT kept: --min-recall good=0.93 --min-recall bad=0.93" in json.dumps(
        files.read_json(run.directory.remarks)["remarks"]
    )


@pytest.mark.parametrize(
    ("more", "fault", "words"),
    [
        ({"min_recall": {"god": 0.9}}, ConfigError, "--min-recall god: there is no such class; did you mean 'good'"),
        ({"min_recall": {"good": 0.97}}, DataError, r"good=0.97 takes 76 rows of 'good' .* promise good=0.9\d"),
        ({"min_recall": PROMISED, "settings": (*SETTINGS[:5], "validation=0")}, DataError, "and there are none; leave"),
        ({"min_recall": {"good": 0.97}, "folds": 3}, DataError, r"good=0.97 takes 76 rows of 'good'"),
        ({"costs": {"a": {"a": 0.0}}}, DataError, "--cost has no costs of 'bad', 'good'"),
    ],
)
def test_refused_before_training(
    data: Path, tmp_path: Path, more: dict[str, Any], fault: type[Exception], words: str
) -> None:
    with pytest.raises(fault, match=words):
        fit(data, tmp_path, **more)
    assert not list(tmp_path.iterdir())


def test_regression_has_no_recall(tmp_path: Path) -> None:
    rows = [(words, number % 7) for number, (words, _) in enumerate(texts.reviews(60))]
    table = texts.write(tmp_path / "scores.tsv", [(words, score / 3) for words, score in rows], "text\tscore\n")
    with pytest.raises(ConfigError, match=r"--min-recall good=0.9 is for tasks that say of each row one class"):
        asked = {"model": None, "ladder": ["plain"], "settings": ("validation=0.4",), "label_column": "score"}
        fit(table, tmp_path / "runs", task="text-regression", min_recall=PROMISED, **asked)
    assert not list((tmp_path / "runs").iterdir())


# runs of runs


@pytest.mark.parametrize("kind", ["folds", pytest.param("seeds", marks=pytest.mark.slow)])
def test_each_member_settles_its_own(data: Path, tmp_path: Path, kind: str) -> None:
    run = fit(data, tmp_path, min_recall={"good": 0.8}, **{kind: 2})
    result = run.results()
    entries = [settled(run.directory.member(name))[0] for name in result["members"]]
    (told,) = result["details"]["promises"]
    kept = sum(entry["kept"] for entry in entries)
    assert told["sentence"] == f"settled in {kept} of 2 {kind}, in each by rows of its own"
    splits = [run.directory.member(name).read_data()["columns"]["split"] for name in result["members"]]
    assert (splits[0] == splits[1]) == (kind == "seeds")
    assert all(split.count("promise") == entry["n"] for split, entry in zip(splits, entries, strict=True))
    if kind == "folds":
        assert entries[0]["settled"] != entries[1]["settled"]
    assert "false_alarms[good]" in result["metrics"]
    assert run.report().exists()


def test_folds_of_which_one_cannot_keep_it_are_pooled(tmp_path: Path) -> None:
    parts = []
    for number, more in enumerate(({}, {"set": np.ones((2, 2), np.int8)})):
        path = tmp_path / f"run-{number}" / "predictions" / "best@test.parquet"
        about = {"row": np.arange(2) + 2 * number, "id": ["", ""], "group": np.arange(2)}
        predictions.write_columns(path, {**about, "prediction": np.arange(2), **more}, {})
        parts.append(path)
    rows = Rows({"id": list("abcd")})
    for order in (parts, parts[::-1]):
        pooled = predictions.read_columns(predictions.pool(tmp_path / "all.parquet", order, rows, {}))
        assert list(pooled) == ["row", "id", "group", "prediction"]


@pytest.mark.slow  # two trainings
def test_the_rung_that_is_taken_settles(data: Path, tmp_path: Path) -> None:
    asked = {"model": None, "recipe": texts.recipe(epochs=1, validation=0.4, test=0.2), "settings": ()}
    run = fit(data, tmp_path, min_recall=PROMISED, ladder=["plain", "trained"], **asked)
    (entry,) = settled(run.directory)
    assert entry["kept"]
    for member in ("plain", "trained"):
        assert "promises" not in run.directory.member(member).of_checkpoint("best", "decision.json")
    result = run.concluded() or run.evaluate()
    assert result["details"]["promises"][0]["kept"]
    again = pervade.resume(run.path, options=Options())
    assert settled(again.directory) == [entry]


@pytest.mark.slow
def test_what_a_search_finds_settles(data: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"recipe": texts.recipe(epochs=1, validation=0.4, test=0.2), "options": Options()}
    asked |= {"trials": 2, "search": ["optimizer.lr=1e-4..1e-2:log"], "min_recall": PROMISED}
    run = pervade.tune(data, runs=tmp_path, name="run", **asked)
    assert settled(run.directory)[0]["n"] == 80
    assert run.results()["details"]["promises"][0]["n"] == 80


# files


def test_another_decision_takes_promises_with_it_that_were_settled_by_the_one_before(
    whole: pervade.Run, tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path)
    entry = settled(whole.directory)
    place = run.checkpoint("best") / "decision.json"
    files.write_json(place, {"temperature": 2.0, "promises": entry})
    checkpoint.settle(run, "best", {"temperature": 2.0})
    assert run.of_checkpoint("best", "decision.json")["promises"] == entry
    checkpoint.settle(run, "best", {"temperature": 1.5})
    assert "promises" not in run.of_checkpoint("best", "decision.json")


def test_a_decision_that_is_damaged_is_named() -> None:
    entry = {"promise": {"use": "threshold", "min_recall": {"b": 0.9}}, "settled": {}, "n": 1, "kept": True, "why": ""}
    domain = replace(Image(), labels=("a", "b"), counts=(1, 1))
    table = {"probabilities": np.ones((1, 2)) / 2}
    numbers = ({"thresholds": {"b": value}} for value in ("x", 0.0, -0.5, float("nan"), float("inf")))
    for wrong in ({}, {"thresholds": {"c": 0.5}}, {"thresholds": 7}, *numbers):
        with pytest.raises(CheckpointError, match=r"decision.json, where it says how --min-recall b=0.9 is kept, is d"):
            promises.keep(table, {"promises": [{**entry, "settled": wrong}]}, domain)
    with pytest.raises(CheckpointError, match="'c' is none of the classes"):
        promises.keep(table, {"promises": [{**entry, "settled": {"thresholds": {"c": 0.5}}}]}, domain)
    with pytest.raises(ConfigError, match=r"decision.json: unknown promise 'nothing'"):
        promises.keep(table, {"promises": [{**entry, "promise": {"use": "nothing"}}]}, domain)
    assert promises.keep(table, {"promises": [{**entry, "kept": False}]}, domain) is table


def test_results_that_lack_what_became_of_a_promise_are_named(tmp_path: Path) -> None:
    told = {"sentence": "finds all", "flag": "--min-recall b=0.9", "curve": {}, "why": "", "n": 3}
    path = tmp_path / "results" / "evaluate.json"
    contents.check(path, {"details": {"promises": [{**told, "kept": True}]}})
    with pytest.raises(CheckpointError, match=r"evaluate.json is damaged \(details\.promises\.0\.kept is .* required"):
        contents.check(path, {"details": {"promises": [told]}})


def test_what_is_told_of_one_that_cannot_be_kept(whole: pervade.Run) -> None:
    asked = {"use": "threshold", "min_recall": PROMISED}
    entry = {"promise": asked, "settled": {}, "n": 3, "kept": False, "why": "never"}
    told = promises.told({"promises": [entry]}, {}, {}, whole.load().domain)
    assert told == [
        {
            "sentence": "--min-recall good=0.9 is not kept",
            "flag": "--min-recall good=0.9",
            "curve": {},
            "broken": None,
            "kept": False,
            "why": "never",
            "n": 3,
            "decides": True,
        }
    ]
