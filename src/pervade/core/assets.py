"""Texts too large for a frozen domain's fields: the field holds the SHA-256, the text lies beside preprocess.json
(`Domain.assets`), and what this process has met is kept here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pervade.core import files
from pervade.core.errors import CheckpointError, ContractError


@dataclass(frozen=True)
class Assets:
    """Of one kind: what each is called, how its file's name begins, and how a file is read."""

    noun: str
    prefix: str
    read: Callable[[Path], str]
    known: dict[str, str] = field(default_factory=dict)  # SHA-256 to text

    def keep(self, text: str) -> str:
        """Takes a text in; returns the SHA-256 by which it is known from then on."""
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.known[digest] = text
        return digest

    def text_of(self, digest: str) -> str:
        if digest not in self.known:
            raise ContractError(f"the {self.noun} {digest[:12]} is not known here; Domain.attach brings it in")
        return self.known[digest]

    def file_name(self, digest: str) -> str:
        return f"{self.prefix}-{digest[:12]}.json"

    def attach(self, folder: Path, digest: str) -> None:
        """Brings in what lies in the folder. Raises CheckpointError where it is missing or another."""
        if digest in self.known:
            return
        path = folder / self.file_name(digest)
        if not path.is_file() or files.sha256(path) != digest:
            raise CheckpointError(f"{path} is missing or damaged; use another checkpoint, or train again")
        self.known[digest] = self.read(path)
