"""Numbers with what they count, in every message and on every page."""

from __future__ import annotations


def counted(number: float, one: str, several: str = "") -> str:
    """
    >>> counted(1, "step"), counted(1000, "step"), counted(1, "step of the world", "steps of the world")
    ('1 step', '1,000 steps', '1 step of the world')
    """
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"
