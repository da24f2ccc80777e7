"""A ladder: several ways to learn the same rows, the cheapest first, each a complete run; the validation split says
which one is delivered, and that one alone meets the test split.

    plain     a linear model on simple features of the rows, or an n-gram model (`recipes/`: plain)
    frozen    a published network that stays as it is, and a linear head on its features
    trained   the network as the recipe has it; from the frozen one's head where there is one (linear probing, then
              fine-tuning: Kumar et al. 2022, arXiv:2202.10054)
    blend     the rungs before it as one network (models/blend.py), where validation rows are likelier by it

    members.json      the rungs, each with its recipe
    ladder.json       how far each came, what the validation split says of it, what was taken and why
    members/<rung>/   each a run
    checkpoints/best  the taken one's, and recipe.yaml is its recipe
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from pervade.core import deadline, files, runtime, spec
from pervade.core.contracts import Domain, Recipe
from pervade.core.contracts.abilities import CanBeBlended
from pervade.core.contracts.promises import SPLIT as PROMISED
from pervade.core.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    OutOfMemoryError,
    PervadeError,
    ResourceError,
    TrainingError,
)
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.engine import checkpoint, ranks
from pervade.engine.predictor import Predictor
from pervade.evaluate.evaluation import evaluate
from pervade.metrics.estimate import estimate
from pervade.run import (
    blending,
    cross_validation,
    forecast,
    imbalance,
    members,
    overview,
    promising,
    synthetic,
    workflow,
)
from pervade.run import rungs as rungs_module
from pervade.run.candidates import Candidates
from pervade.run.progress import duration
from pervade.run.rungs import LEAST_PASSES
from pervade.run.settling import halves
from pervade.run.stopping import Stopped, stopping_at_once
from pervade.run.time_limit import AFTERWARDS, REPORTING
from pervade.run.training import Options

TIMED = 64  # rows of the validation split by which it is measured how fast a rung predicts
SAME_ROWS = (
    "settled by rows that had a say in which rung is taken: the halves of the validation split would take different "
    "ones, or are too small to settle by themselves"
)
READ_AGAIN = 2  # times the rows are read once more for a blend: by itself, and where it is measured
BLENDING = 0.5  # of the time that is left, for a blend; the rest is for measuring it
NOT_DIVIDED = (ConfigError, CheckpointError, DataError, OutOfMemoryError, TrainingError)  # what ends a cross-validation


@dataclass
class Rung:
    name: str
    state: str = "waiting"  # then complete, or passed by
    reason: str = ""  # why it was passed by
    seconds: float = 0.0
    bytes: int = 0  # of the checkpoint's weights
    value: float | None = None  # of the headline figure on the validation split
    low: float | None = None
    high: float | None = None
    n: int = 0
    row_seconds: float | None = None  # of predicting one row, where that is asked
    folds: int = 0  # by whose trainings it was judged, where rows are few; 0: by the validation split

    @property
    def rung(self) -> str:
        return self.name


class Ladder:
    """A ladder under way."""

    def __init__(self, run: RunDirectory, request: workflow.Request, options: Options) -> None:
        stored = files.read_json(run.members, "rungs", "best_of")
        self.run, self.request = run, request
        lacking = {name: own for name, own in stored["rungs"].items() if isinstance(own, str)}
        self.recipes: dict[str, Recipe] = {
            name: spec.decode(own, Recipe) for name, own in stored["rungs"].items() if name not in lacking
        }
        self.best_of, self.by_default = str(stored["best_of"]), bool(stored.get("by_default"))
        self.told = rungs_module.told({**lacking, **self.recipes})
        saved = files.read_json(self.path) if self.path.exists() else {}
        self.rungs = [Rung(**rung) for rung in saved.get("rungs", [])] or [
            Rung(name, *(("passed by", lacking[name]) if name in lacking else ())) for name in stored["rungs"]
        ]
        self.taken, self.metric = saved.get("taken"), saved.get("metric")
        self.why: str = saved.get("why", "")
        self.begun: dict[str, str] = saved.get("begun", {})  # SHA-256 of the files by which it is climbed
        self.used = float(saved.get("used", 0.0))  # in earlier sittings
        self._count_what_was_killed()
        self.began = (time.monotonic() if options.began is None else options.began) - self.used
        self.options = options
        self.half_of: dict[int, int] = {}  # of rows by their numbers (run/settling.py)
        self.settling: set[int] = set()  # rows of the validation split
        self.reading = 0.0  # seconds that reading the rows took
        self.everything = Rows({})  # the rows, and those that were made to train beside them
        self.faults: list[PervadeError] = []  # of this sitting's rungs

    @property
    def path(self) -> Path:
        return self.run.path / "ladder.json"

    @property
    def base(self) -> Recipe:
        """The last rung's before the blend, which is as the user asked for it."""
        return next(own for name, own in reversed(self.recipes.items()) if name != "blend")

    def _count_what_was_killed(self) -> None:
        """A process that is killed says no more how long it was at work; the state of the rung under way does."""
        rung = next((rung for rung in self.rungs if rung.state == "waiting"), None)
        if rung is not None and self._member(rung).state.exists():
            lost = max(self._member(rung).used() - self.used, 0.0)  # a rung's seconds count from the ladder's beginning
            self.used, rung.seconds = self.used + lost, round(rung.seconds + lost, 3)

    def save(self) -> None:
        if ranks.rank() == 0:
            used = round(time.monotonic() - self.began, 3)
            about = {"metric": self.metric, "taken": self.taken, "why": self.why, "used": used, "begun": self.begun}
            files.write_json(self.path, {**about, "rungs": [asdict(rung) for rung in self.rungs]})

    def open(self) -> Rows | None:
        """All rows; None where no row can choose among rungs that nobody asked for. Raises CheckpointError where the
        rows, or what is to be climbed, are not as when the ladder began."""
        workflow.read_data(self.run, self.request.source, self.base, self.options)
        begun = {path.name: files.sha256(path) for path in (self.run.data, self.run.members)}
        changed = [name for name, digest in begun.items() if self.begun.get(name, digest) != digest]
        if changed:
            raise CheckpointError(
                f"{self.run.path / changed[0]} was changed since the ladder was begun; put it back, or begin a new run"
            )
        self.begun = begun
        self.save()
        started = time.monotonic()
        rows = workflow.load_rows(self.run, self.base.domain, self.options.screen)
        self.reading = time.monotonic() - started
        if "validation" in rows.column("split"):
            # The last one says it, which is the whole of what was asked for.
            for name, own in reversed(self.recipes.items()):
                say = self.options.screen.say if own is self.base else (lambda line: None)
                self.recipes[name] = imbalance.settled(self.run, own, rows, say)
            self._with_synthetic(rows)
            for split in ("train", "validation"):
                self.half_of |= halves(rows.where("split", split), self.base.seed)
            self.settling = set(rows.where("split", "validation").number)
            return rows
        if not self.by_default:
            raise DataError("a ladder chooses by the validation split, which is empty; leave rows: -o validation=0.15")
        ranks.wait()  # all have seen it
        if ranks.rank() == 0:
            self.path.unlink()  # first: without the other it would tell of a ladder that nobody climbs
            self.run.members.unlink()
        return None

    def _with_synthetic(self, rows: Rows) -> None:
        """Rows that are made for training are made once, for all rungs."""
        self.everything = rows
        if imbalance.making(self.base) is None:
            return
        if "synthetic" not in self.run.read_data(synthetic=True)["columns"]:
            self.begun.pop(self.run.data.name)  # which they are written to
            self.save()
        _, self.everything = workflow.with_synthetic(self.run, self.base, rows, self.request, self.options)
        self.recipes = {name: synthetic.told_of(rung, self.everything) for name, rung in self.recipes.items()}
        self.begun[self.run.data.name] = files.sha256(self.run.data)
        self.save()

    def complete(self) -> list[Rung]:
        return [rung for rung in self.rungs if rung.state == "complete"]

    @property
    def candidates(self) -> Candidates:
        return Candidates(self.run, self.base, self.complete(), self.half_of, self.settling)

    def go_on(self, rows: Rows) -> None:
        self.options.screen.say(self.told)
        splits = list(rows.column("split"))
        known = rungs_module.beforehand(self.recipes, splits.count("train"), splits.count("validation"))
        self.options.screen.say(known)
        self._forecast(rows)
        if any(rung.value is None for rung in self.complete()):  # its process ended before it was judged
            ranks.by_first(self.judge)
        for rung in self.rungs:
            if rung.state == "waiting":
                self.climb(rung, rows)

    def _forecast(self, rows: Rows) -> None:
        """Says what the rungs that are not begun will take."""
        waiting = [rung for rung in self.rungs if rung.state == "waiting" and not self._member(rung).recipe.exists()]
        limit = self.base.time_limit
        left = None if limit is None else max(limit - (time.monotonic() - self.began), 0.0)
        to_come = {rung.name: self.recipes[rung.name] for rung in waiting}
        for line in forecast.told(to_come, rows, self.base, self.options, left, not self.complete()):
            self.options.screen.say(line)

    def climb(self, rung: Rung, rows: Rows) -> None:
        """One rung, from wherever it was left. What fails is said, and passed by."""
        member, say, began = self._member(rung), self.options.screen.say, time.monotonic()
        limit = self.base.time_limit
        left = None if limit is None else max(limit - (began - self.began), 0.0)
        say(f"rung {rung.name}:{'' if left is None else f' {duration(left)} of the time limit are left'}")
        self.save()  # what was used up to here
        least = LEAST_PASSES if self.complete() and rung.name != "blend" else 0.0
        after = self._rows_after(rung, rows)
        promised = list(rows.column("split")).count(PROMISED)
        options = replace(self.options, keep_validation=True, least_passes=least, rows_after=after + promised)
        options = replace(options, reading=self.reading * READ_AGAIN if after else 0.0)
        options = options if member.state.exists() else replace(options, began=self.began)

        def train() -> int:
            self._begin(rung, rows)
            workflow.train(
                member, self._request(rung), None, options, self.everything if self._reads_alike(rung) else None
            )
            size = self._judge_whole(rung, rows)
            few = cross_validation.are_few(rows) and isinstance(self.base.task, CanBeBlended)
            if few and rung.name != "blend":  # answers of several trainings can be put together
                self._cross_validate(rung, rows, time.monotonic() - began)
            return size

        try:
            until = self._blending_until() if rung.name == "blend" else None
            size = deadline.done_by(until, train)
            if size is None:
                raise TrainingError("the time that is left does not suffice to put the rungs together")
            rung.state, rung.bytes = "complete", size
        except PervadeError as error:
            if ends_all(error):
                raise  # what was begun can go on
            rung.state, rung.reason = "passed by", str(error)
            self.faults += [error] if rung.name != "blend" else []
            say(f"rung {rung.name} passed by: {error}")
        finally:
            rung.seconds = round(rung.seconds + time.monotonic() - began, 3)
            self.save()
        ranks.by_first(self.judge)
        self.save()

    def _blending_until(self) -> float | None:
        """When a blend is to be there: what it costs beside its rows was not priced, and a machine may become busy."""
        limit = self.base.time_limit
        if limit is None or ranks.world() > 1:
            return None
        now = time.monotonic()
        return now + BLENDING * (self.began + limit - now)

    def _request(self, rung: Rung) -> workflow.Request:
        """What the rung is to learn: where nothing is learnt step by step there is no rate to find."""
        return replace(self.request, find_lr=self.request.find_lr and rung.name == "trained")

    def _reads_alike(self, rung: Rung) -> bool:
        """Whether the rung reads rows as the ladder does, so that they need not be opened again."""
        return checkpoint.read_recipe(self._member(rung).recipe).domain == self.base.domain

    def _validation(self, rung: Rung, rows: Rows, domain: Domain) -> Rows:
        own = rows if self._reads_alike(rung) else workflow.load_rows(self._member(rung), domain)
        return own.where("split", "validation")

    def _rows_after(self, rung: Rung, rows: Rows) -> int:
        """How many rows a blend, for which a time limit has to leave room, predicts more than the rung by itself."""
        if rung.name != "trained" or "blend" not in self.recipes:
            return 0
        splits = list(rows.column("split"))
        return splits.count("validation") + splits.count(members.final_split(rows))

    def _begin(self, rung: Rung, rows: Rows) -> None:
        member = self._member(rung)

        def begin() -> None:
            if not member.recipe.exists():
                own = self._own(rung)
                workflow.write_data(member, self.request.source, self.everything)
                workflow.begin(member, own, self._request(rung))

        ranks.by_first(begin)

    def _judge_whole(self, rung: Rung, rows: Rows) -> int:
        """Returns the bytes of the weights."""
        member, chosen = self._member(rung), self._chosen(rung)
        cross_validation.judge_by_all(member, rows, self._reads_alike(rung))
        if self.best_of == "speed":
            rung.row_seconds = self._time(rung, rows)
        if rung.name == "blend":
            ranks.by_first(lambda: self._judge_blend(rung, member))
        return (member.checkpoint(chosen) / "model.safetensors").stat().st_size

    def _cross_validate(self, rung: Rung, rows: Rows, seconds: float) -> None:
        """By trainings without each fold, where there is the time for as many as the rung took `seconds`."""
        number, limit = cross_validation.FOLDS, self.base.time_limit
        left = math.inf if limit is None else cross_validation.SHARE * (self.began + limit - time.monotonic())
        why = ""
        if ranks.world() > 1:
            why = "several processes climb together"
        elif imbalance.making(self.base) is not None:
            why = "what was made to train with it was learnt from all rows that train"
        elif number * seconds > left:
            why = f"there is no time for {number} trainings more"
        else:
            self.options.screen.say(f"few rows: {rung.name} is judged by {number}-fold cross-validation")
            try:
                divided = cross_validation.divide(rows, self.base.seed)
                share = None if limit is None else left / number
                request = replace(self.request, find_lr=False)  # the rung's rate is found
                cross_validation.answer(self._member(rung), divided, request, self.options, share)
                rung.folds = number
            except NOT_DIVIDED as error:
                why = str(error)
        if why:
            told = f"few rows: {rung.name} is judged by the validation split, and not by cross-validation, since {why}"
            self.options.screen.say(told)
            overview.keep(self.run, [told])

    def _judge_blend(self, rung: Rung, member: RunDirectory) -> None:
        rung.folds = self.candidates.judge_blend(member)

    def _time(self, rung: Rung, rows: Rows) -> float:
        """Seconds of predicting a row; the first ones warm caches and do not count."""
        member = self._member(rung)
        loaded, own = checkpoint.load_checkpoint(member, self._chosen(rung)), checkpoint.read_recipe(member.recipe)
        loaded.network.to(runtime.pick_device(own.device))
        some = self._validation(rung, rows, loaded.domain)
        some = some.select(range(min(TIMED, len(some))))
        with runtime.threads(own.threads):
            for _ in range(2):
                began = time.monotonic()
                Predictor.of(loaded).table(some)
        return ranks.first((time.monotonic() - began) / len(some))

    def _own(self, rung: Rung) -> Recipe:
        own = self.recipes[rung.name]
        if rung.name == "blend":
            return self.candidates.together(own)
        if rung.name == "trained" and any(done.name == "frozen" for done in self.complete()):
            return rungs_module.from_frozen(own, self.run.member("frozen"))
        return own

    def judge(self) -> None:
        """The headline figure of every complete rung that has none yet, on the rows that it was judged by."""
        done = self.complete()
        if not done:
            return
        self.metric, metric = self.candidates.headline()
        for rung in (rung for rung in done if rung.value is None):
            (table,) = self.candidates.tables([rung])
            estimated = estimate({self.metric: metric}, table)[self.metric].as_dict()
            rung.value, rung.low, rung.high, rung.n = (estimated[key] for key in ("value", "low", "high", "n"))

    def _member(self, rung: Rung) -> RunDirectory:
        return self.run.member(rung.name)

    def _chosen(self, rung: Rung) -> str:
        return self._member(rung).require_checkpoint(None)

    def _choice(self, done: Sequence[Rung], without: int | None = None) -> Rung:
        best = self.candidates.best(done, without)
        return best if self.best_of == "accuracy" else self._cheapest(best, done, without)

    def take(self) -> Rung:
        """The rung that is delivered. Raises TrainingError where none came to its end, or what kept all of them from
        it."""
        done = [rung for rung in self.complete() if rung.value is not None] or self.complete()
        if not done and len(self.faults) > 1 and len({str(fault) for fault in self.faults}) == 1:
            raise self.faults[0]  # the data's, as a rule, and no rung's own
        if not done:
            reasons = "; ".join(f"{rung.name}: {rung.reason}" for rung in self.rungs if rung.reason)
            raise TrainingError(f"no rung of {self.run.path} came to its end ({reasons})")
        best, taken = self.candidates.best(done), self._choice(done)
        words = self.candidates.headline()[1].words
        others = [f"{rung.name} {words.written(rung.value)}" for rung in done if rung is not taken]
        what = f"each by one of {taken.folds} trainings without it" if taken.folds else "of the validation split"
        self.why = f"{words.inside} {words.written(taken.value)} on {taken.n:,} rows {what}"
        self.why += f", against {', '.join(others)}" if others else ""
        self.why += (
            "; a blend is taken where the rows are likelier by it, and it is not shown to be worse"
            if taken.name == "blend"
            else ""
        )
        if taken.value is None:
            self.why = f"{words.inside} is not defined on the validation rows, so the first that came to its end"
        if self.best_of != "accuracy":
            what = "smallest" if self.best_of == "size" else "fastest to predict, by the clock,"
            self.why += f"; the {what} of those that are not shown to be worse than {best.name}"
        return taken

    def _cheapest(self, best: Rung, done: Sequence[Rung], without: int | None = None) -> Rung:
        """The smallest, or the one that predicts fastest, of those that are not shown to be worse than the best."""
        tables = dict(zip((rung.name for rung in done), self.candidates.tables(done, without), strict=True))
        _, metric = self.candidates.headline()
        first = tables[best.name]
        as_good = [rung for rung in done if rung is best or blending.shown(metric, first, tables[rung.name]) >= 0]
        if self.best_of == "size":
            return min(as_good, key=lambda rung: rung.bytes)
        return min(as_good, key=lambda rung: rung.row_seconds or 0.0)

    def _settle(self, taken: Rung) -> None:
        """By the halves of the validation rows without which it would have been taken as well."""
        done = [rung for rung in self.complete() if rung.value is not None]
        decision = self.candidates.decision(taken)
        if not decision or not self.half_of or len(done) < 2:
            return
        both = len({self.half_of[row] for row in self.settling}) == 2
        apart = [half for half in (0, 1) if both and self._choice(done, without=half) is taken]
        own = self.candidates.decision(taken, apart[0]) if len(apart) == 1 else decision
        checkpoint.settle(self.run, "best", own)
        if not apart or (len(apart) == 1 and own == decision):
            self.options.screen.say(SAME_ROWS)
            overview.keep(self.run, [SAME_ROWS])

    def deliver(self) -> None:
        """The taken rung's checkpoint, recipe and domain become the run's. The first rank's work."""
        best = self.take()
        self.taken = best.name
        members.take_over(self.run, self.run.member(best.name), self.base.time_limit)
        self._settle(best)
        imbalance.conclude(self.run, self.base.promises, self.options.screen.say)
        if all(rung.state != "waiting" for rung in self.rungs):
            for rung in self.rungs:  # what was trained to choose is not needed any more
                shutil.rmtree(self._member(rung).path / "members", ignore_errors=True)
        self.save()


