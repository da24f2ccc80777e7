"""JSON as rows: a list of objects, an object a line whatever the file is called, and what pandas' `to_json` writes.

records   [{"text": …, "label": …}, …]                  split    {"columns": […], "data": [[…], …]}
columns   {"text": {"0": …, "1": …}, "label": {…}}      table    {"schema": …, "data": [{…}, …]}
index     {"0": {"text": …, "label": …}, "1": {…}}      values   [[…], …], without names
lists     {"text": […], "label": […]}
labels    {"1.jpg": "cat", "2.jpg": "dog"}              members  {"cat": ["1.jpg"], "dog": ["2.jpg", "3.jpg"]}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pervade.core.errors import DataError
from pervade.data.read.columns import FILE

FEWEST = 4  # names with labels; an object of fewer fields may be a single row
Record = dict[str, Any]
COLUMNS = {"text", "sentence", "label", "target", "class", "file", "path"}  # names of columns, and hardly of rows


def read(path: Path, text: str, lines: bool) -> list[Record] | list[list[Any]]:
    """Rows by column, or without names as lists. `lines`: the file's name says that each line is one. Raises DataError
    naming the line at fault."""
    if lines:
        return _lines(path, text)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        if _begins_with_a_line(text):
            return _lines(path, text)
        raise DataError(f"{path} is not JSON ({error}); write it again") from None
    if isinstance(found, dict) and len(found) > 1 and all(_objects(each) for each in found.values()):
        raise DataError(
            f"{path} holds several lists of objects ({', '.join(list(found)[:5])}); write each to a file of its own, "
            "called after it"
        )
    rows = _rows(found)
    if rows is None and found and isinstance(found, dict) and "\n" not in text.strip():
        rows = [found]  # one line of JSON lines
    if rows is None:
        raise DataError(
            f"{path} is not a list of objects, but {_described(found)}; write one object for each row, all in one list"
        )
    return rows


def _begins_with_a_line(text: str) -> bool:
    first = next((line for line in text.splitlines() if line.strip()), "")
    try:
        return isinstance(json.loads(first), (dict, list))
    except (ValueError, RecursionError):
        return False


def _lines(path: Path, text: str) -> list[Record] | list[list[Any]]:
    rows: list[Any] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number} is not JSON ({error}); mend the line") from None
        single = not isinstance(row, (dict, list)) or (isinstance(row, list) and len(row) < 2)
        if single or (rows and type(row) is not type(rows[0])):
            raise DataError(f"{path}, line {number} is not a JSON object; write one object a line")
        rows.append(row)
    return rows


def _rows(found: Any) -> list[Record] | list[list[Any]] | None:
    """What this JSON says as rows; None where it says none."""
    if isinstance(found, list):
        return found if _all(found, dict) or _all(found, list) else None
    if not isinstance(found, dict) or not found:
        return None
    names, data = found.get("columns"), found.get("data")
    if isinstance(names, list) and isinstance(data, list) and _all(data, list):
        return [dict(zip(map(str, names), row, strict=False)) for row in data]
    if "schema" in found and isinstance(data, list) and _all(data, dict):
        key = found["schema"].get("primaryKey", []) if isinstance(found["schema"], dict) else []
        return [{name: value for name, value in row.items() if name not in key} for row in data]
    values = list(found.values())
    if len(values) == 1 and _all(values, list) and values[0] and _all(values[0], dict):
        return list(values[0])
    if (labels := _labels(found)) is not None:
        return labels
    if _all(values, list) and len({len(each) for each in values}) == 1:
        return [dict(zip(found, row, strict=True)) for row in zip(*values, strict=True)]
    return _of_objects(found) if _all(values, dict) else None


def _labels(found: dict[str, Any]) -> list[Record] | None:
    """Rows of "name" and "label", where keys are files or other names and values what each is called; or keys are
    labels, and values the files that are called so. None where it is neither."""
    keys, values = list(found), list(found.values())
    files = sum(FILE.fullmatch(each) is not None for each in keys)
    single = all(isinstance(each, (str, int, float)) for each in values)
    again = single and len(keys) >= FEWEST and 2 * len(set(values)) <= len(keys)
    if 2 * files > len(keys) or (again and COLUMNS.isdisjoint(map(str.lower, keys))):
        return [{"name": key, "label": value} for key, value in found.items()]
    if len(keys) > 1 and all(isinstance(each, list) and each and FILE.fullmatch(str(each[0])) for each in values):
        return [{"name": name, "label": key} for key, names in found.items() for name in names]
    return None


def _of_objects(found: dict[str, dict[str, Any]]) -> list[Record] | None:
    """Columns of rows, or rows of columns: rows are what is numbered, or else objects of the same keys that are not
    called as columns are, or else what there is more of."""
    values = list(found.values())
    inner = list(dict.fromkeys(name for each in values for name in each))
    if not inner:
        return None
    outer_counts, inner_counts = (all(name.lstrip("-").isdigit() for name in names) for names in (found, inner))
    alike = not inner_counts and all(set(each) == set(inner) for each in values)
    more = len(found) > len(inner) or (alike and COLUMNS.isdisjoint(map(str.lower, found)))
    by_row = more if outer_counts == inner_counts else outer_counts
    return values if by_row else [{name: column.get(key) for name, column in found.items()} for key in inner]


def _objects(found: Any) -> bool:
    return isinstance(found, list) and bool(found) and _all(found, dict)


def _all(values: Sequence[Any], kind: type) -> bool:
    return all(isinstance(each, kind) for each in values)


def _described(found: Any) -> str:
    if isinstance(found, dict):
        shown = ", ".join(list(map(str, found))[:5])
        return f"one object ({shown}{' …' if len(found) > 5 else ''})"
    return f"a list of {type(found[0]).__name__}" if isinstance(found, list) and found else f"a {type(found).__name__}"
