"""Runs made before there was words.json (tests/old_runs): they evaluate, predict, compare and report as they did.

`figures.json` holds what the code of then said. Files are as it wrote them, without what a report does not need, and
with @HERE for the folder that they lay in.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pervade
from pervade.core import files
from pervade.engine import wording
from pervade.report import compare_words, verdict
from pervade.report.record import read
from pervade.run import comparing
from tests import resamples

OLD = Path(__file__).parent / "old_runs"
SAID: dict[str, Any] = json.loads((OLD / "figures.json").read_text())
NAMES = [name for name in SAID if name != "compared"]


@pytest.fixture(scope="module", autouse=True)
def _many_resamples() -> Iterator[None]:
    """As many as their figures took."""
    with resamples.of(resamples.AS_USERS_GET):
        yield


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old") / "runs"
    shutil.copytree(OLD, folder)
    for path in [each for each in folder.rglob("*.json*") if not each.name.startswith("tokenizer-")]:
        path.write_text(path.read_text().replace("@HERE", str(folder)))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_its_verdict_is_read_from_its_results_as_they_stand(name: str, here: Path) -> None:
    record = read(pervade.load(name, here).directory)
    assert not record.run.words.exists()
    assert record.damaged == []
    said = verdict.of(record)
    assert {key: getattr(said, key) for key in SAID[name]["verdict"]} == SAID[name]["verdict"]
    assert record.main is not None
    assert {key: str(each.how) for key, each in record.main.overall.items()} == {
        key: method for key, (*_, method) in SAID[name]["metrics"].items()
    }


def test_two_are_compared(here: Path) -> None:
    found = comparing.compare(["pictures", "pictures-2"], runs=here)
    assert compare_words.sentence(found, 1) == SAID["compared"]["sentence"]
    assert compare_words.headline(found) == SAID["compared"]["headline"]


# Filming an agent's episodes takes seconds, and so does the linear model beside one of texts.
SLOW = ("agent", "texts")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in NAMES])
def test_it_evaluates_predicts_and_reports(name: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERVADE_CACHE", str(here / "cache"))
    run = pervade.load(name, here)
    found = run.evaluate()
    for key, (*numbers, n, method) in SAID[name]["metrics"].items():
        own = found["metrics"][key]
        for end, number in zip(("value", "low", "high"), numbers, strict=True):
            assert own[end] == (None if number is None else pytest.approx(number, rel=1e-4, abs=1e-9)), key
        assert (own["n"], own["method"]) == (n, method)
    beside = (found["details"].get("baseline") or {}).get("metrics", {})
    for key, number in SAID[name]["baseline"].items():
        assert beside[key]["value"] == (None if number is None else pytest.approx(number)), key
    for said in SAID[name].get("answers", ()):
        asked = said["input"].replace("@HERE", str(here))
        (answer,) = run.predict([asked.removeprefix("seed ")])
        for key, value in said.items():
            if isinstance(value, float):
                assert answer[key] == pytest.approx(value, rel=1e-4)
            elif key == "top":
                assert [each["label"] for each in answer[key]] == [each["label"] for each in value]
                numbers = [each["probability"] for each in value]
                assert [each["probability"] for each in answer[key]] == pytest.approx(numbers, rel=1e-4)
    page = run.report().read_text().replace("\u2011", "-")
    for sentence in ("does", "measured"):
        assert SAID[name]["verdict"][sentence] in page


def test_words_of_its_own_go_before_those_of_the_code(here: Path) -> None:
    run = pervade.load("pictures-2", here).directory
    words = {"domain": {"noun": ["slide", "slides"]}, "task": {"does": "looks at {many}"}}
    files.write_json(run.words, words)
    assert verdict.of(read(run)).does.startswith("This model looks at slides, and is not shown")
    files.write_json(run.words, {"domain": {"noun": "slide"}})
    assert "words.json is damaged" in read(run).damaged[0]
    run.words.unlink()
    assert wording.read(run).domain.noun == ("picture", "pictures")
