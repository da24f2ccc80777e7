"""Writes the predictions file of one checkpoint on one split, and every figure from that file alone."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pervade.core import deadline, files, memory, words
from pervade.core.contracts import Context, Domain
from pervade.core.contracts.abilities import HasPlainModel, JudgesAll, KeepsSamples, MakesSamples, RepliesToRows
from pervade.core.errors import DataError
from pervade.core.run import RunDirectory
from pervade.core.types import Json, Media, Rows
from pervade.engine import predictions, promises, ranks
from pervade.engine.checkpoint import Loaded
from pervade.engine.predictor import Predictor
from pervade.metrics import baseline
from pervade.metrics.estimate import Estimate, Metric, estimate

PREDICTING = 0.9  # of the time that is left, for the predictions,
AND_JUDGING = 0.6  # and where a simpler model is fitted beside this one, or another network judges it;
RESAMPLING = 0.5  # of what is then left, for the intervals
COMPARED = "what the judge says of them, beside the figures"
PLAIN_MODEL = "the simplest model beside this one"
NATURE = ("higher_is_better", "bounds", "words")  # of a figure, beside how large it is
PLAIN = "plain"  # stands for a checkpoint's name in the predictions file of the linear model


@dataclass(frozen=True)
class _Measured:
    """What figures are computed from: `columns` of the predictions file of the rows `chosen`, and all `rows` of the
    run, from which the simplest model beside it learns. `until` as of `evaluate`."""

    run: RunDirectory
    loaded: Loaded
    rows: Rows
    split: str
    columns: dict[str, Any]
    chosen: Rows
    judged: bool  # off: there was no time for what another network says of them
    until: float | None

    @property
    def train(self) -> Rows:
        return self.rows.where("split", "train")

    @property
    def metrics(self) -> dict[str, Metric]:
        """Of the answers of any model to these rows."""
        return dict(self.loaded.task.metrics(self.loaded.domain))

    @property
    def promised(self) -> dict[str, Metric]:
        """Of these answers alone."""
        return promises.metrics(self.loaded.decision, self.loaded.domain)


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
    learnt = (rows if own is None else own).where("split", "train")
    predictor = Predictor.of(loaded, workers=workers, train=learnt)
    predictor.network.to(device or torch.device("cpu"))
    path = run.predictions(loaded.name, split)
    about = {"checkpoint": loaded.name, "split": split, "precision": "fp32", "weights": loaded.architecture["sha256"]}
    result: dict[str, Any] = {}
    with ExitStack() as stack:
        file = path
        if ranks.rank() == 0:  # a file of its own until all is done: training, or another evaluation, may write there
            with files.writing(path):
                file = stack.enter_context(files.temporary(path))
        more = _has_plain(loaded) or isinstance(loaded.task, JudgesAll)
        ends = None if until is None else _part(until, AND_JUDGING if more else PREDICTING)
        judged_by = None if until is None else _part(until, PREDICTING)
        measured, judged = predictor.write(file, chosen, about, progress, ends, judged_by)
        if ranks.rank() == 0:
            columns, known = predictions.read_columns(file), rows if own is None else own
            result = _figures(_Measured(run, loaded, known, split, columns, measured, judged, until), len(chosen))
            result |= {} if about_data is None else {"data": dict(about_data)}
            _put_in_place(run, loaded, file, result)
    ranks.wait()
    return result


def _put_in_place(run: RunDirectory, loaded: Loaded, own: Path, result: dict[str, Any]) -> None:
    """Puts predictions and results in their places. Those of a checkpoint that is not there any more are taken away
    again afterwards, so that whatever comes between finds it out."""
    split = result["split"]
    path = run.predictions(loaded.name, split)
    place = run.result("evaluate" if split == "test" else f"evaluate-{split}", loaded.name)
    with files.writing(path):
        own.replace(path)
    files.write_json(place, result)
    forget_if_replaced(run, loaded, path, place, run.samples(loaded.name, split))


def forget_if_replaced(run: RunDirectory, loaded: Loaded, *written: Path) -> None:
    """Removes what was written of a checkpoint that training has replaced meanwhile, and says so."""
    if run.of_checkpoint(loaded.name, "architecture.json").get("sha256") != loaded.architecture["sha256"]:
        for file in written:
            files.remove(file)
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
    return _has_plain(loaded) or isinstance(loaded.task, (MakesSamples, RepliesToRows, JudgesAll))


def _has_plain(loaded: Loaded) -> bool:
    """Whether there may be a simpler model beside this one."""
    return isinstance(loaded.task, HasPlainModel) and type(loaded.domain).plain_features is not Domain.plain_features


@memory.during("the figures were computed", "free some memory, then `pervade evaluate` the run")
def _figures(measured: _Measured, asked: int) -> dict[str, Any]:
    """The results, where `asked` rows were to be measured."""
    run, split, until, loaded = measured.run, measured.split, measured.until, measured.loaded
    metrics, path = measured.metrics | measured.promised, run.predictions(loaded.name, split)
    estimates = estimate(metrics, measured.columns, until=None if until is None else _part(until, RESAMPLING))
    figures = {name: figure_as_json(estimate, metrics[name]) for name, estimate in estimates.items()}
    beside = _details(measured)
    missing = beside.pop("left_out", [])
    if promised := promises.told(loaded.decision, figures, measured.columns, loaded.domain):
        beside[promises.ENTRY] = promised
    if len(measured.chosen) < asked:
        lacking = asked - len(measured.chosen)
        missing = [f"{lacking:,} of {asked:,} rows of the {split} split, drawn by chance", *missing]
    return {
        "meter": "evaluate",
        "checkpoint": loaded.name,
        "split": split,
        "n": len(measured.columns["row"]),
        "precision": "fp32",
        "predictions": path.relative_to(run.path).as_posix(),
        "metrics": figures,
        "details": media_kept(run, path.stem, beside),
        **({"left_out": missing} if missing else {}),
    }


def figure_as_json(estimate: Estimate, metric: Metric) -> dict[str, Any]:
    """How large a figure is, and what it is. JSON has no infinity: an open end of its bounds is None."""
    bounds = [bound if math.isfinite(bound) else None for bound in metric.bounds]
    nature = zip(NATURE, (metric.higher_is_better, bounds, words.as_json(metric.words)), strict=True)
    return estimate.as_dict() | dict(nature)


def media_kept(run: RunDirectory, name: str, detail: Any, key: str = "media") -> Any:
    """What a task gave, for JSON: pictures, sounds and films in it go to media/<name>/, and their place stands there
    instead."""
    if isinstance(detail, dict):
        return {part: media_kept(run, name, value, part) for part, value in detail.items()}
    if isinstance(detail, list):
        return [media_kept(run, name, value, f"{key}-{i}") for i, value in enumerate(detail)]
    if not isinstance(detail, Media):
        return detail
    path = run.path / "media" / name / f"{key}.{detail.kind}"
    data = detail.data.encode() if isinstance(detail.data, str) else detail.data
    with files.replacing(path) as temporary:
        temporary.write_bytes(data)
    return {"kind": detail.kind, "file": path.relative_to(run.path).as_posix(), "caption": detail.caption}


def _details(measured: _Measured) -> dict[str, Any]:
    """What stands beside the figures; "left_out" says for what there was no time. Where the domain has features for a
    linear model, that model is the baseline, with a predictions file of its own and paired differences; what the task
    alone compares with is "constant"."""
    loaded, train = measured.loaded, measured.train
    # What is said of rows one by one costs little; what compares all of them may not.
    until = measured.until if isinstance(loaded.task, JudgesAll) else None
    told = deadline.done_by(until, lambda: loaded.task.details(measured.columns, train, loaded.domain))
    details, missing = told or {}, [] if measured.judged and told is not None else [COMPARED]
    context = Context(loaded.domain, decision=loaded.decision, members=loaded.members)
    task = loaded.task
    makers: dict[str, Callable[[], dict[str, Any]]] = {}
    if isinstance(task, MakesSamples):
        makers["what the model makes by itself"] = lambda: task.made(loaded.network, train, context)
    if isinstance(task, RepliesToRows):
        makers["what it answers to a few rows"] = lambda: task.replies(loaded.network, measured.chosen, train, context)
    if isinstance(task, KeepsSamples):
        makers["the measured samples as files"] = lambda: _samples(measured, task)
    if _has_plain(loaded):
        makers[PLAIN_MODEL] = lambda: _plain(measured, details)
    for name, make in makers.items():
        more = deadline.done_by(measured.until, make)
        if more is None:
            missing.append(name)
        else:
            details |= more
    if PLAIN_MODEL in missing:  # its predictions may have been written, now or before, and no figures are of them
        measured.run.predictions(PLAIN, measured.split).unlink(missing_ok=True)
    return {**details, "left_out": missing} if missing else details


def _samples(measured: _Measured, task: KeepsSamples) -> dict[str, Any]:
    """Keeps what was measured as files, and says where."""
    run, place = measured.run, measured.run.samples(measured.loaded.name, measured.split)
    number = 0
    with files.replacing_folder(place) as folder:
        for name, media in task.samples(measured.columns, measured.chosen, measured.loaded.domain):
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(media.data.encode() if isinstance(media.data, str) else media.data)
            number += 1
    return {"kept": {"folder": place.relative_to(run.path).as_posix(), "files": number}}


def _plain(measured: _Measured, details: Mapping[str, Any]) -> dict[str, Any]:
    """The simplest model as "baseline", and what was the baseline so far as "constant"; nothing where there is none."""
    run, loaded, train, columns = measured.run, measured.loaded, measured.train, measured.columns
    features, task = loaded.domain.plain_features(train, measured.chosen), loaded.task
    if features is None or not isinstance(task, HasPlainModel):
        return {}
    held = measured.rows.where("split", "validation")
    plain = task.plain(replace(features, held=held), train, columns, loaded.domain)
    if plain is None:
        return {}
    path = run.predictions(PLAIN, measured.split)
    about = {"checkpoint": PLAIN, "split": measured.split, "name": plain.name}
    predictions.write_columns(path, {**columns, **plain.columns}, about)
    linear = against(run, path, plain.name, measured.metrics, columns)
    constant = {"constant": details["baseline"]} if "baseline" in details else {}
    return {**constant, "baseline": linear}


def against(
    run: RunDirectory, path: Path, name: str, metrics: dict[str, Metric], columns: dict[str, Any]
) -> dict[str, Any]:
    """What a predictions file of the linear model says beside the `columns` of the model's own."""
    beside = baseline.beside(name, metrics, predictions.read_columns(path), columns)
    return beside | {"predictions": path.relative_to(run.path).as_posix()}
