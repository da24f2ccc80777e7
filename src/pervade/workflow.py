"""Runs a Recipe in a run directory, stage by stage, and goes on exactly where it was stopped.

    read the data, split it                     -> data.json
    train, saving state/ as it goes             -> log.jsonl, checkpoints/best, checkpoints/last
    what comes `then`, from this one's output   -> members/then/

`train` does whatever of this is still to be done, so a new run and a resumed one take the same way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pervade.core import environment, files, runtime, spec
from pervade.core.errors import DataError
from pervade.core.protocols import Domain, Recipe
from pervade.core.run import RunDirectory
from pervade.core.types import LeftOut, Rows
from pervade.data import split as splits
from pervade.engine import checkpoint, predict, ranks
from pervade.progress import Screen, Silent
from pervade.training import Options, Training


def begin(run: RunDirectory, recipe: Recipe, source: Any, task: str | None = None) -> None:
    """Writes what a run needs to be resumed, before anything else happens. `task` is the Hub's name, where known."""
    about = {
        "source": _plain(source),
        "task": task,
        "command": environment.command(),
        "environment": environment.describe(),
    }
    files.write_json(run.environment, about)
    # Last, because a folder is a run once it has a recipe.
    checkpoint.write_recipe(run.recipe, recipe)


def train(run: RunDirectory, recipe: Recipe | None = None, options: Options | None = None) -> None:
    """Trains or goes on training until the run is complete.

    `recipe` is needed where the stored one has unregistered parts. Raises Stopped after a signal, once saved.
    """
    options = options or Options()
    recipe = recipe or checkpoint.read_recipe(run.recipe)
    device = ranks.start(runtime.pick_device(recipe.device))
    if ranks.rank() != 0:
        options = replace(options, screen=Silent(), tensorboard=False)
    with _alone(run):
        domain, rows = _data(run, recipe, options)
        Training(run, recipe, domain, rows, device, options).go()
        if recipe.then is not None:
            _continue(run, recipe, recipe.then, domain, rows, options)


@contextmanager
def _alone(run: RunDirectory) -> Iterator[None]:
    """Holds the run's lock, in the first rank for all of them."""
    if ranks.rank() == 0:
        with run.lock():
            yield
    else:
        yield


def _continue(run: RunDirectory, recipe: Recipe, then: Recipe, domain: Domain, rows: Rows, options: Options) -> None:
    """The next recipe learns from this one's predictions on its training split."""
    member = run.member("then")
    path = run.predictions("last", "train")
    if not path.exists():
        loaded = checkpoint.load_checkpoint(run, "last", recipe)
        about = {"checkpoint": "last", "split": "train", "precision": "fp32"}
        train_rows = rows.where("split", "train")
        predict.write_predictions(path, loaded.network, loaded.domain, loaded.task, train_rows, about=about)
    if not member.recipe.exists():
        begin(member, then, str(path))
    train(member, then, options)


# data


def _data(run: RunDirectory, recipe: Recipe, options: Options) -> tuple[Domain, Rows]:
    """The fitted domain and all rows. The first time reads and splits; later takes rows and splits from data.json."""
    if ranks.rank() == 0 and not run.data.exists():
        _read_data(run, recipe, options)
    ranks.wait()
    rows = load_rows(run, recipe.domain, options.screen)
    return _fitted(run, recipe, rows), rows


def _fitted(run: RunDirectory, recipe: Recipe, rows: Rows) -> Domain:
    """The domain as it was when the run began: fitted to the training split, adapted to the first weights."""
    known = spec.readable(recipe.domain)
    if run.preprocess.exists() and known:
        domain: Domain = spec.decode(files.read_json(run.preprocess, "domain")["domain"], Domain)
        return domain
    domain = recipe.init.adapt(recipe.domain.fit(rows.where("split", "train")), recipe.model)
    if ranks.rank() == 0 and known:
        files.write_json(run.preprocess, {"domain": spec.encode(domain)})
    return domain


def _read_data(run: RunDirectory, recipe: Recipe, options: Options) -> None:
    source = files.read_json(run.environment)["source"]
    rows, left_out = recipe.domain.read(source)
    recipe.task.examine(rows)
    with options.screen.bar("reading") as bar:
        rows, unreadable = recipe.domain.prepare(rows, bar)
    left_out = [*left_out, *unreadable]
    if left_out and options.on_bad_file == "fail":
        raise DataError(
            f"{left_out[0].source}: {left_out[0].reason}"
            + (f" (and {len(left_out) - 1} more)" if len(left_out) > 1 else "")
            + "; mend or remove it, or leave such files out with --on-bad-file leave-out"
        )
    recipe.task.examine(rows)
    rows = recipe.task.arrange(rows)
    rows, duplicates = splits.assign(rows, validation=recipe.validation, test=recipe.test, seed=recipe.seed)
    recipe.task.examine(rows)
    left_out += duplicates
    names = list(rows.column("split"))
    counts = {name: names.count(name) for name in ("train", "validation", "test") if name in names}
    options.screen.say("data: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))
    _say_left_out(left_out, options.screen)
    # What `prepare` added for speed is made again from the files and has no place in JSON.
    stored = {name: list(rows.column(name)) for name in rows.columns if name != "pixels"}
    left = [{"source": each.source, "reason": each.reason} for each in left_out]
    files.write_json(run.data, {"source": source, "rows": len(rows), "columns": stored, "left_out": left}, indent=None)


def _say_left_out(left_out: Sequence[LeftOut], screen: Screen, most: int = 10) -> None:
    for each in left_out[:most]:
        screen.say(f"left out: {each.source!r}: {each.reason}")
    if len(left_out) > most:
        screen.say(f"left out: {len(left_out) - most} more, all listed in data.json")


def load_rows(run: RunDirectory, domain: Domain, screen: Screen | None = None) -> Rows:
    """All rows of the run, ready to be used. Raises DataError where a file changed since the run was begun."""
    stored = files.read_json(run.data)
    rows = Rows(stored["columns"])
    known = list(rows.column("hash")) if "hash" in rows else None
    missing = [path for path in rows.columns.get("path", []) if not Path(path).is_file()]
    if missing:
        raise DataError(f"{missing[0]} is not there any more ({len(missing)} files of this run); put the data back")
    with (screen or Silent()).bar("reading") as bar:
        rows, left_out = domain.prepare(rows, bar)
    if left_out:
        raise DataError(f"{left_out[0].source} changed since this run was begun: {left_out[0].reason}")
    if known is not None and list(rows.column("hash")) != known:
        changed = [i for i, (a, b) in enumerate(zip(known, rows.column("hash"), strict=True)) if a != b]
        raise DataError(
            f"{rows.column('id')[changed[0]]} changed since this run was begun ({len(changed)} files did); "
            "put the data back, or start a new run"
        )
    return rows


def _plain(source: Any) -> Any:
    return str(Path(source).absolute()) if isinstance(source, (str, os.PathLike)) else source
