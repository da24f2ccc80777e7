"""What is said of the data before anything is learnt from them: how many rows there are and of which classes, what is
to be held out, and what could not be used. What was noticed in them is kept in remarks.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from pervade.core import files
from pervade.core.contracts import Domain
from pervade.core.contracts.capabilities import Counted, Labelled
from pervade.core.contracts.promises import SPLIT as PROMISED
from pervade.core.run import RunDirectory
from pervade.core.types import LeftOut, Rows
from pervade.core.words import counted, group_nouns
from pervade.data.read import account as accounts
from pervade.data.read.targets import natural
from pervade.data.rows.folds import ASIDE
from pervade.metrics.estimate import FEW_GROUPS
from pervade.report import wording

MOST_CLASSES = 5  # that are named
MOST_GROUPS = 12
MOST_LEFT_OUT = 5
SPLITS = ("train", "validation", PROMISED, "test")


def overview(rows: Rows, domain: Domain) -> list[str]:
    """A line of what there is, and where it is divided into folds, one of what these hold out."""
    splits = Counter(rows.column("split"))
    if _is_world(domain):
        parts = ", ".join(f"{counted(splits[name], 'episode')} for {name}" for name in SPLITS[1:] if splits[name])
        return [f"data: {counted(splits['train'], 'environment')} to learn in; {parts}"]
    what = f"{_counted(len(rows), domain)}{_classes(rows, domain)}"
    if "fold" in rows:
        return [f"data: {what}", _folds(rows, domain)]
    parts = ", ".join(f"{splits[name]:,} {name}" for name in SPLITS if splits[name])
    return [f"data: {what}: {parts}", *_groups(rows, domain)]


def _is_world(domain: Domain) -> bool:
    """Whether rows to learn from are copies of one environment."""
    return bool(domain.wording.environment)


def _groups(rows: Rows, domain: Domain) -> list[str]:
    """Who stands in which split, where they are few: of these each one counts."""
    if "group" not in rows:
        return []
    groups: dict[str, set[str]] = {name: set() for name in SPLITS}
    for group, split in zip(rows.column("group"), rows.column("split"), strict=True):
        groups.setdefault(split, set()).add(str(group))
    everyone = set().union(*groups.values())
    if not 1 < len(everyone) <= MOST_GROUPS or len(everyone) == len(rows):
        return []
    many = wording.group_of(group_nouns(domain), rows.columns)
    named = {
        split: wording.join([wording.label(group, most=30) for group in sorted(some, key=natural)])
        for split, some in groups.items()
        if some
    }
    lines = [f"{many}: {'; '.join(f'{split}: {names}' for split, names in named.items())}"]
    if groups["validation"] - groups["train"] and len(everyone) < FEW_GROUPS:
        lines.append(f"of so few {many} each is dear: -o validation=0 learns from {named['validation']} too")
    return lines


def held_out(rows: Rows, domain: Domain) -> str:
    """What a model of one fold is measured on, and what it learns from."""
    splits = Counter(rows.column("split"))
    others = ", ".join(f"{splits[name]:,} {name}" for name in SPLITS[:-1] if splits[name])
    return f"{_counted(splits['test'], domain)} held out; of the others {others}"


def left_out(files: Sequence[LeftOut], most: int = MOST_LEFT_OUT) -> list[str]:
    """One a line under their number; of many the first."""
    if not files:
        return []
    lines = [f"left out of the data: {len(files):,}"]
    lines += [f"  - {wording.label(file.source, most=160)}: {file.reason}" for file in files[:most]]
    if len(files) > most:
        lines.append(f"  and {len(files) - most:,} more, all listed in data.json and in the report")
    return lines


def note_splits(rows: Rows, given: Collection[str], domain: Domain) -> None:
    """Into the account: how many rows each split has, and which the data do not give and were drawn."""
    if _is_world(domain):
        return
    counts = Counter(rows.column("split"))
    parts = ", ".join(f"{counts[name]:,} {name}" for name in SPLITS if counts[name])
    drawn = [name for name in ("validation", "test") if name not in given and counts[name]]
    if drawn:
        flags = ", ".join(f"-o {name}=SHARE" for name in drawn)
        accounts.note(f"splits: {parts}; drawn by chance: {wording.join(drawn)}", f"--seed, {flags}")
    elif given:
        accounts.note(f"splits: {parts}, as the data give them")
    if counts[PROMISED]:
        accounts.note(f"promises: settled by {counts[PROMISED]:,} of the validation rows, which choose nothing else")


def note_left_out(files: Sequence[LeftOut]) -> None:
    """Into the account: how many were left out, by why."""
    reasons = Counter(file.reason for file in files).most_common()
    if len(reasons) > MOST_LEFT_OUT:
        return accounts.note(f"left out: {len(files):,}, for {len(reasons):,} reasons", "--on-bad-file fail")
    for reason, number in reasons:
        accounts.note(f"left out: {number:,}, {wording.label(reason, most=160)}", "--on-bad-file fail")
    return None


def keep(run: RunDirectory, remarks: Iterable[str] = (), account: Sequence[str] | None = None) -> None:
    """Writes down what was noticed in the data, beside what is known already, and the account of how they were read: a
    report is read after the console."""
    known = files.read_json(run.remarks) if run.remarks.exists() else {}
    content = {"remarks": list(dict.fromkeys([*known.get("remarks", ()), *remarks]))}
    content |= {"account": list(account if account is not None else known.get("account", ()))}
    if any(content.values()) and content != {name: known.get(name) for name in content}:
        files.write_json(run.remarks, content)


def keep_left_out(run: RunDirectory, result: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Says and keeps for what of an evaluation a time limit left no room."""
    if result.get("left_out"):
        remark = f"left out for the time limit: {'; '.join(result['left_out'])} (pervade evaluate measures all)"
        say(remark)
        keep(run, [remark])


