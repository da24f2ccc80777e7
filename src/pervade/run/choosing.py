"""What is to be trained, from what somebody asks: the task, its recipe with all settings, and the rungs of the ladder
that is climbed where no network, recipe or way of training is named. A part of api.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from torch.nn import Module

from pervade import recipes
from pervade.agents import environments
from pervade.core import download, spec, trust
from pervade.core.contracts import Inputs, Model, Recipe, Solver
from pervade.core.errors import ConfigError
from pervade.core.run import find
from pervade.nn.own import Own
from pervade.recipes.rl import for_steps
from pervade.run import members, promising
from pervade.run import rungs as rungs_module
from pervade.run.configuring import about_rare_classes, configure
from pervade.run.rungs import Asked
from pervade.run.training import Options

# A name, a model's spec, a network itself, or a function of (inputs, outputs) that builds one.
AnyModel: TypeAlias = str | Model | Module | Callable[[Inputs, Mapping[str, int]], Module]

UNREGISTERED = "a ladder needs a recipe whose parts are all registered; register the model"


@dataclass(frozen=True)
class Chosen:
    task: str | None  # by its name on the Hub; None where the recipe is given
    recipe: Recipe
    rungs: dict[str, Recipe | str] | None  # of a ladder, each with its recipe, or why there is none; None: one training
    by_default: bool  # the rungs are those that there are, since nobody named any
    together: members.Plan | None  # of seeds or folds


def choose(
    data: Any,
    runs: str | Path,
    options: Options,
    *,
    task: str | None = None,
    model: AnyModel | None = None,
    recipe: Recipe | None = None,
    settings: Sequence[str] = (),
    tuning: str | None = None,
    algorithm: str | None = None,
    steps: int | None = None,
    seeds: int | None = None,
    folds: int | str | None = None,
    search: bool = False,
    ladder: str | Sequence[str] | None = None,
    best_of: str = "accuracy",
    **flags: Any,
) -> Chosen:
    """Arguments are those of `fit`; `search`: this is one. Raises DataError and ConfigError as `fit` does."""
    if environments.is_address(data):  # a class of one's own may run because it is named here (core/trust.py)
        trust.name(environments.name_of(data))
    together, promised = members.plan(seeds, folds), promising.asked(flags)
    flags = {name: value for name, value in flags.items() if name not in promising.FLAGS}
    alone = {"--seeds and --folds": together, "--model": model, "--recipe": recipe}
    alone |= {"--freeze and --lora": tuning, "--algorithm": algorithm}
    because = next((flag for flag, value in alone.items() if value is not None), "")
    asked, settings = rungs_module.asked_for(ladder, settings, because)
    find_lr = flags.get("lr") == "find"
    flags |= {"lr": None if find_lr else flags.get("lr"), "init": _place(flags.get("init"), Path(runs))}
    if flags.get("judge") is not None:
        flags["judge"] = str(find(flags["judge"], Path(runs)).path.absolute())
    if isinstance(model, Module):
        flags["init"] = flags["init"] or "given"
    if recipe is None:
        with download.announcing(options.screen.say):
            known = model if model is None or isinstance(model, str) else as_model(model)
            columns = flags.get("label_column"), flags.get("text_column")
            of_files = flags.get("file_column")
            why = "as the data look" if recipes.of_model(known) is None else "which the model is for"
            end = "" if task else f", {why} (another with --task)"
            task, recipe = recipes.choose(
                data, task, known, flags["init"], tuning, *columns, algorithm, settings, of_files, asked.climbs
            )
        options.screen.say(f"task: {task}{end}")
    chosen = about_rare_classes(configure(recipe, settings, **flags), settings, flags)
    chosen = chosen if steps is None else for_steps(chosen, steps)
    chosen = promising.promising(chosen, promised)
    if search:
        if asked.climbs and not spec.readable(chosen):
            raise ConfigError(UNREGISTERED)
        rungs = rungs_module.searched(chosen, task, asked.names, asked.by_default) if asked.climbs else None
    else:
        chosen, rungs = _rungs(chosen, task, asked, together is not None, options.screen.say)
    rungs_module.check(best_of, rungs)
    if find_lr and rungs is None and isinstance(chosen.optimizer, Solver):
        raise ConfigError("--lr find tries rates, and the weights of a linear layer are found at once; leave it out")
    if together is not None:
        members.check(together, chosen)
    return Chosen(task, chosen, rungs, asked.by_default, together)


def _rungs(
    recipe: Recipe, task: str | None, asked: Asked, several: bool, say: Callable[[str], None]
) -> tuple[Recipe, dict[str, Recipe | str] | None]:
    """What is trained: a recipe alone, or the rungs of a ladder, whose last recipe it is."""
    rungs: dict[str, Recipe | str] | None = None
    if len(asked.names) == 1:  # which is no ladder, but that training
        (recipe,) = rungs_module.climbable(rungs_module.plan(recipe, task, asked.names)).values()
    elif asked.climbs and not asked.by_default:
        if several:
            raise ConfigError(
                "a ladder is one training of each rung; leave out --seeds and --folds, or name one rung alone"
            )
        if not spec.readable(recipe):
            raise ConfigError(UNREGISTERED)
        rungs = rungs_module.plan(recipe, task, asked.names)
    elif asked.by_default and spec.readable(recipe):
        rungs = rungs_module.usual(recipe, task, asked.names, say)
    return recipe, rungs


def _place(init: Any, runs: Path) -> Any:
    """A run may be named as it is called inside `runs`."""
    inside = isinstance(init, str) and init and not Path(init).exists() and (runs / init / "recipe.yaml").is_file()
    return runs / init if inside else init


def as_model(model: AnyModel) -> Model:
    if isinstance(model, str):
        return spec.decode(model, Model)
    return model if isinstance(model, Model) else Own(model)
