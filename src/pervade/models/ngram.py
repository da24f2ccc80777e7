"""An n-gram model: how likely a token is after the few before it, by counts (data/text/kneser_ney.py).

Nothing is learnt by gradients: all counts are found at once (train/optim/counting.py). Its tables are sorted, so that
the probabilities of all tokens are what stands in a few places of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from pervade.core.contracts import Inputs, Model, Tokens
from pervade.core.errors import CheckpointError, ConfigError
from pervade.core.registry import register
from pervade.core.types import Output
from pervade.data.text.kneser_ney import Level

AT_ONCE = 1 << 22  # probabilities that are found together, 17 MB


@register("model")
@dataclass(frozen=True)
class NGram(Model):
    reads: ClassVar[str] = "texts"
    order: Annotated[int, Field(ge=2, le=7)] = 5  # tokens of the longest n-grams

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where the input is no running text."""
        if not isinstance(inputs, Tokens) or dict(outputs) != {"logits": inputs.vocabulary}:
            raise ConfigError("ngram writes text: it goes with --task text-generation")
        return NGramNetwork(self.order, inputs)


class Cache:
    """The tokens that the next one depends on; `length` counts all that were read."""

    def __init__(self) -> None:
        self.length = 0
        self.tokens: Tensor | None = None


class NGramNetwork(nn.Module):
    """Tokens (n, t) to "logits" (n, t, vocabulary), the logarithms of probabilities: of what comes after each. No mask:
    padding stands at the end. With `caches` the tokens are those that follow what was read into them.

    Before anything was counted all tokens are alike.
    """

    def __init__(self, order: int, inputs: Tokens) -> None:
        super().__init__()
        self.order, self.vocabulary, self.longest = order, inputs.vocabulary, inputs.length
        self.share_1 = nn.Parameter(torch.full((inputs.vocabulary,), 1 / inputs.vocabulary))
        self.register_buffer("left_1", torch.ones(inputs.vocabulary))
        for length in range(2, order + 1):
            self.register_buffer(f"keys_{length}", torch.empty(0, dtype=torch.int64))
            self.register_buffer(f"share_{length}", torch.empty(0))
            self.register_buffer(f"left_{length}", torch.empty(0))

    def _table(self, name: str, length: int) -> Tensor:
        table: Tensor = getattr(self, f"{name}_{length}")
        return table

    @torch.no_grad()
    def set_counts(self, levels: Sequence[Level]) -> None:
        """`learn`'s, of n-grams of 1 to `order` tokens."""
        tables = {
            f"{name}_{length}": torch.from_numpy(np.ascontiguousarray(getattr(level, name)))
            for length, level in enumerate(levels, start=1)
            for name in ("keys", "share", "left")
            if (name, length) != ("keys", 1)
        }
        self.make_room(tables)
        self.load_state_dict(tables)

    def make_room(self, tables: Mapping[str, Tensor]) -> None:
        """Tables as large as these. Raises CheckpointError where these are none: a number in them leads nowhere."""
        shorter = self.vocabulary
        for length in range(2, self.order + 1):
            own = [tables.get(f"{name}_{length}") for name in ("keys", "share", "left")]
            keys = own[0]
            if keys is None or keys.dim() != 1 or any(table is None or table.shape != (len(keys),) for table in own):
                raise CheckpointError(f"the tables of n-grams of {length} tokens are damaged; use another checkpoint")
            sorted_keys = keys.dtype == torch.int64 and bool((keys[1:] > keys[:-1]).all())
            if not sorted_keys or (len(keys) and not 0 <= int(keys[0]) <= int(keys[-1]) < shorter * self.vocabulary):
                raise CheckpointError(f"the keys of n-grams of {length} tokens are damaged; use another checkpoint")
            for name in ("keys", "share", "left"):
                held = self._table(name, length)
                setattr(self, f"{name}_{length}", held.new_empty(len(keys)))
            shorter = len(keys)

    def caches(self) -> list[Cache]:
        """For one text."""
        return [Cache()]

    def forward(self, input: Tensor, mask: Tensor | None = None, caches: list[Cache] | None = None) -> Output:
        new = input.shape[1]
        if caches is not None:
            (cache,) = caches
            input = input if cache.tokens is None else torch.cat([cache.tokens, input], 1)
            cache.length, cache.tokens = cache.length + new, input[:, max(input.shape[1] - self.order + 1, 0) :]
        numbers = [number[:, -new:].flatten() for number in self._histories(input)]
        rows = max(AT_ONCE // self.vocabulary, 1)
        starts = range(0, new * len(input), rows)
        pieces = [self._after([number[start : start + rows] for number in numbers]) for start in starts]
        return {"logits": torch.cat(pieces).unflatten(0, (len(input), new))}

    def _histories(self, tokens: Tensor) -> list[Tensor]:
        """The numbers (n, t) of the 1, 2, … tokens up to each, -1 where these are no known n-gram."""
        numbers = [tokens]
        for length in range(2, self.order):
            keys, before = self._table("keys", length), numbers[-1][:, :-1]
            number = torch.full_like(tokens, -1)
            if len(keys):
                asked = before * self.vocabulary + tokens[:, 1:]
                place = torch.searchsorted(keys, asked).clamp(max=len(keys) - 1)
                number[:, 1:] = torch.where((before >= 0) & (keys[place] == asked), place, -1)
            numbers.append(number)
        return numbers

    def _after(self, numbers: Sequence[Tensor]) -> Tensor:
        """Log-probabilities (m, vocabulary) of what comes after histories of 1, 2, … tokens with these numbers (m,)."""
        rest, longer = torch.ones_like(numbers[0], dtype=self.share_1.dtype), []
        for length in range(len(numbers), 1, -1):
            number, left = numbers[length - 1], self._table("left", length)
            if len(left):  # else no number leads here
                longer.append(self._followers(number, length, rest))
                rest = torch.where(number >= 0, rest * left[number.clamp(min=0)], rest)
        # Of single tokens, which are few and have the most followers, each once.
        single, place = numbers[0].unique(return_inverse=True)
        after = self._table("left", 1)[single, None] * self.share_1
        known = self._followers(single, 1, torch.ones_like(single, dtype=after.dtype))
        likely = rest[:, None] * after.flatten().index_add_(0, *known).view_as(after)[place]
        flat = likely.flatten()
        for places, shares in longer:
            flat.index_add_(0, places, shares)
        return flat.clamp_(min=torch.finfo(flat.dtype).tiny).log().view_as(likely)

    def _followers(self, number: Tensor, length: int, weight: Tensor) -> tuple[Tensor, Tensor]:
        """What followed histories (m,) of this length: the places of these tokens in a table (m x vocabulary,), and
        their shares times the `weight` (m,) of the history."""
        keys = self._table("keys", length + 1)
        if not len(keys):
            return number[:0], weight[:0]
        start = torch.searchsorted(keys, number * self.vocabulary)
        count = torch.searchsorted(keys, (number + 1) * self.vocabulary) - start
        history = torch.arange(len(number), device=number.device)
        total = int(count.sum())
        moved = (start - count.cumsum(0) + count).repeat_interleave(count, output_size=total)
        place = torch.arange(total, device=number.device) + moved
        row = ((history - number) * self.vocabulary).repeat_interleave(count, output_size=total)
        return row + keys[place], weight.repeat_interleave(count, output_size=total) * self._table("share", length + 1)[
            place
        ]
