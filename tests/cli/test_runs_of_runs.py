"""--seeds, --folds, --lr find and `pervade tune` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.small import SMALL
from tests.data.drawing import class_folders


def test_seeds(pervade, photos: Path, workplace: Path) -> None:
    outcome = pervade("train", photos, *SMALL, "--seeds", 2, "--name", "one")
    assert outcome.status == 0, outcome.err
    assert "mean of 2 seeds on the test split" in outcome.out
    assert "seed-1" in outcome.out
    assert (workplace / "runs" / "one" / "report.html").exists()
    again = pervade("evaluate", "one")
    assert again.status == 0, again.err
    assert again.out in outcome.out
    every = pervade("evaluate", "one", "--all").out  # once among the figures of all, once above each member's own
    assert every.count("log_loss (lower is better)") == 2
    pervade("predict", "one", photos).refuses("holds 2 runs and no model of its own", "members/seed-0")
    pervade("evaluate", "one", "--split", "train").refuses("members")
    member = pervade("predict", workplace / "runs" / "one" / "members" / "seed-0", photos)
    assert member.status == 0, member.err
    # On other data: each member's own figures, and their mean.
    outcome = pervade("evaluate", "one", class_folders(workplace / "august", count=6), "--keep-known")
    assert outcome.status == 0, outcome.err
    (path,) = (workplace / "runs" / "one" / "results").glob("evaluate@members@august-*.json")
    accuracy = json.loads(path.read_text())["metrics"]["accuracy"]
    own = [each["value"] for each in accuracy["members"].values()]
    assert accuracy["value"] == sum(own) / 2
    assert accuracy["n"] == 12
    assert "mean of 2 seeds on august-" in outcome.out
    assert len(list((workplace / "runs" / "one" / "members").glob("seed-*/report-august-*.html"))) == 2


def test_folds(pervade, photos: Path, workplace: Path) -> None:
    outcome = pervade("train", photos, *SMALL, "--folds", 2, "--name", "one")
    assert outcome.status == 0, outcome.err
    assert "2 folds together on the test split, n = 16" in outcome.out
    # Nothing is left to do, which is said, and the same is said again.
    again = pervade("resume", "one")
    assert again.out == outcome.out
    assert "runs/one is finished: nothing is left to be trained" in again.err


def test_tune(pervade, photos: Path, workplace: Path) -> None:
    outcome = pervade("tune", photos, *SMALL, "--trials", 2, "--name", "one", "--search", "optimizer.lr=[0.01, 0.1]")
    assert outcome.status == 0, outcome.err
    assert "is best of 2" in outcome.err
    assert pervade("predict", "one", photos).status == 0
    assert pervade("resume", "one").out == outcome.out


@pytest.mark.parametrize(
    ("verb", "flags", "words"),
    [
        ("train", ("--seeds", "2", "--folds", "2"), ("exclude each other",)),
        ("train", ("--seeds", "1"), ("at least 2",)),
        ("train", ("--seeds", "1001"), ("'--seeds'", "less than or equal to 1000")),
        ("train", ("--folds", "1"), ("at least 2",)),
        ("train", ("--folds", "1000000"), ("--folds 1000000 is too many; it takes from 2 up to 100,000",)),
        ("train", ("--folds", "9" * 30), ("neither a number nor 'group'",)),
        ("train", ("--folds", "2.5"), ("neither a number nor 'group'",)),
        ("train", ("--lr", "0"), ("above 0 up to 1,000",)),
        ("train", ("--lr", "1e9"), ("above 0 up to 1,000",)),
        ("train", ("--lr", "nan"), ("above 0 up to 1,000",)),
        ("tune", ("--trials", "0"), ("--trials", "1")),
        ("tune", ("--trials", "10000000000"), ("'--trials'", "less than or equal to")),
        ("train", ("--folds", "17"), ("16 independent rows", "17 folds")),
        ("train", ("--lr", "fnid"), ("'fnid'", "find")),
        ("tune", (), ("--time-limit", "--trials")),
        ("tune", ("--trials", "2", "--search", "lr"), ("path=low..high",)),
        ("tune", ("--trials", "2", "--search", "optimizer.rl=1..2"), ("optimizer.rl", "optimizer.lr")),
        ("tune", ("--time-limit", "soon"), ("'soon'", "10m")),
    ],
)
def test_what_is_refused(verb: str, flags: tuple[str, ...], words: tuple[str, ...], pervade, photos: Path) -> None:
    pervade(verb, photos, *SMALL, *flags).refuses(*words)
