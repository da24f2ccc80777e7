"""Exports whose rows are objects in objects, known by their columns, and what to do with them."""

from __future__ import annotations

import re
from pathlib import Path

from pervade.core.errors import DataError
from pervade.data.read import table_files

_TABLE = "write a table with a column text and a column label"
_CHATS = "write a table with a column messages (lists of role and content)"
_SPLITS = re.compile(r"(oos_|imbalanced_)?(train|val|valid|test|dev)\w*")
KNOWN = {
    ("mapping", "current_node"): f"ChatGPT's export, trees of messages: {_CHATS}",
    ("message_tree_id", "prompt"): f"trees of replies (OpenAssistant's): {_CHATS}, a row for each way through one",
    ("conversation_a", "conversation_b"): "a choice of two chats: write a table with prompt, chosen and rejected",
    ("contents",): f"contents and parts (Gemini's): {_CHATS}",
    ("annotations", "data"): "Label Studio's JSON, labels lying deep in it: export JSON-MIN or CSV, which are read",
    ("images", "annotations", "categories"): "COCO's JSON: write a table with a column file_name and a column label",
}


def refuse(path: Path) -> None:
    """Raises DataError where a JSON table is an export that is not read."""
    if table_files.ending(path) not in (".json", ".jsonl", ".ndjson") or not table_files.is_table(path):
        return
    try:
        first = table_files.read(path)[0]
    except DataError:  # its reader says what is wrong
        return
    for columns, description in KNOWN.items():
        if set(columns) <= first.keys() and any(isinstance(first[column], (list, dict)) for column in columns):
            raise DataError(f"{path} is {description}")
    if len(first) > 1 and all(_SPLITS.fullmatch(key) and isinstance(first[key], list) for key in first):
        raise DataError(f"{path} holds a list for each split ({', '.join(first)}): {_TABLE} for each, as train.csv")
