"""What a comparison compares: the models' predictions of a split, lined up row by row and class by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pervade.core import files, spec
from pervade.core.errors import CheckpointError, ConfigError, DataError, nearest
from pervade.core.protocols import Domain, Task
from pervade.core.run import RunDirectory
from pervade.engine import checkpoint, predict


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

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(getattr(self.domain, "labels", ()))

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
    for run in runs:
        _refuse_parent(run, runs)
    chosen = [(run, run.require_checkpoint(name)) for run, name in zip(runs, wanted, strict=True)]
    same = [pair for pair, times in Counter((run.path.resolve(), name) for run, name in chosen).items() if times > 1]
    if same:
        raise ConfigError(
            f"{same[0][0]} is named twice; a model does not differ from itself. Name another run or --checkpoint"
        )
    return [_side(run, name, split, called) for (run, name), called in zip(chosen, _names(chosen), strict=True)]


def _refuse_parent(run: RunDirectory, runs: Sequence[RunDirectory]) -> None:
    """A run that only holds runs (seeds, folds) has no predictions of its own: says which of them can be paired."""
    if run.checkpoints() or not _members(run):
        return
    parents = [_members(each) for each in runs if _members(each) and not each.checkpoints()]
    common = [name for name in _members(run) if all(name in names for names in parents)]
    if not common:
        raise ConfigError(
            f"{run.path} has no model of its own, it holds the runs {', '.join(_members(run))}, and no other run holds "
            "any of the same names; name single ones"
        )
    paths = [each.path if each.checkpoints() else each.member(common[0]).path for each in runs]
    raise ConfigError(
        f"{run.path} has no model of its own, it holds the runs {', '.join(_members(run))}; compare them one by one: "
        f"pervade compare {' '.join(map(str, paths))}"
    )


def _members(run: RunDirectory) -> list[str]:
    folder = run.path / "members"
    return sorted(each.name for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []


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
    files.settle(folder)
    architecture = files.read_json(folder / "architecture.json")
    path = run.predictions(name, split)
    data = files.read_json(run.data, "columns")
    command = f"pervade evaluate {run.path} --checkpoint {name} --split {split}"
    if not path.exists():
        there = sorted(set(data["columns"].get("split", [])))
        if split not in there:
            raise DataError(f"{run.path} has no split {split!r}; {nearest(split, there)}")
        raise CheckpointError(
            f"{run.path} has no predictions of the {split} split by its checkpoint {name!r}; run `{command}`"
        )
    made_by = predict.read_about(path).get("weights")
    if made_by is not None and made_by != architecture.get("sha256"):
        raise CheckpointError(f"{path} was written before its checkpoint changed; run `{command}` again")
    recipe = checkpoint.read_settings(folder / "recipe.yaml")
    preprocess = files.read_json(folder / "preprocess.json", "domain")["domain"]
    log = run.read_log()
    return Side(
        called,
        run,
        name,
        spec.decode(recipe.get("task"), Task),
        spec.decode(preprocess, Domain),
        predict.read_columns(path),
        data,
        recipe,
        seconds=max((entry["elapsed"] for entry in log if "elapsed" in entry), default=None),
        passes=architecture.get("passes"),
        parameters=architecture.get("parameters"),
    )


# lining up


def aligned(side: Side, positions: Sequence[int], first: Side) -> Side:
    """The side's predictions of the common rows alone, its classes numbered as the first side numbers them."""
    at = np.asarray(positions, np.int64)
    columns = {
        name: values[at] if isinstance(values, np.ndarray) else [values[i] for i in positions]
        for name, values in side.columns.items()
    }
    if side.labels != first.labels:
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
            out[name] = number[values]
        else:
            out[name] = values
    return out
