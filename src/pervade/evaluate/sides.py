"""What a comparison compares: the models' predictions of a split, lined up row by row and class by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pervade.core import files, plain_yaml, spec
from pervade.core.contracts import Domain, Task
from pervade.core.contracts.abilities import CouplesRows, JudgesAll
from pervade.core.contracts.capabilities import labels_of
from pervade.core.errors import CheckpointError, ConfigError, DataError, nearest
from pervade.core.run import RunDirectory
from pervade.engine import checkpoint, predictions


@dataclass(frozen=True)
class Side:
    """One of the models: a run's checkpoint, its predictions, and what it took to make it."""

    name: str
    run: RunDirectory
    checkpoint: str
    task: Task
    domain: Domain
    columns: dict[str, Any]  # predictions, all rows at first, then the common ones
    data: dict[str, Any]  # data.json
    recipe: dict[str, Any]
    seconds: float | None  # of training
    passes: int | None
    parameters: int | None
    predictions: tuple[Path, ...]
    members: tuple[str, ...] = ()  # the seeds or folds whose answers these are

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(labels_of(self.domain))

    def row(self, position: int) -> dict[str, Any]:
        """The common row at this position, as data.json has it."""
        number = int(self.columns["row"][position])
        return {"row": number, **{name: values[number] for name, values in self.data["columns"].items()}}


def read(runs: Sequence[RunDirectory], checkpoints: Sequence[str], split: str) -> list[Side]:
    if len(runs) < 2:
        raise ConfigError("a comparison needs two runs or more; name another, or one run twice with two --checkpoint")
    if len(checkpoints) not in (0, 1, len(runs)):
        raise ConfigError(
            f"{len(checkpoints)} checkpoints for {len(runs)} runs; name none, one for all, or one for each"
        )
    wanted: Sequence[str | None] = checkpoints or [None]
    wanted = wanted if len(wanted) == len(runs) else list(wanted) * len(runs)
    members = [_members(run) for run in runs]
    if any(members):
        return _read_together(runs, members, wanted, split)
    chosen = [(run, run.require_checkpoint(name)) for run, name in zip(runs, wanted, strict=True)]
    same = [pair for pair, times in Counter((run.path.resolve(), name) for run, name in chosen).items() if times > 1]
    if same:
        raise ConfigError(
            f"{same[0][0]} is named twice; a model does not differ from itself. Name another run or --checkpoint"
        )
    sides = [_side(run, name, split, called) for (run, name), called in zip(chosen, _names(chosen), strict=True)]
    _require_one_judge(sides)
    return sides


def _require_one_judge(sides: Sequence[Side]) -> None:
    """Raises ConfigError where the figures of two sides are of different networks that judged them."""
    judged = [side for side in sides if isinstance(side.task, JudgesAll)]
    for side in judged[1:]:
        first, names = judged[0], [name for task in (judged[0].task, side.task) for name in _judges(task)]
        if any(_weights(first.run.member(name)) != _weights(side.run.member(name)) for name in names):
            raise ConfigError(
                f"{first.name} and {side.name} were judged by different networks, so that their figures are of "
                f"different things; train one with --judge {first.run.member(names[0]).path}"
            )


def _judges(task: Task) -> tuple[str, ...]:
    return task.judges if isinstance(task, JudgesAll) else ()


def _weights(run: RunDirectory) -> str | None:
    """The digest of a run's weights; None where it has none."""
    if not run.checkpoints():
        return None
    return str(run.of_checkpoint(run.require_checkpoint(None), "architecture.json").get("sha256"))


# runs that hold runs


def _members(run: RunDirectory) -> list[str]:
    """The seeds or folds that a run holds; empty where it is a single one. Raises ConfigError where it holds others."""
    folder = run.path / "members"
    if run.checkpoints() or not folder.is_dir():
        return []
    names = sorted(member.name for member in folder.iterdir() if (member / "recipe.yaml").is_file())
    if names and files.read_json(run.members).get("kind") not in ("seeds", "folds"):
        shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        raise ConfigError(
            f"{run.path} has no model of its own, it holds {shown}; name one of them: {folder / names[0]}"
        )
    return names


def _read_together(
    runs: Sequence[RunDirectory], members: Sequence[list[str]], wanted: Sequence[str | None], split: str
) -> list[Side]:
    """One side for each run of runs, with the answers of all its members below one another: member by member, so that
    the same row's answers of the first run meet those of the second in the same order."""
    if any(names != members[0] for names in members):
        held = "; ".join(
            f"{run.path} holds {', '.join(names) or 'none'}" for run, names in zip(runs, members, strict=True)
        )
        raise ConfigError(f"runs of several seeds or folds are compared with runs of the same ones: {held}")
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise ConfigError(f"{runs[0].path} is named twice; a model does not differ from itself. Name another run")
    names = _names([(run, "") for run in runs])
    sides = []
    for run, called, checkpoint_name in zip(runs, names, wanted, strict=True):
        parts = []
        for name in members[0]:
            member = run.member(name)
            parts.append(_side(member, member.require_checkpoint(checkpoint_name), split, f"{called}/{name}"))
        sides.append(_together(run, called, parts))
    return sides


