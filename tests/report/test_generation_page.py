"""What the page says of pictures that were made: figures on a line from floor to ceiling, classes, and codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pervade.core.run import RunDirectory
from pervade.core.words import SHARE
from pervade.metrics import generation
from pervade.metrics.interval import wilson
from pervade.report import cautions, chart, generation_cautions, standing
from pervade.report.details import codebook, floor_and_ceiling, named
from pervade.report.record import Figure, Record, Result
from pervade.report.sections import data, learning, networks

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
    assert standing.sentences(stored)[0] == "Two halves of the real data, of 40 each, come to 0.900."
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


def test_a_figure_has_no_place_where_chance_is_no_worse_than_the_real_data() -> None:
    density = Figure("recall", 0.217, None, None, 40)
    for ceiling, why in ((1.483, "chance (1.483) is not worse here"), (0.883, "both come to 0.883")):
        detail = {**DETAIL, "floor": {"recall": 0.883}, "ceiling": {"recall": ceiling}}
        told = floor_and_ceiling.section(detail, result({}, recall=density), record())
        assert told is not None
        assert why in told.body and 'class="dot"' not in told.body and 'class="scale"' not in told.body


def test_what_is_all_but_one_picture_accuses_nobody_of_copying() -> None:
    """Made ones of a class are 0.5 from their mean, real ones 1: what the classes' means are apart counts for nothing.
    Of 12 rows the interval is wider than the way from floor to ceiling."""
    classes = np.array([1, 1, 2, 2])
    made, real = np.array([[0.0], [1.0], [90.0], [91.0]]), np.array([[0.0], [2.0], [5.0], [7.0]])
    assert generation.apart(made, real, classes) == 0.5
    assert np.isnan(generation.apart(made, np.zeros((4, 1)), classes))
    copies = Figure("copies_pixels", 0.9, 0.7, 0.9, 200, higher_is_better=False, known=SHARE)
    headline = Figure("recall", 0.8, 0.75, 0.85, 200, known=SHARE)
    alike, varied = (
        record(result({"floor_and_ceiling": {**DETAIL, "apart": apart}}, recall=headline, copies_pixels=copies))
        for apart in (0.05, 0.5)
    )
    assert "all but the same example again and again. Figures" in (generation_cautions.all_alike(alike) or "")
    assert generation_cautions.copied(alike) is None and generation_cautions.all_alike(varied) is None
    assert "90.0% (70.0 to 90.0%)" in (generation_cautions.copied(varied) or "")
    assert generation_cautions.too_few(varied) is None
    loose = result({"floor_and_ceiling": DETAIL}, recall=replace(headline, low=0.05, high=1.0))
    assert "wider than the whole way" in (generation_cautions.too_few(record(loose)) or "")


def test_what_learnt_inside_a_run_is_told() -> None:
    whole = record()
    cut = {"event": "decision", "stop": True, "pass": 13, "text": "time limit"}
    about = {"best": {"parameters": 869_888}}
    recipe = {"epochs": 300, "model": {"use": "gpt"}}
    then = replace(whole, recipe=recipe, log=[cut], checkpoints=about)
    told = networks.section(replace(whole, inside={"then": then}))
    assert told is not None
    assert "model gpt, 869,888 weights, 13 of 300 passes, which a time limit ended." in told.body
    assert "“then” (13 of 300 passes)" in (cautions.time_limit_inside(replace(whole, inside={"then": then})) or "")
    assert networks.section(whole) is None


def test_a_single_point_is_said_and_small_numbers_are_in_powers_of_ten() -> None:
    entry = {"event": "step", "step": 1, "pass": 0.0, "generator.loss": 0.5}
    told = learning.section(replace(record(), log=[entry]))
    assert told is not None
    assert "Logged once: Loss of the generator: 0.500 in training." in told.body and "<svg" not in told.body
    axis = chart.axis_y("Distance", 4.2e-5, 4.4e-5)
    assert axis.caption == "Distance (× 10⁻⁵)"
    assert [text for _, text in axis.ticks] == ["4.20", "4.25", "4.30", "4.35", "4.40"]
    assert chart.axis_y("Loss", 0.0, 1.0).caption == "Loss"


def test_a_validation_split_is_said_to_choose_where_there_is_a_best_checkpoint() -> None:
    columns = {"split": ["train", "validation", "test"]}
    judged = {"event": "pass", "pass": 1, "step": 1, "validation loss": 1.0}
    for checkpoints, log, purpose in (
        ({"best": {}, "last": {}}, [judged], "to choose the best pass"),
        ({"last": {}}, [judged], "to watch training"),
        ({"last": {}}, [], "kept apart, chose nothing"),
    ):
        told = data.section(replace(record(), data={"columns": columns}, checkpoints=checkpoints, log=log))
        assert told is not None and purpose in told.body
