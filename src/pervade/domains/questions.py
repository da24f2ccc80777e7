"""Questions about texts that hold the answer, or do not: read through windows that overlap where a text is long.

A tokenizer comes with the first weights, or is learnt from the training split alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.random import Generator
from pydantic import Field
from torch import nn

from pervade.core.contracts import PlainFeatures, TensorSpec, Tokens, asking
from pervade.core.contracts.deployment import ROWS
from pervade.core.errors import DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Example, LeftOut, Media, Rows
from pervade.core.words import DomainWords
from pervade.data.read import inputs, questions
from pervade.data.text import characters, corpus, texts, tokenized, vocabulary
from pervade.data.text.tokenized import Tokenized, padded
from pervade.nn.entrances import TokensEntrance
from pervade.weights import tokenizers


@register("domain")
@dataclass(frozen=True)
class Questions(Tokenized):
    given: ClassVar[str] = r"$'QUESTION\tTEXT'"  # as a shell writes a tab
    reads: ClassVar[str] = "questions and answers"
    cuts: ClassVar[bool] = True  # the question; a text comes in windows
    wording: ClassVar[DomainWords] = DomainWords(("question", "questions"), modality="text")

    length: Annotated[int, Field(ge=32, le=8192)] = 384  # tokens that the model sees at once, question and all
    overlap: Annotated[int, Field(ge=0, le=8192)] = 128  # tokens of one window in the next; half a window at most
    longest_question: Annotated[int, Field(ge=8, le=4096)] = 64  # tokens; what is longer is cut
    num_tokens: Annotated[int, Field(ge=300, le=200_000)] = 8000  # of a tokenizer that is learnt here
    tokenizer_kind: vocabulary.Kind = "wordpiece"  # or bpe
    tokenizer_from: str = ""  # a model's name or folder, or a checkpoint of ours, whose tokenizer is taken instead
    encoding: str = "utf-8"  # of the files
    group_column: str | None = (
        None  # of a table, what articles that belong together have in common; None: found by name
    )
    split_column: str | None = None  # likewise, which split a question is in; "none" for none
    unanswerable: bool = False  # whether some questions have no answer; learnt from the training split
    by_character: bool = False  # whether the texts part no words (Chinese, Japanese); learnt from it as well
    tokenizer: str = ""  # SHA-256 of the tokenizer, which lies beside preprocess.json

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.longest_question > self.length // 2:
            object.__setattr__(self, "longest_question", self.length // 2)

    @property
    def repeats(self) -> bool:
        return True

    # reading

    def read(self, source: Any) -> tuple[Rows, list[LeftOut]]:
        """SQuAD's JSON, a table, or a folder of them."""
        return questions.read(source, self.encoding, self.split_column, self.group_column)

    def asked(self, given: str, number: int = 1) -> Iterable[dict[str, Any] | LeftOut]:
        """The questions of a file or a folder of files, or one with its text, or the name of a file, behind a tab."""
        held = inputs.held(given, (), lambda path: questions.read_table(path, self.encoding))
        question, tab, context = given.partition("\t")
        if held is None and tab and question.strip() and context.strip():
            return [self._row(question, self._text(context))]
        shown = given if len(given) <= 60 else f"{given[:60]}…"
        why = "give a question and the text that may answer it, with a tab between, or a table"
        return held or [LeftOut(shown, why)]

    @staticmethod
    def _row(question: str, context: str) -> dict[str, Any]:
        return {"id": question[:80], "question": question, "context": context}

    def fields(self) -> tuple[asking.Field, ...]:
        question = asking.Field("question", "text", "Question")
        return (question, asking.Field("context", "text", "Text that may answer it"))

    def sent(self, given: Mapping[str, Any], name: str, number: int = 1) -> dict[str, Any] | LeftOut:
        if lacking := next((name for name in ("question", "context") if not given[name].strip()), None):
            return LeftOut(given["question"][:80], f"its {lacking} is empty; give a question and the text it is about")
        return self._row(given["question"], given["context"])

    def _text(self, given: str) -> str:
        """The text itself, or what the file holds that it names."""
        return texts.read_file(Path(given), self.encoding) if os.path.isfile(given) else given  # noqa: PTH113

    def prepare(
        self, rows: Rows, progress: Callable[[int, int], None], keep: bool = True
    ) -> tuple[Rows, list[LeftOut]]:
        """Puts blanks where control characters are, so that answers stay where they are; adds "hash" and "size"."""
        asked = [_cleaned(str(text)) for text in rows.column("question")]
        there = [_cleaned(str(text)) for text in rows.column("context")]
        faults = [
            a if isinstance(a, str) else b if isinstance(b, str) else None for a, b in zip(asked, there, strict=True)
        ]
        good = [i for i, fault in enumerate(faults) if fault is None]
        left_out = [LeftOut(str(rows.column("id")[i]), fault) for i, fault in enumerate(faults) if fault is not None]
        progress(len(rows), len(rows))
        if not good and keep:
            raise DataError(f"no question can be used; the first, {left_out[0].source}: {left_out[0].reason}")
        pairs = [(asked[i][0], there[i][0]) for i in good]
        kept = rows.select(good).with_columns(
            question=[question for question, _ in pairs],
            context=[context for _, context in pairs],
            hash=[texts.digest(*pair) for pair in pairs],
            size=[sum(map(len, pair)) for pair in pairs],
        )
        if not keep:
            kept = kept.with_columns(cut=[self._cut(question) for question, _ in pairs])
        if "answers" in kept:
            kept = kept.with_columns(answers=[_as_cleaned(row["answers"], row["context"]) for row in kept])
        return kept, left_out

    def _cut(self, question: str) -> str | None:
        count = len(vocabulary.tokenizer(self.tokenizer).encode(question, add_special_tokens=False).ids)
        longest = self.longest_question
        return f"{longest:,} of {count:,} tokens of the question are read" if count > longest else None

    # learning from the training split

    def fit(self, train: Rows) -> Questions:
        """Whether questions may have no answer, whether words are parted, and, where none came with a model, a
        tokenizer. Raises ConfigError where the model's has no token for "no answer here"."""
        if self.tokenizer_from:
            made = tokenizers.read(self.tokenizer_from)
        else:
            given = [*dict.fromkeys(train.column("context")), *train.column("question")]
            made = vocabulary.learn(given, self.tokenizer_kind, self.num_tokens)
        digest = vocabulary.keep(made)
        for name in (vocabulary.BEGINNING, vocabulary.SEPARATOR):
            vocabulary.require(digest, name, "question answering")
        return replace(
            self,
            tokenizer=digest,
            unanswerable=any(not answers for answers in train.column("answers")),
            by_character=texts.without_spaces(list(train.column("context")[:1000])),
        )

    def inputs(self) -> Tokens:
        size = vocabulary.tokenizer(self.tokenizer).get_vocab_size()
        separator = vocabulary.special(self.tokenizer, vocabulary.SEPARATOR)
        return Tokens(size, self.length, self._padding, separator, pooled=False)

    def remarks(self, rows: Rows) -> list[str]:
        """How many texts need several windows, and how many questions are cut."""
        asked = vocabulary.lengths(self.tokenizer, list(rows.column("question")))
        cut = sum(size - 2 > self.longest_question for size in asked)
        several = sum(len(self._windows(row)) > 1 for row in rows)
        told = (
            [f"{several:,} of {len(rows):,} questions have texts that are read in several windows"] if several else []
        )
        if cut:
            told.append(
                f"{cut:,} of {len(asked):,} questions are longer than {self.longest_question} tokens (the longest has "
                f"{max(asked):,}) and are cut there; -o domain.longest_question takes more"
            )
        return told

    def plain_features(self, train: Rows, rows: Rows) -> PlainFeatures | None:
        """Questions and texts as they are, for a rule."""
        learnt, asked = ([(row["question"], row["context"]) for row in part] for part in (train, rows))
        return PlainFeatures("words", learnt, asked)

    # examples

    def _windows(self, row: dict[str, Any]) -> list[vocabulary.Window]:
        return vocabulary.windows(
            self.tokenizer, row["question"], row["context"], self.length, self.overlap, self.longest_question
        )

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """A window each: "input" (t,), "inside" (t,) True where the text stands, and "target" (2,): the tokens where
        the answer begins and ends, or 0 and 0 where it is not whole in this window. Without randomness also "spans"
        (t, 2), "context" and "answers", from which predictions are read."""
        examples = []
        for window in self._windows(row):
            inside = np.array(window.inside, bool)
            spans = np.array(window.spans, np.int64) * inside[:, None]
            example: Example = {"input": np.array(window.tokens, np.int64), "inside": inside}
            if "answers" in row:
                example["target"] = np.array(_place(row["answers"], spans, inside), np.int64)
            if rng is None:
                example |= {"spans": spans, "context": row["context"]}
                if "answers" in row:
                    example["answers"] = characters.join([answer["text"] for answer in row["answers"]])
            examples.append(example)
        return examples

    def collate(self, examples: Sequence[Example]) -> Batch:
        """ "input" (n, t) int64 with padding at the end; "mask", "inside" (n, t) bool; "target" (n, 2); "spans"
        (n, t, 2); "context" and "answers" as characters (data/text/characters.py)."""
        batch = padded(examples, self._padding)
        batch["inside"] = torch.from_numpy(corpus.filled([example["inside"] for example in examples], 0) > 0)
        longest = batch["input"].shape[1]
        if "target" in examples[0]:
            batch["target"] = torch.from_numpy(np.stack([example["target"] for example in examples]))
        if "spans" in examples[0]:
            spans = np.zeros((len(examples), longest, 2), np.int64)
            for number, example in enumerate(examples):
                spans[number, : len(example["spans"])] = example["spans"]
            batch["spans"] = torch.from_numpy(spans)
        for name in ("context", "answers"):
            if name in examples[0]:
                batch[name] = characters.to_tensor([example[name] for example in examples])
        return batch

    def shape(self, examples: Sequence[Example]) -> tuple[Any, ...]:
        return tokenized.shape(examples, self.length)

    def filled(self, batch: Batch, shape: tuple[Any, ...]) -> Batch:
        batch = tokenized.filled(batch, shape[0], input=self._padding, mask=False, inside=False)
        if "spans" in batch:
            batch["spans"] = tokenized.filled({"spans": batch["spans"].mT}, shape[0], spans=0)["spans"].mT
        return batch

    # where it leaves this project

    def takes(self) -> tuple[TensorSpec, ...]:
        said = "1 at tokens of the text, 0 at those of the question and at special ones; of a long text one window"
        return (*super().takes(), TensorSpec("inside", "int64", (ROWS, "tokens"), said))

    def entrance(self) -> nn.Module:
        return TokensEntrance(inside=bool)

    def _fed(self, example: Example) -> dict[str, np.ndarray]:
        return {**super()._fed(example), "inside": np.asarray(example["inside"], np.int64)[None]}

    def specimen(self) -> dict[str, np.ndarray]:
        given = super().specimen()
        return {**given, "inside": np.ones_like(given["input_ids"])}

    # looking inside

    def show(self, row: dict[str, Any], prediction: dict[str, Any] | None) -> list[Media]:
        return [Media("text", f"{row['question']}\n\n{row['context']}", str(row["id"]))]


