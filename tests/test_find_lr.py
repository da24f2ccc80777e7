"""The learning-rate finder: what it reads off a curve, that it leaves no trace, and that a resumed run repeats it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pervade
from pervade.core import files
from pervade.core.errors import ConfigError, TrainingError
from pervade.run.stopping import Stopped
from pervade.run.training import Options
from pervade.train.find_lr import HIGH, LOW, STEPS, Ramp, choose
from tests.small_run import recipe, same, stop_at, weights

__all__ = ["stop_at"]

RATES = np.geomspace(LOW, HIGH, STEPS)


def curve(falls_at: float, runs_away_at: float, noise: float = 0.0) -> tuple[list[float], list[float], bool]:
    """A loss that falls from 2 to 1 around one rate, and runs away from another on."""
    at = np.log10(RATES)
    loss = 2 - 1 / (1 + np.exp(-4 * (at - np.log10(falls_at))))
    loss += np.random.default_rng(0).normal(0, noise, STEPS)
    end = int(np.searchsorted(RATES, runs_away_at))
    return RATES[:end].tolist(), loss[:end].tolist(), end < STEPS


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("falls_at", [1e-4, 1e-3, 1e-2])
def test_steepest_descent(falls_at: float, noise: float) -> None:
    found = choose(*curve(falls_at, runs_away_at=1.0, noise=noise))
    assert falls_at / 3 < found.lr < falls_at * 3
    assert "most steeply" in found.reason


def test_never_closer_than_a_tenth_to_where_it_ran_away() -> None:
    found = choose(*curve(falls_at=0.5, runs_away_at=1.0))
    assert found.lr <= 0.1
    assert "ran away" in found.reason


def test_a_loss_that_never_moves() -> None:
    with pytest.raises(TrainingError, match="--lr"):
        choose(RATES.tolist(), [1.0] * STEPS, False)


def test_the_ramp_goes_from_low_to_high() -> None:
    ramp = Ramp()
    assert HIGH * ramp.factor(0.0) == pytest.approx(LOW)
    assert ramp.factor(1.0) == 1.0
    assert HIGH * ramp.factor(0.5) == pytest.approx((LOW * HIGH) ** 0.5)


def test_found_is_as_if_it_had_been_given(shapes: Path, tmp_path: Path) -> None:
    """The test is taken on a network that is thrown away, and draws nothing that training draws."""
    found = pervade.fit(shapes, recipe=recipe(), lr="find", name="a", runs=tmp_path, options=Options())
    lr = files.read_json(found.directory.lr_find)["lr"]
    assert found.recipe().optimizer.lr == lr != recipe().optimizer.lr
    given = pervade.fit(shapes, recipe=recipe(), lr=lr, name="b", runs=tmp_path, options=Options())
    assert same(weights(found.directory), weights(given.directory))
    again = pervade.fit(shapes, recipe=recipe(), lr="find", name="c", runs=tmp_path, options=Options())
    assert files.read_json(again.directory.lr_find) == files.read_json(found.directory.lr_find)
    page = found.report().read_text()
    assert "while the learning rate grew" in page


def test_resumed_after_the_test_it_is_not_taken_again(shapes: Path, tmp_path: Path, stop_at) -> None:
    whole = pervade.fit(shapes, recipe=recipe(), lr="find", name="a", runs=tmp_path, options=Options())
    taken = len(files.read_json(whole.directory.lr_find)["rates"])
    stop_at(taken + 9)
    with pytest.raises(Stopped):
        pervade.fit(shapes, recipe=recipe(), lr="find", name="b", runs=tmp_path, options=Options())
    before = (tmp_path / "b" / "lr_find.json").stat().st_mtime_ns
    resumed = pervade.resume(tmp_path / "b", options=Options())
    assert (tmp_path / "b" / "lr_find.json").stat().st_mtime_ns == before
    assert same(weights(whole.directory), weights(resumed.directory))


def test_anything_else_is_refused() -> None:
    from pervade.cli.options import rate

    assert (rate("find"), rate("1e-3"), rate(None)) == ("find", 1e-3, None)
    with pytest.raises(ConfigError, match="or find"):
        rate("fnid")
