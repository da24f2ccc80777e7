"""Questions about texts, as SQuAD holds them: articles, their paragraphs, and of each paragraph questions with answers.

    {"data": [{"title": …, "paragraphs": [{"context": …, "qas": [{"id": …, "question": …,
        "answers": [{"text": …, "answer_start": …}], "is_impossible": false}]}]}]}

(Rajpurkar et al. 2016 and 2018, arXiv:1606.05250 and 1806.03822; CMRC, XQuAD and others are written so too.) Or a table
with columns question and context, and answers where they are known: as {"text": [...], "answer_start": [...]} (data
sets of the Hub), as a list of texts and places, or as one text that stands in the context once.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pervade.core.errors import DataError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import division, encodings, hub, json_tables, spellings, table_files, tables
from pervade.data.read.columns import first_named
from pervade.data.read.table_files import Record
from pervade.data.rows.split import named, units

CONTEXT = ("context", "passage", "paragraph", "kontext", "contexto", "contexte", "contesto", "上下文", "文章")
QUESTION = ("question", "query", "frage", "pregunta", "pergunta", "domanda", "问题", "質問")
ANSWERS = ("answers", "answer", "antwort", "antworten", "respuesta", "réponse", "resposta", "risposta", "答案", "回答")
TITLE = ("title", "article", "document")


@dataclass
class _Read:
    """What was read so far. `with_answers`: these are looked at, and a question without any is of no use. The columns
    are those that divide a table's rows (data/read/division.py)."""

    with_answers: bool = True
    split_column: str | None = None
    group_column: str | None = None
    every: list[Record | LeftOut] = field(default_factory=list)  # rows, and what is left out, as they stand there

    @property
    def rows(self) -> list[Record]:
        return [row for row in self.every if not isinstance(row, LeftOut)]

    @property
    def left_out(self) -> list[LeftOut]:
        return [row for row in self.every if isinstance(row, LeftOut)]


@dataclass(frozen=True)
class _Place:
    """Where questions stand: in words, their paragraph and article, and how they are divided
    (data/read/division.py)."""

    where: str
    paragraph: str
    article: str
    divided: Record = field(default_factory=dict)


def read(
    source: str | Path, encoding: str = "utf-8", split_column: str | None = None, group_column: str | None = None
) -> tuple[Rows, list[LeftOut]]:
    """Rows with "id", "question", "context", "answers" (a list of {"text", "start"}, `start` in characters; empty where
    the text has no answer), "group" (the paragraph, unless a table has groups) and "bundle" (the article: it is never
    divided between splits); "split" and "fold_given" where they are known.

    Raises DataError where nothing there can be read so.
    """
    reading = _Read(split_column=split_column, group_column=group_column)
    if hub.is_address(source):
        records, ids, lost = hub.records(str(source))
        reading.every += lost
        _take_table(str(source), records, ids, [named(name.partition("/")[0]) for name in ids], reading)
        return _finish(source, reading)
    path = Path(source)
    files: Mapping[Path, str | None] = {path: None}
    if path.is_dir():
        by_split, beside = tables.by_split(path)
        reading.every += beside
        files = by_split or {table: None for table in sorted(path.iterdir()) if tables.is_table(table)}
    elif not path.is_file():
        raise DataError(f"{path} is not there; give a file of questions as SQuAD has them, or a folder of such files")
    for file, split in files.items():
        _take_file(file, encoding, split, reading)
    return _finish(source, reading)


def read_table(path: Path, encoding: str = "utf-8") -> list[Record | LeftOut]:
    """The questions of one file ("id", "question", "context"), answered or not, in order with what is left out."""
    reading = _Read(with_answers=False)
    _take_file(path, encoding, None, reading)
    names = ("id", "question", "context")
    return [row if isinstance(row, LeftOut) else {name: row[name] for name in names} for row in reading.every]


def _finish(source: Any, reading: _Read) -> tuple[Rows, list[LeftOut]]:
    rows, left_out = reading.rows, reading.left_out
    if not rows:
        lost = left_out[:1]
        reason = "".join(f" (the first left out, {fault.source}: {fault.reason})" for fault in lost)
        raise DataError(
            f"{source} holds no question that can be used{reason}; give SQuAD's JSON, or a table with columns "
            "question, context and answers; answers in words of their own are learnt with --task text-generation"
        )
    # Some sets number their questions anew in every article.
    names = [row["id"] for row in rows]
    twice = {name for name, times in Counter(names).items() if times > 1}
    for number, row in enumerate(rows, start=1):
        row["id"] = f"{row['id']}#{number}" if row["id"] in twice else row["id"]
    divided = division.rows(rows)
    return _bundled(divided) if "belongs" in divided else divided, left_out


