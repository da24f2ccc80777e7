"""Keeps one training to its `--time-limit`, with the evaluation and the report that follow inside it.

`Pace` (run/pacing.py) decides; here its prices are measured: predicting a few rows before the first step, every
validation, every checkpoint, and the bootstrap behind the final figures on a file of the final size. What was decided
stands in log.jsonl ("plan": step, total_steps), and a resumed run repeats it step for step before it decides anew.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from torch.nn import Module

from pervade.core import deadline
from pervade.core.contracts import Context, Domain, Recipe
from pervade.core.contracts.abilities import HasPlainModel, JudgesAll, MakesSamples, RepliesToRows
from pervade.core.types import Rows, Table
from pervade.engine import predictions, ranks
from pervade.engine.predictor import Predictor, undisturbed
from pervade.metrics.estimate import estimate
from pervade.run.pacing import Pace
from pervade.run.progress import duration

FIRST = 1  # of the rows below
TIMES = 4  # as many are the next ones
EIGHTH = 8  # of the training rows, by which the simplest model is priced
REHEARSING = 0.04  # of the limit, beyond which no more rows are predicted for their price,
MOST_REHEARSING = 0.08  # and beyond which nothing is priced any more
EVALUATING = 0.25  # of the time that is left before the first step, at most, for the final evaluation
JUDGING = 0.1  # of a pass, for the validation after it,
MOST_JUDGING = 0.03  # and of the limit
FEWEST_JUDGED = 100  # rows, or what this much of the limit suffices for:
DEAR_JUDGING = 0.1
FIRST_MODEL = 0.1  # of the passes there is time for, by which the first model stands
USEFUL = 0.1  # of the passes asked for: with fewer a training is hardly one
REHEARSED = 64  # rows predicted before the first step, to know what predicting costs
AFTERWARDS = 0.5  # seconds for the report and for leaving the process, on a small processor,
REPORTING = 0.4  # and so much of what loading the libraries took, which tells how fast the machine is just now
BESIDE = 3  # times the resampling of the figures: the simplest model's, and both again for how far they are apart
RESAMPLES = 1000  # of the final figures (metrics/estimate.py)


class TimeLimit:
    """`after`: seconds for what follows the final evaluation, which is to fit as well; None where neither follows.

    Time counts from the start of the run, over all sittings.
    """

    def __init__(
        self,
        recipe: Recipe,
        domain: Domain,
        rows: Rows,
        per_pass: int,
        after: float | None,
        members: Mapping[str, Any] | None = None,  # as of `Context`
    ) -> None:
        self.recipe, self.domain, self.after, self.members = recipe, domain, after, members or {}
        self.pace = Pace(float(recipe.time_limit or 0), recipe.epochs * per_pass, per_pass, recipe.early_stopping.every)
        self.most = EVALUATING * self.pace.limit
        self.known: dict[int, int | None] = {}  # step to planned steps, as logged before a kill
        splits = list(rows.column("split")) if "split" in rows else []
        final = "test" if "test" in splits else "validation"
        self.final = rows.where("split", final) if splits else rows.select([])
        self.num_validation = splits.count("validation")
        known = "validation" if self.num_validation else "train"
        self.known_rows = rows.where("split", known) if splits else rows.select([])
        self.train = rows.where("split", "train") if splits else rows
        self.row_time = self.final_row_time = self.figures = self.saving = self.step_time = 0.0
        self.together = 0.0  # seconds of judging all rows together (`JudgesAll`), however few they are
        self.rows_after = 0  # rows that are predicted when the training is over, beside the final split
        self.priced = False  # whether rows were predicted for their price

    def rehearse(self, network: Module) -> None:
        """Prices predicting and the figures on a few rows of the validation split, or else of the training split: a row
        costs the same in any, and the test split is looked at once. Nothing is kept."""
        if len(self.known_rows) and len(self.final):
            with undisturbed(network):
                spent = self._cut(partial(self._look, network)) if isinstance(self.recipe.task, JudgesAll) else 0.0
                if not spent:
                    spent = self._cut(partial(self._rehearse, network))
                    if spent and not self.priced:  # it was for the rows: one of them may take this long
                        self.row_time = self.final_row_time = spent
            self.figures = max(self.figures, spent)
        self._price()

    def _cut(self, price: Callable[[], bool]) -> float:
        """0 where it was done in its share of the limit; else how long it takes at least."""
        begun = time.monotonic()
        # Several ranks need one another in the network, so none leaves the others there.
        until = begun + MOST_REHEARSING * self.pace.limit if ranks.world() == 1 else None
        return 0.0 if deadline.done_by(until, price) else time.monotonic() - begun

    def _look(self, network: Module) -> bool:
        """Prices what judging costs beside the rows: of the second time, for the training split is looked at once."""
        for _ in range(2):
            start = time.monotonic()
            self._predicted(network, self.known_rows.select(range(FIRST)))
            self.together = time.monotonic() - start
        return True

    def _predicted(self, network: Module, rows: Rows) -> Table:
        asked: Any = {"workers": self.recipe.workers, "members": self.members, "train": self.train}
        return Predictor(network, self.domain, self.recipe.task, **asked).table(rows)

    def _rehearse(self, network: Module) -> bool:
        counted = FIRST if self.together else 0  # rows that stand in that price already
        number = TIMES * FIRST if self.together else FIRST
        while True:
            some = self.known_rows.select(range(min(number, len(self.known_rows))))
            start = time.monotonic()
            table = self._predicted(network, some)
            now = time.monotonic()
            taken = max(now - start - self.together, 0.0) / max(len(some) - counted, 1)
            unit_time = taken / _mean_size(some)  # long rows cost more than short ones
            self.row_time = unit_time * _mean_size(self.known_rows)
            self.final_row_time = unit_time * _mean_size(self.final)
            # The first row warms caches, and rows one by one cost more than in batches; but many are not looked at for
            # the price alone.
            warm, number = len(some) > FIRST, min(REHEARSED, TIMES * len(some))
            dear = (
                self.together + number * self.row_time > (REHEARSING if warm else MOST_REHEARSING / 2) * self.pace.limit
            )
            if ranks.first(dear) or len(some) in (REHEARSED, len(self.known_rows)):
                break
        self.priced = True
        if "length" in table:  # episodes, which may become many times as long once they are played well
            self.step_time = self.row_time / max(float(np.mean(table["length"])), 1.0)
        if self.after is not None:
            self.figures = self._price_figures(table)
            self.figures += self._price_beside(network, table, some)
        return True

    def _price_beside(self, network: Module, table: Mapping[str, Any], some: Rows) -> float:
        """Seconds of what stands beside the figures: what the model makes by itself, and the simplest model, whose
        figures, and how far both are apart, are bootstrapped as well."""
        task, context, start = self.recipe.task, Context(self.domain, members=self.members), time.monotonic()
        if isinstance(task, MakesSamples):
            task.made(network, self.train, context)
        if isinstance(task, RepliesToRows):
            task.replies(network, some, self.train, context)
        made = time.monotonic() - start
        for part in (self.train.select(range(0, len(self.train), step)) for step in (EIGHTH**2, EIGHTH)):
            start = time.monotonic()  # anew: the first has to load what makes it
            features = self.domain.plain_features(part, some)
            if features is None or not isinstance(task, HasPlainModel):
                return made
            if task.plain(features, part, table, self.domain) is None:
                return made
        return made + EIGHTH * (time.monotonic() - start) + BESIDE * self.figures

    def _price_figures(self, table: Mapping[str, Any]) -> float:
        """Seconds of bootstrapping every metric of a predictions file as large as the final one."""
        n = len(self.final)
        order = np.arange(n) % len(table["row"])
        columns: dict[str, Any] = {
            name: [values[i] for i in order] if isinstance(values, list) else values[order]
            for name, values in table.items()
        }
        columns = {
            **columns,
            "row": np.arange(n),
            "group": predictions.groups(self.final),
            "id": [str(i) for i in range(n)],
        }
        metrics = dict(self.recipe.task.metrics(self.domain))
        times = []
        for resamples in (2, 12):
            start = time.monotonic()
            estimate(metrics, columns, resamples=resamples)
            times.append(time.monotonic() - start)
        return times[0] + max(times[1] - times[0], 0.0) / 10 * RESAMPLES

    def leave(self, left: float) -> None:
        """Before the first step `left` seconds are there: what the final evaluation may take of them."""
        self.most = EVALUATING * max(left - (self.after or 0.0), 0.0)
        self._price()

    def judge_sooner(self, fits: float) -> int:
        """Passes between two judgements: as asked, or fewer where not all passes fit, so that a model stands early."""
        pace = self.pace
        if fits * pace.per_pass < pace.asked:
            pace.every = max(min(pace.every, int(FIRST_MODEL * fits)), 1)
        return pace.every

    def thinned(self, step_time: float) -> int:
        """How many rows of the validation split are judged after a pass: all where the time suffices for everything
        that was asked, else what takes a tenth of a pass, but not so few that a choice by them is luck."""
        pace = self.pace
        whole = pace.asked * (step_time + pace.judging / (pace.per_pass * pace.every)) + pace.ending
        if not self.num_validation or not step_time or whole < pace.limit:
            return self.num_validation
        worth = JUDGING * pace.per_pass * pace.every * step_time
        number = int(min(worth, MOST_JUDGING * pace.limit) / max(self.row_time, 1e-9))
        fewest = min(FEWEST_JUDGED, int(DEAR_JUDGING * pace.limit / max(self.row_time, 1e-9)))
        self.num_validation = min(max(number, fewest, 1), self.num_validation)
        self._price()
        return self.num_validation

    def told(self, step_time: float, used: float, freezable: bool = False) -> str | None:
        """Where the time hardly suffices for a useful training: how much of it fits, and which limit would do."""
        pace, passes, fits = self.pace, self.pace.asked / self.pace.per_pass, self.fits(step_time, used)
        if fits >= passes or fits >= max(USEFUL * passes, 1.0):
            return None
        needed = used + pace.asked * self._judged_step(step_time) + pace.judging + pace.ending
        minutes = math.ceil(1.1 * needed / 60)
        enough = f"{minutes}m" if minutes < 120 else f"{math.ceil(minutes / 60)}h"
        freeze = ", or --freeze" if freezable else ""
        return (
            f"time limit: {duration(pace.limit)} is too short for this training here: about {fits:.2g} of {passes:g} "
            f"passes fit; --time-limit {enough} would do for all of them, or take a smaller --model{freeze}"
        )

    def fits(self, step_time: float, used: float) -> float:
        """The passes for which there is time, of those asked."""
        pace, judged_step = self.pace, self._judged_step(step_time)
        passes = pace.asked / pace.per_pass
        left = max(pace.limit - used - pace.ending - pace.judging, 0.0)
        return min(left / judged_step / pace.per_pass, passes) if judged_step else passes

    def _judged_step(self, step_time: float) -> float:
        """Seconds of a step, with its share of the validation after a pass."""
        return step_time + self.pace.judging / (self.pace.per_pass * self.pace.every)

    def note_validation(self, rows: int, seconds: float, whole: bool) -> None:
        """`whole`: by the path that the final evaluation takes, not from features computed before."""
        self.row_time = max(seconds - self.together, 0.0) / max(rows, 1)
        if whole:
            self.final_row_time = self.row_time
        self._price()

    def note_length(self, steps: float) -> None:
        """How long an episode is by now: its price in the final evaluation."""
        if self.step_time:
            self.final_row_time = max(self.step_time * steps, self.final_row_time)
            self._price()

    def note_saving(self, seconds: float) -> None:
        self.saving = seconds
        self._price()

    def _price(self) -> None:
        together = self.together if self.num_validation else 0.0
        self.pace.judging = together + self.num_validation * self.row_time + self.saving
        self.pace.ending = self.saving + self.rows_after * self.final_row_time
        if self.after is not None:
            # No more than it is worth: beyond this the evaluation measures fewer rows, and says so.
            predicting = self.together + len(self.final) * self.final_row_time / ranks.world()
            evaluation = min(predicting + self.figures, self.most)
            self.pace.ending += evaluation + self.saving + self.after

    def after_step(self, step: int, now: float, total: int) -> int | None:
        """The new number of steps in all, None to leave it: the first rank's decision, on every rank."""
        new: int | None = None
        if ranks.rank() == 0:
            self.pace.note_step(step, now)
            if step in self.known:
                new = self.known[step]
            elif step > max(self.known, default=-1):
                new = self.pace.plan(step, now, total)
        number = int(ranks.first(-1 if new is None else new))
        return None if number < 0 else number


def spread(rows: Rows, number: int) -> Rows:
    """So many of the rows, drawn by chance, always the same ones."""
    return rows.select(sorted(np.random.default_rng(0).permutation(len(rows))[:number].tolist()))


def _mean_size(rows: Rows) -> float:
    """Of the rows, where they say it: samples, characters, bytes; else 1."""
    return max(float(np.mean(rows.column("size"))), 1.0) if "size" in rows and len(rows) else 1.0
