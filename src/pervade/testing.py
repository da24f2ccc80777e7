"""Checks of the contracts, for whoever writes a plug-in: call one in a test of your own.

    from pervade.testing import check_model, check_spec

    def test_mine():
        check_spec(MyModel())
        check_model(MyModel(), inputs, outputs, batch)

Each raises ContractError saying what is wrong; none asserts, so they work under `python -O` as well.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pervade.core import spec
from pervade.core.contracts import Context, Domain, Inputs, Model, Promise, Recipe, Task
from pervade.core.contracts.abilities import CouplesRows
from pervade.core.errors import ContractError
from pervade.core.types import Batch, Rows, Table
from pervade.engine import predictions
from pervade.engine.batches import cut
from pervade.metrics.estimate import estimate


def check_spec(value: Any, expected: type | None = None) -> None:
    """A spec survives JSON: what is read back equals what was written. `expected` is its protocol."""
    protocol = expected or next(base for base in type(value).__mro__ if getattr(base, "_is_protocol", False))
    again: Any = spec.decode(json.loads(json.dumps(spec.encode(value))), protocol)
    if again != value:
        raise ContractError(f"{value} becomes {again} when it is written to JSON and read back")


def check_model(model: Model, inputs: Inputs, outputs: Mapping[str, int], batch: Batch) -> None:
    """The network gives every output, finite and one row per row; in a step every parameter gets a finite gradient."""
    torch.manual_seed(0)
    network = model.build(inputs, outputs)
    output = network.train()(batch["input"], mask=batch.get("mask"))
    for name, size in outputs.items():
        if name not in output:
            raise ContractError(f"{model}: the output {name!r} is missing; there are {', '.join(output)}")
        shape = tuple(output[name].shape)
        if shape[0] != len(batch["row"]) or shape[-1] != size:
            raise ContractError(
                f"{model}: {name!r} has shape {shape}, but {len(batch['row'])} rows of {size} were asked"
            )
    torch.stack(
        [value.float().square().sum() for value in output.values() if value.is_floating_point()]
    ).sum().backward()
    for name, parameter in network.named_parameters():
        if parameter.grad is None:
            raise ContractError(f"{model}: the parameter {name} gets no gradient; it is never used")
        if not torch.isfinite(parameter.grad).all():
            raise ContractError(f"{model}: the gradient of {name} is not finite")
    _check_repeats(network.eval(), batch)


def _check_repeats(network: nn.Module, batch: Batch) -> None:
    """In evaluation the network gives the same output twice, whatever the batch's other rows are."""
    with torch.no_grad():
        whole = network(batch["input"], mask=batch.get("mask"))
        first = cut(batch, 1)[0]
        alone = network(first["input"], mask=first.get("mask"))
    for name, value in whole.items():
        if isinstance(value, Tensor) and not torch.allclose(value[:1], alone[name], rtol=1e-4, atol=1e-5):
            raise ContractError(f"in evaluation {name!r} of a row depends on the other rows of its batch")


def check_task(task: Task, network: nn.Module, batch: Batch, context: Context, tolerance: float = 1e-5) -> None:
    """The loss has one finite value a row; its sum and the gradient do not depend on how the batch is cut.

    The network is put into evaluation mode, since dropout draws anew for each piece, and batch normalisation looks at
    the whole batch in training: that is the one known exception.
    """
    network.eval()
    whole, gradients = _gradients(task, network, batch, context, None)
    if isinstance(task, CouplesRows):
        return
    for size in (1, 3):
        loss, pieces = _gradients(task, network, batch, context, size)
        if not torch.allclose(whole, loss, rtol=tolerance, atol=tolerance):
            raise ContractError(f"{task}: the losses change when the batch is cut into pieces of {size}")
        for name, gradient in gradients.items():
            if not torch.allclose(gradient, pieces[name], rtol=tolerance * 10, atol=tolerance):
                raise ContractError(
                    f"{task}: the gradient of {name} changes when the batch is cut into pieces of {size}"
                )


def _gradients(
    task: Task, network: nn.Module, batch: Batch, context: Context, size: int | None
) -> tuple[Tensor, dict[str, Tensor]]:
    network.zero_grad(set_to_none=True)
    losses, counts = [], []
    for piece in cut(batch, size):
        parts = task.loss(task.forward(network, piece, context), piece)
        if parts["loss"].shape != (len(piece["row"]),) or not torch.isfinite(parts["loss"]).all():
            raise ContractError(f'{task}: "loss" must hold one finite value a row, not {parts["loss"]}')
        parts["loss"].sum().backward()
        losses.append(parts["loss"].detach())
        counts.append(parts.get("count", torch.ones(len(piece["row"]))))
    divisor = torch.cat(counts).sum()
    gradients = {n: p.grad.clone() / divisor for n, p in network.named_parameters() if p.grad is not None}
    return torch.cat(losses), gradients