def _bundled(rows: Rows) -> Rows:
    """With what a table says "belongs" together as the groups; a paragraph's articles are one bundle then."""
    paragraphs, bundles = rows.column("group"), list(rows.column("bundle"))
    for unit in units(rows, range(len(rows))):
        for position in unit:
            bundles[position] = rows.column("bundle")[unit[0]]
    groups = [group or own for group, own in zip(rows.column("belongs"), paragraphs, strict=True)]
    columns = {name: values for name, values in rows.columns.items() if name != "belongs"}
    return Rows({**columns, "group": groups, "bundle": bundles})


# files


def _take_file(path: Path, encoding: str, split: str | None, reading: _Read) -> None:
    if path.suffix.lower() == ".json":
        text = encodings.decode(path.read_bytes(), path, encoding)
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} is not JSON, or is cut off ({error}); copy or download it again") from None
        if is_squad(data):
            for number, article in enumerate(data["data"], start=1):
                _take_article(path, number, article, split, reading)
            return
    records = table_files.read(path, encoding=encoding)
    ids = [f"{path.name if reading.with_answers else path}#{n}" for n in range(1, len(records) + 1)]
    _take_table(str(path), records, ids, [split] * len(ids), reading)


def is_squad(data: Any) -> bool:
    """Whether this is SQuAD's layout, as far as the first article shows."""
    articles = data.get("data") if isinstance(data, dict) else None
    if not isinstance(articles, list) or not articles:
        return False
    return isinstance(articles[0], dict) and isinstance(articles[0].get("paragraphs"), list)


def _take_article(path: Path, number: int, article: Any, split: str | None, reading: _Read) -> None:
    paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
    if not isinstance(paragraphs, list):
        raise DataError(f"{path}: article {number} has no list of paragraphs; mend it, or take the article out")
    name = f"{path.name}, article {number}"
    of_file: Record = {"split": split} if split else {}
    for place, paragraph in enumerate(paragraphs, start=1):
        where = f"{name}, paragraph {place}"
        context = paragraph.get("context") if isinstance(paragraph, dict) else None
        if not isinstance(context, str):
            raise DataError(f"{where} has no context; mend it, or take the paragraph out")
        asked = paragraph.get("qas")
        if not isinstance(asked, list):
            reading.every.append(LeftOut(where, "it has no list of questions (qas)"))
            continue
        for which, question in enumerate(asked, start=1):
            which_question = f"{where}, question {which}"
            if not isinstance(question, dict):
                reading.every.append(LeftOut(which_question, "it is no question"))
                continue
            _take(question, context, _squad_answers(question), _Place(which_question, where, name, of_file), reading)


def _squad_answers(question: Record) -> list[Any] | str:
    """The answers of a question, none where it says that there is none; else what is wrong with it. Beside what cannot
    be answered SQuAD 2 keeps "plausible_answers", which are none."""
    impossible = question.get("is_impossible", False)
    if not isinstance(impossible, bool):
        return f"its is_impossible is {impossible!r}, neither true nor false"
    given = question.get("answers")
    if impossible:
        return []
    if given is None:
        return "it has no answers; an empty list says that there are none"
    return given if isinstance(given, list) else "its answers are no list"


def _take_table(path: str, records: list[Record], ids: list[str], splits: list[str | None], reading: _Read) -> None:
    columns = table_files.columns_of(records)
    held = {name: first_named(columns, names) for name, names in (("context", CONTEXT), ("question", QUESTION))}
    missing = [name for name, column in held.items() if column is None]
    if missing:
        raise DataError(
            f"{path} has no column {' and none '.join(missing)}; its columns are {', '.join(columns)}; rename them to "
            "question, context and answers"
        )
    answered, title = first_named(columns, ANSWERS), first_named(columns, TITLE)
    if answered is None and reading.with_answers:
        raise DataError(f"{path} has no column answers; its columns are {', '.join(columns)}; add or rename it")
    divided: list[Record | LeftOut] = [{}] * len(records)
    if reading.with_answers:
        free = [column for column in columns if column not in (*held.values(), answered, title)]
        given = division.columns(path, records, free, reading.split_column, reading.group_column)
        divided = division.read(path, records, given, ids, splits if any(splits) else None)
    for record, name, division_of_row in zip(records, ids, divided, strict=True):
        if isinstance(division_of_row, LeftOut):
            reading.every.append(division_of_row)
            continue
        question, context = (record.get(str(held[kind])) for kind in ("question", "context"))
        if not isinstance(context, str) or not context.strip():
            reading.every.append(LeftOut(name, "it has no context"))
            continue
        paragraph = hashlib.sha256(context.encode("utf-8", "replace")).hexdigest()[:16]
        heading = record.get(title) if title is not None else None
        place = _Place(name, paragraph, str(heading) if heading not in (None, "") else paragraph, division_of_row)
        answers = _cell(record.get(answered)) if answered is not None else []
        _take({"question": question, "id": record.get("id") or name}, context, answers, place, reading)


