"""Complete configurations, as functions that return a Recipe. One file a domain.

A file says what it is for in `TASKS` (the Hugging Face Hub's task names to a line of description), whether it knows a
source in `recognises(source, label_column, text_column)` (with `file_column` as well where it READS_FILES), and gives
`recipe(model, task, init, source)` (with `text_column` as well where it READS_TEXTS of the source, with `file_column`
where it READS_FILES) and, where it starts from weights that can be kept, `tuned(recipe, tuning)`;
`at_hand(source, file_column)` names a published network that lies here, and `plain(recipe)` is the recipe of the
simplest model of the same rows, for a ladder.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from pervade.agents import environments
from pervade.core import registry, spec
from pervade.core.contracts import Initializer, Model, Recipe
from pervade.core.contracts.abilities import HasLinearHead
from pervade.core.errors import ConfigError, DataError, nearest
from pervade.data.read import account, exports, hub, table_files, tables
from pervade.data.text import labelled_lines
from pervade.init.pretrained import Pretrained
from pervade.init.random import Random
from pervade.run.search_space import Space

# What to do with files that are not read, by their names.
REMEDIES = (
    (
        re.compile(r"ubyte(\.gz)?$|\.(mat|npy|bin|h5|hdf5|pkl|pickle)$|_batch(_\d+)?$|^(train|test)$", re.IGNORECASE),
        "load the arrays of pictures and write numpy.savez('pictures.npz', train_images=…, train_labels=…, "
        "test_images=…, test_labels=…), 0 to 255 (uint8) of (n, h, w) or (n, h, w, 3), which is read",
    ),
    (re.compile(r"\.(zip|tar|tgz|gz|bz2|xz|rar|7z)$", re.IGNORECASE), "unpack it, and give the folder"),
    (
        re.compile(r"tfrecord", re.IGNORECASE),
        "write each picture or recording to a file in a folder with its class's name",
    ),
)


def tasks() -> dict[str, tuple[ModuleType, str]]:
    """Every task's module and description, by the Hub's name."""
    named: dict[str, tuple[ModuleType, str]] = {}
    for file in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{file.name}")
        named |= {name: (module, description) for name, description in module.TASKS.items()}
    return named


def choose(
    source: Any,
    task: str | None,
    model: str | Model | None,
    init: str | Initializer | None = None,
    tuning: str | None = None,
    label_column: str | None = None,
    text_column: str | None = None,
    algorithm: str | None = None,
    settings: Sequence[str] = (),
    file_column: str | None = None,
    ladder: bool = False,
) -> tuple[str, Recipe]:
    """The task, detected from the source unless given, and its recipe for the model, its first weights, and how these
    are tuned ("freeze", "lora"). A `ladder` takes published weights that lie here before random ones.

    Raises ConfigError where task or model is unknown, or weights are to be kept that are random, DataError where no
    domain knows the source.
    """
    there = tasks()
    if not (task in there and hasattr(there[task][0], "ALGORITHMS")):
        _require(source)
    task = task or of_model(model) or recognised(source, label_column, text_column, file_column)
    if task not in there:
        raise ConfigError(f"unknown task {task!r}; {nearest(task, there)}")
    module = there[task][0]
    if algorithm is not None and not hasattr(module, "ALGORITHMS"):
        raise ConfigError(f"--algorithm {algorithm!r} is for acting in an environment (gym://NAME), not for {task}")
    acting = {"algorithm": algorithm, "settings": settings} if hasattr(module, "ALGORITHMS") else {}
    reading = {"text_column": text_column} if hasattr(module, "READS_TEXTS") else {}
    reading |= {"file_column": file_column} if hasattr(module, "READS_FILES") else {}
    recipe: Recipe = module.recipe(model, task, init, source, **acting, **reading)
    unnamed = model is None and init is None and isinstance(recipe.init, Random)
    if ladder and unnamed and hasattr(module, "at_hand") and isinstance(recipe.task, HasLinearHead):
        network = module.at_hand(source, file_column)
        recipe = recipe if network is None else module.recipe(network, task, None, source)
    if isinstance(recipe.init, Pretrained):
        recipe = replace(recipe, changes=recipe.init.changes())
    if tuning is None:
        return task, recipe
    if isinstance(recipe.init, Random):
        raise ConfigError(
            f"--{tuning} keeps the first weights, and these are random; name trained ones with --init "
            f"(or, if that is what you want, set -o tuning={tuning})"
        )
    if not hasattr(module, "tuned"):
        raise ConfigError(f"--{tuning} is not for {task}, whose networks are trained whole; leave it out")
    return task, module.tuned(recipe, tuning)


def of_model(model: str | Model | None) -> str | None:
    """The task of the Hub's that a model is for, where its own task (`Model.task`) is learnt in one way alone."""
    known = isinstance(model, Model) or (model is not None and model in registry.names("model"))
    network = spec.decode(model, Model) if isinstance(model, str) and known else model
    if not isinstance(network, Model):
        return None
    modules = dict.fromkeys(module for module, _ in tasks().values())
    return next((module.NAME for module in modules if network.task in getattr(module, "WAYS", ())), None)


