"""Data opened without a run: read, prepared and divided, and nothing written but the caches.

A training opens its data here and writes down what came of it (workflow.py); `--dry-run`, a check or a forecast end
with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pervade.agents import environments
from pervade.core import memory
from pervade.core.contracts import Domain, Opened, Recipe, Task
from pervade.core.contracts.abilities import SelectsRows
from pervade.core.errors import DataError
from pervade.core.types import LeftOut, Rows
from pervade.core.words import counted
from pervade.data.read import account, hub, table_files
from pervade.data.rows import folds
from pervade.data.rows import split as splits
from pervade.engine import promises
from pervade.run import overview
from pervade.run.training import Options

Divide = Callable[[Rows], tuple[Rows, list[LeftOut]]]
"""Rows to rows with a "split" each, and those that were left out in doing so."""


def plain(source: Any) -> Any:
    """What a run says that it was trained on: a path whole, an address at the version that is there now."""
    if hub.is_address(source):
        return hub.pinned(source)
    if environments.is_address(source):
        return source
    return str(Path(source).absolute()) if isinstance(source, (str, os.PathLike)) else source


def by_recipe(source: Any, recipe: Recipe, options: Options, divide: Divide | None = None) -> Opened:
    """As a training by this recipe opens them. What it promises is examined, of folds by the rows of each member.
    Raises DataError, and ConfigError, as `open_data` and `promises.examine` do."""
    shares, promised = (recipe.validation, recipe.test), promises.take_rows(recipe.promises)
    opened = open_data(source, recipe.domain, recipe.task, options, divide, *shares, recipe.seed, promised)
    if recipe.promises:
        numbers = sorted({*opened.rows.column("fold")} - {0}) if "fold" in opened.rows else []
        members = [folds.member(opened.rows, number, recipe.validation, recipe.seed, promised) for number in numbers]
        for rows in members or [opened.rows]:
            promises.examine(recipe, rows, opened.fitted)
    return opened


@memory.during("the data were read", "give fewer or smaller files, or free some memory")
def open_data(
    source: Any,
    domain: Domain,
    task: Task | None = None,
    options: Options | None = None,
    divide: Divide | None = None,
    validation: float = Recipe.validation,
    test: float = Recipe.test,
    seed: int = Recipe.seed,
    promised: bool = False,
) -> Opened:
    """Reads what the domain makes of the source, without what is of no use to the task, and gives each row a split:
    what the data do not say is drawn by shares, unless `divide` divides them; where something is `promised`, half of
    the validation rows settle that. Says on the options' screen what is there and how it was read. Raises DataError
    where nothing can be learnt from it."""
    options = options or Options()
    with account.gathered() as notes:
        try:
            rows, left_out = domain.read(source)
        finally:
            table_files.forget()
        with options.screen.bar("reading") as bar:
            rows, unreadable = domain.prepare(rows, bar)
        useless: list[LeftOut] = []
        if task is not None:
            task.examine(rows)
            rows, useless = task.arrange(rows) if isinstance(task, SelectsRows) else (rows, [])
        left_out = [*left_out, *unreadable, *useless]
        if left_out and options.on_bad_file == "fail":
            raise DataError(
                f"{left_out[0].source}: {left_out[0].reason}"
                + (f" (and {len(left_out) - 1} more)" if len(left_out) > 1 else "")
                + "; mend or remove it, or leave such files out with --on-bad-file leave-out"
            )
        splits.note_contradictions(rows)
        given = set(rows.column("split")) if "split" in rows else set()
        if divide is None:
            rows, duplicates = splits.assign(rows, validation=validation, test=test, seed=seed)
            rows = folds.for_promises(rows, seed) if promised else rows
            overview.note_splits(rows, given, domain)
            if {*rows.column("split")} == {"train"} and (validation or test):
                raise DataError(
                    f"{source}: nothing can be held out of {counted(len(rows), 'row')}, so no figure could be had of "
                    "what is learnt; give more data, or train on all with -o validation=0 -o test=0"
                )
        else:
            rows, duplicates = divide(rows)
        if task is not None:
            task.examine(rows)
        left_out += duplicates
        overview.note_left_out(left_out)
        opened = Opened(source, domain, rows, left_out, notes)
        domain.describe(opened.train)
    lines = [*(f"read: {note}" for note in notes), *overview.overview(rows, domain)]
    lines += [*(f"data: {gap}" for gap in splits.gaps(rows)), *overview.left_out(left_out)]
    if aside := opened.splits.get(folds.ASIDE):
        lines.append(
            f"the data's own test split ({counted(aside, 'row')}) stays aside: the folds are drawn from the others, "
            "and no member sees it"
        )
    for line in lines:
        options.screen.say(line)
    return opened
