"""How well a text is foretold, from the columns "bits" (n,) that each text costs, its "bytes" and its "tokens"; or a
row of codes, which has no bytes.

Bits per byte do not depend on how a text is cut into tokens, so models with other tokenizers, and compressors, can be
compared; perplexity a token does.
"""

from __future__ import annotations

import math

import numpy as np

from pervade.core.words import FigureWords
from pervade.metrics.columns import Columns, number_column
from pervade.metrics.estimate import Measure, Metric, Shared


def language_metrics() -> dict[str, Metric]:
    texts = {
        "bits_per_byte": ("Bits per byte", "bits that a byte of text costs, as UTF-8: less is foretold better", 0.0),
        "perplexity": ("Perplexity", "of how many tokens, all as likely, the next would be one", 1.0),
    }
    return {
        name: Metric(
            Shared(language_family, name),
            higher_is_better=False,
            description=text,
            undefined="the texts are empty",
            bounds=(least, math.inf),
            words=FigureWords(title),
        )
        for name, (title, text, least) in texts.items()
    }


def code_metrics() -> dict[str, Metric]:
    return {
        "bits_per_code": Metric(
            Shared(code_family, "bits_per_code"),
            higher_is_better=False,
            description="bits that a code costs, where it is foretold from those before it: less is foretold better",
            undefined="there are no codes",
            bounds=(0.0, math.inf),
            words=FigureWords("Bits per code"),
        )
    }


def code_family(columns: Columns) -> Measure:
    bits, tokens = (number_column(columns, name) for name in ("bits", "tokens"))

    def measure(weight: np.ndarray) -> dict[str, float]:
        count = float(weight @ tokens)
        return {"bits_per_code": float(weight @ bits) / count if count > 0 else math.nan}

    return measure


def language_family(columns: Columns) -> Measure:
    bits, sizes, tokens = (number_column(columns, name) for name in ("bits", "bytes", "tokens"))

    def measure(weight: np.ndarray) -> dict[str, float]:
        total, size, count = float(weight @ bits), float(weight @ sizes), float(weight @ tokens)
        if size <= 0 or count <= 0:
            return {"bits_per_byte": math.nan, "perplexity": math.nan}
        return {"bits_per_byte": total / size, "perplexity": 2.0 ** min(total / count, 1000.0)}

    return measure