def ends_all(error: PervadeError) -> bool:
    """Whether what ends a rung ends everything: a full disk, another process, or memory that ran out in one of several
    ranks, which the others, who wait for it, do not know."""
    return isinstance(error, ResourceError) and not (isinstance(error, OutOfMemoryError) and ranks.world() == 1)


def go(run: RunDirectory, request: workflow.Request, recipe: Recipe | None, options: Options) -> None:
    """Climbs on to the end, and measures the taken rung. Raises Stopped after a signal: the best so far is delivered
    before."""
    recipe = recipe or checkpoint.read_recipe(run.recipe)
    ranks.start(runtime.pick_device(recipe.device))
    with workflow.alone(run):
        ladder = Ladder(run, request, options)
        ranks.wait()  # all have read what the first will write to
        try:
            with stopping_at_once(run.path):
                rows = ladder.open()
                if rows is not None:
                    ladder.go_on(rows)
        except Stopped:
            judged = any(rung.value is not None for rung in ladder.complete())
            if judged and ranks.rank() == 0:  # the others may be anywhere: nothing is done together
                ladder.deliver()
                options.screen.say(f"the best so far, {ladder.taken}, is delivered")
            ladder.save()
            raise
        if rows is not None:
            with stopping_at_once(run.path):
                ranks.by_first(ladder.deliver)
                options.screen.say(f"taken: {ladder.taken}, {ladder.why}")
                _measure(ladder, rows)
            return
    options.screen.say("no ladder is climbed, but the network is trained alone: the validation split is empty")
    workflow.train(run, request, None, options, final=True)


def _measure(ladder: Ladder, rows: Rows) -> None:
    """What is promised of the delivered model's answers, and the test split's figures, by it alone."""
    run, options = ladder.run, ladder.options
    own = checkpoint.read_recipe(run.recipe)
    if own.domain != ladder.base.domain:
        rows = workflow.load_rows(run, own.domain)
    promising.settle(run, own, rows, options.screen)
    loaded = checkpoint.load_checkpoint(run, "best")
    until = None
    if ladder.base.time_limit is not None:
        until = ladder.began + ladder.base.time_limit - AFTERWARDS - REPORTING * options.loaded
    device = torch.device(runtime.pick_device(own.device))
    with runtime.threads(own.threads), options.screen.bar("evaluating") as bar:
        split = members.final_split(rows)
        result = evaluate(run, loaded, rows, split=split, device=device, progress=bar, until=until)
    overview.keep_left_out(run, result, options.screen.say)
