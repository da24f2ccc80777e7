"""What a rung of a ladder says of rows that it did not learn from: those that validate, or, where rows are few and one
small validation split would choose by luck, each row in turn. What is delivered is trained as ever; here it is trained
anew without each fold of the rows that train and validate, and answers that fold.

    members/<rung>/members/fold-1 …                        each a run, until the ladder has chosen
    members/<rung>/predictions/<checkpoint>@out-of-fold.parquet
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pervade.core import runtime
from pervade.core.contracts import Recipe
from pervade.core.contracts.capabilities import labels_of
from pervade.core.errors import DataError, TrainingError
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.data.rows import folds
from pervade.engine import checkpoint, predictions, ranks
from pervade.engine.predictor import Predictor
from pervade.init.pretrained import Pretrained
from pervade.run import workflow
from pervade.run.progress import Silent
from pervade.run.training import Options

FEW = 500  # rows that train and validate, below which rungs are chosen so
FOLDS = 5
SHARE = 0.25  # of the time that a limit leaves: what all folds of a rung may take
OUT_OF_FOLD = "out-of-fold"


def are_few(rows: Rows) -> bool:
    return sum(split in ("train", "validation") for split in rows.column("split")) < FEW


def divide(rows: Rows, seed: int) -> Rows:
    """The rows that train and validate in folds, groups whole, each class in as many as it can be. Raises DataError
    where they are too few, or a class stands in one fold alone."""
    divided, left_out = folds.assign(rows, FOLDS, seed)
    if left_out:
        raise DataError(f"{left_out[0].source} cannot be in one fold: {left_out[0].reason}")
    return divided


def answer(
    member: RunDirectory, divided: Rows, request: workflow.Request, options: Options, limit: float | None
) -> None:
    """Writes what the trainings without each fold say of it, before any decision; `limit` is the seconds of each.
    Raises DataError where a fold knows other classes, TrainingError where one cannot be trained."""
    own, tables = checkpoint.read_recipe(member.recipe), []
    labels = labels_of(checkpoint.read_domain(member.preprocess))
    with options.screen.bar("cross-validating") as bar:
        for number in range(1, FOLDS + 1):
            bar(number - 1, FOLDS)
            fold = member.member(f"fold-{number}")
            if not fold.recipe.exists():
                # Of one pass none is chosen, so that all other rows train.
                validation = own.validation if own.epochs > 1 else 0.0
                workflow.write_data(fold, request.source, folds.member(divided, number, validation, own.seed))
                workflow.begin(fold, _without(own, member, number, limit), request)
            workflow.train(fold, request, None, replace(options, screen=Silent(), began=None, loaded=0.0, finish=False))
            loaded = checkpoint.load_checkpoint(fold, fold.require_checkpoint(None))
            loaded.network.to(runtime.pick_device(own.device))
            if labels_of(loaded.domain) != labels:
                raise DataError(f"fold {number} has not every class to learn from")
            held = workflow.load_rows(fold, loaded.domain).where("split", "test")
            with runtime.threads(own.threads):
                tables.append(Predictor(loaded.network, loaded.domain, loaded.task).table(held))
    chosen, rows = member.require_checkpoint(None), divided.where("split", "test")
    table = predictions.complete(predictions.concatenate(tables), rows)
    about = {"checkpoint": chosen, "split": OUT_OF_FOLD, "precision": "fp32"}
    predictions.write_columns(member.predictions(chosen, OUT_OF_FOLD), table, about)


def _without(own: Recipe, member: RunDirectory, number: int, limit: float | None) -> Recipe:
    """The recipe as it learns without a fold. Where it begins from another rung, that has not seen the fold either."""
    own = replace(own, time_limit=limit)
    if isinstance(own.init, Pretrained) and Path(own.init.source).parent == member.path.absolute().parent:
        beside = RunDirectory(Path(own.init.source)).member(f"fold-{number}")
        if not beside.checkpoints():
            raise TrainingError(f"{Path(own.init.source).name}, from which it begins, was not cross-validated")
        return replace(own, init=replace(own.init, source=str(beside.path)))
    return own


def judge_by_all(member: RunDirectory, rows: Rows, alike: bool) -> None:
    """Predicts what of the validation split a training in little time was not judged by. `alike`: it reads `rows` as
    they are."""
    chosen = member.require_checkpoint(None)
    path, number = member.predictions(chosen, checkpoint.UNDECIDED), list(rows.column("split")).count("validation")
    whole = path.exists() and len(predictions.read_columns(path)["row"]) == number
    if ranks.first(whole):
        return
    loaded, own = checkpoint.load_checkpoint(member, chosen), checkpoint.read_recipe(member.recipe)
    loaded.network.to(runtime.pick_device(own.device))
    rows = rows if alike else workflow.load_rows(member, loaded.domain)
    about = {"checkpoint": chosen, "split": "validation", "precision": "fp32"}
    with runtime.threads(own.threads):
        undecided = Predictor(loaded.network, loaded.domain, loaded.task)  # as while training
        undecided.write(path, rows.where("split", "validation"), about)
