"""Rows of codes that another network named its rows by (nn/quantiser.py), read from its predictions file: what a prior
over them learns from.

A row is as text is to a language model: tokens below the number of codes are codes, and the first, beyond them, says
what the row is of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.random import Generator

from pervade.core.bounds import Count
from pervade.core.contracts import Domain, Tokens
from pervade.core.errors import DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Example, LeftOut, Media, Rows
from pervade.core.words import DomainWords
from pervade.engine import predictions

COLUMNS = ("codes", "class", "codebook")  # of a row: (t,) codes, what it is of, and how many codes there are


@register("domain")
@dataclass(frozen=True)
class Codebook(Domain):
    reads: ClassVar[str] = "codes that another network made"
    wording: ClassVar[DomainWords] = DomainWords(("row of codes", "rows of codes"))

    codes: Count = 0  # how many there are; learnt, as what follows
    positions: Count = 0  # codes of a row
    classes: Count = 0  # what rows are of: 1 to so many, and 0 where that is not said

    @property
    def repeats(self) -> bool:
        return True

    def read(self, source: Any) -> tuple[Rows, list[LeftOut]]:
        """Raises DataError where the file holds no codes."""
        path = Path(source)
        if not path.is_file():
            raise DataError(f"{path} is not there; a prior is learnt as `then` of a recipe, from the codes of its run")
        columns = predictions.read_columns(path)
        if lacking := [name for name in COLUMNS if name not in columns]:
            raise DataError(
                f"{path} holds no column {lacking[0]!r}; a prior is learnt from the predictions of a network that "
                "makes codes (--model vq-vae)"
            )
        rows: dict[str, Any] = {name: columns[name].tolist() for name in COLUMNS}
        if len(set(rows["class"])) > 1:
            rows["target"] = [str(of) for of in rows["class"]]  # so that each split has the classes in the same shares
        if len(set(columns["group"].tolist())) < len(columns["group"]):
            rows["group"] = [str(group) for group in columns["group"].tolist()]
        return Rows({"id": list(columns["id"]), **rows}), []

    def fit(self, train: Rows) -> Codebook:
        classes = max(train.column("class"))
        return replace(
            self, codes=train.column("codebook")[0], positions=len(train.column("codes")[0]), classes=classes
        )

    def inputs(self) -> Tokens:
        return Tokens(self.codes + self.classes + 1, self.positions, pooled=False, causal=True)

    def beginning(self, classes: torch.Tensor) -> torch.Tensor:
        """The tokens (n,) that rows of these classes (n,) begin with. Raises DataError where there is no such class."""
        if (unknown := classes[classes > self.classes]).numel():
            raise DataError(f"the prior learnt no class {int(unknown[0])}; there are {self.classes}")
        return classes + self.codes

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """ "input" (t,), what it is of and all codes but the last, and "target" (t,), the codes."""
        codes = np.asarray(row["codes"], np.int64)
        return [{"input": np.concatenate([[self.codes + row["class"]], codes[:-1]]), "target": codes}]

    def collate(self, examples: Sequence[Example]) -> Batch:
        return {name: torch.from_numpy(np.stack([row[name] for row in examples])) for name in ("input", "target")}

    def show(self, row: dict[str, Any], prediction: dict[str, Any] | None) -> list[Media]:
        return [Media("text", " ".join(map(str, row["codes"])), str(row["id"]))]
