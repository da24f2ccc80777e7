"""A run measured on other labelled data than its own: next month's, another clinic's.

A part of the Python face (api.py). The data are read as the run's own were, but that nothing is split. Rows that the
run learnt from, byte by byte, are no test of it and are left out. What is found lies in the run, under the data's name
and fingerprint: rows in measured/<NAME>/, figures in results/evaluate@<checkpoint>@<NAME>.json, and a page,
report-<NAME>.html.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pervade import recipes, report
from pervade.core import memory, runtime, spec
from pervade.core.contracts import Domain
from pervade.core.contracts.abilities import SelectsRows
from pervade.core.contracts.capabilities import Acting, Composed, Encoded
from pervade.core.contracts.promises import SPLIT as PROMISED
from pervade.core.errors import ConfigError, DataError, MisfitError
from pervade.core.run import RunDirectory
from pervade.core.types import LeftOut, Rows
from pervade.data.read import account, encodings, hub, table_files
from pervade.data.rows.split import NAMES as SPLITS
from pervade.engine.checkpoint import Loaded
from pervade.evaluate.evaluation import evaluate, learns_beside
from pervade.run import data_flags, opening, overview, workflow
from pervade.run.progress import Screen

# Flags by which whoever measures other data changes how these are read; what was learnt is as it is.
LEARNT = ("join_spellings", "positive", "tta", "condition")
TAKEN = ("--split", "--keep-known", *(flag for name, (flag, _) in data_flags.FLAGS.items() if name not in LEARNT))
LEARNT_FROM = {
    "train": "what the run learnt from",
    "validation": "what the run was chosen by",
    PROMISED: "what the run was settled by",
}


@memory.during("other data were measured", "give fewer or smaller files, or free some memory")
def measure(
    run: RunDirectory,
    loaded: Loaded,
    data: Any,
    flags: Mapping[str, Any],
    screen: Screen,
    *,
    split: str | None = None,
    keep_known: bool = False,
    device: str = "auto",
    workers: int = 1,
    threads: int | None = None,
) -> dict[str, Any]:
    """The result of `loaded` on `data`, of which `split` says the part (None: all), and `flags` the columns
    (run/data_flags.py). `keep_known` measures rows that the run was trained on, too. Raises DataError where nothing can
    be measured, ConfigError where the domain has no such column, or acts in an environment."""
    if isinstance(loaded.domain, Acting):
        raise ConfigError(
            f"{run.path} acts in an environment, and is measured in episodes of it: `pervade evaluate {run.path}`, "
            "without DATA"
        )
    source, stored = opening.plain(hub.located(data)), Rows(run.read_data()["columns"])
    with account.gathered() as notes:
        try:
            rows, left_out = _read(_reading(loaded.domain, flags), flags, source, split, screen)
        except DataError as fault:
            raise (of_another_kind(run, loaded.domain, source) or fault) from None
        stamp = fingerprint(rows)
        useless: list[LeftOut] = []
        if isinstance(loaded.task, SelectsRows):
            rows, useless = loaded.task.measurable(rows, loaded.domain)
        else:
            loaded.task.examine(rows)
        rows, known = (rows, []) if keep_known else _without_known(rows, stored, str(source))
        left_out = [*left_out, *useless, *known]
        overview.note_left_out(left_out)
    notes = account.by_flags(notes, TAKEN)
    rows = Rows({**rows.columns, "split": ["test"] * len(rows)})  # numbered anew
    name = f"{name_of(source, split)}-{stamp[:8]}"
    remarks = loaded.domain.remarks(rows)
    lines = [*(f"read: {note}" for note in notes), *overview.overview(rows, loaded.domain)]
    for line in [*lines, *(f"data: {remark}" for remark in remarks), *overview.left_out(left_out)]:
        screen.say(line)
    view = replace(run, measured=name)
    workflow.write_data(view, source, rows, left_out)
    overview.keep(view, remarks, notes)
    own = workflow.load_rows(run, loaded.domain, screen) if learns_beside(loaded) else stored
    about = {"name": name, "source": str(source), "hash": stamp, "split": split, "left_out": len(left_out)}
    with runtime.threads(threads), screen.bar("evaluating") as bar:
        place = torch.device(runtime.pick_device(device))
        more: dict[str, Any] = {"device": place, "workers": workers, "progress": bar}
        result = evaluate(view, loaded, rows, own=own, about_data=about, **more)
    report.write(view)
    if run.report.exists():
        report.write(run)  # which leads to the new page
    return result


def fingerprint(rows: Rows) -> str:
    """SHA-256 of what the rows hold and what they are said to be, in whatever order."""
    held = [rows.column(name) for name in ("hash", "target", "answers", "text") if name in rows]
    lines = sorted(json.dumps(row, sort_keys=True, default=str) for row in zip(*held, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def of_another_kind(run: RunDirectory, domain: Domain, source: Any) -> DataError | None:
    """What is to be said of data that look made for something else than the run learnt; None where they do not."""
    other = recipes.of_another_kind(source, workflow.requested(run).task)
    if other is None:
        return None
    reads = (domain.first if isinstance(domain, Composed) else domain).reads
    return DataError(
        f"{run.path} reads {reads}, and {source} looks made for {other}; give {reads}, or learn from these: pervade "
        f"train {shlex.quote(str(source))}"
    )


def _reading(domain: Domain, flags: Mapping[str, Any]) -> Domain:
    """The domain as the flags have it read. Raises ConfigError for one that it has no field for."""
    if isinstance(domain, Composed):
        return domain.with_parts(lambda part: _reading(part, flags))
    fields, problems = data_flags.settings(domain, flags)
    if problems:
        raise ConfigError(*problems)
    changed = {path.removeprefix("domain."): value for path, value in fields.items()}
    known = spec.field_names(type(domain))
    # What the run's own files were called says nothing where a column does.
    for column, pattern in (("label_column", "label_pattern"), ("group_column", "group_pattern")):
        changed |= {pattern: None} if column in changed and pattern in known else {}
        changed |= {column: None} if pattern in fields and column in known else {}
    if "encoding" not in flags and isinstance(domain, Encoded):
        changed["encoding"] = encodings.anew(domain.encoding)
    other: Domain = replace(domain, **changed)  # type: ignore[type-var]
    return other


def _read(
    domain: Domain, flags: Mapping[str, Any], source: Any, split: str | None, screen: Screen
) -> tuple[Rows, list[LeftOut]]:
    """All rows, prepared, or those of a split."""
    try:
        rows, left_out = _read_rows(domain, flags, source)
    finally:
        table_files.forget()
    there = Counter(rows.column("split")) if "split" in rows else Counter()
    told = ", ".join(f"{count:,} {name}" for name, count in there.items())
    if split is not None:
        rows = rows.where("split", SPLITS.get(split, split)) if there else rows.select([])
        if not len(rows):
            raise DataError(f"{source} has no split {split!r}; there are {told or 'none'}: leave --split out for all")
        account.note(f"measured on the split {split} of these data, {len(rows):,} rows", "--split")
    elif there:
        account.note(f"measured on all {len(rows):,} rows, whatever their split ({told})", "--split")
    with screen.bar("reading") as bar:
        rows, unreadable = domain.prepare(rows, bar)
    columns = {name: values for name, values in rows.columns.items() if name != "split"}
    return Rows(columns), [*left_out, *unreadable]


def _read_rows(domain: Domain, flags: Mapping[str, Any], source: Any) -> tuple[Rows, list[LeftOut]]:
    """What the domain reads; where columns or patterns that were named for the run's own data do not fit these, and
    nobody named them for these, what it finds without those."""
    domain = domain.first if isinstance(domain, Composed) else domain
    known = spec.field_names(type(domain))
    asked = [field for name, (_, field) in data_flags.FLAGS.items() if name not in flags and field in known]
    fields = {field: getattr(domain, field) for field in asked}
    named = {field: value for field, value in fields.items() if isinstance(value, str)}
    dropped: dict[str, str] = {}
    while True:
        try:
            with account.gathered() as notes:  # of what fails nothing is told
                read = replace(domain, **dict.fromkeys(dropped)).read(source)  # type: ignore[type-var]
            break
        except DataError as fault:
            misfits = {field: value for field, value in named.items() if _is_misfit(fault, field, value)}
            if misfits.keys() <= dropped.keys():
                raise
            dropped |= misfits
    for line in notes:
        account.note(line)
    if dropped:
        flags_of = {field: flag for flag, field in data_flags.FLAGS.values()}
        told = ", ".join(f"{flags_of[field]} {value}" for field, value in dropped.items())
        account.note(f"what the run was trained with ({told}) does not fit these data, and is left out")
    return read


def _is_misfit(fault: DataError, field: str, value: str) -> bool:
    """Whether data were refused for a name that they do not have, or may have been for a pattern."""
    if not isinstance(fault, MisfitError) or fault.asked is None:
        return field.endswith("_pattern")
    return fault.asked == value or fault.asked in map(str.strip, value.split("+"))


def _without_known(rows: Rows, own: Rows, source: str) -> tuple[Rows, list[LeftOut]]:
    """The rows without those whose bytes the run was trained on. Raises DataError where none is left."""
    new, learnt = apart(rows, own, LEARNT_FROM)
    if learnt and not len(new):
        raise DataError(
            f"all {len(rows):,} rows of {source} are byte by byte what the run was trained on, so they are no test of "
            "it; --keep-known measures them all the same"
        )
    if learnt:
        told = f"{len(learnt):,} of {len(rows):,} rows are byte by byte what the run was trained on, and left out"
        account.note(told, "--keep-known")
    return new, learnt


def apart(rows: Rows, own: Rows, called: Mapping[str, str]) -> tuple[Rows, list[LeftOut]]:
    """The rows without those whose bytes the run has among its `own`, and these. `called`: what the run's are, by the
    splits of which that matters."""
    if "hash" not in own or "hash" not in rows:
        return rows, []
    splits = zip(own.column("hash"), own.column("split"), strict=True)
    known = {content: called[split] for content, split in splits if split in called}
    twice = [known.get(content) for content in rows.column("hash")]
    left_out = [
        LeftOut(str(name), f"byte by byte {what}")
        for name, what in zip(rows.column("id"), twice, strict=True)
        if what is not None
    ]
    return rows.select([i for i, what in enumerate(twice) if what is None]), left_out


def name_of(source: Any, split: str | None = None) -> str:
    """What the data are called in names of files."""
    called = hub.title(source) if hub.is_address(source) else Path(str(source)).name.partition(".")[0]
    stem = re.sub(r"[^\w-]+", "-", called).strip("-")[:60] or "data"
    return f"{stem}-{split}" if split else stem
