"""Promises: asked for by flags, and settled once all else of a run is decided, by rows that decided nothing."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pervade.core import memory, runtime, spec
from pervade.core.contracts import Promise, Recipe
from pervade.core.contracts.abilities import Acts
from pervade.core.contracts.promises import SPLIT
from pervade.core.errors import ConfigError, PromiseError
from pervade.core.run import RunDirectory
from pervade.core.types import Json, Rows
from pervade.engine import checkpoint, predictions, promises, ranks
from pervade.engine.predictor import Predictor
from pervade.promises import cost
from pervade.run import overview, standing
from pervade.run.progress import Screen

# What the Python face calls it, and the flag.
FLAGS = {
    "min_recall": "--min-recall",
    "max_false_alarms": "--max-false-alarms",
    "costs": "--cost",
    "coverage": "--coverage",
    "coverage_by": "--coverage-by",
    "max_risk": "--max-risk",
}


def asked(flags: Mapping[str, Any]) -> list[Promise]:
    """What flags promise. Raises ConfigError where a share is none, DataError where a table of costs is faulty."""
    given: dict[str, Any] = {name: flags[name] for name in FLAGS if flags.get(name) is not None}
    specs: list[dict[str, Any]] = []
    shares = {name: _shares(name, given[name]) for name in ("min_recall", "max_false_alarms") if name in given}
    if shares:
        specs.append({"use": "threshold"} | shares)
    if "costs" in given:
        costs = given["costs"]
        specs.append({"use": "cost", "costs": cost.read(Path(costs)) if isinstance(costs, str | Path) else costs})
    if "coverage" in given:
        by = {"by": given["coverage_by"]} if "coverage_by" in given else {}
        specs.append({"use": "coverage", "share": _share("coverage", given["coverage"]), **by})
    elif "coverage_by" in given:
        raise ConfigError(f"--coverage-by {given['coverage_by']} says by what --coverage holds; give that, too")
    if "max_risk" in given:
        specs.append({"use": "max-risk", "share": _share("max_risk", given["max_risk"])})
    return [spec.decode(one, Promise) for one in specs]


def _shares(name: str, given: Any) -> dict[str, float]:
    """By class; a share alone, by no name, is the positive class's of two."""
    shares = given if isinstance(given, Mapping) else {"": given}
    return {str(label): _share(name, share, f"{label}=" if label else "") for label, share in shares.items()}


def _share(name: str, given: Any, of: str = "") -> float:
    if isinstance(given, bool) or not isinstance(given, numbers.Real) or not 0 < float(given) < 1:
        raise ConfigError(
            f"{FLAGS[name]} {of}{given} is no share that rows can show; give one above 0 and below 1, such as "
            f"{of}{0.02 if name.startswith('max') else 0.95}"
        )
    return float(given)


def promising(recipe: Recipe, more: list[Promise]) -> Recipe:
    """The recipe with these promises, in place of its own of their kinds; what says the answer comes first. Raises
    ConfigError where two exclude each other, or there are no rows."""
    own = [promise for promise in recipe.promises if type(promise) not in set(map(type, more))]
    together = sorted([*own, *more], key=lambda promise: "prediction" not in promise.changes)
    promises.check(together)
    if together and isinstance(recipe.task, Acts):
        raise ConfigError(f"{together[0].asked} is for answers to rows, and an environment has none; leave it out")
    return replace(recipe, promises=tuple(together)) if more else recipe


def settle(
    run: RunDirectory,
    recipe: Recipe,
    rows: Rows,
    screen: Screen,
    given: Recipe | None = None,
    checkpoint_name: str | None = None,
) -> None:
    """Writes into the decision.json of a checkpoint, the run's chosen one unless named, how each promise is kept, or
    why it cannot be, which is said. Nothing where that stands there already. `rows` are all of the run; `given` as in
    `load_checkpoint`. All ranks call it, and the first does it."""
    if recipe.promises:
        name = run.require_checkpoint(checkpoint_name)
        ranks.by_first(lambda: _settle(run, recipe, rows, screen, given, name))


@memory.during("promises were settled", "free some memory, then resume")
def _settle(run: RunDirectory, recipe: Recipe, rows: Rows, screen: Screen, given: Recipe | None, name: str) -> None:
    if standing.is_settled(run, recipe, name):
        return
    loaded, own = checkpoint.load_checkpoint(run, name, given), rows.where("split", SPLIT)
    loaded.network.to(runtime.pick_device(recipe.device))
    decision = promises.without(loaded.decision)
    with runtime.threads(checkpoint.settled(run, recipe).threads):
        columns = {}
        if promises.take_rows(recipe.promises):
            predictor = Predictor.of(replace(loaded, decision=decision), workers=recipe.workers)
            columns = predictions.complete(predictor.table(own), own)
    entries: list[Json] = []
    for promise in recipe.promises:
        entry: dict[str, Json] = {"promise": spec.encode(promise), "settled": {}}
        entry["n"] = len(own) if promise.settles else 0
        entry |= {"kept": True, "why": ""}
        try:
            settled = promise.settle(columns, loaded.domain)
            columns = promise.keep(columns, settled, loaded.domain) if columns else columns
            by = f", settled by {len(own):,} rows that chose nothing else" if promise.settles else ""
            screen.say(f"promise: {promise.asked}{by}")
            entries.append(entry | {"settled": settled})
        except PromiseError as error:
            told = promises.not_kept(promise.asked, str(error))
            screen.say(told)
            overview.keep(run, [told])
            entries.append(entry | {"kept": False, "why": str(error)})
    checkpoint.settle(run, name, decision | {promises.ENTRY: entries})
