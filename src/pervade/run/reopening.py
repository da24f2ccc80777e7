"""As run/parity.py, of forms that are no ONNX graph: each is opened in a fresh process by the exporter that wrote it,
and asked about test rows, or about what it says itself where rows are not what it answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from pervade.core import registry, spec
from pervade.core.contracts import AskedOtherwise, Context, Exporter, Reopens
from pervade.core.contracts.capabilities import labels_of
from pervade.core.run import RunDirectory
from pervade.core.types import Batch
from pervade.engine.checkpoint import Loaded
from pervade.engine.deployment import signature as signature_of
from pervade.engine.predictor import undisturbed
from pervade.run import parity
from pervade.run.parity import Answers, Bound

Asked: TypeAlias = tuple[str, Batch, Mapping[str, Tensor]]  # of one row: its id, what is asked, what the run answers


def measure(
    run: RunDirectory, loaded: Loaded, exporter: Exporter, place: Path, tolerance: float | None, most: int
) -> dict[str, Any]:
    """parity.json of what the exporter wrote, whose main file is at `place`: "compared" says in words what was. Raises
    ConfigError, with the row that differs first, where it answers otherwise than the run by more than the bound."""
    name = registry.full_name(exporter)
    if not isinstance(exporter, Reopens):
        return {"checkpoint": loaded.name, "compared": f"nothing: {name} cannot be opened again here"}
    bound = parity.bound_of(loaded, tolerance, exporter.tolerance)
    told: dict[str, Any] = {"checkpoint": loaded.name, "tolerance": bound.difference}
    if exporter.by_signature:
        rows, numbers = _by_signature(run, loaded, exporter, place, bound, most)
        return {**told, "compared": f"test rows, by what signature.json names, opened by {name}", rows: numbers}
    if isinstance(exporter, AskedOtherwise):
        key, said, asked = "otherwise", exporter.asked_of, list(exporter.asks(loaded))
    else:
        key, said, asked = "batches", f"test rows as our loaders have them, opened by {name}", []
        for one in _affordable(_batches(run, loaded, most)):
            if not isinstance(one[1]["input"], Tensor):
                return {**told, "compared": f"nothing: a row is more to this task than {name} reads at once"}
            asked.append(one)
    given = _reopened(exporter, place, [_flat(batch) for _, batch, _ in asked])
    wanted = [{name: value.numpy() for name, value in answers.items()} for _, _, answers in asked]
    result = parity.compare(_numbers(wanted), _numbers(given), [name for name, _, _ in asked], bound)
    parity.hold(place, result, "")
    del result["changed"]  # such forms give no decision
    return {**told, "compared": said, key: result}


def _by_signature(
    run: RunDirectory, loaded: Loaded, exporter: Exporter, place: Path, bound: Bound, most: int
) -> tuple[str, dict[str, Any]]:
    """As a graph is compared, with rows that are decoded and scaled."""
    signature = signature_of(loaded)
    rows, ids, feeds = parity.asked_about(run, loaded, signature, most)
    wanted = parity.reference(loaded, rows, signature, feeds)
    parts = [{one.name: part[one.name] for one in signature.inputs} for row in feeds for part in row]
    answers = iter(_reopened(exporter, place, parts))
    given: list[Answers] = []
    for row in feeds:
        own = [next(answers) for _ in row]
        given.append({name: parity.joined([part[name] for part in own]) for name in own[0]})
    result = parity.compare(wanted, given, ids, bound)
    parity.hold(place, result, "")
    return "decoded", result


def _batches(run: RunDirectory, loaded: Loaded, most: int) -> Iterator[Asked]:
    """Each example of the rows by itself, so that nothing is filled up, with what the run's network says of it: the
    labels' probabilities as they are decided, else its scores."""
    context = Context(loaded.domain, decision=loaded.decision, targets=False)
    for row in parity.test_rows(run, loaded, most):
        for example in loaded.domain.transform(row, None):
            whole = loaded.domain.collate([example])
            batch: Batch = {name: whole[name] for name in ("input", "mask") if name in whole}
            if not isinstance(batch["input"], Tensor):
                yield str(row["id"]), batch, {}
                return
            with undisturbed(loaded.network), torch.inference_mode():
                output = loaded.network(**batch)
                if labels_of(loaded.domain):
                    table = loaded.task.predictions(output, {"row": torch.zeros(1, dtype=torch.int64)}, context)
                    answers = {"probabilities": torch.as_tensor(np.asarray(table["probabilities"])).float()}
                else:
                    (scores,) = output.values()
                    answers = {"logits": scores}
            yield str(row["id"]), batch, answers


def _affordable(asked: Iterator[Asked]) -> Iterator[Asked]:
    """As many as answers of which fit into parity.MOST numbers, at least one."""
    room = parity.MOST
    for number, one in enumerate(asked):
        room -= sum(value.numel() for value in one[2].values())
        if room < 0 and number:
            return
        yield one


def _numbers(answers: Iterable[Answers]) -> list[Answers]:
    """Logits by another name, by which they are not compared as the probabilities that they stand for."""
    return [{"scores" if name == "logits" else name: value for name, value in one.items()} for one in answers]


def _flat(batch: Batch) -> dict[str, np.ndarray]:
    """A batch as arrays, of which one inside another goes by both names: "input.pixels"."""
    flat: dict[str, np.ndarray] = {}
    for name, value in batch.items():
        inside = {f"{name}.{part}": one for part, one in value.items()} if isinstance(value, dict) else {name: value}
        flat |= {key: one.numpy() for key, one in inside.items()}
    return flat


def _reopened(exporter: Exporter, place: Path, feeds: Iterable[Answers]) -> list[Answers]:
    """What it answers to each feed in a fresh process."""
    job = {"exporter": spec.encode(exporter), "folder": str(place.parent)}
    feeds = list(feeds)
    told: list[dict[str, np.ndarray]] = [{} for _ in feeds]
    for key, value in parity.in_fresh_process(place, job, feeds).items():
        _, number, name = key.split("/", 2)
        told[int(number)][name] = value
    return list(told)
