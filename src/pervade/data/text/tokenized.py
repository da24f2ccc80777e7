"""What domains have in common whose examples are rows of tokens: the tokenizer beside them, and how rows are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from pervade.core.contracts import Domain
from pervade.core.errors import ConfigError
from pervade.core.types import Batch, Example
from pervade.data.read import encodings
from pervade.data.text import corpus, vocabulary
from pervade.data.text.corpus import IGNORED


class Tokenized(Domain):
    """Its fields are the domain's own: no dataclass, so that each declares and orders them."""

    encoding: str
    tokenizer: str  # SHA-256 of the tokenizer, which lies beside preprocess.json

    def __post_init__(self) -> None:
        if not encodings.are_encodings(self.encoding):
            raise ConfigError(f"domain.encoding {self.encoding!r} is unknown; write for example utf-8, gb18030, cp1252")

    def assets(self) -> Mapping[str, str]:
        return {vocabulary.file_name(self.tokenizer): vocabulary.text_of(self.tokenizer)} if self.tokenizer else {}

    def attach(self, folder: Path) -> None:
        if self.tokenizer:
            vocabulary.attach(folder, self.tokenizer)

    @property
    def _padding(self) -> int:
        return vocabulary.special(self.tokenizer, vocabulary.PADDING) or 0


def padded(examples: Sequence[Example], padding: int = 0) -> Batch:
    """ "input" (n, t) int64, filled up at the end, and "mask" (n, t) bool: True at tokens."""
    inputs = torch.from_numpy(corpus.filled([example["input"] for example in examples], padding))
    lengths = torch.tensor([[len(example["input"])] for example in examples])
    return {"input": inputs, "mask": torch.arange(inputs.shape[1]) < lengths}


def windows(examples: Sequence[Example]) -> Batch:
    """ "input" and "target" (n, t) int64, filled up at the end; "mask" (n, t) bool; "bytes" (n,): of all that a row
    says, with its first window."""
    batch = padded(examples)
    if "target" in examples[0]:
        batch["target"] = torch.from_numpy(corpus.filled([example["target"] for example in examples], IGNORED))
        batch["bytes"] = torch.tensor([example["bytes"] for example in examples])
    return batch
