"""The networks that take noise out of pictures, against diffusers' own and the contract."""

from __future__ import annotations

import pytest
import torch

from pervade.core.contracts import Canvas, Pixels
from pervade.core.errors import ConfigError
from pervade.models.dit import DiT
from pervade.models.unet import UNet
from pervade.testing import check_model

WIDTHS = (32, 64, 64)


def test_the_same_numbers_as_diffusers() -> None:
    """Its weights, under its names, in our network: the order of layers, paddings and scales are the same."""
    from diffusers.models.unets.unet_2d import UNet2DModel

    torch.manual_seed(0)
    theirs = UNet2DModel(
        sample_size=16,
        layers_per_block=2,
        block_out_channels=WIDTHS,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        num_class_embeds=4,
    ).eval()
    spec = UNet(widths=WIDTHS, blocks=2, attention=(2,), head=8, groups=32, patch=1, told="shift")
    ours = spec.build(Canvas((3, 16, 16), classes=3), {"output": 16}).eval()
    told = ("time_embedding", "class_embedding")
    weights = theirs.state_dict().items()
    ours.body.load_state_dict({f"told.{name}" if name.startswith(told) else name: weight for name, weight in weights})
    input = {"pixels": torch.randn(3, 3, 16, 16), "time": torch.tensor([0, 417, 999]), "class": torch.tensor([0, 3, 1])}
    with torch.no_grad():
        output = theirs(input["pixels"], input["time"], input["class"]).sample
        torch.testing.assert_close(ours(input)["output"], output, rtol=1e-5, atol=1e-5)
        theirs, ours = theirs.train(), ours.train()  # where attention takes another way
    torch.testing.assert_close(ours(input)["output"], output, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("side", [16, 28, 13])
@pytest.mark.parametrize("model", [UNet(widths=(16, 32, 32), head=16), DiT(width=16, blocks=1, heads=2)])
def test_every_denoiser_takes_a_step(model: UNet | DiT, side: int, classes: int) -> None:
    torch.manual_seed(0)
    told = {"time": torch.tensor([0, 9, 500, 999]), "class": torch.arange(4) % (classes + 1)}
    batch = {"row": torch.arange(4), "input": {"pixels": torch.randn(4, 1, side, side), **told}}
    check_model(model, Canvas((1, side, side), classes), {"output": side}, batch)


@pytest.mark.parametrize("model", [UNet(), DiT()])
def test_nothing_is_said_at_first(model: UNet | DiT) -> None:
    network = model.build(Canvas((1, 16, 16)), {"output": 16})
    told = {"time": torch.tensor([1, 2]), "class": torch.tensor([0, 0])}
    assert not network({"pixels": torch.randn(2, 1, 16, 16), **told})["output"].any()


def test_what_cannot_be_built_is_named() -> None:
    with pytest.raises(ConfigError, match=r"model.widths 60: the number of its groups"):
        UNet(widths=(64, 60), attention=())
    with pytest.raises(ConfigError, match=r"model.widths 9: the first is even.*model.widths=\[10, 16\]"):
        UNet(widths=(9, 16), groups=1, attention=(), head=1)
    with pytest.raises(ConfigError, match=r"model.attention 4: model.widths has 2 levels"):
        UNet(widths=(64, 64), attention=(4,))
    with pytest.raises(ConfigError, match=r"model.heads 5 must divide model.width 192"):
        DiT(heads=5)
    for model in (UNet(), DiT()):
        with pytest.raises(ConfigError, match="pictures to be made, not pictures"):
            model.build(Pixels((1, 8, 8), (0.5,), (0.5,)), {"logits": 2})
