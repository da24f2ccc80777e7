"""Steps that are taken to see what they take, in memory or in time, and of which nothing is kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch

from pervade.core import memory
from pervade.core.errors import ConfigError, OutOfMemoryError
from pervade.core.seed import restore_rng, rng_state
from pervade.core.types import Batch
from pervade.engine.batches import cut, micro_batches, num_rows, to_device
from pervade.engine.fit import Learner
from pervade.nn import batch_norm


def rehearse(learner: Learner, batch: Batch | None) -> None:
    """Goes through one step on the largest batch. Raises ResourceError, saying what to change, where memory does not
    suffice."""
    if batch is None:
        return
    size = learner.setting.micro_batch
    batch = to_device(batch, learner.device)
    try:
        with leaving_no_trace(learner):
            for step in learner.steps:
                learner.setting.gradient.accumulate(step.losses(cut(batch, size)[0])["loss"], step.phase.parameters)
            for step in learner.steps:
                step.of_nothing()
    except Exception as error:  # of any kind, as `memory.ran_out` knows them
        if batch_norm.lacks_rows(error):
            raise ConfigError(
                "one row at a time leaves batch normalisation one value of a channel, which has no variance; take "
                "--batch-size 2 or more, and leave -o micro_batch out"
            ) from None
        if not memory.ran_out(error):
            raise
        raise OutOfMemoryError(
            f"a batch of {num_rows(batch)} does not fit into memory; use a smaller --batch-size, "
            f"or keep it and set -o micro_batch={max((size or len(batch['row'])) // 2, 1)}, "
            "which gives the same result in smaller pieces"
        ) from error


@contextlib.contextmanager
def trying(learner: Learner, batches: Iterator[Batch]) -> Iterator[Callable[[], int]]:
    """Gives what goes through one step, reading its batch included, without an update, and returns its rows: to see how
    long it takes."""

    def go() -> int:
        batch = to_device(next(batches), learner.device)
        for step in learner.steps:
            step.forget_gradients()
            for piece in micro_batches(batch, learner.setting.micro_batch):
                learner.setting.gradient.accumulate(step.losses(piece)["loss"], step.phase.parameters)
        return num_rows(batch)

    with leaving_no_trace(learner):
        yield go


@contextlib.contextmanager
def leaving_no_trace(learner: Learner) -> Iterator[None]:
    """Afterwards gradients, buffers, optimisers and random state are as they were."""
    learner.train_mode()
    modules = [learner.network] + ([learner.context.companions] if learner.context.companions is not None else [])
    buffers = [(b, b.clone()) for module in modules for b in module.buffers()]
    random = rng_state(learner.device)
    try:
        yield
    finally:
        for module in modules:
            module.zero_grad(set_to_none=True)
        for step in learner.steps:
            step.optimizer.state.clear()
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        restore_rng(random, learner.device)
