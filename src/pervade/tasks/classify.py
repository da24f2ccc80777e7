"""One class out of several."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pervade.core.bounds import Count, Part
from pervade.core.contracts import Context, Domain, Plain, PlainFeatures, Task, TensorSpec
from pervade.core.contracts.abilities import (
    CanBeBlended,
    CanTeach,
    ChoosesClass,
    Deployable,
    HasCompanions,
    HasLinearHead,
    HasPlainModel,
    SelectsRows,
)
from pervade.core.contracts.capabilities import Counted, Labelled, able
from pervade.core.contracts.deployment import ROWS
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
from pervade.metrics.priors import LEAST, choose_answers, class_weights, likelier_than_usual

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

SHOWN = 5  # classes that a message names
FEWEST_TO_CALIBRATE = 30  # rows
SURE = 1e-7  # 1 - p below this is a rounding of 0, where powers below 1 have no finite slope
AUXILIARY = 0.4  # weight of the loss at an auxiliary head, where the network has one (Szegedy et al. 2014: 0.3 - 0.4)


class GivesLogits(Task, SelectsRows, HasCompanions, HasPlainModel, HasLinearHead, CanBeBlended, CanTeach):
    """What tasks have in common whose model gives a logit a label. Its field is the task's own, which orders them."""

    def taught(self) -> tuple[str, ...]:
        """Buffers of the companions that the loss needs beside the logits."""
        return ()

    def outputs(self, domain: Domain) -> dict[str, int]:
        return {"logits": len(labels_of(domain))}

    def forward(self, model: Module, batch: Batch, context: Context) -> Output:
        output: Output = model(batch["input"], mask=batch.get("mask"))
        if context.companions is not None:
            output = {**output, **{name: context.companions.get_buffer(name) for name in self.taught()}}
        return output

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        return {"logits": self.forward(model, batch, context)["logits"].float()}


