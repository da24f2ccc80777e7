"""How well a classifier tells rows unlike those it learnt from, whatever they show, from its own test rows.

Each row has a score, the higher the more unlike, by three methods:

    max_probability   1 - max_c p(c | x)                                      Hendrycks & Gimpel 2017, arXiv:1610.02136
    energy            -log sum_c exp(logit_c)                                 Liu et al. 2020, arXiv:2010.03759
    distance          from the classes of the training rows, in what the network makes of a row before its last, linear
                      layer (data/distances.py)                               Lee et al. 2018, arXiv:1807.03888

A score that tells the run's own validation rows from its training rows reacts to what differs among its own: other
speakers, or what was learnt by heart. So the run's own score is the first of these, from the last line up, that does so
no more than the maximum probability, or hardly (`choose`). From which score on a row is flagged is settled on rows that
were not trained on, so that a stated share of them are false alarms. Neither the test rows nor the others have a say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch.nn import Module

from pervade.core import files, memory
from pervade.core.contracts import Context, Domain
from pervade.core.contracts.abilities import ChoosesClass
from pervade.core.contracts.promises import SPLIT as PROMISE
from pervade.core.contracts.wrapping import Wrapping
from pervade.core.errors import DataError
from pervade.core.run import RunDirectory
from pervade.core.types import Batch, Output, Rows, Table
from pervade.core.words import FigureWords
from pervade.data.distances import Gaussians, Neighbours
from pervade.data.rows.parts import average
from pervade.engine import predictions, promises
from pervade.engine.checkpoint import Loaded
from pervade.engine.predictor import Predictor
from pervade.evaluate.evaluation import figure_as_json, forget_if_replaced
from pervade.metrics import conformal, unlike
from pervade.metrics.columns import Columns
from pervade.metrics.estimate import Estimate, estimate, share, too_few_groups
from pervade.metrics.method import Method
from pervade.metrics.paired import differences
from pervade.models.blend import Blended
from pervade.nn.backbone import Backbone, ShowsFeatures

USUAL = "max_probability"  # which the others are compared with
CALLED = {
    "distance": "the distance in its features",
    "energy": "the energy",
    USUAL: "the maximum probability",
}
HARDLY = 0.6  # area under the curve: that validation rows may have among training rows by a score which is believed
FALSE_ALARMS = 0.05  # share of rows like the run's own that may be flagged
MOST_LEARNT = 10_000  # training rows by which the distance is told, as many of each class
WIDEST = 2048  # features: where there are more, no more training rows are taken than this
AT_ONCE = 4096  # rows whose features are held together
FEATURES = "features"


@dataclass(frozen=True)
class _Seen(Wrapping):
    """The task, with the logits of each row and its features, where the network shows any, as further columns."""

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        features, batch = _features(model, batch)
        output = self.task.infer(model, batch, context)
        return output if features is None else {**output, FEATURES: features}

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        said = {name: value for name, value in output.items() if name != FEATURES}
        logits = cast(ChoosesClass, self.task).class_logits(said).cpu().double()
        shown = {FEATURES: _as_column(output[FEATURES])} if FEATURES in output else {}
        return {**self.task.predictions(said, batch, context), "logits": logits, **shown}

    def reduce(self, table: Table, domain: Domain) -> Table:
        """Several parts of a row have the mean of their logits and features."""
        own = [name for name in ("logits", FEATURES) if name in table]
        means = average({name: table[name] for name in ("row", "part", *own) if name in table}, own)
        inner = self.task.reduce({name: values for name, values in table.items() if name not in own}, domain)
        return {**inner, **{name: means[name] for name in own}}


def _features(network: Module, batch: Batch) -> tuple[Any, Batch]:
    """What stands before the last layer, and the batch of which the network is to be asked: where it takes features, it
    need not compute them again."""
    if isinstance(network, Backbone):
        features = network.at_the_heads(batch["input"], batch.get("mask"))
        return features, {**batch, "input": features}
    if isinstance(network, ShowsFeatures) and not (isinstance(network, Blended) and not network.strongest):
        return network.linear_features(batch["input"], batch.get("mask")), batch
    return None, batch


def _as_column(features: Any) -> Any:
    """Of a sparse matrix its rows, since a table has arrays and lists alone."""
    dense = isinstance(features, (torch.Tensor, np.ndarray))
    return features if dense else [features[row] for row in range(features.shape[0])]


def _matrix(column: Any) -> Any:
    from scipy.sparse import vstack

    return column if isinstance(column, np.ndarray) else vstack(column, "csr")


def _scores(table: Table, known: Gaussians | Neighbours | None) -> dict[str, np.ndarray]:
    """(n,) each, of the rows of a table; `known` tells the distance, where there are features."""
    logits, probabilities = (np.asarray(table[name], np.float64) for name in ("logits", "probabilities"))
    scores = {"energy": unlike.energy(logits), USUAL: 1 - probabilities.max(1)}
    return scores if known is None else {"distance": known.distance(_matrix(table[FEATURES])), **scores}


def _tables(predictor: Predictor, rows: Rows, advance: Callable[[int], None]) -> Iterator[Table]:
    """Of so many rows at a time as their features may be held together."""
    for start in range(0, len(rows), AT_ONCE):
        some = rows.select(range(start, min(start + AT_ONCE, len(rows))))
        table = predictor.table(some)
        yield {name: table[name] for name in ("target", "logits", "probabilities", FEATURES) if name in table}
        advance(len(some))


@memory.during("rows were told from those the run learnt from", "give fewer of them, or free some memory")
def measure(
    run: RunDirectory,
    loaded: Loaded,
    own: Rows,
    other: Rows,
    name: str,
    *,
    device: torch.device | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Tells the `other` rows from those of the test split of the run's `own`, both prepared, and writes
    results/unlike-NAME@<checkpoint>.json, where `name` is what the others are called. The task must choose a class.

    Raises DataError where the run has no training or no test rows.
    """
    train, validation, promised, test = (own.where("split", s) for s in ("train", "validation", PROMISE, "test"))
    if not len(train) or not len(test):
        raise DataError(f"{run.path} has {len(train):,} training and {len(test):,} test rows; --unlike needs both")
    train, validation, done = some_of_each(train), some_of_each(validation), 0
    total = sum(map(len, (train, validation, promised, test, other)))

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done, total)

    predictor = Predictor(
        loaded.network.to(device or torch.device("cpu")),
        loaded.domain,
        _Seen(loaded.task),  # type: ignore[abstract]  # what it does not say itself is the inner task's
        promises.without(loaded.decision),  # which are of answers, not of scores
        workers=workers,
        targets=False,
    )
    learnt = predictions.concatenate(list(_tables(predictor, train, advance)))
    chosen_by = predictions.concatenate(list(_tables(predictor, validation, advance))) if len(validation) else {}
    taken = _taken_for_unlike(learnt, chosen_by) if chosen_by else {}
    known = _known(learnt)

    def scored(rows: Rows) -> dict[str, np.ndarray]:
        parts = [_scores(table, known) for table in _tables(predictor, rows, advance)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    mine, others = scored(test), scored(other)
    settled = scored(promised) if len(promised) else _scores(chosen_by, known) if chosen_by else {}
    path = run.predictions(loaded.name, f"unlike-{name}")
    about = {"checkpoint": loaded.name, "split": "test", "weights": loaded.architecture["sha256"], "other": name}
    predictions.write_columns(path, _columns(own, test, other, mine, others), about)
    limits = {score: conformal.quantile(settled.get(score, np.empty(0)), 1 - FALSE_ALARMS) for score in mine}
    scores = figures(predictions.read_columns(path), limits)
    for score, figure in taken.items():
        scores[score]["taken"] = figure
    best = choose({score: figure["value"] for score, figure in taken.items()})
    settling = len(promised) or len(validation)
    result: dict[str, Any] = {
        "meter": f"unlike-{name}",
        "checkpoint": loaded.name,
        "split": "test",
        "n": len(test),
        "precision": "fp32",
        "predictions": path.relative_to(run.path).as_posix(),
        "metrics": {figure: scores[best][figure] for figure in ("auroc", "flagged", "false_alarms")},
        "details": {
            "unlike": {
                "name": name,
                "best": best,
                "scores": scores,
                "asked": FALSE_ALARMS,
                "settled_on": PROMISE if len(promised) else "validation",
                "rows": {"train": len(train), "settling": settling, "test": len(test), "other": len(other)},
                "features": _told(loaded.network, known),
            }
        },
    }
    place = run.result(result["meter"], loaded.name)
    files.write_json(place, result)
    forget_if_replaced(run, loaded, path, place)
    return result


def _columns(
    own: Rows, test: Rows, other: Rows, mine: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Of the predictions file: the other rows are numbered on from the run's own."""
    first = max(map(int, own.number)) + 1
    return {
        "row": np.array([*test.number, *range(first, first + len(other))], np.int64),
        "id": [*test.column("id"), *other.column("id")],
        "group": np.concatenate([predictions.groups(test), predictions.groups(other) + len(test)]),
        "unlike": np.arange(len(test) + len(other)) >= len(test),
        **{score: np.concatenate([mine[score], others[score]]) for score in mine},
    }


def some_of_each(rows: Rows) -> Rows:
    """MOST_LEARNT rows at most, of each class as many, drawn by chance."""
    if len(rows) <= MOST_LEARNT:
        return rows
    order = np.random.default_rng(0).permutation(len(rows))
    target = np.asarray(rows.column("target"))[order]
    classes = np.unique(target)
    kept = [order[target == label][: max(MOST_LEARNT // len(classes), 1)] for label in classes]
    return rows.select(sorted(np.concatenate(kept).tolist()))


def _known(learnt: Table) -> Gaussians | Neighbours | None:
    """What the distance is told by; None where the network shows no features."""
    if FEATURES not in learnt:
        return None
    features, target = _matrix(learnt[FEATURES]), np.asarray(learnt["target"])
    if not isinstance(features, np.ndarray):
        return Neighbours.of(features)
    if features.shape[1] > WIDEST and len(features) > WIDEST:
        drawn = np.random.default_rng(0).permutation(len(features))[:WIDEST]
        features, target = features[drawn], target[drawn]
    return Gaussians.of(features, target)


def _taken_for_unlike(learnt: Table, validation: Table) -> dict[str, dict[str, Any]]:
    """By each score, how well validation rows are told from training rows. The distance is told by half of the training
    rows, and the other half is what is compared, since a row is near to itself."""
    order = np.random.default_rng(0).permutation(len(learnt["target"]))
    half, rest = (
        {name: predictions.in_order(values, np.sort(some)) for name, values in learnt.items()}
        for some in (order[: len(order) // 2], order[len(order) // 2 :])
    )
    known = _known(half) if len(half["target"]) else None
    trained, held = _scores(rest, known), _scores(validation, known)
    taken = {}
    for name in trained:
        score = np.concatenate([trained[name], held[name]])
        rows = np.arange(len(score))
        columns = {"row": rows, "group": rows, "unlike": rows >= len(trained[name]), "score": score}
        taken[name] = figure_as_json(estimate({"auroc": unlike.AREA}, columns, resamples=200)["auroc"], unlike.AREA)
    return taken


def choose(taken: Mapping[str, float]) -> str:
    """The score that is believed, by the area under the curve that the run's own validation rows have among its
    training rows by each; the plainest one where there are none."""
    believed = max(taken.get(USUAL, 0.0), HARDLY)
    return next((score for score in CALLED if taken.get(score, math.inf) <= believed), USUAL)


def _told(network: Module, known: Gaussians | Neighbours | None) -> str:
    """In words, what the distance is told by."""
    whose = "the network"
    if isinstance(network, Blended) and network.strongest:
        whose = f"the blend's strongest member, {network.strongest},"
    if known is None:
        return "none: the network shows no features before its last layer"
    if isinstance(known, Neighbours):
        return f"1 - the cosine with the tenth nearest training row, of what {whose} counts in a row"
    return f"the Mahalanobis distance from the nearest class, of what {whose} makes of a row before its last layer"


def figures(columns: Columns, limits: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Of each score of a predictions file: "auroc", "flagged" and "false_alarms" as figures, "threshold" (None of a
    limit that is nan), "points" of the curve of both, and by how much the area is above that of the maximum probability
    ("difference", paired)."""
    other = np.asarray(columns["unlike"], bool)
    group = np.asarray(columns["group"])
    groups, rows = len(np.unique(group[~other])), int((~other).sum())
    alone = groups if too_few_groups(groups, rows) else 0
    about = {"row": columns["row"], "group": np.arange(len(group)) if alone else group, "unlike": other}
    by_score = {name: {**about, "score": np.asarray(columns[name], np.float64)} for name in limits}
    further = [name for name in by_score if name != USUAL]
    apart = differences({"auroc": unlike.AREA}, [by_score[name] for name in (USUAL, *further)])
    measured: dict[str, dict[str, Any]] = {}
    for name, threshold in limits.items():
        score = by_score[name]["score"]
        area = estimate({"auroc": unlike.AREA}, by_score[name])["auroc"]
        area = replace(area, how=replace(area.how, alone=alone))
        measured[name] = {
            "called": CALLED[name],
            "auroc": figure_as_json(area, unlike.AREA),
            "flagged": _above(threshold, score[other], group[other], unlike.FLAGGED, True),
            "false_alarms": _above(threshold, score[~other], group[~other], unlike.FALSE, False),
            "threshold": None if math.isnan(threshold) else threshold,
            "points": unlike.curve(score[~other], score[other]),
        }
    for name, gap in zip(further, apart, strict=True):
        measured[name]["difference"] = gap["auroc"].as_dict()
    return measured


def _above(
    threshold: float, score: np.ndarray, group: np.ndarray, words: FigureWords, higher_is_better: bool
) -> dict[str, Any]:
    """The share of rows that are flagged."""
    flagged = share(score > threshold, np.ones(len(score), bool))
    metric = replace(flagged, higher_is_better=higher_is_better, words=words)
    measured = estimate({"share": metric}, {"row": np.arange(len(score)), "group": group})["share"]
    if math.isnan(threshold):
        needed = conformal.rows_needed(1 - FALSE_ALARMS)
        why = f"{needed} rows that were not trained on are needed to settle a threshold"
        measured = Estimate(math.nan, math.nan, math.nan, len(score), Method(), why=why)
    return figure_as_json(measured, metric)
