"""Recordings from names that say who speaks to figures of each speaker held out, and used."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import pervade
from pervade.core import files
from pervade.run.training import Options
from tests.data.sounds import speakers

SETTINGS = (
    "domain.label_pattern=^([^_]+)_",
    "domain.group_pattern=_(.+)_",
    "model.width=8",
    "model.stages=1",
    "model.features=16",
    "validation=0",
    "threads=1",
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))


def held_out(data: Path, runs: Path, name: str) -> pervade.Run:
    return pervade.fit(
        data, folds="group", settings=SETTINGS, epochs=2, batch_size=8, runs=runs, name=name, options=Options()
    )


def test_each_speaker_held_out(tmp_path: Path) -> None:
    data = speakers(tmp_path / "said")
    whole = held_out(data, tmp_path / "runs", "whole")
    result = whole.concluded()
    assert result is not None
    assert list(result["members"]) == ["anna", "ben", "cleo"]
    assert result["n"] == 24
    for own in result["metrics"]["accuracy"]["members"].values():
        assert own["n"] == 8
        assert own["low"] < own["value"] or own["value"] == 0
    assert files.read_json(whole.directory.members)["groups"] == ["anna", "ben", "cleo"]
    again = whole.evaluate()
    assert again["metrics"]["accuracy"]["value"] == result["metrics"]["accuracy"]["value"]


def test_figures_and_predictions_agree(tmp_path: Path) -> None:
    data = speakers(tmp_path / "said", count=6)
    run = pervade.fit(
        data, settings=SETTINGS, epochs=2, batch_size=8, ladder=["trained"], runs=tmp_path / "runs", options=Options()
    )
    run.evaluate()
    columns = pervade.engine.predictions.read_columns(run.directory.predictions("last", "test"))
    paths = [str(data / each) for each in columns["id"]]
    copy = tmp_path / "other"
    shutil.copytree(data, copy)
    found = run.predict_proba([str(copy / Path(each).name) for each in paths])
    assert found == pytest.approx(columns["probabilities"], abs=1e-6)
