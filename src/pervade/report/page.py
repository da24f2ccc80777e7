"""The page as a whole: the verdict, what to be careful of, then the sections in the order of a reader's questions."""

from __future__ import annotations

from collections.abc import Callable

from pervade.report import cautions, details, html, verdict
from pervade.report.html import Section
from pervade.report.record import Record, drawing
from pervade.report.sections import (
    answer_mistakes,
    beginning,
    classes,
    compressed,
    data,
    decision,
    environment,
    figures,
    grid,
    groups,
    imbalance,
    label_mistakes,
    ladder,
    largest_errors,
    learning,
    members,
    mistakes,
    networks,
    progress,
    promises,
    recipe,
    reproduce,
    returns,
    search,
    transcript_mistakes,
    unlike,
)

# Each gives its part of the page, or None where the run holds nothing for it.
SECTIONS: tuple[Callable[[Record], Section | list[Section] | None], ...] = (
    members.section,
    returns.section,
    search.section,
    ladder.section,
    promises.section,
    learning.section,
    networks.section,
    progress.section,
    imbalance.section,
    classes.section,
    groups.section,
    details.sections,
    mistakes.section,
    label_mistakes.section,
    largest_errors.section,
    answer_mistakes.section,
    transcript_mistakes.section,
    unlike.section,
    compressed.section,
    figures.section,
    decision.section,
    data.section,
    beginning.section,
    grid.section,
    recipe.section,
    environment.section,
    reproduce.section,
)

# Of a run, whatever it is measured on: on a page about other data they stand in the run's own report.
OF_THE_RUN = (
    members.section,
    search.section,
    ladder.section,
    learning.section,
    networks.section,
    progress.section,
    imbalance.section,
    compressed.section,
    beginning.section,
    grid.section,
    recipe.section,
    environment.section,
    reproduce.section,
)


def build(record: Record) -> str:
    sections: list[Section] = []
    for make in SECTIONS:
        if record.other_data and make in OF_THE_RUN:
            continue
        with drawing(record, make.__module__.rpartition(".")[2]):
            made = make(record)
        sections += made if isinstance(made, list) else [made] if made is not None else []
    with drawing(record, "verdict"):
        return html.page(
            "page.jinja",
            name=record.name,
            other=record.other_data,
            pages=[] if record.other_data else record.run.other_pages(),
            verdict=verdict.of(record),
            cautions=cautions.of(record),
            comparison=figures.comparison(record),
            sections=sections,
        )
