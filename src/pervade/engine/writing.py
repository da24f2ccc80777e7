"""Texts that one network writes side by side: they join and leave between any two tokens (continuous batching, Yu et
al. 2022, Orca).

What is written of a text is what is written of it alone, to the last digit of every score (nn/key_values.py), and is
drawn by a generator of its own. Networks of others, whose memory is their own affair, take texts in turns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.nn import Module

from pervade.core import runtime
from pervade.core.contracts.capabilities import Conversational, Tokenised, able
from pervade.core.errors import ConfigError, DataError
from pervade.core.types import LeftOut
from pervade.data.text.vocabulary import Continuing
from pervade.nn.key_values import FEWEST_ROWS, KeyValues, ReadsSideBySide, blocks
from pervade.nn.sampling import Sampling, choose_each

if TYPE_CHECKING:
    from pervade.engine.loaded import Loaded

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
        of: Any = network
        self.network, self.longest = of, int(of.longest)
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


# for people


@dataclass(eq=False, kw_only=True)
class Written(Text):
    """A text, and what is told of it. It is over, too, where one of the texts at which to stop was written."""

    task: Any
    domain: Any
    stopped: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._spelling = Continuing(able(self.domain, Tokenised).tokenizer)
        self._spelt = self.asked  # tokens that were spelt
        self._known = self._told = ""

    @property
    def over(self) -> bool:
        return self.stopped or super().over

    @property
    def number(self) -> int:
        """Tokens that were written."""
        return len(self.tokens) - self.asked

    @property
    def reason(self) -> str:
        """Why it is over: "stop", or the "length" that was asked for."""
        return "stop" if self.stopped or self.ended else "length"

    @property
    def text(self) -> str:
        """All that was written, up to where it stops."""
        whole: str = self.task.decode(self.written, self.domain)
        return whole

    def look(self) -> None:
        """After each token: whether it stops there."""
        new = "".join(self._spelling.add(token) for token in self.tokens[self._spelt :])
        self._spelt, self._known = len(self.tokens), self._known + new
        for stop in self.sampling.stop:
            self.stopped = self.stopped or stop in self._known[-len(new) - len(stop) :]

    def news(self) -> str:
        """What can be told and was not yet; not what may be the beginning of a text at which to stop."""
        if self.over:
            whole = self.text
        else:
            whole = self._known[: len(self._known) - max(map(self._begun, self.sampling.stop), default=0)]
        new = whole[len(self._told) :]
        self._told = max(whole, self._told, key=len)
        return new

    def _begun(self, stop: str) -> int:
        """Letters of a text at which to stop that stand at the end."""
        return next((size for size in range(len(stop) - 1, 0, -1) if self._known.endswith(stop[:size])), 0)


class Writer:
    """Writes for people what `loaded` says, several texts at once. Raises ConfigError as `Batch`."""

    def __init__(self, loaded: Loaded, device: str = "auto", budget: int | None = None) -> None:
        task: Any = loaded.task
        self.task, self.domain = task, cast(Any, loaded.domain)
        self.network, self.budget = loaded.network.to(runtime.pick_device(device)), budget
        self.reset()
        self.takes_turns = isinstance(loaded.domain, Conversational)
        self.length: int = task.sampling.length  # tokens where nobody says how many

    def reset(self) -> None:
        """No text is there any more."""
        self.batch = batch(self.network, self.budget)

    def begin(self, asked: str | list[dict[str, str]], wanted: Mapping[str, Any], whole: bool = True) -> Written:
        """What is to be written on from a text, or in answer to a conversation: with fields of its sampling that are
        wanted otherwise. Raises DataError where that cannot be asked, or, if it must be the `whole` of it, is longer
        than the model reads."""
        if whole and asked:
            tokens = self._whole(asked)
        else:
            tokens = self.domain.transform({"text": asked, "id": "text"}, None)[0]["input"].tolist()
        task: Any = replace(self.task, sampling=replace(self.task.sampling, **wanted))
        return Written(tokens, task.sampling, frozenset(task.endings(self.domain)), task=task, domain=self.domain)

    def _whole(self, asked: Any) -> list[int]:
        row = self.domain.sent({"input": asked}, "")
        if isinstance(row, LeftOut):
            raise DataError(row.reason)
        tokens: list[int] = self.domain.whole(row)
        if len(tokens) >= self.domain.length:
            raise TooLong(
                f"it has {len(tokens):,} tokens, and the model reads {self.domain.length - 1:,} at most; give less"
            )
        return tokens

    def has_room(self, text: Written) -> bool:
        return self.batch.has_room(text)

    def join(self, text: Written) -> None:
        self.batch.join(text)

    def leave(self, text: Written) -> None:
        self.batch.leave(text)

    def step(self) -> list[Written]:
        """Writes a token of each text whose turn it is, and returns these; those that are over have left."""
        texts: list[Any] = self.batch.step()
        for text in texts:
            text.look()
            if text.over:
                self.leave(text)
        return texts


class TooLong(DataError):
    """What is asked is longer than the model reads."""
