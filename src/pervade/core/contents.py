"""What the JSON files of a run hold: by the file's name, the type of each field that something reads.

A field that is not there is its reader's to miss (core/files.py: read_json); one that is there is of its type: no
true for 1, no text for a number. A file or field that is not named here may hold anything: what a task, an optimiser or
a source stores for itself. Whoever takes that apart does so inside `understood`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, NotRequired

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from pervade.core import memory
from pervade.core.errors import CheckpointError

MOST_MEMBERS = 100_000  # runs that one run holds: seeds, folds or trials

Count = Annotated[int, Field(ge=0, lt=2**53)]
Share = Annotated[float, Field(ge=0, le=1)]
Some = dict[str, Any]


class Base(TypedDict):
    place: str
    sha256: str


class LeftOut(TypedDict):
    source: str
    reason: str


Two = Annotated[list[float | None], Field(min_length=2, max_length=2)]


def _inside(place: str) -> str:
    if place.startswith("/") or ".." in place.split("/") or "\0" in place:
        raise ValueError("a place inside the run is meant")
    return place


Inside = Annotated[str, AfterValidator(_inside)]


class Measured(TypedDict):
    value: float | None
    low: float | None
    high: float | None
    n: Count


class Figure(Measured, total=False):
    method: str
    level: Share
    why: str
    higher_is_better: bool | None
    bounds: Two
    mean: float | None
    deviation: float | None
    members: dict[str, Measured]
    how: Some
    words: Some


class Apart(TypedDict, total=False):
    """The model and its baseline, of one figure."""

    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    shown: bool
    level: Share
    method: str
    how: Some
    why: str


class Beside(TypedDict, total=False):
    """What the model is compared with."""

    name: str
    called: str
    metrics: dict[str, Figure]
    differences: dict[str, Apart]
    discordant: dict[str, Count]
    predictions: Inside


class Promised(TypedDict):
    """What became of a promise on measured rows (core/contracts/promises.py: Told)."""

    sentence: str
    flag: str
    curve: NotRequired[Some]
    kept: bool
    why: str
    n: Count
    decides: NotRequired[bool]  # what is answered
    broken: NotRequired[bool | None]


class Score(TypedDict):
    """By which rows unlike what was learnt are told from others."""

    called: str
    auroc: Figure
    flagged: Figure
    false_alarms: Figure
    threshold: float | None
    points: list[Annotated[list[Share], Field(min_length=2, max_length=2)]]
    difference: NotRequired[Apart]
    taken: NotRequired[Figure]


class Unlike(TypedDict):
    name: str
    best: str
    scores: dict[str, Score]
    asked: Share
    settled_on: str
    rows: dict[str, Count]
    features: str


class Between(TypedDict, total=False):
    """What figures of made rows come to for two halves of the measured ones, for chance, and for as many made ones."""

    judge: str
    random: bool
    n: Count
    features: Count
    floor: dict[str, float]
    ceiling: dict[str, float]
    made: dict[str, float]
    training: float
    apart: Annotated[float, Field(ge=0)]


class Kept(TypedDict):
    folder: Inside
    files: Count


class Paired(Apart, total=False):
    """The original's figure and that of what was made of it, and how far they are apart."""

    first: float | None
    second: float | None
    label: str


class Speed(TypedDict):
    """Of one side of a timing (run/timing.py)."""

    latency: float
    latency_p99: float
    throughput: float
    memory: Count | None
    size: Count
    calls: Count
    energy: NotRequired[float]


class Agreement(TypedDict):
    """How far a graph's answers are from its network's (run/parity.py: compare)."""

    rows: Count
    difference: Annotated[float, Field(ge=0)]
    changed: Count
    first: str | None


class Point(TypedDict, total=False):
    """A way of making a model smaller, by the validation split."""

    steps: list[str]
    headline: str
    figure: Figure
    n: Count
    drop: float
    differences: dict[str, Paired]
    weights: Annotated[list[Count], Field(min_length=2, max_length=2)]
    agreement: Agreement
    speeds: dict[str, Speed]
    untimed: str


class Compressed(TypedDict):
    """What a checkpoint that was made smaller comes to beside the one it was made `of`."""

    of: str
    of_weights: str
    steps: list[str]
    summaries: list[str]
    headline: NotRequired[str]
    differences: NotRequired[dict[str, Paired]]
    weights: NotRequired[Annotated[list[Count], Field(min_length=2, max_length=2)]]
    agreement: NotRequired[Agreement]
    speeds: NotRequired[dict[str, Speed]]
    untimed: NotRequired[str]
    threads: NotRequired[Count]
    batch: NotRequired[Count]
    processor: NotRequired[str]
    picked: NotRequired[str | None]
    curve: NotRequired[dict[str, Point]]
    refused: NotRequired[dict[str, str]]
    max_drop: NotRequired[Share]
    target: NotRequired[str]
    why: NotRequired[str]


