"""What explainers and attacks see of a model on a batch: a tensor, and functions of it, as in Captum (Kokhlikyan et al.
2020, arXiv:2009.07896). Of texts the tensor is the tokens' embeddings, since there is nothing between two tokens."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Module

from pervade.core.contracts import Context, Domain, InputSpace, Probe, Task, Tokens
from pervade.core.errors import ConfigError
from pervade.core.types import Batch, Output
from pervade.nn.backbone import known


def probe(network: Module, domain: Domain, task: Task, batch: Batch, targets: bool = True) -> Probe:
    """`targets`: whether the batch has them; else the likeliest answer is scored. Raises ConfigError where the input
    has no legal space, or the network shows no embeddings."""
    context, space = Context(domain, targets=targets), domain.input_space()
    if isinstance(domain.inputs(), Tokens):
        return _of_embeddings(network, task, batch, context)
    if space is None:
        raise ConfigError(f"{domain.reads} cannot be explained or attacked: there is nothing between two of them")

    def forward(x: Tensor) -> Output:
        return task.forward(network, {**batch, "input": x}, context)

    x = batch["input"]
    return Probe(x.float() / 255 if x.dtype == torch.uint8 else x, forward, _score(task, batch, context), space)


def _of_embeddings(network: Module, task: Task, batch: Batch, context: Context) -> Probe:
    """The space is as far as the embeddings of the vocabulary reach."""
    reader = known(network, "explaining or attacking texts")
    weights = cast(Tensor, reader.embedding.weight).detach()
    space = InputSpace(float(weights.min()), float(weights.max()), "number of a token's embedding")

    def forward(x: Tensor) -> Output:
        embedded: Any = partial(reader.forward_embedded, x)
        return task.forward(embedded, batch, context)

    return Probe(reader.embed(batch["input"]).detach(), forward, _score(task, batch, context), space)


def _score(task: Task, batch: Batch, context: Context) -> Any:
    return lambda output: task.score(output, batch, context)
