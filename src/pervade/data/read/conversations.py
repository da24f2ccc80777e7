"""Tables of conversations: of instructions and their answers, and of pairs of answers of which one is preferred.

A row of the first holds "messages" (a list of role and content) or "conversations" (of from and value, as ShareGPT has
it), or a prompt and its completion, or an instruction, perhaps with an input, and its output; a "system" and a
"history" of pairs (Alpaca) stand before. A row of the second holds "chosen" and "rejected", texts or lists of
messages, and the prompt, unless the lists begin with it.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pervade.core.errors import DataError, nearest
from pervade.core.types import LeftOut
from pervade.data.read import account, division, hub, json_tables, table_files, tables
from pervade.data.read.columns import plain, quoted
from pervade.data.read.table_files import Record
from pervade.data.text import texts
from pervade.data.text.chat import Message

ROLES = ("system", "user", "assistant", "tool")
# What others call them.
ALIASES = {
    **dict.fromkeys(("human", "prompter"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "model", "function_call"), "assistant"),
    **dict.fromkeys(("function", "function_response", "observation", "tool_response"), "tool"),
    "developer": "system",
}
MESSAGES = ("messages", "conversations")
KEYS = (("role", "content"), ("from", "value"))
SYSTEMS = ("system", "system_prompt")
SEEN = ("image", "images", "video", "videos", "audio", "audios")  # what a conversation is about, and is not read here
# Question, what may stand beside it, answer.
_FORMS = """prompt,,completion prompt,,response instruction,input,output instruction,context,response
question,context,answer question,context,response query,,response problem,,solution user,,assistant
frage,,antwort pregunta,,respuesta question,,réponse pergunta,,resposta domanda,,risposta
问题,,答案 问题,,回答 質問,,回答"""
FORMS = [form.split(",") for form in _FORMS.split()]
SAID = ("instruction", "prompt", "user")  # which is there to be followed; a question may be there to be judged
# Columns of what is to be chosen from, in one or each in its own.
LISTS = ("choices", "options", "endings", "candidates", "answer_choices")
LETTERS = ("a", "b", "c", "d")
CHOICE = re.compile(r"(option|opt|choice|distractor|ending|answer|candidate)_?([a-e]|\d)")


@dataclass(frozen=True)
class Form:
    """The names of the columns, empty where there is none: `messages`, or `question`, `beside` and `answer`; and what
    comes before."""

    messages: str = ""
    question: str = ""
    beside: str = ""
    answer: str = ""
    system: str = ""
    history: str = ""

    def __str__(self) -> str:
        return ", ".join(name for name in vars(self).values() if name)


def form(columns: Sequence[str]) -> Form | None:
    """
    >>> str(form(["Instruction", "output", "id"]))
    'Instruction, output'
    """
    lower = {name.strip().lower(): name for name in columns}
    system = next((lower[name] for name in SYSTEMS if name in lower), "")
    for name in MESSAGES:
        if name in lower:
            return Form(messages=lower[name], system=system)
    for question, beside, answer in FORMS:
        if question in lower and answer in lower:
            columns = lower[question], lower.get(beside, ""), lower[answer]
            return Form("", *columns, system=system, history=lower.get("history", ""))
    return None


def refuse_choices(source: Any, columns: Sequence[str]) -> None:
    """Raises DataError where the columns hold questions with answers to choose from."""
    lower = {plain(name): name for name in columns}
    question = next((lower[name] for name in ("question", "query", "stem", "ctx", "prompt") if name in lower), None)
    choices = [lower[name] for name in lower if CHOICE.fullmatch(name)]
    if question is not None:
        own = [lower[letter] for letter in LETTERS if letter in lower]
        choices = (
            (choices if len(choices) > 1 else []) or own * (len(own) > 2) or [lower[x] for x in LISTS if x in lower]
        )
    elif len(choices) < 3:
        return
    if choices:
        rest = [name for name in columns if name not in (*choices, question)]
        answer = next((name for name in rest if plain(name).startswith(("answer", "label", "correct", "gold"))), None)
        flags = f"--text-column {quoted([question or ''])} --label-column {quoted([answer or ''])}"
        raise DataError(
            f"{source} holds answers to choose from ({', '.join(choices)}), and choosing is not learnt yet; to learn "
            "to write answers, give a table of two columns, question and answer, with the right one's words"
            + (f"; {flags} learns its letter or number from the question alone" if question and answer else "")
        )


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
        there, left_out = _tables(path)
        records, ids = [], []
        for table, split in there.items():
            rows = table_files.read(table, encoding=encoding)
            records += rows
            ids += [f"{table.name}#{number}" for number in range(1, len(rows) + 1)]
            splits += [split] * len(rows)
    columns = table_files.columns_of(records)
    return Read(str(source), records, ids, splits, columns, left_out)


def _tables(path: Path) -> tuple[Mapping[Path, str | None], list[LeftOut]]:
    if tables.is_table(path):
        return {path: None}, []
    if not path.is_dir():
        raise DataError(f"{path} is not there; give a table of conversations ({', '.join(tables.SUFFIXES)})")
    split_of, beside = tables.by_split(path)
    if not split_of:
        raise DataError(f"{path} holds no table called train, validation or test; give the table itself")
    return split_of, beside


def divided(
    read: Read, used: Sequence[str], split_column: str | None, group_column: str | None
) -> list[Record | LeftOut]:
    """How each row is divided (data/read/division.py), by the columns that are not `used`. Raises DataError."""
    free = [name for name in read.columns if name not in used]
    dividing = division.columns(read.place, read.records, free, split_column, group_column)
    if rest := [name for name in free if name not in dividing.all and name.strip().lower() not in SEEN]:
        account.note(f"columns that are not used: {', '.join(rest)}")
    of_file = read.splits if any(read.splits) else None
    return division.read(read.place, read.records, dividing, read.ids, of_file)


def peek(source: Any) -> list[str]:
    """The columns of DATA, if it is a table or a folder of them, read no further than needed. Empty where it is none,
    or cannot be read so: whoever reads it in earnest says what is wrong."""
    try:
        if hub.is_address(source):
            return _columns_of_hub(str(source))
        path = next(iter(_tables(Path(source))[0]))
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            return list(pq.read_schema(path).names)
        if path.suffix.lower() not in (".csv", ".tsv", ".jsonl"):
            return table_files.columns_of(table_files.read(path, encoding="utf-8,latin-1"))
        with path.open(encoding="latin-1") as file:  # in which every byte is a letter: names of columns are ASCII
            line = next((row for row in file if row.strip()), "")
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
    messages = whole(record, form)
    if isinstance(messages, str):
        return messages
    answers = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
    if not answers:
        return "it has no answer: none of its messages is the assistant's"
    messages = messages[: answers[-1] + 1]  # what comes after it teaches nothing
    if all(message["role"] in ("assistant", "system") for message in messages):
        return "it has no question: none of its messages before the answer is the user's"
    return messages


def whole(record: Mapping[str, Any], form: Form) -> list[Message] | str:
    """All messages of a row, in their order; or why it cannot be used."""
    if (fault := _seen(record)) is not None:
        return fault
    if form.messages:
        given = as_messages(record.get(form.messages), "user")
        if isinstance(given, str):
            return f"it {given}"
    else:
        question = as_messages(record.get(form.question), "user")
        beside = record.get(form.beside) if form.beside else None
        if isinstance(question, list) and isinstance(beside, str) and beside.strip():
            last = dict(question[-1])
            question = [*question[:-1], {**last, "content": f"{last['content']}\n\n{beside}"}]
        answer = as_messages(record.get(form.answer), "assistant")
        before = _turns(record.get(form.history)) if form.history else []
        for name, side in ((form.question, question), (form.answer, answer), (form.history, before)):
            if isinstance(side, str):
                return _of(name, side)
        given = [*before, *question, *answer]
    system = record.get(form.system) if form.system else None
    if isinstance(system, str) and system.strip():
        given = [{"role": "system", "content": system}, *given]
    messages = checked(given, "user")
    if isinstance(messages, str) or [message["role"] for message in messages[:2]] != ["system", "system"]:
        return messages
    # A template knows one of them.
    return [{"role": "system", "content": "\n\n".join(message["content"] for message in messages[:2])}, *messages[2:]]


def _seen(record: Mapping[str, Any]) -> str | None:
    """Why a row cannot be used that is about more than texts."""
    name = next((name for name in record if name.strip().lower() in SEEN and _filled(record[name])), None)
    return None if name is None else f"it is about what its {name} shows, which is not read beside a text"


def _filled(value: Any) -> bool:
    return bool(value) and str(value).strip() not in ("", "[]", "nan")


def _turns(value: Any) -> list[Any] | str:
    """A history of questions and answers, [[question, answer], …], or of messages; or what is wrong with it."""
    given = value
    if isinstance(value, str) and value.strip():
        try:
            given = json.loads(value)
        except (ValueError, RecursionError):
            return "is no list of questions and answers"
    if not _filled(given):
        return []
    if isinstance(given, list) and all(isinstance(item, dict) for item in given):
        return given
    if not isinstance(given, list) or not all(isinstance(item, list) and len(item) == 2 for item in given):
        return "is no list of questions and answers"
    roles = ("user", "assistant")
    return [{"role": role, "content": text} for pair in given for role, text in zip(roles, pair, strict=True)]


def pair_of(record: Mapping[str, Any]) -> tuple[list[Message], str, str] | str:
    """What was asked, the answer that was chosen and the one that was rejected; or why the row cannot be used."""
    cells = {name.strip().lower(): value for name, value in record.items()}
    if (fault := _seen(record)) is not None:
        return fault
    sides = []
    for name in ("chosen", "rejected"):
        side = checked(cells.get(name), "assistant")
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
        given = checked(cells.get("prompt"), "user")
        if isinstance(given, str):
            return _of("prompt", given)
        prompt = given
    if chosen[-1] == rejected[-1]:
        return "both answers are the same"
    return prompt, chosen[-1]["content"], rejected[-1]["content"]


def _of(name: str, fault: str) -> str:
    return (
        f"in its {name}: {fault}"
        if fault.startswith(("its ", "the "))
        else f"its {name} {fault[3:] if fault.startswith('it ') else fault}"
    )


def as_messages(value: Any, role: str) -> list[Any] | str:
    """A text as the one message of `role`; a list, or one written as JSON in a cell, as it is; or what is wrong."""
    if isinstance(value, list):
        return value if value else "is empty"
    if tables.missing(value) or not str(value).strip():
        return "is empty"
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        items = json_tables.loaded(value)
        if isinstance(items, list) and all(
            isinstance(item, dict) and ("role" in item or "from" in item) for item in items
        ):
            return items
    if not isinstance(value, (str, int, float)):
        return f"is a {type(value).__name__}, neither a text nor a list of messages"
    return [{"role": role, "content": str(value)}]


def checked(value: Any, role: str) -> list[Message] | str:
    """Messages with a known role and a clean text each; empty ones of the system are passed over. Or why not."""
    given = as_messages(value, role)
    if isinstance(given, str):
        return f"it {given}"
    messages = []
    for number, message in enumerate(given, start=1):
        keys = next((names for names in KEYS if isinstance(message, dict) and set(names) <= message.keys()), None)
        if keys is None:
            return f"its message {number} has no role and content"
        role, content = ALIASES.get(str(message[keys[0]]).lower(), message[keys[0]]), _joined(message[keys[1]])
        if role not in ROLES:
            return f"its message {number} has the role {role!r}; {nearest(str(role), ROLES)}"
        if role == "system" and not (content or ""):
            continue
        if tables.missing(content):
            return f"its message {number} is empty"
        if not isinstance(content, str):
            return f"the content of its message {number} is a {type(content).__name__}, not a text"
        cleaned = texts.clean(content)
        if isinstance(cleaned, str):
            what = "answer" if role == "assistant" else f"message {number}"
            return f"its {what} {cleaned.removeprefix('it ')}"
        messages.append({"role": role, "content": cleaned[0]})
    return messages or "it has no messages"


def _joined(content: Any) -> Any:
    """A content in parts, where all of these are texts, as one text; any other as it is."""
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        return "\n\n".join(str(part.get("text", "")) for part in content)
    return content


def digest(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def size(messages: Sequence[Message]) -> int:
    """Characters."""
    return sum(len(message["content"]) for message in messages)
