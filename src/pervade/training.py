"""One training, from building the network to the last checkpoint: what is logged, judged, saved, and when it ends.

engine/fit.py takes the steps; here is everything around them that has to do with files, clocks, signals and screens.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import Module

from pervade.core import files, runtime, seed, spec
from pervade.core.errors import ConfigError, nearest
from pervade.core.protocols import Context, Domain, Opening, Recipe
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.engine import checkpoint, predict, ranks
from pervade.engine.fit import Learner, Moment
from pervade.progress import Screen, Silent, duration


class Stopped(Exception):
    """Training was asked to stop and has saved its state. Not an error; carries the signal's number."""

    def __init__(self, number: int, path: Path) -> None:
        super().__init__(f"stopped by signal {number}")
        self.number, self.path = number, path


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what: nothing here changes a result."""

    screen: Screen = field(default_factory=Silent)
    save_every: float = 30.0  # seconds between saves of the state
    on_bad_file: str = "leave-out"  # or "fail"
    tensorboard: bool = False


@dataclass
class _Plan:
    """What the training loop decided, kept in the state so that a resumed run goes on deciding the same."""

    passes: int
    best: float | None = None
    best_pass: int = 0
    elapsed: float = 0.0  # seconds of training, over all sittings
    finished: bool = False


class Training:
    """One training, from building the network to the last checkpoint."""

    def __init__(
        self, run: RunDirectory, recipe: Recipe, domain: Domain, rows: Rows, device: torch.device, options: Options
    ) -> None:
        self.run, self.recipe, self.domain, self.rows, self.options = run, recipe, domain, rows, options
        self.validation = rows.where("split", "validation") if "split" in rows else rows.select([])
        self.metric = _metric(recipe, domain) if len(self.validation) else None
        self.network = build(run, recipe, domain, device, options.screen)
        companions = recipe.task.companions(self.network, domain)
        if companions is not None:
            companions.to(device)
            ranks.same_everywhere([*companions.parameters(), *companions.buffers()])
        context = Context(domain, companions)
        # From here on ranks draw different random numbers, as rows of one batch do.
        torch.manual_seed(recipe.seed + 1_000_003 * (ranks.rank() + 1))
        world = ranks.world()
        self.source = recipe.source.open(
            Opening(
                rows.where("split", "train") if "split" in rows else rows,
                recipe.task,
                self.network,
                context,
                recipe.batch_size,
                recipe.seed,
                recipe.workers,
                ranks.rank(),
                world,
                recipe.augment,
            )
        )
        self.plan = _Plan(recipe.epochs)
        self.learner = Learner(
            recipe.task,
            self.network,
            context,
            recipe.optimizer,
            recipe.schedule,
            recipe.epochs * len(self.source),
            gradient=recipe.gradient,
            micro_batch=recipe.micro_batch,
            clip_norm=recipe.clip_norm,
            precision=runtime.training_precision(device.type, recipe.precision),
            tuning=recipe.tuning,
            l1=recipe.l1,
            l2=recipe.l2,
            average=recipe.average,
        )
        self.log_every = max(1, min(50, len(self.source) // 10))
        self.log = _Log(run, options.tensorboard)
        self.judged: tuple[int, dict[str, Any]] = (-1, {})  # the last validation's step and predictions
        self.signal = 0
        self.began = self.saved = time.monotonic()

    def go(self) -> None:
        found = checkpoint.load_state(self.run, self.learner)
        if found is not None:
            source, extra = found
            self.source.load_state_dict(source)
            self.plan = _Plan(**extra)
            if self.plan.finished:
                return
            self.options.screen.say(f"going on from step {self.learner.step}")
        else:
            self.learner.rehearse(self.source.rehearsal())
        self.decisions = self.log.cut_back(self.learner.step, self.learner.passes)
        self.began = time.monotonic() - self.plan.elapsed
        try:
            with self._signals(), self.options.screen.bar("training") as bar:
                for moment in self.learner.fit(self.source, self.plan.passes):
                    if self._see(moment, bar):
                        break
        finally:
            self.log.close()

    def _see(self, moment: Moment, bar: Any) -> bool:
        """Logs, judges, saves. True ends the training."""
        ended = False
        self.plan.elapsed = time.monotonic() - self.began
        if moment.kind == "step":
            if moment.step % self.log_every == 0:
                self._log_step(moment, bar)
            limit = self.recipe.time_limit
            over = limit is not None and ranks.any_true(self.plan.elapsed >= limit)
            if over:
                self._decide("time limit reached", moment.passes)
                ended = True
        else:
            ended = self._end_of_pass(moment)
        if ended:
            self._finish(moment)
        elif moment.stop:
            self._save()
            raise Stopped(self.signal or signal.SIGTERM, self.run.path)
        elif ranks.any_true(time.monotonic() - self.saved >= self.options.save_every):
            self._save()
        return ended

    def _log_step(self, moment: Moment, bar: Any) -> None:
        learner, now = self.learner, self.plan.elapsed
        means = learner.averages()
        rate = moment.rows * self.log_every / max(now - self.log.last_time, 1e-9)
        self.log.last_time = now
        entry = {"event": "step", "step": moment.step, "pass": moment.passes, **means, "lr": learner.lr}
        self.log.write({**entry, "rows_per_second": round(rate, 2), "elapsed": round(now, 3)})
        total = self.plan.passes * len(self.source)
        shown = {name: value for name, value in means.items() if name in ("loss", "accuracy")} or means
        bar(moment.step, total, **shown, **{"rate": learner.lr, "examples/s": rate})

    def _end_of_pass(self, moment: Moment) -> bool:
        """Validation, the best checkpoint, early stopping, and the time that is left."""
        plan, stopping = self.plan, self.recipe.early_stopping
        entry: dict[str, Any] = {"event": "pass", "pass": moment.passes, "step": moment.step}
        done = moment.passes >= plan.passes
        if self.metric is not None:
            name, metric = self.metric
            value, columns = self._validate(metric)
            self.judged = moment.step, columns
            entry[f"validation {name}"] = None if math.isnan(value) else value
            sign = -1.0 if metric.higher_is_better is False else 1.0
            # A figure that is not defined on these rows (nan) is never better.
            if sign * value > (-math.inf if plan.best is None else sign * plan.best):
                plan.best, plan.best_pass = value, moment.passes
                self._checkpoint("best", {f"validation {name}": value}, columns)
            if stopping.patience is not None and moment.passes - plan.best_pass >= stopping.patience and not done:
                self._decide(
                    f"stopped early: validation {name} has not improved for {stopping.patience} passes", moment.passes
                )
                done = True
        self.log.write({**entry, "elapsed": round(self.plan.elapsed, 3)})
        self.plan.elapsed = time.monotonic() - self.began
        if self.recipe.time_limit is not None and not done:
            done = self._fit_into_time(moment)
        return done

    def _fit_into_time(self, moment: Moment) -> bool:
        """How many passes there is time for, by the pace so far. Logged, so that a resumed run repeats it."""
        known = self.decisions.get(moment.passes)
        if known is not None:
            passes = int(known)
        else:
            pace = self.plan.elapsed / moment.passes
            passes = min(max(int(float(self.recipe.time_limit or 0) / pace), moment.passes), self.plan.passes)
            passes = int(ranks.sum_numbers(passes if ranks.rank() == 0 else 0)[0])
        if passes != self.plan.passes or known is not None:
            self.plan.passes = passes
            self.learner.total_steps = passes * len(self.source)
            self._decide(f"there is time for {passes} passes", moment.passes, passes=passes)
        return moment.passes >= passes

    def _validate(self, metric: Any) -> tuple[float, dict[str, Any]]:
        """The metric of the validation split, and the predictions it is of (in the first rank)."""
        value, columns = 0.0, {}
        if ranks.rank() == 0:
            columns = self._predict_validation()
            value = float(metric.compute(columns, np.ones(len(columns["row"]))))
        return ranks.sum_numbers(value)[0], columns

    def _predict_validation(self) -> dict[str, Any]:
        task, workers = self.recipe.task, self.recipe.workers
        table = predict.predict_table(self.learner.judged, self.domain, task, self.validation, workers=workers)
        # Lists of lists (text, spans) have no shape of their own and stay as they are.
        ragged = {name for name, values in table.items() if isinstance(values, list) and isinstance(values[0], list)}
        return {name: values if name in ragged else np.asarray(values) for name, values in table.items()}

    def _decide(self, text: str, after: int, **more: Any) -> None:
        self.log.write({"event": "decision", "step": self.learner.step, "pass": after, "text": text, **more})
        self.options.screen.say(text)

    def _finish(self, moment: Moment) -> None:
        self.plan.finished = True
        step, columns = self.judged
        if step != moment.step and len(self.validation) and ranks.rank() == 0:
            columns = self._predict_validation()
        self._checkpoint("last", {}, columns)
        self._save()
        passes = "1 pass" if moment.passes == 1 else f"{moment.passes} passes"
        best = f"; best after pass {self.plan.best_pass}" if self.plan.best_pass else ""
        self.options.screen.say(f"trained {passes}, {moment.step} steps, in {duration(self.plan.elapsed)}{best}")

    def _checkpoint(self, name: str, note: dict[str, Any], validation: dict[str, Any]) -> None:
        """`validation` holds the predictions of the validation split, from which the task settles its decision."""
        if ranks.rank() == 0:
            learner = self.learner
            note = {"step": learner.step, "passes": learner.passes, "precision": learner.precision, **note}
            decision = self.recipe.task.decide(validation, self.domain) if validation else {}
            checkpoint.save_checkpoint(self.run, name, learner.judged, self.recipe, self.domain, note, decision)

    def _save(self) -> None:
        self.plan.elapsed = time.monotonic() - self.began
        checkpoint.save_state(self.run, self.learner, self.source.state_dict(), vars(self.plan))
        self.saved = time.monotonic()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM ask for a stop after the step under way; a second one ends at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: Any) -> None:
            self.signal = number
            self.learner.request_stop()
            for each in (signal.SIGINT, signal.SIGTERM):
                signal.signal(each, before[each])

        before = {each: signal.signal(each, ask) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def build(run: RunDirectory, recipe: Recipe, domain: Domain, device: torch.device, screen: Screen) -> Module:
    """The network with its first weights, on the device, convolutions channels last. The same for the same seed.

    What the initialiser did goes to init.json; a resumed run takes its weights from its state alone.
    """
    seed.everything(recipe.seed)
    network = recipe.model.build(domain.inputs(), recipe.task.outputs(domain))
    files.settle(run.state)
    if not run.state.exists() and ranks.rank() == 0:
        started = recipe.init.apply(network, recipe.model)
        screen.say(f"init: {started.summary}")
        files.write_json(run.init, {"init": spec.encode(recipe.init), **asdict(started)})
    if recipe.tuning is not None:
        network = recipe.tuning.change(network)
    network = network.to(device)
    # Rank-4 weights only, so that other networks are left alone.
    network = network.to(memory_format=torch.channels_last)
    ranks.same_everywhere([*network.parameters(), *network.buffers()])
    return network


def _metric(recipe: Recipe, domain: Domain) -> tuple[str, Any] | None:
    name = recipe.early_stopping.metric
    if name is None:
        return None
    there = recipe.task.metrics(domain)
    if name not in there:
        raise ConfigError(f"early_stopping.metric: unknown metric {name!r}; {nearest(name, there)}")
    return name, there[name]


class _Log:
    """log.jsonl, one line an event, and TensorBoard files where asked."""

    def __init__(self, run: RunDirectory, tensorboard: bool) -> None:
        self.run, self.last_time = run, 0.0
        self.file: Any = None
        self.writer: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise ConfigError(
                    "--tensorboard needs the package tensorboard; pip install 'pervade[tensorboard]'"
                ) from None
            self.writer = SummaryWriter(str(run.path / "tensorboard"))

    def cut_back(self, step: int, passes: int) -> dict[int, int]:
        """Drops what was logged after the saved state (this step, these passes): it will happen again. Returns the
        decisions made so far about the number of passes, by the pass after which they were made."""
        if ranks.rank() != 0:
            return {}
        entries = self.run.read_log()
        decisions = {e["pass"]: e["passes"] for e in entries if e["event"] == "decision" and "passes" in e}
        kept = [e for e in entries if step and e["step"] <= step and (e["event"] == "step" or e["pass"] <= passes)]
        files.write_text(self.run.log, "".join(json.dumps(entry) + "\n" for entry in kept))
        self.last_time = next((entry["elapsed"] for entry in reversed(kept) if "elapsed" in entry), 0.0)
        self.file = self.run.log.open("a", encoding="utf-8")
        return decisions

    def write(self, entry: dict[str, Any]) -> None:
        if self.file is None:
            return
        self.file.write(json.dumps(entry) + "\n")
        self.file.flush()
        if self.writer is not None:
            for name, value in entry.items():
                if isinstance(value, float):
                    self.writer.add_scalar(name.replace(" ", "/"), value, entry["step"])

    def close(self) -> None:
        for each in (self.file, self.writer):
            if each is not None:
                each.close()
