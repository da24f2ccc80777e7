"""Writes the predictions file of one checkpoint on one split, and every figure from that file alone."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import Module

from pervade.core import files, memory
from pervade.core.errors import DataError
from pervade.core.protocols import Context
from pervade.core.run import RunDirectory
from pervade.core.types import Media, Rows
from pervade.engine import predict, ranks
from pervade.engine.checkpoint import Loaded
from pervade.metrics import baseline
from pervade.metrics.estimate import FEWEST_RESAMPLES, Metric, estimate

FEW = 16  # rows that are measured whatever the time,
PRICED = 64  # and that tell what one takes, as long as that is no larger part of the time than PRICING
PRICING = 0.1
PREDICTING = 0.6  # of the time that is left, for the predictions,
RESAMPLING = 0.3  # and then for the intervals
RESAMPLES = 1000
EIGHTH = 8
PLAIN = "plain"  # stands for a checkpoint's name in the predictions file of the linear model


@memory.during("the split was predicted", "free some memory, then `pervade evaluate` the run")
def evaluate(
    run: RunDirectory,
    loaded: Loaded,
    rows: Rows,
    *,
    split: str = "test",
    device: torch.device | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
    until: float | None = None,
) -> dict[str, Any]:
    """Evaluates on the rows of `split` (out of all rows of the run) and writes results/evaluate@<checkpoint>.json,
    unless training has replaced the checkpoint meanwhile: then the figures are told and not kept.

    `until`: when it is to be over (time.monotonic). Then as many rows are measured, and as many resamples drawn, as
    there is time for, and what does not fit beside the figures is left out; "left_out" of the result says what.

    Raises DataError where the split is empty.
    """
    chosen = rows.where("split", split)
    if not len(chosen):
        there = sorted(set(rows.column("split")))
        raise DataError(f"the split {split!r} is empty; this run has {', '.join(there)}")
    network = loaded.network.to(device or torch.device("cpu"))
    left_out = []
    if until is not None:
        number = len(chosen)
        chosen = in_time(loaded, network, chosen, until, workers)
        if len(chosen) < number:
            left_out.append(f"{number - len(chosen):,} of {number:,} rows of the {split} split, drawn by chance")
    path = run.predictions(loaded.name, split)
    about = {"checkpoint": loaded.name, "split": split, "precision": "fp32", "weights": loaded.architecture["sha256"]}
    result: dict[str, Any] = {}
    with ExitStack() as stack:
        own = path
        if ranks.rank() == 0:  # a file of its own until all is done: training, or another evaluation, may write there
            with files.writing(path):
                own = stack.enter_context(files.temporary(path)) / path.name
        predict.write_predictions(
            own,
            network,
            loaded.domain,
            loaded.task,
            chosen,
            about=about,
            decision=loaded.decision,
            workers=workers,
            progress=progress,
        )
        if ranks.rank() == 0:
            result = figures(run, loaded, rows, split, predict.read_columns(own), chosen, until, left_out)
            _keep(run, loaded, own, result)
    ranks.wait()
    return result


def _keep(run: RunDirectory, loaded: Loaded, own: Path, result: dict[str, Any]) -> None:
    """Puts predictions and results in their places. Those of a checkpoint that is not there any more are taken away
    again afterwards, so that whatever comes between finds it out."""
    split = result["split"]
    path = run.predictions(loaded.name, split)
    place = run.result("evaluate" if split == "test" else f"evaluate-{split}", loaded.name)
    with files.writing(path):
        own.replace(path)
    files.write_json(place, result)
    if run.of_checkpoint(loaded.name, "architecture.json").get("sha256") != loaded.architecture["sha256"]:
        for each in (path, place):
            each.unlink(missing_ok=True)
        logging.getLogger(__name__).warning(
            f"training replaced the checkpoint {loaded.name!r} of {run.path} meanwhile: these figures are of the "
            "weights before, and are not kept"
        )


def in_time(loaded: Loaded, network: Module, rows: Rows, until: float, workers: int) -> Rows:
    """As many of the rows, drawn by chance, as can be predicted in time, by what a few of them take. The same on every
    rank."""
    start = time.monotonic()
    order = np.random.default_rng(0).permutation(len(rows))
    row_time = math.inf
    for some in (order[:FEW], order[:PRICED]):  # the first warms caches
        begun = time.monotonic()
        predict.predict_table(network, loaded.domain, loaded.task, rows.select(some.tolist()), workers=workers)
        row_time = min((time.monotonic() - begun) / len(some), row_time)
        if time.monotonic() - start > PRICING * (until - start):
            break
    affordable = PREDICTING * (until - time.monotonic()) / row_time * ranks.world()
    number = int(ranks.sum_numbers(max(affordable, FEW) if ranks.rank() == 0 else 0.0)[0])
    return rows if number >= len(rows) else rows.select(sorted(order[:number].tolist()))


def resamples_in_time(metrics: dict[str, Metric], columns: dict[str, Any], until: float) -> int:
    """How many resamples may be drawn in a part of the time that is left: 1,000, or fewer, but never too few for an
    interval."""
    taken = []
    for resamples in (2, 12):
        start = time.monotonic()
        estimate(metrics, columns, resamples=resamples)
        taken.append(time.monotonic() - start)
    each = max(taken[1] - taken[0], 1e-9) / 10
    return max(min(int(RESAMPLING * (until - time.monotonic()) / each), RESAMPLES), FEWEST_RESAMPLES)


@memory.during("the figures were computed", "free some memory, then `pervade evaluate` the run")
def figures(
    run: RunDirectory,
    loaded: Loaded,
    rows: Rows,
    split: str,
    columns: dict[str, Any],
    chosen: Rows,
    until: float | None = None,
    left_out: Sequence[str] = (),
) -> dict[str, Any]:
    """The results, from the columns of the predictions file of the `chosen` rows."""
    path = run.predictions(loaded.name, split)
    metrics = dict(loaded.task.metrics(loaded.domain))
    resamples = RESAMPLES if until is None else resamples_in_time(metrics, columns, until)
    estimates = estimate(metrics, columns, resamples=resamples)
    beside = details(run, loaded, rows, chosen, split, columns, until)
    missing = [*left_out, *beside.pop("left_out", [])]
    return {
        "meter": "evaluate",
        "checkpoint": loaded.name,
        "split": split,
        "n": len(columns["row"]),
        "precision": "fp32",
        "predictions": path.relative_to(run.path).as_posix(),
        "metrics": {name: each.as_dict() | _nature(metrics[name]) for name, each in estimates.items()},
        "details": kept(run, f"{loaded.name}@{split}", beside),
        **({"left_out": missing} if missing else {}),
    }


def _nature(metric: Metric) -> dict[str, Any]:
    """What a figure is, beside how large. For JSON, which has no infinity: an open end of its bounds is None."""
    bounds = [each if math.isfinite(each) else None for each in metric.bounds]
    return {"higher_is_better": metric.higher_is_better, "bounds": bounds}


def kept(run: RunDirectory, name: str, found: Any, key: str = "media") -> Any:
    """What a task gave, for JSON: pictures, sounds and films in it go to media/<name>/, and their place stands there
    instead."""
    if isinstance(found, dict):
        return {each: kept(run, name, value, each) for each, value in found.items()}
    if isinstance(found, list):
        return [kept(run, name, value, f"{key}-{i}") for i, value in enumerate(found)]
    if not isinstance(found, Media):
        return found
    path = run.path / "media" / name / f"{key}.{found.kind}"
    data = found.data.encode() if isinstance(found.data, str) else found.data
    with files.replacing(path) as temporary:
        temporary.write_bytes(data)
    return {"kind": found.kind, "file": path.relative_to(run.path).as_posix(), "caption": found.caption}


def details(
    run: RunDirectory,
    loaded: Loaded,
    rows: Rows,
    chosen: Rows,
    split: str,
    columns: dict[str, Any],
    until: float | None,
) -> dict[str, Any]:
    """What stands beside the figures; "left_out" says for what there was no time. Where the domain has features for a
    linear model, that model is the baseline, with a predictions file of its own and paired differences; what the task
    alone compares with is "constant"."""
    train = rows.where("split", "train")
    found = loaded.task.details(columns, train, loaded.domain)
    context = Context(loaded.domain, decision=loaded.decision)
    makers = {
        "what the model makes by itself": lambda: loaded.task.made(loaded.network, train, context),
        "what it answers to a few rows": lambda: loaded.task.replies(loaded.network, chosen, train, context),
    }
    missing = []
    for name, make in makers.items():
        if until is None or time.monotonic() < until:
            found |= make()
        else:
            missing.append(name)
    if until is not None and not _plain_in_time(loaded, train, chosen, columns, until):
        missing.append("the simplest model beside this one")
        return {**found, "left_out": missing}
    found |= {"left_out": missing} if missing else {}
    features = loaded.domain.plain_features(train, chosen)
    if features is not None:
        features = replace(features, held=rows.where("split", "validation"))
    plain = None if features is None else loaded.task.plain(features, train, columns, loaded.domain)
    if features is None or plain is None:
        return found
    path = run.predictions(PLAIN, split)
    about = {"checkpoint": PLAIN, "split": split, "name": plain.name}
    predict.write_columns(path, {**columns, **plain.columns}, about)
    linear = against(run, path, plain.name, dict(loaded.task.metrics(loaded.domain)), columns)
    constant = {"constant": found["baseline"]} if "baseline" in found else {}
    return {**found, **constant, "baseline": linear}


def _plain_in_time(loaded: Loaded, train: Rows, chosen: Rows, columns: dict[str, Any], until: float) -> bool:
    """Whether the simplest model and its figures are made in time, by what it takes with an eighth of the rows."""
    start, part = time.monotonic(), train.select(range(0, len(train), EIGHTH))
    features = loaded.domain.plain_features(part, chosen)
    if features is None or loaded.task.plain(features, part, columns, loaded.domain) is None:
        return True
    now = time.monotonic()
    return now + EIGHTH * (now - start) < until


def against(
    run: RunDirectory, path: Path, name: str, metrics: dict[str, Metric], columns: dict[str, Any]
) -> dict[str, Any]:
    """What a predictions file of the linear model says beside the `columns` of the model's own."""
    beside = baseline.beside(name, metrics, predict.read_columns(path), columns)
    return beside | {"predictions": path.relative_to(run.path).as_posix()}