@register("task")
@dataclass(frozen=True)
class Classify(GivesLogits, ChoosesClass, Deployable):
    """The model returns "logits" (n, k); the batch holds "target" (n,) int64.

    `loss_name` "mse" is the squared distance between the probabilities and the one-hot target, summed over classes: the
    Brier score. "focal" turns the loss of rows that are right already down by (1 - p)^focus (Lin et al. 2017,
    arXiv:1708.02002). `smoothing` moves that share of the target evenly over all classes (Szegedy et al. 2016).
    `class_weights` weighs every row by how rare its class is (metrics/priors.py: class_weights). `logit_adjustment`
    adds so many times the logarithm of the classes' shares to the logits in training (Menon et al. 2021,
    arXiv:2007.07314).

    Where training showed other shares of classes than the data have, by weights, by a sampler, by such an adjustment or
    by rows that were made (`synthetic`: how many of each label), Bayes' rule takes that out of the probabilities:
    p ~ softmax(logits / T) x share / share shown. `answers` says which class is answered: the likeliest, or,
    "balanced", the one of the largest p / prior, which is best where each class counts the same, the prior being its
    share. "auto" tries both on the validation rows.
    """

    loss_name: Literal["cross-entropy", "mse", "focal"] = "cross-entropy"
    smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    focus: Annotated[float, Field(ge=0.0, le=10.0)] = 2.0  # gamma of the focal loss
    class_weights: Literal["none", "balanced", "effective"] = "none"
    beta: Part = 0.999  # of effective numbers
    logit_adjustment: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0  # tau
    evenly_drawn: bool = False  # the source draws each class as often, and not each row
    synthetic: tuple[tuple[str, Count], ...] = ()
    honest_head: bool = False  # of a linear head that is found at once: the logits are those of the data's own shares
    answering: Literal["likeliest", "balanced", "auto"] = field(default="likeliest", metadata={"name": "answers"})
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
                + "; what is learnt of one class or of none, as to make more like these, `pervade tasks` lists"
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
        import torch
        from torch.nn import Module

        if not self.taught():
            return None
        companions, counts = Module(), _counts(domain)
        if self.class_weights != "none":
            weights = class_weights(counts, self.class_weights, self.beta)
            companions.register_buffer("class_weights", torch.tensor(weights, dtype=torch.float32))
        if self.logit_adjustment:
            companions.register_buffer("log_share", torch.tensor(np.log(_shares(domain)), dtype=torch.float32))
        return companions

    def taught(self) -> tuple[str, ...]:
        weighed, adjusted = self.class_weights != "none", self.logit_adjustment > 0
        return (*("class_weights",) * weighed, *("log_share",) * adjusted)

    def _shown(self, domain: Domain) -> np.ndarray | None:
        """(k,) the logarithm of how much more training showed of each class than the data have; None where no more."""
        if not (self.taught() or self.evenly_drawn or self.synthetic):
            return None
        share = _shares(domain)
        return np.asarray(self._weighed(domain) - self.logit_adjustment * np.log(share))

    def _weighed(self, domain: Domain) -> np.ndarray:
        """(k,) the part of it that is drawn, weighed or made, and not added to logits."""
        counts = _counts(domain)
        weights = np.ones(len(counts))
        if self.class_weights != "none":
            weights = class_weights(counts, self.class_weights, self.beta)
        of_label = dict(self.synthetic)
        made = np.array([of_label.get(label, 0) for label in labels_of(domain)], np.float64)
        return np.asarray(np.log(weights / counts if self.evenly_drawn else weights * ((counts + made) / counts)))

    def _honest(self, logits: Tensor, domain: Domain, by: float = 1.0) -> Tensor:
        """Logits (n, k) of the data's own shares of classes, of what the network says divided `by` a temperature."""
        import torch

        shown = self._shown(domain)
        if shown is None:
            return logits / by
        taken = torch.tensor(shown, dtype=logits.dtype, device=logits.device)
        return (logits + taken if self.honest_head else logits) / by - taken

    def prior(self, decision: Mapping[str, Any], domain: Domain) -> np.ndarray | None:
        """(k,) by which probabilities are divided before the largest is answered: the classes' shares where they are
        calibrated (by the temperature for answers, which another may have been settled beside), else what they are in
        the mean if the network learnt what it was taught: smoothed targets, too, which a temperature of 1 or more does
        not undo. None where the likeliest is answered."""
        if decision.get("answers", self.answering) == "likeliest":
            return None
        share, by = _shares(domain), decision.get("temperature", 1.0)
        answering = decision.get("answers_temperature", by)
        if answering < 1 or ("temperature" in decision and not self.smoothing):
            return share if answering == by else self._usual(answering / by, domain)
        weighed = self._weighed(domain)
        taught = share * np.exp(weighed)
        smoothed = (1 - self.smoothing) * taught / taught.sum() + self.smoothing / len(share)
        usual = np.log(smoothed) / by - weighed
        return np.asarray(np.exp(usual - usual.max()))

    def _undecided(self, table: Table, domain: Domain) -> np.ndarray:
        """(k,) the same of rows that are to decide: they are answered as by the temperature that they settle."""
        if "target" not in table or not self.calibrate or len(table["row"]) < FEWEST_TO_CALIBRATE:
            prior = self.prior({"answers": "balanced"}, domain)
            assert prior is not None, "answers are balanced"
            return prior
        target = np.asarray(table["target"])
        probabilities, shift = np.asarray(table["probabilities"]), _shift(target, domain)
        return self._usual(temperature(probabilities, target, self._shown(domain), shift), domain)

    def _usual(self, by: float, domain: Domain) -> np.ndarray:
        """(k,) what shares of classes are in probabilities that another temperature, `by`, is still to divide."""
        shown = self._shown(domain)
        usual = by * np.log(_shares(domain)) + (0.0 if shown is None else (by - 1) * shown)
        return np.asarray(np.exp(usual - usual.max()))

    def loss(self, output: Output, batch: Batch) -> Parts:
        target = batch["target"]
        loss = self._losses(self._adjusted(output["logits"].float(), output), target)
        if "auxiliary" in output:
            loss = loss + AUXILIARY * self._losses(self._adjusted(output["auxiliary"].float(), output), target)
        parts = {"loss": loss, "accuracy": (output["logits"].detach().argmax(1) == target).float()}
        if "class_weights" in output:
            weight = output["class_weights"][target]
            parts |= {"loss": loss * weight, "count": weight}
        return parts

    def imitation(self, output: Output, teacher: Output, batch: Batch, temperature: float) -> Tensor:
        from pervade.nn.distillation import divergence

        return divergence(output["logits"], teacher["logits"], temperature)

    def _adjusted(self, logits: Tensor, output: Output) -> Tensor:
        return logits + self.logit_adjustment * output["log_share"] if "log_share" in output else logits

    def _losses(self, logits: Tensor, target: Tensor) -> Tensor:
        from torch.nn import functional as F

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
        """Of a loss in which rows weigh as in training. What logits are adjusted by is put into the biases, and so is
        what makes an `honest_head` of one whose rows were weighed."""
        weights = None
        if self.class_weights != "none":
            weights = class_weights(_counts(domain), self.class_weights, self.beta)
        labels, of_rows = labels_of(domain), None if weights is None else weights[target]
        head = linear.classes(features, target, len(labels), strengths, number, group=group, weights=of_rows)
        if self.honest_head and weights is not None:
            head = replace(head, bias=head.bias - np.log(weights))
        if self.logit_adjustment:
            head = replace(head, bias=head.bias - self.logit_adjustment * np.log(_shares(domain)))
        return {"logits": head}

    def score(self, output: Output, batch: Batch, context: Context) -> Tensor:
        """(n,): log-probability of the target, or of the likeliest class where there is no target."""
        log_prob = self._honest(output["logits"].float(), context.domain).log_softmax(1)
        wanted = batch["target"] if context.targets else log_prob.argmax(1)
        return log_prob.gather(1, wanted[:, None])[:, 0]

    def class_logits(self, output: Output) -> Tensor:
        return output["logits"]

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """ "probabilities" (n, k) float64, "prediction" (n,) and, where known, "target" (n,): numbers of labels;
        "prior" (n, k) where answers are by p / prior."""
        # On the processor, since not every device computes in 64 bits, which keep log-losses of sure answers apart.
        logits, by = output["logits"].cpu().double(), context.decision.get("temperature", 1.0)
        probabilities = self._honest(logits, context.domain, by).softmax(1)
        table: Table = {name: batch[name] for name in ("row", "part", "target") if name in batch}
        prior = self.prior(context.decision, context.domain)
        if prior is not None and not context.decided:
            prior = np.full(len(prior), np.nan)  # until all rows are together
        return {**table, **_answered(probabilities, prior, context.domain)}

    def gives(self, domain: Domain) -> tuple[TensorSpec, ...]:
        number = len(labels_of(domain))
        return (
            TensorSpec("probabilities", "float32", (ROWS, number), "probability of each label, 0-1, in their order"),
            TensorSpec("prediction", "int64", (ROWS,), "number of the label that is answered, from 0"),
        )

    def deployed(self, model: Module, batch: Batch, context: Context) -> dict[str, Tensor]:
        import torch

        from pervade.nn.entrances import of_views

        logits = of_views(self.infer(model, batch, context)["logits"], batch)
        by = context.decision.get("temperature", 1.0)
        honest = self._honest(logits, context.domain, by)
        prior = self.prior(context.decision, context.domain)
        # Logarithms, since a graph computes in 32 bits, in which small shares are 0.
        usual = 0.0 if prior is None else torch.tensor(np.log(np.maximum(prior, LEAST)), dtype=torch.float32)
        return {"probabilities": honest.softmax(1), "prediction": (honest.log_softmax(1) - usual).argmax(1)}

    def reduce(self, table: Table, domain: Domain) -> Table:
        """Views of one picture become one line: the normalised geometric mean of their probabilities. That is the
        softmax of their mean logits, so a temperature fitted to the joined lines fits the views as well."""
        if "part" in table:
            table = average({**table, "probabilities": _log(table["probabilities"])}, ["probabilities"])
            table = {**table, **_of_logits(table["probabilities"], table.get("prior"), domain)}
        if "prior" in table and np.isnan(np.asarray(table["prior"])).any():
            prior = self._undecided(table, domain)
            table = {**table, **_answered(np.asarray(table["probabilities"]), prior, domain)}
        return table

    def output_scale(self, decision: Mapping[str, Any]) -> float:
        return 1.0 / float(decision.get("temperature", 1.0))

    def blended(self, tables: Sequence[Table], weights: Sequence[float], domain: Domain) -> Table:
        logits = sum(weight * _log(table["probabilities"]) for table, weight in zip(tables, weights, strict=True))
        shown = self._shown(domain)  # which each member's output holds, and which is taken out of their sum once
        more: Any = 0.0 if shown is None else (sum(weights) - 1) * shown
        logits, prior = logits + more, None
        if self.answering != "likeliest" and any("prior" in table for table in tables):
            priors = [table.get("prior", _shares(domain)) for table in tables]
            usual: Any = sum(weight * _log(own) for own, weight in zip(priors, weights, strict=True))
            usual = usual + more
            prior = np.maximum(np.exp(usual - usual.max(1, keepdims=True)), LEAST)
        return {**tables[0], **_of_logits(logits, prior, domain)}

    def log_likelihood(self, table: Table) -> np.ndarray:
        target = np.asarray(table["target"])
        return np.asarray(_log(table["probabilities"])[np.arange(len(target)), target])

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        metrics = classification_metrics(labels_of(domain))
        if self.answering != "likeliest":
            balanced = metrics["balanced_accuracy"]
            words = replace(balanced.words, beside="Each class counting the same, it was right on {value}.")
            metrics["balanced_accuracy"] = replace(balanced, words=words)
        return metrics

    def decide(self, columns: Mapping[str, Any], domain: Domain) -> dict[str, Json]:
        """ "temperature" of the probabilities; nothing where the rows are too few to tell (below 30). Never below 1 by
        one group of rows or two: how sure a model may be of other speakers, these do not tell, and the checkpoint that
        was chosen by them suits them best. Where answers may be balanced, "answers" says whether they are, "tried"
        what both ways came to, and "answers_temperature" is what would be the temperature if these rows had the
        training rows' shares of classes: by others, rare rows that are too few in training would pass for a network
        that is too sure."""
        decided: dict[str, Json] = {}
        enough = len(columns["row"]) >= FEWEST_TO_CALIBRATE
        if self.calibrate and enough:
            decided["temperature"] = self._temperature(columns, domain)
        if self.answering == "likeliest":
            return decided
        if "temperature" in decided:
            shift = _shift(np.asarray(columns["target"]), domain)
            decided["answers_temperature"] = self._temperature(columns, domain, shift)
        if self.answering == "balanced":
            return {**decided, "answers": "balanced"}
        by: Any = decided.get("temperature", 1.0)
        probabilities = tempered(np.asarray(columns["probabilities"]), by, self._shown(domain))
        prior = self.prior(decided, domain)
        assert prior is not None, "answers may be balanced"
        return {**decided, **choose_answers(probabilities, np.asarray(columns["target"]), prior)}

    def _temperature(self, columns: Mapping[str, Any], domain: Domain, shift: np.ndarray | None = None) -> float:
        by = temperature(columns["probabilities"], columns["target"], self._shown(domain), shift)
        if "group" in columns and too_few_groups(len(np.unique(columns["group"])), len(columns["row"])):
            by = max(by, 1.0)
        return round(by, 6)

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
        """Calibrated, and answering, as the model does: by the same rule, on the same rows."""
        labels = labels_of(domain)
        number = {label: index for index, label in enumerate(labels)}
        target = [number[label] for label in train.column("target")]
        model = linear.classifier(features.train, target, len(labels))
        probabilities = model(features.rows)
        settled: Any = {}
        taught: dict[str, Any] = {"class_weights": "none", "logit_adjustment": 0.0, "evenly_drawn": False}
        own = replace(self, **taught, synthetic=(), smoothing=0.0)
        if features.of is not None and features.held is not None and len(features.held):
            held = {
                "row": range(len(features.held)),
                "group": np.array(features.held.column("group" if "group" in features.held else "id")).astype(str),
                "target": np.array([number[label] for label in features.held.column("target")]),
                "probabilities": model(features.of(features.held)),
            }
            settled = own.decide(held, domain)
            probabilities = tempered(probabilities, settled.get("temperature", 1.0))
        prior = own.prior(settled, domain)
        if prior is None and "prior" in columns:
            prior = np.full(len(labels), 1 / len(labels))
        return Plain(f"{features.name} and logistic regression", _answered(probabilities, prior, domain))

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
        """ "top": the likeliest, or, where answers are by p / prior, those of which that is largest."""
        labels = labels_of(domain)
        rows = []
        prior = table.get("prior", [1.0] * len(table["probabilities"]))
        for probabilities, usual in zip(table["probabilities"], prior, strict=True):
            order = (probabilities / usual).argsort()[::-1][:top]
            rows.append({"top": [{"label": labels[i], "probability": float(probabilities[i])} for i in order]})
        return rows


