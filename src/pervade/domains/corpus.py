"""Running text to learn to write: files in folders, one large file, or a table's column of texts."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.random import Generator
from pydantic import Field

from pervade.core import contracts
from pervade.core.bounds import Token
from pervade.core.contracts import PlainFeatures, asking
from pervade.core.errors import ConfigError, DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Example, LeftOut, Media, Rows
from pervade.core.words import DomainWords, counted
from pervade.data.read import (
    account,
    class_folders,
    division,
    encodings,
    inputs,
    listing,
    named_files,
    table_files,
    tables,
)
from pervade.data.rows.split import named
from pervade.data.text import corpus, labelled_lines, texts, vocabulary
from pervade.data.text.corpus import IGNORED, Tokens
from pervade.data.text.tokenized import Tokenized, windows
from pervade.weights import tokenizers

SUFFIXES = (".txt", ".md", ".rst", ".text", ".tex", ".html", ".xml", ".py", ".c", ".h", ".java", ".js", ".srt", ".log")
PROSE = (".txt", ".md", ".rst")  # what a folder is taken for a collection of texts by
MOST_LOOKED_AT = 1000  # files of a folder, to tell what it is
PIECE = 1 << 16  # bytes of a document that one large file is cut into, so that there is something to hold out
FEWEST, LEAST = 20, 256  # pieces that a smaller one is cut into, and bytes that each has at least
MOST_LEARNT = 50_000_000  # bytes of training text, evenly spaced, from which a tokenizer is learnt


@register("domain")
@dataclass(frozen=True)
class Corpus(Tokenized):
    given: ClassVar[str] = "TEXT"
    reads: ClassVar[str] = "running text to learn writing from"
    cuts: ClassVar[bool] = True
    wording: ClassVar[DomainWords] = DomainWords(("text", "texts"), modality="text")

    length: Annotated[int, Field(ge=16, le=65_536)] = 256  # tokens that the model sees at once
    num_tokens: Annotated[int, Field(ge=300, le=200_000)] = 4096  # of the tokenizer that is learnt here
    tokenizer_from: str = ""  # a model's name or folder, or a checkpoint of ours, whose tokenizer is taken instead
    ends: tuple[Token, ...] = ()  # that end a text, by the model's config, the first of them standing between two;
    # empty: the one that the tokenizer has for it, by its name
    begins: tuple[Token, ...] = ()  # tokens in front of every text; known once fitted
    text_column: str | None = None  # of a table; None: found by name
    group_column: str | None = None  # likewise, what texts that belong together have in common; "none" for nothing
    split_column: str | None = None  # likewise, which split a text is in
    encoding: str = "utf-8"
    read_from: tuple[str, ...] = ()  # the columns of a table that held the texts; learnt from the training split
    lines: bool = False  # whether `predict` takes each line of a text file for a text
    tokenizer: str = ""  # SHA-256 of the tokenizer, which lies beside preprocess.json

    # reading

    def read(self, source: Any) -> tuple[Rows, list[LeftOut]]:
        """A row a document: a file, a piece of a large one, or a line of a table."""
        path = Path(source)
        if tables.is_table(path):
            return self._read_tables([(path, None)])
        by_split, beside = tables.by_split(path) if path.is_dir() else ({}, [])
        if any(map(tables.is_table, by_split)):
            rows, left_out = self._read_tables(list(by_split.items()))
            return rows, [*left_out, *beside]
        if path.is_file():
            return _documents([(path.name, path)]), []
        if not path.is_dir():
            raise DataError(f"{path} is not there; give a folder of text files, a text file, or a table of texts")
        files, left_out = listing.walk(path, SUFFIXES)
        if not files:
            first = f" (the first left out, {left_out[0].source}: {left_out[0].reason})" if left_out else ""
            raise DataError(f"{path} holds no text file{first}; their names end in {', '.join(SUFFIXES)}")
        account.note(f"running text: {counted(len(files), 'file')}, each a document as it stands")
        rows, beside = _of_folder([(file.relative_to(path).as_posix(), file) for file in files])
        return rows, [*left_out, *beside]

    def _read_tables(self, paths: Sequence[tuple[Path, str | None]]) -> tuple[Rows, list[LeftOut]]:
        """A document a line: its text, or both of a pair. `paths` come with the splits that they are."""
        content = self._texts
        documents: list[dict[str, Any]] = []
        left_out = []
        for path, split in paths:
            records = content.records(path)
            there = table_files.columns_of(records)
            held = content.columns(path, records, there)
            free = [name for name in there if name not in held]
            columns = division.columns(path, records, free, self.split_column, self.group_column)
            names = [f"{path.name}#{number}" for number in range(1, len(records) + 1)]
            divided = division.read(path, records, columns, names, [split] * len(records) if split else None)
            for name, record, said in zip(names, records, divided, strict=True):
                taken = content.take(path.parent, record, held, name)
                lost = next((part for part in (taken, said) if isinstance(part, LeftOut)), None)
                if isinstance(taken, LeftOut) or isinstance(said, LeftOut):
                    left_out.append(lost or LeftOut(name, ""))
                    continue
                text = "\n".join(taken[0].values())
                documents.append({"id": name, "text": text, **said, "read_from": list(held)})
        return division.rows(documents), left_out

    def asked(self, given: str, number: int = 1) -> Iterator[dict[str, Any] | LeftOut]:
        """Of the path of a file, a table or a folder the texts in it; anything else is a text itself."""
        held = inputs.held(given, SUFFIXES, self._rows_of)
        if held is None:
            yield {"id": given, "text": given}
            return
        why = "it is empty; give a text, or '' to begin with nothing"
        empty = [LeftOut(given, "it is an empty folder; give a text")]
        for entry in inputs.opened(held or empty, self.encoding, self.lines):
            yield LeftOut(entry["id"], why) if isinstance(entry, dict) and not entry["text"].strip() else entry

    def fields(self) -> tuple[asking.Field, ...]:
        return (asking.Field("input", "text", "Text"),)

    def sent(self, given: Mapping[str, Any], name: str, number: int = 1) -> dict[str, Any] | LeftOut:
        return {"id": given["input"], "text": given["input"]}

    @property
    def _texts(self) -> texts.Texts:
        learnt = self.read_from if len(self.read_from) < 2 else texts.Together(self.read_from)
        return texts.Texts(self.text_column, None, self.encoding, learnt)

    def _rows_of(self, table: Path) -> Iterator[dict[str, Any] | LeftOut]:
        """Of each row its text, or both of a pair."""
        for entry in tables.unlabelled(table, self._texts):
            if isinstance(entry, dict) and "second" in entry:
                entry["text"] += "\n" + entry.pop("second")
            yield entry

    def prepare(
        self, rows: Rows, progress: Callable[[int, int], None], keep: bool = True
    ) -> tuple[Rows, list[LeftOut]]:
        """Adds "hash" and "size" (bytes); leaves out what is not text, or nothing."""
        made: list[tuple[str, int] | str] = []
        for number, row in enumerate(rows):
            made.append(self._looked_at(row) if keep else ("", len(row["text"])))
            if number % 100 == 0:
                progress(number, len(rows))
        progress(len(rows), len(rows))
        good = [i for i, text in enumerate(made) if not isinstance(text, str)]
        left_out = [LeftOut(str(rows.column("id")[i]), text) for i, text in enumerate(made) if isinstance(text, str)]
        if not good and keep:
            raise DataError(f"no text can be used; the first, {left_out[0].source}: {left_out[0].reason}")
        kept = [text for text in made if not isinstance(text, str)]
        if not keep:
            rows = rows.with_columns(cut=[self._cut(row["text"]) for row in rows])
        return rows.select(good).with_columns(
            hash=[digest for digest, _ in kept], size=[size for _, size in kept]
        ), left_out

    def _cut(self, text: str) -> str | None:
        """How much of a text to go on from is read, where that is not all."""
        room = self.length - 1 - max(len(self.begins), 1)
        if len(text.encode("utf-8", "replace")) <= room:
            return None
        count = len(vocabulary.tokenizer(self.tokenizer).encode(text, add_special_tokens=False).ids)
        return f"the last {room:,} of {count:,} tokens are read" if count > room else None

    def _looked_at(self, row: dict[str, Any]) -> tuple[str, int] | str:
        try:
            data = self.document(row).encode("utf-8")
        except OSError as error:
            return f"the file cannot be opened ({error.strerror or error})"
        except UnicodeEncodeError:
            return "it holds half a character (a lone surrogate), which no file could hold; mend it"
        except DataError as error:
            return str(error).removeprefix(f"{row['path']} ")
        if b"\0" in data:
            return "it holds bytes of 0, so it is no text"
        return (hashlib.sha256(data).hexdigest(), len(data)) if data.strip() else "it is empty"

    def document(self, row: dict[str, Any]) -> str:
        """The text of a row. Raises DataError where its bytes are in another encoding, and OSError."""
        if row.get("text") is not None:
            return str(row["text"])
        path, start, stop = Path(row["path"]), row["start"], row["stop"]
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(stop - start)
        return encodings.decode(data, path, self.encoding)

    # learning from the training split

    def fit(self, train: Rows) -> Corpus:
        """The model's tokenizer, or a byte-level one of the training split alone."""
        if self.tokenizer_from:
            digest = vocabulary.keep(tokenizers.read(self.tokenizer_from))
            size = vocabulary.size(digest)
            if any(not 0 <= end < size for end in self.ends):
                raise ConfigError(
                    f"domain.ends {list(self.ends)} are not all among the {size:,} tokens of {self.tokenizer_from}; "
                    "set -o domain.ends=[NUMBER]"
                )
            return replace(self, tokenizer=digest, begins=vocabulary.begins(digest), read_from=read_from(train))
        step = max(sum(train.column("size")) // MOST_LEARNT, 1)
        made = vocabulary.learn((self.document(train[i]) for i in range(0, len(train), step)), "bpe", self.num_tokens)
        return replace(self, tokenizer=vocabulary.keep(made), read_from=read_from(train))

    def tokens(self, rows: Rows) -> Tokens:
        """All rows as one stream, from the cache."""
        hashes = list(rows.column("hash"))
        end = self.ends[0] if self.ends else None
        return corpus.tokens(self.tokenizer, hashes, lambda i: self.document(rows[i]), end=end, begins=self.begins)

    def asks(self, windows: np.ndarray, rng: Generator) -> Batch:
        """Of windows (n, t + 1) of the stream: "input" (n, t), and "target" (n, t), the token after each."""
        return {"input": torch.from_numpy(windows[:, :-1].copy()), "target": torch.from_numpy(windows[:, 1:].copy())}

    def inputs(self) -> contracts.Tokens:
        return contracts.Tokens(vocabulary.size(self.tokenizer), self.length, pooled=False, causal=True)

    def plain_features(self, train: Rows, rows: Rows) -> PlainFeatures | None:
        """The bytes themselves, for a compressor."""
        learnt, asked = ([self.document(row).encode("utf-8") for row in part] for part in (train, rows))
        return PlainFeatures("bytes", learnt, asked)

    # examples

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """A document in windows that overlap by half: each token is foretold once, from at least half a window of what
        comes before it wherever there is so much. A text to go on from, which has no "hash" that counts, is its end."""
        text = self.document(row)
        tokens = self._tokens(text)
        if not row.get("hash"):
            return [{"input": np.array(tokens[-(self.length - 1) :], np.int64)}]
        return list(self._windows(np.array([*tokens, self._end], np.int64), len(text.encode("utf-8"))))

    def whole(self, row: dict[str, Any]) -> list[int]:
        """All tokens of a text, behind what is in front of every text."""
        return self._tokens(self.document(row))

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = vocabulary.tokenizer(self.tokenizer).encode(text, add_special_tokens=False).ids
        return [*(self.begins or (self._end,)), *ids]

    @property
    def _end(self) -> int:
        return self.ends[0] if self.ends else vocabulary.require(self.tokenizer, vocabulary.END, "text generation")

    def _windows(self, tokens: np.ndarray, size: int) -> Iterator[Example]:
        asked, start = 0, 0  # tokens foretold so far
        while asked < len(tokens) - 1:
            stop = min(start + self.length, len(tokens) - 1)
            target = tokens[start + 1 : stop + 1].copy()
            target[: asked - start] = IGNORED
            yield {"input": tokens[start:stop], "target": target, "bytes": 0 if asked else size}
            asked, start = stop, stop - self.length // 2

    def collate(self, examples: Sequence[Example]) -> Batch:
        """As `windows`; "bytes" are of the whole text."""
        return windows(examples)

    # looking inside

    def show(self, row: dict[str, Any], prediction: dict[str, Any] | None) -> list[Media]:
        return [Media("text", self.document(row)[:600], str(row["id"]))]


def read_from(train: Rows) -> tuple[str, ...]:
    """The columns that held the texts."""
    return tuple(train[0].get("read_from") or ())


def _of_folder(files: Sequence[tuple[str, Path]]) -> tuple[Rows, list[LeftOut]]:
    """Files of a folder as rows, with the splits that folders (train/, test/) or else files (ptb.train.txt,
    ptb.test.txt) are called after; and files that lie beside the folders of splits."""
    known = class_folders.splits_of({name.partition("/")[0] for name, _ in files if "/" in name})
    folders = {name: known.get(name.partition("/")[0]) if "/" in name else None for name, _ in files}
    there = set(filter(None, folders.values()))
    # Without one called train, a folder called test may hold texts about tests.
    if all(folders.values()) or {"train"} < there:
        beside = [
            LeftOut(name, "it lies beside the split folders, not in one") for name in folders if not folders[name]
        ]
        rows = _documents([(name, file) for name, file in files if folders[name]])
        account.note(f"splits: the folders called after them ({', '.join(sorted(there))})")
        return rows.with_columns(split=[known[str(name).partition("/")[0]] for name in rows.column("id")]), beside
    if there - {"train"}:
        account.note(
            f"splits: none; a folder is called after the {' and '.join(sorted(there))} split, but none is train"
        )
    words = [re.findall(r"[^\W_]+", Path(name).stem.lower()) for name, _ in files]
    splits = [[named(word) for word in name if named(word)] for name in words]
    alike = len({tuple(word for word in name if not named(word)) for name in words}) == 1
    if alike and all(len(split) == 1 for split in splits) and ["train"] in splits:
        account.note(f"splits: the files called after them ({', '.join(name for name, _ in files)})")
        rows = _documents(files, whole=False)
        of_file = {str(path): split for (_, path), (split,) in zip(files, splits, strict=True)}
        return rows.with_columns(split=[of_file[path] for path in rows.column("path")]), []
    return _documents(files), []


def _documents(files: Sequence[tuple[str, Path]], whole: bool = True) -> Rows:
    """Files as rows; one that is alone, or is large and not to be `whole`, in pieces that end with a line."""
    names, paths, starts, stops = [], [], [], []
    for name, path in files:
        size, alone = path.stat().st_size, whole and len(files) == 1
        piece = max(size // FEWEST, LEAST) if alone and size <= 2 * PIECE else PIECE
        kept = (whole and not alone) or size <= 2 * piece
        cuts = [0, size] if kept else [0, *_cuts(path, size, piece), size]
        if alone and len(cuts) > 2:
            account.note(
                f"running text: {name} as it stands, in {counted(len(cuts) - 1, 'piece')}, so that some can be held out"
            )
        for number, (start, stop) in enumerate(itertools.pairwise(cuts), start=1):
            names.append(name if len(cuts) == 2 else f"{name}#{number}")
            paths.append(str(path))
            starts.append(start)
            stops.append(stop)
    return Rows({"id": names, "path": paths, "start": starts, "stop": stops})


def _cuts(path: Path, size: int, piece: int) -> list[int]:
    """Places after the ends of lines, about a `piece` apart; where there are no lines, between two characters."""
    places = []
    with path.open("rb") as file:
        for place in range(piece, size - piece // 2, piece):
            file.seek(place)
            ahead = file.read(4096)
            line = ahead.find(b"\n")
            if line >= 0:
                places.append(place + line + 1)
            else:
                places.append(place + next((i for i, byte in enumerate(ahead[:4]) if byte & 0xC0 != 0x80), 0))
    return sorted({at for at in places if at < size})  # lines may be longer than pieces


def looks_like_running_text(source: Any) -> bool:
    """Whether DATA is one text file, or a folder of them and of nothing else, which is not sorted into classes."""
    path = Path(source)
    if path.is_file():
        return path.suffix.lower() in SUFFIXES and not tables.holds_table(path)
    if not path.is_dir():
        return False
    inside = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    try:
        files = [file.relative_to(path) for file in itertools.islice(inside, MOST_LOOKED_AT) if not _beside(file)]
    except OSError:
        return False
    if not files or any(file.suffix.lower() not in PROSE for file in files):
        return False
    if tables.within(path) or labelled_lines.by_class(path):  # of texts with labels
        return False
    # Texts in folders are classes of them, unless the folders are splits; a few beside them are about them.
    loose = [file for file in files if len(file.parts) == 1 or (len(file.parts) == 2 and named(file.parts[0]))]
    homes = {file.parts[0] for file in files} - {file.parts[0] for file in loose}
    return 2 * len(loose) >= len(files) or (bool(loose) and len(homes) < 2)


def _beside(file: Path) -> bool:
    """What lies beside data of every kind."""
    return file.stem.lower() in named_files.ABOUT
