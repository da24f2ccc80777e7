"""Networks with random weights as subjects of compression, of pictures, texts and sounds, and what comes back of them
when it is loaded again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pervade.core.contracts import Change, Compressed, Inputs, Model, Pixels, Subject, Tokens, Waveform
from pervade.core.types import Batch
from pervade.domains.image import Image
from pervade.engine import building
from pervade.engine.checkpoint import Loaded, load_weights
from tests.small_run import recipe

OUTPUTS = {"logits": 3}
TOKENS = Tokens(60, 24, False)
WAVEFORM = Waveform(8000, 4000)


def pixels(side: int, channels: int = 3) -> Pixels:
    return Pixels((channels, side, side), (0.5,) * channels, (0.25,) * channels)


def batch_of(inputs: Inputs, rows: int = 4, seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    numbers = torch.arange(rows)
    if isinstance(inputs, Tokens):
        tokens = torch.randint(1, inputs.vocabulary, (rows, inputs.length), generator=random)
        mask = torch.arange(inputs.length) < torch.arange(inputs.length - rows, inputs.length)[:, None] + 1
        return {"row": numbers, "input": tokens * mask, "mask": mask}
    if isinstance(inputs, Waveform):
        return {"row": numbers, "input": torch.rand(rows, 1, inputs.samples, generator=random) * 2 - 1}
    assert isinstance(inputs, Pixels)
    return {"row": numbers, "input": torch.rand(rows, *inputs.shape, generator=random)}


def subject(
    model: Model, inputs: Inputs, changes: tuple[Change, ...] = (), network: nn.Module | None = None
) -> Subject:
    torch.manual_seed(0)
    network = building.build(model, inputs, OUTPUTS, changes=changes) if network is None else network
    made = recipe(model=model, changes=changes)
    domain = Image(size=16, labels=("a", "b", "c"), counts=(4, 4, 4), rows=12, mean=(0.5,) * 3, deviation=(0.25,) * 3)
    loaded = Loaded("best", network.eval(), domain, made.task, changes, {}, {})

    def batches() -> Iterator[Batch]:
        return iter([batch_of(inputs, seed=seed) for seed in range(3)])

    return Subject(loaded, made, Path("nowhere"), batches, lambda network: 0.0, lost, lambda line: None)


def lost(before: float, after: float) -> float:
    return before - after


def again(made: Compressed, model: Model, inputs: Inputs) -> nn.Module:
    """The compressed network as loading makes it: the model's, its changes, its weights."""
    network = building.build(model, inputs, OUTPUTS, changes=made.changes)
    load_weights(network, made.network.state_dict(), "here")
    return network.eval()


@torch.no_grad()
def answers(network: Any, inputs: Inputs) -> Tensor:
    batch = batch_of(inputs, seed=9)
    return network(batch["input"], mask=batch.get("mask"))["logits"]