def _log(probabilities: Any) -> np.ndarray:
    logarithms: np.ndarray = np.log(np.clip(np.asarray(probabilities), np.finfo(np.float64).tiny, None))
    return logarithms


def _of_logits(logits: Any, prior: np.ndarray | None, domain: Domain) -> Table:
    import torch

    return _answered(torch.from_numpy(np.asarray(logits)).softmax(1).numpy(), prior, domain)


def _answered(probabilities: Any, prior: np.ndarray | None, domain: Domain) -> Table:
    """The columns of a row that hold what is answered, by probabilities (n, k) and prior, (k,) or (n, k)."""
    labels = labels_of(domain)
    prediction = probabilities.argmax(1) if prior is None else likelier_than_usual(probabilities, prior)
    said = [labels[i] for i in prediction.tolist()]
    table: Table = {"prediction": prediction, "label": said, "probabilities": probabilities}
    return table if prior is None else {**table, "prior": np.broadcast_to(prior, probabilities.shape).copy()}


def _shares(domain: Domain) -> np.ndarray:
    """(k,) of the training split's rows, each class's."""
    counts = _counts(domain)
    return np.asarray(counts / counts.sum())


def _counts(domain: Domain) -> np.ndarray:
    """(k,) the training split's rows of each class."""
    return np.array(able(domain, Counted).counts, np.float64)


def _shift(target: np.ndarray, domain: Domain) -> np.ndarray:
    """(k,) the logarithm of how much more rows of these targets (n,) hold of each class than the training split does.
    One more row a class is counted, as training has them: few rows tell little, and none is no proof of never."""
    share, classes = _shares(domain), len(_counts(domain))
    held = np.bincount(target, minlength=classes) + classes * share
    return np.asarray(np.log(held / held.sum() / share))


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