class Details(TypedDict, total=False):
    """Those that more than their task and their part of the report read; the others may be anything."""

    labels: list[str]
    train_counts: list[Count]
    thresholds: list[float]
    baseline: Beside
    constant: Beside
    promises: list[Promised]
    unlike: Unlike
    floor_and_ceiling: Between
    kept: Kept
    compressed: Compressed


class Learner(TypedDict, total=False):
    step: Count
    passes: Count
    total_steps: Count
    pass_over: bool


class Half(TypedDict, total=False):
    best: float | None
    at: Annotated[float, Field(ge=0)]
    settled: dict[str, Any]


class Settling(TypedDict, total=False):
    halves: Annotated[list[Half], Field(min_length=2, max_length=2)]
    at: Annotated[float, Field(ge=0)]
    whole: dict[str, Any]


class Plan(TypedDict, total=False):
    passes: Count
    best: float | None
    best_pass: Annotated[float, Field(ge=0)]
    elapsed: Annotated[float, Field(ge=0)]
    setup: Annotated[float, Field(ge=0)]
    told: bool
    finished: bool
    settling: Settling | None


class State(TypedDict, total=False):
    learner: Learner
    extra: Plan
    world: Count
    pieces: dict[str, str]


class Trial(TypedDict):
    number: Count
    values: Some
    state: Literal["running", "paused", "complete", "pruned", "failed"]
    value: float | None
    passes: dict[Annotated[str, StringConstraints(pattern="^[0-9]+$")], float]
    seconds: float
    reason: str
    rung: NotRequired[str]
    share: NotRequired[Share]
    goal: NotRequired[Share]


class Rung(TypedDict):
    name: str
    state: Literal["waiting", "complete", "passed by"]
    reason: str
    seconds: float
    bytes: Count
    value: float | None
    low: float | None
    high: float | None
    n: Count
    row_seconds: float | None
    folds: NotRequired[Count]


class Settled(TypedDict):
    """A promise, and what of it is settled."""

    promise: Some
    settled: Some
    n: Count
    kept: bool
    why: str


class Columns(TypedDict, total=False):
    id: list[str]
    split: list[Literal["train", "validation", "promise", "test", "aside"]]
    hash: list[str]
    path: list[str]
    synthetic: list[bool]


class Synthetic(TypedDict):
    """Of a class: its rows to learn from, and of those that were made how many were looked at and kept."""

    real: Count
    asked: Count
    looked_at: Count
    kept: Count


Columns.__pydantic_config__ = {"extra": "allow"}  # type: ignore[attr-defined]

