"""From what a network says of every frame to text: connectionist temporal classification (Graves et al. 2006).

A path has one piece, or the blank, a frame; what it spells is read by joining repeats and then leaving blanks out. The
best path spells what `best_path` gives; what is likeliest over all paths that spell it, `beam_search` looks for
(Hannun et al. 2014, arXiv:1408.2873), if asked with a word model's opinion; when each piece was said is `aligned`.

A `Lattice` holds of every frame the blank and the likeliest other pieces, which is all that decoding looks at.
Axis letters: n rows, f frames, v pieces, k kept pieces.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

BLANK = 0  # its number among the pieces
NEVER = -math.inf
ABSENT = -30.0  # log-probability of a piece that the lattice did not keep, where an alignment must have one
UNLIKELY = -12.0  # below the likeliest piece of a frame by more, and a piece is not tried there


def loss(logits: Tensor, frames: Tensor, target: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """(n,): minus the log-probability of the target over all paths, and whether it fits into the frames at all. Where
    it does not, the loss is 0 and so is its gradient: such rows are to be left out and said.

    logits (n, f, v), frames (n, f) bool, target (n, l) int64, padded, length (n,).
    """
    log_prob = logits.float().log_softmax(2).transpose(0, 1)
    counted = frames.sum(1)
    later = torch.arange(1, target.shape[1], device=target.device) < length[:, None]
    repeats = (target[:, 1:] == target[:, :-1]) & later
    fits = length + repeats.sum(1) <= counted
    # zero_infinity keeps the gradient of rows that do not fit finite; that they count for nothing is said by `fits`.
    found = F.ctc_loss(log_prob, target, counted, length, blank=BLANK, reduction="none", zero_infinity=True)
    return torch.where(fits, found, torch.zeros_like(found)), fits


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
        found: np.ndarray = self.log_prob.argmax(1)
        return found


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
    width = min(each.pieces.shape[1] for each in parts)
    return Lattice(
        np.concatenate([each.pieces[:, :width] for each in parts]),
        np.concatenate([each.log_prob[:, :width] for each in parts]),
    )


# decoding


@dataclass(frozen=True)
class Said:
    """Pieces, and of each the first and last frame and its log-probability where it is surest."""

    pieces: list[int]
    first: list[int]
    last: list[int]
    sure: list[float]


def collapse(path: Sequence[int]) -> list[int]:
    """
    >>> collapse([0, 3, 3, 0, 3, 5, 5, 0])
    [3, 3, 5]
    """
    return [piece for place, piece in enumerate(path) if piece != BLANK and (place == 0 or path[place - 1] != piece)]


def best_path(lattice: Lattice) -> Said:
    """What the likeliest path spells, and when."""
    place = lattice.best()
    frames = np.arange(len(lattice))
    path, sure = lattice.pieces[frames, place], lattice.log_prob[frames, place]
    said = Said([], [], [], [])
    for frame, piece in enumerate(path.tolist()):
        if piece == BLANK:
            continue
        if frame and path[frame - 1] == piece:
            said.last[-1], said.sure[-1] = frame, max(said.sure[-1], float(sure[frame]))
        else:
            for values, value in zip(vars(said).values(), (piece, frame, frame, float(sure[frame])), strict=True):
                values.append(value)
    return said


class Opinion(Protocol):
    """What a word model thinks of a text as it is written piece by piece."""

    def begin(self) -> Any: ...

    def add(self, state: Any, piece: int) -> tuple[Any, float]:
        """The new state and what the piece adds to the score of the text."""
        ...

    def end(self, state: Any) -> float:
        """What the text's end adds."""
        ...


