"""Texts, or pairs of texts, as the words in them, and the letters in these (data/text/ngrams.py): what a linear model
reads.

Of a pair the words of each text stand apart, and so do those that both have; beside them is how alike both are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.random import Generator
from torch import nn

from pervade.core import spec
from pervade.core.contracts import PlainFeatures, Sparse, TensorSpec
from pervade.core.contracts.deployment import ROWS
from pervade.core.errors import DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Example, Rows
from pervade.data.text import ngrams
from pervade.domains.text import Text
from pervade.nn.entrances import SparseEntrance

ALIKE = 3  # numbers beside a pair's words: the cosine, the share of words that both have, and how long they are


@register("domain")
@dataclass(frozen=True)
class Bag(Text):
    """Text's fields that are about tokens have no effect here."""

    cuts: ClassVar[bool] = False

    terms: str = ""  # SHA-256 of the terms that are counted, which lie beside preprocess.json
    letters: str = ""  # likewise, of the runs of letters in words; empty where words are not parted

    @classmethod
    def of(cls, domain: Text) -> Self:
        """The same rows, read in the same way."""
        return cls(**{name: getattr(domain, name) for name in spec.field_names(Text)})

    @property
    def _counted(self) -> list[str]:
        return [terms for terms in (self.terms, self.letters) if terms]

    def assets(self) -> Mapping[str, str]:
        return {ngrams.file_name(terms): ngrams.text_of(terms) for terms in self._counted}

    def attach(self, folder: Path) -> None:
        for terms in self._counted:
            ngrams.attach(folder, terms)

    def fit(self, train: Rows) -> Self:
        given = self._all_texts(train)
        terms = ngrams.learn(given)
        if not terms:
            raise DataError("the texts hold no words, only signs; take --ladder without plain, or a --model")
        return replace(self._fit_to_rows(train), terms=terms, letters=ngrams.learn(given, letters=True))

    @property
    def _width(self) -> int:
        return sum(map(ngrams.counted, self._counted))

    def inputs(self) -> Sparse:  # type: ignore[override]
        return Sparse(3 * self._width + ALIKE if self.pair else self._width)

    def remarks(self, rows: Rows) -> list[str]:
        return []

    def plain_features(self, train: Rows, rows: Rows) -> PlainFeatures | None:
        """None: what reads these is the simplest model itself."""
        return None

    def _cut(self, pair: Sequence[str]) -> str | None:
        return None

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """ "places" (t,) int64 and "values" (t,) float32."""
        first = self._features(row["text"])
        places, values = [first.indices], [first.data]
        if self.pair:
            second, width = self._features(row["second"]), self._width
            both = first.multiply(second).tocsr()
            words = ngrams.counted(self.terms)
            alike = _alike(first[:, :words], second[:, :words], row["text"], row["second"])
            places += [second.indices + width, both.indices + 2 * width, 3 * width + np.arange(ALIKE)]
            values += [second.data, np.sqrt(both.data), alike]
        example = {"places": np.concatenate(places).astype(np.int64), "values": np.concatenate(values)}
        return [{**example, **self._target_of(row)}]

    def _features(self, text: str) -> Any:
        """(1, width), sparse."""
        from scipy.sparse import csr_matrix

        starts = np.cumsum([0, *map(ngrams.counted, self._counted)])
        parts = [ngrams.vector(terms, text) for terms in self._counted]
        places = np.concatenate([place + start for (place, _), start in zip(parts, starts, strict=False)])
        return csr_matrix((np.concatenate([part[1] for part in parts]), places, [0, len(places)]), (1, self._width))

    def takes(self) -> tuple[TensorSpec, ...]:
        said = "of what of a text is known (TF-IDF of its words and letters, as preprocess.json lists them)"
        return (
            TensorSpec("places", "int64", (ROWS, "terms"), f"numbers {said}, filled up with 0"),
            TensorSpec("values", "float32", (ROWS, "terms"), f"values {said}, filled up with 0"),
        )

    def entrance(self) -> nn.Module:
        return SparseEntrance()

    def _fed(self, example: Example) -> dict[str, np.ndarray]:
        return {"places": example["places"][None], "values": example["values"].astype(np.float32)[None]}

    def specimen(self) -> dict[str, np.ndarray]:
        return {"places": np.zeros((2, 5), np.int64), "values": np.zeros((2, 5), np.float32)}

    def collate(self, examples: Sequence[Example]) -> Batch:
        """ "input": "places" (n, t) int64 and "values" (n, t) float32, filled up with 0."""
        width = max(1, *(len(row["places"]) for row in examples))
        places, values = np.zeros((len(examples), width), np.int64), np.zeros((len(examples), width), np.float32)
        for number, row in enumerate(examples):
            places[number, : len(row["places"])] = row["places"]
            values[number, : len(row["values"])] = row["values"]
        sparse = {"places": torch.from_numpy(places), "values": torch.from_numpy(values)}
        return {"input": sparse, **self._targets(examples)}

    def shape(self, examples: Sequence[Example]) -> tuple[Any, ...]:
        return ()

    def filled(self, batch: Batch, shape: tuple[Any, ...]) -> Batch:
        return batch  # a row's sum is the same with zeros behind it


def _alike(first: Any, second: Any, one: str, other: str) -> np.ndarray:
    """(ALIKE,), each 0-1."""
    shared = len(np.intersect1d(first.indices, second.indices))
    union = max(first.nnz + second.nnz - shared, 1)
    return np.array([first.multiply(second).sum(), shared / union, len(one) / max(len(one) + len(other), 1)])
