"""The guard against the crash of strided 1x1 convolutions of few channels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pervade.core.contracts import Pixels
from pervade.models.resnet import ResNet
from pervade.nn.pointwise import Pointwise, guard


@pytest.mark.parametrize("stride", [2, 3, (2, 1)])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("side", [8, 9])
def test_the_same_numbers_and_gradients(stride: int | tuple[int, int], groups: int, side: int) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 6, 1, stride, groups=groups).double()
    mended = nn.Conv2d(4, 6, 1, stride, groups=groups).double()
    mended.load_state_dict(plain.state_dict())
    assert guard(nn.Sequential(mended))[0] is mended
    assert isinstance(mended, Pointwise)
    x = torch.rand(2, 4, side, side, dtype=torch.double)
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    plain(one).square().sum().backward()
    mended(other).square().sum().backward()
    torch.testing.assert_close(mended(x), plain(x))
    torch.testing.assert_close(other.grad, one.grad)
    torch.testing.assert_close(mended.weight.grad, plain.weight.grad)


def test_what_is_safe_stays_as_it_is() -> None:
    for safe in (nn.Conv2d(16, 32, 1, 2), nn.Conv2d(4, 8, 1), nn.Conv2d(4, 8, 3, 2, 1)):
        guard(safe)
        assert type(safe) is nn.Conv2d


def test_narrow_networks_are_guarded_and_keep_their_names() -> None:
    network = ResNet(width=8).build(Pixels((3, 16, 16), (0.5,) * 3, (0.25,) * 3), {"logits": 2})
    assert isinstance(network.body.layer2[0].downsample[0], Pointwise)
    assert "body.layer2.0.downsample.0.weight" in network.state_dict()
    network = network.to(memory_format=torch.channels_last)
    x = torch.rand(4, 3, 16, 16).to(memory_format=torch.channels_last)
    network(x)["logits"].sum().backward()  # the process is still there
