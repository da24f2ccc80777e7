"""All weights of a small network as one vector, for what is done to each of them alike: bounding gradients, Adam.

A network of eight tensors costs an optimiser eight times the calls of one, and where a step takes half a millisecond
that is a fifth of it. The network's own tensors become views into the vector, so nothing else notices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import Parameter

MOST = 200_000  # weights; above, arithmetic costs more than calls


class Flat:
    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = list(parameters)
        self.vector = Parameter(torch.cat([weight.detach().reshape(-1) for weight in self.parameters]))
        start = 0
        for weight in self.parameters:
            stop = start + weight.numel()
            weight.data = self.vector.data[start:stop].view(weight.shape)
            start = stop

    def gather(self) -> None:
        """The gradients of all, as the vector's. Every parameter has one (`FindsGradient`)."""
        self.vector.grad = torch._utils._flatten_dense_tensors([weight.grad for weight in self.parameters])

    def bound(self, norm: float) -> None:
        """As torch's `clip_grad_norm_`, of the one gradient."""
        gradient = self.vector.grad
        assert gradient is not None
        factor = norm / (float(torch.linalg.vector_norm(gradient)) + 1e-6)
        if not factor >= 1.0:  # nor where it is no number, which goes on into the weights and is told of there
            gradient.mul_(factor)


def fits(parameters: Sequence[Parameter]) -> bool:
    """Whether they are few, and of one kind on a processor."""
    alike = all(weight.device.type == "cpu" and weight.dtype == torch.float32 for weight in parameters)
    return alike and 0 < sum(weight.numel() for weight in parameters) <= MOST