def beam_search(lattice: Lattice, beam: int, opinion: Opinion | None = None) -> list[tuple[tuple[int, ...], float]]:
    """The likeliest spellings with their scores, the best first: the logarithm of the sum over all paths, plus the
    opinion of them. `beam` spellings are kept after every frame."""
    nothing: tuple[int, ...] = ()
    # Of each spelling: log-probability of the paths that end in the blank, and of those that end in its last piece.
    front: dict[tuple[int, ...], tuple[float, float]] = {nothing: (0.0, NEVER)}
    states: dict[tuple[int, ...], tuple[Any, float]] = {nothing: (opinion.begin() if opinion else None, 0.0)}
    for pieces, log_prob in zip(lattice.pieces.tolist(), lattice.log_prob.tolist(), strict=True):
        blank, highest = log_prob[0], max(log_prob)
        tried = [(p, s) for p, s in zip(pieces[1:], log_prob[1:], strict=True) if s >= highest + UNLIKELY]
        new: dict[tuple[int, ...], list[float]] = {}
        for text, (ended, open_) in front.items():
            whole = _add(ended, open_)
            at = new.setdefault(text, [NEVER, NEVER])
            at[0] = _add(at[0], whole + blank)
            for piece, score in tried:
                again = bool(text) and text[-1] == piece
                if again:
                    at[1] = _add(at[1], open_ + score)
                before = ended if again else whole  # a blank must stand between two of the same
                if before > NEVER:
                    further = new.setdefault((*text, piece), [NEVER, NEVER])
                    further[1] = _add(further[1], before + score)
        if opinion is not None:
            for text in new:
                if text not in states:
                    state, so_far = states[text[:-1]]
                    state, gained = opinion.add(state, text[-1])
                    states[text] = state, so_far + gained
        ranked = sorted(((_add(*scores) + (states[text][1] if opinion else 0.0), text) for text, scores in new.items()))
        front = {text: (new[text][0], new[text][1]) for _, text in ranked[-beam:]}
        if opinion is not None:
            states = {text: states[text] for text in front}  # all others would be kept for as long as the recording is
    found = []
    for text, scores in front.items():
        state, so_far = states[text] if opinion else (None, 0.0)
        found.append((text, _add(*scores) + so_far + (opinion.end(state) if opinion else 0.0)))
    return sorted(found, key=lambda each: (-each[1], each[0]))


def _add(a: float, b: float) -> float:
    """log(exp a + exp b)."""
    if a == NEVER or b == NEVER:
        return max(a, b)
    high, low = (a, b) if a > b else (b, a)
    return high + math.log1p(math.exp(low - high))


def aligned(lattice: Lattice, pieces: Sequence[int]) -> Said:
    """When these pieces were said on the likeliest path that spells them (Viterbi). A piece that no frame kept is taken
    for very unlikely; more pieces than fit are spread evenly."""
    frames, count = len(lattice), len(pieces)
    if not count:
        return Said([], [], [], [])
    if frames < count + sum(a == b for a, b in pairwise(pieces)):
        places = [min(i * frames // count, max(frames - 1, 0)) for i in range(count)]
        return Said(list(pieces), places, places, [ABSENT] * count)
    states = [BLANK, *(each for piece in pieces for each in (piece, BLANK))]
    emit = _emissions(lattice, states)
    size = len(states)
    skip = np.array([i >= 2 and states[i] != BLANK and states[i] != states[i - 2] for i in range(size)])
    score = np.full(size, NEVER)
    score[:2] = emit[0, :2]
    back = np.zeros((frames, size), np.int8)
    for frame in range(1, frames):
        one, two = np.r_[NEVER, score[:-1]], np.where(skip, np.r_[NEVER, NEVER, score[:-2]], NEVER)
        options = np.stack([score, one, two])
        back[frame] = options.argmax(0)
        score = options.max(0) + emit[frame]
    state = size - 1 if score[size - 1] >= score[size - 2] else size - 2
    first, last, sure = [0] * count, [-1] * count, [NEVER] * count
    for frame in range(frames - 1, -1, -1):
        if state % 2:
            place = state // 2
            first[place] = frame
            last[place] = max(last[place], frame)
            sure[place] = max(sure[place], float(emit[frame, state]))
        state -= int(back[frame, state])
    return Said(list(pieces), first, last, sure)


def _emissions(lattice: Lattice, states: Sequence[int]) -> np.ndarray:
    """(f, states)."""
    found = np.full((len(lattice), len(states)), ABSENT)
    for number, state in enumerate(states):
        hit = lattice.pieces == state
        there = hit.any(1)
        found[there, number] = lattice.log_prob[there, hit[there].argmax(1)]
    return found


def spelt(lattice: Lattice, beam: int, opinion: Opinion | None) -> Said:
    """By the best path where `beam` is 0, else by search."""
    if not beam:
        return best_path(lattice)
    return aligned(lattice, beam_search(lattice, beam, opinion)[0][0])


def words(said: Said, alphabet: tuple[str, ...]) -> Iterator[tuple[str, int, int, float]]:
    """Each word with its first and last frame, and the mean log-probability of its pieces."""
    text, first, last, sure = "", 0, 0, [0.0]
    for piece, begin, end, each in zip(said.pieces, said.first, said.last, said.sure, strict=True):
        for place, part in enumerate(alphabet[piece].split(" ")):
            if place and text:
                yield text, first, last, float(np.mean(sure))
                text = ""
            if part:
                if not text:
                    first, sure = begin, []
                text, last = text + part, end
                sure.append(each)
    if text:
        yield text, first, last, float(np.mean(sure))
