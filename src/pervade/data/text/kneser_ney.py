"""How likely a token is after those before it, by counts: interpolated modified Kneser-Ney smoothing (S. Chen and
J. Goodman, "An empirical study of smoothing techniques for language modeling", 1999).

    P(w | h) = (c(h w) - D) / c(h) + left(h) P(w | h')

h' is h without its oldest token, and below single tokens stands an even share for all. c says of the longest n-grams
how often they were seen, of shorter ones after how many different tokens, and how often at the beginning of a text,
where nothing stands before them; c(h) is their sum. What is taken off those seen once, twice, and more often (D) is
`left`.

An n-gram of k tokens has a number, its place among the sorted `keys` of all of k:

    key = (number of its first k - 1 tokens) x vocabulary + its last token

so what followed a history stands together, and an n-gram is found from its beginning on.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pervade.data.text.corpus import IGNORED

USUAL = (0.0, 0.5, 1.0, 1.5)  # taken off what was seen 0, 1, 2, 3 times and more, where too little was seen to tell
PRUNED = 3  # the shortest n-grams that are left out where there are too many


@dataclass(frozen=True)
class Text:
    """Texts one after another: tokens (n,), which of them are to be foretold, and how many stand before each in its
    own text."""

    tokens: np.ndarray
    asked: np.ndarray
    before: np.ndarray


@dataclass(frozen=True)
class Level:
    """The n-grams of one length: their sorted `keys` (of single tokens all), the share (c - D) / c(h), of single tokens
    the whole probability, and what is `left` after each of them for shorter histories."""

    keys: np.ndarray
    share: np.ndarray
    left: np.ndarray


def joined(windows: Iterable[tuple[np.ndarray, np.ndarray]], order: int) -> Text:
    """Of windows, each its tokens (t,) and the token that is asked for after each (t,), IGNORED where none is. Of what
    was asked in the window before, only as much is kept as n-grams of `order` tokens look back on."""
    tokens, asked, before = [np.empty(0, np.int64)], [np.empty(0, bool)], [np.empty(0, np.int64)]
    for given, target in windows:
        known = np.concatenate([[False], target != IGNORED])
        places = np.flatnonzero(known)
        if not len(places):
            continue
        text = np.append(given, 0)
        text[known] = target[known[1:]]
        kept = slice(max(places[0] - order, 0), places[-1] + 1)
        tokens.append(text[kept])
        asked.append(known[kept])
        before.append(np.arange(len(tokens[-1])))
    return Text(np.concatenate(tokens), np.concatenate(asked), np.concatenate(before))


def learn(text: Text, order: int, vocabulary: int, most: int) -> tuple[list[Level], int]:
    """The n-grams of 1 to `order` tokens, and how often those of three and more were seen at least: once, unless this
    leaves out enough of them that there are `most`."""
    counted = _count(text, order, vocabulary)
    shares, left, histories = [], [], 1
    for level in counted:
        share, of_histories = _shared(level.seen, level.history, histories)
        shares.append(share)
        left.append(of_histories)
        histories = len(share)
    shares[0] += left[0] / vocabulary
    left = [*left[1:], np.ones(histories)]
    least = _fewest_times(counted, most)
    return _without(counted, shares, left, _kept(counted, least), vocabulary), least


@dataclass
class _Counted:
    """Of the n-grams of one length: the number of what stands before the last token, the last token, and how often each
    was seen (c)."""

    history: np.ndarray
    last: np.ndarray
    seen: np.ndarray


def _count(text: Text, order: int, vocabulary: int) -> list[_Counted]:
    numbers = text.tokens.astype(np.int64)
    first = np.bincount(numbers[text.asked], minlength=vocabulary)
    levels = [_Counted(np.zeros(vocabulary, np.int64), np.arange(vocabulary), first)]
    for length in range(2, order + 1):
        ends = np.flatnonzero(text.before >= length - 1)
        keys = numbers[ends - 1] * vocabulary + text.tokens[ends]
        unique, some, places = np.unique(keys, return_index=True, return_inverse=True)
        seen = np.bincount(places[text.asked[ends]], minlength=len(unique))
        # Of the shorter ones counts what stood before them: every n-gram of this length once, or nothing at all.
        shorter = levels[-1]
        different = np.bincount(numbers[ends[some]][seen > 0], minlength=len(shorter.seen))
        begins = numbers[text.asked & (text.before == length - 2)]
        shorter.seen = different + np.bincount(begins, minlength=len(shorter.seen))
        numbers = np.full(len(numbers), -1)
        numbers[ends] = places
        levels.append(_Counted(unique // vocabulary, unique % vocabulary, seen))
    return levels


def _shared(seen: np.ndarray, history: np.ndarray, histories: int) -> tuple[np.ndarray, np.ndarray]:
    """(c - D) / c(h) of each n-gram, and what is left of each history: everything, where nothing followed it."""
    taken = np.array(discounts(seen))[np.minimum(seen, 3)]
    total = np.bincount(history, seen, histories)
    divisor = np.maximum(total, 1.0)
    left = np.where(total > 0, np.bincount(history, taken, histories) / divisor, 1.0)
    return (seen - taken) / divisor[history], left


def discounts(seen: np.ndarray) -> Sequence[float]:
    """What is taken off those seen 0, 1, 2, 3 times and more (Chen & Goodman, equation 26)."""
    once, twice, thrice, fourth = (float((seen == count).sum()) for count in (1, 2, 3, 4))
    if not (once and twice and thrice):
        return USUAL
    rate = once / (once + 2 * twice)
    off = (0.0, 1 - 2 * rate * twice / once, 2 - 3 * rate * thrice / twice, 3 - 4 * rate * fourth / thrice)
    return off if all(0 < taken <= count for count, taken in enumerate(off) if count) else USUAL


def _fewest_times(counted: Sequence[_Counted], most: int) -> int:
    """How often n-grams of PRUNED tokens and more are to be seen at least, so that `most` are kept; where shorter ones
    alone are more, so often that none of these is."""
    beyond = 1 + max((int(level.seen.max(initial=0)) for level in counted[PRUNED - 1 :]), default=0)

    def few(least: int) -> bool:
        return sum(map(np.count_nonzero, _kept(counted, least)[1:])) <= most

    above, least = 0, 1
    while least < beyond and not few(least):
        above, least = least, 2 * least
    between = range(above + 1, min(least, beyond))
    return above + 1 + bisect.bisect_left(between, True, key=few)


def _kept(counted: Sequence[_Counted], least: int) -> list[np.ndarray]:
    """Which n-grams are kept: those seen often enough, and the beginnings of these."""
    kept = [np.ones(len(counted[0].seen), bool)]
    kept += [level.seen >= (least if length >= PRUNED else 1) for length, level in enumerate(counted[1:], start=2)]
    for number in range(len(counted) - 1, 0, -1):
        kept[number - 1][counted[number].history[kept[number]]] = True
    return kept


def _without(
    counted: Sequence[_Counted],
    shares: Sequence[np.ndarray],
    left: Sequence[np.ndarray],
    kept: Sequence[np.ndarray],
    vocabulary: int,
) -> list[Level]:
    """The kept n-grams, numbered anew. What the others had is left to shorter histories."""
    levels, renumbered = [], np.zeros(1, np.int64)
    for number, (level, keep) in enumerate(zip(counted, kept, strict=True)):
        rest = left[number]
        if number + 1 < len(counted):
            longer, out = counted[number + 1], ~kept[number + 1]
            rest = rest + np.bincount(longer.history[out], shares[number + 1][out], len(rest))
        keys = renumbered[level.history[keep]] * vocabulary + level.last[keep]
        levels.append(Level(keys, shares[number][keep], np.minimum(rest[keep], 1.0)))
        renumbered = np.cumsum(keep) - 1
    return levels
