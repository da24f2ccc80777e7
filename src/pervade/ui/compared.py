"""Two runs on the same rows, as `pervade compare` says it: sentences and a table for the page, and its page whole."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pervade.core.run import RunDirectory
from pervade.evaluate.compare import Comparison
from pervade.report import compare as comparison_page
from pervade.report import compare_words, wording
from pervade.run import comparing

MOST_SETTINGS = 40


def compare(first: RunDirectory, second: RunDirectory, split: str, different_rows: bool) -> dict[str, Any]:
    """What is said of `second` against `first`. Raises what `comparing.compare` does."""
    paths: list[Path] = [first.path, second.path]
    if comparing.are_seeds(paths):
        return _of_seeds(paths)
    return _told(comparing.compare(paths, split=split, allow_different_rows=different_rows))


def page(first: RunDirectory, second: RunDirectory, split: str, different_rows: bool) -> str:
    """The whole page, as `pervade compare` writes it. Raises what `comparing.compare` does."""
    paths = [first.path, second.path]
    return comparison_page.build(comparing.compare(paths, split=split, allow_different_rows=different_rows))


def _told(comparison: Comparison) -> dict[str, Any]:
    single = (compare_words.sentence, compare_words.classes, compare_words.cure, compare_words.promised)
    rows = []
    for name, gap in comparison.differences[0].items():
        if "[" in name:
            continue
        words = compare_words.words_of(comparison, name)
        first, second = (words.written(None if math.isnan(value) else value) for value in (gap.first, gap.second))
        rows.append(
            {
                "title": words.title,
                "lower": gap.higher_is_better is False,
                "first": first,
                "second": second,
                "difference": compare_words.amount(words, gap.difference, signed=True),
                "interval": compare_words.interval(words, gap.low, gap.high),
                "p": compare_words.probability(gap.adjusted).removeprefix("p ").removeprefix("= "),
                "shown": gap.shown,
                "better": gap.shown and (gap.difference > 0) == (compare_words.sign(gap) > 0),
            }
        )
    settings = [[path, [_short(value) for value in values]] for path, values in comparison.settings.items()]
    return {
        "headline": compare_words.headline(comparison),
        "counted": compare_words.counted(comparison),
        "sentences": [text for words in single if (text := words(comparison, 1))],
        "cautions": compare_words.cautions(comparison),
        "rows": rows,
        "settings": settings[:MOST_SETTINGS],
        "page": True,
    }


def _of_seeds(paths: list[Path]) -> dict[str, Any]:
    """Of runs of several seeds that act: ways of training, by their interquartile means."""
    pair = comparing.compare_seeds(paths)[0]
    rows = []
    for figure in pair.figures:
        gap = figure.difference
        rows.append(
            {
                "title": figure.words.title,
                "lower": figure.higher_is_better is False,
                "first": figure.words.written(figure.middle[0]),
                "second": figure.words.written(figure.middle[1]),
                "difference": figure.words.written(gap["value"]),
                "interval": figure.words.span(gap["low"], gap["high"]),
                "p": "",
                "shown": gap["low"] is not None and gap["high"] is not None and (gap["low"] > 0 or gap["high"] < 0),
                "better": False,
            }
        )
    headline = f"{pair.second} against {pair.first}: interquartile means over seeds"
    nothing: list[str] = []
    told = {"headline": headline, "counted": f"the {pair.split} split", "sentences": nothing, "cautions": nothing}
    return {**told, "rows": rows, "settings": nothing, "page": False}


def _short(value: object) -> str:
    return wording.label(value, most=120)
