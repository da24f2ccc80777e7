"""A recording of any length as a few hundred statistics of its spectrum, for a linear model.

bands       how loud each of 40 mel bands is: mean, deviation, quantiles, and how much it changes from frame to frame
cepstrum    the shape of the spectrum over all bands (Davis and Mermelstein 1980): mean, deviation, change
course      the same shape at the beginning, in the middle, at the end: means of three and of five parts in time
centroid, rolloff, flatness, crossings, loudness
            where the spectrum's middle is, below which frequency 85% of it lie, how much it is noise, how often the
            wave crosses zero, how loud each frame is (Tzanetakis and Cook 2002): mean, deviation, quantiles
whole       how long the recording is, and how loud its loudest band

All but the last are nearly the same however loud a recording is. What is more than SPAN below its loudest band
counts as silence. Axis letters: t samples, f frames, b bands.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch

from pervade.nn.mel import FLOOR, LogMel

BANDS, CEPSTRUM = 40, 20
SPAN = 60.0  # decibels
QUANTILES = (0.1, 0.5, 0.9)
PARTS = (3, 5)  # of the time
ROLLOFF = 0.85
EMPTY = 1e-10  # power beside which nothing is divided by 0
DECIBELS = 10 / math.log(10)
SIZES = {
    "bands": (3 + len(QUANTILES)) * BANDS,
    "cepstrum": 3 * CEPSTRUM,
    "course": sum(PARTS) * CEPSTRUM,
    **dict.fromkeys(("centroid", "rolloff", "flatness", "crossings", "loudness"), 2 + len(QUANTILES)),
    "whole": 2,
}
WIDTH = sum(SIZES.values())


def of(waves: Sequence[np.ndarray], rate: int, seconds: float) -> list[np.ndarray]:
    """The kinds of features, in the order of `SIZES`, of the pieces (t,) in -1..1 of a recording that are heard, and
    how long all of it is."""
    from scipy.fft import dct

    spectra = [_spectrum(wave, rate) for wave in waves]
    power, bands = (np.concatenate(parts, 1) for parts in zip(*spectra, strict=True))
    loudest = float(bands.max())
    levels = np.maximum(bands - loudest, -SPAN)
    shape = dct(levels, axis=0, norm="ortho")[:CEPSTRUM]
    frequencies = np.linspace(0, rate / 2000, len(power))[:, None]  # kHz
    total = power.sum(0)
    loudness = DECIBELS * np.log(total + FLOOR)
    kinds = [
        np.concatenate([_spread(levels), _changes(levels)]),
        np.concatenate([shape.mean(1), shape.std(1), _changes(shape)]),
        np.concatenate([_course(shape, parts) for parts in PARTS]),
        _spread((power * frequencies).sum(0) / (total + EMPTY)),
        _spread(frequencies[(power.cumsum(0) >= ROLLOFF * total).argmax(0), 0]),
        _spread(np.log(power + EMPTY).mean(0) - np.log(power.mean(0) + EMPTY)),
        _spread(np.concatenate([_crossings(wave, _mel(rate).hop) for wave in waves])),
        _spread(np.maximum(loudness - loudness.max(), -SPAN)),
        np.array([math.log(max(seconds, 1e-3)), loudest / SPAN]),
    ]
    return [kind.astype(np.float32) for kind in kinds]


@functools.lru_cache(maxsize=8)
def _mel(rate: int) -> LogMel:
    return LogMel(rate, BANDS, normalise="none")


@torch.no_grad()
def _spectrum(wave: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Power (frequencies, f), and decibels of the bands (b, f)."""
    mel = _mel(rate)
    power = mel.power(torch.from_numpy(np.ascontiguousarray(wave, np.float32))[None])[0]
    bands = (mel.filters @ power).clamp(min=FLOOR).log() * DECIBELS
    return power.double().numpy(), bands.double().numpy()


def _crossings(wave: np.ndarray, hop: int) -> np.ndarray:
    """(f,): the share of the samples of each frame before which the wave changed its sign."""
    below = np.signbit(wave)
    changed = np.concatenate([[False], below[1:] != below[:-1]])
    return np.add.reduceat(changed.astype(np.float64), np.arange(0, len(wave), hop)) / hop


def _spread(values: np.ndarray) -> np.ndarray:
    """Over the frames (…, f): mean, deviation and quantiles."""
    return np.concatenate([np.ravel(part) for part in (values.mean(-1), values.std(-1), _quantiles(values))])


def _quantiles(values: np.ndarray) -> np.ndarray:
    """(q, …): the nearest frame below each, which is found without sorting all."""
    places = [int(share * (values.shape[-1] - 1)) for share in QUANTILES]
    return np.moveaxis(np.partition(values, places, axis=-1)[..., places], -1, 0)


def _changes(values: np.ndarray) -> np.ndarray:
    """Of each row of (b, f): how far it changes from a frame to the next."""
    return np.sqrt(np.square(np.diff(values, axis=1)).sum(1) / max(values.shape[1] - 1, 1))


def _course(values: np.ndarray, parts: int) -> np.ndarray:
    """Of each row of (b, f): the means of so many parts, which share frames where there are fewer."""
    count = values.shape[1]
    starts = [part * count // parts for part in range(parts)]
    ends = [max((part + 1) * count // parts, start + 1) for part, start in enumerate(starts)]
    return np.concatenate([values[:, start:end].mean(1) for start, end in zip(starts, ends, strict=True)])
