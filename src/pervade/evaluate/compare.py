"""Several models on the same rows of the same split, from their predictions files alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pervade.core import registry
from pervade.core.contracts.abilities import Acts
from pervade.core.errors import ConfigError, DataError
from pervade.core.run import RunDirectory
from pervade.data.rows.split import NAMES as SPLITS
from pervade.evaluate.matching import RowsOf, joined, match
from pervade.evaluate.sides import Side, aligned, read
from pervade.metrics.estimate import Estimate, Metric, estimate
from pervade.metrics.paired import Difference, Discordant, differences, discordant, holm

ABSENT = "–"  # a setting that a run does not have
RECALL = re.compile(r"recall\[(.*)\]", re.DOTALL)  # the figure of one class


@dataclass(frozen=True)
class Comparison:
    """Every model against the first, the reference, on the rows that all of them predicted."""

    split: str
    n: int  # predictions of each model: rows, times the members where every member predicted every row
    num_rows: int
    num_groups: int  # num_rows, where every row is independent of the others
    sides: tuple[Side, ...]
    headline: str  # the metric that the verdicts are about: the first that the task names and that is defined
    metrics: dict[str, Metric]
    estimates: list[Estimate]  # of the headline, a side each
    differences: list[dict[str, Difference]]  # by metric; one for each side but the first
    discordant: list[Discordant | None]  # of the headline, likewise; None where rows are not right or wrong
    rows: list[str]  # how the rows of the split differ, in words; empty where all have the same
    settings: dict[str, list[Any]]  # settings that are not the same in all recipes, a value for each side

    def recalls(self, index: int) -> dict[str, Difference]:
        """Class or label to how much more of it side `index` (1 and up) recognises than the first; p is after Holm for
        the number of classes. Empty where there are none."""
        gaps = self.differences[index - 1].items()
        return {match[1]: gap for name, gap in gaps if (match := RECALL.fullmatch(name))}

    def moved(self, index: int) -> dict[str, float]:
        """Classes of which side `index` is shown to recognise more than the first, or less, and by how much; the most
        first."""
        shown = {name: gap.difference for name, gap in self.recalls(index).items() if gap.shown}
        return dict(sorted(shown.items(), key=lambda pair: -pair[1]))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        runs = []
        for index, side in enumerate(self.sides):
            about: dict[str, Any] = {"name": side.name, "run": str(side.run.path), "checkpoint": side.checkpoint}
            about |= {"seconds": side.seconds, "passes": side.passes, "parameters": side.parameters}
            about |= {self.headline: self.estimates[index].as_dict()}
            if index:
                gaps, counts = self.differences[index - 1], self.discordant[index - 1]
                about["differences"] = {name: gap.as_dict() for name, gap in gaps.items()}
                about["discordant"] = vars(counts) if counts else None
                about["classes_moved"] = self.moved(index)
            runs.append(about)
        whole: dict[str, Any] = {"split": self.split, "n": self.n, "rows": self.num_rows}
        whole |= {"groups": self.num_groups, "headline": self.headline}
        return {**whole, "runs": runs, "differing_rows": self.rows, "settings": self.settings}


def compare(
    runs: Sequence[RunDirectory],
    *,
    checkpoints: Sequence[str] = (),
    split: str = "test",
    reference: int = 0,
    allow_different_rows: bool = False,
) -> Comparison:
    """Compares every run with `runs[reference]` on `split`, by metrics of the reference's task.

    Args:
        checkpoints: none (best, else last), one name for all runs, or one for each.
        allow_different_rows: compares the rows that all runs have in common, where they do not have the same.

    Raises:
        ConfigError: fewer than two models, models of different tasks or classes, or no such reference.
        CheckpointError: a run has no such checkpoint, or no predictions of the split.
        DataError: the rows differ, or none are common.
    """
    split = SPLITS.get(split, split)
    if not 0 <= reference < max(len(runs), 1):
        raise ConfigError(f"--reference {reference + 1} is no number of a run; allowed: 1 to {len(runs)}")
    sides = read(runs, checkpoints, split)
    sides = [sides[reference], *(side for index, side in enumerate(sides) if index != reference)]
    _check_questions(sides)
    matched = match([RowsOf(s.name, str(s.data.get("source")), s.data["columns"], s.columns["row"]) for s in sides])
    if matched.differences and not allow_different_rows:
        raise DataError(_refusal(sides, split, matched.differences, len(matched.positions[0])))
    if not matched.positions[0]:
        raise DataError(f"the runs have no row of the {split} split in common; {'; '.join(matched.differences)}")
    sides = [aligned(side, at, sides[0]) for side, at in zip(sides, matched.positions, strict=True)]
    group = joined([side.columns["group"] for side in sides])
    columns = [{**side.columns, "group": group} for side in sides]
    metrics = _shared_metrics(sides)
    compared = _corrected(differences(metrics, columns))
    headline = next((name for name, gap in compared[0].items() if gap.difference == gap.difference), None)
    if headline is None:
        raise DataError(f"no figure is defined on these rows: {'; '.join({gap.why for gap in compared[0].values()})}")
    metric = metrics[headline]
    return Comparison(
        split,
        n=len(group),
        num_rows=len(np.unique(columns[0]["row"])),
        num_groups=len(np.unique(group)),
        sides=tuple(sides),
        headline=headline,
        metrics=metrics,
        estimates=[estimate({headline: metric}, column)[headline] for column in columns],
        differences=compared,
        discordant=[discordant(metric, columns[0], other) for other in columns[1:]],
        rows=matched.differences,
        settings=differing_settings([side.recipe for side in sides]),
    )


def _corrected(compared: Sequence[Mapping[str, Difference]]) -> list[dict[str, Difference]]:
    """Each p of a single class after Holm for all classes and models that are asked the same figure at once: of twenty
    classes one would seem to differ by chance."""
    corrected = [dict(gaps) for gaps in compared]
    kinds: dict[str, list[tuple[int, str]]] = {}
    for side, gaps in enumerate(compared):
        for name in gaps:
            if "[" in name:
                kinds.setdefault(name.partition("[")[0], []).append((side, name))
    for asked in kinds.values():
        for (side, name), p in zip(asked, holm([compared[side][name].p for side, name in asked]), strict=True):
            corrected[side][name] = replace(compared[side][name], adjusted=p)
    return corrected


def differing_settings(recipes: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Paths of the settings that are not the same in all recipes, with the value in each; ABSENT where it has none."""
    flat = [dict(_flat(recipe)) for recipe in recipes]
    paths = list(dict.fromkeys(path for settings in flat for path in settings))
    paths = [
        path for path in paths if not any(other.startswith(f"{path}[") for other in paths)
    ]  # of which one is empty
    rows = {path: [settings.get(path, ABSENT) for settings in flat] for path in paths if path != "format"}
    return {path: values for path, values in rows.items() if any(value != values[0] for value in values[1:])}


