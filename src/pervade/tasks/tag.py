"""Several labels at once, or none: each is a question of its own, answered by yes or no."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pervade.core.contracts import Context, Domain, Plain, PlainFeatures, TensorSpec
from pervade.core.contracts.abilities import Deployable
from pervade.core.contracts.capabilities import Counted, able
from pervade.core.contracts.deployment import ROWS
from pervade.core.errors import DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Display, Json, LeftOut, Linear, Output, Parts, Rows, Table
from pervade.core.words import TaskWords
from pervade.data import linear
from pervade.data.read import targets
from pervade.data.rows import split as splits
from pervade.data.rows.parts import average
from pervade.metrics.multilabel import multilabel_metrics, prior_baseline
from pervade.tasks.classify import AUXILIARY, SURE, GivesLogits, labels_of, likely, ranked

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

HEAVIEST = 100.0  # a label of one row in a thousand would otherwise weigh 999, and its few rows would decide all
STEADY = 20  # rows with a label on the validation split at which its own threshold and 0.5 weigh the same


@register("task")
@dataclass(frozen=True)
class Tag(GivesLogits, Deployable):
    """The model returns "logits" (n, k); the batch holds "target" (n, k) float32, 1 where the row has the label.

    The loss of a row is the mean over its k labels. "focal" turns that of answers that are right already down by
    (1 - p)^focus, p the probability of the truth (Lin et al. 2017, arXiv:1708.02002). `smoothing` moves that share of
    every target to 0.5. `class_weights` "balanced" weighs a label's rows by how many rows lack it for each that has it
    (at most 100), so that a rare label is not always denied.
    """

    loss_name: Literal["cross-entropy", "focal"] = "cross-entropy"
    smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    focus: Annotated[float, Field(ge=0.0, le=10.0)] = 2.0  # gamma of the focal loss
    class_weights: Literal["none", "balanced"] = "none"
    corrected: bool = False
    thresholds: Literal["validation", "half"] = (
        "validation"  # from which probability on a label is said: fitted, or 0.5
    )

    def examine(self, rows: Rows) -> None:
        if "target" not in rows:
            raise DataError("the data has no labels; give a table with a column of labels, or one of 0 and 1 for each")
        targets = rows.column("target")
        other = next((target for target in targets if not isinstance(target, list)), None)
        if other is not None:
            raise DataError(
                f"a row's target is {other!r}, not a list of labels; choose the task that goes with it (`pervade "
                "tasks`), or set -o domain.target=labels"
            )
        counts = Counter(label for labels in targets for label in labels)
        if not counts:
            raise DataError("no row has a label, so there is nothing to learn; look at the column of labels")
        if max(counts.values()) == 1 and len(counts) > 1:
            raise DataError(
                f"no label stands in two rows, so none can be learnt and tested (the first: {next(iter(counts))!r}); "
                "look at the column of labels, and at what parts them (domain.separator)"
            )
        if all(count == len(rows) for count in counts.values()):
            raise DataError(
                f"every row has the same labels ({', '.join(map(repr, sorted(counts)))}), so there is nothing to tell "
                "apart; add rows that lack some"
            )
        splits.refuse_unseen(rows)

    def measurable(self, rows: Rows, domain: Domain) -> tuple[Rows, list[LeftOut]]:
        return targets.of_learnt_labels(rows, labels_of(domain), "label")

    def companions(self, model: Module, domain: Domain) -> Module | None:
        import torch
        from torch.nn import Module

        weights = self._weights(domain)
        if weights is None:
            return None
        companions = Module()
        companions.register_buffer("class_weights", torch.tensor(weights, dtype=torch.float32))
        return companions

    def taught(self) -> tuple[str, ...]:
        return ("class_weights",) if self.class_weights != "none" else ()

    def _weights(self, domain: Domain) -> np.ndarray | None:
        """(k,) what a row that has the label weighs, beside 1; None: the same."""
        if self.class_weights == "none":
            return None
        known = able(domain, Counted)
        counts = np.array(known.counts, np.float64)
        return np.clip((known.rows - counts) / counts, 1 / HEAVIEST, HEAVIEST)

    def _log_odds_shown(self, domain: Domain) -> np.ndarray:
        """(k,) by how much training raised the logarithm of the odds, as far as that is corrected."""
        weights = self._weights(domain) if self.corrected else None
        return np.zeros(len(labels_of(domain))) if weights is None else np.asarray(np.log(weights))

    def loss(self, output: Output, batch: Batch) -> Parts:
        target, weights = batch["target"], output.get("class_weights")
        loss = self._losses(output["logits"].float(), target, weights)
        if "auxiliary" in output:
            loss = loss + AUXILIARY * self._losses(output["auxiliary"].float(), target, weights)
        right = (output["logits"].detach() > 0) == (target > 0.5)
        return {"loss": loss, "right_labels": right.float().mean(1)}

    def imitation(self, output: Output, teacher: Output, batch: Batch, temperature: float) -> Tensor:
        from pervade.nn.distillation import divergence_of_each

        return divergence_of_each(output["logits"], teacher["logits"], temperature).mean(1)

    def _losses(self, logits: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
        import torch
        from torch.nn import functional as F

        wanted = target * (1 - self.smoothing) + self.smoothing / 2
        loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none", pos_weight=weights)
        if self.loss_name == "focal":
            loss = loss * torch.sigmoid(logits * (1 - 2 * target)).clamp(min=SURE) ** self.focus
        return loss.mean(1)

    def fit_head(
        self,
        features: Any,
        target: np.ndarray,
        number: np.ndarray,
        domain: Domain,
        strengths: Sequence[float],
        group: np.ndarray | None = None,
    ) -> Mapping[str, Linear]:
        positive = self._weights(domain) if self.corrected else None
        return {"logits": linear.labels(features, target, strengths, number, group=group, positive=positive)}

    def score(self, output: Output, batch: Batch, context: Context) -> Tensor:
        """(n,): log-probability of all labels' targets, or of the likeliest answers where there is no target."""
        from torch.nn import functional as F

        logits = output["logits"].float()
        wanted = batch["target"] if context.targets else (logits > 0).float()
        return -F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(1)

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """ "probabilities" (n, k) float64, "threshold" (n, k) from which on a label is said, "prediction" (n, k) and,
        where known, "target" (n, k): 0 or 1; "label": the names of what is said, parted by " | "."""
        import torch

        raised = self._log_odds_shown(context.domain)
        probabilities = torch.sigmoid(output["logits"].cpu().double() - torch.from_numpy(raised)).numpy()
        table: Table = {name: batch[name] for name in ("row", "part") if name in batch}
        if context.targets:
            table["target"] = batch["target"].cpu().numpy().astype(np.int8)
        labels = labels_of(context.domain)
        threshold = np.tile(np.array(self._thresholds(context)), (len(probabilities), 1))
        return {
            **table,
            **_said(probabilities, threshold, labels),
            "probabilities": probabilities,
            "threshold": threshold,
        }

    def gives(self, domain: Domain) -> tuple[TensorSpec, ...]:
        number = len(labels_of(domain))
        return (
            TensorSpec("probabilities", "float32", (ROWS, number), "probability of each label, 0-1, in their order"),
            TensorSpec("prediction", "int64", (ROWS, number), "1 where the label is said, by its threshold, else 0"),
        )

    def deployed(self, model: Module, batch: Batch, context: Context) -> dict[str, Tensor]:
        import torch

        from pervade.nn.entrances import of_views

        raised = self._log_odds_shown(context.domain)
        logits = of_views(self.infer(model, batch, context)["logits"], batch)
        probabilities = torch.sigmoid(logits - torch.tensor(raised, dtype=logits.dtype))
        threshold = torch.tensor(self._thresholds(context), dtype=logits.dtype)
        return {"probabilities": probabilities, "prediction": (probabilities >= threshold).long()}

    def _thresholds(self, context: Context) -> list[float]:
        """(k,) from which probability on a label is said."""
        fitted, usual = context.decision.get("thresholds", {}), _as_likely(self._log_odds_shown(context.domain))
        return [float(fitted.get(label, own)) for label, own in zip(labels_of(context.domain), usual, strict=True)]

    def reduce(self, table: Table, domain: Domain) -> Table:
        """Views of one picture become one line: the sigmoid of their mean logits."""
        if "part" not in table:
            return table
        table = average({**table, "probabilities": _logits(table["probabilities"])}, ["probabilities"])
        return {**table, **_of_logits(table["probabilities"], table["threshold"], domain)}

    def blended(self, tables: Sequence[Table], weights: Sequence[float], domain: Domain) -> Table:
        logits = sum(weight * _logits(table["probabilities"]) for table, weight in zip(tables, weights, strict=True))
        return {**tables[0], **_of_logits(logits, np.asarray(tables[0]["threshold"]), domain)}

    def log_likelihood(self, table: Table) -> np.ndarray:
        """Of all labels of a row, as if they came independently."""
        sign = 2 * np.asarray(table["target"], np.float64) - 1
        return np.asarray(-np.logaddexp(0.0, -sign * _logits(table["probabilities"])).sum(1))

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        return multilabel_metrics(labels_of(domain))

    def decide(self, columns: Mapping[str, Any], domain: Domain) -> dict[str, Json]:
        """ "thresholds": from which probability on each label is said, so that its F1 is best on these rows; drawn
        towards 0.5, or what was as likely as not in training, where few rows have it."""
        if self.thresholds == "half":
            return {}
        target, probabilities = np.asarray(columns["target"]), np.asarray(columns["probabilities"])
        thresholds: dict[str, Json] = {}
        usual = _as_likely(self._log_odds_shown(domain))
        for index, label in enumerate(labels_of(domain)):
            positives = int(target[:, index].sum())
            best = best_threshold(probabilities[:, index], target[:, index] > 0)
            thresholds[label] = round((positives * best + STEADY * usual[index]) / (positives + STEADY), 6)
        return {"thresholds": thresholds}

    def details(self, columns: Mapping[str, Any], train: Rows, domain: Domain) -> dict[str, Json]:
        """ "labels", "train_counts", "thresholds" and "baseline" (the shares of the training split, for every row)."""
        labels = labels_of(domain)
        counts = Counter(label for labels in train.column("target") for label in set(labels))
        prior = np.array([counts[label] / max(len(train), 1) for label in labels])
        return {
            "labels": list(labels),
            "train_counts": [counts[label] for label in labels],
            # The same in every row of one checkpoint; of several folds together the one in the middle.
            "thresholds": np.median(columns["threshold"], axis=0).tolist(),
            "baseline": prior_baseline(columns, labels, prior),
        }

    def plain(self, features: PlainFeatures, train: Rows, columns: Mapping[str, Any], domain: Domain) -> Plain | None:
        """Thresholds are settled as the model's are, on the same rows; without these a label is said from 0.5 on."""
        labels = labels_of(domain)

        def targets(rows: Rows) -> np.ndarray:
            return np.array([[label in own for label in labels] for own in map(set, rows.column("target"))])

        model = linear.labeller(features.train, targets(train))
        probabilities = model(features.rows)
        settled: Any = {}
        if features.of is not None and features.held is not None and len(features.held):
            held = {"target": targets(features.held), "probabilities": model(features.of(features.held))}
            settled = replace(self, class_weights="none").decide(held, domain)
        fitted = settled.get("thresholds", {})
        threshold = np.tile([float(fitted.get(label, 0.5)) for label in labels], (len(probabilities), 1))
        said = _said(probabilities, threshold, labels)
        name = f"{features.name} and one logistic regression a label"
        return Plain(name, {**said, "probabilities": probabilities, "threshold": threshold})

    def wording(self, domain: Domain) -> TaskWords:
        # The Hub does not tell several labels from one.
        says = "says which of {labels} labels a {one} has"
        return TaskWords(says, pipeline="{modality}-classification", classes=True)

    def display(self, answer: Mapping[str, Any]) -> Display:
        silent = f"no label (likeliest: {likely(answer['top'][:1])})" if answer["top"] else "no label"
        return Display(likely(answer["labels"]) or silent, ranked(answer["labels"]))

    def answers(self, table: Table, domain: Domain, top: int) -> list[dict[str, Any]]:
        """ "labels": all that are said, the surest first; "top": the likeliest, said or not."""
        labels = labels_of(domain)
        rows = []
        for probabilities, prediction in zip(table["probabilities"], table["prediction"], strict=True):
            order = np.argsort(-np.asarray(probabilities), kind="stable")
            ranked = [{"label": labels[i], "probability": float(probabilities[i])} for i in order]
            said = [answer for i, answer in zip(order, ranked, strict=True) if prediction[i]]
            rows.append({"labels": said, "top": ranked[:top]})
        return rows