def _together(run: RunDirectory, called: str, parts: Sequence[Side]) -> Side:
    first = parts[0]
    if isinstance(first.task, CouplesRows):
        raise ConfigError(
            f"the figures of {run.path} compare rows with one another, which answers of several models cannot be; "
            f"compare its members one by one, such as {first.run.path}"
        )
    for part in parts[1:]:
        if part.data["columns"]["id"] != first.data["columns"]["id"]:
            raise DataError(f"{first.name} and {part.name} do not hold the same data; compare them one by one")
        if set(part.labels) != set(first.labels):
            raise ConfigError(f"{first.name} and {part.name} tell other classes apart; compare them one by one")
    lined = [
        part if part.labels == first.labels else aligned(part, range(len(part.columns["row"])), first) for part in parts
    ]
    columns = predictions.concatenate([part.columns for part in lined])
    stored = first.data["columns"]
    # The files number their groups each for itself; here a row's answers of several seeds belong together as well.
    owners = np.asarray(stored.get("group", stored["id"]), dtype=object).astype(str)
    columns["group"] = np.unique(owners[columns["row"]], return_inverse=True)[1].astype(np.int64)
    seconds = [part.seconds for part in parts if part.seconds is not None]
    return replace(
        first,
        name=called,
        run=run,
        checkpoint=first.checkpoint,
        columns=columns,
        members=tuple(part.run.name for part in parts),
        predictions=tuple(path for part in parts for path in part.predictions),
        seconds=sum(seconds) if seconds else None,
        passes=None,
    )


# a single run


def _names(chosen: Sequence[tuple[RunDirectory, str]]) -> list[str]:
    """Short and different: the run's name; its path where two are called the same; with the checkpoint where one run
    stands twice."""
    paths = [run.path.resolve() for run, _ in chosen]
    names = []
    for (run, checkpoint_name), path in zip(chosen, paths, strict=True):
        namesakes = {other for other in paths if other.name == path.name}
        name = path.name if len(namesakes) == 1 else str(run.path)
        names.append(f"{name}@{checkpoint_name}" if paths.count(path) > 1 else name)
    return names


def _side(run: RunDirectory, name: str, split: str, called: str) -> Side:
    folder = run.checkpoint(name)
    architecture, recipe, domain = files.steady(folder, lambda: _kept(folder))
    path = run.predictions(name, split)
    data = run.read_data()
    command = f"pervade evaluate {run.path} --checkpoint {name} --split {split}"
    if run.measured:
        command = f"pervade evaluate {run.path} DATA --checkpoint {name}"
        if not path.exists():
            raise CheckpointError(
                f"{run.path}: {run.measured} was not measured by the checkpoint {name!r}; run `{command}`"
            )
    if not path.exists():
        there = sorted(set(data["columns"].get("split", [])))
        if split not in there:
            raise DataError(f"{run.path} has no split {split!r}; {nearest(split, there)}")
        raise CheckpointError(
            f"{run.path} has no predictions of the {split} split by its checkpoint {name!r}; run `{command}`"
        )
    columns, about = predictions.read(path)
    made_by = about.get("weights")
    if made_by is not None and made_by != architecture.get("sha256"):
        raise CheckpointError(f"{path} was written before its checkpoint changed; run `{command}` again")
    if not set(np.asarray(columns.get("row", [-1])).tolist()) <= set(range(len(data["columns"]["id"]))):
        raise CheckpointError(f"{path} has rows that data.json has not; run `{command}` again")
    log = run.read_log()
    return Side(
        called,
        run,
        name,
        spec.decode(recipe.get("task"), Task),
        domain,
        columns,
        data,
        recipe,
        seconds=run.elapsed(log, _plan(run)),
        passes=architecture.get("passes"),
        parameters=architecture.get("parameters"),
        predictions=(path,),
    )


def _kept(folder: Path) -> tuple[dict[str, Any], dict[str, Any], Domain]:
    """What a checkpoint says of itself, without its weights."""
    architecture = files.read_json(folder / "architecture.json")
    return (
        architecture,
        checkpoint.as_today(plain_yaml.read(folder / "recipe.yaml")),
        checkpoint.read_domain(folder / "preprocess.json"),
    )


def _plan(run: RunDirectory) -> dict[str, Any]:
    """Empty where the state is damaged: predictions are compared without it."""
    try:
        return run.plan()
    except CheckpointError:
        return {}


# lining up


def aligned(side: Side, positions: Sequence[int], first: Side) -> Side:
    """The side's predictions of the common rows alone, its classes numbered as the first side numbers them."""
    at = np.asarray(positions, np.int64)
    columns = {
        name: values[at] if isinstance(values, np.ndarray) else [values[i] for i in positions]
        for name, values in side.columns.items()
    }
    if side.labels != first.labels and set(side.labels) == set(first.labels):
        columns = relabelled(columns, side.labels, first.labels)
    return replace(side, columns=columns)


def relabelled(columns: Mapping[str, Any], own: Sequence[str], wanted: Sequence[str]) -> dict[str, Any]:
    """Columns in which classes are numbered by `own`, as if numbered by `wanted`: the same labels in another order.

    Numbers of classes (n,) are "target" and "prediction"; every matrix (n, k) of k classes has a column a class.
    """
    number = np.array([list(wanted).index(label) for label in own])
    order = np.argsort(number)
    out: dict[str, Any] = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == len(own):
            out[name] = values[:, order]
        elif name in ("target", "prediction") and isinstance(values, np.ndarray) and values.dtype.kind in "iu":
            out[name] = np.where(values < 0, values, number[values])  # below 0: none of the classes
        else:
            out[name] = values
    return out
