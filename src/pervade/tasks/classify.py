"""One class out of several."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor
from torch.nn import Module
from torch.nn import functional as F

from pervade.core.errors import DataError
from pervade.core.protocols import Context, Domain, Task
from pervade.core.registry import register
from pervade.core.types import Batch, Json, Output, Parts, Rows, Table
from pervade.metrics.calibration import reliability
from pervade.metrics.classification import classification_metrics, majority_baseline
from pervade.metrics.confusion import confusion_matrix


@register("task")
@dataclass(frozen=True)
class Classify(Task):
    """The model returns "logits" (n, k); the batch holds "target" (n,) int64.

    `loss` "mse" is the squared distance between the probabilities and the one-hot target, summed over classes: the
    Brier score. `smoothing` moves that share of the target evenly over all classes (Szegedy et al. 2016).
    """

    loss_name: Literal["cross-entropy", "mse"] = "cross-entropy"
    smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0

    def examine(self, rows: Rows) -> None:
        if "target" not in rows:
            raise DataError("the data has no labels; put each class into a folder of its own, or add a label column")
        counts = Counter(rows.column("target"))
        if len(counts) == 1:
            raise DataError(f"there is only one class, {next(iter(counts))!r}; to classify takes at least two")
        single = [label for label, count in counts.items() if count == 1]
        if single:
            raise DataError(
                f"class {single[0]!r} has one example only; it needs at least two, to learn from and to test"
            )
        if "split" in rows and "train" in rows.column("split"):
            trained = {t for t, s in zip(rows.column("target"), rows.column("split"), strict=True) if s == "train"}
            unseen = sorted(set(counts) - trained)
            if unseen:
                raise DataError(
                    f"class {unseen[0]!r} stands in another split but not in train; remove it there, or move some of it"
                )

    def outputs(self, domain: Domain) -> dict[str, int]:
        return {"logits": len(_labels(domain))}

    def loss(self, output: Output, batch: Batch) -> Parts:
        logits, target = output["logits"].float(), batch["target"]
        if self.loss_name == "cross-entropy":
            loss = F.cross_entropy(logits, target, reduction="none", label_smoothing=self.smoothing)
        else:
            classes = logits.shape[1]
            wanted = F.one_hot(target, classes) * (1 - self.smoothing) + self.smoothing / classes
            loss = (logits.softmax(1) - wanted).square().sum(1)
        return {"loss": loss, "accuracy": (logits.detach().argmax(1) == target).float()}

    def score(self, output: Output, batch: Batch) -> Tensor:
        """(n,): log-probability of the target, or of the likeliest class where there is no target."""
        log_prob = output["logits"].float().log_softmax(1)
        wanted = batch["target"] if "target" in batch else log_prob.argmax(1)
        return log_prob.gather(1, wanted[:, None])[:, 0]

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        return {"logits": self.forward(model, batch, context)["logits"].float()}

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """ "probabilities" (n, k) float64, "prediction" (n,) and, where known, "target" (n,): numbers of labels."""
        # On the processor, since not every device computes in 64 bits, which keep log-losses of sure answers apart.
        probabilities = output["logits"].cpu().double().softmax(1)
        table: Table = {"row": batch["row"]}
        if "target" in batch:
            table["target"] = batch["target"]
        labels = _labels(context.domain)
        prediction = probabilities.argmax(1)
        return {
            **table,
            "prediction": prediction,
            "label": [labels[i] for i in prediction.tolist()],
            "probabilities": probabilities,
        }

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        return classification_metrics(_labels(domain))

    def details(self, columns: Mapping[str, Any], train: Rows, domain: Domain) -> dict[str, Json]:
        """ "labels", "confusion" (rows: the true class), "reliability" (bars) and "baseline" (the training split's most
        frequent class)."""
        labels = _labels(domain)
        counts = Counter(train.column("target"))
        majority = max(range(len(labels)), key=lambda i: counts[labels[i]])
        baseline = majority_baseline(columns, labels, majority)
        bars = [{name: _finite(value) for name, value in vars(bar).items()} for bar in reliability(columns)]
        return {
            "labels": list(labels),
            "train_counts": [counts[label] for label in labels],
            "confusion": confusion_matrix(columns["target"], columns["prediction"], len(labels)).tolist(),
            "reliability": bars,
            "baseline": {
                "name": f"always {labels[majority]!r}, the most frequent class in training",
                "metrics": {name: each.as_dict() for name, each in baseline.items()},
            },
        }

    def answers(self, table: Table, domain: Domain, top: int) -> list[dict[str, Any]]:
        labels = _labels(domain)
        rows = []
        for probabilities in table["probabilities"]:
            order = probabilities.argsort()[::-1][:top]
            rows.append({"top": [{"label": labels[i], "probability": float(probabilities[i])} for i in order]})
        return rows


def _labels(domain: Domain) -> tuple[str, ...]:
    labels: tuple[str, ...] = domain.labels  # type: ignore[attr-defined]
    return labels


def _finite(value: float) -> float | None:
    """For JSON, which has no nan."""
    return None if math.isnan(value) else value
