"""Writes the predictions file of one checkpoint on one split, and every figure from that file alone."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pervade.core import deadline, files, memory
from pervade.core.contracts import Context, Domain, HasPlainModel, MakesSamples, RepliesToRows
from pervade.core.errors import DataError
from pervade.core.run import RunDirectory
from pervade.core.types import Json, Media, Rows
from pervade.engine import predict, ranks
from pervade.engine.checkpoint import Loaded
from pervade.metrics import baseline
from pervade.metrics.estimate import Metric, estimate

PREDICTING = 0.9  # of the time that is left, for the predictions,
BESIDE_PLAIN = 0.6  # and where a simpler model is fitted beside this one;
RESAMPLING = 0.5  # of what is then left, for the intervals
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
    own: Rows | None = None,
    about_data: Mapping[str, Json] | None = None,
) -> dict[str, Any]:
    """Evaluates on the rows of `split` (out of all rows of the run) and writes results/evaluate@<checkpoint>.json,
    unless training has replaced the checkpoint meanwhile: then the figures are told and not kept.

    `rows` may be other data than the run's `own`, from which the simplest model beside it learns; then `about_data` is
    what the result says of them.

    `until`: when it is to be over (time.monotonic). Then as many rows are measured, and as many resamples drawn, as
    there is time for, and what does not fit beside the figures is left out; "left_out" of the result says what.

    Raises DataError where the split is empty.
    """
    chosen = rows.where("split", split)
    if not len(chosen):
        there = sorted(set(rows.column("split")))
        raise DataError(f"the split {split!r} is empty; this run has {', '.join(there)}")
    network = loaded.network.to(device or torch.device("cpu"))
    path = run.predictions(loaded.name, split)
    about = {"checkpoint": loaded.name, "split": split, "precision": "fp32", "weights": loaded.architecture["sha256"]}
    result: dict[str, Any] = {}
    with ExitStack() as stack:
        file = path
        if ranks.rank() == 0:  # a file of its own until all is done: training, or another evaluation, may write there
            with files.writing(path):
                file = stack.enter_context(files.temporary(path)) / path.name
        measured = predict.write_predictions(
            file,
            network,
            loaded.domain,
            loaded.task,
            chosen,
            about=about,
            decision=loaded.decision,
            workers=workers,
            progress=progress,
            until=None if until is None else _part(until, BESIDE_PLAIN if _has_plain(loaded) else PREDICTING),
        )
        if ranks.rank() == 0:
            columns, learnt = predict.read_columns(file), rows if own is None else own
            result = figures(run, loaded, learnt, split, columns, measured, until, len(chosen))
            result |= {} if about_data is None else {"data": dict(about_data)}
            _keep(run, loaded, file, result)
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


def _part(until: float, share: float) -> float:
    """The moment at which this share of the time until then is over."""
    now = time.monotonic()
    return now + share * (until - now)


def learns_beside(loaded: Loaded) -> bool:
    """Whether more than the targets of the run's own rows is needed beside the figures."""
    return _has_plain(loaded) or isinstance(loaded.task, (MakesSamples, RepliesToRows))


def _has_plain(loaded: Loaded) -> bool:
    """Whether there may be a simpler model beside this one."""
    return isinstance(loaded.task, HasPlainModel) and type(loaded.domain).plain_features is not Domain.plain_features


@memory.during("the figures were computed", "free some memory, then `pervade evaluate` the run")
def figures(
    run: RunDirectory,
    loaded: Loaded,
    rows: Rows,
    split: str,
    columns: dict[str, Any],
    chosen: Rows,
    until: float | None = None,
    asked: int = 0,
) -> dict[str, Any]:
    """The results, from the columns of the predictions file of the `chosen` rows, of `asked` ones."""
    path = run.predictions(loaded.name, split)
    metrics = dict(loaded.task.metrics(loaded.domain))
    estimates = estimate(metrics, columns, until=None if until is None else _part(until, RESAMPLING))
    beside = details(run, loaded, rows, chosen, split, columns, until)
    missing = beside.pop("left_out", [])
    if len(chosen) < asked:
        missing = [f"{asked - len(chosen):,} of {asked:,} rows of the {split} split, drawn by chance", *missing]
    return {
        "meter": "evaluate",
        "checkpoint": loaded.name,
        "split": split,
        "n": len(columns["row"]),
        "precision": "fp32",
        "predictions": path.relative_to(run.path).as_posix(),
        "metrics": {name: each.as_dict() | _nature(metrics[name]) for name, each in estimates.items()},
        "details": kept(run, path.stem, beside),
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
    task = loaded.task
    makers: dict[str, Callable[[], dict[str, Any]]] = {}
    if isinstance(task, MakesSamples):
        makers["what the model makes by itself"] = lambda: task.made(loaded.network, train, context)
    if isinstance(task, RepliesToRows):
        makers["what it answers to a few rows"] = lambda: task.replies(loaded.network, chosen, train, context)
    if _has_plain(loaded):
        makers["the simplest model beside this one"] = lambda: _plain(run, loaded, rows, chosen, split, columns, found)
    missing = []
    for name, make in makers.items():
        more = deadline.done_by(until, make)
        if more is None:
            missing.append(name)
        else:
            found |= more
    return {**found, "left_out": missing} if missing else found


def _plain(
    run: RunDirectory,
    loaded: Loaded,
    rows: Rows,
    chosen: Rows,
    split: str,
    columns: dict[str, Any],
    found: dict[str, Any],
) -> dict[str, Any]:
    """The simplest model as "baseline", and what was the baseline so far as "constant"; nothing where there is none."""
    train = rows.where("split", "train")
    features, task = loaded.domain.plain_features(train, chosen), loaded.task
    if features is None or not isinstance(task, HasPlainModel):
        return {}
    plain = task.plain(replace(features, held=rows.where("split", "validation")), train, columns, loaded.domain)
    if plain is None:
        return {}
    path = run.predictions(PLAIN, split)
    about = {"checkpoint": PLAIN, "split": split, "name": plain.name}
    predict.write_columns(path, {**columns, **plain.columns}, about)
    linear = against(run, path, plain.name, dict(loaded.task.metrics(loaded.domain)), columns)
    constant = {"constant": found["baseline"]} if "baseline" in found else {}
    return {**constant, "baseline": linear}


def against(
    run: RunDirectory, path: Path, name: str, metrics: dict[str, Metric], columns: dict[str, Any]
) -> dict[str, Any]:
    """What a predictions file of the linear model says beside the `columns` of the model's own."""
    beside = baseline.beside(name, metrics, predict.read_columns(path), columns)
    return beside | {"predictions": path.relative_to(run.path).as_posix()}
