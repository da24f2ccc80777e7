"""Which rungs a ladder has (run/ladder.py), and how each learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import ModuleType

from pervade import recipes
from pervade.core import files, spec
from pervade.core.contracts import Recipe, Solver
from pervade.core.contracts.abilities import CanBeBlended, HasLinearHead
from pervade.core.errors import ConfigError, nearest
from pervade.core.run import RunDirectory
from pervade.data.rows.sources.whole import Whole
from pervade.engine import checkpoint
from pervade.init.pretrained import Pretrained
from pervade.init.random import Random
from pervade.train.optim.linear_solver import LinearSolver
from pervade.train.schedule.constant import Constant
from pervade.train.tuning.full import Full

RUNGS = ("plain", "frozen", "trained", "blend")
BEST_OF = ("accuracy", "size", "speed")


def asked(names: Sequence[str]) -> tuple[str, ...]:
    """The rungs in their order; "all" names them all. Raises ConfigError where none is named, or one is unknown."""
    names = RUNGS if list(names) == ["all"] else names
    wrong = next((name for name in names if name not in RUNGS), None)
    if wrong is not None:
        raise ConfigError(f"--ladder names {wrong!r}, which is no rung; {nearest(wrong, (*RUNGS, 'all'))}")
    if not names:
        raise ConfigError(f"--ladder names no rung; give some of {','.join(RUNGS)}, or all")
    return tuple(name for name in RUNGS if name in names)


def check(best_of: str, rungs: Mapping[str, Recipe | str] | None) -> None:
    """Raises ConfigError where `best_of` is unknown, or asked without a ladder."""
    if best_of not in BEST_OF:
        raise ConfigError(f"--best-of {best_of!r} is unknown; {nearest(best_of, BEST_OF)}")
    if best_of != "accuracy" and rungs is None:
        raise ConfigError(f"--best-of {best_of} chooses among rungs; name some with --ladder {','.join(RUNGS)}")


def plan(recipe: Recipe, task: str | None, names: Sequence[str]) -> dict[str, Recipe | str]:
    """The rungs that are named, each with its recipe, or in words why this recipe has no such rung. Raises ConfigError
    where it has none of them, or nothing could choose among them."""
    module = recipes.tasks()[task][0] if task is not None else None
    rungs = {name: _recipe(name, recipe, module) for name in asked(names)}
    if "blend" in rungs and sum(isinstance(rung, Recipe) for name, rung in rungs.items() if name != "blend") < 2:
        rungs["blend"] = "there are no two other rungs to put together"
    if all(isinstance(rung, str) for rung in rungs.values()):
        why = "; ".join(f"{name}: {reason}" for name, reason in rungs.items())
        raise ConfigError(f"--ladder {','.join(names)} has no rung that can be climbed ({why}); add trained")
    if recipe.early_stopping.metric is None or not recipe.validation:
        raise ConfigError("a ladder chooses by the validation split; set early_stopping.metric, and validation above 0")
    return rungs


def searched(recipe: Recipe, task: str | None, names: Sequence[str] | None) -> dict[str, Recipe | str] | None:
    """The rungs that a search goes through: those that are named, or else all. A blend is none of them: it is made of
    what others came to. None where nobody named any, and there are no two. Raises ConfigError as `plan`, and where a
    blend is named."""
    if names is not None and "blend" in names:
        raise ConfigError("--ladder blend is for pervade train; a search has no blend, so leave it out")
    if names is None and (not spec.readable(recipe) or recipe.early_stopping.metric is None or not recipe.validation):
        return None
    rungs = plan(recipe, task, [name for name in asked(names or ["all"]) if name != "blend"])
    return None if names is None and sum(isinstance(rung, Recipe) for rung in rungs.values()) < 2 else rungs


def _recipe(name: str, recipe: Recipe, module: ModuleType | None) -> Recipe | str:
    if name == "trained":
        return recipe
    if name == "blend":  # which is made of the others once these are there
        return recipe if isinstance(recipe.task, CanBeBlended) else "the answers of this task cannot be put together"
    if name == "plain":
        simple: Recipe | None = module.plain(recipe) if module is not None and hasattr(module, "plain") else None
        if simple is None:
            return "there is no simple model for such data"
        return _solved(replace(simple, init=Random(), tuning=None))
    if not isinstance(recipe.task, HasLinearHead):
        return "no linear layer answers this task"
    if not isinstance(recipe.init, Pretrained):
        return "no published network is at hand (name one with --model or --init)"
    if module is None or not hasattr(module, "tuned") or not isinstance(recipe.tuning, Full | None):
        return "its network cannot stay as it is"
    return _solved(module.tuned(recipe, "freeze"))


def from_frozen(recipe: Recipe, frozen: RunDirectory) -> Recipe:
    """The recipe that begins with the network of a frozen rung, and with the head that was found for it."""
    model = checkpoint.read_recipe(frozen.recipe).model  # whose head reads what this network gives
    return replace(recipe, init=Pretrained(str(frozen.path.absolute())), model=model)


def _solved(recipe: Recipe) -> Recipe:
    """The recipe with its weights found at once: those of a linear head, unless it names a solver of its own."""
    if not isinstance(recipe.optimizer, Solver):
        task = recipe.task.at_once() if isinstance(recipe.task, HasLinearHead) else recipe.task
        recipe = replace(recipe, task=task, optimizer=LinearSolver(), source=Whole(), micro_batch=None)
    return replace(
        recipe,
        schedule=Constant(),
        epochs=1,
        augment=(),
        clip_norm=None,
        l1=0.0,
        l2=0.0,
        average=None,
    )


def begin(run: RunDirectory, rungs: Mapping[str, Recipe | str], best_of: str = "accuracy") -> None:
    """Writes members.json: what is asked, in its order."""
    own = {name: rung if isinstance(rung, str) else spec.encode(rung) for name, rung in rungs.items()}
    files.write_json(run.members, {"kind": "ladder", "rungs": own, "best_of": best_of})
