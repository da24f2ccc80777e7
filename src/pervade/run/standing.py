"""How a run stands whose checkpoint answers: whether its training goes on, and whether what was promised is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pervade.core import spec
from pervade.core.contracts import Recipe
from pervade.core.errors import CheckpointError
from pervade.core.run import RunDirectory
from pervade.engine import promises


def unfinished(run: RunDirectory, recipe: Recipe, checkpoint: str | None = None) -> str | None:
    """What to know of a checkpoint whose training goes on or was stopped, or as of `unsettled`; None where there is
    nothing."""
    name = run.require_checkpoint(checkpoint)
    try:
        plan = run.plan()
    except CheckpointError as error:  # the checkpoint is whole, and answers need no more
        return f"whether this run is finished cannot be told: {error}"
    if _finished(run, plan):
        return unsettled(run, recipe, name)
    from pervade.report import wording

    asked = _not_kept(run, recipe, name)
    passes = run.of_checkpoint(name, "architecture.json").get("passes", "?")
    when = f"after pass {passes}" if isinstance(passes, str) else wording.after(passes)
    which = "its best so far" if name == "best" else f"its checkpoint {name!r}"
    kept = f", whose answers do not yet keep what is promised ({asked})" if asked else ""
    return f"this run is unfinished: {which}, {when}{kept}; go on with: pervade resume {run.path}"


def unsettled(run: RunDirectory, recipe: Recipe, checkpoint: str | None = None) -> str | None:
    """What to know of a checkpoint that does not keep what was promised."""
    name, delivered = run.require_checkpoint(checkpoint), run.require_checkpoint(None)
    if not (asked := _not_kept(run, recipe, name)):
        return None
    remedy = f"take {delivered!r}" if name != delivered else f"settle it with: pervade resume {run.path}"
    return f"these answers do not keep what was promised ({asked}), which is not settled for {name!r}; {remedy}"


def is_settled(run: RunDirectory, recipe: Recipe, name: str) -> bool:
    """Whether the checkpoint says of each promise how it is kept, or why it cannot be."""
    decision = run.of_checkpoint(name, "decision.json")
    return [entry["promise"] for entry in decision.get(promises.ENTRY, ())] == spec.encode(recipe.promises)


def _not_kept(run: RunDirectory, recipe: Recipe, name: str) -> str:
    """What was promised, where this checkpoint does not say how it is kept; else empty."""
    settled = is_settled(run, recipe, name)
    return "" if settled else ", ".join(promise.asked for promise in recipe.promises)


def _finished(run: RunDirectory, plan: Mapping[str, Any]) -> bool:
    if not run.members.exists():
        return bool(plan.get("finished", "last" in run.checkpoints()))
    from pervade.report import record

    return record.read(run).finished
