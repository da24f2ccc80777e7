"""Texts that one network writes side by side: they join and leave between any two tokens (continuous batching: Yu et al.
2022, Orca, OSDI).

What is written of a text is what is written of it alone, to the last digit of every score (nn/key_values.py), and is
drawn by a generator of its own. Networks of others, whose memory is their own affair, take texts in turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from pervade.core.errors import ConfigError
from pervade.nn.key_values import FEWEST_ROWS, KeyValues, ReadsSideBySide, blocks
from pervade.nn.sampling import Sampling, choose_each

READ_AT_ONCE = 512  # tokens to go on from, after which those texts that are being written have a turn


@dataclass(eq=False)
class Text:
    """`tokens` are what there is to go on from, and then what is written: until one of `ends`, or `sampling.length`."""

    tokens: list[int]
    sampling: Sampling
    ends: frozenset[int]
    asked: int = field(init=False)  # tokens before the first that is written
    random: torch.Generator = field(init=False)
    ended: bool = False  # by one of `ends`

    def __post_init__(self) -> None:
        self.asked = len(self.tokens)
        self.random = torch.Generator().manual_seed(self.sampling.seed)

    @property
    def written(self) -> list[int]:
        return self.tokens[self.asked :]

    @property
    def over(self) -> bool:
        return self.ended or len(self.tokens) - self.asked >= self.sampling.length


class Batch:
    """Texts that `network`, which is in evaluation mode, writes together; it remembers at most `budget` tokens of them
    (None: any number). Raises ConfigError where that is not enough for one."""

    def __init__(self, network: Module, budget: int | None = None) -> None:
        self.network: Any = network
        self.longest: int = self.network.longest
        if budget is not None and budget < blocks(self.longest):
            raise ConfigError(
                f"a cache of {budget:,} tokens does not hold one text of this model, which takes "
                f"{blocks(self.longest):,}; give more with --cache-tokens"
            )
        self.budget = budget
        self.device = next(network.parameters()).device
        self.waiting: list[Text] = []  # to be read

    @property
    def texts(self) -> list[Text]:
        return self.waiting

    def taken(self, *more: Text) -> int:
        """Tokens that may come to be remembered, once these texts are there too."""
        return sum(self._needs(text) for text in (*self.texts, *more))

    def has_room(self, text: Text) -> bool:
        return self.budget is None or self.taken(text) <= self.budget

    def join(self, text: Text) -> None:
        self.waiting.append(text)

    def leave(self, text: Text) -> None:
        self.waiting.remove(text)

    @torch.inference_mode()
    def step(self) -> list[Text]:
        """Writes a token of each text whose turn it is, and returns these. Those that are over must `leave`."""
        texts, logits = self._read()
        seen = [text.tokens for text in texts]
        drawn = choose_each(logits, seen, [text.sampling for text in texts], [text.random for text in texts])
        for text, token in zip(texts, drawn, strict=True):
            if token in text.ends:
                text.ended = True
            else:
                text.tokens.append(token)
        return texts

    def _read(self) -> tuple[list[Text], Tensor]:
        """Texts whose turn it is, and the scores (n, v) of what comes after each."""
        raise NotImplementedError

    def _needs(self, text: Text) -> int:
        return blocks(min(text.asked + text.sampling.length, self.longest))

    def _after(self, tokens: Sequence[int], caches: Any) -> Tensor:
        """Scores (1, v) of what comes after tokens of one text."""
        logits: Tensor = self.network(torch.tensor([tokens], device=self.device), caches=caches)["logits"]
        return logits[:, -1]

    def _to_read(self, text: Text) -> list[int]:
        """What of a text fits: as it begins its end, and once memory is full its younger half."""
        room = self.longest - 1 if len(text.tokens) == text.asked else self.longest // 2
        return text.tokens[-room:]


class SideBySide(Batch):
    """All that are being written take one step of the network together."""

    def __init__(self, network: Module, budget: int | None = None) -> None:
        super().__init__(network, budget)
        self.running: list[Text] = []  # in the order of the memory's rows
        self.memory: KeyValues = self.network.memory(0, 1)
        self.wrote = True

    @property
    def texts(self) -> list[Text]:
        return [*self.running, *self.waiting]

    def taken(self, *more: Text) -> int:
        """All texts have as much memory as the one that needs the most."""
        needed = [self._needs(text) for text in (*self.texts, *more)]
        return len(needed) * max(needed, default=0)

    def leave(self, text: Text) -> None:
        if text in self.running:
            self._take_out(text)
        else:
            self.waiting.remove(text)

    def _take_out(self, text: Text) -> None:
        row, last = self.running.index(text), self.running.pop()
        self.memory.remove(row)
        if last is not text:
            self.running[row] = last

    def _read(self) -> tuple[list[Text], Tensor]:
        # Reading and writing alternate, so that texts go on while others come.
        self.wrote = bool(self.running) and not (self.waiting and self.wrote)
        return self._write_on() if self.wrote else self._read_waiting()

    def _read_waiting(self) -> tuple[list[Text], Tensor]:
        scores: list[Tensor] = []
        tokens = 0
        first = len(self.running)
        while self.waiting and tokens < READ_AT_ONCE:
            text = self.waiting.pop(0)
            self.running.append(text)
            self._make_room()
            row, unread = self.memory.of_row(len(self.running) - 1), self._to_read(text)
            scores.append(self._after(unread, [row]))
            self.memory.lengths.append(row.length)
            tokens += len(unread)
        return self.running[first:], torch.cat(scores)

    def _make_room(self) -> None:
        rows, positions = len(self.running), max(self._needs(text) for text in self.running)
        if rows > self.memory.room[0] or positions > self.memory.room[1]:
            most = 2 * rows if self.budget is None or rows == 1 else min(2 * rows, self.budget // positions)
            self.memory.resize(max(rows, most if rows > 1 else 1), positions)

    def _write_on(self) -> tuple[list[Text], Tensor]:
        for row in reversed(range(len(self.running))):
            if self.memory.lengths[row] == self.longest:
                self.waiting.append(text := self.running[row])
                self._take_out(text)
        texts = list(self.running)
        if not texts:
            return self._read_waiting()
        # Rows of nobody's, so that there are enough.
        tokens = [text.tokens[-1] for text in texts] + [0] * (FEWEST_ROWS - len(texts))
        logits = self.network(torch.tensor(tokens, device=self.device)[:, None], caches=[self.memory])["logits"]
        return texts, logits[: len(texts), 0]


class InTurns(Batch):
    """Each has a memory of its own, and takes its step alone."""

    def __init__(self, network: Module, budget: int | None = None) -> None:
        super().__init__(network, budget)
        self.caches: dict[Text, Any] = {}

    def leave(self, text: Text) -> None:
        super().leave(text)
        self.caches.pop(text, None)

    def _read(self) -> tuple[list[Text], Tensor]:
        texts, scores = list(self.waiting), []
        for text in texts:
            unread = text.tokens[-1:]
            if text not in self.caches or self.caches[text][0].length == self.longest:
                self.caches[text], unread = self.network.caches(), self._to_read(text)
            scores.append(self._after(unread, self.caches[text]))
        return texts, torch.cat(scores)


def batch(network: Module, budget: int | None = None) -> Batch:
    return SideBySide(network, budget) if isinstance(network, ReadsSideBySide) else InTurns(network, budget)
