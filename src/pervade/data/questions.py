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
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pervade.core.errors import DataError
from pervade.core.types import LeftOut, Rows
from pervade.data import hub, table_files, tables
from pervade.data.split import NAMES as SPLITS
from pervade.data.table_files import Record

CONTEXT, QUESTION, ANSWERS = ("context", "passage", "paragraph"), ("question", "query"), ("answers", "answer")
TITLE = ("title", "article", "document")


@dataclass
class _Read:
    """What was read so far; `splits` are those that the files' names say."""

    rows: list[Record]
    left_out: list[LeftOut]
    splits: list[str | None]


def read(source: str | Path, encoding: str = "utf-8") -> tuple[Rows, list[LeftOut]]:
    """Rows with "id", "question", "context", "answers" (a list of {"text", "start"}, `start` in characters; empty where
    the text has no answer), "group" (the paragraph) and "bundle" (the article: it is never divided between splits).

    Raises DataError where nothing there can be read so.
    """
    found = _Read([], [], [])
    if hub.is_address(source):
        records, ids, lost = hub.records(str(source))
        found.left_out += lost
        _take_table(str(source), records, ids, found)
        found.splits = [SPLITS.get(each.partition("/")[0]) for each in ids]
        return _finish(source, found)
    path = Path(source)
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.suffix.lower() in tables.SUFFIXES and each.is_file())
        by_split = [each for each in files if split_of(each)]
        files = by_split or files
    elif path.is_file():
        files = [path]
    else:
        raise DataError(f"{path} is not there; give a file of questions as SQuAD has them, or a folder of such files")
    for file in files:
        before = len(found.rows)
        _take_file(file, encoding, found)
        found.splits += [split_of(file) if path.is_dir() else None] * (len(found.rows) - before)
    return _finish(source, found)


def read_table(path: Path, encoding: str = "utf-8") -> tuple[list[Record], list[LeftOut]]:
    """The questions of one file, answered or not."""
    found = _Read([], [], [])
    _take_file(path, encoding, found, known=False)
    return found.rows, found.left_out


def _finish(source: Any, found: _Read) -> tuple[Rows, list[LeftOut]]:
    if not found.rows:
        lost = found.left_out[:1]
        reason = "".join(f" (the first left out, {each.source}: {each.reason})" for each in lost)
        raise DataError(
            f"{source} holds no question that can be used{reason}; give SQuAD's JSON, or a table with columns "
            "question, context and answers"
        )
    # Some sets number their questions anew in every article.
    names = [str(row["id"]) for row in found.rows]
    twice = {name for name, times in Counter(names).items() if times > 1}
    for number, row in enumerate(found.rows, start=1):
        row["id"] = f"{row['id']}#{number}" if str(row["id"]) in twice else str(row["id"])
    columns = {name: [row[name] for row in found.rows] for name in found.rows[0]}
    if all(found.splits):
        if "train" not in found.splits:
            there = " and ".join(sorted({str(each) for each in found.splits}))
            raise DataError(f"{source} has {there} but no train split; add one, or rename the others")
        columns["split"] = found.splits
    return Rows(columns), found.left_out


def split_of(file: Path) -> str | None:
    """ "train" of train-v1.1.json, "validation" of dev.json; None where the name begins with no split's."""
    first = re.match(r"[a-z]+", file.name.lower())
    return SPLITS.get(first.group()) if first else None


# files


def _take_file(path: Path, encoding: str, found: _Read, known: bool = True) -> None:
    if path.suffix.lower() == ".json":
        text = table_files.decode(path.read_bytes(), path, encoding)
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} is not JSON, or is cut off ({error}); copy or download it again") from None
        if is_squad(data):
            for where, context, title, asked in _paragraphs(data, path):
                _take_paragraph(where, context, title, asked, found)
            return
    records = table_files.read(path, encoding=encoding)
    _take_table(str(path), records, [f"{path.name}#{n}" for n in range(1, len(records) + 1)], found, known)


def is_squad(data: Any) -> bool:
    """Whether this is SQuAD's layout, as far as the first article shows."""
    articles = data.get("data") if isinstance(data, dict) else None
    if not isinstance(articles, list) or not articles:
        return False
    return isinstance(articles[0], dict) and isinstance(articles[0].get("paragraphs"), list)


def _paragraphs(data: Any, path: Path) -> Iterator[tuple[str, str, str, list[Any]]]:
    """Where a paragraph stands, its context, the article's name, and its questions."""
    for number, article in enumerate(data["data"], start=1):
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
        if not isinstance(paragraphs, list):
            raise DataError(f"{path}: article {number} has no list of paragraphs; mend it, or take the article out")
        name = f"{path.name}, article {number}"
        for place, paragraph in enumerate(paragraphs, start=1):
            where = f"{name}, paragraph {place}"
            context = paragraph.get("context") if isinstance(paragraph, dict) else None
            if not isinstance(context, str):
                raise DataError(f"{where} has no context; mend it, or take the paragraph out")
            asked = paragraph.get("qas")
            yield where, context, name, asked if isinstance(asked, list) else []


