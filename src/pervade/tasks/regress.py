"""A number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pervade.core.contracts import Context, Domain, Plain, PlainFeatures, Task, TensorSpec
from pervade.core.contracts.abilities import (
    CanBeBlended,
    CanTeach,
    Deployable,
    HasLinearHead,
    HasPlainModel,
    SelectsRows,
)
from pervade.core.contracts.capabilities import Scaled, able
from pervade.core.contracts.deployment import ROWS
from pervade.core.errors import DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Display, Json, LeftOut, Linear, Output, Parts, Rows, Table
from pervade.core.words import TaskWords
from pervade.data import linear
from pervade.data.read.targets import decode_numbers
from pervade.data.rows.parts import average
from pervade.metrics import conformal
from pervade.metrics.regression import coverage_metric, mean_baseline, regression_metrics
from pervade.tasks.classify import AUXILIARY

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

COVERAGE = 0.9  # of the targets, that the interval given with an answer is to hold
MOST_POINTS = 500  # of the rows that are drawn in the report


@register("task")
@dataclass(frozen=True)
class Regress(Task, SelectsRows, HasPlainModel, HasLinearHead, CanBeBlended, CanTeach, Deployable):
    """The model returns "value" (n, 1), the batch holds "target" (n,) float32, both standardised by the domain's
    `scale`: (number - mean) / deviation. Everything that leaves the task is in the number's own unit.

    `loss_name` "huber" is squared up to one deviation and absolute beyond (Huber 1964), so that a slip in the table
    does not drag the network along; "mse" and "mae" are squared and absolute throughout.
    """

    loss_name: Literal["huber", "mse", "mae"] = "huber"
    interval: bool = True  # learns on the validation split how far off answers are

    def examine(self, rows: Rows) -> None:
        if "target" not in rows:
            raise DataError("the data has no numbers to learn; give a table with a column of them")
        targets = rows.column("target")
        other = next((target for target in targets if isinstance(target, (str, list))), None)
        if other is not None:
            raise DataError(
                f"a row's target is {other!r}, not a number; choose the task that goes with it (`pervade tasks`), or "
                "set -o domain.target=number"
            )
        if "split" in rows:
            targets = [t for t, split in zip(targets, rows.column("split"), strict=True) if split == "train"]
        if len(set(targets)) == 1:
            raise DataError(f"all targets to learn from are {targets[0]}, so there is nothing to learn; add others")

    def measurable(self, rows: Rows, domain: Domain) -> tuple[Rows, list[LeftOut]]:
        """Equal numbers too, from which nothing could be learnt."""
        self.examine(rows.with_columns(split=["test"] * len(rows)))
        return rows, []

    def outputs(self, domain: Domain) -> dict[str, int]:
        return {"value": 1}

    def loss(self, output: Output, batch: Batch) -> Parts:
        loss = self._losses(output["value"], batch["target"])
        if "auxiliary" in output:
            loss = loss + AUXILIARY * self._losses(output["auxiliary"], batch["target"])
        error = (output["value"].detach().float()[:, 0] - batch["target"]).abs()
        return {"loss": loss, "error_in_deviations": error}

    def imitation(self, output: Output, teacher: Output, batch: Batch, temperature: float) -> Tensor:
        """By its own loss, the teacher's number being the target; a number has no temperature."""
        return self._losses(output["value"], teacher["value"].float()[:, 0])

    def _losses(self, value: Tensor, target: Tensor) -> Tensor:
        from torch.nn import functional as F

        value = value.float()[:, 0]
        if self.loss_name == "mse":
            return F.mse_loss(value, target, reduction="none")
        if self.loss_name == "mae":
            return F.l1_loss(value, target, reduction="none")
        return F.huber_loss(value, target, reduction="none")

    def fit_head(
        self,
        features: Any,
        target: np.ndarray,
        number: np.ndarray,
        domain: Domain,
        strengths: Sequence[float],
        group: np.ndarray | None = None,
    ) -> Mapping[str, Linear]:
        return {"value": linear.numbers(features, target, strengths, number, group=group)}

    def score(self, output: Output, batch: Batch, context: Context) -> Tensor:
        """(n,): the negative distance from the target, or the value where there is no target; both in deviations."""
        value = output["value"].float()[:, 0]
        return -(value - batch["target"]).abs() if context.targets else value

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        return {"value": self.forward(model, batch, context)["value"].float()}

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """ "prediction", "low" and "high" (n,) float64, the latter nan where no interval was learnt, and, where known,
        "target" (n,)."""
        table: Table = {name: batch[name] for name in ("row", "part") if name in batch}
        scale = able(context.domain, Scaled).scale
        prediction = decode_numbers(output["value"][:, 0].cpu().numpy(), scale)
        reach = float(context.decision.get("reach", math.nan))
        if context.targets:
            table["target"] = decode_numbers(batch["target"].cpu().numpy(), scale, rounded=True)
        return {**table, "prediction": prediction, "low": prediction - reach, "high": prediction + reach}

    def gives(self, domain: Domain) -> tuple[TensorSpec, ...]:
        ends = "end of the range that mostly holds the number; NaN where none was learnt"
        return (
            TensorSpec("prediction", "float64", (ROWS,), "the number, in its own unit"),
            TensorSpec("low", "float64", (ROWS,), f"lower {ends}"),
            TensorSpec("high", "float64", (ROWS,), f"upper {ends}"),
        )

    def deployed(self, model: Module, batch: Batch, context: Context) -> dict[str, Tensor]:
        from pervade.nn.entrances import of_views

        mean, deviation = able(context.domain, Scaled).scale
        value = of_views(self.infer(model, batch, context)["value"][:, 0].double(), batch)
        prediction = value * deviation + mean
        reach = float(context.decision.get("reach", math.nan))
        return {"prediction": prediction, "low": prediction - reach, "high": prediction + reach}

    def reduce(self, table: Table, domain: Domain) -> Table:
        """Views of one picture become one line: the mean of their answers."""
        return average(table, ["prediction", "low", "high"])

    def blended(self, tables: Sequence[Table], weights: Sequence[float], domain: Domain) -> Table:
        """Of weights that sum to 1."""
        names = ("prediction", "low", "high")
        pairs = list(zip(tables, weights, strict=True))
        return {
            **tables[0],
            **{name: sum(weight * np.asarray(table[name]) for table, weight in pairs) for name in names},
        }

    def log_likelihood(self, table: Table) -> np.ndarray:
        """By Laplace's distribution, to which the mean absolute error belongs, as wide as the errors of these rows."""
        errors = np.abs(np.asarray(table["prediction"]) - np.asarray(table["target"]))
        width = max(float(errors.mean()), np.finfo(np.float64).tiny)
        return np.asarray(-errors / width - math.log(2 * width))

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        return {**regression_metrics(), "coverage": coverage_metric(COVERAGE)}

    def decide(self, columns: Mapping[str, Any], domain: Domain) -> dict[str, Json]:
        """ "reach": answer ± reach holds 90% of the targets (split conformal: Lei et al. 2018, arXiv:1604.04173). The
        promise is kept on average over rows like these. Nothing where the rows are too few (below 9)."""
        reach = conformal.quantile(np.abs(np.asarray(columns["prediction"]) - np.asarray(columns["target"])), COVERAGE)
        return {"reach": reach, "coverage": COVERAGE} if self.interval and math.isfinite(reach) else {}

    def details(self, columns: Mapping[str, Any], train: Rows, domain: Domain) -> dict[str, Json]:
        """ "scatter" (target, prediction; evenly spaced rows where there are many), "reach" where an interval was
        learnt, and "baseline" (the training split's mean)."""
        target, prediction = np.asarray(columns["target"]), np.asarray(columns["prediction"])
        shown = np.unique(np.linspace(0, len(target) - 1, min(len(target), MOST_POINTS)).round().astype(int))
        mean = float(np.mean(np.asarray(train.column("target"), np.float64)))
        # The same in every row of one checkpoint; of several folds together the one in the middle.
        reach = float(np.median(np.asarray(columns["high"]) - prediction))
        return {
            "scatter": [[float(target[i]), float(prediction[i])] for i in shown],
            **({"reach": reach} if math.isfinite(reach) else {}),
            "baseline": mean_baseline(columns, mean),
        }

    def plain(self, features: PlainFeatures, train: Rows, columns: Mapping[str, Any], domain: Domain) -> Plain | None:
        """Without an interval."""
        target = np.array([float(value) for value in train.column("target")])
        prediction = linear.numbers(features.train, target)(features.rows)[:, 0]
        unknown = np.full_like(prediction, math.nan)
        return Plain(
            f"{features.name} and ridge regression", {"prediction": prediction, "low": unknown, "high": unknown}
        )

    def wording(self, domain: Domain) -> TaskWords:
        # As the Hub files similarity and grading.
        return TaskWords("estimates a number from a {one}", pipeline="{modality}-classification")

    def display(self, answer: Mapping[str, Any]) -> Display:
        known = (
            f" ({100 * answer['coverage']:g}%: {answer['low']:.6g} to {answer['high']:.6g})" if "low" in answer else ""
        )
        return replace(super().display(answer), line=f"{answer['value']:.6g}{known}")

    def answers(self, table: Table, domain: Domain, top: int) -> list[dict[str, Any]]:
        """ "value", and "low" and "high" where an interval was learnt, with the share of targets it is to hold."""
        rows = []
        for value, low, high in zip(table["prediction"], table["low"], table["high"], strict=True):
            known = {"low": float(low), "high": float(high), "coverage": COVERAGE} if math.isfinite(low) else {}
            rows.append({"value": float(value), **known})
        return rows
