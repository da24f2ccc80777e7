"""From what a network says of every frame to text: connectionist temporal classification (Graves et al. 2006).

A path has one piece, or the blank, a frame; what it spells is read by joining repeats and then leaving blanks out. The
best path spells what `best_path` gives; what is likeliest over all paths that spell it, `beam_search` looks for
(Hannun et al. 2014, arXiv:1408.2873), if asked with a word model's score; when each piece was said is `aligned`.

A `Lattice` holds of every frame the blank and the likeliest other pieces, which is all that decoding looks at.
Axis letters: n rows, f frames, v pieces, k kept pieces.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_WHITE = re.compile(r"\s")  # parts words, whatever a published alphabet has for it
BLANK = 0  # its number among the pieces
NEVER = -math.inf
ABSENT = -30.0  # log-probability of a piece that the lattice did not keep, where an alignment must have one
MARGIN = 100.0  # by so much an alignment first looks at what is less likely
UNLIKELY = -12.0  # below the likeliest piece of a frame by more, and a piece is not tried there


def loss(logits: Tensor, frames: Tensor, target: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """(n,): minus the log-probability of the target over all paths, and whether it fits into the frames at all. Where
    it does not, the loss is 0 and so is its gradient: such rows are to be left out and said.

    logits (n, f, v), frames (n, f) bool, target (n, l) int64, padded, length (n,).
    """
    log_prob = logits.float().log_softmax(2).transpose(0, 1)
    target = target if target.shape[1] else F.pad(target, (0, 1))  # nothing is said in any: torch wants a column still
    counted = frames.sum(1)
    later = torch.arange(1, target.shape[1], device=target.device) < length[:, None]
    repeats = (target[:, 1:] == target[:, :-1]) & later
    fits = length + repeats.sum(1) <= counted
    # zero_infinity keeps the gradient of rows that do not fit finite; that they count for nothing is said by `fits`.
    losses = F.ctc_loss(log_prob, target, counted, length, blank=BLANK, reduction="none", zero_infinity=True)
    return torch.where(fits, losses, torch.zeros_like(losses)), fits


# what is kept


@dataclass(frozen=True)
class Lattice:
    """pieces (f, k) int, log_prob (f, k) float: column 0 is the blank, then the others, the likeliest first."""

    pieces: np.ndarray
    log_prob: np.ndarray

    def __len__(self) -> int:
        return len(self.pieces)

    def best(self) -> np.ndarray:
        """(f,): the place of the likeliest piece of each frame."""
        best: np.ndarray = self.log_prob.argmax(1)
        return best


def lattices(log_prob: Tensor, frames: Tensor, kept: int) -> list[Lattice]:
    """Of log_prob (n, f, v), the frames that count, with the blank and the `kept` likeliest others."""
    others = log_prob.clone()
    others[:, :, BLANK] = NEVER
    value, piece = others.topk(min(kept, log_prob.shape[2] - 1), dim=2)
    blank = log_prob[:, :, BLANK : BLANK + 1]
    value, piece = torch.cat([blank, value], 2), torch.cat([torch.full_like(piece[:, :, :1], BLANK), piece], 2)
    arrays = (piece.cpu().numpy(), value.double().cpu().numpy(), frames.cpu().numpy())
    return [Lattice(p[counted], v[counted]) for p, v, counted in zip(*arrays, strict=True)]


def joined(parts: Sequence[Lattice]) -> Lattice:
    """One after the other."""
    width = min(part.pieces.shape[1] for part in parts)
    return Lattice(
        np.concatenate([part.pieces[:, :width] for part in parts]),
        np.concatenate([part.log_prob[:, :width] for part in parts]),
    )


# decoding


@dataclass(frozen=True)
class Hypothesis:
    """Pieces, and of each the first and last frame and its log-probability where it is surest."""

    pieces: list[int]
    first: list[int]
    last: list[int]
    sure: list[float]


def best_path(lattice: Lattice) -> Hypothesis:
    """What the likeliest path spells, and when."""
    place = lattice.best()
    frames = np.arange(len(lattice))
    path, sure = lattice.pieces[frames, place], lattice.log_prob[frames, place]
    hypothesis = Hypothesis([], [], [], [])
    for frame, piece in enumerate(path.tolist()):
        if piece == BLANK:
            continue
        if frame and path[frame - 1] == piece:
            hypothesis.last[-1], hypothesis.sure[-1] = frame, max(hypothesis.sure[-1], float(sure[frame]))
        else:
            for values, value in zip(vars(hypothesis).values(), (piece, frame, frame, float(sure[frame])), strict=True):
                values.append(value)
    return hypothesis


class Scorer(Protocol):
    """What a word model thinks of a text as it is written piece by piece."""

    def begin(self) -> Any: ...

    def add(self, state: Any, piece: int) -> tuple[Any, float]:
        """The new state and what the piece adds to the score of the text."""
        ...

    def end(self, state: Any) -> float:
        """What the text's end adds."""
        ...