def _take_paragraph(where: str, context: str, title: str, asked: list[Any], found: _Read) -> None:
    for number, each in enumerate(asked, start=1):
        name = f"{where}, question {number}"
        question = each.get("question") if isinstance(each, dict) else None
        if not isinstance(question, str) or not question.strip():
            found.left_out.append(LeftOut(name, "it has no question"))
            continue
        answers: Any = [] if each.get("is_impossible") else each.get("answers", [])
        # Beside what cannot be answered SQuAD 2 keeps "plausible_answers", which are none.
        given = [] if answers is None else answers
        impossible = bool(each.get("is_impossible")) or ("answers" in each and given == [])
        _take(str(each.get("id", name)), name, question, context, given, impossible, where, title, found)


def _take_table(path: str, records: list[Record], ids: list[str], found: _Read, known: bool = True) -> None:
    columns = list(dict.fromkeys(name for record in records for name in record))
    held = {name: column_of(columns, names) for name, names in (("context", CONTEXT), ("question", QUESTION))}
    missing = [name for name, column in held.items() if column is None]
    if missing:
        raise DataError(
            f"{path} has no column {' and none '.join(missing)}; its columns are {', '.join(columns)}; rename them to "
            "question, context and answers"
        )
    answered, title = column_of(columns, ANSWERS), column_of(columns, TITLE)
    if answered is None and known:
        raise DataError(f"{path} has no column answers; its columns are {', '.join(columns)}; add or rename it")
    for record, name in zip(records, ids, strict=True):
        question, context = (record.get(str(held[each])) for each in ("question", "context"))
        if not isinstance(question, str) or not question.strip():
            found.left_out.append(LeftOut(name, "it has no question"))
        elif not isinstance(context, str) or not context.strip():
            found.left_out.append(LeftOut(name, "it has no context"))
        else:
            given = _cell(record.get(answered)) if answered is not None else []
            paragraph = hashlib.sha256(context.encode("utf-8", "replace")).hexdigest()[:16]
            article = str(record.get(title)) if title is not None else paragraph
            _take(str(record.get("id") or name), name, question, context, given, given == [], paragraph, article, found)


def column_of(columns: list[str], names: tuple[str, ...]) -> str | None:
    lower = {column.strip().lower(): column for column in columns}
    return next((lower[name] for name in names if name in lower), None)


def _cell(value: Any) -> list[Any]:
    """The answers in a cell of a table, as SQuAD has them."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except ValueError:
            return [{"text": value}]
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        starts = value.get("answer_start") or value.get("start") or [None] * len(value["text"])
        return [{"text": t, "answer_start": s} for t, s in zip(value["text"], starts, strict=False)]
    if isinstance(value, str):
        return [{"text": value}] if value.strip() else []
    if isinstance(value, dict):
        return [value]
    return [each if isinstance(each, dict) else {"text": each} for each in value or []]


# answers


def _take(
    name: str,
    where: str,
    question: str,
    context: str,
    given: Any,
    impossible: bool,
    paragraph: str,
    article: str,
    found: _Read,
) -> None:
    """Adds a question with those of its answers that stand where they are said to stand; the others are left out."""
    answers, faults = [], []
    for each in given if isinstance(given, list) else [given]:
        answer = placed(each, context)
        answers += [answer] if isinstance(answer, dict) else []
        faults += [answer] if isinstance(answer, str) else []
    if not answers and not impossible:
        found.left_out.append(LeftOut(where, faults[0] if faults else "it has no answers; an empty list says none"))
        return
    found.left_out += [LeftOut(f"one answer of {where}", fault) for fault in faults]
    found.rows.append(
        {
            "id": name,
            "question": question,
            "context": context,
            "answers": answers,
            "group": paragraph,
            "bundle": article,
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
        file = next((each for each in files if each.suffix.lower() in tables.SUFFIXES and each.is_file()), None)
        if file is None:
            return False
        if file.suffix.lower() == ".json":
            with file.open("rb") as opened:
                head = opened.read(100_000).decode("utf-8", "ignore")
            if '"paragraphs"' in head and '"context"' in head:
                return True
        columns = list(table_files.read(file)[0])
    except (OSError, DataError):
        return False
    return all(column_of(columns, names) for names in (CONTEXT, QUESTION, ANSWERS))
