"""Tables of an annotation tool (Prodigy's JSONL): a column "answer" says of each row whether what was asked of it was
accepted, rejected or ignored; what was asked is its "label", or stands in "accept", a list of the options chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pervade.core.types import LeftOut
from pervade.data.read import account, spellings

ANSWER, CHOSEN, LABEL = "answer", "accept", "label"
ANSWERS = {"accept", "reject", "ignore"}
Records = Sequence[Mapping[str, Any]]


def label_column(records: Records, rest: Sequence[str]) -> str | None:
    """What holds the labels: the options, the label, or, where all have the same, whether it was accepted. None of
    tables of another kind."""
    answers = spellings.distinct(records, ANSWER) if ANSWER in rest else None
    if not answers or not answers <= ANSWERS:
        return None
    if CHOSEN in rest:
        return CHOSEN
    return LABEL if len(spellings.distinct(records, LABEL) or ()) > 1 else ANSWER


def one_each(records: Records, column: str) -> bool:
    """Whether these are lists of options, and no row has more than one."""
    lists = [record.get(column) for record in records if column == CHOSEN]
    return bool(lists) and all(
        isinstance(options, list) and len(options) < 2 for options in lists if options is not None
    )


def judged(records: Records, places: Sequence[str], column: str, targets: list[Any]) -> list[Any]:
    """The targets of rows whose answer says that they hold; what the others are left out for."""
    answers = spellings.distinct(records, ANSWER)
    if not answers or not answers <= ANSWERS:
        return targets
    good = ANSWERS - {"ignore"} if column == ANSWER else {"accept"}
    account.note(f"rows: those whose {ANSWER!r} is {' or '.join(sorted(good))}, as Prodigy writes them")
    rows = zip(records, places, targets, strict=True)
    return [
        target if record.get(ANSWER) in good else LeftOut(place, f"its {ANSWER} is {record.get(ANSWER)!r}")
        for record, place, target in rows
    ]
