"""What an example is: the contract of a domain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

from pervade.core.contracts.inputs import Inputs, InputSpace
from pervade.core.errors import DataError
from pervade.core.types import Batch, Example, LeftOut, Media, Rows
from pervade.core.words import DomainWords

if TYPE_CHECKING:
    from numpy.random import Generator


@runtime_checkable
class Domain(Protocol):
    """What an example IS. Its JSON is preprocess.json: the one path from a file to a model's input.

    A domain is frozen: `fit` returns a new one that knows its labels, statistics or tokenizer.
    """

    kind: ClassVar[str] = "domain"
    given: ClassVar[str] = "FILE"  # what `predict` is given, as a help text says it
    reads: ClassVar[str] = "data of another kind"  # what it is for, as a message says it
    cuts: ClassVar[bool] = False  # whether of a row that is too long only a part may be read
    wording: ClassVar[DomainWords] = DomainWords()  # what its rows are called

    @property
    def repeats(self) -> bool:
        """Whether training sees the same example of a row every time: `transform` uses no randomness."""
        return False

    def read(self, source: Any) -> tuple[Rows, list[LeftOut]]:
        """A table of rows, before any split, and what cannot be used. Raises DataError where nothing is left."""
        ...

    def asked(self, given: Any, number: int = 1) -> Iterable[dict[str, Any] | LeftOut]:
        """What one input of `predict`, its `number`th, stands for: rows with "id", and what cannot be used in its place
        among them (data/read/inputs.py). A path, a text or a number comes as str. Raises DataError where it can be
        nothing.
        """
        raise DataError(f"{self.reads} cannot be given to predict")

    def prepare(
        self, rows: Rows, progress: Callable[[int, int], None], keep: bool = True
    ) -> tuple[Rows, list[LeftOut]]:
        """Opens every row once: adds whatever makes `transform` fast; drops rows that cannot be opened.

        `keep` True adds "hash" too and may cache on disk; False is for rows seen once (prediction), keeps them in
        memory, and adds "cut" where the domain `cuts`: in words how much of a row is read, or None for all of it.
        `progress` is called with (rows done, rows in all).
        """
        return rows, []

    def describe(self, train: Rows) -> None:
        """Notes in the account (data/read/account.py) how the rows that are learnt from are seen, before anything
        is."""
        return

    def fit(self, train: Rows) -> Self:
        """Learns what must come from the training split alone: labels, mean and deviation, tokenizer."""
        ...

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """One row as examples: usually one, several where a row is read through windows (their number is "part").

        `rng` None is the one path that evaluate, predict, export and serve use; otherwise it is seeded by
        (seed, epoch, row), so neither order nor workers matter.
        """
        ...

    def collate(self, examples: Sequence[Example]) -> Batch: ...

    def inputs(self) -> Inputs:
        """What a model is given, known after `fit`."""
        ...

    def input_space(self) -> InputSpace | None:
        """The legal space of a model's input; None where there is nothing between two inputs (tokens, codes)."""
        return None

    def show(self, row: dict[str, Any], prediction: dict[str, Any] | None) -> list[Media]: ...

    def assets(self) -> Mapping[str, str]:
        """What is too large for JSON (a tokenizer): names of files to their text. They lie beside preprocess.json, and
        the domain's fields hold their SHA-256."""
        return {}

    def attach(self, folder: Path) -> None:
        """Makes the assets in `folder` known to this process, which may be done again and again. Raises CheckpointError
        where one is missing or is not what was written."""
        return

    def remarks(self, rows: Rows) -> list[str]:
        """What is to be known of how a fitted domain reads these rows (texts that are cut), in words, said aloud."""
        return []

    def plain_features(self, train: Rows, rows: Rows) -> PlainFeatures | None:
        """Features for the simplest model worth beating, learnt from `train` alone; None where there is none."""
        return None


@dataclass(frozen=True)
class PlainFeatures:
    """Of the rows that train and of those that are measured: matrices (n, d), sparse or dense, for a linear model."""

    name: str  # "TF-IDF of words"
    train: Any
    rows: Any
    of: Callable[[Rows], Any] | None = None  # the same features of further rows
    held: Rows | None = (
        None  # of the validation split, by which the model's answers were settled: so are the simplest's
    )


@dataclass(frozen=True)
class Opened:
    """Data as a domain reads them, before anything trains (run/opening.py): all that a check or a forecast sees.

    `rows` have a "split" each, and what their domain gives them: "target", "path", "group", "hash". `left_out` is what
    cannot be used, and why; `account` says in words how all was read; `task` is its name on the Hub, where known.
    """

    source: Any
    domain: Domain
    rows: Rows
    left_out: Sequence[LeftOut]
    account: Sequence[str]
    task: str | None = None

    @property
    def splits(self) -> dict[str, int]:
        """How many rows each split has."""
        return dict(Counter(self.rows.column("split")))

    @property
    def train(self) -> Rows:
        """The rows that are learnt from; of folds, each of which is held out once, those of them all."""
        return self.rows.where("split", "test" if "fold" in self.rows else "train")

    @cached_property
    def fitted(self) -> Domain:
        """The domain with what it learns of `train`. Raises as `Domain.fit` does."""
        return self.domain.fit(self.train)

    @cached_property
    def remarks(self) -> list[str]:
        """What is to be known of how the fitted domain reads the rows, in words. Raises as `fitted` does."""
        return self.fitted.remarks(self.rows)
