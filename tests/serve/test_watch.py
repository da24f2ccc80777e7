"""What comes in against what was learnt from: silent where both are alike, for as long as one looks, and soon awake."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pervade.serve import watch
from pervade.serve.watch import FALSE_ALARM, Martingale, Watch

RUNS, INPUTS = 60, 300


def evidence(rng: np.random.Generator, reference: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n,) the capital after each value."""
    test = Martingale(reference, True, rng)
    return np.array([test.see(value) for value in values])


def test_alike_rows_hardly_ever_alarm() -> None:
    """Of 60 runs of 300 inputs at most as many as the bound says reach it; with few reference rows, too, and with
    values that are often the same."""
    for rows, decimals in ((30, 8), (300, 1)):
        reached = 0
        for run in range(RUNS):
            rng = np.random.default_rng(run)
            values = rng.beta(8, 1, rows + INPUTS).round(decimals)
            reached += evidence(rng, values[:rows], values[rows:]).max() >= 10
        assert reached / RUNS <= 1 / 10 + 0.08  # Ville, and two deviations of the share


def test_bets_are_fair() -> None:
    """The mean over p of what each bet pays is 1, so what is betted neither grows nor shrinks by chance."""
    test = Martingale(np.array([0.5]), True, np.random.default_rng(0))
    test.seen = 1
    paid = []
    for p in (np.arange(1000) + 0.5) / 1000:
        test.asleep, test.awake = 1.0, np.zeros_like(test.awake)
        paid.append(test.bet(float(p)))
    assert np.mean(paid) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("before", [0, 1000])
def test_a_change_is_seen_soon(before: int) -> None:
    """Confidences that fall from a median of 0.92 to one of 0.71: at once, or after 1,000 inputs that were alike."""
    after = []
    for run in range(8):
        rng = np.random.default_rng(run)
        alike, other = rng.beta(8, 1, 300 + before), rng.beta(2, 1, 400)
        grown = evidence(rng, alike[:300], np.concatenate([alike[300:], other]))
        first = np.flatnonzero(grown >= 1 / FALSE_ALARM)
        assert len(first)
        assert first[0] >= before
        after.append(first[0] - before)
    assert np.median(after) <= 60


def picture(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def test_statistics_by_hand() -> None:
    assert watch.statistics("text", "four") == {"characters": 4.0}
    assert watch.statistics("picture", picture(30, 20)) == {"pixels": 600.0, "ratio": 1.5}
    assert watch.statistics("picture", b"no picture") == {}
    assert watch.statistics("sound", b"RIFF") == {}
    assert watch.statistics("label", "seven") == {}
    assert watch.confidence({"top": [{"label": "cat", "probability": 0.75}]}) == 0.75
    assert watch.confidence({"prediction": 3.5}) is None


def test_what_is_told() -> None:
    rng = np.random.default_rng(0)
    own = Watch({"confidence": rng.beta(8, 1, 200), "characters": rng.integers(20, 60, 200)})
    for _ in range(40):
        own.see("text", "x" * int(rng.integers(20, 60)), {"top": [{"probability": float(rng.beta(8, 1))}]})
    own.see("text", "x", {"top": None, "error": "it is empty"})
    told = own.told()
    assert told["inputs"] == 40
    assert not told["alarm"]
    assert told["sentence"] == "as far as 40 inputs tell, what comes in looks like what this model learnt from"
    for _ in range(60):
        own.see("text", "x" * int(rng.integers(400, 900)), {"top": [{"probability": float(rng.beta(8, 1))}]})
    told = own.told()
    assert told["sentence"].startswith("what comes in no longer looks like what this model learnt from: the length in")
    assert told["statistics"]["confidence"]["alarm"] is None
    assert told["statistics"]["characters"]["alarm"]["inputs"] <= 80
    assert told["statistics"]["characters"]["learnt_from"]["n"] == 200
    assert told["statistics"]["characters"]["bound"] == 2 / FALSE_ALARM


def test_nothing_to_compare_with() -> None:
    own = Watch({})
    own.see("text", "one", {"top": [{"probability": 0.5}]})
    assert own.told()["sentence"].startswith("there is nothing to compare with")
