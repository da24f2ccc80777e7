"""The model card: metadata that the Hub can read, and text that Markdown cannot misread."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
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


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("# heading", r"\# heading"),
        ("- item", r"\- item"),
        ("12. item", r"12\. item"),
        ("---", r"\---"),
        ("-0.5 to 1.5", "-0.5 to 1.5"),
        ("61.7%", "61.7%"),
        ("see https://evil.example and www.evil.example", r"see https\://evil.example and www\.evil.example"),
        ("a@b.example $x$ [t](u) ![p](q)", r"a\@b.example \$x\$ \[t\](u) !\[p\](q)"),
        ("one\n---\nname: two", r"one --- name: two"),
        ("\u202etxt", r"\\u202etxt"),
    ],
)
def test_nothing_in_a_name_is_markdown(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_a_name_cannot_end_the_front_matter(run: RunDirectory) -> None:
    recipe = yaml.safe_load(run.recipe.read_text(encoding="utf-8"))
    recipe["model"]["use"] = "x\n---\n# forged\nlicense: mit"
    run.recipe.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    front, body = card(run)
    assert front["tags"][-1] == r"x\n---\n# forged\nlicense: mit"
    assert "\n# forged" not in body


def test_no_folder_of_the_machine_is_published_where_markdown_escapes_it(tmp_path: Path, run: RunDirectory) -> None:
    moved = RunDirectory(tmp_path / "my_own*place" / "pets")
    moved.path.parent.mkdir()
    run.path.rename(moved.path)
    shutil.rmtree(moved.path / "results")  # the card then says how to measure it: pervade evaluate PATH
    write(moved)
    text = moved.model_card.read_text(encoding="utf-8")
    assert "has not been measured yet" in text
    assert "own" not in text.replace("own figure", "").replace("its own", "").split("## Intended use")[0]


def test_a_run_without_figures_claims_none(run: RunDirectory) -> None:
    shutil.rmtree(run.path / "results")
    front, body = card(run)
    assert "model-index" not in front
    assert "has not been measured yet" in body