class _Prefix:
    """A spelling so far: `piece` after those of `before`. What spellings share is kept once, so that a step costs the
    same after hours as at first. Of what is alive, the same spelling is the same object."""

    __slots__ = ("__weakref__", "before", "length", "piece")

    def __init__(self, before: _Prefix | None, piece: int) -> None:
        self.before, self.piece = before, piece
        self.length: int = before.length + 1 if before else 0

    def text(self) -> tuple[int, ...]:
        pieces, at = [], self
        while at.before is not None:
            pieces.append(at.piece)
            at = at.before
        return tuple(reversed(pieces))

    def __lt__(self, other: _Prefix) -> bool:
        """As their pieces would be ordered, which decides between equal scores."""
        one, two = self, other
        while one.length > other.length and one.before:
            one = one.before
        while two.length > self.length and two.before:
            two = two.before
        if one is two:
            return self.length < other.length
        while one.before is not two.before and one.before and two.before:
            one, two = one.before, two.before
        return one.piece < two.piece


def beam_search(
    lattice: Lattice, beam: int, scorer: Scorer | None = None, most: int | None = None
) -> list[tuple[tuple[int, ...], float]]:
    """The likeliest spellings (at most `most` of them) with their scores, the best first: the logarithm of the sum over
    all paths, plus what the scorer adds. `beam` spellings are kept after every frame."""
    nothing = _Prefix(None, BLANK)
    # Those that are alive: one that left the front may come back while longer ones of it are still there.
    known: WeakValueDictionary[tuple[_Prefix, int], _Prefix] = WeakValueDictionary()
    # Of each spelling: log-probability of the paths that end in the blank, and of those that end in its last piece.
    front: dict[_Prefix, tuple[float, float]] = {nothing: (0.0, NEVER)}
    states: dict[_Prefix, tuple[Any, float]] = {nothing: (scorer.begin() if scorer else None, 0.0)}
    for frame in range(len(lattice)):
        pieces, log_prob = lattice.pieces[frame].tolist(), lattice.log_prob[frame].tolist()
        blank, highest = log_prob[0], max(log_prob)
        tried = [(p, s) for p, s in zip(pieces[1:], log_prob[1:], strict=True) if s >= highest + UNLIKELY]
        new: dict[_Prefix, list[float]] = {}
        for text, (ended, open_) in front.items():
            whole = _add(ended, open_)
            at = new.setdefault(text, [NEVER, NEVER])
            at[0] = _add(at[0], whole + blank)
            for piece, score in tried:
                again = text.piece == piece
                if again:
                    at[1] = _add(at[1], open_ + score)
                before = ended if again else whole  # a blank must stand between two of the same
                if before > NEVER:
                    further = new.setdefault(known.get((text, piece)) or _Prefix(text, piece), [NEVER, NEVER])
                    further[1] = _add(further[1], before + score)
        if scorer is not None:
            for text in new:
                if text not in states and text.before is not None:
                    state, so_far = states[text.before]
                    state, gained = scorer.add(state, text.piece)
                    states[text] = state, so_far + gained
        ranked = sorted(((_add(*scores) + (states[text][1] if scorer else 0.0), text) for text, scores in new.items()))
        front = {text: (new[text][0], new[text][1]) for _, text in ranked[-beam:]}
        for text in front:
            if text.before is not None:
                known[text.before, text.piece] = text
        if scorer is not None:
            states = {text: states[text] for text in front}  # all others would be kept for as long as the recording is
    scored = []
    for text, scores in front.items():
        state, so_far = states[text] if scorer else (None, 0.0)
        scored.append((text, _add(*scores) + so_far + (scorer.end(state) if scorer else 0.0)))
    return [(text.text(), score) for text, score in sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:most]]


def _add(a: float, b: float) -> float:
    """log(exp a + exp b)."""
    if a == NEVER or b == NEVER:
        return max(a, b)
    high, low = (a, b) if a > b else (b, a)
    return high + math.log1p(math.exp(low - high))