_RESULT: Some = {
    "metrics": dict[str, Figure],
    "details": Details,
    "split": str,
    "n": Count,
    "checkpoint": str,
    "predictions": Inside,
    "kind": str,
    "members": Some,
}
OTHERS = "*"  # every field that is not named beside it
FIELDS: dict[str, Some] = {
    "results": _RESULT,  # every file in there
    "answers.json": {  # of a folder for transformers
        "pipeline": str,
        "mean": bool,
        "scores": Literal["softmax", "sigmoid", ""],
        "labels": list[str],
        "separator": int | None,
        "decision": Some,
    },
    "architecture.json": {
        "model": Some,
        "inputs": Some,
        "outputs": Some,
        "changes": list[Some | str],
        "tied": dict[str, str],
        "sha256": str,
        "base": Base,
        "parameters": Count,
        "step": Count,
        "passes": Annotated[float, Field(ge=0)],
        "compressed_from": str,
        "compressed_by": list[Some | str],
    },
    "data.json": {
        "rows": Count,
        "once": dict[str, Any],
        "columns": Columns,
        "left_out": list[LeftOut],
        "synthetic": dict[str, Synthetic],
    },
    "decision.json": {
        "temperature": Annotated[float, Field(ge=1e-6, le=1e6)],
        "answers_temperature": Annotated[float, Field(ge=1e-6, le=1e6)],
        "threshold": Annotated[float, Field(ge=-1, le=1)],
        "thresholds": dict[str, Share] | list[Share],
        "margin": float,
        "reach": Annotated[float, Field(ge=0)],
        "coverage": Share,
        "confidence": Annotated[list[float], Field(min_length=2, max_length=2)],
        "language_weight": float,
        "word_bonus": float,
        "promises": list[Settled],
        "answers": Literal["likeliest", "balanced"],
        "tried": dict[str, dict[str, Share]],
    },
    "pervade.json": {  # of a repository on the Hub
        "kind": Literal["run", "transformers"],
        "name": str,
        "checkpoint": str,
        "files": dict[str, str],
    },
    "environment.json": {
        "task": str | None,
        "find_lr": bool,
        "command": list[str],
        "environment": Some,
        "source": str | list[str] | None,
    },
    "init.json": {
        "init": Some,
        "summary": str,
        "loaded": list[str],
        "left_out": list[str],
        "new": list[str],
        "licence": str,
        "base": Base,
    },
    "lr_find.json": {
        "lr": Annotated[float, Field(gt=0)],
        "reason": str,
        "rates": list[float],
        "losses": list[float],
        "smoothed": list[float],
    },
    "log.jsonl": {  # each line
        "event": str,
        "step": Count,
        "pass": Annotated[float, Field(ge=0)],
        "elapsed": Annotated[float, Field(ge=0)],
        "total_steps": Count,
        "text": str,
        "stop": bool,
        "pruned": bool,
        OTHERS: float | None,
    },
    "members.json": {
        "kind": str,
        "number": Annotated[int, Field(ge=0, le=MOST_MEMBERS)],
        "used": float,
        "groups": list[str] | None,
        "by": str,
        "time_limit": float | None,
        "trials": Count | None,
        "space": dict[str, Some],
        "base": Some,
        "rungs": dict[str, Some | str],
        "best_of": Literal["accuracy", "size", "speed"],
        "blend": bool,
        "by_default": bool,
    },
    "ladder.json": {
        "metric": str | None,
        "taken": str | None,
        "why": str,
        "used": float,
        "begun": dict[str, str],
        "rungs": list[Rung],
    },
    "origin.json": {"recipe": Some, "files": dict[str, str]},
    "preprocess.json": {"domain": Some},
    "remarks.json": {"remarks": list[str], "account": list[str]},
    "words.json": {"domain": Some, "task": Some, "name": str, "figures": dict[str, Some]},
    "signature.json": {
        "graph": str,
        "files": dict[str, str],
        "task": Some,
        "inputs": list[Some],
        "outputs": list[Some],
        "checkpoint": str,
    },
    "search.json": {
        "metric": str | None,
        "higher_is_better": bool,
        "winner": str | None,
        "no_blend": str,
        "used": float,
        "trials": list[Trial],
    },
    "state.json": {"sha256": str, "state": State},
}


@functools.cache
def _adapter(name: str, field: str) -> TypeAdapter[Any]:
    return TypeAdapter(FIELDS[name][field])


def check(path: Path, data: Mapping[str, Any], remedy: str | None = None) -> None:
    """Raises CheckpointError naming the first field of another type than it should be of, and what is there."""
    name = "results" if path.parent.name == "results" else path.name
    fields = FIELDS.get(name, {})
    for field in data if OTHERS in fields else fields.keys() & data.keys():
        try:
            _adapter(name, field if field in fields else OTHERS).validate_python(data[field], strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, (field, *first["loc"])))
            _refuse(path, f"{where} is {repr(first['input'])[:60]}: {first['msg']}", remedy)
    if name == "data.json":
        columns, ids = data.get("columns", {}), data.get("columns", {}).get("id", ())
        if odd := [key for key, values in columns.items() if not isinstance(values, list)]:
            _refuse(path, f"columns.{odd[0]} is no list")
        if len({len(values) for values in columns.values()}) > 1:
            _refuse(path, "its columns differ in length")
        if len(set(ids)) < len(ids):
            _refuse(path, "an id stands twice")
        if lacking := [key for key in ("id", "split") if "columns" in data and key not in columns]:
            _refuse(path, f"it has no column {lacking[0]!r}")


def _refuse(path: Path, reason: str, remedy: str | None = None) -> NoReturn:
    remedy = remedy or "use another checkpoint, measure again with `pervade evaluate`, or train again"
    raise CheckpointError(f"{path} is damaged ({reason}); {remedy}")


@contextlib.contextmanager
def understood(what: str, remedy: str, *more: type[Exception]) -> Iterator[None]:
    """Inside, nothing is done but to take apart what `what` holds, whose types no schema knows: what goes wrong there
    (or is one of `more`) is a CheckpointError, with the fault itself as its cause."""
    faults: tuple[type[Exception], ...] = (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
        *more,
    )
    try:
        yield
    except faults as error:
        if memory.ran_out(error):
            raise
        fault = " ".join(str(error).split())
        fault = f"{fault} is missing" if isinstance(error, KeyError) else fault or type(error).__name__
        raise CheckpointError(f"{what} is damaged ({fault[:200]}); {remedy}") from error
