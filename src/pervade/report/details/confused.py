"""What is taken for what, of more classes than a matrix is kept of: the pairs alone."""

from __future__ import annotations

from typing import Any

from pervade.report.details import confusion
from pervade.report.html import Section
from pervade.report.record import Record, Result


def section(detail: dict[str, Any], result: Result, record: Record) -> Section | None:
    """None where the matrix stands there, and the pairs with it."""
    return None if "confusion" in result.details else confusion.section([], result, record)