def _flat(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        return [pair for key, inner in value.items() for pair in _flat(inner, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        return [pair for index, inner in enumerate(value) for pair in _flat(inner, f"{path}[{index}]")]
    return [(path.removesuffix(".use"), value)]


# what must be the same


def _check_questions(sides: Sequence[Side]) -> None:
    first = sides[0]
    for other in sides[1:]:
        # Ways of learning to act are measured alike, whatever they ask of the network.
        tasks = first.task, other.task
        asked = ["act" if isinstance(task, Acts) else registry.name_of(type(task)) or "" for task in tasks]
        if asked[0] != asked[1]:
            raise ConfigError(
                f"{first.name} learnt the task {asked[0]} and {other.name} {asked[1]}; no figure is of both"
            )
        only = [sorted(set(first.labels) - set(other.labels)), sorted(set(other.labels) - set(first.labels))]
        # Where no figure is of a class (people whom nobody trained on), it does not matter which ones training had.
        named = [set(first.task.metrics(side.domain)) for side in (first, other)]
        if any(only) and named[0] != named[1]:
            parts = [
                f"only {side.name} has {_few(names)}" for side, names in zip((first, other), only, strict=True) if names
            ]
            raise ConfigError(
                f"the runs tell other classes apart: {', '.join(parts)}; compare runs of the same classes"
            )


def _few(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(map(repr, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")


def _refusal(sides: Sequence[Side], split: str, reasons: Sequence[str], common: int) -> str:
    seeds = {side.recipe.get("seed") for side in sides}
    drawn = " (their seeds differ, which draws other splits; the same --seed, or split folders, gives the same)"
    remedy = f"--allow-different-rows compares the {common:,} that are the same" if common else "no row is the same"
    return f"the rows of the {split} split differ: {'; '.join(reasons)}{drawn if len(seeds) > 1 else ''}. {remedy}"


def _shared_metrics(sides: Sequence[Side]) -> dict[str, Metric]:
    """The reference's figures that the others' tasks have too: the same name for the same thing."""
    own = dict(sides[0].task.metrics(sides[0].domain))
    for other in sides[1:]:
        theirs = other.task.metrics(sides[0].domain)
        own = {
            name: ours for name, ours in own.items() if name in theirs and theirs[name].description == ours.description
        }
    if not own:
        raise ConfigError(f"the runs {', '.join(side.name for side in sides)} have no figure in common")
    return own
