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
    logits = logits.float()
    if sampling.repetition_penalty != 1.0 and seen:
        before = torch.tensor(sorted(set(seen)), device=logits.device)
        values = logits[before]
        # Towards less probable, on whichever side of 0 the logit lies.
        penalised = torch.where(values > 0, values / sampling.repetition_penalty, values * sampling.repetition_penalty)
        logits = logits.index_copy(0, before, penalised)
    if sampling.temperature == 0:
        return int(logits.argmax())
    probabilities = truncated(logits / sampling.temperature, sampling.top_k, sampling.top_p)
    return int(torch.multinomial(probabilities.cpu(), 1, generator=random))


def truncated(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """Probabilities (v,) that add up to 1, those outside top-k and top-p being 0. The likeliest token always stays."""
    if 0 < top_k < len(logits):
        least = logits.topk(top_k).values[-1]
        logits = logits.masked_fill(logits < least, float("-inf"))
    probabilities = logits.softmax(0)
    if top_p < 1:
        ordered, order = probabilities.sort(descending=True)
        beyond = ordered.cumsum(0) - ordered >= top_p
        probabilities = probabilities.index_fill(0, order[beyond], 0.0)
    return probabilities / probabilities.sum()


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
