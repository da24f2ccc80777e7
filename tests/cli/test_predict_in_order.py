"""pervade predict: one answer or one error for each input, in the order of the inputs, in every form of output."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from pervade import api
from pervade.core.errors import DataError
from pervade.engine import answering


@pytest.fixture
def given(photos: Path, tmp_path: Path) -> list[Path]:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff" + b"x" * 50)
    cat, dog = photos / "cat" / "1.png", photos / "dog" / "1.png"
    return [tmp_path / "bad.jpg", cat, tmp_path / "gone.jpg", dog, cat, tmp_path / "bad.jpg"]


def test_in_python(session_run: Path, given: list[Path], photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = api.load(session_run)
    alone = {each: run.predict(each, top=2)[0] for each in given}
    found = run.predict(given, top=2)
    assert [each["input"] for each in found] == [str(each) for each in given]
    assert [each["error"] is not None for each in found] == [True, False, True, False, False, True]
    assert [each["error"] for each in found] == [alone[each]["error"] for each in given]
    for path, each in zip(given, found, strict=True):
        for one, other in zip(each["top"] or (), alone[path].get("top", ()), strict=True):
            assert one["label"] == other["label"]
            assert abs(one["probability"] - other["probability"]) < 1e-6
    # Whatever holds them, and however few are held at once.
    monkeypatch.setattr(answering, "PREDICT_AT_ONCE", 2)
    assert [each["input"] for each in run.stream(np.array(list(map(str, given))))] == [str(each) for each in given]
    again = run.predict((each for each in (None, *given, float("nan"))), top=2)
    assert [each["input"] for each in again] == ["input 1", *map(str, given), "input 8"]
    assert again[0]["error"] == again[-1]["error"] == "it is missing"
    inside = run.predict([photos / "cat", given[1]])
    assert [each["input"] for each in inside] == [str(photos / "cat" / f"{i}.png") for i in range(8)] + [str(given[1])]


def test_nothing_asked_is_nothing_answered(session_run: Path, given: list[Path]) -> None:
    run = api.load(session_run)
    assert run.predict([]) == []
    assert run.predict_proba([]).shape == (0, 2)
    assert run.predict_proba([given[1], given[1]]).shape == (2, 2)
    with pytest.raises(DataError, match=r"gone\.jpg: it is not there"):
        run.predict_proba([given[1], given[2]])


def test_as_json_and_as_a_table(pervade, run: Path, given: list[Path]) -> None:
    outcome = pervade("predict", run, *given, "--json")
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["input"] for row in rows] == [str(each) for each in given]
    assert [row["error"] is not None for row in rows] == [True, False, True, False, False, True]
    assert {tuple(row) for row in rows} == {("input", "top", "error")}
    outcome = pervade("predict", run, *given, "--csv", "--top", 1)
    table = list(csv.DictReader(io.StringIO(outcome.out, newline="")))
    assert [row["input"] for row in table] == [str(each) for each in given]
    assert [bool(row["error"]) for row in table] == [True, False, True, False, False, True]
    assert [row["label"] for row in table] == [row["top"][0]["label"] if row["top"] else "" for row in rows]


def test_many_with_every_hundredth_broken(session_run: Path, given: list[Path]) -> None:
    """5,000 inputs, of which the rows are never all held."""
    asked = [given[0] if number % 100 == 0 else given[1] for number in range(5000)]
    seen, found = 0, api.load(session_run).stream(each for each in asked)
    for number, each in enumerate(found):
        assert (each["error"] is not None) == (number % 100 == 0)
        seen += 1
    assert seen == 5000
