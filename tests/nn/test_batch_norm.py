"""What is said where batch normalisation sees one row at a time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pervade.nn import batch_norm


def test_one_row_at_a_time_is_said_where_something_normalises_it() -> None:
    body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    network = nn.Sequential(body, nn.Flatten(), nn.LazyLinear(2))
    assert len(batch_norm.remarks(network, 1, ())) == 1
    assert "--batch-size 8" in batch_norm.remarks(network, 1, ())[0]
    assert batch_norm.remarks(network, 2, ()) == []
    assert batch_norm.remarks(network, 1, [body]) == []  # it stays as it is
    assert batch_norm.remarks(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), 1, ()) == []


def test_torch_still_says_what_is_looked_for() -> None:
    with pytest.raises(ValueError) as refused:
        nn.BatchNorm1d(3)(torch.ones(1, 3))
    assert batch_norm.lacks_rows(refused.value)
    assert not batch_norm.lacks_rows(ValueError("another"))
