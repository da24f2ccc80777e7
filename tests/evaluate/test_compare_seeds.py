"""Ways of training, each a run of several seeds: worked by hand from results files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from pervade.core import files
from pervade.core.errors import CheckpointError, ConfigError
from pervade.core.run import RunDirectory
from pervade.evaluate.compare_seeds import compare_seeds, holds_seeds


def made(folder: Path, values: list[float], name: str = "mean_return", higher: bool | None = True) -> RunDirectory:
    run = RunDirectory(folder)
    folder.mkdir()
    files.write_json(run.members, {"kind": "seeds", "number": len(values)})
    unknown = {"low": None, "high": None, "n": 8}
    members = {f"seed-{i}": {"value": value, **unknown} for i, value in enumerate(values)}
    mean = sum(values) / len(values)
    metric = {"value": mean, **unknown, "mean": mean, "members": members, "higher_is_better": higher}
    metric |= {"words": {}}
    files.write_json(run.result("evaluate", "members"), {"split": "test", "metrics": {name: metric}})
    return run


def test_by_hand(tmp_path: Path) -> None:
    one, other = made(tmp_path / "one", [1.0, 2.0, 3.0, 4.0]), made(tmp_path / "other", [3.0, 4.0, 5.0, 6.0])
    assert holds_seeds(one)
    (figure,) = compare_seeds([one, other])[0].figures
    assert figure.middle == (2.5, 4.5)
    assert figure.difference["value"] == 2.0
    # Of 16 pairs the second's is higher in 13 and equal in 2 (3 and 3, 4 and 4).
    assert figure.better is not None
    assert figure.better["value"] == pytest.approx((13 + 2 / 2) / 16)
    assert figure.better["low"] < figure.better["value"] < figure.better["high"]


def test_lower_may_be_better(tmp_path: Path) -> None:
    one = made(tmp_path / "one", [1.0, 2.0, 3.0], "loss", higher=False)
    other = made(tmp_path / "other", [4.0, 5.0, 6.0], "loss", higher=False)
    (figure,) = compare_seeds([one, other])[0].figures
    # Every resample agrees, so how sure that is cannot be told.
    assert figure.better == {"value": 0.0, "low": None, "high": None}
    assert figure.higher_is_better is False


def test_neither_is_better(tmp_path: Path) -> None:
    one = made(tmp_path / "one", [1.0, 2.0], "length", higher=None)
    other = made(tmp_path / "other", [4.0, 5.0], "length", higher=None)
    (figure,) = compare_seeds([one, other])[0].figures
    assert figure.better is None
    assert figure.difference == {"value": 3.0, "low": None, "high": None}


def test_unfinished_and_nothing_in_common(tmp_path: Path) -> None:
    one, other = made(tmp_path / "one", [1.0, 2.0]), made(tmp_path / "other", [1.0, 2.0], "accuracy")
    with pytest.raises(ConfigError, match="no figure in common"):
        compare_seeds([one, other])
    other.result("evaluate", "members").unlink()
    with pytest.raises(CheckpointError, match="pervade resume"):
        compare_seeds([one, other])
