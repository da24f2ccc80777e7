"""Running text with some of its tokens hidden, to be filled in: how an encoder learns a language or a field.

Read as text to write on from is (domains/corpus.py). A tokenizer comes with the first weights, or is learnt from the
training split alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.random import Generator
from pydantic import Field
from torch import nn

from pervade.core import contracts
from pervade.core import seed as seeds
from pervade.core.contracts import PlainFeatures
from pervade.core.contracts.deployment import ROWS
from pervade.core.registry import register
from pervade.core.types import Batch, Example, LeftOut, Rows
from pervade.data.text import corpus, texts, tokenized, vocabulary
from pervade.data.text.corpus import IGNORED, Tokens
from pervade.data.text.tokenized import padded
from pervade.domains.corpus import MOST_LEARNT, Corpus, read_from
from pervade.nn.entrances import TokensEntrance
from pervade.weights import tokenizers

HIDDEN, EXCHANGED = 0.8, 0.1  # of the tokens asked for: hidden, exchanged for another; the rest stay as they are


@register("domain")
@dataclass(frozen=True)
class Masked(Corpus):
    """15% of the tokens are asked for; of these 80% are hidden, 10% exchanged for another token of the text, and 10%
    stay, so that the model must look at every token (Devlin et al. 2019, arXiv:1810.04805)."""

    given: ClassVar[str] = "TEXT with [MASK]"
    reads: ClassVar[str] = "texts with words to fill in"
    cuts: ClassVar[bool] = False  # what is too long is refused

    num_tokens: Annotated[int, Field(ge=300, le=200_000)] = 8000  # of the tokenizer that is learnt here
    tokenizer_kind: vocabulary.Kind = "wordpiece"  # or bpe
    tokenizer_from: str = ""  # a model's name or folder, or a checkpoint of ours, whose tokenizer is taken instead
    share: Annotated[float, Field(ge=0.01, le=0.99)] = 0.15  # of the tokens that are asked for

    def prepare(
        self, rows: Rows, progress: Callable[[int, int], None], keep: bool = True
    ) -> tuple[Rows, list[LeftOut]]:
        if keep:
            return super().prepare(rows, progress, keep)
        faults = [self._fault(row["text"]) for row in rows]
        good = [i for i, fault in enumerate(faults) if fault is None]
        left_out = [LeftOut(str(rows.column("id")[i]), fault) for i, fault in enumerate(faults) if fault is not None]
        kept, lost = super().prepare(rows.select(good), progress, keep)
        return kept, [*left_out, *lost]

    def _fault(self, text: str) -> str | None:
        """Why a text to be filled in cannot be used."""
        cleaned = texts.clean(text)
        if isinstance(cleaned, str):
            return cleaned
        if len(self._parts(text)) < 2:
            return f"it has no {vocabulary.MASK}; put one where a word is to be filled in"
        tokens = len(self._with_gaps(text)["input"])
        if tokens > self.length:
            return f"it has {tokens:,} tokens, and the model reads {self.length:,} at once; give less around the gap"
        return None

    # learning from the training split

    def fit(self, train: Rows) -> Masked:
        """Raises ConfigError where the tokenizer has no token to hide others by."""
        if self.tokenizer_from:
            made = tokenizers.read(self.tokenizer_from)
        else:
            step = max(sum(train.column("size")) // MOST_LEARNT, 1)
            some = [self.document(train[i]) for i in range(0, len(train), step)]
            made = vocabulary.learn(some, self.tokenizer_kind, self.num_tokens)
        digest = vocabulary.keep(made)
        for name in (vocabulary.MASK, vocabulary.BEGINNING, vocabulary.SEPARATOR):
            vocabulary.require(digest, name, "filling in words")
        return replace(self, tokenizer=digest, read_from=read_from(train))

    def tokens(self, rows: Rows) -> Tokens:
        """All rows as one stream, from the cache."""
        hashes = list(rows.column("hash"))
        return corpus.tokens(self.tokenizer, hashes, lambda i: self.document(rows[i]), vocabulary.SEPARATOR)

    def asks(self, windows: np.ndarray, rng: Generator) -> Batch:
        """Of windows (n, t + 1) of the stream: "input" (n, t), the first token that of a beginning; the places "asked"
        (n, k), and "target" (n, k), the tokens there."""
        windows = windows[:, :-1].copy()
        windows[:, 0] = self._special(vocabulary.BEGINNING)
        asked = max(round(self.share * (windows.shape[1] - 1)), 1)
        places = 1 + np.argsort(rng.random((len(windows), windows.shape[1] - 1)), axis=1)[:, :asked]
        target = np.take_along_axis(windows, places, 1)
        # Where a text ends is no word.
        separators = target == self._special(vocabulary.SEPARATOR)
        self._hide(windows, places, separators, rng)
        return {
            "input": torch.from_numpy(windows),
            "asked": torch.from_numpy(places),
            "target": torch.from_numpy(np.where(separators, IGNORED, target)),
        }

    def _hide(self, windows: np.ndarray, places: np.ndarray, spared: np.ndarray, rng: Generator) -> None:
        now = np.take_along_axis(windows, places, 1)
        # Others of the same text: drawn as often as they occur, and never a token that stands for something else.
        others = rng.permutation(now.reshape(-1)).reshape(now.shape)
        others = np.where(others == self._special(vocabulary.SEPARATOR), now, others)
        fate = rng.random(now.shape)
        changed = np.where(fate < HIDDEN, self._special(vocabulary.MASK), now)
        changed = np.where((fate >= HIDDEN) & (fate < HIDDEN + EXCHANGED), others, changed)
        np.put_along_axis(windows, places, np.where(spared, now, changed), 1)

    def _special(self, name: str) -> int:
        return vocabulary.require(self.tokenizer, name, "filling in words")

    def inputs(self) -> contracts.Tokens:
        size = vocabulary.tokenizer(self.tokenizer).get_vocab_size()
        return contracts.Tokens(size, self.length, self._padding, pooled=False)

    def plain_features(self, train: Rows, rows: Rows) -> PlainFeatures | None:
        """How often each token stands in the training text, (vocabulary,); and of each row the tokens asked for."""
        size = vocabulary.tokenizer(self.tokenizer).get_vocab_size()
        counts = np.bincount(np.asarray(self.tokens(train).stream, np.int64), minlength=size)
        asked = [np.concatenate([window["target"] for window in self.transform(row, None)]) for row in rows]
        return PlainFeatures("how often each token is", counts, asked)

    # examples

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """A document in windows, each with a beginning and an end; what is asked for depends on the document's content
        alone. A text with [MASK] is one window, and asks for these."""
        made = vocabulary.tokenizer(self.tokenizer)
        first, last = self._special(vocabulary.BEGINNING), self._special(vocabulary.SEPARATOR)
        text, room = self.document(row), self.length - 2
        if not row.get("hash"):
            return [self._with_gaps(text)]
        ids = np.array(made.encode(text, add_special_tokens=False).ids, np.int64)
        examples: list[Example] = []
        for number, start in enumerate(range(0, max(len(ids), 1), room)):
            piece = ids[start : start + room]
            window = np.array([[first, *piece, last]], np.int64)
            drawn = seeds.generator(int(row["hash"][:15], 16), number)
            asked = min(max(round(self.share * len(piece)), 1), len(piece))
            places = 1 + drawn.permutation(len(piece))[None, :asked]
            target = np.take_along_axis(window, places, 1)
            self._hide(window, places, np.zeros(places.shape, bool), drawn)
            examples.append({"input": window[0], "asked": places[0], "target": target[0]})
        return examples

    def _parts(self, text: str) -> list[str]:
        """The text between the places to fill in, which may be written [MASK] or as the tokenizer writes it."""
        made = vocabulary.tokenizer(self.tokenizer)
        own = made.id_to_token(self._special(vocabulary.MASK))
        return re.split("|".join(re.escape(mask) for mask in {vocabulary.MASK, str(own)}), text)

    def _with_gaps(self, text: str) -> Example:
        made, mask = vocabulary.tokenizer(self.tokenizer), self._special(vocabulary.MASK)
        ids = [self._special(vocabulary.BEGINNING)]
        parts = self._parts(text)
        for number, part in enumerate(parts):
            # A blank before a gap belongs to the word in it: byte-level tokens begin with theirs.
            kept = part.rstrip(" ") if number < len(parts) - 1 else part
            ids += [mask] * (number > 0) + made.encode(kept, add_special_tokens=False).ids
        tokens = np.array([*ids, self._special(vocabulary.SEPARATOR)], np.int64)
        return {"input": tokens, "asked": np.flatnonzero(tokens == mask)}

    def takes(self) -> tuple[contracts.TensorSpec, ...]:
        said = "places of the tokens that are hidden, from 0"
        return (*super().takes(), contracts.TensorSpec("asked", "int64", (ROWS, "gaps"), said))

    def entrance(self) -> nn.Module:
        return TokensEntrance(asked=int)

    def _fed(self, example: Example) -> dict[str, np.ndarray]:
        return {**super()._fed(example), "asked": np.asarray(example["asked"], np.int64)[None]}

    def specimen(self) -> dict[str, np.ndarray]:
        return {**super().specimen(), "asked": np.array([[1, 2, 3], [2, 3, 4]])}

    def collate(self, examples: Sequence[Example]) -> Batch:
        """ "input" (n, t) int64 and "mask" (n, t) bool, filled up at the end; "asked" (n, k), filled up with 0, and
        "target" (n, k), there with -100; "gaps" (n,), how many are asked for."""
        batch = padded(examples, self._padding)
        batch |= {
            "asked": torch.from_numpy(corpus.filled([example["asked"] for example in examples], 0)),
            "gaps": torch.tensor([len(example["asked"]) for example in examples]),
        }
        if "target" in examples[0]:
            batch["target"] = torch.from_numpy(corpus.filled([example["target"] for example in examples], IGNORED))
        return batch

    def shape(self, examples: Sequence[Example]) -> tuple[Any, ...]:
        return tokenized.shape(examples, self.length)

    def filled(self, batch: Batch, shape: tuple[Any, ...]) -> Batch:
        return tokenized.filled(batch, shape[0], input=self._padding, mask=False)