def _cell(value: Any) -> list[Any] | str:
    """The answers in a cell of a table, as SQuAD has them; else what is wrong with them. An empty text says that there
    are none, since a csv has no other way to."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        parsed = json_tables.loaded(value)
        value = value if parsed is None else parsed
    if isinstance(value, str):
        return [{"text": value}] if value.strip() else []
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        texts, starts = value["text"], value.get("answer_start", value.get("start"))
        if starts is None:
            starts = [None] * len(texts)
        if not isinstance(starts, list) or len(starts) != len(texts):
            return f"it has {len(texts)} answers, and other places than {len(texts)}"
        return [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list):
        return [answer if isinstance(answer, dict) else {"text": answer} for answer in value]
    if value is None:
        return "it has no answers; an empty list says that there are none"
    return f"its answers are {_short(str(value))}, neither a text nor a list"


# answers


def _take(asked: Record, context: str, given: list[Any] | str, place: _Place, reading: _Read) -> None:
    """Adds a question with those of its answers that stand where they are said to stand; the others are left out."""
    question = asked.get("question")
    if not isinstance(question, str) or not question.strip():
        reading.every.append(LeftOut(place.where, "it has no question"))
        return
    answers: list[dict[str, Any]] = []
    if reading.with_answers:
        if isinstance(given, str):
            reading.every.append(LeftOut(place.where, given))
            return
        looked_at = [placed(answer, context) for answer in given]
        answers = [answer for answer in looked_at if isinstance(answer, dict)]
        faults = [answer for answer in looked_at if isinstance(answer, str)]
        if faults and not answers:
            reading.every.append(LeftOut(place.where, faults[0]))
            return
        reading.every += [LeftOut(f"one answer of {place.where}", fault) for fault in faults]
    name = str(asked.get("id") or place.where)
    reading.every.append(
        {
            "id": name.encode("utf-8", "backslashreplace").decode(),
            "question": question,
            "context": context,
            "answers": answers,
            "group": place.paragraph,
            "bundle": place.article.encode("utf-8", "backslashreplace").decode(),
            **{("belongs" if key == "group" else key): value for key, value in place.divided.items()},
        }
    )


def placed(answer: Any, context: str) -> dict[str, Any] | str:
    """{"text", "start"} of an answer that stands at its place in the context; else what is wrong with it."""
    text = answer.get("text") if isinstance(answer, dict) else None
    if not isinstance(text, str) or not text.strip():
        return "its answer is empty"
    start = answer.get("answer_start", answer.get("start"))
    if start is None:
        times = context.count(text)
        if times == 1:
            return {"text": text, "start": context.index(text)}
        return f"its answer {_short(text)} has no place, and stands in the context {times} times"
    if not isinstance(start, int) or isinstance(start, bool):
        return f"the place of its answer is {start!r}, not a whole number"
    there = context[start : start + len(text)] if start >= 0 else ""
    if there != text:
        return f"its answer {_short(text)} does not stand at character {start} of the context, but {_short(there)}"
    return {"text": text, "start": start}


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")


# telling


def looks_like_questions(source: Any) -> bool:
    """Whether DATA is SQuAD's JSON, or a table with columns of questions, contexts and answers; or a folder of such."""
    if hub.is_address(source):
        return False  # the columns are known once it is downloaded; --task question-answering says so before
    path = Path(source)
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        file = next((path for path in files if tables.is_table(path)), None)
        if file is None:
            return False
        if file.suffix.lower() == ".json":
            with file.open("rb") as opened:
                head = opened.read(100_000).decode("utf-8", "ignore")
            if '"paragraphs"' in head and '"context"' in head:
                return True
        records = table_files.read(file, encoding="utf-8,latin-1")
        columns = table_files.columns_of(records)
    except (OSError, DataError):
        return False
    answers = first_named(columns, ANSWERS)
    values = spellings.distinct(records, answers) if answers else None
    # Yes and no stand in no text: they are classes of a question and its text.
    yes_or_no = bool(values) and all(spellings.truth(value) is not None for value in values or ())
    return bool(answers and first_named(columns, CONTEXT) and first_named(columns, QUESTION)) and not yes_or_no