def keep_common(run: RunDirectory, names: Sequence[str]) -> None:
    """Of runs inside this one, what all of them noticed: it is true of the data, and not of one division of them."""
    lists = [kept(run.member(name)) for name in names]
    keep(run, [line for line in lists[0] if all(line in others for others in lists)] if lists else [])


def kept(run: RunDirectory) -> list[str]:
    return list(files.read_json(run.remarks, "remarks")["remarks"]) if run.remarks.exists() else []


def _counted(number: int, domain: Domain) -> str:
    return counted(number, *domain.wording.noun)


def _classes(rows: Rows, domain: Domain) -> str:
    """ " of 3 classes (cat, dog, newt)"; empty where rows have none."""
    if "target" not in rows or not isinstance(domain, Labelled):  # a transcript is no class
        return ""
    targets = rows.column("target")
    several = all(isinstance(target, list) for target in targets)
    names = {str(label) for target in targets for label in (target if isinstance(target, list) else [target])}
    if not names or not (several or all(isinstance(target, str) for target in targets)):
        return ""
    kind = (
        "labels"
        if several
        else "people or things"
        if isinstance(domain, Counted) and domain.target == "identity"
        else "classes"
    )
    shown = [wording.label(label, most=30) for label in sorted(names, key=natural)]
    return f" of {len(names):,} {kind} ({wording.join(shown, most=MOST_CLASSES)})"


def _folds(rows: Rows, domain: Domain) -> str:
    """Which group each fold is, where it is one; else how many rows a fold has."""
    folds = [fold for fold, split in zip(rows.column("fold"), rows.column("split"), strict=True) if split != ASIDE]
    sizes = Counter(folds)
    rest = "each held out once, to measure the model of all the others"
    groups = _group_of_each(rows)
    if groups is None:
        least, most = min(sizes.values()), max(sizes.values())
        size = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        return f"folds: {len(sizes)} of {size} {domain.wording.noun[1]}, {rest}"
    shown = [f"{wording.label(groups[fold], most=30)} ({_counted(sizes[fold], domain)})" for fold in sorted(sizes)]
    many = wording.group_of(group_nouns(domain), rows.columns, len(sizes))
    return f"folds: {len(sizes)} {many}, {rest}: {wording.join(shown, most=MOST_GROUPS)}"


def _group_of_each(rows: Rows) -> dict[int, str] | None:
    """Fold to the group that it holds out; None where a fold has several."""
    if "group" not in rows:
        return None
    pairs = {
        (fold, str(group))
        for fold, group, split in zip(rows.column("fold"), rows.column("group"), rows.column("split"), strict=True)
        if split != ASIDE
    }
    known = dict(pairs)
    return known if len(pairs) == len(known) == len(set(known.values())) else None
