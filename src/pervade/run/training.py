"""One training, from building the network to the last checkpoint: what is logged, judged, saved, and when it ends.

engine/fit.py takes the steps; here is everything around them that has to do with files, clocks, signals and screens.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch.nn import Module

from pervade.core import contents, files, memory, registry, runtime, seed, signals, spec
from pervade.core.contracts import Context, Domain, Opening, Recipe, Solver, Tokens, Waveform
from pervade.core.contracts.abilities import GoesAstray, HasCompanions
from pervade.core.errors import ConfigError, TrainingError, nearest
from pervade.core.run import RunDirectory
from pervade.core.types import Rows, Table
from pervade.core.words import counted
from pervade.engine import base as bases
from pervade.engine import building, checkpoint, features, origin, predictions, ranks
from pervade.engine.base import Base
from pervade.engine.fit import Learner, Moment
from pervade.engine.predictor import Predictor
from pervade.engine.rehearsal import rehearse, trying
from pervade.engine.step import SolvedStep
from pervade.engine.threads import Measured, fastest
from pervade.init.random import Random
from pervade.metrics.estimate import Metric
from pervade.nn import batch_norm
from pervade.nn.backbone import Backbone
from pervade.nn.batch_norm import over_ranks
from pervade.nn.trial import require_training_size
from pervade.report import wording
from pervade.run import overview
from pervade.run.progress import Screen, Silent, duration, spaced
from pervade.run.settling import FINER, CrossFit, halves, settles, validation_rows
from pervade.run.stopping import Paused, Stopped
from pervade.run.time_limit import AFTERWARDS, REPORTING, TimeLimit, spread
from pervade.run.training_log import Log, keep_progress
from pervade.run.training_plan import Plan

SEEN = 0.05  # of the rows, by which it is known how long the features of all take
SOLVING = 0.5  # of the time there is, that finding a linear head's weights may take,
FIRST = 0.85  # and finding some at all, where there is no other model yet,
SOLVED = 1.0  # or so many seconds, where the libraries took all of it: of few rows there is a model then
ONCE = 0.7  # of the time there is, that features of a body which stays may take where there is a model; all where not


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what: nothing here changes a result."""

    screen: Screen = field(default_factory=Silent)
    save_every: float = 30.0  # seconds between saves of the state
    on_bad_file: str = "leave-out"  # or "fail"
    tensorboard: bool = False
    began: float | None = None  # time.monotonic() at the start of the command: a time limit counts from there
    loaded: float = 0.0  # seconds that the command took to load its libraries: how fast this machine is at such things
    reading: float = 0.0  # seconds that reading the rows takes, which the evaluation does once more
    finish: bool = True  # evaluation and report follow, and a time limit leaves room for them
    keep_validation: bool = False  # the predictions of the validation split are kept beside a checkpoint
    later: float = 0.0  # seconds of a time limit that are for what comes when this training is over, beside that
    rows_after: int = 0  # that are predicted later, for which a time limit has to leave room
    least_passes: float = 0.0  # for which a time limit must have room; else the training is not begun
    on_pass: Callable[[float, float], str | None] | None = None  # (pass, validation figure) -> why to end here
    pause_at: float | None = None  # share of the steps: there it is judged and saved, and Paused is raised


