"""How well sounds are foretold, from the columns "bits" (n,) that each recording costs and its "samples"."""

from __future__ import annotations

import math

import numpy as np

from pervade.core.words import FigureWords
from pervade.metrics.columns import Columns, number_column
from pervade.metrics.estimate import Measure, Metric, Shared


def waveform_metrics() -> dict[str, Metric]:
    return {
        "bits_per_sample": Metric(
            Shared(waveform_family, "bits_per_sample"),
            higher_is_better=False,
            description="bits that a sample costs, of the 8 that it has: less is foretold better",
            undefined="the recordings are empty",
            bounds=(0.0, math.inf),
            words=FigureWords(
                "Bits for each sample of sound",
                sentence="On {rows}, it needed {value} bits for each sample: the fewer, the better it foresees the "
                "sound.",
                baseline="{name} would need {value} for each sample of the same",
            ),
        )
    }


def waveform_family(columns: Columns) -> Measure:
    bits, samples = (number_column(columns, name) for name in ("bits", "samples"))

    def measure(weight: np.ndarray) -> dict[str, float]:
        count = float(weight @ samples)
        return {"bits_per_sample": float(weight @ bits) / count if count > 0 else math.nan}

    return measure
