"""Runs a Recipe in a run directory, stage by stage, and goes on exactly where it was stopped.

    read the data, split it                     -> data.json
    what the task needs beside it               -> members/<name>/
    rows of rare classes, where these are made  -> members/generator/, synthetic/
    train, saving state/ as it goes             -> log.jsonl, checkpoints/best, checkpoints/last
    settle what is promised                     -> checkpoints/best/decision.json
    what comes `then`, from this one's output   -> members/then/

`train` does whatever of this is still to be done, so a new run and a resumed one take the same way.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pervade.core import environment, files, memory, runtime, spec
from pervade.core.contracts import Domain, MakesRows, Recipe
from pervade.core.contracts.abilities import GoesOn, HasCompanions, HasMembers
from pervade.core.contracts.promises import SPLIT as PROMISED
from pervade.core.errors import BusyError, ConfigError, DataError, ResourceError, TrainingError
from pervade.core.run import RunDirectory
from pervade.core.types import LeftOut, Rows
from pervade.core.words import counted
from pervade.data.read import embedded
from pervade.data.rows import split as splits
from pervade.engine import building, checkpoint, origin, predictions, promises, ranks, wording
from pervade.engine.predictor import Predictor
from pervade.init.random import Random
from pervade.run import imbalance, opening, overview, promising, synthetic, weighing
from pervade.run.progress import Prefixed, Screen, Silent
from pervade.run.stopping import stopping_at_once
from pervade.run.training import Options, Training
from pervade.train import find_lr

MADE = ("pixels", "shape", "samples")  # columns that `prepare` makes of files each time
BEFORE = 0.15  # of a time limit, for each run that the task needs before it,
THEN = 0.3  # for what comes `then`,
MEASURED = 0.15  # and for measuring what both make together
ONCE = ("read_from", "lines", "codebook")  # columns that are written once where all rows have the same


@dataclass(frozen=True)
class Request:
    """What a run is to learn: from which data (`opening.plain`), and which task, by its name on the Hub, where known.
    `find_lr`: the learning rate is found by a range test before training (train/find_lr.py)."""

    source: Any
    task: str | None = None
    find_lr: bool = False


def begin(run: RunDirectory, recipe: Recipe, request: Request) -> None:
    """Writes what a run needs to be resumed, before anything else happens."""
    about = {"command": environment.command(), "environment": environment.describe()}
    files.write_json(run.environment, {**asdict(request), **about})
    # Last, because a folder is a run once it has a recipe.
    checkpoint.write_recipe(run.recipe, recipe)


def requested(run: RunDirectory) -> Request:
    """What the run was begun with, for a process that goes on with it. Raises CheckpointError."""
    stored = files.read_json(run.environment, "source")
    return Request(stored["source"], stored.get("task"), bool(stored.get("find_lr")))


def train(
    run: RunDirectory,
    request: Request,
    recipe: Recipe | None = None,
    options: Options | None = None,
    rows: Rows | None = None,
    final: bool = False,
) -> None:
    """Trains or goes on training until the run is complete.

    `recipe` is needed where the stored one has unregistered parts; `rows` are all rows of the run where they are read
    and split already (a member's, by its parent), a rung's with the synthetic ones. `final`: what it comes to is
    delivered, so that its promises are examined before, and settled by it. Raises Stopped after a signal, once saved.
    """
    options = options or Options()
    given, recipe = recipe, checkpoint.settled(run, recipe or checkpoint.read_recipe(run.recipe))
    device = ranks.start(runtime.pick_device(recipe.device))
    if ranks.rank() != 0:
        options = replace(options, screen=Silent(), tensorboard=False)
    with alone(run):
        files.settle(run.state)
        begun = run.state.exists()
        changed = origin.check(run, recipe) if begun and given is None else []
        if rows is None:
            read_data(run, request.source, recipe, options)
            start = time.monotonic()
            rows = load_rows(run, recipe.domain, options.screen)
            options = replace(options, reading=time.monotonic() - start)
        everything, rows = rows, rows.real()
        recipe = _settled(run, recipe, rows, options)
        domain = _fitted(run, recipe, rows)
        if not begun:
            _examine_first_weights(recipe)
            recipe = _weighed(run, recipe, domain, rows, device, options)
        if final:
            promises.examine(recipe, rows, domain)
            number = list(rows.column("split")).count(PROMISED)
            options = replace(options, rows_after=options.rows_after + number)
        remarks = domain.remarks(rows)
        for line in remarks:
            options.screen.say(f"data: {line}")
        if ranks.rank() == 0:
            wording.write(run, domain, recipe.task)
            overview.keep(run, remarks)
        recipe, rows = with_synthetic(run, recipe, everything, request, options)
        if request.find_lr:
            recipe = _with_found_rate(run, recipe, domain, rows, device, options)
        for line in changed if given is None or not begun else origin.check(run, recipe):
            options.screen.say(line)
        _train_before(run, recipe, domain, rows, request, options)
        with _kept(run):
            Training(run, recipe, domain, rows, device, _with_room(recipe, options)).go()
        if final:
            imbalance.conclude(run, recipe.promises, options.screen.say)
            promising.settle(run, recipe, rows.real(), options.screen, given)
        if recipe.then is not None:
            with stopping_at_once(run.path):
                _continue(run, recipe, recipe.then, rows.real(), device, options)


@contextmanager
def alone(run: RunDirectory) -> Iterator[None]:
    """Holds the run's lock, in the first rank for all of them."""
    if ranks.rank() == 0:
        with run.lock():
            yield
    else:
        yield


@contextmanager
def telling(run: RunDirectory) -> Iterator[None]:
    """Inside, a message that memory or disk ran out ends with what the run holds, and how to go on."""
    try:
        yield
    except BusyError:
        raise
    except ResourceError as error:
        raise ResourceError(f"{error}; {run.standing()}") from error


def _with_room(recipe: Recipe, options: Options) -> Options:
    """A time limit is left in part to what comes then."""
    if recipe.then is None or recipe.time_limit is None:
        return options
    return replace(options, later=(THEN + MEASURED) * recipe.time_limit)


@contextmanager
def _kept(run: RunDirectory) -> Iterator[None]:
    """Inside, a message that training went wrong ends with the checkpoint that can be used all the same."""
    try:
        yield
    except TrainingError as error:
        if not run.checkpoints():
            raise
        name = run.require_checkpoint(None)
        passes = run.of_checkpoint(name, "architecture.json").get("passes", "?")
        raise TrainingError(
            f"{error}; what was learnt by pass {passes} is kept: pervade evaluate {run.path}"
        ) from error


def _train_before(
    run: RunDirectory, recipe: Recipe, domain: Domain, rows: Rows, request: Request, options: Options
) -> None:
    """What the task needs is taken from other runs, or learns first, from the same rows, in BEFORE of a time limit."""
    if not isinstance(recipe.task, HasMembers):
        return
    taken = recipe.task.taken()
    for name, place in taken.items():
        accept = partial(recipe.task.accept, name)
        ranks.by_first(partial(_take, run.member(name), RunDirectory(Path(place)), accept, domain))
    first = {name: own for name, own in recipe.task.before(rows, domain).items() if name not in taken}
    if first and not run.state.exists():
        _try(recipe, domain)
    for name, own in first.items():
        _train_member(run, name, own, BEFORE, recipe, rows, request, options)


def _train_member(
    run: RunDirectory,
    name: str,
    own: Recipe,
    share: float,
    recipe: Recipe,
    rows: Rows,
    request: Request,
    options: Options,
) -> None:
    """A run inside this one learns first, by its `own` recipe, from these rows, in so large a `share` of a time limit,
    where and how the run's `recipe` says."""
    member = run.member(name)
    limit = None if recipe.time_limit is None else share * recipe.time_limit
    where: dict[str, Any] = {"device": recipe.device, "precision": recipe.precision, "workers": recipe.workers}
    own, asked = replace(own, time_limit=limit, threads=recipe.threads, **where), Request(request.source)
    ranks.by_first(partial(_begin_member, member, own, asked, rows))
    with stopping_at_once(run.path):  # which is what goes on
        train(member, asked, None, replace(_inside(options, name), began=None, loaded=0.0, finish=False))


def _begin_member(member: RunDirectory, recipe: Recipe, request: Request, rows: Rows) -> None:
    if not member.recipe.exists():
        write_data(member, request.source, rows)
        begin(member, recipe, request)


def _inside(options: Options, name: str) -> Options:
    """Of a run inside a run: what is asked of the outer one's passes, figures and predictions is not asked of it."""
    outer: dict[str, Any] = {"on_pass": None, "pause_at": None, "least_passes": 0.0}
    kept: dict[str, Any] = {"rows_after": 0, "keep_validation": False}
    return replace(options, screen=Prefixed(options.screen, name), **outer, **kept)


def with_synthetic(
    run: RunDirectory, recipe: Recipe, rows: Rows, request: Request, options: Options
) -> tuple[Recipe, Rows]:
    """The recipe and the rows with those of rare classes that are made for training, where `--imbalance generate` is
    asked for: made now, or, of a resumed run or a rung, there already."""
    cure = imbalance.making(recipe)
    if cure is None:
        return recipe, rows
    if "synthetic" not in rows:
        if not synthetic.are_made(run):
            own, learnt = synthetic.generator(cure, recipe, rows)
            judge = synthetic.judge(own, recipe, learnt)
            _train_member(run, synthetic.JUDGE, judge, BEFORE * cure.time, recipe, learnt, request, options)
            _train_member(run, synthetic.MEMBER, own, cure.time, recipe, learnt, request, options)
            ranks.by_first(lambda: _make(run, cure, recipe, rows, request, options))
        rows = load_rows(run, recipe.domain, options.screen, synthetic=True)
    own = synthetic.told_of(recipe, rows)
    if ranks.rank() == 0 and own != recipe:
        checkpoint.write_recipe(run.recipe, own)
    return own, rows


def _make(run: RunDirectory, cure: MakesRows, recipe: Recipe, rows: Rows, request: Request, options: Options) -> None:
    made, about = synthetic.make(run, cure, recipe, rows, options.screen)
    write_data(run, request.source, *synthetic.beside(run, made), synthetic=about)


def examine(recipe: Recipe, domain: Domain) -> None:
    """What a training refuses before anything learns, of networks that have a part in it. Raises ConfigError."""
    _examine_first_weights(recipe)
    if isinstance(recipe.task, HasMembers):
        for name, place in recipe.task.taken().items():
            _accepted(RunDirectory(Path(place)), partial(recipe.task.accept, name), domain)
        _try(recipe, domain)


def _examine_first_weights(recipe: Recipe) -> None:
    setting = recipe.task.goes_on() if isinstance(recipe.task, GoesOn) else None
    if setting is not None and isinstance(recipe.init, Random):
        raise ConfigError(
            f"{setting} learns from the network that training begins with, which has learnt nothing yet; name a run of "
            "this task: --init RUN"
        )


def _try(recipe: Recipe, domain: Domain) -> None:
    """Whatever cannot be built is refused before others learn for it. Raises ConfigError, and ResourceError."""
    network = building.build(recipe.model, domain.inputs(), recipe.task.outputs(domain), changes=recipe.changes)
    if isinstance(recipe.task, HasCompanions):
        recipe.task.companions(network, domain)


def _take(member: RunDirectory, other: RunDirectory, accept: Callable[[Any, Domain], None], domain: Domain) -> None:
    """Copies the checkpoint of another run that is to be used, once it is known to be whole and accepted."""
    if member.checkpoints():
        return
    name = _accepted(other, accept, domain)
    with files.replacing_folder(member.checkpoint(name)) as folder:
        shutil.copytree(other.checkpoint(name), folder, dirs_exist_ok=True)


def _accepted(other: RunDirectory, accept: Callable[[Any, Domain], None], domain: Domain) -> str:
    name = other.require_checkpoint(None)
    accept(checkpoint.load_checkpoint(other, name), domain)
    return name


def _continue(
    run: RunDirectory, recipe: Recipe, then: Recipe, rows: Rows, device: torch.device, options: Options
) -> None:
    """The next recipe learns from what the delivered checkpoint predicts of the training split; where and how long it
    is run is as of this one."""
    member, name = run.member("then"), run.require_checkpoint(None)
    path = run.predictions(name, "train")
    limit = None if recipe.time_limit is None else (1 - MEASURED) * recipe.time_limit
    where: dict[str, Any] = {"device": recipe.device, "precision": recipe.precision, "workers": recipe.workers}
    then = replace(then, time_limit=limit, seed=recipe.seed, threads=recipe.threads, **where)
    loaded = checkpoint.load_checkpoint(run, name, recipe)
    weights = loaded.architecture["sha256"]
    if not ranks.first(path.exists() and predictions.read_about(path).get("weights") == weights):
        about = {"checkpoint": name, "split": "train", "precision": "fp32", "weights": weights}
        loaded.network.to(device)
        # Of what may not be torn apart by its splits nothing else tells what comes then.
        train_rows = splits.bound(rows.where("split", "train"))
        Predictor.of(loaded, workers=recipe.workers).write(path, train_rows, about)
    request = Request(str(path.absolute()))
    ranks.by_first(lambda: None if member.recipe.exists() else begin(member, then, request))
    train(member, request, then, _inside(options, "then"))


def _settled(run: RunDirectory, recipe: Recipe, rows: Rows, options: Options) -> Recipe:
    """The recipe with what is done about rare classes, which stands in recipe.yaml from now on."""
    own = imbalance.settled(run, recipe, rows, options.screen.say)
    if own is not recipe and ranks.rank() == 0:
        checkpoint.write_recipe(run.recipe, own)
    return own


def _weighed(
    run: RunDirectory, recipe: Recipe, domain: Domain, rows: Rows, device: torch.device, options: Options
) -> Recipe:
    """The recipe with what was tried about rare classes, likewise."""
    own = weighing.settled(run, recipe, domain, rows, device, options)
    if own is not recipe and ranks.rank() == 0:
        checkpoint.write_recipe(run.recipe, own)
    return own


def _with_found_rate(
    run: RunDirectory, recipe: Recipe, domain: Domain, rows: Rows, device: torch.device, options: Options
) -> Recipe:
    """The recipe with the learning rate that the range test chose. It is kept in recipe.yaml, so that a resumed run
    takes the same."""
    if not run.lr_find.exists():
        options.screen.say(f"finding a learning rate: {find_lr.STEPS} steps at growing rates")
        spent = replace(with_rate(recipe, find_lr.HIGH), schedule=find_lr.Ramp(), time_limit=None)
        trial = Training(run, spent, domain, rows, device, replace(options, screen=Silent(), tensorboard=False))
        trial.rehearse()
        recipe = replace(recipe, threads=trial.recipe.threads)
        with runtime.threads(recipe.threads):
            tested = find_lr.range_test(trial.learner, trial.source)
        options.screen.say(f"learning rate {tested.lr:g}: {tested.reason}")
        if ranks.rank() == 0:
            files.write_json(run.lr_find, tested.as_json())
        ranks.wait()
    lr = float(files.read_json(run.lr_find, "lr")["lr"])
    chosen = with_rate(recipe, lr)
    if ranks.rank() == 0 and spec.encode(chosen) != spec.encode(recipe):
        checkpoint.write_recipe(run.recipe, chosen)
    return chosen


def with_rate(recipe: Recipe, lr: float) -> Recipe:
    """The recipe with the optimiser's learning rate changed. Raises ConfigError where there are several."""
    return replace(recipe, optimizer=replace(recipe.one_optimizer, lr=lr))  # type: ignore[type-var]


# data


def _fitted(run: RunDirectory, recipe: Recipe, rows: Rows) -> Domain:
    """The domain as it was when the run began: fitted to the training split, adapted to the first weights."""
    known = spec.readable(recipe.domain)
    if run.preprocess.exists() and known:
        return checkpoint.read_domain(run.preprocess)
    train = rows.where("split", "train")
    domain = ranks.together(lambda: recipe.init.adapt(recipe.domain.fit(train), recipe.model))
    if ranks.rank() == 0 and known:
        checkpoint.write_domain(run.preprocess, domain)
    return domain


@memory.during("the data were read", "give fewer or smaller files, or free some memory")
def read_data(
    run: RunDirectory, source: Any, recipe: Recipe, options: Options, divide: opening.Divide | None = None
) -> None:
    """Opens the data of a run that has no data.json yet (`divide` as in `open_data`), and writes it. Raises
    DataError."""
    if ranks.rank() == 0 and not run.data.exists():
        opened = opening.by_recipe(source, recipe, options, divide)
        write_data(run, source, opened.rows, opened.left_out)
        overview.keep(run, account=opened.account)
        checkpoint.write_recipe(run.recipe, recipe)  # which says the account from now on
    ranks.wait()


def write_data(run: RunDirectory, source: Any, rows: Rows, left_out: Sequence[LeftOut] = (), **about: Any) -> None:
    # What `prepare` added for speed is made again from the files and has no place in JSON.
    stored = {name: list(rows.column(name)) for name in rows.columns if name not in MADE}
    alike = [name for name in ONCE if (values := stored.get(name)) and all(value == values[0] for value in values)]
    once = {name: stored.pop(name)[0] for name in alike}
    left = [{"source": item.source, "reason": item.reason} for item in left_out]
    data = {"source": source, "rows": len(rows), "once": once, "columns": stored, "left_out": left}
    files.write_json(run.data, {**data, **about}, indent=None)


@memory.during("the data were read", "give fewer or smaller files, or free some memory")
def load_rows(run: RunDirectory, domain: Domain, screen: Screen | None = None, synthetic: bool = False) -> Rows:
    """All rows of the run's data, and the `synthetic` ones if they are asked for, ready to be used. Raises DataError
    where a file changed since the run was begun."""
    stored = run.read_data(synthetic)
    rows = Rows(stored["columns"])
    known = list(rows.column("hash")) if "hash" in rows else None
    missing = embedded.missing(rows.columns.get("path", []))
    if missing:
        raise DataError(
            f"{missing[0]} is not there any more ({counted(len(missing), 'file')} of this run); put the data back"
        )
    with (screen or Silent()).bar("reading") as bar:
        rows, left_out = domain.prepare(rows, bar)
    if left_out:
        raise DataError(f"{left_out[0].source} changed since this run was begun: {left_out[0].reason}")
    if known is not None and list(rows.column("hash")) != known:
        changed = [i for i, (a, b) in enumerate(zip(known, rows.column("hash"), strict=True)) if a != b]
        raise DataError(
            f"{rows.column('id')[changed[0]]} changed since this run was begun ({counted(len(changed), 'file')} did); "
            "put the data back, or start a new run"
        )
    return rows