def recognised(
    source: Any, label_column: str | None = None, text_column: str | None = None, file_column: str | None = None
) -> str:
    """The task that the source looks made for. Raises DataError where no domain knows it."""
    there = tasks()
    if (label_column, text_column) == (None, None) and isinstance(source, (str, Path)) and Path(source).exists():
        labelled_lines.refuse(Path(source))
        exports.refuse(Path(source))
    modules = sorted(dict.fromkeys(module for module, _ in there.values()), key=lambda m: hasattr(m, "LAST"))
    columns: tuple[str | None, ...] = (label_column, text_column)
    if file_column is not None:  # whoever names a column of files has no table of texts
        modules, columns = [module for module in modules if hasattr(module, "READS_FILES")], (*columns, file_column)
    guesses = (module.recognises(source, *columns) for module in modules)
    task: str | None = next((name for name in guesses if name is not None), None)
    if task is None:
        raise DataError(f"{source} is of no kind that is known; say what to learn with --task ({', '.join(there)})")
    if hasattr(there[task][0], "LAST"):
        _any_of(source, there[task][0].contents(file_column))
    return task


def of_another_kind(source: Any, task: str | None) -> str | None:
    """What the source looks made for, in words, where that is not learnt as the task is; None where it may be, or is of
    no kind that is known."""
    there = tasks()
    try:
        _require(source)
        other = recognised(source)
    except DataError:
        return None
    if task not in there or there[task][0] is there[other][0]:
        return None
    return f"{other} ({there[other][1].partition(';')[0]})"


def _any_of(source: Any, content: tables.Files) -> None:
    """Raises DataError where a file or folder that nobody knows holds nothing of the `content`: so what is wrong is
    said of the file, and not of a task that nobody asked for."""
    path = Path(source) if isinstance(source, (str, Path)) and not hub.is_address(source) else None
    if path is None:
        return
    if tables.is_table(path) or (table_files.ending(path) == ".zip" and path.is_file()):  # which is told what it holds
        _columns(path, content)
        return
    there = [name for _, _, names in os.walk(path) for name in names] if path.is_dir() else [path.name]
    if any(Path(name).suffix.lower() in content.suffixes for name in there):
        return
    endings = Counter(Path(name).suffix.lower() for name in there if not name.startswith("."))
    if not endings:
        raise DataError(
            f"{source} is an empty folder; put pictures, recordings or texts into it, those of each class into a folder"
        )
    shown = ", ".join(f"{number:,} {ending or 'without an ending'}" for ending, number in endings.most_common(5))
    seen = []
    for table in tables.within(path) if path.is_dir() else []:
        try:
            with account.gathered():
                content.located(table, *_columns(table, content), table.name)
        except DataError as fault:
            seen.append(str(fault))
        else:
            return
    if seen:
        raise DataError(f"{source} is in no layout that is known ({shown}); {seen[0]}")
    wanted = f"a folder of pictures, recordings or texts in class folders, or a table ({', '.join(tables.SUFFIXES)})"
    remedy = next((told for form, told in REMEDIES if any(map(form.search, there))), f"give {wanted}")
    raise DataError(f"{source} holds nothing that is read ({shown}); {remedy}")


def _columns(table: Path, content: tables.Files) -> tuple[list[table_files.Record], tuple[str, ...]]:
    """The rows of a table and the columns that name `content`. Raises DataError where none does: what they hold is
    said."""
    records = table_files.read(table)
    return records, content.columns(table, records, table_files.columns_of(records))


def _require(source: Any) -> None:
    """Raises DataError where a path leads nowhere: before anything is said of weights, or fetched."""
    named = isinstance(source, (str, Path)) and not hub.is_address(source) and not environments.is_address(source)
    if named and not os.path.exists(source) and not tables.is_table(Path(source)):  # noqa: PTH110  (Path.exists raises at long names)
        raise DataError(
            f"{source} is not there; give a folder of pictures, recordings or texts, a table "
            f"({', '.join(tables.SUFFIXES)}), hf://OWNER/NAME, or gym://NAME"
        )


def search_space(recipe: Recipe, task: str | None) -> Space:
    """What a search varies where nothing is named: the task's own space, as far as the recipe has those fields.

    Raises ConfigError where there is none.
    """
    modules = [tasks()[task][0]] if task is not None else list(dict.fromkeys(module for module, _ in tasks().values()))
    for module in modules:
        space: Space = module.search_space(recipe) if hasattr(module, "search_space") else {}
        if space:
            return space
    raise ConfigError("this recipe has no search space of its own; name fields: --search optimizer.lr=1e-4..1e-1:log")
