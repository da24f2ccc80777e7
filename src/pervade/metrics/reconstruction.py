"""How well pictures are made again from few codes, from the columns "squared_error" (n,), the mean over a picture's
numbers of 0-1, and, where there are features, "feature_error" and "feature_spread" (n,): the squared distance of its
features from those of the picture made again, and from the mean of all. And how well noise is told from pictures.
"""

from __future__ import annotations

import math

import numpy as np

from pervade.core.words import FigureWords
from pervade.metrics.columns import Columns, number_column
from pervade.metrics.estimate import Metric, weighted_mean

EXACT = 1e-10  # squared error of a picture, at which it is taken for exact: 100 dB


def reconstruction_metrics() -> dict[str, Metric]:
    return {
        "psnr": Metric(
            psnr,
            description="peak signal-to-noise ratio of a picture made again from its codes, in dB, mean over pictures: "
            "10 log10 (1 / squared error) of numbers of 0-1, 100 where nothing differs",
            undefined="no row counts",
            bounds=(-math.inf, 100.0),
            words=FigureWords("PSNR of what is made again (dB)"),
        ),
        "feature_similarity": Metric(
            feature_similarity,
            description="share of the variance of pictures' features that is kept when they are made again from their "
            "codes: 1 where nothing differs, 0 as if each were the mean",
            undefined="all pictures have the same features",
            bounds=(-math.inf, 1.0),
            words=FigureWords("Features kept when made again"),
            needs="feature_error",
        ),
    }


def denoising_metrics(column: str) -> dict[str, Metric]:
    """The mean of a `column` (n,) of losses, by its name."""
    return {
        column: Metric(
            lambda columns, weight: weighted_mean(number_column(columns, column), weight),
            higher_is_better=False,
            description="squared error of what a network says of pictures with noise, weighted as in training, by a "
            "step and a noise that hang on the row alone; it says little of how good what it makes looks",
            undefined="no row counts",
            bounds=(0.0, math.inf),
            words=FigureWords("Error in taking noise away"),
            needs=column,
        )
    }


def psnr(columns: Columns, weight: np.ndarray) -> float:
    error = np.maximum(number_column(columns, "squared_error"), EXACT)
    return weighted_mean(-10 * np.log10(error), weight)


def feature_similarity(columns: Columns, weight: np.ndarray) -> float:
    error, spread = (float(weight @ number_column(columns, f"feature_{name}")) for name in ("error", "spread"))
    return 1 - error / spread if spread > 0 else math.nan
