"""Whether weights are taken for rare classes where they are found at once (`--imbalance auto`): heads are fitted with
and without them, to all but a fold of the rows that train and validate, and answer that fold. Features are computed
once, for all folds.

Both are asked to answer so that each class counts the same. Weights are taken where they are shown to be better at
that, and not shown to be worse in log-loss or calibration. Of fewer than ten groups, whose spread can hardly show
anything, rows are resampled: whichever is taken, its probabilities are as good.
The likeliest class is answered only where that is shown to be better, by whole groups: it is what is not to be expected
where probabilities are right.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import torch
from torch.nn import Module

from pervade.core import deadline, runtime
from pervade.core.contracts import Context, Domain, Recipe
from pervade.core.run import RunDirectory
from pervade.core.types import Batch, Rows, Table
from pervade.core.words import percent
from pervade.data import linear
from pervade.data.linear import FEW
from pervade.data.rows import folds
from pervade.engine import predictions, ranks
from pervade.engine.batches import to_device
from pervade.metrics.estimate import FEW_GROUPS
from pervade.metrics.paired import Difference, differences
from pervade.nn.backbone import LinearAtTheEnd
from pervade.nn.modes import evaluating
from pervade.run import overview
from pervade.run.progress import Silent
from pervade.run.training import Options, Training
from pervade.tasks.classify import Classify
from pervade.train.optim.linear_solver import LinearSolver, seen

FOLDS = 5
FEWER = 3  # of more rows than a penalty is chosen by five folds for (data/linear.py)
MOST = 100_000  # rows
SHARE = 0.1  # of the time that a limit leaves: what all of it may take
EVERY = 3  # of the penalties one in so many is tried
UNLIKELY = -50.0  # what a class is given, at least, that a fold has none of to learn from
FIGURE = "balanced_accuracy"
HONEST = ("log_loss", "ece")  # in which weights must not be shown to be worse


@dataclass(frozen=True)
class Tried:
    """Both ways, by rows that were held out in turn."""

    gained: Mapping[str, Difference]  # by weights, each class counting the same in answers
    answered: Mapping[str, Difference]  # FIGURE of balanced answers less that of the likeliest, "none" and "balanced"
    num_rows: int
    num_folds: int

    @property
    def weights(self) -> Literal["none", "balanced"]:
        """The way that is taken (`Classify.class_weights`)."""
        gain = self.gained[FIGURE]
        return "balanced" if gain.shown and gain.difference > 0 and not self._worse else "none"

    @property
    def answers(self) -> Literal["likeliest", "balanced"]:
        apart = self.answered[self.weights]
        return "likeliest" if apart.shown and apart.difference < 0 else "balanced"

    @property
    def _worse(self) -> list[str]:
        """In what weights are shown to be worse."""
        return [name for name in HONEST if self.gained[name].shown and self.gained[name].difference > 0]

    def __str__(self) -> str:
        gain, answers = self.gained[FIGURE], self.answered[self.weights]
        between = "" if math.isnan(gain.low) else f", {100 * gain.low:+.1f} to {100 * gain.high:+.1f}"
        shown = "beyond chance" if gain.shown else "not shown to be more than chance"
        worse = f"; {' and '.join(self._worse).replace('_', '-')} worse" if self._worse else ""
        likeliest, other = percent(answers.first), percent(answers.second)
        said = f"answers that count each class the same are, {other} against {likeliest} by the likeliest class"
        if self.answers == "likeliest":
            said = f"the likeliest class is answered, {likeliest} against {other}"
        elif answers.difference < 0:
            said += ", which is not shown to be better"
        return (
            f"rare classes: of {self.num_rows:,} rows, each answered by one of {self.num_folds} models without it, "
            f"{percent(gain.first)} are right without weights and {percent(gain.second)} with them, where each class "
            f"counts the same ({100 * gain.difference:+.1f} points{between}: {shown}{worse}); weights are "
            f"{'taken' if self.weights == 'balanced' else 'not taken'}; {said}"
        )


def settled(
    run: RunDirectory, recipe: Recipe, domain: Domain, rows: Rows, device: torch.device, options: Options
) -> Recipe:
    """The recipe with what is taken, which is said and kept; as it is where nothing is open, or no room to try."""
    task = recipe.task
    to_decide = None if recipe.imbalance is None else recipe.imbalance.open_weights()
    if to_decide is None:
        return recipe
    if not (isinstance(task, Classify) and isinstance(recipe.optimizer, LinearSolver)) or task.taught():
        return recipe
    rows = rows.select([i for i, split in enumerate(rows.column("split")) if split in ("train", "validation")])
    number = np.array(folds.deal(rows, range(len(rows)), FOLDS if len(rows) <= FEW else FEWER, recipe.seed))
    began = time.monotonic() if options.began is None else options.began
    why, tried = "", None
    if len(rows) > MOST:
        why = f"there are more than {MOST:,} rows"
    elif ranks.world() > 1:
        why = "several processes learn together"
    elif len(np.unique(number)) < 2:
        why = "the rows cannot be divided"
    else:
        pooled = rows.with_columns(split=["train"] * len(rows))
        quiet = replace(options, screen=Silent(), tensorboard=False)
        trial = Training(run, recipe, domain, pooled, device, quiet)
        trial.rehearse()
        recipe = replace(recipe, threads=trial.recipe.threads)
        now, limit = time.monotonic(), recipe.time_limit
        until = None if limit is None else now + SHARE * (began + limit - now)
        with runtime.threads(recipe.threads), options.screen.bar("trying weights") as bar:
            tried = deadline.done_by(until, lambda: compare(trial, pooled, number, bar))
        why = "" if tried is not None else "there is no time for it"
    if tried is None:
        told = f"rare classes: weights are not tried, since {why}; --imbalance weights takes them"
    else:
        told = str(tried) + "".join(
            f"; what is answered {promise.asked} decides, where it can be kept"
            for promise in recipe.promises
            if "prediction" in promise.changes
        )
        recipe = to_decide.tried(recipe, tried.weights, tried.answers)
    options.screen.say(told)
    if ranks.rank() == 0:
        overview.keep(run, [told])
    return recipe


def compare(trial: Training, rows: Rows, fold: np.ndarray, progress: Any) -> Tried:
    """`rows` (n) all train in the `trial`; `fold` (n,) says which hold each out."""
    task, domain = cast(Classify, trial.recipe.task), trial.domain
    with evaluating(trial.network):
        pieces = [to_device(piece, trial.learner.device) for batch in trial.source for piece in batch["pieces"]]
        features, known = seen(cast(LinearAtTheEnd, trial.network), pieces)
    of_row = dict(zip(rows.number, fold.tolist(), strict=True))
    place = np.array([of_row[row] for row in known["row"].tolist()])
    strengths = cast(LinearSolver, trial.recipe.optimizer).strengths
    strengths = strengths[EVERY - 1 :: EVERY] or strengths
    metrics = {name: metric for name, metric in task.metrics(domain).items() if name in (FIGURE, *HONEST)}
    ways: tuple[Literal["none", "balanced"], ...] = ("none", "balanced")
    balanced: list[Table] = []
    answered: dict[str, Difference] = {}
    for turn, name in enumerate(ways):
        progress(turn, 2)
        own = replace(task, class_weights=name)
        # Either may be what suits sparse features (data/linear.py).
        heads = itertools.product(strengths, (False,) if isinstance(features, np.ndarray) else (False, True))
        tried = [_held_out(own, domain, features, known, place, *head) for head in heads]
        held = min(tried, key=lambda batch: _loss(own, domain, batch))
        undecided = _answered(own, domain, held, rows, None)
        decision = own.decide({key: np.asarray(values) for key, values in undecided.items()}, domain)
        both = [_answered(own, domain, held, rows, {**decision, "answers": way}) for way in ("likeliest", "balanced")]
        answered[name] = differences({FIGURE: metrics[FIGURE]}, both)[0][FIGURE]
        balanced.append(both[1])
    if len(np.unique(balanced[0]["group"])) < FEW_GROUPS:
        balanced = [{**table, "group": np.arange(len(rows))} for table in balanced]
    return Tried(differences(metrics, balanced)[0], answered, len(rows), len(np.unique(fold)))


def _held_out(
    task: Classify,
    domain: Domain,
    features: Any,
    known: Mapping[str, np.ndarray],
    fold: np.ndarray,
    strength: float,
    weighed: bool,
) -> Batch:
    """What is known of the rows, with the "logits" of each by a head that did not see its fold."""
    number, target = task.outputs(domain)["logits"], known["target"]
    companions = task.companions(Module(), domain)
    weights = None if companions is None else companions.get_buffer("class_weights").double().numpy()[target]
    logits = np.zeros((len(fold), number))
    for own in np.unique(fold):
        inside, outside = np.flatnonzero(fold != own), np.flatnonzero(fold == own)
        of_rows = None if weights is None else weights[inside]
        head = linear.classes(
            features[inside], target[inside], number, (strength,), known["row"][inside], weighed, weights=of_rows
        )
        logits[outside] = head(features[outside])
    held = {name: torch.from_numpy(values) for name, values in known.items()}
    return {**held, "logits": torch.from_numpy(logits).clamp(min=UNLIKELY)}


def _loss(task: Classify, domain: Domain, held: Batch) -> float:
    """By which the penalty of a head is chosen: that of rows as they weigh in training (data/linear.py)."""
    companions = task.companions(Module(), domain)
    buffers = dict(companions.named_buffers()) if companions is not None else {}
    return float(task.loss({"logits": held["logits"], **buffers}, held)["loss"].sum())


def _answered(task: Classify, domain: Domain, held: Batch, rows: Rows, decision: Mapping[str, Any] | None) -> Table:
    context = Context(domain, decision=decision or {}, decided=decision is not None)
    table = task.predictions({"logits": held["logits"]}, held, context)
    return predictions.complete(task.reduce(predictions.concatenate([table]), domain), rows)
