"""Pairs of answers to the same conversation, of which one was preferred; written as texts as instructions are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.random import Generator

from pervade.core.contracts import PlainFeatures
from pervade.core.errors import ConfigError, DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Example, LeftOut, Media, Rows
from pervade.core.words import DomainWords
from pervade.data.read import conversations
from pervade.data.read.conversations import Read
from pervade.data.text import corpus
from pervade.data.text.chat import Message, ending
from pervade.data.text.corpus import IGNORED
from pervade.domains.instructions import Instructions, kept


@register("domain")
@dataclass(frozen=True)
class Preferences(Instructions):
    """A row holds "messages", which end with what was asked, and the answers "chosen" and "rejected"."""

    reads: ClassVar[str] = "answers of which one is preferred"
    wording: ClassVar[DomainWords] = DomainWords(("pair of answers", "pairs of answers"), modality="text")
    # reading

    def _read_rows(self, read: Read, source: str) -> tuple[Rows, list[LeftOut]]:
        if not conversations.holds_pairs(read.columns):
            raise DataError(
                f"{source} has no columns chosen and rejected, only {', '.join(read.columns)}; name the two answers of "
                "a row so, and what was asked prompt"
            )
        pairs = [conversations.pair_of(record) for record in read.records]
        columns = {
            name: [pair if isinstance(pair, str) else pair[place] for pair in pairs]
            for place, name in enumerate(("messages", "chosen", "rejected"))
        }
        faults = [pair if isinstance(pair, str) else None for pair in pairs]
        rows, left_out = kept(read, columns, faults, self._divided(read, ("prompt", "chosen", "rejected")))
        asked = [conversations.digest(messages) for messages in rows.column("messages")]
        # Answers to one question stand in one split, or the test would ask what was learnt.
        if max(Counter(asked).values()) > 1:
            rows = rows.with_columns(**{"bundle" if "group" in rows else "group": asked})
        return rows, left_out

    def _whole(self, row: dict[str, Any]) -> list[Message]:
        return [*row["messages"], {"role": "assistant", "content": row["chosen"]}]

    def _size(self, row: dict[str, Any]) -> int:
        longer = max(len(row.get("chosen", "")), len(row.get("rejected", "")))
        return conversations.size(row["messages"]) + longer

    def _hash(self, row: dict[str, Any]) -> str:
        return conversations.digest(row["messages"], row["chosen"], row["rejected"])

    # learning from the training split

    def fit(self, train: Rows) -> Self:
        """Raises ConfigError where no model is named to go on from."""
        if not self.tokenizer_from:
            raise ConfigError(
                "preferences are learnt by a model that writes already: name one with --init RUN, a run of "
                "text-generation"
            )
        return super().fit(train)

    def remarks(self, rows: Rows) -> list[str]:
        said = [f"conversations are written by the chat template of {self.tokenizer_from}"]
        if "group" in rows:
            said.append("pairs that belong together, of one prompt or group, stand in one split")
        cut = sum(self._pair(row)[3] for row in rows)
        if cut:
            said.append(
                f"{cut:,} of {len(rows):,} pairs do not fit {self.length} tokens: the beginning of what was asked is "
                "cut off, and answers longer than half of that at their end; -o domain.length takes more"
            )
        return said

    def plain_features(self, train: Rows, rows: Rows) -> PlainFeatures | None:
        return None

    def answers(self, row: dict[str, Any]) -> str:
        return str(row["chosen"])

    def held_out(self, row: dict[str, Any]) -> tuple[list[Message], str]:
        return row["messages"], row["chosen"]

    # examples

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """ "input" and "target" (t,) of the chosen answer, "rejected" and "rejected_target" (t,) of the other; the
        shorter of both is filled up. What is asked for a row without answers."""
        if "chosen" not in row:
            return super().transform(row, rng)
        asked, chosen, rejected, _ = self._pair(row)
        length = len(asked) + max(len(chosen), len(rejected)) - 1
        example: Example = {}
        for names, answer in ((("input", "target"), chosen), (("rejected", "rejected_target"), rejected)):
            tokens = np.array([*asked, *answer], np.int64)
            targets = np.where(np.arange(len(tokens)) < len(asked), IGNORED, tokens)
            filled = (np.zeros(length, np.int64), np.full(length, IGNORED, np.int64))
            for name, values, into in zip(names, (tokens[:-1], targets[1:]), filled, strict=True):
                into[: len(values)] = values
                example[name] = into
        return [example]

    def _pair(self, row: dict[str, Any]) -> tuple[list[int], list[int], list[int], bool]:
        """The tokens of what was asked and of both answers, and whether something of them was cut off."""
        end, chat, answers = ending(self.chat(), self.tokenizer), self.chat(), []
        asked: list[int] = []
        for name in ("chosen", "rejected"):
            messages = [*row["messages"], {"role": "assistant", "content": row[name]}]
            *before, (text, _) = chat.parts(messages)
            asked = [token for piece, _ in before for token in self._cut(piece, messages)]
            ids = self._cut(text, messages)
            answers.append(ids[: len(ids) - ids[::-1].index(end)] if end in ids else ids)
        longest = max(map(len, answers))
        if len(asked) + longest <= self.length:
            return asked, answers[0], answers[1], False
        kept = asked[-max(self.length - longest, self.length // 2) :]
        chosen, rejected = (answer[: self.length - len(kept)] for answer in answers)
        return kept, chosen, rejected, True

    def collate(self, examples: Sequence[Example]) -> Batch:
        """ "input", "target", "rejected" and "rejected_target" (n, t) int64, filled up at the end."""
        if "rejected" not in examples[0]:
            return super().collate(examples)
        batch: Batch = {}
        for name in ("input", "target", "rejected", "rejected_target"):
            filling = IGNORED if name.endswith("target") else 0
            batch[name] = torch.from_numpy(corpus.filled([example[name] for example in examples], filling))
        return batch

    def show(self, row: dict[str, Any], prediction: dict[str, Any] | None) -> list[Media]:
        (asked,) = super().show(row, prediction)
        told = f"{asked.data!s}\n\nchosen: {row['chosen']}\n\nrejected: {row['rejected']}"
        return [Media("text", told[:600], asked.caption)]


def looks_like_preferences(source: Any) -> bool:
    """Whether DATA is a table of pairs of answers, by the names of its columns."""
    return conversations.holds_pairs(conversations.peek(source))
