"""Layouts of questions, conversations and running text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.layouts.made import WORDS, layout, reviews, separated, table, text, write


def _asked(count: int = 20) -> list[tuple[str, str, str]]:
    places = ("Rome", "Oslo")
    return [
        (f"Where did Anna{i} go?", f"In 19{i:02d} Anna{i} went to {places[i % 2]} by ship.", places[i % 2])
        for i in range(count)
    ]


@layout("SQuAD's json", "questions", "question-answering", 20)
def squad(root: Path) -> Path:
    articles = [
        {
            "title": f"t{i}",
            "paragraphs": [
                {
                    "context": context,
                    "qas": [
                        {
                            "id": str(i),
                            "question": question,
                            "answers": [{"text": answer, "answer_start": context.index(answer)}],
                        }
                    ],
                }
            ],
        }
        for i, (question, context, answer) in enumerate(_asked())
    ]
    return write(root / "squad.json", json.dumps({"version": "1.1", "data": articles}))


text(
    "a table of questions with a split column",
    "asked.csv",
    separated(
        [
            ("question", "context", "answers", "split"),
            *((*each, ("train", "train", "train", "validation", "test")[i // 4]) for i, each in enumerate(_asked())),
        ]
    ),
    20,
    None,
    kind="questions",
    task="question-answering",
    splits={"train": 12, "validation": 4, "test": 4},
)


def _lines(name: str, each: Callable[[int], dict[str, Any]], count: int = 20) -> Callable[[Path], Path]:
    return table(name, "".join(json.dumps(each(i)) + "\n" for i in range(count)))


layout("messages with role and content", "conversations", "text-generation", 20)(
    _lines(
        "chats.jsonl",
        lambda i: {
            "messages": [
                {"role": "user", "content": f"What is {i} and {i}?"},
                {"role": "assistant", "content": f"It is {2 * i}."},
            ]
        },
    )
)
layout("ShareGPT's conversations", "conversations", "text-generation", 20)(
    _lines(
        "sharegpt.jsonl",
        lambda i: {
            "conversations": [
                {"from": "human", "value": f"What is {i} and {i}?"},
                {"from": "gpt", "value": f"It is {2 * i}."},
            ]
        },
    )
)
layout("Alpaca's instruction, input and output", "conversations", "text-generation", 20)(
    _lines(
        "alpaca.jsonl",
        lambda i: {"instruction": "Add the numbers.", "input": f"{i} and {i}", "output": f"It is {2 * i}."},
    )
)
layout("Alpaca's with system and history", "conversations", "text-generation", 20)(
    _lines(
        "history.jsonl",
        lambda i: {
            "system": "You add.",
            "history": [[f"What is {i}?", f"{i}."]],
            "instruction": f"And {i} more?",
            "input": "",
            "output": f"It is {2 * i}.",
        },
    )
)
layout("prompt and completion", "conversations", "text-generation", 20)(
    _lines("prompts.jsonl", lambda i: {"prompt": f"{i} and {i} is", "completion": f" {2 * i}."})
)
layout("Dolly's instruction, context and response, with a category", "conversations", "text-generation", 20)(
    _lines(
        "dolly.jsonl",
        lambda i: {
            "instruction": f"What is {i} and {i}?",
            "context": "" if i % 2 else "Numbers are added.",
            "response": f"It is {2 * i}.",
            "category": ("open_qa", "closed_qa")[i % 2],
        },
    )
)
layout("OpenOrca's system_prompt, question and response", "conversations", "text-generation", 20)(
    _lines(
        "orca.jsonl",
        lambda i: {"id": f"flan.{i}", "system_prompt": "You add.", "question": f"{i}?", "response": f"It is {2 * i}."},
    )
)
layout("question and answer, as GSM8K has them", "conversations", "text-generation", 20)(
    _lines("gsm8k.jsonl", lambda i: {"question": f"What is {i} and {i}?", "answer": f"It is twice {i}.\n#### {2 * i}"})
)


@layout("a folder of text files", "running text", "text-generation", 12)
def books(root: Path) -> Path:
    for i in range(12):
        write(root / "books" / f"{i}.txt", (WORDS["good"] + "\n") * (20 + i))
    return root / "books"


@layout("text files in train/ and test/", "running text", "text-generation", 12, splits={"test": 4})
def books_by_split(root: Path) -> Path:
    for i in range(12):
        write(root / "books" / ("train" if i < 8 else "test") / f"{i}.txt", (WORDS["good"] + "\n") * (20 + i))
    return root / "books"


layout("one small book", "running text", "text-generation", 20)(
    table("book.md", "".join(f"{WORDS['good']}, said number {i:02d}.\n" for i in range(80)))
)
text(
    "a table of texts with a split column, to fill gaps",
    "notes.csv",
    separated(
        [
            ("text", "split"),
            *(
                (f"{a} " * 3, ("train", "train", "train", "validation", "test")[i // 4])
                for i, (a, _) in enumerate(reviews())
            ),
        ]
    ),
    20,
    None,
    kind="running text",
    task="fill-mask",
    splits={"train": 12, "validation": 4, "test": 4},
    flags={"task": "fill-mask"},
)
text(
    "a table of texts with a split column, to write on from",
    "notes.csv",
    separated(
        [
            ("text", "split"),
            *(
                (f"{a} " * 3, ("train", "train", "train", "validation", "test")[i // 4])
                for i, (a, _) in enumerate(reviews())
            ),
        ]
    ),
    20,
    None,
    kind="running text",
    task="text-generation",
    splits={"train": 12, "validation": 4, "test": 4},
    flags={"task": "text-generation"},
)
