"""Writes docs/layouts.md, the table of what is read: `python -m tests.layouts.table`."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from tests.layouts import dialogues, pictures, recordings, texts
from tests.layouts.made import LAYOUTS, Layout

DOCS = Path(__file__).resolve().parents[2] / "docs" / "layouts.md"
__all__ = ["DOCS", "dialogues", "pictures", "recordings", "table", "texts"]  # these four fill the list
FLAGS = {"text_column": "--text-column", "label_column": "--label-column", "label_pattern": "--label-pattern"}
FLAGS |= {"group_pattern": "--group-pattern", "task": "--task", "encoding": "--encoding"}


def table() -> str:
    lines = [
        "# Layouts that are read",
        "",
        "Made small and read in `tests/layouts`, which writes this page (`python -m tests.layouts.table`). Where no",
        "flags stand, none is needed; `pervade train DATA --dry-run` says what is read of your own.",
        "",
    ]
    for kind, some in groupby(LAYOUTS, key=lambda each: each.kind):
        lines += [f"## {kind.capitalize()}", "", "| layout | read as | splits | flags |", "|---|---|---|---|"]
        lines += [f"| {_cell(each.what)} | {each.task} | {_splits(each)} | {_cell(_flags(each))} |" for each in some]
        lines.append("")
    return "\n".join(lines)


def _splits(layout: Layout) -> str:
    if layout.splits is None:
        return "drawn"
    given = ", ".join(name for name in layout.splits)
    return f"{given} given"


def _flags(layout: Layout) -> str:
    parts = [f"{FLAGS[name]} '{value}'" for name, value in layout.flags.items() if name in FLAGS]
    parts += [f"-o {each}" for each in layout.flags.get("settings", ())]
    return " ".join(f"`{each}`" for each in parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    DOCS.write_text(table(), encoding="utf-8")
