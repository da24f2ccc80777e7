"""What training does to recordings, by measurement: where a tone goes, how loud the noise is, what a filter passes."""

from __future__ import annotations

import numpy as np
import pytest

from pervade.core import spec
from pervade.core.contracts.domain import Domain
from pervade.data.sound import sound_augment
from pervade.domains.sound import Sound
from tests.data.sounds import strongest, tone

RATE = 8000


def power(wave: np.ndarray) -> float:
    return float(np.square(wave.astype(np.float64)).mean())


def octave(wave: np.ndarray, hertz: float) -> float:
    """Power in the octave around a frequency."""
    spectrum = np.square(np.abs(np.fft.rfft(wave.astype(np.float64))))
    frequencies = np.fft.rfftfreq(len(wave), 1 / RATE)
    return float(spectrum[(frequencies > hertz / 2**0.5) & (frequencies < hertz * 2**0.5)].sum())


@pytest.mark.parametrize("factor", [0.75, 0.9, 1.2, 1.5])
def test_speed_moves_a_tone_and_the_end(factor: float) -> None:
    wave = tone(800, 1.0)
    changed = sound_augment.speed(wave, factor)
    assert changed.dtype == np.float32
    assert len(changed) == pytest.approx(len(wave) / factor, abs=2)
    assert strongest(changed, RATE) == pytest.approx(800 * factor, abs=3)


@pytest.mark.parametrize("factor", [0.75, 1.0, 1.3])
def test_stretch_moves_the_end_but_not_the_tone(factor: float) -> None:
    changed = sound_augment.stretch(tone(800, 1.0), factor, RATE)
    assert len(changed) == round(RATE / factor)
    assert strongest(changed, RATE) == pytest.approx(800, abs=5)
    # Pieces go together in phase: a tone stays as loud as it was.
    assert power(changed[800:-800]) == pytest.approx(power(tone(800, 1.0)), rel=0.1)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_pitch_moves_the_tone_but_not_the_end(factor: float) -> None:
    changed = sound_augment.pitch(tone(800, 1.0), factor, RATE)
    assert len(changed) == RATE
    assert strongest(changed, RATE) == pytest.approx(800 * factor, abs=5)


@pytest.mark.parametrize("function", [sound_augment.stretch, sound_augment.pitch])
@pytest.mark.parametrize("samples", [0, 1, 2, 50])
def test_too_short_to_be_cut_into_pieces(function, samples: int) -> None:
    assert np.isfinite(function(np.full(samples, 0.1, np.float32), 1.2, RATE)).all()
    assert np.isfinite(sound_augment.speed(np.full(samples, 0.1, np.float32), 1.2)).all()


@pytest.mark.parametrize("colour", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("decibels", [-5.0, 0.0, 20.0])
def test_noise_is_as_loud_as_was_asked(colour: float, decibels: float) -> None:
    wave = tone(500, 1.0)
    noise = sound_augment.add_noise(wave, decibels, colour, np.random.default_rng(0)) - wave
    assert 10 * np.log10(power(wave) / power(noise)) == pytest.approx(decibels, abs=0.3)


def test_silence_around_a_sound_does_not_lower_its_noise() -> None:
    wave = sound_augment.place(tone(500, 0.25), RATE)
    loud = power(tone(500, 0.25))
    noise = sound_augment.add_noise(wave, 10.0, 0.0, np.random.default_rng(0), loud) - wave
    assert 10 * np.log10(loud / power(noise)) == pytest.approx(10.0, abs=0.3)
    assert np.array_equal(sound_augment.add_noise(0 * wave, 10.0, 0.0, np.random.default_rng(0)), 0 * wave)


@pytest.mark.parametrize(("colour", "fall"), [(0.0, -3.0), (1.0, 0.0), (2.0, 3.0)])
def test_colour_of_noise(colour: float, fall: float) -> None:
    """An octave of white noise holds twice the power of the octave below it, one of pink noise as much."""
    noise = sound_augment.noise(1 << 17, colour, np.random.default_rng(0))
    assert power(noise) == pytest.approx(1.0, rel=0.02)
    assert 10 * np.log10(octave(noise, 500) / octave(noise, 1000)) == pytest.approx(fall, abs=0.4)


def test_tilt_by_decibels_an_octave() -> None:
    for hertz, expected in ((250, -6.0), (500, -3.0), (1000, 0.0), (2000, 3.0)):
        wave = tone(hertz, 1.0)
        changed = sound_augment.spectral_tilt(wave, 3.0, RATE)[1000:-1000]
        assert 10 * np.log10(power(changed) / power(wave)) == pytest.approx(expected, abs=0.3)


def test_a_setting_calls_it_tilt() -> None:
    sound: Sound = spec.decode({"use": "sound", "tilt": 3.0}, Domain)
    assert sound.spectral_tilt == spec.encode(sound)["tilt"] == 3.0


def test_a_microphone_changes_how_loud_bands_are_by_the_deviation_asked() -> None:
    wave = tone(1600, 0.5)
    gains = []
    for seed in range(200):
        changed = sound_augment.microphone(wave, 4.0, 0.0, RATE, np.random.default_rng(seed))
        assert len(changed) == len(wave)
        gains.append(10 * np.log10(power(changed[500:-500]) / power(wave)))
    assert np.std(gains) == pytest.approx(4.0, rel=0.15)
    assert np.mean(gains) == pytest.approx(0.0, abs=0.8)


def test_places() -> None:
    wave = np.arange(1, 5, dtype=np.float32)
    assert sound_augment.shift(wave, 1).tolist() == [0, 1, 2, 3]
    assert sound_augment.shift(wave, -3).tolist() == [4, 0, 0, 0]
    assert sound_augment.shift(wave, 9).tolist() == [0, 0, 0, 0]
    assert sound_augment.place(wave, 6).tolist() == [0, 1, 2, 3, 4, 0]
    assert sound_augment.place(wave, 6, 0.0).tolist() == [1, 2, 3, 4, 0, 0]
    assert sound_augment.place(wave, 2).tolist() == [2, 3]
    assert sound_augment.place(wave, 2, 1.0).tolist() == [3, 4]
    assert sound_augment.place(wave, 4).tolist() == wave.tolist()


def test_gain_clips() -> None:
    wave = np.array([0.1, -0.4], np.float32)
    assert sound_augment.gain(wave, 20.0).tolist() == [pytest.approx(1.0), -1.0]
    assert sound_augment.gain(wave, -20.0).tolist() == [pytest.approx(0.01), pytest.approx(-0.04)]


def test_the_same_generator_gives_the_same() -> None:
    wave = tone(500)
    for change in (
        lambda rng: sound_augment.add_noise(wave, 10.0, 1.0, rng),
        lambda rng: sound_augment.microphone(wave, 4.0, 2.0, RATE, rng),
    ):
        assert np.array_equal(change(np.random.default_rng(3)), change(np.random.default_rng(3)))
        assert not np.array_equal(change(np.random.default_rng(3)), change(np.random.default_rng(4)))
    assert np.array_equal(wave, tone(500))
