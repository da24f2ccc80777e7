"""What a model is asked about where that is sent to it (a server's requests), and nobody named a file, table or folder:
what a domain makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from pervade.core.types import LeftOut

Kind: TypeAlias = Literal["picture", "sound", "text", "messages", "seed", "label"]
FILES = ("picture", "sound")  # kinds that come as the bytes of a file


@dataclass(frozen=True)
class Field:
    """One of the things that make an input, such as a question and the text it is about."""

    name: str  # of the only one "input"
    kind: Kind
    title: str  # in words
    suffixes: tuple[str, ...] = ()  # of files that can be read for it, lower case, with the dot


@runtime_checkable
class Askable(Protocol):
    """A domain that takes what is sent."""

    def fields(self) -> tuple[Field, ...]:
        """What makes one input, in order."""
        ...

    def sent(self, given: Mapping[str, Any], name: str, number: int = 1) -> dict[str, Any] | LeftOut:
        """The row of one input, the `number`th, or why it is none; as `Domain.asked` makes it of a text, or of a file.
        `given` holds all fields by name: of a file the path where its bytes lie, which nobody sent; messages as a list;
        all else as texts, which are never taken for paths. `name` is what a file was called."""
        ...
