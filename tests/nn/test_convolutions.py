"""The convolutions at the beginning of Wav2Vec2 as matrix products, against torch's own, numbers and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pervade.nn.convolutions import Convolutions

KERNELS, STRIDES = [10, 3, 1, 5, 2], [5, 2, 1, 2, 3]  # longer than the stride, as long, shorter; two rows further on


def layers(norm: str) -> Any:
    """Of transformers, with biases and scales that are not 0 and 1."""
    from transformers import Wav2Vec2Config
    from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2FeatureEncoder

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        conv_dim=[8, 6, 4, 6, 8], conv_kernel=KERNELS, conv_stride=STRIDES, feat_extract_norm=norm, conv_bias=True
    )
    made = Wav2Vec2FeatureEncoder(config)
    made._requires_grad = False
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made


def gradients(network: nn.Module, x: Tensor, towards: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    x = x.clone().requires_grad_()
    network.zero_grad()
    (network(x) * towards).sum().backward()
    assert x.grad is not None
    return x.grad, {name: each.grad.clone() for name, each in network.named_parameters() if each.grad is not None}


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("samples", [1000, 1003, 1059])
def test_numbers_and_gradients(norm: str, samples: int) -> None:
    theirs = layers(norm)
    x = torch.randn(3, samples) + 0.5
    expected = theirs(x)
    given = expected.detach()
    towards = torch.randn_like(given)
    of_x, of_weights = gradients(theirs, x, towards)
    ours = Convolutions(theirs.conv_layers)
    assert ours.lengths(samples) == given.shape[2]
    torch.testing.assert_close(ours(x), given, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), given, rtol=1e-4, atol=1e-5)
    found_x, found = gradients(ours, x, towards)
    torch.testing.assert_close(found_x, of_x, rtol=1e-3, atol=1e-4)
    for name, value in of_weights.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_padding_is_not_heard(norm: str) -> None:
    """Whatever follows a recording; group normalisation would hear it."""
    ours = Convolutions(layers(norm).conv_layers)
    x = torch.randn(2, 900)
    ours.counted = torch.tensor([900, 600])
    together = ours(x)
    ours.counted = None
    alone = ours(x[1:, :600])
    torch.testing.assert_close(together[1:, :, : alone.shape[2]], alone, rtol=1e-5, atol=1e-6)


def test_quiet_filters_on_a_loud_offset() -> None:
    """What a filter leaves of a recording may be a millionth of its power: its variance is not lost in rounding."""
    theirs = layers("group")
    with torch.no_grad():
        theirs.conv_layers[0].conv.weight -= theirs.conv_layers[0].conv.weight.mean(2, keepdim=True)  # blind to offsets
    x = 5.0 + 1e-3 * torch.randn(1, 1000)
    exact = F.conv1d(x[:, None].double(), theirs.conv_layers[0].conv.weight.double(), stride=5)
    norm = theirs.conv_layers[0].layer_norm
    exact = F.gelu(F.group_norm(exact, 8, norm.weight.double(), norm.bias.double(), norm.eps)).float()
    ours = Convolutions(nn.ModuleList(theirs.conv_layers[:1]))(x)
    # A product of floats errs by up to eps times the sum of its magnitudes, which the division by the spread enlarges.
    weight, eps = theirs.conv_layers[0].conv.weight.detach(), torch.finfo(torch.float32).eps
    spread = F.conv1d(x[:, None].double(), weight.double(), stride=5).std(2)
    allowed = 2 * eps * (weight.abs().sum((1, 2)) * x.abs().max() / spread[0] * norm.weight.detach().abs()).max()
    assert allowed < 0.01, "a lost variance would show"
    torch.testing.assert_close(ours.detach(), exact.detach(), rtol=0, atol=float(allowed))


def test_shortest() -> None:
    ours = Convolutions(layers("group").conv_layers)
    for frames in (1, 2, 7):
        need = ours.shortest(frames)
        assert ours.lengths(need) == frames
        assert ours.lengths(need - 1) == frames - 1
