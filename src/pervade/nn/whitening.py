"""Within-class covariance normalisation (WCCN): directions in which rows of one class differ count less.

A. Hatch, S. Kajarekar and A. Stolcke, "Within-class covariance normalization for SVM-based speaker recognition",
Interspeech 2006. With few classes it finds what all have in common in how their rows differ, where a loss that tells
them apart finds what tells these few apart.

Axis letters: n rows, d features.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from pervade.core.errors import ConfigError

SLOWEST = 0.02  # share of the newest batch in the running estimate, once there were 50
OUTPUT = "embedding"


class WithinClassCovariance(nn.Module):
    """A running estimate of the mean and of the covariance within classes, of embeddings batch by batch."""

    mean: Tensor
    covariance: Tensor
    batches: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("covariance", torch.zeros(dimensions, dimensions))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, embedding: Tensor, target: Tensor) -> None:
        """Learns from (n, d) and their classes (n,). A batch without two rows of a class says nothing."""
        _, place, counts = target.unique(return_inverse=True, return_counts=True)
        freedom = len(target) - len(counts)
        if freedom == 0:
            return
        means = embedding.new_zeros(len(counts), embedding.shape[1]).index_add(0, place, embedding) / counts[:, None]
        deviation = embedding - means[place]
        self.batches += 1
        share = max(1.0 / int(self.batches), SLOWEST)
        self.mean.lerp_(embedding.mean(0), share)
        self.covariance.lerp_(deviation.T @ deviation / freedom, share)


def head_of(network: nn.Module) -> nn.Linear:
    """The linear layer that gives the embedding. Raises ConfigError where there is none."""
    heads = getattr(network, "head", None)
    head = heads[OUTPUT] if isinstance(heads, nn.ModuleDict) and OUTPUT in heads else None
    if not isinstance(head, nn.Linear) or head.bias is None:
        raise ConfigError(
            f"task.whitening needs a network whose embedding comes from a linear layer, and {type(network).__name__} "
            "is not known to have one; build it as a pervade.nn.backbone.Backbone, or set -o task.whitening=null"
        )
    return head


@torch.no_grad()
def whitened(network: nn.Module, within: nn.Module, shrinkage: float) -> nn.Module:
    """A copy of the network whose embeddings have the mean zero and, within classes, nearly the same variance in every
    direction; to each variance `shrinkage` times their mean is added. The network itself before the first batch."""
    assert isinstance(within, WithinClassCovariance)
    if int(within.batches) == 0:
        return network
    # On the processor and in 64 bits: small eigenvalues decide.
    values, vectors = torch.linalg.eigh(within.covariance.cpu().double())
    values = values.clamp(min=0.0)
    scale = (values + shrinkage * values.mean().clamp(min=1e-12)).rsqrt()
    finished = copy.deepcopy(network)
    head = head_of(finished)
    turn = (vectors * scale).T  # (d, d)
    weight, bias = head.weight.cpu().double(), head.bias.cpu().double()
    head.weight.copy_(turn @ weight)
    head.bias.copy_(turn @ (bias - within.mean.cpu().double()))
    return finished