def check_domain(domain: Domain, source: Any) -> tuple[Domain, Rows]:
    """Reads, prepares, fits and transforms; returns the fitted domain and its rows.

    `fit` must not change the domain it is called on; without randomness `transform` repeats; with it, it depends on
    its generator alone; the fitted domain survives JSON; nothing of a row is needed but what data.json can hold.
    """
    before = spec.encode(domain)
    rows, _ = domain.read(source)
    rows, _ = domain.prepare(rows, lambda done, total: None)
    fitted = domain.fit(rows)
    if spec.encode(domain) != before:
        raise ContractError(f"{type(domain).__name__}.fit changed the domain; it must return a new one")
    check_spec(fitted, Domain)
    row = rows[0]
    for key in (None, 0, 1):
        once, twice = (fitted.transform(row, None if key is None else np.random.default_rng(key)) for _ in range(2))
        _check_same(once, twice, type(domain).__name__)
    batch = fitted.collate([example for i in range(min(len(rows), 4)) for example in fitted.transform(rows[i], None)])
    if "input" not in batch:
        raise ContractError(f'{type(domain).__name__}.collate gives no "input"')
    return fitted, rows


def _check_same(once: Sequence[Mapping[str, Any]], twice: Sequence[Mapping[str, Any]], name: str) -> None:
    for first, second in zip(once, twice, strict=True):
        for key in first:
            if not np.array_equal(np.asarray(first[key]), np.asarray(second[key])):
                raise ContractError(f"{name}.transform gives another {key!r} for the same row and the same generator")


def check_promise(promise: Promise, task: Task, columns: Table, domain: Domain) -> None:
    """What it settles survives JSON; what it makes of a row's answer depends on that row alone, needs no "target", and
    leaves the table as it was; what became of it is a line that a page and a terminal can hold.

    `columns` (n rows, 4 or more) are predictions of `task` with "row", "id", "group" and "target", by which it can be
    kept: where it cannot, PromiseError is raised, as by `settle`.
    """
    check_spec(promise, Promise)
    name = type(promise).__name__
    settled = _through_json(dict(promise.settle(columns, domain)), f"{name}.settle")
    before = copy.deepcopy(columns)
    kept = promise.keep(columns, settled, domain)
    if before.keys() != columns.keys() or any(not _equal(before[key], values) for key, values in columns.items()):
        raise ContractError(f"{name}.keep changed the table that it was given; it must return another")
    if missing := set(columns) - set(kept):
        raise ContractError(f"{name}.keep lost the column {min(missing)!r}")
    asked = {key: values for key, values in columns.items() if key != "target"}
    for place in range(4):
        one = {key: predictions.in_order(values, np.array([place])) for key, values in asked.items()}
        alone = promise.keep(one, settled, domain)
        for key in set(kept) & set(alone):
            if not _equal([kept[key][place]], [alone[key][0]]):
                raise ContractError(f"{name}.keep: {key!r} of a row depends on the other rows, or on its target")
        answer = _through_json(promise.answer({}, alone, 0, domain), f"{name}.answer")
        if promise.shows and not set(promise.shows) & set(answer):
            raise ContractError(f"{name}.answer gives none of {', '.join(promise.shows)}, which it says it shows")
    metrics = {**task.metrics(domain), **promise.metrics(settled, domain)}
    figures = {key: figure.as_dict() for key, figure in estimate(metrics, kept).items()}
    told = promise.told(figures, kept, settled, domain)
    _through_json(asdict(told), f"{name}.told")
    if not told.sentence or "\n" in told.sentence or told.flag != promise.asked:
        raise ContractError(f"{name}.told: the sentence is to be one line, and the flag as it was asked: {told}")


def _through_json(value: dict[str, Any], what: str) -> dict[str, Any]:
    try:
        again: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ContractError(f"{what} gives what JSON cannot hold: {error}") from None
    return again


def _equal(first: Sequence[Any], second: Sequence[Any]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(np.asarray(one), np.asarray(other)) for one, other in zip(first, second, strict=True)
    )


def check_recipe(recipe: Recipe) -> None:
    """A recipe survives JSON, and so does what it derives into."""
    check_spec(recipe, Recipe)
    check_spec(replace(recipe, epochs=recipe.epochs + 1, then=recipe), Recipe)
