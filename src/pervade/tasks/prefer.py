"""Direct preference optimisation: a language model learns which of two answers people prefer.

Rafailov et al. 2023, arXiv:2305.18290, equation 7: with x what was asked, y+ the chosen and y- the rejected answer,

    loss = -log sigmoid(beta (log p(y+|x) / p0(y+|x) - log p(y-|x) / p0(y-|x)))

where p0 is the model as it was before. beta times log p / p0 is an answer's implicit reward.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Module
from torch.nn import functional as F

from pervade.core.contracts import Context, Domain
from pervade.core.contracts.abilities import HasCompanions
from pervade.core.registry import register
from pervade.core.types import Batch, Json, Output, Parts, Rows, Table
from pervade.core.words import SHARE, TaskWords
from pervade.data.text.corpus import IGNORED
from pervade.metrics.preference import coin, longer_baseline, preference_metrics
from pervade.tasks.language_model import ANSWERING, LanguageModel, losses

ANSWERS = (("chosen", "input", "target"), ("rejected", "rejected", "rejected_target"))


@register("task")
@dataclass(frozen=True)
class Prefer(LanguageModel, HasCompanions):
    """The model returns "logits" (n, t, v); the batch holds both answers behind what was asked, "input" and "rejected"
    (n, t), and "target" and "rejected_target", -100 where no token of an answer is foretold.

    Without the model as it was before, outside training, the loss takes both answers for as likely then.
    """

    beta: Annotated[float, Field(gt=0.0, le=10.0)] = 0.1  # how dear it is to leave the model as it was
    smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0  # share of pairs that are taken to be the wrong way round

    # Two answers' probabilities say too little of what a teacher would write: it cannot teach, as isinstance tells.
    imitation = None  # type: ignore[assignment]

    def companions(self, model: Module, domain: Domain) -> Module | None:
        """ "reference": the model with its first weights, which do not learn."""
        companions = Module()
        companions.reference = copy.deepcopy(model).eval().requires_grad_(False)
        return companions

    def forward(self, model: Module, batch: Batch, context: Context) -> Output:
        """ "chosen" and "rejected" (n,), log-probabilities; in training "reference_chosen" and "reference_rejected"."""
        output = log_probabilities(model, batch)
        if context.companions is not None:
            with torch.no_grad():
                before = log_probabilities(context.companions.get_submodule("reference"), batch)
            output |= {f"reference_{name}": value for name, value in before.items()}
        return output

    def loss(self, output: Output, batch: Batch) -> Parts:
        """Beside "loss" "accuracy", whether the chosen answer has the larger implicit reward, and "margin", by how
        much."""
        ratio = output["chosen"] - output["rejected"]
        if "reference_chosen" in output:
            ratio = ratio - (output["reference_chosen"] - output["reference_rejected"])
        margin = self.beta * ratio
        loss = -(1 - self.smoothing) * F.logsigmoid(margin) - self.smoothing * F.logsigmoid(-margin)
        return {"loss": loss, "accuracy": (margin.detach() > 0).float(), "margin": margin.detach()}

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        """Where there are answers, how likely they are; else what the model writes, row by row."""
        return log_probabilities(model, batch) if context.targets else super().infer(model, batch, context)

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """ "chosen" and "rejected" (n,), log-probabilities in nats, of "chosen_tokens" and "rejected_tokens"; or
        "text", what was written."""
        if not context.targets:
            return super().predictions(output, batch, context)
        table: Table = {"row": batch["row"]}
        for name, _, target in ANSWERS:
            table[name] = output[name].double().cpu().numpy()
            table[f"{name}_tokens"] = (batch[target] != IGNORED).sum(1).cpu().numpy()
        return table

    def wording(self, domain: Domain) -> TaskWords:
        does = "answers, and finds the preferred of two answers the likelier"
        return replace(ANSWERING, does=does, logged={"accuracy": SHARE})

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        return preference_metrics()

    def details(self, columns: Mapping[str, Any], train: Rows, domain: Domain) -> dict[str, Json]:
        """ "baseline": whoever takes the longer answer; "constant": a coin."""
        return {
            "baseline": longer_baseline(columns),
            "constant": {"name": "a guess by a coin", "metrics": coin(len(columns["row"]))},
        }


def log_probabilities(model: Module, batch: Batch) -> Output:
    """ "chosen" and "rejected" (n,) in nats, summed over an answer's tokens; both in one pass."""
    inputs = torch.cat([batch[name] for _, name, _ in ANSWERS])
    targets = torch.cat([batch[name] for _, _, name in ANSWERS])
    log_prob: Tensor = -losses(model(inputs)["logits"], targets).sum(1)
    chosen, rejected = log_prob.chunk(2)
    return {"chosen": chosen, "rejected": rejected}
