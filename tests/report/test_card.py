"""The model card: metadata that the Hub can read, and text that Markdown cannot misread."""

from __future__ import annotations

import shutil
from typing import Any

import yaml

from pervade.core.run import RunDirectory
from pervade.report import write
from pervade.report.card import escape


def card(directory: RunDirectory) -> tuple[dict[str, Any], str]:
    write(directory)
    start, front, body = directory.model_card.read_text(encoding="utf-8").split("---\n", 2)
    assert start == ""
    return yaml.safe_load(front), body


def test_metadata_has_what_the_hub_asks_for(run: RunDirectory) -> None:
    front, _ = card(run)
    assert front["library_name"] == "pervade"
    assert front["pipeline_tag"] == "image-classification"
    assert front["tags"] == ["pervade", "image-classification", "reference-mlp"]
    (entry,) = front["model-index"]
    assert entry["name"] == "pets & <more>"
    (result,) = entry["results"]
    assert result["task"]["type"] == "image-classification"
    assert result["dataset"] == {"type": "private", "name": "pictures", "split": "test"}
    accuracy = result["metrics"][0]
    assert (accuracy["type"], accuracy["value"]) == ("accuracy", 0.9)
    assert "n = 30" in accuracy["name"]
    assert all(isinstance(each["value"], float) for each in result["metrics"])
    assert set(front["metrics"]) == {each["type"] for each in result["metrics"]}


def test_text_says_the_limits_and_what_was_not_measured(run: RunDirectory) -> None:
    _, body = card(run)
    assert "right on 90.0% (95% interval 74.4 to 96.5%)" in body
    assert "| Right answers (accuracy) | 90.0% | 74.4 to 96.5% | 30 |" in body
    assert "- fairness:" in body
    assert "- robustness:" in body


def test_no_path_of_the_machine_is_published(run: RunDirectory) -> None:
    card(run)
    assert str(run.path.parent.parent) not in run.model_card.read_text(encoding="utf-8")


def test_names_are_text_in_markdown(run: RunDirectory) -> None:
    _, body = card(run)
    assert "<script" not in body
    # Seven columns, whatever stands in a name.
    rows = [line for line in body.splitlines() if line.startswith("| ") and "bold" in line]
    assert rows
    assert all(line.replace(r"\|", "").count("|") == 8 for line in rows)
    assert escape("a|b\n<b>*x*") == r"a\|b &lt;b&gt;\*x\*"


def test_a_run_without_figures_claims_none(run: RunDirectory) -> None:
    shutil.rmtree(run.path / "results")
    front, body = card(run)
    assert "model-index" not in front
    assert "has not been measured yet" in body
