"""Which words are hidden in a text? Asked of running text it teaches an encoder the language of a field (Devlin et al.
2019, arXiv:1810.04805), from which other questions are learnt with fewer answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import Module
from torch.nn import functional as F

from pervade.core.contracts import Context, Domain, Plain, PlainFeatures, Task, TensorSpec, Tokens, require
from pervade.core.contracts.abilities import Deployable, HasPlainModel
from pervade.core.contracts.capabilities import Tokenised, able
from pervade.core.contracts.deployment import ROWS
from pervade.core.errors import DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Display, Output, Parts, Rows, Table
from pervade.core.words import TaskWords
from pervade.data.rows.parts import add_up
from pervade.data.text import vocabulary
from pervade.data.text.corpus import IGNORED
from pervade.metrics.filling import filling_metrics
from pervade.tasks.classify import likely, ranked

GUESSES = 10  # of the likeliest tokens of a gap that `predict` knows


@register("task")
@dataclass(frozen=True)
class FillMask(Task, HasPlainModel, Deployable):
    """The model is called with the places that are "asked" (n, k) and returns "logits" (n, k, v); the batch holds
    "target" (n, k) int64, -100 where it has fewer."""

    def examine(self, rows: Rows) -> None:
        if "split" in rows and len(rows.where("split", "train")) == 0:
            raise DataError("nothing is left to learn from; add texts")

    def outputs(self, domain: Domain) -> dict[str, int]:
        return {"logits": require(domain.inputs(), Tokens, "fill-mask").vocabulary}

    def forward(self, model: Module, batch: Batch, context: Context) -> Output:
        output: Output = model(batch["input"], mask=batch.get("mask"), asked=batch["asked"])
        return output

    def loss(self, output: Output, batch: Batch) -> Parts:
        target = batch["target"]
        loss = F.cross_entropy(output["logits"].float().transpose(1, 2), target, reduction="none", ignore_index=IGNORED)
        return {"loss": loss.sum(1), "count": (target != IGNORED).sum(1).float()}

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        logits = self.forward(model, batch, context)["logits"].float()
        if context.targets:
            right = (logits.argmax(2) == batch["target"]).sum(1)
            return {"loss": self.loss({"logits": logits}, batch)["loss"], "right": right}
        likeliest = logits.softmax(2).topk(min(GUESSES, logits.shape[2]), 2)
        return {"probability": likeliest.values, "token": likeliest.indices}

    def gives(self, domain: Domain) -> tuple[TensorSpec, ...]:
        size = require(domain.inputs(), Tokens, "fill-mask").vocabulary
        said = "probability of each token of the vocabulary at each place that is asked, 0-1"
        return (TensorSpec("probabilities", "float32", (ROWS, "gaps", size), said),)

    def deployed(self, model: Module, batch: Batch, context: Context) -> dict[str, Tensor]:
        return {"probabilities": self.forward(model, batch, context)["logits"].float().softmax(2)}

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """ "bits" (n,) that the hidden "tokens" (n,) cost, and how many were named "right"; or, for gaps to be filled,
        "guesses" and their "probabilities", a list a gap."""
        table: Table = {"row": batch["row"]}
        if not context.targets:
            made = vocabulary.tokenizer(able(context.domain, Tokenised).tokenizer)
            gaps = batch["gaps"].tolist()
            tokens, shares = output["token"].cpu().tolist(), output["probability"].cpu().double().tolist()
            table["guesses"] = [
                [[made.decode([token]).strip() or str(made.id_to_token(token)) for token in gap] for gap in row[:count]]
                for row, count in zip(tokens, gaps, strict=True)
            ]
            table["probabilities"] = [row[:count] for row, count in zip(shares, gaps, strict=True)]
            return table
        counted = (batch["target"] != IGNORED).sum(1).cpu().numpy()
        bits = output["loss"].double().cpu().numpy() / math.log(2)
        return {**table, "bits": bits, "tokens": counted, "right": output["right"].cpu().numpy()}

    def reduce(self, table: Table, domain: Domain) -> Table:
        """Windows of one text become one line: all adds up."""
        return add_up(table, ("bits", "tokens", "right"))

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        return filling_metrics()

    def plain(self, features: PlainFeatures, train: Rows, columns: Mapping[str, Any], domain: Domain) -> Plain | None:
        """The tokens by how often they are, whatever stands around them."""
        counts = np.asarray(features.train, np.float64) + 0.1  # so that what never stood in training is not impossible
        cost = -np.log2(counts / counts.sum())
        often = int(counts.argmax())
        return Plain(
            "each token as likely as it is frequent in training",
            {
                "bits": np.array([cost[asked].sum() for asked in features.rows]),
                "right": np.array([float((asked == often).sum()) for asked in features.rows]),
            },
        )

    def wording(self, domain: Domain) -> TaskWords:
        return TaskWords("fills in hidden words of a {one}", pipeline="fill-mask")

    def display(self, answer: Mapping[str, Any]) -> Display:
        rows = ranked(answer["top"]) if "top" in answer else [{"gaps": answer["gaps"]}]
        return Display("  |  ".join(map(likely, answer["gaps"])), rows)

    def answers(self, table: Table, domain: Domain, top: int) -> list[dict[str, Any]]:
        """ "gaps": the likeliest words of each, by "label" and "probability"; of a single one "top" as well."""
        rows = []
        for guesses, shares in zip(table["guesses"], table["probabilities"], strict=True):
            gaps = [
                [{"label": word, "probability": p} for word, p in list(zip(words, chances, strict=True))[:top]]
                for words, chances in zip(guesses, shares, strict=True)
            ]
            rows.append({"gaps": gaps, **({"top": gaps[0]} if len(gaps) == 1 else {})})
        return rows
