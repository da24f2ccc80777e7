"""What a task shows beside its metrics, `details` in its results. A file here draws the detail of the same name.

A file gives `section(detail, result, record) -> Section | None`. A detail without a file is data for the others.
"""

from __future__ import annotations

import importlib
import pkgutil

from pervade.report.html import Section
from pervade.report.record import Record, drawing


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def sections(record: Record) -> list[Section]:
    """Of the main result, in the order in which the task gave them."""
    if record.main is None:
        return []
    there = names()
    made = []
    for name, detail in record.main.details.items():
        if name in there and detail:
            module = importlib.import_module(f"{__name__}.{name}")
            with drawing(record, name, whole=False):
                made.append(module.section(detail, record.main, record))
    return [section for section in made if section is not None]