def aligned(lattice: Lattice, pieces: Sequence[int]) -> Hypothesis:
    """When these pieces were said on the likeliest path that spells them (Viterbi). A piece that no frame kept is taken
    for very unlikely; more pieces than fit are spread evenly.

    Frames times pieces are too many where both are of hours, so states more than a margin behind the likeliest of their
    frame are left out. Whatever path was lost so is by more than the margin below the best path; the one that was found
    is the likeliest of all where it is not.
    """
    frames, count = len(lattice), len(pieces)
    if not count:
        return Hypothesis([], [], [], [])
    if frames < count + sum(a == b for a, b in pairwise(pieces)):
        places = [min(i * frames // count, max(frames - 1, 0)) for i in range(count)]
        return Hypothesis(list(pieces), places, places, [ABSENT] * count)
    states = np.array([BLANK, *(state for piece in pieces for state in (piece, BLANK))])
    at_most = float(lattice.log_prob.max(1).sum())
    margin = MARGIN
    path, score, whole = _viterbi(lattice, states, margin)
    while not whole and at_most - score > margin:
        margin = 4 * margin if score == NEVER else at_most - score
        path, score, whole = _viterbi(lattice, states, margin)
    first, last, sure = [0] * count, [-1] * count, [NEVER] * count
    for frame in range(frames - 1, -1, -1):
        if path[frame] % 2:
            place = path[frame] // 2
            first[place] = frame
            last[place] = max(last[place], frame)
            sure[place] = max(sure[place], _log_prob(lattice, frame, pieces[place]))
    return Hypothesis(list(pieces), first, last, sure)


def _viterbi(lattice: Lattice, states: np.ndarray, margin: float) -> tuple[list[int], float, bool]:
    """The state of each frame on the likeliest path among those never more than `margin` behind, its log-probability
    (NEVER where none comes to the end), and whether no state was left out at all."""
    frames, size = len(lattice), len(states)
    skip = np.zeros(size, bool)
    skip[2:] = (states[2:] != BLANK) & (states[2:] != states[:-2])
    emit = np.full(int(max(states.max(), lattice.pieces.max())) + 1, ABSENT)  # of the frame, by piece
    low, score, whole = 0, np.zeros(1), True  # before the first frame it stands in the first blank
    lows, backs = [], []
    for frame in range(frames):
        emit[lattice.pieces[frame]] = lattice.log_prob[frame]
        width = min(len(score) + (2 if frame else 1), size - low)
        stay = np.full(width + 2, NEVER)  # two more in front, from which nothing comes
        stay[2 : 2 + len(score)] = score
        here = slice(low, low + width)
        options = np.stack([stay[2:], stay[1:-1], np.where(skip[here], stay[:-2], NEVER)])
        back = options.argmax(0)
        score = options.max(0) + emit[states[here]]
        emit[lattice.pieces[frame]] = ABSENT
        alive = np.flatnonzero(score >= score.max() - margin)
        begin, end = int(alive[0]), int(alive[-1]) + 1
        whole = whole and bool((score[:begin] == NEVER).all() and (score[end:] == NEVER).all())
        low, score = low + begin, score[begin:end]
        lows.append(low)
        backs.append(back[begin:end].astype(np.int8))
    ends = [float(score[state - low]) if low <= state < low + len(score) else NEVER for state in (size - 2, size - 1)]
    best, state = max(ends), size - 1 if ends[1] >= ends[0] else size - 2
    path = [state] * frames
    for frame in range(frames - 1, 0, -1) if best > NEVER else ():
        state -= int(backs[frame][state - lows[frame]])
        path[frame - 1] = state
    return path, best, whole


def _log_prob(lattice: Lattice, frame: int, piece: int) -> float:
    there = np.flatnonzero(lattice.pieces[frame] == piece)
    return float(lattice.log_prob[frame, there[0]]) if len(there) else ABSENT


def spelt(lattice: Lattice, beam: int, scorer: Scorer | None) -> Hypothesis:
    """By the best path where `beam` is 0, else by search."""
    if not beam:
        return best_path(lattice)
    return aligned(lattice, beam_search(lattice, beam, scorer, most=1)[0][0])


def words(hypothesis: Hypothesis, alphabet: tuple[str, ...]) -> Iterator[tuple[str, int, int, float]]:
    """Each word with its first and last frame, and the mean log-probability of its pieces."""
    text, first, last, sure = "", 0, 0, [0.0]
    pieces = zip(hypothesis.pieces, hypothesis.first, hypothesis.last, hypothesis.sure, strict=True)
    for piece, begin, end, log_prob in pieces:
        for place, part in enumerate(_WHITE.split(alphabet[piece])):
            if place and text:
                yield text, first, last, float(np.mean(sure))
                text = ""
            if part:
                if not text:
                    first, sure = begin, []
                text, last = text + part, end
                sure.append(log_prob)
    if text:
        yield text, first, last, float(np.mean(sure))
