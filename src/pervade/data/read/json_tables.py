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
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        first = next((line for line in text.splitlines() if line.strip()), "")
        if isinstance(loaded(first), (dict, list)):
            return _lines(path, text)
        raise DataError(f"{path} is not JSON ({error}); write it again") from None
    if isinstance(parsed, dict) and len(parsed) > 1 and all(_objects(value) for value in parsed.values()):
        raise DataError(
            f"{path} holds several lists of objects ({', '.join(list(parsed)[:5])}); write each to a file of its own, "
            "called after it"
        )
    rows = _rows(parsed)
    if rows is None and parsed and isinstance(parsed, dict) and "\n" not in text.strip():
        rows = [parsed]  # one line of JSON lines
    if rows is None:
        raise DataError(
            f"{path} is not a list of objects, but {_described(parsed)}; write one object for each row, all in one list"
        )
    return rows


def loaded(text: str) -> Any:
    """What a cell or a line of JSON holds; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


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


def _rows(parsed: Any) -> list[Record] | list[list[Any]] | None:
    """What this JSON says as rows; None where it says none."""
    if isinstance(parsed, list):
        return parsed if _all(parsed, dict) or _all(parsed, list) else None
    if not isinstance(parsed, dict) or not parsed:
        return None
    names, data = parsed.get("columns"), parsed.get("data")
    if isinstance(names, list) and isinstance(data, list) and _all(data, list):
        return [dict(zip(map(str, names), row, strict=False)) for row in data]
    if "schema" in parsed and isinstance(data, list) and _all(data, dict):
        key = parsed["schema"].get("primaryKey", []) if isinstance(parsed["schema"], dict) else []
        return [{name: value for name, value in row.items() if name not in key} for row in data]
    values = list(parsed.values())
    if len(values) == 1 and _all(values, list) and values[0] and _all(values[0], dict):
        return list(values[0])
    if (labels := _labels(parsed)) is not None:
        return labels
    if _all(values, list) and len({len(column) for column in values}) == 1:
        return [dict(zip(parsed, row, strict=True)) for row in zip(*values, strict=True)]
    return _of_objects(parsed) if _all(values, dict) else None


def _labels(parsed: dict[str, Any]) -> list[Record] | None:
    """Rows of "name" and "label", where keys are files or other names and values what each is called; or keys are
    labels, and values the files that are called so. None where it is neither."""
    keys, values = list(parsed), list(parsed.values())
    files = sum(FILE.fullmatch(key) is not None for key in keys)
    single = all(isinstance(value, (str, int, float)) for value in values)
    repeated = single and len(keys) >= FEWEST and 2 * len(set(values)) <= len(keys)
    if 2 * files > len(keys) or (repeated and COLUMNS.isdisjoint(map(str.lower, keys))):
        return [{"name": key, "label": value} for key, value in parsed.items()]
    if len(keys) > 1 and all(isinstance(names, list) and names and FILE.fullmatch(str(names[0])) for names in values):
        return [{"name": name, "label": key} for key, names in parsed.items() for name in names]
    return None


def _of_objects(parsed: dict[str, dict[str, Any]]) -> list[Record] | None:
    """Columns of rows, or rows of columns: rows are what is numbered, or else objects of the same keys that are not
    called as columns are, or else what there is more of."""
    values = list(parsed.values())
    inner = list(dict.fromkeys(name for row in values for name in row))
    if not inner:
        return None
    outer_counts, inner_counts = (all(name.lstrip("-").isdigit() for name in names) for names in (parsed, inner))
    alike = not inner_counts and all(set(row) == set(inner) for row in values)
    more = len(parsed) > len(inner) or (alike and COLUMNS.isdisjoint(map(str.lower, parsed)))
    by_row = more if outer_counts == inner_counts else outer_counts
    return values if by_row else [{name: column.get(key) for name, column in parsed.items()} for key in inner]


def _objects(parsed: Any) -> bool:
    return isinstance(parsed, list) and bool(parsed) and _all(parsed, dict)


def _all(values: Sequence[Any], kind: type) -> bool:
    return all(isinstance(value, kind) for value in values)


def _described(parsed: Any) -> str:
    if isinstance(parsed, dict):
        shown = ", ".join(list(map(str, parsed))[:5])
        return f"one object ({shown}{' …' if len(parsed) > 5 else ''})"
    return (
        f"a list of {type(parsed[0]).__name__}" if isinstance(parsed, list) and parsed else f"a {type(parsed).__name__}"
    )
