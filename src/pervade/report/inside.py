"""Pictures and films of a run as addresses that hold them, since a page loads nothing."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from pervade.report.record import Record

MOST_BYTES = 1_500_000  # of one


def address(media: Mapping[str, Any], record: Record, what: str) -> tuple[str, str]:
    """Of a file in the run's folder, as results name it ("file"), or why it cannot be shown; `what` it is, in words."""
    path = (record.run.path / str(media.get("file", ""))).resolve()
    if not path.is_relative_to(record.run.path.resolve()) or not path.is_file():
        return "", f"The {what} is not there any more; evaluating again makes it anew."
    data = path.read_bytes()
    if len(data) > MOST_BYTES:
        return "", f"The {what} is too large for this page; it is {media['file']} in the run's folder."
    return f"data:image/{path.suffix[1:]};base64,{base64.b64encode(data).decode()}", ""
