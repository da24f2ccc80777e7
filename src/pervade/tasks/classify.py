"""One class out of several."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Module
from torch.nn import functional as F

from pervade.core.contracts import Context, Domain, Plain, PlainFeatures, Task
from pervade.core.contracts.abilities import (
    CanBeBlended,
    ChoosesClass,
    HasCompanions,
    HasLinearHead,
    HasPlainModel,
    SelectsRows,
)
from pervade.core.contracts.capabilities import Counted, Labelled, able
from pervade.core.errors import DataError
from pervade.core.registry import register
from pervade.core.terminal import visible
from pervade.core.types import Batch, Display, Json, LeftOut, Linear, Output, Parts, Rows, Table
from pervade.core.words import TaskWords
from pervade.data import linear
from pervade.data.read import patterns, targets
from pervade.data.rows import split as splits
from pervade.data.rows.parts import average
from pervade.metrics.calibration import reliability, temperature, tempered
from pervade.metrics.classification import classification_metrics, majority_baseline
from pervade.metrics.confusion import MOST_CLASSES, confusion_matrix, most_confused
from pervade.metrics.estimate import too_few_groups

SHOWN = 5  # classes that a message names
FEWEST_TO_CALIBRATE = 30  # rows
SURE = 1e-7  # 1 - p below this is a rounding of 0, where powers below 1 have no finite slope
AUXILIARY = 0.4  # weight of the loss at an auxiliary head, where the network has one (Szegedy et al. 2014: 0.3 - 0.4)


class GivesLogits(Task, SelectsRows, HasCompanions, HasPlainModel, HasLinearHead, CanBeBlended):
    """What tasks have in common whose model gives a logit a label. Its field is the task's own, which orders them."""

    class_weights: Literal["none", "balanced"]

    def outputs(self, domain: Domain) -> dict[str, int]:
        return {"logits": len(labels_of(domain))}

    def forward(self, model: Module, batch: Batch, context: Context) -> Output:
        output: Output = model(batch["input"], mask=batch.get("mask"))
        if self.class_weights == "balanced" and context.companions is not None:
            output = {**output, "class_weights": context.companions.get_buffer("class_weights")}
        return output

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        return {"logits": self.forward(model, batch, context)["logits"].float()}


