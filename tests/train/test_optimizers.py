"""Muon: what it does to matrices, and what it leaves to AdamW. Adam: that it is torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import Parameter

from pervade.core.contracts import Tokens
from pervade.nn import backbone
from pervade.train.optim.adam import Adam
from pervade.train.optim.adamw import AdamW
from pervade.train.optim.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (16, 16)])
def test_singular_values_become_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    made = orthogonal(matrix)
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.5
    assert values.max() < 1.4
    assert ((left.T @ made @ right.T).diag() > 0.5).all()  # the directions are those of the matrix


def test_a_matrix_moves_by_as_much_in_every_direction_as_adamw_would_on_average() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(64, 32, bias=False)
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.randn_like(before) * torch.logspace(-0.5, 0.5, 64)
    Muon(lr=1e-2, weight_decay=0.0).build(layer.parameters()).step()
    moved = layer.weight.detach() - before
    assert moved.square().mean().sqrt().item() == pytest.approx(0.2e-2, rel=0.3)
    assert torch.linalg.svdvals(moved).min() > 0.2 * torch.linalg.svdvals(moved).max()


def test_what_is_no_matrix_is_adamws() -> None:
    """Embeddings, heads and vectors take the very steps of AdamW."""

    def made() -> backbone.Backbone:
        torch.manual_seed(0)
        return backbone.Backbone(Tokens(10, 8), {"logits": 3}, nn.Sequential(nn.Embedding(10, 4), nn.LayerNorm(4)), 4)

    one, other = made(), made()
    backbone.mark_rows(one)
    first = Muon(lr=1e-2, weight_decay=0.1).build(one.parameters())
    second = AdamW(lr=1e-2, beta2=0.95, weight_decay=0.1).build(other.parameters())
    for step in range(5):
        for network, optimizer in ((one, first), (other, second)):
            features = network.body[1](network.body[0](torch.tensor([step, step + 1])))  # type: ignore[index]
            optimizer.zero_grad()
            network.head["logits"](features).square().sum().backward()
            optimizer.step()
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_its_state_goes_on_exactly() -> None:
    def trained(stop: int | None) -> torch.Tensor:
        torch.manual_seed(0)
        layer = nn.Linear(6, 5)
        optimizer = Muon().build(layer.parameters())
        for step in range(6):
            if step == stop:
                state = optimizer.state_dict()
                optimizer = Muon().build(layer.parameters())
                optimizer.load_state_dict(state)
            optimizer.zero_grad()
            layer(torch.full((3, 6), float(step))).sin().sum().backward()
            optimizer.step()
        return layer.weight.detach()

    assert torch.equal(trained(None), trained(3))


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_of_one_vector_is_torchs(decay: float) -> None:
    """It goes another way to the same kernel."""
    torch.manual_seed(0)
    mine, theirs = (Parameter(torch.linspace(-1, 1, 50)) for _ in range(2))
    ours = Adam(lr=0.01, weight_decay=decay).build([mine])
    plain = torch.optim.Adam([theirs], 0.01, weight_decay=decay, fused=True)
    for step in range(5):
        mine.grad = torch.randn(50)
        theirs.grad = mine.grad.clone()
        ours.param_groups[0]["lr"] = plain.param_groups[0]["lr"] = 0.01 / (step + 1)
        ours.step()
        plain.step()
        if step == 2:
            ours.load_state_dict(ours.state_dict())
    assert torch.equal(mine, theirs)
    assert ours.state_dict()["state"][0]["step"] == 5
