"""Conversations to learn to answer: what the assistant says is learnt, from all that was said before it.

Rows are written as one text by a chat template (data/text/chat.py): the model's own where its tokenizer comes with one,
else a plain one of ours. The template is a field of the fitted domain, so that `predict` asks as training did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.random import Generator
from pydantic import Field

from pervade.core import contracts
from pervade.core.contracts import PlainFeatures, asking
from pervade.core.errors import DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Example, LeftOut, Media, Rows
from pervade.core.words import DomainWords
from pervade.data.read import account, conversations, division, inputs, label_columns
from pervade.data.read import columns as columns_module
from pervade.data.read.conversations import Read
from pervade.data.text import corpus, texts, vocabulary
from pervade.data.text.chat import Chat, Message, ending, marked
from pervade.data.text.corpus import IGNORED, Tokens
from pervade.data.text.tokenized import Tokenized, windows
from pervade.weights import tokenizers


@register("domain")
@dataclass(frozen=True)
class Instructions(Tokenized):
    given: ClassVar[str] = "TEXT"
    reads: ClassVar[str] = "conversations"
    cuts: ClassVar[bool] = True  # of what is asked the oldest turns
    wording: ClassVar[DomainWords] = DomainWords(("conversation", "conversations"), modality="text")

    length: Annotated[int, Field(ge=16, le=65_536)] = 512  # tokens that the model sees at once
    num_tokens: Annotated[int, Field(ge=300, le=200_000)] = 4096  # of a tokenizer that is learnt here
    begins: ClassVar[tuple[int, ...]] = ()  # a template puts there what is to be
    tokenizer_from: str = ""  # a model's name or folder, or a run of ours, whose tokenizer and template are taken
    encoding: str = "utf-8"
    lines: bool = False  # whether `predict` takes each line of a text file for a question
    group_column: str | None = None  # what rows that belong together have in common; None: found by name
    split_column: str | None = None  # likewise, which split a row is in; "none" for none
    template: str = ""  # Jinja; empty: what comes with `tokenizer_from`, or the plain one of data/text/chat.py
    bos: str = ""  # what the template is told for the token that begins a text, and the one that ends an answer; empty:
    eos: str = ""  # what belongs to the tokenizer
    tokenizer: str = ""  # SHA-256 of the tokenizer, which lies beside preprocess.json

    @property
    def repeats(self) -> bool:
        return True

    # reading

    def read(self, source: Any) -> tuple[Rows, list[LeftOut]]:
        """A row a conversation."""
        return self._read_rows(conversations.read(source, self.encoding), str(source))

    def _read_rows(self, read: Read, source: str) -> tuple[Rows, list[LeftOut]]:
        form = conversations.form(read.columns)
        if form is None:
            raise DataError(
                f"{source} has no columns of conversations, only {', '.join(read.columns)}; name them messages (or "
                "conversations), or prompt and completion, or instruction, input and output"
            )
        messages = [conversations.of_record(record, form) for record in read.records]
        account.note(f"conversations by the columns {form}; the answers alone are learnt")
        faults = [part if isinstance(part, str) else None for part in messages]
        return kept(read, {"messages": messages}, faults, self._divided(read, list(vars(form).values())))

    def _divided(self, read: Read, used: Sequence[str]) -> list[dict[str, Any] | LeftOut]:
        return conversations.divided(read, used, self.split_column, self.group_column)

    def asked(self, given: Any, number: int = 1) -> Iterator[dict[str, Any] | LeftOut]:
        """A text, messages, or of the path of a file, a table or a folder what is asked there."""
        if not isinstance(given, str):
            messages = [given] if isinstance(given, dict) else list(given)
            said = messages[-1].get("content") if messages and isinstance(messages[-1], dict) else None
            yield _entry(said if isinstance(said, str) else "a conversation", question(messages))
            return
        held = inputs.held(given, texts.SUFFIXES, self._rows_of)
        if held is None:
            yield _entry(given, question(given))
            return
        empty = [LeftOut(given, "it is an empty folder; give a question")]
        for entry in inputs.opened(held or empty, self.encoding, self.lines):
            text = None if isinstance(entry, LeftOut) else entry.get("text")
            yield entry if isinstance(entry, LeftOut) or text is None else _entry(entry["id"], question(text))

    def fields(self) -> tuple[asking.Field, ...]:
        return (asking.Field("input", "messages", "Conversation"),)

    def sent(self, given: Mapping[str, Any], name: str, number: int = 1) -> dict[str, Any] | LeftOut:
        said = given["input"]
        return _entry(said, question(said)) if isinstance(said, str) else next(iter(self.asked(said, number)))

    def _rows_of(self, table: Path) -> Iterator[dict[str, Any] | LeftOut]:
        read = conversations.read(table, self.encoding)
        form = conversations.form(read.columns)
        # Tables of several folders may be given at once, and have the same name.
        return (_entry(f"{table}#{number}", _asked(row, form)) for number, row in enumerate(read.records, start=1))

    def prepare(
        self, rows: Rows, progress: Callable[[int, int], None], keep: bool = True
    ) -> tuple[Rows, list[LeftOut]]:
        """Adds "hash" and "size" (characters); leaves out what the template refuses, and questions too long."""
        chat = self.chat()
        good, left_out = [], []
        for number, row in enumerate(rows):
            why = self._fault(chat, row, keep)
            if why is None:
                good.append(number)
            else:
                left_out.append(LeftOut(str(row["id"]), why))
            if number % 1000 == 0:
                progress(number, len(rows))
        progress(len(rows), len(rows))
        if not good and keep:
            first = f"; the first, {left_out[0].source}: {left_out[0].reason}" if left_out else ""
            raise DataError(f"no conversation can be used{first}")
        rows = rows.select(good)
        sizes = [self._size(row) for row in rows]
        hashes = [self._hash(row) if keep else "" for row in rows]
        if not keep:
            rows = rows.with_columns(cut=[self._forgotten(row["messages"]) for row in rows])
        return rows.with_columns(hash=hashes, size=sizes), left_out

    def _forgotten(self, messages: Sequence[Message]) -> str | None:
        """How much of what is asked is read, where turns are forgotten."""
        read, whole = len(self._question(messages)), self._tokens(messages)
        return f"{read:,} of {len(whole):,} tokens are read, without the oldest turns" if read < len(whole) else None

    def _fault(self, chat: Chat, row: dict[str, Any], keep: bool) -> str | None:
        try:
            if keep:
                chat.parts(self._whole(row))
            else:
                self._question(row["messages"])
        except DataError as error:
            return str(error)
        return None

    def _size(self, row: dict[str, Any]) -> int:
        return conversations.size(row["messages"])

    def _hash(self, row: dict[str, Any]) -> str:
        return conversations.digest(row["messages"])

    # learning from the training split

    def chat(self) -> Chat:
        """The template, and what it is told. Raises CheckpointError where it cannot be read."""
        if self.tokenizer:
            return Chat(self.template, self.bos, self.eos)
        chat = tokenizers.chat(self.tokenizer_from) if self.tokenizer_from else Chat()
        return Chat(self.template or chat.template, self.bos or chat.bos, self.eos or chat.eos)

    def fit(self, train: Rows) -> Self:
        """The tokenizer and the template that `tokenizer_from` names; else a byte-level one, of what is said in the
        training split alone. Raises ConfigError where the template does not show where an answer ends."""
        chat = self.chat()
        if self.tokenizer_from:
            made = tokenizers.read(self.tokenizer_from)
        else:
            letters = Chat(chat.template, "", "")  # special tokens are no text to learn from
            made = vocabulary.learn((letters.render(self._whole(row)) for row in train), "bpe", self.num_tokens)
        digest = vocabulary.keep(made)
        ending(chat, digest)
        return replace(self, tokenizer=digest, template=chat.template, bos=chat.bos, eos=chat.eos)

    def _whole(self, row: dict[str, Any]) -> list[Message]:
        messages: list[Message] = row["messages"]
        return messages

    def inputs(self) -> contracts.Tokens:
        numbers = vocabulary.tokenizer(self.tokenizer).get_vocab(with_added_tokens=True).values()  # may have gaps
        return contracts.Tokens(max(numbers) + 1, self.length, pooled=False, causal=True)

    def remarks(self, rows: Rows) -> list[str]:
        """How conversations are written, and how many come in windows."""
        whose = f"the chat template of {self.tokenizer_from}" if self.tokenizer_from else "a plain chat template"
        said = [f"conversations are written by {whose}"]
        lengths = [len(self._learnt(row["messages"])[0]) for row in rows]
        long = sum(length > self.length for length in lengths)
        if long:
            said.append(
                f"{long:,} of {len(lengths):,} conversations are longer than {self.length} tokens (the longest has "
                f"{max(lengths):,}) and are read through windows that overlap by half; -o domain.length takes more"
            )
        return said

    def plain_features(self, train: Rows, rows: Rows) -> PlainFeatures | None:
        """The answers' bytes, for a compressor."""
        learnt, asked = ([_bytes(row["messages"]) for row in part] for part in (train, rows))
        return PlainFeatures("bytes", learnt, asked)

    # what a language model asks (tasks/language_model.py)

    @property
    def ends(self) -> tuple[int, ...]:
        """The token that ends an answer."""
        return (ending(self.chat(), self.tokenizer),)

    def tokens(self, rows: Rows) -> Tokens:
        """All answers as one stream, from the cache."""
        hashes = list(rows.column("hash"))
        return corpus.tokens(self.tokenizer, hashes, lambda i: self.answers(rows[i]), end=self.ends[0])

    def answers(self, row: dict[str, Any]) -> str:
        return "\n".join(message["content"] for message in row["messages"] if message["role"] == "assistant")

    def held_out(self, row: dict[str, Any]) -> tuple[list[Message], str]:
        """A row as a question, and its own answer, which is the last."""
        *before, last = row["messages"]
        return before, last["content"]

    # examples

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """A conversation in windows that overlap by half: each token of an answer is foretold once, and windows without
        one are passed over. Where no answer stands at its end, what is asked, up to where the answer begins: all of it,
        or without its oldest turns where there is no room. Raises DataError where there is none for the last turn."""
        messages = row.get("messages") or question(row.get("text", ""))
        if isinstance(messages, str):
            raise DataError(f"{messages}; write a question")
        if messages[-1]["role"] != "assistant":
            return [{"input": self._question(messages)}]
        tokens, learnt = self._learnt(messages)
        return list(self._windows(tokens, learnt, len(_bytes(messages))))

    def _windows(self, tokens: np.ndarray, learnt: np.ndarray, size: int) -> Iterator[Example]:
        targets = np.where(learnt, tokens, IGNORED)[1:]
        asked, start, first = 0, 0, True  # tokens looked at so far
        while asked < len(targets):
            stop = min(start + self.length, len(targets))
            target = targets[start:stop].copy()
            target[: asked - start] = IGNORED
            if (target != IGNORED).any():
                yield {"input": tokens[start:stop], "target": target, "bytes": size if first else 0}
                first = False
            asked, start = stop, max(stop - self.length // 2, 0)

    def _learnt(self, messages: Sequence[Message]) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of a conversation up to the end of its last answer (t,), and which of them the model is to say.

        Pieces become tokens one by one, so that what is asked is the same tokens here as when nobody knows the answer.
        """
        (end,) = self.ends
        tokens: list[int] = []
        learnt: list[bool] = []
        for text, answer in self.chat().parts(messages):
            ids = self._cut(text, messages)
            last = len(ids) - ids[::-1].index(end) if answer and end in ids else len(ids)
            tokens += ids
            learnt += [answer and place < last for place in range(len(ids))]
        stop = len(learnt) - learnt[::-1].index(True)
        return np.array(tokens[:stop], np.int64), np.array(learnt[:stop])

    def _question(self, messages: Sequence[Message]) -> np.ndarray:
        """The tokens of what is asked; turns are forgotten from the oldest on, but not what the system says."""
        system = [turn for turn in messages if turn["role"] == "system"]
        turns = [turn for turn in messages if turn["role"] != "system"]
        while True:
            kept = [*system, *turns]
            tokens = self._tokens(kept)
            if len(tokens) < self.length:
                return np.array(tokens, np.int64)
            later = next((i for i, turn in enumerate(turns) if i and turn["role"] == "user"), None)
            if later is None:
                raise DataError(
                    f"it has {len(tokens):,} tokens, and the model reads {self.length - 1} before it answers; cut it"
                )
            turns = turns[later:]

    def whole(self, row: dict[str, Any]) -> list[int]:
        """All tokens of what is asked."""
        return self._tokens(row["messages"])

    def _tokens(self, messages: Sequence[Message]) -> list[int]:
        return [token for text, _ in self.chat().parts(messages, True) for token in self._cut(text, messages)]

    def _cut(self, text: str, messages: Sequence[Message]) -> list[int]:
        return marked(self.tokenizer, text, [turn["content"] for turn in messages])

    def collate(self, examples: Sequence[Example]) -> Batch:
        """As `windows`; "bytes" are of the row's answers."""
        return windows(examples)

    # looking inside

    def show(self, row: dict[str, Any], prediction: dict[str, Any] | None) -> list[Media]:
        told = "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in row["messages"])
        return [Media("text", told[:600], str(row["id"]))]


def _bytes(messages: Sequence[Message]) -> bytes:
    """What the answers say."""
    return b"".join(turn["content"].encode() for turn in messages if turn["role"] == "assistant")


def question(given: Any) -> list[Message] | str:
    """A text, or messages of which the last is no answer; or why they cannot be asked."""
    messages = conversations.checked(given, "user")
    if not isinstance(messages, str) and messages[-1]["role"] == "assistant":
        return "its last message is the assistant's, so nothing is asked"
    return messages


def _entry(name: str, messages: list[Message] | str) -> dict[str, Any] | LeftOut:
    return LeftOut(name, messages) if isinstance(messages, str) else {"id": name, "messages": messages}


def _asked(record: Mapping[str, Any], form: conversations.Form | None) -> list[Message] | str:
    """What a row of a table asks; the answer, where it has one, is not looked at."""
    names = {name.strip().lower(): name for name in record}
    if form is None and "prompt" in names:
        return question(record[names["prompt"]])
    if form is None:
        return f"it has neither messages nor a prompt, only {', '.join(record)}"
    messages = conversations.whole(
        record if form.messages else {**record, form.answer: record.get(form.answer) or "?"}, form
    )
    if isinstance(messages, str):
        return messages
    return messages[:-1] if messages[-1]["role"] == "assistant" and len(messages) > 1 else question(messages)


def kept(
    read: Read,
    columns: Mapping[str, Sequence[Any]],
    faults: Sequence[str | None],
    divided: Sequence[Mapping[str, Any] | LeftOut],
) -> tuple[Rows, list[LeftOut]]:
    """The rows without a fault, with "id", and how they are `divided` (data/read/division.py)."""
    entries: list[dict[str, Any]] = []
    left_out = []
    for number, (name, why, said) in enumerate(zip(read.ids, faults, divided, strict=True)):
        if why is not None:
            left_out.append(LeftOut(name, why))
        elif isinstance(said, LeftOut):
            left_out.append(said)
        else:
            entries.append({"id": name, **{key: values[number] for key, values in columns.items()}, **said})
    if not entries:
        first = f"; the first, {left_out[0].source}: {left_out[0].reason}" if left_out else ""
        raise DataError(f"no row can be used{first}")
    return division.rows(entries), [*read.left_out, *left_out]


def looks_like_instructions(source: Any, asked: bool = False) -> bool:
    """Whether DATA is a table of conversations, by the names of its columns; with labels it is one of texts. Questions
    beside a text, or with answers that come again, are others' unless conversations were `asked` for."""
    columns = conversations.peek(source)
    form = conversations.form(columns)
    names = {columns_module.plain(name) for name in columns}
    if form is None or not names.isdisjoint(label_columns.FIRM):
        return False
    if asked or form.messages or columns_module.plain(form.question) in conversations.SAID:
        return True
    if form.beside or not names.isdisjoint({*label_columns.NAMES, *label_columns.CLASSES}):
        return False
    try:
        answers = columns_module.look(conversations.read(source, "utf-8,latin-1").records, form.answer)
    except (OSError, DataError):  # whoever reads it in earnest says what is wrong
        return False
    return answers.text and 2 * answers.different > answers.filled
