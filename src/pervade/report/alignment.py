"""What was said beside what was written down, word by word: the fewest changes that lead from one to the other.

    is     one two three  four
    said   one     tree   four five
               -   /           +

Levenshtein 1966, "Binary codes capable of correcting deletions, insertions, and reversals".
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

MOST_CELLS = 250_000  # of the table that an alignment fills: two texts of 500 words
LONG_WORD = 15  # signs: where words are longer on average, the writing sets no spaces, and signs are compared


class Step(NamedTuple):
    """One place: a word of the reference and one that was said, either of them "" where the other has no fellow."""

    true: str
    said: str

    @property
    def kind(self) -> str:
        """right, swapped (one word for another), missed or added."""
        if self.true == self.said:
            return "right"
        return "added" if not self.true else "missed" if not self.said else "swapped"


def align(true: Sequence[str], said: Sequence[str]) -> list[Step] | None:
    """None where both are too long for it. Of several ways with as few changes one that swaps words that are alike.

    >>> [step.kind for step in align("one two three four".split(), "one tree four five".split())]
    ['right', 'missed', 'swapped', 'right', 'added']
    >>> [step.said for step in align(["three"], ["tree", "please"]) if step.kind == "swapped"]
    ['tree']
    """
    if (len(true) + 1) * (len(said) + 1) > MOST_CELLS:
        return None
    table = [list(range(len(said) + 1))]
    for i, word in enumerate(true):
        above, row = table[-1], [i + 1]
        for j, other in enumerate(said):
            row.append(min(above[j] + (word != other), above[j + 1] + 1, row[j] + 1))
        table.append(row)
    steps: list[Step] = []
    i, j = len(true), len(said)
    while i or j:
        here = table[i][j]
        swaps = bool(i and j) and table[i - 1][j - 1] + (true[i - 1] != said[j - 1]) == here
        others = (i and table[i - 1][j] + 1 == here) or (j and table[i][j - 1] + 1 == here)
        if swaps and (not others or _alike(true[i - 1], said[j - 1])):
            i, j = i - 1, j - 1
            steps.append(Step(true[i], said[j]))
        elif i and table[i - 1][j] + 1 == here:
            i -= 1
            steps.append(Step(true[i], ""))
        else:
            j -= 1
            steps.append(Step("", said[j]))
    return steps[::-1]


def _alike(one: str, other: str) -> bool:
    """Whether half of their signs are the same, in order."""
    return one == other or SequenceMatcher(None, one, other, autojunk=False).ratio() >= 0.5


def has_words(texts: Sequence[str]) -> bool:
    """Whether these are written with spaces between words; else their signs are what can be compared."""
    words = sum(len(text.split()) for text in texts)
    return sum(len(text) for text in texts) <= LONG_WORD * max(words, 1)


def units(text: str, words: bool) -> list[str]:
    return text.split() if words else [character for character in text if not character.isspace()]
