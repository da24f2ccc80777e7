"""Several complete runs inside a run, of which one is to be delivered: which one is best by the rows that judge them,
and what they say together, as one network more (models/blend.py). Who trains them is run/ladder.py or run/halving.py.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from pervade.core.contracts import Domain, Recipe
from pervade.core.errors import TrainingError
from pervade.core.run import RunDirectory
from pervade.core.types import Table
from pervade.core.words import counted
from pervade.data.rows.sources.whole import Whole
from pervade.domains.composite import Composite
from pervade.engine import checkpoint, predictions
from pervade.init.members import Members
from pervade.metrics.estimate import Metric, too_few_groups
from pervade.models.blend import Blend
from pervade.run import blending, cross_validation, imbalance
from pervade.run.settling import only

BLEND = "blend"  # what the one is called, as a rung, that the others make together


class Candidate(Protocol):
    @property
    def name(self) -> str:
        """Of its run, a member's."""

    @property
    def rung(self) -> str:
        """How it learns (run/rungs.py)."""

    @property
    def folds(self) -> int:
        """By whose trainings it was judged; 0: by the validation split."""


Some = TypeVar("Some", bound=Candidate)


@dataclass(frozen=True)
class Candidates:
    run: RunDirectory
    recipe: Recipe  # what is asked of all of them
    done: Sequence[Candidate]  # those that have a checkpoint
    half_of: Mapping[int, int] = field(default_factory=dict)  # 0 or 1, of rows by their numbers (run/settling.py)
    settling: Collection[int] = ()  # rows of the validation split

    def member(self, candidate: Candidate) -> RunDirectory:
        return self.run.member(candidate.name)

    def domain(self) -> Domain:
        """As it was fitted; whoever's, since all have the same rows and labels."""
        return checkpoint.read_domain(self.member(self.done[0]).preprocess)

    def headline(self) -> tuple[str, Metric]:
        return imbalance.headline(self.recipe, self.domain())

    def tables(self, some: Sequence[Candidate], without: int | None = None, delivered: bool = False) -> list[Table]:
        """What each says of the rows that all were judged by, `without` one half of the validation split, before any
        decision; `delivered`: of the validation rows, by the very model that would be delivered."""
        paths = []
        for one in some:
            member, chosen = self.member(one), self.member(one).require_checkpoint(None)
            folded = member.predictions(chosen, cross_validation.OUT_OF_FOLD)
            whole = member.predictions(chosen, checkpoint.UNDECIDED)
            paths.append(folded if one.folds and not delivered else whole)
        tables = [predictions.read_columns(path) for path in paths]
        shared = set.intersection(*(set(np.asarray(table["row"]).tolist()) for table in tables))
        shared -= {row for row in self.settling if without is not None and self.half_of[row] == without}
        return [only(table, np.isin(np.asarray(table["row"]), list(shared))) for table in tables]

    def decision(self, one: Candidate, half: int | None = None) -> dict[str, Any]:
        """What is settled for it, or what one half of the validation rows settles for it; where that is too small,
        all."""
        member = self.member(one)
        decision = member.of_checkpoint(member.require_checkpoint(None), "decision.json")
        decision.pop("format", None)
        if half is None:
            return decision
        (table,) = self.tables([one], delivered=True)
        task = checkpoint.read_recipe(member.recipe).task  # whose targets may be smoothed, and another one's not
        rows = np.array([self.half_of[row] for row in np.asarray(table["row"]).tolist()])
        own = dict(task.decide(only(table, rows == half), self.domain()))
        return own if own.keys() == decision.keys() else decision

    def best(self, some: Sequence[Some], without: int | None = None) -> Some:
        """The one with the best headline figure, `without` one half of the rows where that is given; of equals the
        first. One that few validation rows alone judge, while others were cross-validated, has to be shown to be better
        than these. A blend is taken unless it loses, as it does not by all rows (`together`)."""
        _, metric = self.headline()
        sign = -1.0 if metric.higher_is_better is False else 1.0
        sure = [one for one in some if one.folds] or list(some)
        alone = [one for one in sure if one.rung != BLEND] or sure

        def figure(table: Table) -> float:
            value = sign * float(metric.compute(table, np.ones(len(table["row"]))))
            return -math.inf if math.isnan(value) else value

        best = alone[int(np.argmax([figure(table) for table in self.tables(alone, without)]))]
        for one in (one for one in some if one not in alone):
            _, table = tables = self.tables([best, one], without)
            if one not in sure:
                better = blending.shown(metric, *tables) > 0
            else:
                better = without is None or not self.loses(table, best)
            best = one if better else best
        return best

    # what they say together

    def together(self, recipe: Recipe) -> Recipe:
        """Those that count in a blend, as one network that learns nothing more. Raises TrainingError where one alone
        counts, or the blend is no better than the best of them, or nothing tells."""
        if len(self.done) < 2:
            raise TrainingError("there are no two rungs to put together")
        task: Any = recipe.task
        tables, domain = self.tables(self.done), self.domain()
        groups = len(np.unique(tables[0]["group"]))
        if too_few_groups(groups, len(tables[0]["row"])):
            raise TrainingError(f"validation rows of {counted(groups, 'group')} do not tell how much each is to count")
        scales = [task.output_scale(self.decision(one)) for one in self.done]
        weights = blending.weights(task, tables, scales, domain)
        counting = {one.name: weight for one, weight in zip(self.done, weights, strict=True) if weight}
        if len(counting) < 2:
            raise TrainingError(f"beside {next(iter(counting))} no rung would count as much as a tenth")
        best = self.best(self.done)
        if self.loses(self.crossed(), best):
            raise TrainingError(f"the rungs together are no better than {best.name} alone")
        runs = {name: self.run.member(name) for name in counting}
        for name, member in runs.items():
            if member.of_checkpoint(member.require_checkpoint(None), "architecture.json").get("changes"):
                raise TrainingError(f"{name} has adapters beside its weights, which a blend cannot hold yet")
        models = {name: checkpoint.read_recipe(member.recipe).model for name, member in runs.items()}
        fitted = {name: checkpoint.read_domain(member.preprocess) for name, member in runs.items()}
        return replace(
            recipe,
            task=blending.asked(task),
            domain=Composite(fitted),
            model=Blend(models, counting),
            init=Members({name: str(member.path.absolute()) for name, member in runs.items()}),
            source=Whole(),
            tuning=None,
            augment=(),
            micro_batch=None,
            average=None,
            epochs=0,
        )

    def crossed(self, some: Sequence[Candidate] | None = None, delivered: bool = False) -> Table:
        """What they (or `some`) say together: of each half of the rows by weights, and scales, that the other half
        found. Of the rows that judge them, or of the validation split by what is `delivered`."""
        some = self.done if some is None else some
        task: Any = self.recipe.task
        scales = [[task.output_scale(self.decision(one, half)) for one in some] for half in (0, 1)]
        answered = self.tables(some, delivered=True) if delivered else None
        return blending.crossed(task, self.tables(some), scales, self.half_of, self.domain(), answered)

    def loses(self, together: Table, best: Candidate) -> bool:
        """Whether a blend, of which these are the answers, is no better than the best one alone."""
        task: Any = self.recipe.task
        return blending.loses(task, self.headline()[1], together, self.crossed([best]))

    def judge_blend(self, member: RunDirectory) -> int:
        """Judges the run that they make together by what blends say whose weights the row itself did not help to find.
        Returns by how many folds."""
        chosen = member.require_checkpoint(None)
        crossed, about = self.crossed(delivered=True), {"checkpoint": chosen, "precision": "fp32"}
        predictions.write_columns(member.predictions(chosen, checkpoint.UNDECIDED), crossed, about)
        checkpoint.settle(member, chosen, blending.asked(self.recipe.task).decide(crossed, self.domain()))
        if not all(one.folds for one in self.done):
            return 0
        predictions.write_columns(member.predictions(chosen, cross_validation.OUT_OF_FOLD), self.crossed(), about)
        return cross_validation.FOLDS
