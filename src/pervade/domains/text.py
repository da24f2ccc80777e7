"""Texts, or pairs of texts, to be judged as a whole: their tokens, cut to what the model takes.

A tokenizer comes with the first weights (`Initializer.adapt`), or is learnt from the training split alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.random import Generator
from pydantic import Field

from pervade.core.bounds import Count, Deviation, Finite
from pervade.core.contracts import PlainFeatures, Tokens, asking
from pervade.core.errors import DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Example, LeftOut, Media, Rows
from pervade.core.words import DomainWords
from pervade.data.image import pictures
from pervade.data.read import (
    columns,
    embedded,
    hub,
    inputs,
    label_names,
    listing,
    metadata,
    named_files,
    table_files,
    tables,
    targets,
)
from pervade.data.read.targets import Kind
from pervade.data.rows.split import named as split_named
from pervade.data.sound import recordings, sound_files, transcripts
from pervade.data.text import labelled_lines, ngrams, texts, tokenized, vocabulary
from pervade.data.text.tokenized import Tokenized, padded

FILES = (*sorted(pictures.SUFFIXES), *sorted(sound_files.SUFFIXES))  # which a table of texts does not name


def contents(
    text_column: str | None = None,
    label_column: str | None = None,
    encoding: str = "utf-8",
    learnt: tuple[str, ...] = (),
) -> texts.Texts:
    """What a data set of texts holds; the columns of a table are found unless they are named."""
    return texts.Texts(text_column, label_column, encoding, learnt)


@register("domain")
@dataclass(frozen=True)
class Text(Tokenized):
    given: ClassVar[str] = "TEXT"
    reads: ClassVar[str] = "texts with labels"
    cuts: ClassVar[bool] = True
    wording: ClassVar[DomainWords] = DomainWords(("text", "texts"), modality="text")

    length: Annotated[int, Field(ge=8, le=8192)] = 256  # tokens that the model sees at most; what is longer is cut
    num_tokens: Annotated[int, Field(ge=300, le=200_000)] = 8000  # of a tokenizer that is learnt here
    tokenizer_kind: vocabulary.Kind = "wordpiece"  # or bpe: byte-level, which keeps letters as they are
    tokenizer_from: str = ""  # a model's name or folder, or a checkpoint of ours, whose tokenizer is taken instead
    target: Kind = "class"  # what a row's target is (data/read/targets.py): class, labels or number
    text_column: str | None = None  # of a table; two by a comma are a pair; None: found by name, or by content
    label_column: str | None = None  # likewise
    separator: str | None = None  # what parts the labels of one cell of a table; None: found by looking
    join_spellings: bool = (
        False  # labels that differ in case, width and blanks alone are one (data/read/label_names.py)
    )
    positive: str | None = None  # of two classes the one that is looked for; None: the last in their order
    group_column: str | None = None  # of a table, what texts that belong together have in common; None: found by name
    split_column: str | None = None  # or the column of a table that says which split a row is in; "none" for none
    encoding: str = "utf-8"  # of tables and text files; gb18030, cp1252 …
    pair: bool = False  # whether rows are pairs; learnt from the training split
    read_from: tuple[str, ...] = ()  # the columns of its table that held them
    lines: bool = False  # whether each line of a text file is a text, as those that were learnt from
    labels: tuple[str, ...] = ()  # learnt from the training split
    counts: tuple[Count, ...] = ()  # its rows of each label
    rows: Count = 0  # all its rows
    scale: tuple[Finite, Deviation] = (0.0, 1.0)  # mean and deviation of its targets, where these are numbers
    tokenizer: str = ""  # SHA-256 of the tokenizer, which lies beside preprocess.json

    @property
    def repeats(self) -> bool:
        return True

    # reading

    @property
    def _learnt(self) -> tuple[str, ...]:
        return self.read_from if self.pair or len(self.read_from) < 2 else texts.Together(self.read_from)

    def read(self, source: Any) -> tuple[Rows, list[LeftOut]]:
        """A folder or table with labels."""
        content = contents(self.text_column, self.label_column, self.encoding, self._learnt)
        patterns = None, None, self.group_column, self.split_column
        wanted = tables.Wanted(self.target, self.label_column, self.separator, *patterns)
        rows, left_out = listing.read(source, content, wanted)
        return label_names.settle(rows, self.target, self.join_spellings, self.positive, self.labels), left_out

    def asked(self, given: str, number: int = 1) -> Iterable[tables.Record | LeftOut]:
        """Of the path of a file, a table or a folder the texts in it; anything else is a text itself. A pair stands
        in a table, or is parted by a tab."""
        content = contents(self.text_column, self.label_column, self.encoding, self._learnt)
        is_table = tables.holds_table if self.read_from else tables.is_table  # a table may be called a.txt
        read = functools.partial(tables.unlabelled, content=content)
        held = inputs.held(given, content.suffixes, read, is_table=is_table)
        if held is not None:
            empty = [LeftOut(given, "it is an empty folder; give a text, or a file or folder of texts")]
            return inputs.opened(held or empty, self.encoding, self.lines)
        if Path(given[:200]).suffix in (*texts.SUFFIXES, *tables.SUFFIXES) and len(given.split()) == 1:
            return [LeftOut(given, "it is not there; give a text, or a file or folder of texts")]
        first, tab, second = given.partition("\t")
        taken = {"text": first, "second": second} if self.pair and tab else {"text": given}
        return [self._row(given, number, **taken)]

    @staticmethod
    def _row(shown: str, number: int, **taken: str) -> dict[str, Any]:
        return {"id": shown if len(shown) <= 60 else f"text {number}: {shown[:50]}…", **taken}

    def fields(self) -> tuple[asking.Field, ...]:
        one, two = asking.Field("text", "text", "First text"), asking.Field("second", "text", "Second text")
        return (one, two) if self.pair else (asking.Field("input", "text", "Text"),)

    def sent(self, given: Mapping[str, Any], name: str, number: int = 1) -> dict[str, Any] | LeftOut:
        if self.pair:
            return self._row(f"{given['text']}\t{given['second']}", number, text=given["text"], second=given["second"])
        return self._row(given["input"], number, text=given["input"])

    def prepare(
        self, rows: Rows, progress: Callable[[int, int], None], keep: bool = True
    ) -> tuple[Rows, list[LeftOut]]:
        """Reads text files; takes control characters out; adds "hash" and "size" (characters)."""
        made = []
        for number, row in enumerate(rows):
            made.append(self._cleaned(row, keep))
            if number % 1000 == 0:
                progress(number, len(rows))
        progress(len(rows), len(rows))
        good = [i for i, entry in enumerate(made) if isinstance(entry, list)]
        left_out = [LeftOut(str(rows.column("id")[i]), entry) for i, entry in enumerate(made) if isinstance(entry, str)]
        if not good and keep:
            raise DataError(f"no text can be used; the first, {left_out[0].source}: {left_out[0].reason}")
        kept = [made[i] for i in good]
        columns: dict[str, list[Any]] = {
            "text": [pair[0] for pair in kept],
            "hash": [texts.digest(*pair) for pair in kept],
            "size": [sum(map(len, pair)) for pair in kept],
        }
        if "second" in rows:
            columns["second"] = [pair[1] if len(pair) > 1 else None for pair in kept]
        if not keep:
            columns["cut"] = [self._cut(pair) for pair in kept]
        return rows.select(good).with_columns(**columns), left_out

    def _cut(self, pair: Sequence[str]) -> str | None:
        """How much of a text, or of two, is read, where that is not all. No token is less than a byte."""
        if sum(len(text.encode()) for text in pair) + 3 <= self.length:
            return None
        (count,) = vocabulary.lengths(self.tokenizer, pair[:1], pair[1:] or None)
        return f"{self.length:,} of {count:,} tokens are read" if count > self.length else None

    def _cleaned(self, row: dict[str, Any], keep: bool) -> list[str] | str:
        given = [row["text"]] if row.get("text") is not None else None
        if given is None:
            try:
                given = [texts.read_file(Path(row["path"]), self.encoding)]
            except OSError as error:
                return f"the file cannot be opened ({error.strerror or error})"
            except DataError as error:
                return str(error).removeprefix(f"{row['path']} ")
        if row.get("second") is not None:
            if not keep and not self.pair:
                return "it is a pair, and this model reads one text; name its column with --text-column"
            given.append(row["second"])
        elif self.pair:
            return "it is one text, and this model reads pairs; give a table of two columns, or part them by a tab"
        cleaned = [texts.clean(text) for text in given]
        fault = next((text for text in cleaned if isinstance(text, str)), None)
        return fault if fault is not None else [text[0] for text in cleaned if not isinstance(text, str)]

    # learning from the training split

    def fit(self, train: Rows) -> Self:
        """What targets have to be known by, and, where none came with a model, a tokenizer."""
        from pervade.weights import tokenizers

        if self.tokenizer_from:
            made = tokenizers.read(self.tokenizer_from)
        else:
            made = vocabulary.learn(self._all_texts(train), self.tokenizer_kind, self.num_tokens)
        return replace(self._fit_to_rows(train), tokenizer=vocabulary.keep(made))

    def _fit_to_rows(self, train: Rows) -> Self:
        """All that is learnt but how texts are seen."""
        learnt = targets.learn(self.target, train.column("target"), self.positive)
        first = train[0]
        read: dict[str, Any] = {"read_from": tuple(first.get("read_from") or ()), "lines": bool(first.get("lines"))}
        return replace(self, **vars(learnt), **read, pair="second" in train)

    @staticmethod
    def _all_texts(rows: Rows) -> list[str]:
        return [text for name in ("text", "second") if name in rows for text in rows.column(name)]

    def inputs(self) -> Tokens:
        separator = vocabulary.special(self.tokenizer, vocabulary.SEPARATOR) if self.pair else None
        return Tokens(vocabulary.tokenizer(self.tokenizer).get_vocab_size(), self.length, self._padding, separator)

    def remarks(self, rows: Rows) -> list[str]:
        """How many texts are cut, split by split."""
        sizes = vocabulary.lengths(
            self.tokenizer, list(rows.column("text")), list(rows.column("second")) if "second" in rows else None
        )
        cut = sum(size > self.length for size in sizes)
        if not cut:
            return []
        return [
            f"{cut:,} of {len(sizes):,} texts are longer than {self.length} tokens (the longest has {max(sizes):,}) "
            "and are cut there; -o domain.length takes more"
        ]

    def plain_features(self, train: Rows, rows: Rows) -> PlainFeatures | None:
        """data/text/ngrams.py, of a pair both together."""

        def texts_of(part: Rows) -> list[str]:
            return [" ".join(str(row[name]) for name in ("text", "second") if name in row) for row in part]

        terms = ngrams.learn(texts_of(train))
        if not terms:
            return None

        def features(part: Rows) -> Any:
            return ngrams.vectorizer(terms).transform(texts_of(part))

        return PlainFeatures(ngrams.named(terms), features(train), features(rows), features)

    # examples

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """Input (t,) int64, at most `length` tokens."""
        tokens = vocabulary.encode(self.tokenizer, row["text"], row.get("second"), self.length)
        return [{"input": np.array(tokens, dtype=np.int64), **self._target_of(row)}]

    def _target_of(self, row: dict[str, Any]) -> Example:
        """ "target" as examples hold it; nothing where the row has none."""
        if "target" not in row:
            return {}
        learnt = targets.Learnt(self.labels, self.counts, self.rows, self.scale)
        return {"target": targets.encode(self.target, row["target"], learnt, row["id"])}

    def collate(self, examples: Sequence[Example]) -> Batch:
        """ "input" (n, t) int64 with padding at the end, "mask" (n, t) bool: True at tokens."""
        return padded(examples, self._padding) | self._targets(examples)

    def shape(self, examples: Sequence[Example]) -> tuple[Any, ...]:
        return tokenized.shape(examples, self.length)

    def filled(self, batch: Batch, shape: tuple[Any, ...]) -> Batch:
        return tokenized.filled(batch, shape[0], input=self._padding, mask=False)

    def _targets(self, examples: Sequence[Example]) -> Batch:
        if "target" not in examples[0]:
            return {}
        return {"target": targets.stack(self.target, [example["target"] for example in examples])}

    # looking inside

    def show(self, row: dict[str, Any], prediction: dict[str, Any] | None) -> list[Media]:
        second = row.get("second")
        return [Media("text", row["text"] if second is None else f"{row['text']}\n\n{second}", str(row["id"]))]


MOST_LOOKED_AT = 1000  # rows, evenly spaced, that tell whether a table is one of files
LOOK = "utf-8,latin-1"  # in the second every byte is a letter: enough to tell columns by, whatever the encoding is


def looks_like_text(source: Any, text_column: str | None = None) -> bool:
    """Whether DATA is texts: class folders of them, or a table with a column of them and none of files. Who names a
    column of texts has said so."""
    if text_column is not None:
        return True
    content = contents(encoding=LOOK)
    try:
        if not hub.is_address(source) and Path(source).is_dir() and listing.mostly(Path(source), FILES, least=1 / 3):
            return False  # whatever tables and lists lie beside them
        place, records = sample(source, content)
        if not records:
            return place is not None
        if tables.is_table(Path(source)) and transcripts.of_ljspeech(Path(source)):
            return False
        there = table_files.columns_of(records)
        some = records[:: max(len(records) // MOST_LOOKED_AT, 1)]
        prose = any(columns.look(some, name).prose for name in there)
        if place is not None and _names_files(place, records, prose):
            return False
        held = content.columns(str(source), records, there)
        return bool(held) and not any(embedded.place(str(record.get(held[0]))) for record in records[:5])
    except texts.Undecided:
        return True
    except (OSError, DataError):  # whoever reads it in earnest says what is wrong
        return False


def _names_files(place: Path, records: list[tables.Record], prose: bool) -> bool:
    """Whether a table is about recordings, with what is said in them or without, or about pictures: they are there, or
    no column holds texts beside their names."""
    if named_files.about_files(place, records, sound_files.SUFFIXES, recordings.FILE_COLUMNS, ()) is not None:
        return True
    names = (*named_files.ONLY_FILES, "id")
    below = named_files.Below(place, pictures.SUFFIXES, most=named_files.AT_FIRST)
    if not prose:
        return named_files.about_files(place, records, pictures.SUFFIXES, names) is not None
    column = named_files.column(records, named_files.columns_of(records), below, names)
    if column is not None and columns.plain(column) in columns.IDS:
        return False  # the numbers of its rows, which happen to be names of pictures somewhere below
    return column is not None and named_files.share(named_files.spaced(records, column), below)[0] > 0


def sample(source: Any, content: texts.Texts) -> tuple[Path | None, list[tables.Record]]:
    """The folder of a table and its rows; of a folder without tables no rows, and None unless most files in it are
    texts. Raises DataError and OSError."""
    if hub.is_address(source):
        return None, hub.records(str(source))[0]
    path = Path(source)
    if path.is_dir():
        if labelled_lines.by_class(path):
            return path, content.records(path)
        files = [file for file in tables.within(path) if tables.bare_name(file).lower() not in metadata.NO_DATA]
        files.sort(key=lambda file: split_named(tables.bare_name(file)) != "train")
        if not files:
            return (path if texts.most_are(path) else None), []
        path = files[0]
    return (path.parent, content.records(path)) if tables.holds_table(path) else (None, [])
