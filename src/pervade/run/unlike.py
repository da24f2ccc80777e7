"""A run asked how well it tells rows of other data, unlike those it learnt from, from its own.

A part of the Python face (api.py). The other data are read as those are that `predict` is asked about, since labels are
not needed; of what the run holds itself, byte by byte, nothing can be told.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from pervade import report
from pervade.core import memory, runtime, spec
from pervade.core.contracts import Domain
from pervade.core.contracts.abilities import ChoosesClass
from pervade.core.contracts.capabilities import Composed
from pervade.core.errors import ConfigError, DataError
from pervade.core.run import RunDirectory
from pervade.core.types import LeftOut, Rows
from pervade.core.words import counted
from pervade.data.read import account, division, inputs, table_files
from pervade.engine import answering
from pervade.engine.checkpoint import Loaded
from pervade.evaluate import unlike
from pervade.run import data_flags, measuring, workflow
from pervade.run.progress import Screen

TAKEN = ("text_column", "file_column", "encoding")  # flags by which data without labels are read
# What the columns of the run's own data were called says nothing of others: they are found anew.
FOUND: dict[str, Any] = {"text_column": None, "file_column": None, "label_column": None, "read_from": ()}


@memory.during("other data were read", "give fewer or smaller files, or free some memory")
def measure(
    run: RunDirectory,
    loaded: Loaded,
    other: Any,
    flags: Mapping[str, Any],
    screen: Screen,
    *,
    device: str = "auto",
    workers: int = 1,
    threads: int | None = None,
) -> dict[str, Any]:
    """The result of `evaluate.unlike.measure` on `other`: a folder, a table, a file, or in Python several of them, or
    texts. `flags` say how these are read (run/data_flags.py). Raises ConfigError where the run chooses no class or a
    flag is of no use, DataError where no row of the data can be used, or all are the run's own."""
    if not isinstance(loaded.task, ChoosesClass):
        raise ConfigError(
            f"{run.path} does not sort {loaded.domain.wording.noun[1]} into classes, of which each has one, so it "
            "cannot be told what is unlike these; give --unlike a run that does"
        )
    if problems := [data_flags.FLAGS.get(name, (name,))[0] for name in flags if name not in TAKEN]:
        raise ConfigError(
            *(f"{flag} is of no use to --unlike, which reads no labels and no splits" for flag in problems)
        )
    if isinstance(other, (str, os.PathLike)) and not os.path.exists(other):  # noqa: PTH110  (Path.exists raises)
        raise DataError(f"{other} is not there; --unlike takes a folder, a table or a file")
    rows, left_out = _read(run, loaded, other, flags, screen)
    own = workflow.load_rows(run, loaded.domain, screen)
    new, known = measuring.apart(rows, own, dict.fromkeys(own.column("split"), "one of the run's own"))
    if not len(new):
        raise DataError(
            f"all {len(rows):,} rows of {other} are byte by byte the run's own, so nothing tells them apart; give "
            "--unlike other data"
        )
    name = f"{measuring.name_of(other)}-{measuring.fingerprint(new)[:8]}"
    screen.say(f"data: {counted(len(new), *loaded.domain.wording.noun)} of {other}, as {name}")
    if lost := [*left_out, *known]:
        screen.say(f"left out: {len(lost):,}; the first, {lost[0].source}: {lost[0].reason}")
    with runtime.threads(threads), screen.bar("comparing") as bar:
        place = torch.device(runtime.pick_device(device))
        result = unlike.measure(run, loaded, own, new, name, device=place, workers=workers, progress=bar)
    report.write(run)
    return result


def _read(
    run: RunDirectory, loaded: Loaded, other: Any, flags: Mapping[str, Any], screen: Screen
) -> tuple[Rows, list[LeftOut]]:
    """All rows that can be used, prepared."""
    domain = _reading(loaded.domain, flags)
    try:
        with account.gathered() as notes:
            entries = list(inputs.entries(domain, other))
    finally:
        table_files.forget()
    for note in account.by_flags(notes, measuring.TAKEN):
        screen.say(f"read: {note}")
    left_out = [entry for entry in entries if isinstance(entry, LeftOut)]
    rows = division.rows([entry for entry in entries if not isinstance(entry, LeftOut)])
    if len(rows):
        with screen.bar("reading") as bar:
            try:
                rows, unreadable = domain.prepare(rows, bar)
            except DataError as fault:
                raise (measuring.of_another_kind(run, loaded.domain, other) or fault) from None
        return rows, [*left_out, *unreadable]
    why = f"the first, {left_out[0].source}: {left_out[0].reason}" if left_out else "it holds none"
    reads = (domain.first if isinstance(domain, Composed) else domain).reads
    raise measuring.of_another_kind(run, loaded.domain, other) or DataError(
        f"nothing of {other} can be used, and {run.path} reads {reads}; {why}"
    )


def _reading(domain: Domain, flags: Mapping[str, Any]) -> Domain:
    """The domain as it reads other data. Raises ConfigError for a flag that it has no field for."""
    if isinstance(domain, Composed):
        return domain.with_parts(lambda part: _reading(part, flags))
    known = spec.field_names(type(domain))
    found = {name: value for name, value in FOUND.items() if name in known}
    anew: Domain = replace(domain, **found)  # type: ignore[type-var]
    return answering.reading(anew, **{"encoding": None, **flags})
