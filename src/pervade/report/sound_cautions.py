"""What to be careful of where rows are sounds, mostly of people who speak."""

from __future__ import annotations

import re

from pervade.report import advice, wording
from pervade.report.record import Record

FEW = 10  # speakers


def groups_on_both_sides(record: Record) -> str | None:
    """The same speaker in training and in the measurement, as data.json has it; of folds each has its own split."""
    if record.main is None or record.together or record.acts:
        return None
    trained, measured = _groups(record, "train"), _groups(record, record.main.split)
    both = trained & measured
    if not both or record.main.split == "train":
        return None
    many = wording.group(record)
    named = wording.join([wording.quoted(group) for group in sorted(both)], most=4)
    return (
        f"{wording.count(len(both))} of the {wording.count(len(measured))} {many} measured were also trained on "
        f"({named}): the figures flatter, and with {many} who were never trained on it will do less well."
        if record.words.domain.spoken
        else f"{wording.count(len(both))} of the {wording.count(len(measured))} groups measured were also trained on "
        f"({named}): the figures flatter, and of other groups it will know less."
    )


def few_speakers(record: Record) -> str | None:
    if record.main is None or not record.words.domain.spoken or "group" not in record.columns:
        return None
    trained = _groups(record, "train")
    measured = _groups(record, record.main.split)
    if record.together.get("kind") == "folds":
        measured = set(record.held_out_groups.values()) or set(map(str, record.columns["group"]))
    if not measured or len(measured) >= FEW:
        return None
    one, many = wording.group(record, 1), wording.group(record)
    those = f"1 {one} was" if len(measured) == 1 else f"{len(measured)} {many} were"
    learnt = ""
    if trained and len(trained) < FEW and not record.together:
        learnt = f", and it learnt from {wording.count(len(trained))}"
    return (
        f"Only {those} measured{learnt}: what another {one} would change is hardly known, however many recordings "
        "there are of these."
    )


def normalisation(record: Record) -> str | None:
    """Two word error rates can be compared where both texts were treated alike."""
    done = record.main.details.get("normalisation") if record.main else None
    if not isinstance(done, str) or not done:
        return None
    words = wording.label(re.sub(r"^\w+: ", "", done), 300).rstrip(".")  # without the setting's own name
    return (
        f"Words are compared after this was done to both texts: {words}. Error rates that were counted in another way "
        "are not comparable with these."
    )


def wrote_nothing(record: Record) -> str | None:
    number = record.main.details.get("unwritten") if record.main else None
    if not isinstance(number, int) or not number or record.main is None:
        return None
    every = number >= record.main.n
    start = advice.pretrained(record)
    what = f"{start}, more data" if start else "more data"
    said = f"It has not learnt to write: {what} or longer training is needed." if every else ""
    of = f"{wording.count(number)} of the {wording.counted(record, record.main.n)} measured"
    return f"It wrote nothing for {of}. {said}".strip()


def _groups(record: Record, split: str) -> set[str]:
    groups, splits = record.columns.get("group") or [], record.columns.get("split") or []
    return {str(group) for group, group_split in zip(groups, splits, strict=False) if group_split == split}
