"""The account of how data are read: which file or folder was read as what, which column or folder gives what, what is
not used, and the flag that changes each of these decisions.

Readers `note` what they decide, where they decide it; whoever has data read gathers the notes (run/opening.py), says
them, and keeps them for the report. A reader that nobody listens to notes in vain, and that is no fault: data are
looked at several times before they are read for good.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_notes: ContextVar[list[str] | None] = ContextVar("notes", default=None)


def note(text: str, flag: str = "") -> None:
    """One decision, in words, and the flag or setting by which whoever reads this changes it: "--text-column"."""
    notes = _notes.get()
    line = f"{text} ({flag})" if flag else text
    if notes is not None and line not in notes:
        notes.append(line)


def by_flags(notes: Sequence[str], flags: Collection[str]) -> list[str]:
    """The notes without what they name to change them where that is none of the `flags`."""
    ends = [re.search(r" \((--[a-z-]+|-o)\b[^()]*\)$", text) for text in notes]
    return [
        text if end is None or end[1] in flags else text[: end.start()] for text, end in zip(notes, ends, strict=True)
    ]


def listening() -> bool:
    """Whether somebody gathers notes: what only they need may be dear to find out."""
    return _notes.get() is not None


@contextmanager
def gathered() -> Iterator[list[str]]:
    """What is noted inside, each line once, in order."""
    notes: list[str] = []
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)
