"""Which rungs a ladder has (run/ladder.py), and how each learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType

from pervade import recipes
from pervade.core import files, spec
from pervade.core.contracts import Recipe, Solver
from pervade.core.contracts.abilities import CanBeBlended, HasLinearHead
from pervade.core.errors import ConfigError, nearest
from pervade.core.run import RunDirectory
from pervade.core.words import counted
from pervade.data.rows.sources.whole import Whole
from pervade.engine import checkpoint
from pervade.init.pretrained import Pretrained, published
from pervade.init.random import Random
from pervade.train.optim.linear_solver import LinearSolver
from pervade.train.schedule.constant import Constant
from pervade.train.tuning.full import Full

RUNGS = ("plain", "frozen", "trained", "blend")
BEST_OF = ("accuracy", "size", "speed")
LEAST_PASSES = 0.5  # for which a time limit must have room, or a training is not begun
WHOLE = ("model", "tuning")  # settings that say what is to be trained, as --model and --freeze do


@dataclass(frozen=True)
class Asked:
    names: tuple[str, ...]  # of rungs, in their order; none: one training
    by_default: bool = False  # nobody named any: one training where there is nothing to choose

    @property
    def climbs(self) -> bool:
        return bool(self.names)


def asked_for(ladder: str | Sequence[str] | None, settings: Sequence[str], because: str) -> tuple[Asked, list[str]]:
    """What is asked of a ladder, and the settings without those that say it (`ladder.blend=false` leaves the blend
    out). `because` says what asks for one training alone, where anything does: then only rungs that are named are
    climbed. Raises ConfigError."""
    of_ladder = [setting for setting in settings if setting.strip().startswith("ladder.")]
    others = [setting for setting in settings if setting not in of_ladder]
    kept = dict(_kept(setting) for setting in of_ladder)
    set_whole = next((name for name in WHOLE if any(s.partition("=")[0].strip() == name for s in others)), "")
    because = because or (set_whole and f"-o {set_whole}")
    if ladder is None and because:
        if of_ladder:
            raise ConfigError(f"-o {of_ladder[0]} is of a ladder, and {because} asks for one training; leave one out")
        return Asked(()), others
    names = tuple(name for name in asked(["all"] if ladder is None else ladder) if kept.get(name, True))
    if not names:
        raise ConfigError(f"-o {of_ladder[-1]} leaves out the last rung; leave in some of {', '.join(RUNGS)}")
    return Asked(names, ladder is None), others


def _kept(setting: str) -> tuple[str, bool]:
    """A rung, and whether it is to be climbed, as `ladder.blend=false` says it."""
    name, _, value = setting.strip().removeprefix("ladder.").partition("=")
    if name.strip() not in RUNGS:
        raise ConfigError(f"-o {setting} names no rung; {nearest(name.strip(), RUNGS)}")
    if value.strip() not in ("true", "false"):
        raise ConfigError(f"-o {setting} is neither true nor false; write ladder.{name.strip()}=false to leave it out")
    return name.strip(), value.strip() == "true"


def asked(names: str | Sequence[str]) -> tuple[str, ...]:
    """The rungs in their order, of a list or of names with commas between; "all" names them all. Raises ConfigError
    where none is named, or one is unknown."""
    names = [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else names
    names = [name for given in names for name in (RUNGS if given == "all" else (given,))]
    wrong = next((name for name in names if name not in RUNGS), None)
    if wrong is not None:
        raise ConfigError(f"--ladder names {wrong!r}, which is no rung; {nearest(wrong, (*RUNGS, 'all'))}")
    if not names:
        raise ConfigError(f"--ladder names no rung; give some of {','.join(RUNGS)}, or all")
    return tuple(name for name in RUNGS if name in names)


def check(best_of: str, rungs: Mapping[str, Recipe | str] | None) -> None:
    """Raises ConfigError where `best_of` is unknown, or there are no rungs to choose among."""
    if best_of not in BEST_OF:
        raise ConfigError(f"--best-of {best_of!r} is unknown; {nearest(best_of, BEST_OF)}")
    if best_of != "accuracy" and rungs is None:
        raise ConfigError(f"--best-of {best_of} chooses among rungs, and this is one training; leave it out")


def usual(
    recipe: Recipe, task: str | None, names: Sequence[str], say: Callable[[str], None]
) -> dict[str, Recipe | str] | None:
    """The rungs of a ladder that nobody asked for; None where there are no two to choose between, or nothing could
    choose. What keeps a ladder from being climbed is said."""
    rungs = _planned(recipe, task, names)
    if len(climbable(rungs).keys() - {"blend"}) < 2:
        return None
    why = _undecidable(recipe)
    if why is not None:
        say(f"no ladder is climbed, but the network is trained alone: {why}")
        return None
    return rungs


def plan(recipe: Recipe, task: str | None, names: Sequence[str]) -> dict[str, Recipe | str]:
    """The rungs that are named, each with its recipe, or in words why this recipe has no such rung. Raises ConfigError
    where it has none of them, or nothing could choose among them."""
    rungs = _planned(recipe, task, names)
    if all(isinstance(rung, str) for rung in rungs.values()):
        why = "; ".join(f"{name}: {reason}" for name, reason in rungs.items())
        raise ConfigError(f"--ladder {','.join(names)} has no rung that can be climbed ({why}); add trained")
    why_not = _undecidable(recipe)
    if len(rungs) > 1 and why_not is not None:
        raise ConfigError(f"a ladder chooses by the validation split, and {why_not}")
    return rungs


def searched(
    recipe: Recipe, task: str | None, names: Sequence[str], by_default: bool = False
) -> dict[str, Recipe | str] | None:
    """The rungs that a search goes through, as `plan`; None where nobody named any (`by_default`), and there are no
    two, or nothing could choose among them. Raises ConfigError as `plan`."""
    if by_default and _undecidable(recipe) is not None:
        return None
    rungs = plan(recipe, task, names)
    return None if by_default and len(climbable(rungs).keys() - {"blend"}) < 2 else rungs


def _planned(recipe: Recipe, task: str | None, names: Sequence[str]) -> dict[str, Recipe | str]:
    module = recipes.tasks()[task][0] if task is not None else None
    rungs = {name: _recipe(name, recipe, module) for name in asked(names)}
    if "blend" in rungs and len(climbable(rungs).keys() - {"blend"}) < 2:
        rungs["blend"] = "there are no two other rungs to put together"
    return rungs


def climbable(rungs: Mapping[str, Recipe | str]) -> dict[str, Recipe]:
    return {name: rung for name, rung in rungs.items() if isinstance(rung, Recipe)}


def _undecidable(recipe: Recipe) -> str | None:
    if recipe.early_stopping.metric is None:
        return "no figure is looked at there; set early_stopping.metric"
    return None if recipe.validation else "it is empty; set validation above 0"


def told(rungs: Mapping[str, Recipe | str]) -> str:
    """A line of what is to be climbed, where the weights of published networks lie, and what there is not."""
    there = [f"{name}{_whence(rung) if name == 'frozen' else ''}" for name, rung in climbable(rungs).items()]
    missing = [f"no {name}: {reason}" for name, reason in rungs.items() if isinstance(reason, str)]
    return f"rungs: {'; '.join([', '.join(there), *missing])}"


def beforehand(rungs: Mapping[str, Recipe], train: int, validation: int) -> str:
    """A line of what the rungs learn from: numbers of rows, and of passes."""
    line = f"each rung learns from {counted(train, 'row')} and is judged by {validation:,}"
    if "trained" in rungs:
        line += f"; trained makes up to {counted(rungs['trained'].epochs, 'pass', 'passes')}"
    return line


def _whence(recipe: Recipe) -> str:
    """Which weights a rung keeps, and where they lie, in brackets."""
    if isinstance(recipe.init, Pretrained) and recipe.init.source:
        return f" (the weights of {recipe.init.source})"
    there = published(recipe.model)
    if there is None:
        return ""
    return f" ({there.name}, {f'in {there.path}' if there.path.is_file() else f'from {there.host}'})"


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


def begin(
    run: RunDirectory, rungs: Mapping[str, Recipe | str], best_of: str = "accuracy", by_default: bool = False
) -> None:
    """Writes members.json: what is asked, in its order."""
    own = {name: rung if isinstance(rung, str) else spec.encode(rung) for name, rung in rungs.items()}
    files.write_json(run.members, {"kind": "ladder", "rungs": own, "best_of": best_of, "by_default": by_default})
