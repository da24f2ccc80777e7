"""What the page says of pictures that were made: figures on a line from floor to ceiling, classes, and codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pervade.core.run import RunDirectory
from pervade.core.words import SHARE
from pervade.metrics.interval import wilson
from pervade.report import generation_cautions, standing
from pervade.report.details import codebook, floor_and_ceiling, named
from pervade.report.record import Figure, Record, Result

DETAIL = {"judge": "it", "n": 40, "features": 128, "floor": {"recall": 0.9}, "ceiling": {"recall": 0.1}}


def record(*results: Result) -> Record:
    nothing: dict[str, Any] = {key: {} for key in ("recipe", "about", "data", "plan", "checkpoints")}
    return Record(RunDirectory(Path("runs/painted")), **nothing, log=[], results=list(results))


def result(details: dict[str, Any], **figures: Figure) -> Result:
    return Result("evaluate", "last", "test", 40, figures, details)


def share(right: int, n: int = 20) -> dict[str, Any]:
    low, high = wilson(right, n)
    return {"value": right / n, "low": low, "high": high, "n": n}


def test_a_figure_stands_on_a_line_from_the_floor_to_the_ceiling() -> None:
    """Also where higher is better, so that the line begins with its largest value: a recall of 0.6 from 0.9 to 0.1."""
    recall = Figure("recall", 0.6, 0.5, 0.7, 40, known=SHARE)
    made = floor_and_ceiling.section(DETAIL, result({}, recall=recall), record())
    assert made is not None
    assert 'class="dot" style="left:37.50%"' in made.body
    assert 'style="left:25.00%;width:25.00%"' in made.body
    assert '<div class="scale"><span>90.0%</span><span>10.0%</span></div>' in made.body
    assert "learnt nothing see less" not in made.body and "samples/" not in made.body


def test_random_weights_and_kept_files_are_said() -> None:
    kept = {"kept": {"folder": "samples/last@test", "files": 80}}
    recall = Figure("recall", 0.6, None, None, 40, known=SHARE)
    made = floor_and_ceiling.section({**DETAIL, "random": True}, result(kept, recall=recall), record())
    assert made is not None
    assert "Weights that learnt nothing see less" in made.body and "<code>samples/last@test</code>" in made.body


def test_classes_that_were_not_asked_for_are_counted() -> None:
    classes = [{"label": "<cat>", "made": share(15), "real": share(10)}]
    asked = named.section({"judge": "it", "by_class": True, "classes": classes}, result({}), record())
    counted = named.section({"judge": "it", "by_class": False, "classes": classes}, result({}), record())
    assert asked is not None and counted is not None
    assert (asked.title, counted.title) == ("Is it what was asked for?", "Which classes it makes")
    assert "&lt;cat&gt;" in asked.body and "<b>75.0%</b>" in asked.body and "both shares" in counted.body
    assert named.section({}, result({}), record()) is None


def test_how_much_of_a_codebook_is_used() -> None:
    made = codebook.section({"codes": 512, "used": 128, "perplexity": 64.2}, result({}), record())
    assert made is not None
    assert "Of 512 codes the measured rows use 128." in made.body and "worth 64 which" in made.body
    assert "<b>25.0%</b>" in made.body and "<b>12.5%</b>" in made.body


def test_the_floor_of_the_headline_is_said_beside_it() -> None:
    stored = {"metrics": {"recall": share(15)}, "details": {"floor_and_ceiling": DETAIL}}
    assert standing.sentences(stored)[0] == "Two halves of the real data, of as many, come to 0.900."
    assert standing.sentences({**stored, "details": {}}) == []


def test_what_is_told_from_real_rows_is_a_caution() -> None:
    """A recall three eighths of the way from floor to ceiling; half are what was asked for, and 0.99 of real ones."""
    detail = {"floor": {"recall": 0.9, "named_as_asked": 0.99}, "ceiling": {"recall": 0.1}}
    half = Figure("named_as_asked", 0.5, 0.4, 0.6, 40, known=SHARE)
    far, near = (Figure("recall", value, None, None, 40, known=SHARE) for value in (0.6, 0.85))
    told = record(result({"floor_and_ceiling": detail}, recall=far, named_as_asked=half))
    assert "stands 38% of the way from the real data to chance" in (generation_cautions.unlike_the_real(told) or "")
    assert "calls 50.0% (40.0 to 60.0%) so, and 99.0% of real" in (generation_cautions.not_as_asked(told) or "")
    fine = record(result({"floor_and_ceiling": detail}, recall=near))
    assert generation_cautions.unlike_the_real(fine) is None and generation_cautions.not_as_asked(fine) is None
    assert generation_cautions.unlike_the_real(record(result({}, recall=far))) is None
