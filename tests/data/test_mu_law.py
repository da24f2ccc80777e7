"""Mu-law by its formula."""

from __future__ import annotations

import math

import numpy as np

from pervade.data.sound import mu_law


def test_by_hand() -> None:
    # ln(1 + 255 x 0.1) / ln 256 = 0.59099: (1.59099 / 2) x 255 + 0.5 = 203.3
    assert math.isclose(math.log(26.5) / math.log(256), 0.59099, abs_tol=1e-5)
    assert mu_law.encode(np.array([-1.0, -0.1, 0.0, 0.1, 1.0])).tolist() == [0, 52, 128, 203, 255]
    assert mu_law.encode(np.array([-3.0, 3.0])).tolist() == [0, 255]
    assert mu_law.encode(np.zeros(1))[0] == mu_law.SILENCE


def test_there_and_back() -> None:
    codes = np.arange(256)
    wave = mu_law.decode(codes)
    assert (mu_law.encode(wave) == codes).all()
    assert wave[0] == -1
    assert wave[255] == 1
    assert (np.diff(wave) > 0).all()


def test_steps_grow_with_the_sound() -> None:
    """A quiet sound is told to within 0.0002, a loud one to within one part in 45."""
    quiet, loud = np.linspace(-0.001, 0.001, 999), np.linspace(-1, 1, 999)
    assert np.abs(mu_law.decode(mu_law.encode(quiet)) - quiet).max() < 2e-4
    assert np.abs(mu_law.decode(mu_law.encode(loud)) - loud).max() < 0.022