@register("task")
@dataclass(frozen=True)
class Classify(GivesLogits, ChoosesClass):
    """The model returns "logits" (n, k); the batch holds "target" (n,) int64.

    `loss_name` "mse" is the squared distance between the probabilities and the one-hot target, summed over classes: the
    Brier score. "focal" turns the loss of rows that are right already down by (1 - p)^focus (Lin et al. 2017,
    arXiv:1708.02002). `smoothing` moves that share of the target evenly over all classes (Szegedy et al. 2016).
    `class_weights` "balanced" weighs every row by the inverse of its class's share of the training split, so that all
    classes weigh the same.
    """

    loss_name: Literal["cross-entropy", "mse", "focal"] = "cross-entropy"
    smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    focus: Annotated[float, Field(ge=0.0, le=10.0)] = 2.0  # gamma of the focal loss
    class_weights: Literal["none", "balanced"] = "none"
    calibrate: bool = True  # fits a temperature on the validation split, so that a probability means what it says

    def examine(self, rows: Rows) -> None:
        if "target" not in rows:
            raise DataError("the data has no labels; put each class into a folder of its own, or add a label column")
        other = next((target for target in rows.column("target") if isinstance(target, (list, float))), None)
        if other is not None:
            raise DataError(
                f"a row's target is {other!r}, not one class; choose the task that goes with it (`pervade tasks`), or "
                "set -o domain.target=class"
            )
        counts = Counter(rows.column("target"))
        if len(counts) == 1:
            names = list(map(str, rows.column("id"))) if "path" in rows else []
            advice = patterns.advice([name for name in names if "#" not in name])  # of files, not of rows of a table
            raise DataError(
                f"there is only one class, {next(iter(counts))!r}; to classify takes at least two"
                + (f": {advice}" if advice else "")
            )
        if max(counts.values()) == 1:
            raise DataError("no class has two rows, so none can be learnt and tested; look at the column of labels")
        splits.refuse_unseen(splits.without_single(rows)[0])

    def arrange(self, rows: Rows) -> tuple[Rows, list[LeftOut]]:
        """Without classes of a single row. Raises DataError where only one is left."""
        kept, lost = splits.without_single(rows)
        there = set(kept.column("target"))
        if len(there) == 1 and lost:
            single = ", ".join(sorted(map(repr, set(rows.column("target")) - there))[:SHOWN])
            raise DataError(
                f"there is only one class, {there.pop()!r}; to classify takes at least two, and of {single} there is a "
                "single row, which cannot be learnt from and tested by; give more of them"
            )
        return kept, lost

    def measurable(self, rows: Rows, domain: Domain) -> tuple[Rows, list[LeftOut]]:
        return targets.of_learnt_labels(rows, labels_of(domain))

    def companions(self, model: Module, domain: Domain) -> Module | None:
        if self.class_weights == "none":
            return None
        counts = torch.tensor(able(domain, Counted).counts, dtype=torch.float32)
        companions = Module()
        companions.register_buffer("class_weights", counts.sum() / (len(counts) * counts))
        return companions

    def loss(self, output: Output, batch: Batch) -> Parts:
        target = batch["target"]
        loss = self._losses(output["logits"].float(), target)
        if "auxiliary" in output:
            loss = loss + AUXILIARY * self._losses(output["auxiliary"].float(), target)
        parts = {"loss": loss, "accuracy": (output["logits"].detach().argmax(1) == target).float()}
        if "class_weights" in output:
            weight = output["class_weights"][target]
            parts |= {"loss": loss * weight, "count": weight}
        return parts

    def _losses(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.loss_name == "mse":
            classes = logits.shape[1]
            wanted = F.one_hot(target, classes) * (1 - self.smoothing) + self.smoothing / classes
            return (logits.softmax(1) - wanted).square().sum(1)
        loss = F.cross_entropy(logits, target, reduction="none", label_smoothing=self.smoothing)
        if self.loss_name == "focal":
            right = logits.softmax(1).gather(1, target[:, None])[:, 0]
            loss = loss * (1 - right).clamp(min=SURE) ** self.focus
        return loss

    def fit_head(
        self,
        features: Any,
        target: np.ndarray,
        number: np.ndarray,
        domain: Domain,
        strengths: Sequence[float],
        group: np.ndarray | None = None,
    ) -> Mapping[str, Linear]:
        return {"logits": linear.classes(features, target, len(labels_of(domain)), strengths, number, group=group)}

    def score(self, output: Output, batch: Batch, context: Context) -> Tensor:
        """(n,): log-probability of the target, or of the likeliest class where there is no target."""
        log_prob = output["logits"].float().log_softmax(1)
        wanted = batch["target"] if context.targets else log_prob.argmax(1)
        return log_prob.gather(1, wanted[:, None])[:, 0]

    def class_logits(self, output: Output) -> Tensor:
        return output["logits"]

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """ "probabilities" (n, k) float64, "prediction" (n,) and, where known, "target" (n,): numbers of labels."""
        # On the processor, since not every device computes in 64 bits, which keep log-losses of sure answers apart.
        probabilities = (output["logits"].cpu().double() / context.decision.get("temperature", 1.0)).softmax(1)
        table: Table = {name: batch[name] for name in ("row", "part", "target") if name in batch}
        labels = labels_of(context.domain)
        prediction = probabilities.argmax(1)
        return {
            **table,
            "prediction": prediction,
            "label": [labels[i] for i in prediction.tolist()],
            "probabilities": probabilities,
        }

    def reduce(self, table: Table, domain: Domain) -> Table:
        """Views of one picture become one line: the normalised geometric mean of their probabilities. That is the
        softmax of their mean logits, so a temperature fitted to the joined lines fits the views as well."""
        if "part" not in table:
            return table
        table = average({**table, "probabilities": _log(table["probabilities"])}, ["probabilities"])
        return {**table, **_of_logits(table["probabilities"], domain)}

    def output_scale(self, decision: Mapping[str, Any]) -> float:
        return 1.0 / float(decision.get("temperature", 1.0))

    def blended(self, tables: Sequence[Table], weights: Sequence[float], domain: Domain) -> Table:
        logits = sum(weight * _log(table["probabilities"]) for table, weight in zip(tables, weights, strict=True))
        return {**tables[0], **_of_logits(logits, domain)}

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        return classification_metrics(labels_of(domain))

    def decide(self, columns: Mapping[str, Any], domain: Domain) -> dict[str, Json]:
        """ "temperature" of the probabilities; nothing where the rows are too few to tell (below 30). Never below 1 by
        one group of rows or two: how sure a model may be of other speakers, these do not tell, and the checkpoint that
        was chosen by them suits them best."""
        if not self.calibrate or len(columns["row"]) < FEWEST_TO_CALIBRATE:
            return {}
        by = temperature(columns["probabilities"], columns["target"])
        if "group" in columns and too_few_groups(len(np.unique(columns["group"])), len(columns["row"])):
            by = max(by, 1.0)
        return {"temperature": round(by, 6)}

    def details(self, columns: Mapping[str, Any], train: Rows, domain: Domain) -> dict[str, Json]:
        """ "labels", "confusion" (rows: the true class; of up to 100 classes), "confused" (the pairs that are confused
        most), "reliability" (bars) and "baseline" (the training split's most frequent class)."""
        labels = labels_of(domain)
        counts = Counter(train.column("target"))
        majority = max(range(len(labels)), key=lambda i: counts[labels[i]])
        bars = [{name: _finite(value) for name, value in vars(bar).items()} for bar in reliability(columns)]
        matrix: dict[str, Json] = {}
        if len(labels) <= MOST_CLASSES:
            matrix["confusion"] = confusion_matrix(columns["target"], columns["prediction"], len(labels)).tolist()
        return {
            "labels": list(labels),
            "train_counts": [counts[label] for label in labels],
            **matrix,
            "confused": most_confused(columns, labels),
            "reliability": bars,
            "baseline": majority_baseline(columns, labels, majority),
        }

    def plain(self, features: PlainFeatures, train: Rows, columns: Mapping[str, Any], domain: Domain) -> Plain | None:
        labels = labels_of(domain)
        number = {label: index for index, label in enumerate(labels)}
        target = [number[label] for label in train.column("target")]
        model = linear.classifier(features.train, target, len(labels))
        probabilities = model(features.rows)
        if features.of is not None and features.held is not None and len(features.held):
            # As the model's are: by the same rule, on the same rows.
            held = {
                "row": range(len(features.held)),
                "group": np.array(features.held.column("group" if "group" in features.held else "id")).astype(str),
                "target": np.array([number[label] for label in features.held.column("target")]),
                "probabilities": model(features.of(features.held)),
            }
            settled: Any = self.decide(held, domain)
            probabilities = tempered(probabilities, settled.get("temperature", 1.0))
        prediction = probabilities.argmax(1)
        said = [labels[i] for i in prediction.tolist()]
        return Plain(
            f"{features.name} and logistic regression",
            {"prediction": prediction, "label": said, "probabilities": probabilities},
        )

    def wording(self, domain: Domain) -> TaskWords:
        return TaskWords(
            "sorts {many} into {labels} classes",
            "tells {first} from {second}",
            "sort {many} into {labels} classes",
            "tell {first} from {second}",
            pipeline="{modality}-classification",
            classes=True,
        )

    def display(self, answer: Mapping[str, Any]) -> Display:
        return Display(likely(answer["top"]), ranked(answer["top"]))

    def answers(self, table: Table, domain: Domain, top: int) -> list[dict[str, Any]]:
        labels = labels_of(domain)
        rows = []
        for probabilities in table["probabilities"]:
            order = probabilities.argsort()[::-1][:top]
            rows.append({"top": [{"label": labels[i], "probability": float(probabilities[i])} for i in order]})
        return rows


def _log(probabilities: Any) -> np.ndarray:
    logarithms: np.ndarray = np.log(np.clip(np.asarray(probabilities), np.finfo(np.float64).tiny, None))
    return logarithms


def _of_logits(logits: Any, domain: Domain) -> Table:
    probabilities = torch.from_numpy(np.asarray(logits)).softmax(1).numpy()
    prediction, labels = probabilities.argmax(1), labels_of(domain)
    said = [labels[i] for i in prediction.tolist()]
    return {"prediction": prediction, "label": said, "probabilities": probabilities}


def likely(answers: Sequence[Mapping[str, Any]]) -> str:
    """Each "label" with its "probability", on one line."""
    return "  ".join(f"{answer['label']} {answer['probability']:.1%}" for answer in answers)


def ranked(answers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same as rows of a table, a name never longer than its line; where there is none, one that says nothing."""
    rows = [
        {"rank": rank, "label": visible(answer["label"]), "probability": answer["probability"]}
        for rank, answer in enumerate(answers, start=1)
    ]
    return rows or [{"rank": "", "label": "", "probability": ""}]


def labels_of(domain: Domain) -> tuple[str, ...]:
    return able(domain, Labelled).labels


def _finite(value: float) -> float | None:
    """For JSON, which has no nan."""
    return None if math.isnan(value) else value
