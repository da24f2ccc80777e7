"""Whether of two answers the preferred one is likelier, from the columns "chosen" and "rejected" (n,), their
log-probabilities in nats, and "chosen_tokens" and "rejected_tokens" (n,), how many tokens these are of.

A long answer is less likely than a short one, whatever it says; so the mean of a token is compared as well.

Axis letter: n rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pervade.core.words import FigureWords
from pervade.metrics.baseline import beside
from pervade.metrics.columns import Columns, number_column
from pervade.metrics.estimate import UNIT, Metric, weighted_mean


def preference_metrics() -> dict[str, Metric]:
    title = "Share of pairs with the chosen answer likelier"
    texts = {
        "chosen_likelier": (likelier, title, "share of pairs of which the chosen answer is the likelier"),
        "chosen_likelier_per_token": (
            likelier_per_token,
            f"{title}, by the token",
            "share of pairs of which the chosen answer is the likelier, by the mean log-probability of a token",
        ),
    }
    return {
        name: Metric(
            lambda columns, weight, right=right: weighted_mean(right(columns).astype(np.float64), weight),  # type: ignore[misc]
            trials=right,
            description=text,
            bounds=UNIT,
            words=FigureWords(title, "share"),
        )
        for name, (right, title, text) in texts.items()
    }


def likelier(columns: Columns) -> np.ndarray:
    """(n,) bool; two that are as likely are no preference."""
    return number_column(columns, "chosen") > number_column(columns, "rejected")


def likelier_per_token(columns: Columns) -> np.ndarray:
    chosen, rejected = (
        number_column(columns, name) / number_column(columns, f"{name}_tokens") for name in ("chosen", "rejected")
    )
    return chosen > rejected


def longer_baseline(columns: Columns) -> dict[str, Any]:
    """Taking the longer answer, beside the model's preferences (see `baseline.beside`): the same figures as means over
    rows, since a tie is half right."""
    rights = {"chosen_likelier": likelier, "chosen_likelier_per_token": likelier_per_token}
    known = {name: np.asarray(columns[name]) for name in ("row", "group")}
    chosen, rejected = number_column(columns, "chosen_tokens"), number_column(columns, "rejected_tokens")
    longer = (chosen > rejected) + 0.5 * (chosen == rejected)
    metrics = {
        name: Metric(lambda file, weight, name=name: weighted_mean(file[name], weight), bounds=UNIT)  # type: ignore[misc]
        for name in rights
    }
    own = {name: right(columns).astype(np.float64) for name, right in rights.items()}
    name = "taking the longer answer for the chosen one"
    return beside(name, metrics, known | dict.fromkeys(rights, longer), known | own)


def coin(num_rows: int) -> dict[str, dict[str, object]]:
    """What a coin is worth, which no data can change."""
    half = {"value": 0.5, "low": None, "high": None, "n": num_rows, "method": "none", "level": 0.95}
    return {name: {**half, "why": "a half by definition"} for name in preference_metrics()}
