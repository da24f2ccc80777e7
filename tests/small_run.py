"""A recipe that trains in a moment, whatever the package's own recipes become: 16 x 16 pixels, two small layers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

import pytest
import safetensors.torch
import torch

from pervade.core.contracts import Recipe
from pervade.core.run import RunDirectory
from pervade.domains.image import Image
from pervade.init.random import Random
from pervade.models.reference_mlp import ReferenceMLP
from pervade.recipes import image
from pervade.run import training
from pervade.tasks.classify import Classify
from pervade.train.optim.sgd import SGD


def recipe(**fields) -> Recipe:
    torch.set_num_threads(1)
    small = replace(
        image.reference(),
        domain=Image(size=16, augment=False),
        task=Classify(calibrate=False),
        model=ReferenceMLP(),
        optimizer=SGD(lr=0.02, momentum=0.9),
        init=Random(),
        epochs=3,
        batch_size=8,
        workers=0,
    )
    return replace(small, **fields)


def weights(run: RunDirectory, checkpoint: str = "last") -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run.checkpoint(checkpoint) / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sends this process SIGTERM at the nth step from now on, over all trainings; only once."""

    def arrange(number: int) -> None:
        take, count = training.Learner._take_step, 0

        def counted(self, batch):
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGTERM)
            return take(self, batch)

        monkeypatch.setattr(training.Learner, "_take_step", counted)

    return arrange


@pytest.fixture
def slow_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock shows how long this process computed, and gains 50 ms with every optimiser step, tried ones too: a time
    limit of seconds is over in a moment, however busy the machine is."""
    now, take, trying = time.process_time, training.Learner._take_step, training.trying
    gained = 0.0

    def gain() -> None:
        nonlocal gained
        gained += 0.05

    def slowly(self, batch):
        gain()
        return take(self, batch)

    @contextmanager
    def trying_slowly(learner, batches):
        with trying(learner, batches) as step:
            yield lambda: gain() or step()

    monkeypatch.setattr(time, "monotonic", lambda: now() + gained)
    monkeypatch.setattr(training.Learner, "_take_step", slowly)
    monkeypatch.setattr(training, "trying", trying_slowly)
