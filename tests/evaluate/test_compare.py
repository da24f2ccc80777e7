"""Comparing runs: the same rows and classes whatever they are called, and a refusal where there are none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pervade.core import files, registry
from pervade.core.errors import CheckpointError, ConfigError, DataError
from pervade.core.run import RunDirectory
from pervade.evaluate.compare import compare, differing_settings
from pervade.evaluate.matching import joined
from pervade.metrics.paired import mcnemar
from pervade.report import compare_words
from tests.evaluate.made import LABELS, ROWS, make, write_predictions
from tests.toys.dqn import DQN

A_WRONG = (20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31)
B_WRONG = (20, 21, 40)  # 40 rows are measured: 10 only A has wrong, 1 only B


@pytest.fixture
def runs(tmp_path: Path) -> list[RunDirectory]:
    return [make(tmp_path / "a", A_WRONG), make(tmp_path / "b", B_WRONG)]


def test_the_same_rows_are_compared_by_hand(runs: list[RunDirectory]) -> None:
    found = compare(runs)
    assert (found.n, found.num_groups, found.headline, found.rows) == (40, 40, "accuracy", [])
    (own,), (counts,) = found.differences, found.discordant
    assert counts is not None
    assert (counts.both, counts.only_first, counts.only_second, counts.neither) == (27, 1, 10, 2)
    it = own["accuracy"]
    assert (it.first, it.second, it.difference) == pytest.approx((28 / 40, 37 / 40, 9 / 40))
    assert it.p == it.adjusted == mcnemar(1, 10)
    assert it.shown
    assert [each.value for each in found.estimates] == [28 / 40, 37 / 40]
    assert own["log_loss"].difference < 0


def test_the_reference_may_be_another(runs: list[RunDirectory]) -> None:
    found = compare(runs, reference=1)
    assert [side.name for side in found.sides] == ["b", "a"]
    assert found.differences[0]["accuracy"].difference == pytest.approx(-9 / 40)


def test_several_are_corrected_after_holm(runs: list[RunDirectory], tmp_path: Path) -> None:
    found = compare([*runs, make(tmp_path / "c", A_WRONG[:-1])])
    first, second = (own["accuracy"] for own in found.differences)
    assert first.adjusted == 2 * first.p
    assert second.adjusted == second.p == 1


def test_everything_goes_into_json(runs: list[RunDirectory]) -> None:
    record = json.loads(json.dumps(compare(runs).as_dict(), allow_nan=False))
    assert record["runs"][1]["discordant"]["only_second"] == 10
    assert record["runs"][1]["differences"]["accuracy"]["shown"] is True
    assert record["runs"][0]["parameters"] == 1234
    assert record["runs"][0]["seconds"] == 90


# rows


def test_files_of_other_names_and_order_are_the_same_by_content(tmp_path: Path) -> None:
    order = [*range(20), *range(ROWS - 1, 19, -1)]
    moved = {"id": [f"photo {i}.jpg" for i in order], "hash": [f"hash of {i}" for i in order]}
    moved["target"] = [sorted(LABELS)[i % 2] for i in order]
    first, second = make(tmp_path / "a"), make(tmp_path / "b", **moved)
    # `make` answers by the row's number, which is right in its own order; here it is the mirrored one.
    stored = json.loads(second.data.read_text())["columns"]
    write_predictions(second, "best", stored, list(range(20, ROWS)), set(range(20, ROWS)), LABELS)
    found = compare([first, second])
    assert (found.n, found.rows) == (40, [])
    rows = [first_side["hash"] for first_side in (found.sides[0].row(i) for i in range(40))]
    assert rows == [found.sides[1].row(i)["hash"] for i in range(40)]


def test_rows_that_differ_are_refused_and_named(tmp_path: Path) -> None:
    runs = [make(tmp_path / "a", test=range(20, 50)), make(tmp_path / "b", test=range(25, 60), recipe={"seed": 8})]
    with pytest.raises(DataError) as refused:
        compare(runs)
    said = str(refused.value)
    assert (
        "the rows of the test split differ: 25 in both, 5 only in a (20.png, 21.png, 22.png, …), 5 of which b" in said
    )
    assert "10 only in b (50.png, 51.png, 52.png, …), 10 of which a learnt from" in said
    assert "their seeds differ" in said
    assert said.endswith("--allow-different-rows compares the 25 that are the same")
    found = compare(runs, allow_different_rows=True)
    assert found.n == 25
    assert len(found.rows) == 1


def test_files_that_kept_their_names_and_changed_are_others(tmp_path: Path) -> None:
    changed = [f"hash of {i}" if i < 50 else "changed" for i in range(ROWS)]
    with pytest.raises(DataError, match=r"30 in both, 10 only in a \(50.png"):
        compare([make(tmp_path / "a"), make(tmp_path / "b", hash=changed)])


def test_rows_of_the_same_bytes_are_matched_one_to_one(tmp_path: Path) -> None:
    twins = [f"hash of {max(i, 50)}" if i >= 50 else f"hash of {i}" for i in range(ROWS)]
    twins[51] = twins[50]
    assert compare([make(tmp_path / "a", hash=twins), make(tmp_path / "b", hash=twins)]).n == 40


def test_rows_with_another_target_are_refused(tmp_path: Path) -> None:
    target = [sorted(LABELS)[(i % 2) ^ (i in (30, 31))] for i in range(ROWS)]
    runs = [make(tmp_path / "a"), make(tmp_path / "b", target=target)]
    with pytest.raises(
        DataError, match=r"2 with another target \(30.png, 31.png; the first is 'cat' in a and 'dog' in b"
    ):
        compare(runs)
    assert compare(runs, allow_different_rows=True).n == 38


def test_without_hashes_the_source_must_be_the_same(tmp_path: Path) -> None:
    runs = [make(tmp_path / "a", hash=None), make(tmp_path / "b", hash=None)]
    assert compare(runs).n == 40
    data = json.loads(runs[1].data.read_text())
    runs[1].data.write_text(json.dumps({**data, "source": "/elsewhere"}))
    with pytest.raises(DataError, match=r"different places \(/photos for a, /elsewhere for b\)"):
        compare(runs)


def test_nothing_in_common(tmp_path: Path) -> None:
    runs = [make(tmp_path / "a", test=range(20, 30)), make(tmp_path / "b", test=range(30, 40))]
    with pytest.raises(DataError, match="no row is the same"):
        compare(runs)
    with pytest.raises(DataError, match="have no row of the test split in common"):
        compare(runs, allow_different_rows=True)


def test_groups_of_any_run_hold(tmp_path: Path) -> None:
    grouped = make(tmp_path / "b", B_WRONG, group=[f"person {i // 4}" for i in range(ROWS)])
    found = compare([make(tmp_path / "a", A_WRONG), grouped])
    assert (found.n, found.num_groups) == (40, 10)
    assert "by group" in found.differences[0]["accuracy"].method
    assert "McNemar" not in found.differences[0]["accuracy"].method


def test_groups_that_overlap_are_joined() -> None:
    left, right = np.array([0, 0, 1, 2, 3, 4]), np.array([5, 6, 6, 7, 7, 8])
    assert joined([left, right]).tolist() == [0, 0, 0, 2, 2, 4]
    assert joined([left]).tolist() == [0, 0, 1, 2, 3, 4]


# questions


def test_classes_in_another_order_are_the_same(tmp_path: Path) -> None:
    runs = [make(tmp_path / "a", A_WRONG), make(tmp_path / "b", A_WRONG, labels=LABELS[::-1])]
    found = compare(runs)
    for name, each in found.differences[0].items():
        assert each.difference == pytest.approx(0, abs=1e-12), name


def test_other_classes_are_refused(tmp_path: Path) -> None:
    runs = [make(tmp_path / "a"), make(tmp_path / "b", labels=("cat", "fox"))]
    with pytest.raises(ConfigError, match="only a has 'dog', only b has 'fox'"):
        compare(runs)


def test_another_task_is_refused(runs: list[RunDirectory]) -> None:
    path = runs[1].checkpoint("best") / "recipe.yaml"
    path.write_text(path.read_text().replace("use: classify", f"use: {registry.name_of(DQN)}"))
    with pytest.raises(ConfigError, match="a learnt the task classify and b"):
        compare(runs)


# runs


def test_a_run_without_predictions_says_what_to_do(runs: list[RunDirectory]) -> None:
    with pytest.raises(DataError, match="no split 'validation'; allowed: test, train"):
        compare(runs, split="dev")
    shutil.rmtree(runs[1].path / "predictions")
    with pytest.raises(
        CheckpointError, match=r"no predictions of the test split .* run `pervade evaluate .*/b --checkpoint"
    ):
        compare(runs)


def test_predictions_of_other_weights_are_refused(runs: list[RunDirectory]) -> None:
    stored = json.loads(runs[1].data.read_text())["columns"]
    write_predictions(runs[1], "best", stored, list(range(20, ROWS)), set(), LABELS, weights="of older weights")
    with pytest.raises(CheckpointError, match="was written before its checkpoint changed; run `pervade evaluate"):
        compare(runs)


def test_two_checkpoints_of_one_run(tmp_path: Path) -> None:
    run = make(tmp_path / "a", A_WRONG)
    make(tmp_path / "a", B_WRONG, checkpoint="last")
    found = compare([run, run], checkpoints=["last", "best"])
    assert [side.name for side in found.sides] == ["a@last", "a@best"]
    assert found.differences[0]["accuracy"].difference < 0


def test_wrong_numbers_of_runs_and_checkpoints(runs: list[RunDirectory]) -> None:
    with pytest.raises(ConfigError, match="two runs or more"):
        compare(runs[:1])
    with pytest.raises(ConfigError, match="named twice"):
        compare([runs[0], runs[0]])
    with pytest.raises(ConfigError, match="3 checkpoints for 2 runs"):
        compare(runs, checkpoints=["best"] * 3)
    with pytest.raises(CheckpointError, match="no checkpoint 'bset'; did you mean 'best'"):
        compare(runs, checkpoints=["bset"])


def test_runs_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    found = compare([make(tmp_path / "one" / "pets", A_WRONG), make(tmp_path / "two" / "pets", B_WRONG)])
    assert [Path(side.name).parent.name for side in found.sides] == ["one", "two"]


def holding(place: Path, kind: str, members: dict[str, tuple[int, ...]], **tests: range) -> RunDirectory:
    for name, wrong in members.items():
        make(place / "members" / name, wrong, test=tests.get(name.replace("-", "_"), range(20, ROWS)))
    run = RunDirectory(place)
    shutil.copy(run.member(next(iter(members))).recipe, run.recipe)
    files.write_json(run.members, {"kind": kind, "number": len(members)})
    return run


def test_runs_of_several_seeds_are_paired_seed_by_seed(tmp_path: Path) -> None:
    runs = [
        holding(tmp_path / "a", "seeds", {"seed-0": A_WRONG, "seed-1": A_WRONG[:-2]}),
        holding(tmp_path / "b", "seeds", {"seed-0": B_WRONG, "seed-1": B_WRONG}),
    ]
    found = compare(runs)
    assert (found.n, found.num_rows, found.num_groups) == (80, 40, 40)
    assert found.sides[0].members == ("seed-0", "seed-1")
    it = found.differences[0]["accuracy"]
    assert (it.first, it.second) == pytest.approx(((28 + 30) / 80, 37 / 40))  # the mean over the seeds
    # A row's two answers are no two rows: resampled by row, and no McNemar over 80.
    assert "by group" in it.method
    assert "McNemar" not in it.method
    (counts,) = found.discordant
    assert counts is not None
    assert (counts.only_first, counts.only_second) == (1 + 1, 10 + 8)
    assert found.sides[0].seconds == 180


def test_runs_of_folds_have_every_row_once(tmp_path: Path) -> None:
    halves = {"fold_1": range(20, 40), "fold_2": range(40, 60)}
    runs = [
        holding(tmp_path / "a", "folds", {"fold-1": A_WRONG, "fold-2": ()}, **halves),
        holding(tmp_path / "b", "folds", {"fold-1": B_WRONG, "fold-2": B_WRONG}, **halves),
    ]
    found = compare(runs)
    assert (found.n, found.num_rows, found.num_groups) == (40, 40, 40)
    assert found.differences[0]["accuracy"].p == mcnemar(1, 10)


def test_runs_that_hold_other_members_are_refused(tmp_path: Path, runs: list[RunDirectory]) -> None:
    two = holding(tmp_path / "two", "seeds", {"seed-0": (), "seed-1": ()})
    three = holding(tmp_path / "three", "seeds", {"seed-0": (), "seed-1": (), "seed-2": ()})
    with pytest.raises(ConfigError, match=r"two holds seed-0, seed-1; .*three holds seed-0, seed-1, seed-2"):
        compare([two, three])
    with pytest.raises(ConfigError, match=r"a holds none; .*two holds seed-0"):
        compare([runs[0], two])
    search = holding(tmp_path / "search", "search", {"trial-0": ()})
    with pytest.raises(ConfigError, match=r"it holds trial-0; name one of them: .*members/trial-0"):
        compare([runs[0], search])
    with pytest.raises(ConfigError, match="named twice"):
        compare([two, two])


def test_settings_that_differ_are_listed_by_path() -> None:
    recipes = [
        {"format": 1, "model": {"use": "resnet18", "width": 64}, "epochs": 3, "augment": []},
        {"format": 1, "model": {"use": "mlp", "units": [3, 4]}, "epochs": 3, "augment": [{"use": "mixup"}]},
    ]
    assert differing_settings(recipes) == {
        "model": ["resnet18", "mlp"],
        "model.width": [64, "–"],
        "model.units": ["–", [3, 4]],
        "augment[0]": ["–", "mixup"],
    }


# classes

THREE = ("free", "crack", "hole")
CRACKS = [i for i in range(20, ROWS) if sorted(THREE)[i % 3] == "crack"]


def test_each_class_is_compared_and_corrected_for_how_many_there_are(tmp_path: Path) -> None:
    """The 13 cracks, which the one misses and the other finds: McNemar's p of 2 / 2^13, times three classes."""
    first, second = make(tmp_path / "a", CRACKS, labels=THREE), make(tmp_path / "b", labels=THREE)
    found = compare([first, second])
    assert len(CRACKS) == 13
    recalls = found.recalls(1)
    assert list(recalls) == list(THREE)
    assert (recalls["crack"].first, recalls["crack"].second) == (0.0, 1.0)
    assert recalls["crack"].p == pytest.approx(2 / 2**13)
    assert recalls["crack"].adjusted == pytest.approx(3 * 2 / 2**13)
    assert (recalls["free"].p, recalls["free"].adjusted) == (1.0, 1.0)
    assert found.moved(1) == {"crack": 1.0}
    record = found.as_dict()["runs"][1]
    assert record["classes_moved"] == {"crack": 1.0}
    assert record["differences"]["recall[crack]"]["adjusted"] == recalls["crack"].adjusted
    assert compare_words.classes(found, 1) == (
        "Class by class (recall; p after Holm for 3 classes), b is shown to recognise more of “crack” (+100.0 points)."
    )


