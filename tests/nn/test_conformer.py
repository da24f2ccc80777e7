"""A recording alone gives what it gives padded in a batch; frames are as many as they should be."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from pervade.core.contracts import Model, Pixels, Waveform
from pervade.core.errors import ConfigError
from pervade.models.conformer import Conformer
from pervade.nn.frames import frames_of
from pervade.testing import check_model, check_spec

INPUTS = Waveform(8000, None, False)
SPEC = Conformer(width=32, depth=2, heads=2, channels=4, bands=20)


def batch(*lengths: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    longest = max(lengths)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    return {
        "row": torch.arange(len(lengths)),
        "input": torch.randn(len(lengths), 1, longest) * mask[:, None],
        "mask": mask,
    }


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_a_row_does_not_depend_on_its_neighbours(pooled: bool, factor: int) -> None:
    torch.manual_seed(1)
    spec = Conformer(width=32, depth=2, heads=2, channels=4, bands=20, factor=factor)
    network = spec.build(replace(INPUTS, pooled=pooled), {"logits": 5}).eval()
    for each in network.modules():  # first weights of norms hide what depends on them
        if isinstance(each, nn.LayerNorm):
            nn.init.normal_(each.weight, 1.0, 0.3)
            nn.init.normal_(each.bias, 0.0, 0.3)
    whole = batch(4000, 8000, 1234)
    with torch.no_grad():
        together = network(whole["input"], mask=whole["mask"])
        for row, length in enumerate((4000, 8000, 1234)):
            alone = network(whole["input"][row : row + 1, :, :length])
            if pooled:
                assert torch.allclose(alone["logits"][0], together["logits"][row], atol=1e-5)
                continue
            frames = math.ceil(math.ceil(length / 80) / factor)
            assert int(together["frames"][row].sum()) == frames == alone["logits"].shape[1]
            assert torch.allclose(alone["logits"][0], together["logits"][row, :frames], atol=1e-5)
            assert frames_of(network, length) == frames


@pytest.mark.parametrize("pooled", [True, False])
def test_it_takes_a_step(pooled: bool) -> None:
    check_spec(SPEC, Model)
    check_model(SPEC, replace(INPUTS, pooled=pooled), {"logits": 5}, batch(4000, 3000, 2000))


def test_where_it_stands_matters() -> None:
    """Attention alone would not know the order of frames."""
    network = SPEC.build(INPUTS, {"logits": 5}).eval()
    wave = batch(8000)["input"]
    with torch.no_grad():
        forth, back = network(wave)["logits"], network(wave.flip(2))["logits"]
    assert not torch.allclose(forth, back.flip(1), atol=1e-2)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="sound"):
        SPEC.build(Pixels((3, 32, 32), (0.5,) * 3, (0.25,) * 3), {"logits": 2})
    with pytest.raises(ConfigError, match="multiple"):
        Conformer(width=30, heads=4).build(INPUTS, {"logits": 2})
    with pytest.raises(ConfigError, match="odd"):
        Conformer(kernel=8).build(INPUTS, {"logits": 2})
