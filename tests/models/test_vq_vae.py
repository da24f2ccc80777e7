"""The autoencoder: shapes, what it refuses, and that decoding codes is what the network itself does."""

from __future__ import annotations

import pytest
import torch

from pervade.core.contracts import Canvas
from pervade.core.errors import ConfigError
from pervade.models.vq_vae import VQVAE
from pervade.testing import check_model

SMALL = VQVAE(width=16, blocks=1, codes=8, dimension=4)


@pytest.mark.parametrize("spec", [SMALL, VQVAE(width=8, blocks=0, halvings=3, codes=8, dimension=4)])
def test_it_takes_a_step(spec: VQVAE) -> None:
    batch = {"row": torch.arange(4), "input": {"pixels": torch.rand(4, 3, 16, 24), "class": torch.zeros(4).long()}}
    check_model(spec, Canvas((3, 16, 24)), {"picture": 24}, batch)
    network = spec.build(Canvas((3, 16, 24)), {"picture": 24})
    patch = 2**spec.halvings
    assert network.positions == (16 // patch, 24 // patch)
    assert network(batch["input"])["codes"].shape == (4, network.patches)


def test_the_published_size() -> None:
    assert VQVAE().build(Canvas((3, 32, 32)), {"picture": 32}).positions == (8, 8)


def test_codes_decode_to_what_was_made_of_them() -> None:
    network = SMALL.build(Canvas((1, 16, 16)), {"picture": 16}).eval()
    made = network({"pixels": torch.rand(5, 1, 16, 16)})
    assert torch.allclose(network.decode(made["codes"]), made["picture"], atol=1e-6)
    assert made["picture"].min() >= 0 and made["picture"].max() <= 1


def test_sides_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"28 x 30 cannot be divided; set -o domain.size=32"):
        SMALL.build(Canvas((1, 28, 30)), {"picture": 30})
