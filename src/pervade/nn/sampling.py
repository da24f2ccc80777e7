"""Choosing the next token: temperature, top-k, top-p, a penalty on repetition; or rows of codes side by side.

Top-p (nucleus) sampling: Holtzman et al. 2020, arXiv:1904.09751. Repetition penalty: Keskar et al. 2019,
arXiv:1909.05858. Axis letter: v tokens of the vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from pervade.core.bounds import Count, Nucleus, Seed, Temperature

FIRST = 256  # tokens that are looked at first
MARGIN = 1e-3  # by which they must have more than top-p together


@dataclass(frozen=True)
class Sampling:
    length: Annotated[int, Field(ge=1, le=10**6)] = 200  # tokens that are written at most
    temperature: Temperature = 0.8  # logits are divided by this; 0: always the likeliest
    top_k: Count = 0  # among the k likeliest alone; 0: among all
    top_p: Nucleus = 0.95  # among the likeliest that together have this probability
    repetition_penalty: Annotated[float, Field(ge=1, le=10)] = 1.0  # of tokens that stand in the text already
    stop: tuple[str, ...] = ()  # texts at which it ends
    seed: Seed = 0


def choose(logits: Tensor, seen: Sequence[int], sampling: Sampling, random: torch.Generator) -> int:
    """The next token, from logits (v,) and the tokens before it."""
    return choose_each(logits[None], [seen], [sampling], [random])[0]


def choose_each(
    logits: Tensor, seen: Sequence[Sequence[int]], samplings: Sequence[Sampling], randoms: Sequence[torch.Generator]
) -> list[int]:
    """The next token of each row of logits (n, v), the same as of the row alone."""
    rows = list(logits.float())
    for row, (sampling, before) in enumerate(zip(samplings, seen, strict=True)):
        if sampling.repetition_penalty != 1.0 and before:
            rows[row] = _penalised(rows[row], before, sampling.repetition_penalty)
    logits = torch.stack(rows)
    chosen = logits.argmax(1).tolist()
    drawn = [row for row, sampling in enumerate(samplings) if sampling.temperature != 0]
    if drawn:
        some = [samplings[row] for row in drawn]
        temperatures = torch.tensor([[sampling.temperature] for sampling in some], device=logits.device)
        top_k, top_p = [sampling.top_k for sampling in some], [sampling.top_p for sampling in some]
        probabilities = truncated(logits[drawn] / temperatures, top_k, top_p).cpu()
        for row, shares in zip(drawn, probabilities, strict=True):
            chosen[row] = int(torch.multinomial(shares, 1, generator=randoms[row]))
    return chosen


def _penalised(logits: Tensor, seen: Sequence[int], penalty: float) -> Tensor:
    """Logits (v,), those of tokens that were seen less probable, on whichever side of 0 they lie."""
    before = torch.tensor(sorted(set(seen)), device=logits.device)
    values = logits[before]
    return logits.index_copy(0, before, torch.where(values > 0, values / penalty, values * penalty))


def truncated(logits: Tensor, top_k: Sequence[int], top_p: Sequence[float]) -> Tensor:
    """Probabilities (n, v) of which each row adds up to 1, those outside its top-k and top-p being 0. The likeliest
    token always stays."""
    if any(top_k):
        logits = torch.stack([_likeliest(row, most) for row, most in zip(logits, top_k, strict=True)])
    probabilities = logits.softmax(1)
    ordered, order = probabilities.topk(min(FIRST, logits.shape[1]))  # nearly always enough; to sort all is dear
    few = ordered.double().sum(1).tolist()
    rows = list(probabilities)
    for row, share in enumerate(top_p):
        if share < 1:
            values, places = ordered[row], order[row]
            if few[row] < share + MARGIN:
                values, places = rows[row].sort(descending=True, stable=True)
            kept = values.masked_fill(values.cumsum(0) - values >= share, 0.0)
            rows[row] = torch.zeros_like(rows[row]).index_copy_(0, places, kept)
    return torch.stack([row / row.sum() for row in rows])


def _likeliest(logits: Tensor, most: int) -> Tensor:
    return (
        logits.masked_fill(logits < logits.topk(most).values[-1], float("-inf")) if 0 < most < len(logits) else logits
    )


@torch.inference_mode()
def draw(model: Any, begin: Tensor, uniform: Tensor, codes: int, temperature: float = 1.0) -> Tensor:
    """Rows of tokens below `codes`, (n, t) int64, each after its `begin` (n,): of the tokens' probabilities, summed in
    their order, the first that is beyond its row's number in `uniform` (n, t), 0-1.

    A row hangs on its own numbers alone. So that rounding, which differs with the batch, does not decide, all is in
    double precision, on the processor.
    """
    network = copy.deepcopy(model).double().cpu()
    caches = network.caches(len(begin))
    drawn = torch.empty(uniform.shape, dtype=torch.int64)
    token = begin.cpu()
    for place, number in enumerate(uniform.double().cpu().unbind(1)):
        logits = network(token[:, None], caches=caches)["logits"][:, -1, :codes]
        total = (logits / temperature).softmax(1).cumsum(1)
        token = torch.searchsorted(total, number[:, None] * total[:, -1:], right=True)[:, 0].clamp(max=codes - 1)
        drawn[:, place] = token
    return drawn
