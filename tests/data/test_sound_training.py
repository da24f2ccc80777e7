"""What of a recording reaches the model in training and in evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pervade.core.errors import ConfigError
from pervade.domains.sound import Sound
from tests.data.sounds import strongest, tone

DOMAIN = Sound(rate=8000, seconds=0.5)
PLAIN = replace(DOMAIN, speed=0.0, pitch=0.0, equalise=0.0, spectral_tilt=0.0, noise=0.0)


def row(wave: np.ndarray) -> dict:
    return {"id": "a.wav", "row": 0, "samples": np.round(wave * 32767).astype(np.int16)}


def heard(domain: Sound, wave: np.ndarray, seed: int) -> np.ndarray:
    (example,) = domain.transform(row(wave), np.random.default_rng(seed))
    return example["input"]


@pytest.mark.parametrize("seconds", [0.0, 0.0002, 0.1, 0.4, 0.5, 0.7, 5.0])
@pytest.mark.parametrize("pitch", [0.0, 0.2])
def test_a_window_whatever_the_recording(seconds: float, pitch: float) -> None:
    domain = replace(DOMAIN, pitch=pitch)
    for seed in range(8):
        made = heard(domain, tone(500, seconds), seed)
        assert made.shape == (4000,)
        assert made.dtype == np.float32
        assert np.isfinite(made).all()
        assert np.array_equal(made, heard(domain, tone(500, seconds), seed))


def test_nothing_is_changed_where_everything_is_off() -> None:
    wave = tone(500, 0.25)
    whole = row(wave)["samples"].astype(np.float32) / 32768
    starts = set()
    for seed in range(20):
        made = heard(PLAIN, wave, seed)
        start = int(np.flatnonzero(made)[0]) - 1  # a sine begins with 0
        assert np.array_equal(made[start : start + 2000], whole)
        assert np.count_nonzero(made) == np.count_nonzero(whole)
        starts.add(start)
    assert len(starts) > 10


def test_speed_is_drawn_as_often_above_1_as_below() -> None:
    domain = replace(PLAIN, speed=0.3)
    factors = [strongest(heard(domain, tone(500, 1.0), seed), 8000) / 500 for seed in range(200)]
    assert 1 / 1.3 - 0.01 < min(factors) < 0.8
    assert 1.25 < max(factors) < 1.31
    assert np.mean(np.array(factors) > 1) == pytest.approx(0.5, abs=0.1)


def test_so_many_get_noise() -> None:
    domain = replace(PLAIN, noise=0.5)
    noisy = [np.count_nonzero(heard(domain, tone(500, 0.1), seed)) > 2000 for seed in range(200)]
    assert np.mean(noisy) == pytest.approx(0.5, abs=0.1)


def test_evaluation_and_training_without_changes_hear_the_same() -> None:
    wave = tone(500, 0.3)
    still = replace(DOMAIN, augment=False)
    (example,) = DOMAIN.transform(row(wave), None)
    assert np.array_equal(example["input"], heard(still, wave, 3))


def test_a_range_that_goes_down() -> None:
    with pytest.raises(ConfigError, match="noise_ratio goes from 30 down to 10; give the lower one first"):
        Sound(noise_ratio=(30.0, 10.0))