def test_several_models_are_corrected_for_their_classes_together(tmp_path: Path) -> None:
    found = compare(
        [make(tmp_path / name, wrong, labels=THREE) for name, wrong in (("a", CRACKS), ("b", ()), ("c", CRACKS))]
    )
    assert found.recalls(1)["crack"].adjusted == pytest.approx(6 * 2 / 2**13)
    assert found.moved(2) == {}
    assert compare_words.classes(found, 2).endswith(
        "3 classes of each model), c is not shown to recognise any by itself more or less."
    )


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (CRACKS[3:], (), "is shown to help"),
        ((), CRACKS[3:], "is shown to do HARM"),
        ((), (20,), "is NOT shown to help"),
    ],
)
def test_whether_a_cure_for_rare_classes_helps_is_said(
    tmp_path: Path, before: Sequence[int], after: Sequence[int], verdict: str
) -> None:
    weighed = {"imbalance": {"use": "weights", "scheme": "balanced"}, "epochs": 4}
    found = compare(
        [make(tmp_path / "a", before, labels=THREE), make(tmp_path / "b", after, labels=THREE, recipe=weighed)]
    )
    said = compare_words.cure(found, 1)
    assert said.startswith(
        f"What b does otherwise about rare classes (imbalance – → weights and what else is set differently) {verdict}: "
    )
    assert "right answers, each class counting the same (balanced accuracy)" in said
    assert "; expected calibration error 0." in said


def test_a_cure_that_helps_where_the_headline_shows_nothing_says_both(tmp_path: Path) -> None:
    weighed = {"imbalance": {"use": "weights"}}
    found = compare(
        [make(tmp_path / "a", CRACKS[3:], labels=THREE), make(tmp_path / "b", labels=THREE, recipe=weighed)]
    )
    gaps = found.differences[0]
    gaps[found.headline] = replace(gaps[found.headline], low=-0.1, high=0.1)
    said = compare_words.cure(found, 1)
    assert ") is shown to help (though of right answers (accuracy) no change is shown): right answers, each" in said


def test_without_a_cure_nothing_is_said_of_one(tmp_path: Path) -> None:
    found = compare(
        [make(tmp_path / "a", CRACKS, labels=THREE), make(tmp_path / "b", labels=THREE, recipe={"epochs": 4})]
    )
    assert compare_words.cure(found, 1) == ""
