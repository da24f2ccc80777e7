"""Tables of conversations: of instructions and their answers, and of pairs of answers of which one is preferred.

A row of the first holds "messages" (a list of role and content), or a prompt and its completion, or an instruction,
perhaps with an input, and its output. A row of the second holds "chosen" and "rejected", texts or lists of messages,
and the prompt, unless the lists begin with it.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pervade.core.errors import DataError, nearest
from pervade.core.types import LeftOut
from pervade.data import division, hub, table_files, tables, texts
from pervade.data.chat import Message
from pervade.data.split import named
from pervade.data.table_files import Record

ROLES = ("system", "user", "assistant")
# Question, what may stand beside it, answer.
FORMS = (
    ("prompt", "", "completion"),
    ("prompt", "", "response"),
    ("instruction", "input", "output"),
    ("instruction", "context", "response"),
)


@dataclass(frozen=True)
class Form:
    """The names of the columns, empty where there is none: `messages`, or `question`, `beside` and `answer`."""

    messages: str = ""
    question: str = ""
    beside: str = ""
    answer: str = ""

    def __str__(self) -> str:
        return ", ".join(each for each in vars(self).values() if each)


def form(columns: Sequence[str]) -> Form | None:
    """
    >>> str(form(["Instruction", "output", "id"]))
    'Instruction, output'
    """
    lower = {name.strip().lower(): name for name in columns}
    if "messages" in lower:
        return Form(messages=lower["messages"])
    for question, beside, answer in FORMS:
        if question in lower and answer in lower:
            return Form("", lower[question], lower.get(beside, ""), lower[answer])
    return None


def holds_pairs(columns: Sequence[str]) -> bool:
    return {"chosen", "rejected"} <= {name.strip().lower() for name in columns}


# reading


@dataclass(frozen=True)
class Read:
    """Rows of tables with an id each and the split that its table is called after, and their columns."""

    place: str
    records: list[Record]
    ids: list[str]
    splits: list[str | None]
    columns: list[str]
    left_out: list[LeftOut]


def read(source: Any, encoding: str) -> Read:
    """A table, a folder of tables called after splits, or a data set of the Hub's. Raises DataError."""
    splits: list[str | None] = []
    if hub.is_address(source):
        records, ids, left_out = hub.records(str(source))
        splits = [None] * len(ids)
    else:
        path = Path(source)
        records, ids, left_out = [], [], []
        for table in _tables(path):
            rows = table_files.read(table, encoding=encoding)
            records += rows
            ids += [f"{table.name}#{number}" for number in range(1, len(rows) + 1)]
            splits += [named(table.stem) if path.is_dir() else None] * len(rows)
    columns = list(dict.fromkeys(name for record in records for name in record))
    return Read(str(source), records, ids, splits, columns, left_out)


def _tables(path: Path) -> list[Path]:
    if tables.is_table(path):
        return [path]
    if not path.is_dir():
        raise DataError(f"{path} is not there; give a table of conversations ({', '.join(tables.SUFFIXES)})")
    found = [each for each in sorted(path.iterdir()) if tables.is_table(each) and named(each.stem)]
    if not found:
        raise DataError(f"{path} holds no table called train, validation or test; give the table itself")
    return found


def divided(
    read: Read, used: Sequence[str], split_column: str | None, group_column: str | None
) -> list[Record | LeftOut]:
    """How each row is divided (data/division.py), by the columns that are not `used`. Raises DataError."""
    free = [each for each in read.columns if each not in used]
    found = division.columns(read.place, read.records, free, split_column, group_column)
    of_file = read.splits if any(read.splits) else None
    return division.read(read.place, read.records, found, read.ids, of_file)


def peek(source: Any) -> list[str]:
    """The columns of DATA, if it is a table or a folder of them, read no further than needed. Empty where it is none,
    or cannot be read so: whoever reads it in earnest says what is wrong."""
    try:
        if hub.is_address(source):
            return _columns_of_hub(str(source))
        path = _tables(Path(source))[0]
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            return list(pq.read_schema(path).names)
        if path.suffix.lower() == ".json":
            return list(table_files.read(path, encoding="latin-1")[0])
        with path.open(encoding="latin-1") as file:  # in which every byte is a letter: names of columns are ASCII
            line = next((each for each in file if each.strip()), "")
        if path.suffix.lower() == ".jsonl":
            first = json.loads(line.removeprefix("\u00ef\u00bb\u00bf"))
            return list(first) if isinstance(first, dict) else []
        return next(csv.reader([line], delimiter="\t" if path.suffix.lower() == ".tsv" else max(",;|", key=line.count)))
    except (OSError, ValueError, TypeError, RecursionError, DataError, StopIteration, csv.Error):
        return []


