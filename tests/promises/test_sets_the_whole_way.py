"""Sets and "I do not know", from the data to what predict says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pervade
from pervade.core.errors import DataError
from pervade.engine import predictions
from pervade.run.training import Options
from tests import texts

SOLVED = ("domain=bag", "optimizer=linear-solver", "source=whole", "schedule=constant", "tuning=null")
SETTINGS = (*SOLVED, "validation=0.5", "test=0.2", "batch_size=8", "threads=1", "workers=0")


def fit(data: Path, runs: Path, **more: Any) -> pervade.Run:
    asked = {"task": "text-classification", "model": "linear", "epochs": 1, "settings": SETTINGS, "options": Options()}
    return pervade.fit(data, runs=runs, name="run", **asked, **more)


def test_sets_and_answers_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 480 reviews one in ten has the wrong label, so that sets of both classes are needed to hold 95 of 100 true
    ones, and a tenth of the answers is wrong."""
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))
    flipped = {"good": "bad", "bad": "good"}
    rows = [
        (words, flipped[label] if number % 20 in (0, 11) else label)
        for number, (words, label) in enumerate(texts.reviews(480))
    ]
    data = texts.write(tmp_path / "reviews.tsv", rows)
    with pytest.raises(DataError, match=r"--coverage 0\.999 takes at least 999 rows .*there are 120"):
        fit(data, tmp_path, coverage=0.999)
    run = fit(data, tmp_path, coverage=0.95, max_risk=0.25)
    result = run.evaluate()
    assert 0.87 < result["metrics"]["coverage"]["value"] <= 1
    assert 1 < result["metrics"]["set_size"]["value"] <= 2
    assert result["metrics"]["answered"]["value"] == 1
    told = [(promise["flag"], promise["n"], promise["kept"]) for promise in result["details"]["promises"]]
    assert told == [("--coverage 0.95", 120, True), ("--max-risk 0.25", 120, True)]
    columns = predictions.read_columns(run.directory.predictions(result["checkpoint"], "test"))
    assert columns["set"].shape == (96, 2)
    assert np.mean(columns["set"][np.arange(96), columns["target"]]) == result["metrics"]["coverage"]["value"]
    asked = [words for words, _ in rows[:20]]
    answers = run.predict(asked)
    assert {len(answer["set"]) for answer in answers} <= {1, 2}
    assert all(answer["top"][0]["label"] in answer["set"] for answer in answers)
    assert all(answer["answered"] and answer["answer"] == answer["top"][0]["label"] for answer in answers)
