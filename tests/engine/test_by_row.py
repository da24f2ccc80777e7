"""What `predict` and a server say of an input hangs on no other input, to the last digit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pervade.core import registry
from pervade.core.types import Rows
from pervade.engine.loaded import Loaded
from pervade.engine.predictor import Predictor
from pervade.nn.by_row import ByRow
from tests import exports

NETWORKS = ("resnet18", "mobilenet-v2", "reference-cnn", "reference-mlp")


def predictor(loaded: Loaded, batch: int = 64) -> Callable[[Rows], Any]:
    return Predictor.of(loaded, targets=False, by_row=True, batch_size=batch, workers=0).table


def same_alone(loaded: Loaded, rows: Rows, column: str = "probabilities") -> bool:
    """Whether each row's numbers alone are those in batches of several sizes."""
    alone = np.concatenate([predictor(loaded)(rows.select([place]))[column] for place in range(len(rows))])
    batches = (2, 5, len(rows))
    return all(np.array_equal(predictor(loaded, batch)(rows)[column], alone) for batch in batches)


def pictures(count: int = 9) -> Rows:
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (36, 36, 3), dtype=np.uint8) for _ in range(count)]
    return Rows({"id": [str(number) for number in range(count)], "pixels": pixels})


def texts(count: int = 14) -> Rows:
    rng = np.random.default_rng(0)
    words = ("the", "film", "was", "fine", "dull", "and", "so", "very")
    said = [" ".join(rng.choice(words, int(rng.integers(1, 22)))) for _ in range(count)]
    return Rows({"id": [str(number) for number in range(count)], "text": said, "size": [len(text) for text in said]})


@pytest.mark.parametrize("threads", [1, 2])
def test_encoders(tmp_path: Path, threads: int) -> None:
    loaded = exports.encoder(tmp_path)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert same_alone(loaded, texts())
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_for_pictures(name: str) -> None:
    cls, fields = registry.find("model", name)
    assert same_alone(exports.checkpoint(cls(**fields), replace(exports.PICTURES, size=32)), pictures())


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 3, 11), (17,), (64,)])
def test_linear_layers(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer, given = nn.Linear(96, 40), torch.randn(*shape, 96)
    with torch.inference_mode(), ByRow():
        told = layer(given)
        alone = torch.stack([layer(row) for row in given.reshape(-1, 96)])
    assert told.shape == (*shape, 40)
    assert torch.equal(told.reshape(-1, 40), alone)
    assert torch.allclose(told, layer(given), atol=1e-5)


def test_without_it_company_shows() -> None:
    """Else all of this could go."""
    torch.manual_seed(0)
    layer, given = nn.Linear(512, 100), torch.randn(32, 512)
    with torch.inference_mode():
        assert not torch.equal(layer(given), torch.cat([layer(row[None]) for row in given]))
