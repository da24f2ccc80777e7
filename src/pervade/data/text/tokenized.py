"""What domains have in common whose examples are rows of tokens: the tokenizer beside them, and how rows are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pervade.core.contracts import Domain, TensorSpec
from pervade.core.contracts.deployment import ROWS
from pervade.core.errors import ConfigError
from pervade.core.types import Batch, Example
from pervade.data.read import encodings
from pervade.data.text import corpus, vocabulary
from pervade.data.text.corpus import IGNORED

if TYPE_CHECKING:
    from torch import nn

TRACED = 12  # tokens of a text that a network is traced by


class Tokenized(Domain):
    """Its fields are the domain's own: no dataclass, so that each declares and orders them."""

    encoding: str
    length: int
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

    # where it leaves this project

    def takes(self) -> tuple[TensorSpec, ...]:
        said = f"numbers of tokens by the tokenizer beside it, at most {self.length:,}, filled up with {self._padding}"
        return (
            TensorSpec("input_ids", "int64", (ROWS, "tokens"), said),
            TensorSpec("attention_mask", "int64", (ROWS, "tokens"), "1 at tokens, 0 where a row is filled up"),
        )

    def entrance(self) -> nn.Module:
        from pervade.nn.entrances import TokensEntrance

        return TokensEntrance()

    def feeds(self, row: dict[str, Any]) -> list[dict[str, np.ndarray]]:
        return [self._fed(example) for example in self.transform(row, None)]

    def _fed(self, example: Example) -> dict[str, np.ndarray]:
        tokens = np.asarray(example["input"], np.int64)[None]
        return {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}

    def specimen(self) -> dict[str, np.ndarray]:
        tokens = np.ones((2, min(self.length, TRACED)), np.int64)
        return {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}


def padded(examples: Sequence[Example], padding: int = 0) -> Batch:
    """ "input" (n, t) int64, filled up at the end, and "mask" (n, t) bool: True at tokens."""
    import torch

    inputs = torch.from_numpy(corpus.filled([example["input"] for example in examples], padding))
    lengths = torch.tensor([[len(example["input"])] for example in examples])
    return {"input": inputs, "mask": torch.arange(inputs.shape[1]) < lengths}


def shape(examples: Sequence[Example], longest: int) -> tuple[int, bool]:
    """What tokens of a row are filled up to, an eighth to a quarter more than there are, and whether that is more: a
    network takes another way where no token is filling."""
    size = max(len(example["input"]) for example in examples)
    step = max(8, 1 << max(size.bit_length() - 3, 0))
    width = min((size // step + 1) * step, max(longest, size))
    return width, any(len(example["input"]) < width for example in examples)


def filled(batch: Batch, width: int, **by: int) -> Batch:
    """The batch with the tensors (…, t) that are named filled up to (…, width)."""
    from torch.nn import functional as F

    more = {name: F.pad(batch[name], (0, width - batch[name].shape[-1]), value=value) for name, value in by.items()}
    return batch | more


def windows(examples: Sequence[Example]) -> Batch:
    """ "input" and "target" (n, t) int64, filled up at the end; "mask" (n, t) bool; "bytes" (n,): of all that a row
    says, with its first window."""
    import torch

    batch = padded(examples)
    if "target" in examples[0]:
        batch["target"] = torch.from_numpy(corpus.filled([example["target"] for example in examples], IGNORED))
        batch["bytes"] = torch.tensor([example["bytes"] for example in examples])
    return batch
