"""A search across the rungs of a ladder (run/rungs.py): candidates of each, the first as the recipe has it, the others
with settings drawn evenly from its space, and successive halving among those that learn step by step (Jamieson and
Talwalkar 2016, arXiv:1502.07943): all go through a small share of their training, the better half through twice as
much, until one is through. What is solved at once is through, and stands as a candidate all the time. At the end the
best of each rung are put together, as a ladder does (run/candidates.py): a candidate more where validation rows are
likelier by it.

Candidates are compared by the task's first figure on the validation split, since rungs stop early by different ones.
search.json says of each its rung and the share it came to; a paused one goes on from its state, bit for bit.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pervade import recipes
from pervade.core import deadline, files, spec
from pervade.core import seed as seeds
from pervade.core.contracts import Recipe, Solver
from pervade.core.errors import ConfigError, DataError, PervadeError, TrainingError
from pervade.core.run import RunDirectory
from pervade.core.types import Json, Rows, Table
from pervade.engine import checkpoint, origin, predictions, ranks
from pervade.run import imbalance, members, search_space, workflow
from pervade.run import rungs as rungs_module
from pervade.run.candidates import BLEND, Candidates
from pervade.run.cross_validation import judge_by_all
from pervade.run.ladder import BLENDING, ends_all
from pervade.run.rungs import LEAST_PASSES
from pervade.run.search import NO_VALIDATION, Plan, Search, Trial, figures
from pervade.run.settling import halves, only
from pervade.run.stopping import Paused
from pervade.run.training import Options

DRAWN = 7  # candidates beside the first of each rung, where the number of trials is not given
HALVINGS = 4  # at most: the first share is no less than a sixteenth
ENOUGH = 0.02  # of the time limit: with less left nothing further is begun


def begin(
    run: RunDirectory,
    asked: Plan,
    recipe: Recipe,
    task: str | None,
    rungs: Mapping[str, Recipe | str],
    settled: Collection[str],
) -> None:
    """Writes members.json: each rung with its recipe and its space, or why there is none. Raises ConfigError where a
    path that is searched is a field of no rung, or a value is not allowed."""
    climbed = {name: rung for name, rung in rungs.items() if isinstance(rung, Recipe) and name != BLEND}
    spaces = {name: _space(rung, asked.space, task, settled) for name, rung in climbed.items()}
    known = {path for space in spaces.values() for path in space}
    for path in asked.space:
        if path not in known:  # which is wrong in each: what the last one says of it
            search_space.check({path: asked.space[path]}, list(climbed.values())[-1])
    own: dict[str, Any] = {name: rung for name, rung in rungs.items() if isinstance(rung, str)}
    for name, rung in climbed.items():
        ranges = {path: values.as_json() for path, values in spaces[name].items()}
        own[name] = {"recipe": spec.encode(rung), "space": ranges}
    about: dict[str, Any] = {"kind": "halving", "time_limit": asked.time_limit, "trials": asked.trials}
    about |= {"blend": isinstance(rungs.get(BLEND), Recipe)}
    origin.write(run, recipe)
    files.write_json(run.members, {**about, "space": {}, "base": spec.encode(recipe), "rungs": own})


def _space(
    rung: Recipe, asked: search_space.Space, task: str | None, settled: Collection[str]
) -> dict[str, search_space.Range | search_space.Choice]:
    """Of what is asked the fields that this rung has; where nothing is, its own space, and none where it is solved."""
    if asked:
        return {path: values for path, values in asked.items() if _fits(rung, path, values)}
    if isinstance(rung.optimizer, Solver):
        return {}
    try:
        own = recipes.search_space(rung, task)
    except ConfigError:  # it has none, and stands as it is
        return {}
    return {path: values for path, values in own.items() if path not in settled}


def _fits(rung: Recipe, path: str, values: search_space.Range | search_space.Choice) -> bool:
    try:
        search_space.check({path: values}, rung)
    except ConfigError:
        return False
    return True


class Halving(Search):
    """A search across rungs under way."""

    def __init__(self, run: RunDirectory, request: workflow.Request, options: Options) -> None:
        super().__init__(run, request, options)
        whole = files.read_json(run.members, "rungs")
        stored, self.blends = whole["rungs"], bool(whole.get("blend"))  # whether the best are put together
        climbed = {name: own for name, own in stored.items() if not isinstance(own, str)}
        self.lacking = {name: own for name, own in stored.items() if isinstance(own, str)}
        self.rungs: dict[str, Recipe] = {name: spec.decode(own["recipe"], Recipe) for name, own in climbed.items()}
        self.spaces = {name: search_space.of_json(own["space"]) for name, own in climbed.items()}
        self.candidates = list(self._drawn())
        learning = [name for name, _ in self.candidates if not self.is_solved(name)]
        self.levels = shares(len(learning))

    def is_solved(self, rung: str) -> bool:
        return rung == BLEND or isinstance(self.rungs[rung].optimizer, Solver)

    def _drawn(self) -> Iterator[tuple[str, dict[str, Json]]]:
        """The candidates, each by its rung and its settings: of every rung the recipe's own, then others in turn."""
        varied = [name for name, space in self.spaces.items() if space]
        number = self.most or len(self.rungs) + DRAWN
        for place in range(number if varied else min(number, len(self.rungs))):
            if place < len(self.rungs):
                name = list(self.rungs)[place]
                yield name, search_space.own_values(self.spaces[name], self.rungs[name])
            else:
                name = varied[place % len(varied)]
                rng = seeds.generator(self.base.seed, place, 29)
                yield name, {path: values.draw(rng) for path, values in self.spaces[name].items()}

    def judge_by(self, rows: Rows) -> None:
        if "validation" not in rows.column("split"):
            raise DataError(NO_VALIDATION)
        imbalance.refuse_made(self.base)
        self.base = imbalance.settled(self.run, self.base, rows, self.options.screen.say)
        for name, own in self.rungs.items():
            self.rungs[name] = imbalance.settled(self.run, own, rows, lambda line: None)
        domain = self.base.domain.fit(rows.where("split", "train"))
        self.metric, self.figure = imbalance.headline(self.base, domain)
        self.higher = self.figure.higher_is_better is not False

    def told(self) -> Iterator[str]:
        yield from (f"rung {name} is not searched: {why}" for name, why in self.lacking.items())
        names = [name for name, _ in self.candidates]
        parts = ", ".join(f"{names.count(name)} of {name}" for name in self.rungs)
        first = f"; each of these first learns for {self.levels[0]:.3g} of its training" if len(self.levels) > 1 else ""
        yield f"searching among {len(names)} candidates: {parts}{first}"

    # which one is next

    def next(self) -> Trial | None:
        running = next((trial for trial in self.trials if trial.state == "running"), None)
        if running is not None:
            return running
        ranks.by_first(self._halve)
        self._agree()
        decided = json.loads(ranks.same_text(json.dumps(self._decide() if ranks.rank() == 0 else None)))
        if decided is None:
            return self._blend()
        number, goal, seconds = decided
        if number == len(self.trials):
            rung, values = self.candidates[number]
            self.trials.append(Trial(number, values, rung=rung))
        trial = self.trials[number]
        try:
            ranks.by_first(lambda: self._prepare(trial, goal, seconds))
        except PervadeError as error:
            self._fail(trial, error)
            self.conclude(trial, self.run.member(trial.name))
            return self.next()
        trial.state, trial.goal = "running", goal
        self.save()
        return trial

    def _blend(self) -> Trial | None:
        """The last candidate, which is made of the best ones; None where there is to be none, or was one."""
        if not self.blends or self.no_blend or any(trial.rung == BLEND for trial in self.trials):
            return None
        self.trials.append(Trial(len(self.trials), {}, rung=BLEND, goal=1.0))
        self.save()
        return self.trials[-1]

    def _decide(self) -> tuple[int, float, float | None] | None:
        """Number, the share that it is to come to, and the seconds for that; None where the search is over."""
        left = self.left
        if left is not None and left < ENOUGH * float(self.time_limit or 0.0) and self.trials:
            return None
        number = len(self.trials)
        if number < len(self.candidates):
            solved = self.is_solved(self.candidates[number][0])
            goal = 1.0 if solved else self.levels[0]
            return number, goal, left if solved else self._seconds(goal)
        for goal in self.levels:
            behind = next((t for t in self.trials if t.state == "paused" and t.share < goal), None)
            if behind is not None:
                return behind.number, goal, self._seconds(goal - behind.share)
        return None

    def _seconds(self, share: float) -> float | None:
        """What the time left gives to so much of a training."""
        return None if self.left is None else self.left * min(share / max(self._to_come(), 1e-9), 1.0)

    def _to_come(self) -> float:
        """Whole trainings, in parts, that are to come until one is through."""
        learning = self._learning()
        planned = sum(not self.is_solved(name) for name, _ in self.candidates)
        able = planned - sum(trial.state == "failed" for trial in learning)
        total = before = 0.0
        for level, share in enumerate(self.levels):
            number = min(max(planned >> level, 1), able) - sum(trial.share >= share for trial in learning)
            total += max(number, 0) * (share - before)
            before = share
        return total

    def _agree(self) -> None:
        """What the first rank halved, on every rank: others would look for checkpoints that it has just removed."""
        ended = [[trial.state, trial.reason] for trial in self.trials]
        standing = json.dumps([self.levels, len(self.candidates), ended])
        self.levels, number, ended = json.loads(ranks.same_text(standing))
        self.candidates = self.candidates[:number]
        for trial, (state, reason) in zip(self.trials, ended, strict=True):
            trial.state, trial.reason = state, reason

    def _learning(self) -> list[Trial]:
        return [trial for trial in self.trials if not self.is_solved(trial.rung)]

    def _halve(self) -> None:
        """Where all have come to a share of their training, the worse half is left there."""
        self._draw_no_more()
        learning = self._learning()
        if len(self.trials) < len(self.candidates):
            return
        for level, share in enumerate(self.levels[:-1]):
            alive = [trial for trial in learning if trial.state in ("paused", "complete")]
            if any(trial.share < share for trial in alive):
                return
            kept = self._ordered(alive)[: max(len(learning) >> (level + 1), 1)]
            for trial in alive:
                if trial not in kept and trial.state == "paused":
                    self._drop(trial, f"among the worse half after {share:.3g} of its training")

    def _draw_no_more(self) -> None:
        """Where the first one's share of a time limit is too little to learn from, all of the time is its own."""
        learning = self._learning()
        if self.time_limit is None or len(learning) != 1 or learning[0].state == "running":
            return
        came = max(figures(self.run.member(learning[0].name)), default=0.0)
        if came < LEAST_PASSES and len(self.levels) > 1:
            self.candidates, self.levels = self.candidates[: len(self.trials)], [1.0]
            self.options.screen.say(
                f"time limit: a share of it is {came:.2g} passes, from which nothing is learnt, so no others are tried"
            )

    def _drop(self, trial: Trial, reason: str) -> None:
        trial.state, trial.reason = "pruned", reason
        self.forget(trial)

    def _ordered(self, trials: Sequence[Trial]) -> list[Trial]:
        """The best first, by the validation rows that all of them were judged by; of equals the one begun first."""
        tables = self._tables(trials)
        sign = 1.0 if self.higher else -1.0
        reached = {trial.number: sign * self._figure(table) for trial, table in zip(trials, tables, strict=True)}
        return sorted(trials, key=lambda trial: (-_defined(reached[trial.number]), trial.number))

    def _figure(self, table: Table | None) -> float:
        return math.nan if table is None else float(self.figure.compute(table, np.ones(len(table["row"]))))

    def _tables(self, trials: Sequence[Trial]) -> list[Table | None]:
        """What each says of the rows that all were judged by; None of one that no pass was best of."""
        tables = [self._table(trial) for trial in trials]
        rows = [set(np.asarray(table["row"]).tolist()) for table in tables if table is not None]
        shared = list(set.intersection(*rows)) if rows else []
        return [None if table is None else only(table, np.isin(np.asarray(table["row"]), shared)) for table in tables]

    def _table(self, trial: Trial) -> Table | None:
        member = self.run.member(trial.name)
        if not member.checkpoints():
            return None
        path = member.predictions(member.require_checkpoint(None), checkpoint.UNDECIDED)
        return predictions.read_columns(path) if path.exists() else None

    def best(self) -> Trial | None:
        """Of those that are through, and of those still paused where time ended before. What was put together is better
        than these, or it would not have been."""
        able = self._able()
        blend = next((trial for trial in able if trial.rung == BLEND), None)
        return blend or next(iter(self._ordered(able)), None)

    def _able(self) -> list[Trial]:
        return [t for t in self.trials if t.state in ("complete", "paused") and t.value is not None]

    def _candidates(self) -> Candidates:
        """The best of each rung, to be put together."""
        validation = self.rows.where("split", "validation")
        best: dict[str, Trial] = {}
        for trial in self._ordered(self._able()):
            best.setdefault(trial.rung, trial)
        order = [best[name] for name in self.rungs if name in best]
        return Candidates(self.run, self.base, order, halves(validation, self.base.seed), set(validation.number))

    # one candidate

    def _prepare(self, trial: Trial, goal: float, seconds: float | None) -> None:
        """Its run, with the time that it would take as a whole at the pace that it is given now."""
        member = self.run.member(trial.name)
        if member.recipe.exists():
            own = checkpoint.read_recipe(member.recipe)
        else:
            own = self._recipe(trial)
        if seconds is not None:
            used = member.used() if member.recipe.exists() else 0.0
            whole = used + seconds * (1.0 - trial.share) / (goal - trial.share)
            own = replace(own, time_limit=max(round(whole, 3), 0.001))
        if not member.recipe.exists():
            workflow.write_data(member, self.request.source, self.rows)
            workflow.begin(member, own, self.request)
        elif seconds is not None:
            checkpoint.write_recipe(member.recipe, own)
            origin.write(member, own)

    def _recipe(self, trial: Trial) -> Recipe:
        own = self.rungs[trial.rung]
        frozen = [done for done in self.trials if done.rung == "frozen" and done.state == "complete"]
        if trial.rung == "trained" and frozen:
            own = rungs_module.from_frozen(own, self.run.member(self._ordered(frozen)[0].name))
        return search_space.with_values(own, trial.values)  # last: what is drawn holds, of the network too

    def carry_out(self, trial: Trial, rows: Rows) -> None:
        if trial.rung == BLEND:
            self._put_together(trial, rows)
            return
        member, began = self.run.member(trial.name), time.monotonic()
        own = checkpoint.read_recipe(member.recipe)
        alike, whole = own.domain == self.base.domain, trial.goal == 1.0
        beside = any(done.state == "complete" for done in self.trials)
        options = replace(self.options, began=began, finish=False, keep_validation=True)
        options = replace(options, least_passes=LEAST_PASSES if beside and self.is_solved(trial.rung) else 0.0)
        options = replace(options, pause_at=None if whole else trial.goal)
        if whole and self.blends and not self.is_solved(trial.rung):
            splits = list(rows.column("split"))  # of which a blend predicts once more those that are looked at
            options = replace(options, rows_after=splits.count("validation") + splits.count(members.final_split(rows)))
        try:
            workflow.train(member, self.request, None, options, rows if alike else None)
            judge_by_all(member, rows, alike)
            trial.state, trial.share = "complete", 1.0
        except Paused:
            trial.state, trial.share = "paused", trial.goal
        except PervadeError as error:
            self._fail(trial, error)
        finally:
            trial.seconds = round(trial.seconds + time.monotonic() - began, 3)
        self.conclude(trial, member)

    def _put_together(self, trial: Trial, rows: Rows) -> None:
        """The best of each rung as one network, where it is better than the best of them; else it is said why not."""
        member, began = self.run.member(trial.name), time.monotonic()

        def begin() -> None:
            if not member.recipe.exists():
                own = self._candidates().together(self.base)
                workflow.write_data(member, self.request.source, rows)
                workflow.begin(member, own, self.request)

        def make() -> bool:
            ranks.by_first(begin)
            options = replace(self.options, began=began, finish=False, keep_validation=True)
            workflow.train(member, replace(self.request, find_lr=False), None, options)
            judge_by_all(member, rows, False)
            ranks.by_first(lambda: self._judge_blend(member))
            return True

        limit, until = self.time_limit, None
        if limit is not None and ranks.world() == 1:
            until = began + BLENDING * (limit - self.used)
        try:
            if deadline.done_by(until, make) is None:
                raise TrainingError("the time that is left does not suffice to put what was found together")
            trial.state, trial.share = "complete", 1.0
        except PervadeError as error:
            if ends_all(error):
                raise
            self.no_blend = str(error)
            self.trials.remove(trial)
            if ranks.rank() == 0:
                shutil.rmtree(member.path, ignore_errors=True)
            self.save()
            self.options.screen.say(f"no blend: {error}")
            return
        trial.seconds = round(trial.seconds + time.monotonic() - began, 3)
        self.conclude(trial, member)

    def _judge_blend(self, member: RunDirectory) -> None:
        self._candidates().judge_blend(member)

    def price_ending(self, trial: Trial, rows: Rows) -> None:
        if trial.rung != BLEND:  # after which nothing else has to fit
            super().price_ending(trial, rows)

    def _fail(self, trial: Trial, error: PervadeError) -> None:
        if ends_all(error):
            raise error  # which is no fault of the candidate
        trial.state, trial.reason = "failed", str(error)

    def conclude(self, trial: Trial, member: RunDirectory) -> None:
        trial.passes = self.passes(member)
        figure = self._figure(self._table(trial))
        trial.value = None if math.isnan(figure) else figure
        self.save()
        value = "" if trial.value is None else f", {self.figure.words.inside} {self.figure.words.written(trial.value)}"
        came = f"{trial.share:.0%} of its training" if trial.state == "paused" else trial.state
        why = f" ({trial.reason})" if trial.reason else ""
        self.options.screen.say(f"{trial.name}, {trial.rung}: {came}{value}{why}")


def shares(number: int) -> list[float]:
    """Of a training, to which so many candidates come, then half of them, and so on until one is through."""
    halvings = min(max(number, 1).bit_length() - 1, HALVINGS)
    return [2.0 ** (level - halvings) for level in range(halvings + 1)]


def _defined(figure: float) -> float:
    return -math.inf if math.isnan(figure) else figure
