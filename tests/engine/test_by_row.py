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
from pervade.data.text import tokenized
from pervade.domains.questions import Questions
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


@pytest.mark.parametrize("longest", [48, 512])
def test_texts_are_filled_up_by_what_they_are_alone(longest: int) -> None:
    for size in range(1, longest + 1):
        width, is_filled = tokenized.shape([{"input": np.zeros(size, np.int64)}], longest)
        assert size <= width <= min(max(size + 8, size * 5 / 4), longest)
        assert is_filled == (width > size) and (is_filled or size == longest)
    short, whole = ({"input": np.zeros(size, np.int64)} for size in (3, longest))
    assert tokenized.shape([whole, short], longest) == (longest, True)  # another way than that of full ones alone


def test_questions_are_filled_up_with_all_that_is_told_of_their_tokens(tmp_path: Path) -> None:
    examples = [
        {"input": np.full(size, 7), "inside": np.full(size, True), "spans": np.full((size, 2), size)} for size in (3, 5)
    ]
    known: Any = exports.encoder(tmp_path).domain
    domain = Questions(length=64, tokenizer=known.tokenizer)
    batch = domain.filled(domain.collate(examples), domain.shape(examples))
    assert batch["input"].shape == batch["mask"].shape == batch["inside"].shape == (2, 8)
    assert batch["spans"].shape == (2, 8, 2)
    for row, size in enumerate((3, 5)):
        assert batch["mask"][row].tolist() == batch["inside"][row].tolist() == [True] * size + [False] * (8 - size)
        assert batch["spans"][row, :size].eq(size).all() and batch["spans"][row, size:].eq(0).all()


def test_without_it_company_shows() -> None:
    """Else all of this could go."""
    torch.manual_seed(0)
    layer, given = nn.Linear(512, 100), torch.randn(32, 512)
    with torch.inference_mode():
        assert not torch.equal(layer(given), torch.cat([layer(row[None]) for row in given]))