def _cleaned(text: str) -> tuple[str] | str:
    """The text, as long as it was; or, in one line, why it cannot be used."""
    cleaned = texts.clean(text)
    return cleaned if isinstance(cleaned, str) else (texts.CONTROL.sub(" ", text),)


def _as_cleaned(answers: Sequence[Mapping[str, Any]], context: str) -> list[dict[str, Any]]:
    """The answers as they read in the cleaned text."""
    return [{**answer, "text": context[answer["start"] : answer["start"] + len(answer["text"])]} for answer in answers]


def _place(answers: Sequence[Mapping[str, Any]], spans: np.ndarray, inside: np.ndarray) -> tuple[int, int]:
    """The first answer's first and last token in this window; 0 and 0 where it is not whole in it."""
    if not answers:
        return 0, 0
    start = answers[0]["start"]
    # White space at its ends belongs to no token.
    text = answers[0]["text"]
    start, end = start + len(text) - len(text.lstrip()), start + len(text.rstrip())
    first = np.flatnonzero(inside & (spans[:, 1] > start))
    last = np.flatnonzero(inside & (spans[:, 0] < end))
    if not len(first) or not len(last):
        return 0, 0
    known = np.flatnonzero(inside)
    whole = spans[known[0], 0] <= start and spans[known[-1], 1] >= end
    return (int(first[0]), int(last[-1])) if whole and first[0] <= last[-1] else (0, 0)
