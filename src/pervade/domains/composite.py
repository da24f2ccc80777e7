"""The same rows, read in several ways by name: what a network of several members is given, each its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.random import Generator

from pervade.core.contracts import Domain, PlainFeatures, Several, TensorSpec, asking
from pervade.core.contracts.capabilities import Counted, FilledUp, Portable, Scaled, able
from pervade.core.contracts.deployment import ROWS, Graphless, SharesFeed
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Batch, Example, LeftOut, Media, Rows
from pervade.core.words import DomainWords

if TYPE_CHECKING:
    from torch import nn

APART = "/"  # between a part's name and the name of a column that it made
SHARED = ("hash", "size", "cut")  # columns that the frame knows: the first part's


@register("domain")
@dataclass(frozen=True)
class Composite(Domain):
    """`parts` read the same data in the same way, and differ in what a network sees of a row. The first is who is asked
    about rows, labels and words."""

    reads: ClassVar[str] = "the same rows in several ways"

    parts: Mapping[str, Domain] = field(default_factory=dict)

    @property
    def first(self) -> Domain:
        return next(iter(self.parts.values()))

    def with_parts(self, change: Callable[[Domain], Domain]) -> Self:
        return replace(self, parts={name: change(part) for name, part in self.parts.items()})

    @property
    def given(self) -> str:  # type: ignore[override]
        return self.first.given

    @property
    def cuts(self) -> bool:  # type: ignore[override]
        return any(part.cuts for part in self.parts.values())

    @property
    def wording(self) -> DomainWords:  # type: ignore[override]
        return self.first.wording

    # what its rows are: the first part's

    @property
    def target(self) -> str:
        return able(self.first, Counted).target

    @property
    def labels(self) -> tuple[str, ...]:
        return able(self.first, Counted).labels

    @property
    def counts(self) -> tuple[int, ...]:
        return able(self.first, Counted).counts

    @property
    def rows(self) -> int:
        return able(self.first, Counted).rows

    @property
    def scale(self) -> tuple[float, float]:
        return able(self.first, Scaled).scale

    # reading

    def read(self, source: Any) -> tuple[Rows, list[LeftOut]]:
        return self.first.read(source)

    def asked(self, given: Any, number: int = 1) -> Iterable[dict[str, Any] | LeftOut]:
        return self.first.asked(given, number)

    def fields(self) -> tuple[asking.Field, ...]:
        return able(self.first, asking.Askable).fields()

    def sent(self, given: Mapping[str, Any], name: str, number: int = 1) -> dict[str, Any] | LeftOut:
        return able(self.first, asking.Askable).sent(given, name, number)

    def prepare(
        self, rows: Rows, progress: Callable[[int, int], None], keep: bool = True
    ) -> tuple[Rows, list[LeftOut]]:
        """What a part adds stands in columns with its name in front. A row that one part cannot use, none uses."""
        whole = len(rows) * len(self.parts)
        made: dict[str, Rows] = {}
        left: dict[str, LeftOut] = {}
        for place, (name, part) in enumerate(self.parts.items()):
            done = place * len(rows)
            made[name], lost = part.prepare(rows, lambda now, of, done=done: progress(done + now, whole), keep)  # type: ignore[misc]
            left |= {reason.source: reason for reason in lost}
        good = set.intersection(*({int(number) for number in part.number} for part in made.values()))
        columns: dict[str, Sequence[Any]] = {}
        for name, own in made.items():
            own = own.select([place for place, number in enumerate(own.number) if int(number) in good])
            added = {column: values for column, values in own.columns.items() if column not in rows.columns}
            columns |= {f"{name}{APART}{column}": values for column, values in added.items()}
            columns = {column: added[column] for column in SHARED if column in added} | columns
        kept = rows.select([place for place, number in enumerate(rows.number) if int(number) in good])
        return kept.with_columns(**columns), list(left.values())

    def _row(self, name: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row, or the columns, as this part prepared them."""
        own = {column: value for column, value in row.items() if APART not in column}
        start = f"{name}{APART}"
        return own | {column.removeprefix(start): value for column, value in row.items() if column.startswith(start)}

    def _rows(self, name: str, rows: Rows) -> Rows:
        return Rows(self._row(name, rows.columns), rows.number)

    def fit(self, train: Rows) -> Self:
        """Parts that were fitted before stay as they are."""
        parts = self.parts.items()
        known = {name: part for name, part in parts if able(part, Counted).rows}
        return replace(self, parts={name: known.get(name) or part.fit(self._rows(name, train)) for name, part in parts})

    def inputs(self) -> Several:
        return Several({name: part.inputs() for name, part in self.parts.items()})

    def assets(self) -> Mapping[str, str]:
        return {file: text for part in self.parts.values() for file, text in part.assets().items()}

    def attach(self, folder: Path) -> None:
        for part in self.parts.values():
            part.attach(folder)

    def describe(self, train: Rows) -> None:
        self.first.describe(train)

    def plain_features(self, train: Rows, rows: Rows) -> PlainFeatures | None:
        """Of the first part that has any."""
        for name, part in self.parts.items():
            features = part.plain_features(self._rows(name, train), self._rows(name, rows))
            if features is not None:
                of = features.of
                return features if of is None else replace(features, of=_of_part(self, name, of))
        return None

    # examples

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """One example: those of every part, of which there may be several (views, windows)."""
        return [{name: part.transform(self._row(name, row), rng) for name, part in self.parts.items()}]

    def collate(self, examples: Sequence[Example]) -> Batch:
        """ "input": by part "input", "mask" where it has one (n, v, …), and "weight" (n, v): of v examples of a row
        those that are there weigh the same, and together 1."""
        import torch

        inputs: dict[str, Any] = {}
        targets: Batch = {}
        for name, part in self.parts.items():
            own = [example[name] for example in examples]
            most = max(map(len, own))
            filled = [piece for pieces in own for piece in [*pieces, *[pieces[-1]] * (most - len(pieces))]]
            batch = _by_row(part.collate(filled), len(own), most)
            if "target" in batch:
                targets = {"target": batch.pop("target")[:, 0]}
            lengths = torch.tensor([[len(pieces)] for pieces in own])
            inputs[name] = {**batch, "weight": (torch.arange(most) < lengths) / lengths}
        return {"input": inputs, **targets}

    def shape(self, examples: Sequence[Example]) -> tuple[Any, ...]:
        from pervade.data.rows import loader

        (example,) = examples
        return tuple((len(example[name]), loader.shape(part, example[name])) for name, part in self.parts.items())

    def filled(self, batch: Batch, shape: tuple[Any, ...]) -> Batch:
        inputs = dict(batch["input"])
        for (name, part), (_, own) in zip(self.parts.items(), shape, strict=True):
            if isinstance(part, FilledUp):
                inputs[name] = part.filled(inputs[name], own)
        return {**batch, "input": inputs}

    # where it leaves this project

    def _fed(self) -> dict[str, tuple[str, ...]]:
        """The parts that a graph is fed the same for, by the first of them. Raises ConfigError as `takes`."""
        groups: dict[str, tuple[str, ...]] = {}
        for name, part in self.parts.items():
            if isinstance(part, Graphless):
                raise ConfigError(f"of several networks that answer together, {name}: {part.graphless}")
            if not isinstance(part, Portable):
                raise ConfigError(f"{part.reads} cannot be given to an exported graph; use `pervade predict`")
            part.takes()
            alike = (first for first in groups if isinstance(part, SharesFeed) and part.fed_alike(self.parts[first]))
            first = next(alike, name)
            groups[first] = (*groups.get(first, ()), name)
        return groups

    def fed_by(self) -> dict[str, tuple[str, str]]:
        """By each input of a graph: which part it is fed by, and what it is called there. Where not all parts are fed
        the same, the (first) part's name stands behind that."""
        groups = self._fed()
        return {
            spec.name if len(groups) == 1 else f"{spec.name}_{first}": (first, spec.name)
            for first in groups
            for spec in able(self.parts[first], Portable).takes()
        }

    def takes(self) -> tuple[TensorSpec, ...]:
        specs = []
        for name, (first, own) in self.fed_by().items():
            spec = next(spec for spec in able(self.parts[first], Portable).takes() if spec.name == own)
            end = name.removeprefix(own)  # an axis of any length is not as long as another part's
            shape = tuple(f"{axis}{end}" if isinstance(axis, str) and axis != ROWS else axis for axis in spec.shape)
            specs.append(replace(spec, name=name, shape=shape))
        return tuple(specs)

    def entrance(self) -> nn.Module:
        from pervade.nn.entrances import SeveralEntrance

        readers = [first for first, _ in self.fed_by().values()]
        own = {first: [place for place, reader in enumerate(readers) if reader == first] for first in readers}
        places = {name: own[first] for first, names in self._fed().items() for name in names}
        return SeveralEntrance({name: able(self.parts[name], Portable).entrance() for name in places}, places)

    def feeds(self, row: dict[str, Any]) -> list[dict[str, np.ndarray]]:
        """As many as of the part that reads the row in the most pieces; beside these the last of other parts."""
        by = self.fed_by()
        own = {first: able(self.parts[first], Portable).feeds(self._row(first, row)) for first, _ in by.values()}
        return [
            {name: own[first][min(number, len(own[first]) - 1)][called] for name, (first, called) in by.items()}
            for number in range(max(map(len, own.values())))
        ]

    def specimen(self) -> dict[str, np.ndarray]:
        return {
            name: able(self.parts[first], Portable).specimen()[called]
            for name, (first, called) in self.fed_by().items()
        }

    # looking inside

    def show(self, row: dict[str, Any], prediction: dict[str, Any] | None) -> list[Media]:
        name = next(iter(self.parts))
        return self.first.show(self._row(name, row), prediction)


def _by_row(batch: Batch, rows: int, most: int) -> Batch:
    def folded(value: Any) -> Any:
        if not isinstance(value, dict):
            return value.reshape(rows, most, *value.shape[1:])
        return {name: folded(part) for name, part in value.items()}

    return {name: folded(value) for name, value in batch.items()}


def _of_part(domain: Composite, name: str, of: Callable[[Rows], Any]) -> Callable[[Rows], Any]:
    return lambda rows: of(domain._rows(name, rows))
