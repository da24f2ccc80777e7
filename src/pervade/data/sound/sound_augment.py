"""What training does to one recording: speed, pitch, room and microphone, noise, place in time.

Pure functions of a waveform (t,) float32 in -1..1, with amounts as arguments; what is random comes from the generator
that is passed in, so that a resumed run hears the same again. None changes its argument.

One core, microseconds for half a second at 8 kHz: speed 75, a microphone 145, noise 100 (white) to 145 (pink), pitch
and stretch 650.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.random import Generator

STEPS = 129  # of a filter's response, from 0 to half the rate
BUMPS = 6  # of a random one
QUIET = 1e-8  # power below which there is nothing to be louder than
COLOURS = (0.0, 1.0, 1.5)  # of noise, falling with frequency as 1 / f to this power


# how fast and how high


def speed(wave: np.ndarray, factor: float) -> np.ndarray:
    """Played `factor` times as fast: shorter and higher by that, the resonances of the throat with it (Ko et al. 2015,
    "Audio augmentation for speech recognition"). (t,) -> (t / factor,)."""
    if factor == 1.0 or len(wave) < 2:
        return wave.copy()
    import soxr

    return np.ascontiguousarray(soxr.resample(wave, factor, 1.0, quality="LQ"), np.float32)


def stretch(wave: np.ndarray, factor: float, rate: int) -> np.ndarray:
    """`factor` times as fast at the same height, by overlapping and adding pieces of 30 ms taken where they go best
    together with what was to come next (WSOLA, Verhelst & Roelands 1993). (t,) -> (t / factor,)."""
    half = max(round(rate * 0.015), 1)
    length = round(len(wave) / factor)
    if factor == 1.0 or len(wave) < 4 * half:
        return wave.copy() if factor == 1.0 else _fitted(wave, length)
    reach = max(half // 2, 1)
    window = np.hanning(2 * half + 1)[:-1].astype(np.float32)
    padded = np.concatenate((np.zeros(half + reach, np.float32), wave, np.zeros(4 * half + 2 * reach, np.float32)))
    pieces = -(-length // half) + 1
    made = np.zeros((pieces + 1) * half, np.float32)
    last = len(padded) - 2 * half - reach
    place = reach
    for number in range(pieces):
        wanted = min(round(number * half * factor) + reach, last)
        if number > 0:
            # What would have followed the piece before, against all that is near the place that is due.
            follows = padded[min(place + half, last) :][: 2 * half]
            near = padded[wanted - reach : wanted + reach + 2 * half]
            place = wanted - reach + int(np.argmax(np.correlate(near, follows, "valid")))
        else:
            place = wanted
        made[number * half : (number + 2) * half] += window * padded[place : place + 2 * half]
    return made[half : half + length]


def pitch(wave: np.ndarray, factor: float, rate: int) -> np.ndarray:
    """`factor` times as high, as long as it was: (t,) -> (t,)."""
    if factor == 1.0:
        return wave.copy()
    return _fitted(stretch(speed(wave, factor), 1.0 / factor, rate), len(wave))


# where it stands in time


def shift(wave: np.ndarray, samples: int) -> np.ndarray:
    """Later by `samples` (earlier where negative), as long as it was: what leaves is lost, silence moves in."""
    moved = np.zeros_like(wave)
    count = len(wave) - abs(samples)
    if count > 0:
        moved[max(samples, 0) :][:count] = wave[max(-samples, 0) :][:count]
    return moved


def place(wave: np.ndarray, length: int, where: float = 0.5) -> np.ndarray:
    """(t,) -> (length,): cut, or with silence on both sides. `where` in 0-1 says how much of what is cut or added comes
    before it; 0.5 is the middle."""
    before = round((length - len(wave)) * where)
    if length <= len(wave):
        return wave[-before : length - before].copy()
    made = np.zeros(length, np.float32)
    made[before : before + len(wave)] = wave
    return made


# microphone and room


def gain(wave: np.ndarray, decibels: float) -> np.ndarray:
    """Louder by `decibels`, clipped at full scale as a recorder would."""
    louder: np.ndarray = np.clip(wave * np.float32(10.0 ** (decibels / 20)), -1.0, 1.0)
    return louder


def filtered(wave: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Through a filter of this response in decibels, given at equal steps from 0 to half the rate, without delay."""
    size = _fast(len(wave))
    spectrum = np.fft.rfft(wave, size)
    steps = np.linspace(0.0, 1.0, len(response))
    decibels = np.interp(np.linspace(0.0, 1.0, len(spectrum)), steps, response).astype(np.float32)
    passed: np.ndarray = np.fft.irfft(spectrum * np.exp(decibels * np.float32(math.log(10) / 20)), size)
    return passed[: len(wave)].astype(np.float32, copy=False)


