"""Sets and "I do not know", from the data to what predict says."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pervade
from pervade.core.errors import DataError
from pervade.engine import predictions
from pervade.run.training import Options
from tests import texts

SOLVED = (
    "domain={use: bag, group_column: author}",
    "optimizer=linear-solver",
    "source=whole",
    "schedule=constant",
    "tuning=null",
)
SETTINGS = (*SOLVED, "validation=0.5", "test=0.2", "batch_size=8", "threads=1", "workers=0")


def fit(data: Path, runs: Path, **more: Any) -> pervade.Run:
    asked = {"task": "text-classification", "model": "linear", "epochs": 1, "settings": SETTINGS, "options": Options()}
    return pervade.fit(data, runs=runs, name="run", **asked, **more)


def test_sets_and_answers_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six reviews by each author; a tenth of the 480 has the wrong label, so that sets of both classes are needed to
    hold 95 of 100 true ones, and a tenth of the answers is wrong."""
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))
    flipped = {"good": "bad", "bad": "good"}
    rows = [
        (words, flipped[label] if number % 20 in (0, 11) else label, f"author {number // 6}")
        for number, (words, label) in enumerate(texts.reviews(480))
    ]
    data = tmp_path / "reviews.csv"
    with data.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label", "author"), *rows])
    with pytest.raises(DataError, match=r"--coverage 0\.999 takes 999 rows \(one a group\) .*there are 20"):
        fit(data, tmp_path, coverage=0.999)
    run = fit(data, tmp_path, coverage=0.95, max_risk=0.5)
    result = run.evaluate()
    figures = {name: figure["value"] for name, figure in result["metrics"].items()}
    assert 0.85 < figures["coverage"] <= 1
    assert figures["coverage_of_groups"] == pytest.approx(figures["coverage"])  # groups are of one size
    assert 1 < figures["set_size"] <= 2
    assert figures["answered"] == 1
    told = [(promise["flag"], promise["n"], promise["kept"]) for promise in result["details"]["promises"]]
    assert told == [("--coverage 0.95", 120, True), ("--max-risk 0.5", 120, True)]
    columns = predictions.read_columns(run.directory.predictions(result["checkpoint"], "test"))
    assert columns["set"].shape == (96, 2)
    assert np.mean(columns["set"][np.arange(96), columns["target"]]) == figures["coverage"]
    answers = run.predict([words for words, _, _ in rows[:20]])
    assert {len(answer["set"]) for answer in answers} <= {1, 2}
    assert all(answer["top"][0]["label"] in answer["set"] for answer in answers)
    assert all(answer["answered"] and answer["answer"] == answer["top"][0]["label"] for answer in answers)
    page = run.report().read_text(encoding="utf-8")
    assert "Author by author: how often the truth is in what is said" in page
    assert "each group counting alike" in page
