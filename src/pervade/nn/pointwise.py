"""A guard against a crash: strided 1x1 convolutions of few channels.

Channels last on processors with AVX-512, the backward pass of a 1x1 convolution of stride 2 with fewer than 16 input
channels has killed the process (torch 2.15, in oneDNN). The same convolution is one of stride 1 on every second pixel,
and so it is computed.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

FEWEST = 16  # input channels of a group from which on the strided kernel is safe


class Pointwise(nn.Conv2d):
    """A 1x1 convolution of any stride: the same parameters under the same names, the same result."""

    def forward(self, input: Tensor) -> Tensor:
        vertical, horizontal = self.stride
        # Pixels that the stride skips are never looked at, so they are left out first.
        picked = input[:, :, ::vertical, ::horizontal]
        return F.conv2d(picked, self.weight, self.bias, groups=self.groups)


def guard(network: nn.Module) -> nn.Module:
    """The network with every convolution that could crash exchanged; parameters, names and results stay."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _dangerous(module):
            # The class alone is exchanged, so that whoever holds the module keeps holding the one that is used.
            module.__class__ = Pointwise
    return network


def _dangerous(convolution: nn.Conv2d) -> bool:
    return (
        convolution.kernel_size == (1, 1)
        and convolution.stride != (1, 1)
        and convolution.padding == (0, 0)
        and convolution.in_channels // convolution.groups < FEWEST
    )
