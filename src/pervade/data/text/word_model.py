"""Which words follow which: n-grams learnt from the training transcripts, to help decoding.

Interpolated by Witten and Bell (1991): the more different words followed a history, the more is left to shorter ones.

    P(w | h) = (c(h w) + T(h) P(w | h')) / (c(h) + T(h))

c counts, T(h) is how many different words followed h, h' is h without its oldest word. Below single words stands an
even share among all that are known, and one more for all that are not. The same over characters, where words are few
and their spellings matter. It is JSON text, known by its SHA-256, and lies beside preprocess.json (`Domain.assets`).
"""

from __future__ import annotations

import functools
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pervade.core import contents, files
from pervade.core.assets import Assets

Unit = Literal["words", "characters"]
BEGIN, END = "<s>", "</s>"
MOST = 500_000  # n-grams that are kept, the most frequent


@dataclass(frozen=True)
class WordModel:
    """`counts`: n-grams of 1 to `order` units, joined by a line break, and how often each was seen."""

    unit: Unit
    order: int
    counts: dict[str, int]
    followed: dict[str, tuple[int, int]]  # of a history: c(h) and T(h)
    vocabulary: int  # different units, END among them

    def log_prob(self, history: Sequence[str], unit: str) -> float:
        """Natural logarithm of the probability that `unit` (or END) follows `history`, of which the last order - 1
        units count."""
        return math.log(self._probability(tuple(history[max(len(history) - self.order + 1, 0) :]), unit))

    def _probability(self, history: tuple[str, ...], unit: str) -> float:
        lower = self._probability(history[1:], unit) if history else 1 / (self.vocabulary + 1)
        seen, different = self.followed.get("\n".join(history), (0, 0))
        if not seen:
            return lower
        return (self.counts.get("\n".join((*history, unit)), 0) + different * lower) / (seen + different)

    def units(self, text: str) -> list[str]:
        return text.split() if self.unit == "words" else list(text)

    def score(self, text: str) -> float:
        """Log-probability of a whole text, its end included."""
        written = [*self.units(text), END]
        before = [BEGIN] * (self.order - 1)
        return sum(self.log_prob([*before, *written[:i]], written_word) for i, written_word in enumerate(written))

    def perplexity(self, texts: Sequence[str]) -> float:
        """Of how many units, all as likely, the next would be one."""
        total = sum(self.score(text) for text in texts)
        return math.exp(-total / max(sum(len(self.units(text)) + 1 for text in texts), 1))


def learn(texts: Sequence[str], unit: Unit, order: int) -> str:
    """The model's JSON. The same texts give the same."""
    counts: Counter[str] = Counter()
    for text in texts:
        written = [*[BEGIN] * (order - 1), *(text.split() if unit == "words" else list(text)), END]
        for end in range(order, len(written) + 1):
            for length in range(1, order + 1):
                counts["\n".join(written[end - length : end])] += 1
    kept = sorted(counts.items(), key=lambda word_and_count: (-word_and_count[1], word_and_count[0]))[:MOST]
    return json.dumps({"format": files.FORMAT, "unit": unit, "order": order, "counts": dict(sorted(kept))})


def read(text: str) -> WordModel:
    """Raises CheckpointError where it is damaged."""
    with contents.understood("the model of words", "use another checkpoint, or train again"):
        parsed = files.parse_json(text)
        counts: dict[str, int] = parsed["counts"]
        seen: Counter[str] = Counter()
        different: Counter[str] = Counter()
        for gram, count in counts.items():
            history = gram.rpartition("\n")[0]
            seen[history] += count
            different[history] += 1
        followed = {history: (seen[history], different[history]) for history in seen}
        return WordModel(parsed["unit"], int(parsed["order"]), counts, followed, different[""])


# while decoding

State = tuple[tuple[str, ...], str, bool]  # the units before, what is written of the next, whether a blank waits


@dataclass(frozen=True)
class Scorer:
    """What the model thinks of a text as it is written piece by piece (nn/ctc.py): `weight` times its log-probability,
    and `bonus` for every word, without which longer texts are always the less likely ones."""

    model: WordModel
    alphabet: tuple[str, ...]  # what each piece spells; a blank ends a word
    weight: float
    bonus: float

    def begin(self) -> State:
        return (BEGIN,) * (self.model.order - 1), "", False

    def add(self, state: State, piece: int) -> tuple[State, float]:
        """The state after the piece, and what it adds to the score."""
        step = self._in_words if self.model.unit == "words" else self._in_characters
        total = 0.0
        for character in self.alphabet[piece]:
            state, gained = step(state, character)
            total += gained
        return state, total

    def end(self, state: State) -> float:
        """What the end adds."""
        history, word, _ = state
        total = 0.0
        if self.model.unit == "words" and word:
            total += self.weight * self.model.log_prob(history, word) + self.bonus
            history = self._after(history, word)
        return total + self.weight * self.model.log_prob(history, END)

    def _in_words(self, state: State, character: str) -> tuple[State, float]:
        history, word, _ = state
        if character != " ":
            return (history, word + character, False), 0.0
        if not word:
            return state, 0.0
        gained = self.weight * self.model.log_prob(history, word) + self.bonus
        return (self._after(history, word), "", False), gained

    def _in_characters(self, state: State, character: str) -> tuple[State, float]:
        """A blank counts once a word follows: those at the ends, and second ones, count for nothing."""
        history, word, waiting = state
        if character == " ":
            return (history, word, bool(word)), 0.0
        total = self.bonus if waiting or not word else 0.0
        for sign in ([" "] if waiting else []) + [character]:
            total += self.weight * self.model.log_prob(history, sign)
            history = self._after(history, sign)
        return (history, character, False), total

    def _after(self, history: tuple[str, ...], unit: str) -> tuple[str, ...]:
        return (*history, unit)[max(len(history) + 2 - self.model.order, 0) :]


assets = Assets("word model", "words", files.read_text)
keep, text_of, file_name, attach = assets.keep, assets.text_of, assets.file_name, assets.attach


@functools.lru_cache(4)
def of(digest: str) -> WordModel:
    return read(text_of(digest))
