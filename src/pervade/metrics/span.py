"""Answers that are pieces of a text, as the official scripts judge them: exact match, and F1 of words or characters.

SQuAD (Rajpurkar et al. 2016): lower case, no punctuation, no articles; F1 of the words that two answers share. CMRC
(Cui et al. 2019), for Chinese: no punctuation; each Chinese character a word of its own; F1 of the longest run of words
that two answers share. Of several right answers the one counts that fits best; where there is none to be found (SQuAD
2), an empty answer is right and all others are wrong.

Reads "prediction" (n strings, empty where it was said that there is no answer) and "target" (n lists of strings, empty
where there is none).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from pervade.core.words import FigureWords
from pervade.metrics.columns import Columns, values
from pervade.metrics.estimate import UNIT, Measure, Metric, Shared, weighted_mean

CHINESE = re.compile(r"[\u4e00-\u9fa5]")
ARTICLES = re.compile(r"\b(a|an|the)\b")
# What CMRC's script takes out, beside what is between words anyway.
SIGNS = set("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
WORD = re.compile(r"\w+(?:[.,]\w+)*|[^\w\s]")


def span_metrics(by_character: bool, unanswerable: bool) -> dict[str, Metric]:
    """`unanswerable`: some questions have no answer, so figures are given of either kind too."""
    family = by_characters if by_character else by_words
    counted = "characters" if by_character else "words"
    metrics = {
        "f1": Metric(
            Shared(family, "f1"),
            description=f"how many of its {counted} an answer shares with the right one: 2 x shared / both together",
            bounds=UNIT,
            words=FigureWords("F1"),
        ),
        "exact_match": Metric(
            Shared(family, "exact_match"),
            trials=exact_by_character if by_character else exact_by_word,
            description="share of the answers that are right to the letter, but for case and punctuation",
            bounds=UNIT,
            words=FigureWords("Right to the letter (exact match)", "share"),
        ),
    }
    if unanswerable:
        for kind, those in (("answerable", "have an answer"), ("unanswerable", "have none")):
            metrics[f"f1[{kind}]"] = Metric(
                Shared(family, f"f1[{kind}]"),
                description=f"the same, of questions that {those}"
                + (": the share that was left so" if kind == "unanswerable" else ""),
                undefined=f"no question here is {kind}",
                bounds=UNIT,
                words=FigureWords(f"F1, of questions that {those}"),
            )
    return metrics


def by_words(columns: Columns) -> Measure:
    return _family(columns, False)


def by_characters(columns: Columns) -> Measure:
    return _family(columns, True)


def exact_by_word(columns: Columns) -> np.ndarray:
    return scores(columns, False)[0] > 0


def exact_by_character(columns: Columns) -> np.ndarray:
    return scores(columns, True)[0] > 0


def _family(columns: Columns, by_character: bool) -> Measure:
    exact, f1 = scores(columns, by_character)
    answerable = np.array([len(answers) > 0 for answers in values(columns, "target")], float)

    def measure(weight: np.ndarray) -> dict[str, float]:
        return {
            "exact_match": weighted_mean(exact, weight),
            "f1": weighted_mean(f1, weight),
            "f1[answerable]": weighted_mean(f1, weight * answerable),
            "f1[unanswerable]": weighted_mean(f1, weight * (1 - answerable)),
        }

    return measure


def scores(columns: Columns, by_character: bool) -> tuple[np.ndarray, np.ndarray]:
    """Exact match and F1 (n,) of every row."""
    pairs = zip(values(columns, "prediction"), values(columns, "target"), strict=True)
    marks = [score(said, right, by_character) for said, right in pairs]
    return np.array([mark[0] for mark in marks]), np.array([mark[1] for mark in marks])


def score(said: str, right: Sequence[str], by_character: bool) -> tuple[float, float]:
    """Exact match (0 or 1) and F1 of one answer.

    >>> score("the cat sat", ["Cat."], by_character=False)
    (0.0, 0.6666666666666666)
    """
    split = characters if by_character else words
    own, others = split(said), [units for answer in right if (units := split(answer))]
    if not others or not own:
        same = float(not others and not own)
        return same, same
    overlap = _run_f1 if by_character else _bag_f1
    return max(float(own == other) for other in others), max(overlap(own, other) for other in others)


def words(text: str) -> list[str]:
    """
    >>> words("The U.S. army, an army")
    ['us', 'army', 'army']
    """
    plain = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return ARTICLES.sub(" ", plain).split()


def characters(text: str) -> list[str]:
    """Chinese characters one by one, other words whole.

    >>> characters("1996年，在 New York。")
    ['1996', '年', '在', 'new', 'york']
    """
    units: list[str] = []
    rest = ""
    for letter in text.lower().strip():
        if letter in SIGNS:
            continue
        if CHINESE.match(letter):
            units += [*WORD.findall(rest), letter]
            rest = ""
        else:
            rest += letter
    return [*units, *WORD.findall(rest)]


def _bag_f1(own: list[str], other: list[str]) -> float:
    return _f1(sum((Counter(own) & Counter(other)).values()), own, other)


def _run_f1(own: list[str], other: list[str]) -> float:
    longest, ends = 0, [0] * (len(other) + 1)
    for mine in own:
        ends = [0, *(ends[i] + 1 if mine == theirs else 0 for i, theirs in enumerate(other))]
        longest = max(longest, *ends)
    return _f1(longest, own, other)


def _f1(shared: int, own: list[str], other: list[str]) -> float:
    return 2 * shared / (len(own) + len(other))
