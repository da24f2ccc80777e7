"""Every layout of made.py is read as what it is: none refused, none taken for something else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import pervade
from tests.layouts.made import LAYOUTS, Layout
from tests.layouts.table import DOCS, table


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda each: f"{each.kind}: {each.what}")
def test_it_is_read_as_what_it_is(layout: Layout, tmp_path: Path) -> None:
    found = pervade.open_data(layout.make(tmp_path), init="random", **layout.flags)
    assert (found.task, len(found.rows)) == (layout.task, layout.rows), found.account
    if layout.targets is not None:
        assert set(found.rows.column("target")) == layout.targets
    if layout.splits is not None:
        there = Counter(found.rows.column("split"))
        assert {name: there[name] for name in layout.splits} == layout.splits
    if layout.groups is not None:
        assert len(set(found.rows.column("group"))) == layout.groups
    if layout.left_out is not None:
        assert len(found.left_out) == layout.left_out, found.left_out
    assert found.account


def test_there_are_at_least_sixty_and_the_table_says_them() -> None:
    assert len(LAYOUTS) >= 60
    assert DOCS.read_text(encoding="utf-8") == table()