@functools.lru_cache(4)
def _columns_of_hub(source: str) -> list[str]:
    """Kept, since more than one recipe asks, and to read it takes long."""
    return list(hub.records(source)[0][0])


# one row


def of_record(record: Mapping[str, Any], form: Form) -> list[Message] | str:
    """The conversation of a row, up to its last answer; or why it cannot be used."""
    if form.messages:
        found = checked(record.get(form.messages), "user")
    else:
        question = as_messages(record.get(form.question), "user")
        beside = record.get(form.beside) if form.beside else None
        if isinstance(question, list) and isinstance(beside, str) and beside.strip():
            last = dict(question[-1])
            question = [*question[:-1], {**last, "content": f"{last['content']}\n\n{beside}"}]
        answer = as_messages(record.get(form.answer), "assistant")
        for name, side in ((form.question, question), (form.answer, answer)):
            if isinstance(side, str):
                return _of(name, side)
        found = checked([*question, *answer], "user")
    if isinstance(found, str):
        return found
    answers = [number for number, each in enumerate(found) if each["role"] == "assistant"]
    if not answers:
        return "it has no answer: none of its messages is the assistant's"
    return found[: answers[-1] + 1]  # what comes after it teaches nothing


def pair_of(record: Mapping[str, Any]) -> tuple[list[Message], str, str] | str:
    """What was asked, the answer that was chosen and the one that was rejected; or why the row cannot be used."""
    cells = {name.strip().lower(): value for name, value in record.items()}
    sides = []
    for name in ("chosen", "rejected"):
        side = as_messages(cells.get(name), "assistant")
        side = side if isinstance(side, str) else checked(side, "assistant")
        if isinstance(side, str):
            return _of(name, side)
        if side[-1]["role"] != "assistant":
            return f"its {name} does not end with an answer"
        sides.append(side)
    chosen, rejected = sides
    if chosen[:-1] != rejected[:-1]:
        return "its answers are to different conversations; they may differ in their last message alone"
    prompt = chosen[:-1]
    if not prompt:
        given = as_messages(cells.get("prompt"), "user")
        given = given if isinstance(given, str) else checked(given, "user")
        if isinstance(given, str):
            return _of("prompt", given)
        prompt = given
    if chosen[-1] == rejected[-1]:
        return "both answers are the same"
    return prompt, chosen[-1]["content"], rejected[-1]["content"]


def _of(column: str, fault: str) -> str:
    return (
        f"in its {column}: {fault}"
        if fault.startswith(("its ", "the "))
        else f"its {column} {fault[3:] if fault.startswith('it ') else fault}"
    )


def as_messages(value: Any, role: str) -> list[Any] | str:
    """A text as the one message of `role`; a list, or one written as JSON in a cell, as it is; or what is wrong."""
    if isinstance(value, list):
        return value if value else "is empty"
    if value is None or not str(value).strip():
        return "is empty"
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list) and all(isinstance(each, dict) and "role" in each for each in found):
            return found
    if not isinstance(value, (str, int, float)):
        return f"is a {type(value).__name__}, neither a text nor a list of messages"
    return [{"role": role, "content": str(value)}]


def checked(value: Any, role: str) -> list[Message] | str:
    """Messages with a known role and a clean text each; empty ones of the system are passed over. Or why not."""
    given = as_messages(value, role)
    if isinstance(given, str):
        return f"it {given}" if given.startswith("is") else given
    found = []
    for number, message in enumerate(given, start=1):
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            return f"its message {number} has no role and content"
        if message["role"] not in ROLES:
            return f"its message {number} has the role {message['role']!r}; {nearest(str(message['role']), ROLES)}"
        if message["role"] == "system" and not (message["content"] or ""):
            continue
        if not isinstance(message["content"], str):
            return f"the content of its message {number} is a {type(message['content']).__name__}, not a text"
        cleaned = texts.clean(message["content"])
        if isinstance(cleaned, str):
            what = "answer" if message["role"] == "assistant" else f"message {number}"
            return f"its {what} {cleaned.removeprefix('it ')}"
        found.append({"role": message["role"], "content": cleaned[0]})
    return found or "it has no messages"


def digest(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def size(messages: Sequence[Message]) -> int:
    """Characters."""
    return sum(len(each["content"]) for each in messages)