class Training:
    """One training, from building the network to the last checkpoint."""

    @memory.during("the training was prepared", "take a smaller --model or --batch-size, or free some memory")
    def __init__(
        self, run: RunDirectory, recipe: Recipe, domain: Domain, rows: Rows, device: torch.device, options: Options
    ) -> None:
        self.run, self.recipe, self.domain, self.rows, self.options = run, recipe, domain, rows, options
        self.validation = validation_rows(recipe, rows, options.keep_validation)
        self.metrics = _metrics(recipe, domain) if len(self.validation) else {}
        self.began = self.saved = time.monotonic()
        self.step_time = 0.0  # seconds, as rehearsed; 0: not known
        # By one: another number rounds orthogonal first weights otherwise, and which it will be is not known yet.
        with runtime.threads(1):
            self.network, self.base = build(run, recipe, domain, device, options.screen)
        task = recipe.task
        companions = task.companions(self.network, domain) if isinstance(task, HasCompanions) else None
        if companions is not None:
            companions.to(device)
            ranks.same_everywhere([*companions.parameters(), *companions.buffers()])
            if ranks.world() > 1:
                over_ranks(companions)
        self.members = checkpoint.load_members(run, recipe.task)
        self.train = rows.where("split", "train") if "split" in rows else rows
        context = Context(domain, companions, members=self.members)
        self.reading = self._reading()
        # From here on ranks draw different random numbers, as rows of one batch do.
        torch.manual_seed(recipe.seed + 1_000_003 * (ranks.rank() + 1))
        world = ranks.world()
        opening = Opening(
            self.train,
            recipe.task,
            self.network,
            replace(context, domain=self.reading),
            recipe.batch_size,
            recipe.seed,
            recipe.workers,
            ranks.rank(),
            world,
            recipe.augment,
            recipe.epochs,
        )
        still = recipe.tuning.frozen(self.network, 0.0) if recipe.tuning is not None else ()
        at_once = world * (recipe.micro_batch or recipe.batch_size)
        remarks = [*recipe.source.remarks(opening), *batch_norm.remarks(self.network, at_once, still)]
        for line in remarks:
            options.screen.say(line)
        if ranks.rank() == 0:
            overview.keep(run, remarks)
        self.source = recipe.source.open(opening)
        self.plan = Plan(passes=recipe.epochs)
        if self.metrics and settles(recipe.task):
            self.plan.settling, self.half_of = CrossFit(), halves(self.validation, recipe.seed)
        self.learner = Learner.by(recipe, self.network, context, recipe.epochs * len(self.source))
        self.log_every = max(1, min(50, len(self.source) // 10))
        self.log = Log(run, options.tensorboard)
        self.judged: tuple[int, dict[str, Any]] = (-1, {})  # the last validation's step and predictions
        self.signal = 0
        self.limit: TimeLimit | None = None
        if recipe.time_limit is not None:
            after: float | None = None
            if options.finish:
                after = AFTERWARDS + REPORTING * options.loaded + options.reading + options.later
            self.limit = TimeLimit(recipe, domain, rows, len(self.source), after, self.members)
            self.limit.rows_after, self.limit.num_validation = options.rows_after, len(self.validation)

    def _reading(self) -> Domain:
        """Where examples come from: the domain, or features computed once where the body stays as it is."""
        network, recipe = self.network, self.recipe
        if not (isinstance(network, Backbone) and recipe.tuning is not None and self.domain.repeats):
            return self.domain
        if network.body not in recipe.tuning.frozen(network, 1.0) or recipe.augment or "hash" not in self.rows:
            return self.domain
        inputs = self.domain.inputs()
        # Of every token: too many to keep. Shards: only whole forward passes put them together.
        if (isinstance(inputs, Tokens | Waveform) and not inputs.pooled) or ranks.sharded(network):
            return self.domain
        checkpoint.load_network(self.run, network, self.base)  # in a resumed run the body comes from the state
        positions = [i for i, split in enumerate(self.rows.column("split")) if split in ("train", "validation")]
        what = network, self.domain, self.rows.select(positions)
        if self._open():
            known = int(ranks.first(features.known(*what, (1, torch.get_num_threads())) or 0))
            with features.trying(*what, recipe.workers) as step:
                steps = len(positions) // features.BATCH
                self._settle(Measured(known) if known else fastest(step, steps, torch.get_num_threads(), self._left()))
        begun, allowed = time.monotonic(), self._left() * (ONCE if self.options.least_passes else 1.0)
        with runtime.threads(self.recipe.threads), self.options.screen.bar("computing features") as bar:

            def watched(done: int, total: int) -> None:
                bar(done, total)
                needed = (time.monotonic() - begun) / max(done, 1) * total
                if done >= SEEN * total and needed > allowed:
                    raise TrainingError(
                        f"the features of {total:,} rows take about {duration(needed)}, and there are "
                        f"{duration(allowed)} for them; give a longer --time-limit"
                    )

            return ranks.together(lambda: features.compute(*what, recipe.workers, watched))

    @memory.during("it trained", "take a smaller --batch-size, or keep it and set -o micro_batch, which gives the same")
    def go(self) -> None:
        """Trains to the end, with as many threads as the recipe asks for."""
        self.rehearse()
        with runtime.threads(self.recipe.threads):
            self._go()

    def rehearse(self) -> None:
        """Goes through the largest step without keeping anything, and settles how many threads compute where that is
        open. Nothing where the training has begun."""
        if self.run.state.exists():
            self._compare_threads()
            return
        largest, limited = self.source.rehearsal(), self.recipe.time_limit is not None
        with runtime.threads(1 if limited and self._open() else self.recipe.threads):
            start = time.monotonic()
            rehearse(self.learner, largest)
            taken = time.monotonic() - start if limited else 0.0
        if self._open() and largest is not None and self.learner.device.type == "cpu":
            with trying(self.learner, self.source.trial()) as step:
                measured = fastest(step, self.learner.total_steps, torch.get_num_threads(), self._left(), taken)
                self.step_time = measured.seconds.get(measured.number, 0.0)
                self._settle(measured)
        elif self._open():
            self._settle(Measured(torch.get_num_threads()))
        if limited and largest is not None and not self.step_time:
            with runtime.threads(self.recipe.threads), trying(self.learner, self.source.trial()) as step:
                for _ in range(2):  # the first warms caches
                    start = time.monotonic()
                    step()
                    self.step_time = time.monotonic() - start

    def _left(self) -> float:
        """Seconds until a time limit, which a first sitting has for everything."""
        began = self.began if self.options.began is None else self.options.began
        return (self.recipe.time_limit or math.inf) - (time.monotonic() - began)

    def _open(self) -> bool:
        """Whether how many threads compute is still to be found. A run that has begun has them all."""
        return self.recipe.threads == "auto" and not self.run.state.exists()

    def _settle(self, measured: Measured) -> None:
        """Into the recipe before the first step: a resumed run, the evaluation and predictions take the same."""
        self.recipe = replace(self.recipe, threads=measured.number)
        if ranks.rank() == 0:
            checkpoint.write_recipe(self.run.recipe, self.recipe)
        if measured.seconds:
            self.options.screen.say(measured.words())

    def _compare_threads(self) -> None:
        asked, there = self.recipe.threads, torch.get_num_threads()
        if isinstance(asked, int) and asked > there:
            self.options.screen.say(
                f"threads: {asked}, as this run began, for the same bits; here are {there}, so steps take longer"
            )

    def _go(self) -> None:
        saved = checkpoint.load_state(self.run, self.learner, self.base)
        if saved is not None:
            source, extra = saved
            with contents.understood(str(self.run.state), checkpoint.ANOTHER):
                self.source.load_state_dict(source)
                self.source.load_pieces(lambda name: checkpoint.read_piece(self.run, name))
                self.plan = Plan.of(extra, self.run)
            if self.plan.finished:
                return
            if self.plan.paused >= (self.options.pause_at or math.inf):
                raise Paused
            self.options.screen.say(f"going on from step {self.learner.step}")
        if self.limit is not None:
            self.limit.rehearse(self.learner.judged)
            if saved is None:
                self._fit_into(self.limit)
            if self.plan.judged is not None:
                if self.options.keep_validation:
                    self.limit.rows_after += len(self.validation)
                self.validation = spread(self.validation, self.plan.judged)
                self.limit.num_validation = self.plan.judged
            self.limit.pace.every = self.plan.every or self.limit.pace.every
            for step in self.learner.steps:
                if isinstance(step, SolvedStep):
                    now, left = time.monotonic(), self._left() - self.plan.setup - self.plan.elapsed
                    share = SOLVING if self.options.least_passes else FIRST
                    step.until, step.latest = now + SOLVING * left, now + max(share * left, SOLVED)
        elapsed, known = self.log.cut_back(self.learner.step, self.learner.passes)
        self.plan.elapsed = max(self.plan.elapsed, elapsed)  # what was lost by a kill was time all the same
        if self.limit is not None:
            self.limit.known = known
        self.plan.setup += time.monotonic() - (self.began if self.options.began is None else self.options.began)
        self.began = time.monotonic() - self.plan.elapsed
        if ranks.rank() == 0:
            origin.write(self.run, self.recipe)
        if saved is None and self.plan.judged is not None:
            self._save()  # by which rows passes are judged holds, whatever the clock says after a kill
        try:
            with self._signals(), self.options.screen.bar("training") as bar:
                for moment in self.learner.fit(self.source, self.plan.passes):
                    if self._see(moment, bar):
                        break
                if not self.plan.passes:  # nothing to learn: the first weights are the last
                    self._finish(Moment("pass", 0, 0))
                if ranks.any_true(self.signal != 0):  # it came after the last step: nothing is left to train
                    raise Stopped(self.signal or signal.SIGTERM, self.run.path)
        finally:
            self.log.close()

    def _fit_into(self, limit: TimeLimit) -> None:
        """Judges sooner, by fewer rows, where time is short, and says at once where it is too short."""
        used = (self.recipe.time_limit or 0.0) - self._left()
        limit.leave(self._left())
        step_time = ranks.largest(self.step_time)[0]
        self.plan.every = int(ranks.first(limit.judge_sooner(limit.fits(step_time, used))))
        judged = int(ranks.first(limit.thinned(step_time)))
        if judged < len(self.validation):
            self.plan.judged = judged
            self.options.screen.say(f"time limit: passes are judged by {judged:,} of {len(self.validation):,} rows")
        limit.pace.step_time = step_time or None
        fits = ranks.first(limit.fits(step_time, used))
        if fits < self.options.least_passes:
            raise TrainingError(
                f"the {duration(max(self._left(), 0.0))} that are left allow {fits:.2g} of {self.recipe.epochs:g} "
                f"passes, and of less than {self.options.least_passes:g} nothing is learnt; give a longer --time-limit"
            )
        learnt = isinstance(self.network, Backbone) and not isinstance(self.recipe.init, Random)
        if (text := limit.told(step_time, used, learnt and self.recipe.tuning is None)) is not None and step_time:
            self.options.screen.say(text)

    def _see(self, moment: Moment, bar: Any) -> bool:
        """Logs, judges, saves. True ends the training."""
        ended = False
        self.plan.elapsed = time.monotonic() - self.began
        if moment.kind == "step":
            if moment.step % self.log_every == 0:
                self._log_step(moment, bar)
            ended = self.limit is not None and self._keep_time(self.limit, moment)
        else:
            try:
                ended = self._end_of_pass(moment)
            except Stopped:  # in the middle of the validation, which is to be made anew
                self.learner.reopen_pass()
                self._save()
                raise
        if ended:
            self._finish(moment)
        elif self._pauses(moment):
            self._pause(moment)
        elif moment.stop:
            self._save()
            raise Stopped(self.signal or signal.SIGTERM, self.run.path)
        elif ranks.any_true(time.monotonic() - self.saved >= self.options.save_every):
            self._save()
        return ended

    def _pauses(self, moment: Moment) -> bool:
        """Whether the share that was asked is reached; at the end of a pass, once this is judged."""
        share, per_pass = self.options.pause_at, len(self.source)
        reached = share is not None and moment.step >= share * self.learner.total_steps
        return reached and (moment.kind == "pass" or moment.step % per_pass > 0)

    def _pause(self, moment: Moment) -> None:
        if self.judged[0] != moment.step:
            part = round(moment.step / len(self.source) % 1, 2) if moment.kind == "step" else 0
            self._judge(moment, moment.passes + part, lambda: None)
        self.plan.paused = float(self.options.pause_at or 0.0)
        self._save()
        raise Stopped(self.signal or signal.SIGTERM, self.run.path) if moment.stop else Paused

    def _log_step(self, moment: Moment, bar: Any) -> None:
        learner, now = self.learner, self.plan.elapsed
        means = learner.averages()
        news = self.source.news() if ranks.world() == 1 else {}
        if news.get("begun_anew"):
            self.options.screen.say(
                f"{counted(int(news['begun_anew']), 'environment')} could not be put back, and a new episode began: "
                "what follows is not what would have followed without the stop"
            )
        if self.limit is not None and "episode_length" in news:
            self.limit.note_length(news["episode_length"])
        rate = moment.rows * self.log_every / max(now - self.log.last_time, 1e-9)
        self.log.last_time = now
        entry = {"event": "step", "step": moment.step, "pass": moment.passes, **means, **news, "lr": learner.lr}
        total = self.learner.total_steps
        about = {"total_steps": total, "rows_per_second": round(rate, 2), "elapsed": round(now, 3)}
        self.log.write({**entry, **about})
        per_second = {"examples/s": rate}
        if "environment_steps" in news:  # what is lived through once is learnt from many times
            per_second = {"steps/s": news["environment_steps"] / max(now, 1e-9)}
        known = {**means, **news}
        shown = {name: value for name, value in known.items() if name in ("loss", "accuracy", "return")} or means
        bar(moment.step, total, **shown, rate=learner.lr, **per_second)

    def _end_of_pass(self, moment: Moment) -> bool:
        """Validation, the best checkpoint, and what may end the training: patience, the caller, the time."""
        plan, stopping = self.plan, self.recipe.early_stopping
        done = moment.passes >= plan.passes
        late = self.limit is not None and moment.step >= self.learner.total_steps
        value = None
        if done or late or moment.passes % (plan.every or stopping.every) == 0:
            value = self._judge(moment, moment.passes, self._watch)
        task = self.recipe.task
        astray = task.astray(self.learner.context) if isinstance(task, GoesAstray) and not done else None
        if ranks.any_true(astray is not None):
            done = self._decide(f"training ended: {astray}", moment.passes)
        if value is not None and not done:
            if stopping.patience is not None and moment.passes - plan.best_pass >= stopping.patience:
                text = f"validation {spaced(str(stopping.metric))} has not improved for {stopping.patience} passes"
                done = self._decide(f"stopped early: {text}", moment.passes)
            elif self.options.on_pass is not None:
                reason = self.options.on_pass(moment.passes, value) if ranks.rank() == 0 else None
                if ranks.any_true(reason is not None):
                    done = self._decide(str(reason), moment.passes, pruned=True)
        self.plan.elapsed = time.monotonic() - self.began
        if self.limit is not None and not done:
            self.limit.pace.note_pause(plan.setup + plan.elapsed)
            done = moment.step >= self.learner.total_steps
            if done:
                text = f"time limit: ended after {moment.passes} of {plan.passes} passes"
                self._decide(text, moment.passes, stop=True)
        return done

    def _judge(self, moment: Moment, at: float, watch: Callable[[], None]) -> float | None:
        """The validation figure after `at` passes, logged; keeps the checkpoint if it is the best. None without one.
        `watch` is called between its batches."""
        plan, stopping = self.plan, self.recipe.early_stopping
        entry: dict[str, Any] = {"event": "pass", "pass": at, "step": moment.step}
        value = None
        if self.metrics:
            name, metrics = next(iter(self.metrics)), list(self.metrics.values())
            figures, columns = self._validate(metrics, watch)
            value = figures[0]
            self.judged = moment.step, columns
            entry[f"validation {name}"] = None if math.isnan(value) else value
            best = plan.beaten(metrics, figures)
            if plan.settling is not None and columns and ranks.rank() == 0:
                plan.settling.judge(at, metrics, best, columns, self.half_of, self._settle_by)
            if best:
                plan.best_pass = at
                self._checkpoint("best", {f"validation {stopping.metric}": value}, columns)
        self.log.write({**entry, "elapsed": round(self.plan.elapsed, 3)})
        keep_progress(self.run, self.recipe.task, self.learner.judged, self.train, self.learner.context, at)
        return value

    def _keep_time(self, limit: TimeLimit, moment: Moment) -> bool:
        """Plans how many steps there is time for; True where that was the last of them. Logged, so that a resumed run
        repeats it."""
        plan, learner, per_pass = self.plan, self.learner, len(self.source)
        used = plan.setup + plan.elapsed
        total = limit.after_step(moment.step, used, learner.total_steps)
        if total is not None:
            learner.total_steps = total
            entry = {"event": "plan", "step": moment.step, "pass": moment.passes, "total_steps": total}
            self.log.write({**entry, "used": round(used, 3)})
            if not plan.told and limit.pace.settled:
                plan.told = True
                self._decide(f"there is time for about {total / per_pass:.3g} of {plan.passes} passes", moment.passes)
        # At the end of a pass its own end follows at once, and judges.
        if moment.step < learner.total_steps or moment.step % per_pass == 0:
            return False
        at = round(moment.step / per_pass, 2)
        # Whoever stops it here waits for the end, which is near; the middle of a pass cannot be gone back to.
        self._judge(moment, at, lambda: None)
        return self._decide(f"time limit: ended after {at:g} of {plan.passes} passes", moment.passes, stop=True)

    @memory.during("the validation split was judged", "give shorter or smaller rows, or free some memory, then resume")
    def _validate(self, metrics: list[Metric], watch: Callable[[], None]) -> tuple[list[float], dict[str, Any]]:
        """The figures of the validation split, and the predictions they are of. Every rank predicts all rows, so that
        they have the bits of one rank's."""
        start = time.monotonic()
        columns = self._predict_validation(watch)
        if self.limit is not None:
            self.limit.note_validation(len(self.validation), time.monotonic() - start, self.reading is self.domain)
        own, every = [metric.of(columns) for metric in metrics], np.ones(len(columns["row"]))
        return [ranks.first(float(m.compute(columns, every)) if ranks.rank() == 0 else 0.0) for m in own], columns

    def _watch(self) -> None:
        """Ends a validation between two batches, the same two in all ranks."""
        if ranks.any_true(self.signal != 0):
            raise Stopped(self.signal or signal.SIGTERM, self.run.path)

    def _predict_validation(self, watch: Callable[[], None] = lambda: None) -> Table:
        asked = (self.learner.judged, self.reading, self.recipe.task)
        figures = frozenset(self.metrics) if self.metrics and not self.options.keep_validation else None
        about: dict[str, Any] = {"workers": self.recipe.workers, "watch": watch, "figures": figures}
        table = Predictor(*asked, **about, members=self.members, train=self.train).table(self.validation)
        return predictions.arrays(predictions.complete(table, self.validation))

    def _decide(self, text: str, after: int, **more: Any) -> bool:
        step = self.learner.step
        at = round(step / len(self.source), 2)  # in passes: within one as well
        self.log.write({"event": "decision", "step": step, "pass": after, "at": at, "text": text, **more})
        self.options.screen.say(text)
        return True  # what is decided mostly is that training ends

    def _finish(self, moment: Moment) -> None:
        self.plan.finished = True
        for remark in (step.remark for step in self.learner.steps if isinstance(step, SolvedStep) and step.remark):
            self._decide(remark, moment.passes)
        step, columns = self.judged
        if step != moment.step and len(self.validation):
            columns = self._predict_validation()
        self._checkpoint("last", {}, columns)
        if self.plan.settling is not None and self.plan.best_pass and ranks.rank() == 0:
            checkpoint.settle(self.run, "best", self.plan.settling.settled)
            for line in self.plan.settling.remarks:
                self.options.screen.say(line)
                overview.keep(self.run, [line])
        self._save()
        at = moment.passes + round(moment.step / len(self.source) % 1 if moment.kind == "step" else 0, 2)
        passes = "1 pass" if at == 1 else f"{at:g} passes"
        best = f"; best {wording.after(self.plan.best_pass)}" if self.plan.best_pass and at > 1 else ""
        took = f"{duration(self.plan.elapsed)} with validation and saving"
        self.options.screen.say(f"trained {passes}, {counted(moment.step, 'step')}, in {took}{best}")

    def _settle_by(self, validation: Table) -> dict[str, Any]:
        return dict(self.recipe.task.decide(validation, self.domain))

    def _checkpoint(self, name: str, note: dict[str, Any], validation: Table) -> None:
        """`validation` holds the predictions of the validation split, from which the task settles its decision."""
        learner = self.learner
        note = {"step": learner.step, "passes": learner.passes, "precision": learner.setting.precision, **note}
        decision, settling = {}, self.plan.settling if name == "best" else None
        if validation and ranks.rank() == 0:
            decision = self._settle_by(validation) if settling is None else settling.settled
        start = time.monotonic()
        checkpoint.save_checkpoint(self.run, name, learner.judged, self.recipe, self.domain, note, decision, self.base)
        if validation and self.options.keep_validation and ranks.rank() == 0:
            about = {"checkpoint": name, "split": "validation", "precision": "fp32"}
            predictions.write_columns(self.run.predictions(name, checkpoint.UNDECIDED), dict(validation), about)
        if self.limit is not None:
            self.limit.note_saving(time.monotonic() - start)

    def _save(self) -> None:
        self.plan.elapsed = time.monotonic() - self.began
        pieces = self.source.pieces()  # first: what is new gets its name, which the state then knows
        state = self.source.state_dict()
        checkpoint.save_state(self.run, self.learner, state, asdict(self.plan), self.base, pieces)
        self.saved = time.monotonic()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM ask for a stop after the step, or the batch of a validation, under way; a second one ends
        at once."""

        def ask(number: int) -> None:
            self.signal = number
            self.learner.request_stop()

        try:
            with signals.answered(ask, again=ranks.world() == 1):
                yield
        except signals.WorkerStopped:  # what it knew cannot be saved any more; what was saved before still can be used
            raise Stopped(self.signal or signal.SIGTERM, self.run.path) from None


def build(
    run: RunDirectory, recipe: Recipe, domain: Domain, device: torch.device, screen: Screen
) -> tuple[Module, Base | None]:
    """The network with its first weights, on the device, convolutions channels last, and the base among them. The same
    for the same seed.

    What the initialiser did goes to init.json; a resumed run takes its weights from its state, and the base, which no
    state holds, from its place again.
    """
    seed.everything(recipe.seed)
    network = building.build(recipe.model, domain.inputs(), recipe.task.outputs(domain), changes=recipe.changes)
    require_training_size(network, domain.inputs())
    files.settle(run.state)
    begun, first = run.state.exists(), ranks.rank() == 0
    kept = bases.of_run(run.init) if begun else None

    def with_first_weights() -> tuple[Module, Base | None]:
        if kept is not None and first:
            return bases.again(run.state, asdict(kept), recipe, domain, network), kept
        made, base, started = bases.build(recipe, domain, network, first and not begun)
        if started is not None:
            lines = started.table()
            if isinstance(recipe.optimizer, Solver) and isinstance(recipe.init, Random):
                lines = ["init: no weights are drawn that are kept; all are found at once"]
            for line in (f"model: {registry.full_name(recipe.model)}", *lines):
                screen.say(line)
            about = {"init": spec.encode(recipe.init), **asdict(started)}
            files.write_json(run.init, {**about, **({"base": asdict(base)} if base is not None else {})})
        return made, base

    network, known = ranks.together(with_first_weights)
    known = _everywhere(known)
    network = network.to(device)
    # Rank-4 weights only, so that other networks are left alone.
    network = network.to(memory_format=torch.channels_last)
    ranks.same_everywhere([*network.parameters(), *network.buffers()])
    return over_ranks(network) if ranks.world() > 1 else network, known


def _everywhere(base: Base | None) -> Base | None:
    """The first rank's, on every rank."""
    known = json.loads(ranks.same_text(json.dumps(asdict(base) if base is not None else None)))
    return Base(known["place"], known["sha256"], tuple(known["names"])) if known else None


def _metrics(recipe: Recipe, domain: Domain) -> dict[str, Metric]:
    """The figure that chooses the pass, and what says which of equally good ones it is; nothing where none chooses."""
    name = recipe.early_stopping.metric
    if name is None:
        return {}
    there = recipe.task.metrics(domain)
    if name not in there:
        raise ConfigError(f"early_stopping.metric: unknown metric {name!r}; {nearest(name, there)}")
    return {one: there[one] for one in (name, FINER) if one in there}
