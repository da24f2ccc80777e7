"""How well hidden tokens are named, from the columns "right" (n,), "bits" (n,) that they cost, and "tokens" (n,), how
many of each text were asked for."""

from __future__ import annotations

import math

import numpy as np

from pervade.core.words import FigureWords
from pervade.metrics.columns import Columns, column
from pervade.metrics.estimate import UNIT, Measure, Metric, Shared


def filling_metrics() -> dict[str, Metric]:
    undefined = "nothing was hidden"
    return {
        "masked_perplexity": Metric(
            Shared(filling_family, "masked_perplexity"),
            higher_is_better=False,
            description="of how many tokens, all as likely, a hidden one would be one",
            undefined=undefined,
            bounds=(1.0, math.inf),
            words=FigureWords("Perplexity of hidden words"),
        ),
        "masked_accuracy": Metric(
            Shared(filling_family, "masked_accuracy"),
            description="share of the hidden tokens that were named right at the first guess",
            undefined=undefined,
            bounds=UNIT,
            words=FigureWords("Hidden words named right", "share"),
        ),
    }


def filling_family(columns: Columns) -> Measure:
    right, bits, tokens = (np.asarray(column(columns, name), np.float64) for name in ("right", "bits", "tokens"))

    def measure(weight: np.ndarray) -> dict[str, float]:
        count = float(weight @ tokens)
        if count <= 0:
            return {"masked_perplexity": math.nan, "masked_accuracy": math.nan}
        cost = min(float(weight @ bits) / count, 1000.0)
        return {"masked_perplexity": 2.0**cost, "masked_accuracy": float(weight @ right) / count}

    return measure