def tilted(decibels: float, rate: int) -> np.ndarray:
    """The response of a spectrum that is steeper or flatter by `decibels` an octave and as it was at 1 kHz. Below 60 Hz
    it stays at what it is there."""
    frequencies = np.linspace(0.0, rate / 2, STEPS)
    response: np.ndarray = decibels * np.log2(np.maximum(frequencies, 60.0) / 1000.0)
    return response


def spectral_tilt(wave: np.ndarray, decibels: float, rate: int) -> np.ndarray:
    """Through `tilted`: one microphone, or one voice, beside another."""
    return filtered(wave, tilted(decibels, rate))


def microphone(wave: np.ndarray, deviation: float, steepness: float, rate: int, rng: Generator) -> np.ndarray:
    """Through a smooth filter that is drawn: normal gains of `deviation` decibels at six places of the spectrum, with
    straight lines between them, and a tilt of `steepness` decibels an octave, normal too."""
    gains = rng.normal(0.0, 1.0, BUMPS + 1)
    bumps = np.interp(np.linspace(0.0, 1.0, STEPS), np.linspace(0.0, 1.0, BUMPS), deviation * gains[:BUMPS])
    return filtered(wave, bumps + tilted(steepness * gains[BUMPS], rate))


# what else is heard


def noise(samples: int, colour: float, rng: Generator) -> np.ndarray:
    """(samples,) of power 1 that falls with frequency as 1 / f^colour: 0 white, 1 pink, 2 brown."""
    if colour == 0.0 or samples < 2:
        return rng.standard_normal(samples, np.float32)
    size = _fast(samples)
    drawn = rng.standard_normal((size // 2 + 1, 2), np.float32).view(np.complex64)[:, 0]
    made = np.fft.irfft(drawn * _falling(size // 2 + 1, colour), size)[:samples].astype(np.float32, copy=False)
    return made / np.float32(math.sqrt(float(np.square(made).mean())) + 1e-12)


@lru_cache(8)
def _falling(size: int, colour: float) -> np.ndarray:
    """(size,) amplitudes of the frequencies 0, 1, …: a recording has no constant part, so that of 0 is 0."""
    amount = np.arange(size, dtype=np.float32)
    amount[1:] **= -colour / 2
    return amount


def add_noise(
    wave: np.ndarray, decibels: float, colour: float, rng: Generator, power: float | None = None
) -> np.ndarray:
    """With noise `decibels` below the recording. `power` is the recording's own where the silence around it should not
    count; silence gets no noise."""
    power = float(np.square(wave).mean()) if power is None else power
    if power < QUIET * QUIET:
        return wave.copy()
    level = math.sqrt(power * 10.0 ** (-decibels / 10))
    return wave + np.float32(level) * noise(len(wave), colour, rng)


def surroundings(
    wave: np.ndarray, share: float, decibels: tuple[float, float], rng: Generator, power: float | None = None
) -> np.ndarray:
    """In `share` of all draws with noise of any of the colours, by `decibels` from, to below the recording; `power` as
    in `add_noise`."""
    if rng.uniform() >= share:
        return wave
    colour = COLOURS[int(rng.integers(len(COLOURS)))]
    return add_noise(wave, rng.uniform(*decibels), colour, rng, power)


def _fitted(wave: np.ndarray, length: int) -> np.ndarray:
    """Cut, or with silence behind it."""
    return place(wave, length, 0.0)


def _fast(samples: int) -> int:
    """A length from `samples` on whose transform is quick, with room for what a filter rings."""
    wanted = samples + 256
    power = 1 << max(wanted - 1, 1).bit_length()
    return power * 3 // 4 if power * 3 // 4 >= wanted else power
