"""Recordings as statistics of their spectrum: values worked by hand, and a domain that gives the same of a recording
wherever it stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pervade.data.sound import spectral_statistics
from pervade.data.sound.spectral_statistics import SIZES
from pervade.domains.sound import Sound
from pervade.domains.spectral_statistics import SpectralStatistics
from pervade.testing import check_domain
from tests.data.sounds import speakers, tone, write

MEAN, DEVIATION, LOW, MEDIAN, HIGH = range(5)


def of(wave: np.ndarray, rate: int = 8000) -> dict[str, np.ndarray]:
    return dict(zip(SIZES, spectral_statistics.of([wave], rate, len(wave) / rate), strict=True))


def test_each_kind_is_as_long_as_it_says() -> None:
    assert {name: len(kind) for name, kind in of(tone(500)).items()} == SIZES
    assert spectral_statistics.WIDTH == 487


def test_a_pure_tone() -> None:
    found = of(tone(1000, seconds=1.0))
    assert found["centroid"][MEDIAN] == pytest.approx(1.0, abs=0.005)  # kHz
    assert found["rolloff"][MEDIAN] == pytest.approx(1.0, abs=0.05)
    assert found["crossings"][MEDIAN] == pytest.approx(0.25, abs=0.013)  # 2,000 a second, of 8,000 samples
    assert found["loudness"][MEDIAN] == pytest.approx(0, abs=0.1)
    assert found["whole"][0] == 0  # the logarithm of a second
    noise = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    assert of(noise)["flatness"][MEDIAN] > -1 > -5 > found["flatness"][MEDIAN]


def test_what_comes_first() -> None:
    """500 Hz, then 2,000: quantiles know both, and the course knows which of them begins."""
    found = of(np.concatenate([tone(500), tone(2000)]))
    assert found["centroid"][[LOW, HIGH]] == pytest.approx([0.5, 2.0], abs=0.05)
    turned = of(np.concatenate([tone(2000), tone(500)]))
    np.testing.assert_allclose(turned["bands"][:80], found["bands"][:80], atol=1)  # means and deviations
    first, last = found["course"][:20], found["course"][40:60]
    np.testing.assert_allclose(turned["course"][:20], last, atol=5)
    assert np.abs(first - last).max() > 50


def test_how_loud_a_recording_is_stands_apart() -> None:
    wave = tone(700) + tone(1800, loud=0.1)
    soft, loud = of(wave / 4), of(wave)
    assert loud["whole"][1] - soft["whole"][1] == pytest.approx(20 * np.log10(4) / 60, abs=1e-3)
    for name in ("bands", "cepstrum", "course", "centroid", "rolloff", "crossings", "loudness"):
        np.testing.assert_allclose(soft[name], loud[name], atol=0.1)


@pytest.mark.parametrize("samples", [1, 2, 79, 81, 400, 3000])
def test_silence_and_what_is_short(samples: int) -> None:
    for wave in (np.zeros(samples, np.float32), tone(440)[:samples]):
        assert all(np.isfinite(kind).all() for kind in of(wave).values())
    assert not of(np.zeros(samples, np.float32))["bands"].any()


def test_the_domain(tmp_path: Path) -> None:
    domain = SpectralStatistics.of(Sound(rate=8000, label_pattern="^([^_]+)_"))
    fitted, rows = check_domain(domain, speakers(tmp_path / "said"))
    assert fitted.inputs().shape == (spectral_statistics.WIDTH,)
    assert fitted.repeats
    examples = [fitted.transform(row, None)[0] for row in rows]
    together, alone = fitted.collate(examples)["input"], fitted.collate(examples[3:4])["input"]
    assert (together[3] == alone[0]).all()


def test_a_long_recording_is_one_row_of_all_its_windows(tmp_path: Path) -> None:
    """Of a second 500 Hz and a second 2,000, heard in windows of half a second."""
    for name in ("a", "b"):
        write(tmp_path / "data" / name / "1.wav", np.concatenate([tone(500, 1.0), tone(2000, 1.0)]))
    fitted, rows = check_domain(SpectralStatistics.of(Sound(rate=8000, seconds=0.5)), tmp_path / "data")
    (example,) = fitted.transform(rows[0], None)
    place = sum(SIZES[name] for name in ("bands", "cepstrum", "course"))
    centroid = example["input"][place : place + 5] * fitted.deviations[3]
    assert centroid[[LOW, HIGH]] == pytest.approx([0.5, 2.0], abs=0.05)
