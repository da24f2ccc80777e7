"""What an agent may do, as a distribution over actions: in numpy where it acts, in torch where it learns.

An action space is JSON, as the domain keeps it:

    {"kind": "discrete", "sizes": [2]}                          one choice of 2; an action is (n, 1) int64
    {"kind": "discrete", "sizes": [3, 3]}                       two choices at once (multi-discrete, multi-binary)
    {"kind": "continuous", "low": [-2.0], "high": [2.0], …}     numbers; an action is (n, d) float32

Continuous policies think in units of the space: -1 is its low end and 1 its high end, where it has both and `scale` is
true; a normal distribution goes beyond, and what the environment gets is cut off at the ends.

Axis letters: n rows, k choices in all, d numbers of an action.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.autograd.function import once_differentiable

from pervade.core.words import counted

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)

Space = Mapping[str, Any]


def is_discrete(space: Space) -> bool:
    return bool(space["kind"] == "discrete")


def width(space: Space) -> int:
    """Numbers of one action."""
    return len(space["sizes"]) if is_discrete(space) else len(space["low"])


def choices(space: Space) -> int:
    """Outputs that tell the policy: a score for every choice, or a mean for every number."""
    return sum(space["sizes"]) if is_discrete(space) else len(space["low"])


def describe(space: Space) -> str:
    """
    >>> describe({"kind": "discrete", "sizes": [2]}), describe({"kind": "discrete", "sizes": [3, 2]})
    ('2 actions', '2 choices at once (of 3, 2)')
    """
    if not is_discrete(space):
        return counted(width(space), "continuous number")
    sizes = space["sizes"]
    return (
        counted(sizes[0], "action")
        if len(sizes) == 1
        else f"{len(sizes)} choices at once (of {', '.join(map(str, sizes))})"
    )


# acting


def noise(space: Space, shape: tuple[int, ...], rng: Generator) -> np.ndarray:
    """(*shape, k) Gumbel noise, whose largest sum with the scores is a draw from their softmax (Gumbel 1954), or
    (*shape, d) normal noise."""
    full = (*shape, choices(space))
    drawn = rng.gumbel(size=full) if is_discrete(space) else rng.standard_normal(full)
    return drawn.astype(np.float32)


def choose(output: Mapping[str, np.ndarray], space: Space, noise: np.ndarray | None) -> np.ndarray:
    """Actions (n, width); without noise the likeliest."""
    if not is_discrete(space):
        mean = output["mean"]
        return mean if noise is None else mean + np.exp(output["log_deviation"]) * noise
    scores = output["logits"] if noise is None else output["logits"] + noise
    return best(scores, space)


def best(scores: np.ndarray, space: Space) -> np.ndarray:
    """(n, k) scores to (n, choices at once), the highest of each."""
    sizes = space["sizes"]
    if len(sizes) == 1:
        choice: np.ndarray = scores.argmax(-1)[:, None]
        return choice
    ends = np.cumsum([0, *sizes])
    return np.stack([scores[:, a:b].argmax(-1) for a, b in pairwise(ends)], axis=1)


def outward(actions: np.ndarray, space: Space) -> np.ndarray:
    """Actions as the environment takes them: inside its bounds, in its units."""
    if is_discrete(space):
        return actions
    low, high = np.asarray(space["low"], np.float32), np.asarray(space["high"], np.float32)
    if space.get("scale") and np.isfinite(low).all() and np.isfinite(high).all():
        return low + (np.clip(actions, -1.0, 1.0) + 1.0) * (0.5 * (high - low))
    return np.clip(actions, low, high)


def likeliest(scores: Tensor, space: Space) -> Tensor:
    """As `outward` of `choose` without noise, in torch: of the scores of all choices (n, k), or of means (n, d)."""
    if is_discrete(space):
        return torch.stack([part.argmax(1) for part in scores.split(list(space["sizes"]), dim=1)], 1)
    low, high = (torch.tensor(space[end], dtype=torch.float32) for end in ("low", "high"))
    if space.get("scale") and all(map(math.isfinite, (*space["low"], *space["high"]))):
        return low + (scores.clamp(-1.0, 1.0) + 1.0) * (0.5 * (high - low))
    return scores.clamp(low, high)


def probabilities(output: Mapping[str, np.ndarray], space: Space) -> np.ndarray:
    """(n, k): softmax of every choice's scores."""
    parts = []
    for a, b in pairwise(np.cumsum([0, *space["sizes"]])):
        scores = output["logits"][:, a:b] - output["logits"][:, a:b].max(-1, keepdims=True)
        exp = np.exp(scores)
        parts.append(exp / exp.sum(-1, keepdims=True))
    return np.concatenate(parts, axis=1)


# learning


def log_prob_and_entropy(output: Mapping[str, Tensor], action: Tensor, space: Space) -> tuple[Tensor, Tensor]:
    """(n,) each, summed over the choices or numbers of an action."""
    if is_discrete(space):
        logits = output["logits"].float()
        sizes = space["sizes"]
        if len(sizes) == 1:
            return _one(logits, action)
        parts = [_one(part, action[:, i : i + 1]) for i, part in enumerate(logits.split(list(sizes), dim=1))]
        return torch.stack([a for a, _ in parts]).sum(0), torch.stack([b for _, b in parts]).sum(0)
    mean, log_deviation = output["mean"].float(), output["log_deviation"].float()
    apart = (action - mean) * torch.exp(-log_deviation)
    log_prob = (-0.5 * apart.square() - log_deviation - HALF_LOG_TAU).sum(1)
    entropy = (log_deviation + 0.5 + HALF_LOG_TAU).sum(-1)
    return log_prob, entropy


def _one(logits: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    pair: tuple[Tensor, Tensor] = _Choice.apply(logits, action)
    return pair


class _Choice(torch.autograd.Function):
    """Log-probability of an action and entropy H of the choice from scores (n, k), with their gradient written out: a
    third of the calls that autograd would make of it. With p the softmax, l its logarithm, e the action:

        ∂ log p_e / ∂ scores = e - p            ∂ H / ∂ scores = -p (l + H)
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        log_probs = logits.log_softmax(1)
        chances = log_probs.exp()
        entropy = (log_probs * chances).sum(1).neg_()
        ctx.save_for_backward(log_probs, chances, entropy, action)
        ctx.set_materialize_grads(False)
        return log_probs.gather(1, action)[:, 0], entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_log_prob: Tensor | None, of_entropy: Tensor | None) -> tuple[Tensor | None, None]:
        log_probs, chances, entropy, action = ctx.saved_tensors
        back: Tensor | None = None
        if of_log_prob is not None:
            column = of_log_prob[:, None]
            back = (chances * -column).scatter_add_(1, action, column)
        if of_entropy is not None:
            own = chances * (log_probs + entropy[:, None]) * -of_entropy[:, None]
            back = own if back is None else back.add_(own)
        return back, None