def best_threshold(score: np.ndarray, positive: np.ndarray) -> float:
    """The threshold on score (n,) in 0-1 with the best F1 for positive (n,) bool: midway between two scores; 0.5 where
    nothing is positive. Of equally good ones the one nearest to 0.5."""
    if not positive.any():
        return 0.5
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], np.cumsum(positive[order])
    f1 = 2 * hits / (np.arange(1, len(score) + 1) + positive.sum())
    ends = np.r_[ranked[1:] < ranked[:-1], True]  # nothing can be parted inside a run of equal scores
    middle = (ranked + np.r_[ranked[1:], 0.0]) / 2
    best = np.flatnonzero(ends & (f1 >= f1[ends].max() - 1e-12))
    return float(min(middle[best], key=lambda value: (abs(value - 0.5), value)))


def _as_likely(raised: np.ndarray) -> list[float]:
    """(k,) the probability of what was as likely as not before logits, which were so much higher, were corrected."""
    as_likely: list[float] = (1 / (1 + np.exp(raised))).tolist()
    return as_likely


def _logits(probabilities: Any) -> np.ndarray:
    sure = np.clip(np.asarray(probabilities), 1e-300, 1 - 1e-16)
    odds: np.ndarray = np.log(sure) - np.log1p(-sure)
    return odds


def _of_logits(logits: Any, threshold: np.ndarray, domain: Domain) -> Table:
    import torch

    probabilities = torch.sigmoid(torch.from_numpy(np.asarray(logits))).numpy()
    return {**_said(probabilities, threshold, labels_of(domain)), "probabilities": probabilities}


def _said(probabilities: np.ndarray, threshold: np.ndarray, labels: Sequence[str]) -> Table:
    prediction = (probabilities >= threshold).astype(np.int8)
    names = [" | ".join(labels[i] for i in np.flatnonzero(row).tolist()) for row in prediction]
    return {"prediction": prediction, "label": names}
