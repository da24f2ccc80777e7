"""Each caution from the facts that call for it, and its silence without them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pervade.core.run import RunDirectory
from pervade.core.words import SHARE
from pervade.metrics.classification import RIGHT
from pervade.metrics.method import Method
from pervade.report import cautions, verdict
from pervade.report.record import Figure, Record, Result, read


@pytest.fixture
def record(run: RunDirectory) -> Record:
    return read(run)


def with_result(record: Record, **changes: Any) -> Record:
    assert record.main is not None
    return replace(record, results=[replace(record.main, **changes)])


def with_accuracy(record: Record, low: float, value: float, high: float) -> Record:
    assert record.main is not None
    figures = {**record.main.figures, "accuracy": Figure("accuracy", value, low, high, 30, known=RIGHT)}
    return with_result(record, figures=figures)


def test_a_good_run_is_only_warned_of_what_is_true(record: Record) -> None:
    said = [check.__name__ for check in cautions.CAUTIONS if check(record) is not None]
    assert said == ["little_measured", "left_out", "groups_unknown"]


def test_few_rows_are_one_caution(record: Record) -> None:
    # 74.4 to 96.5% is 22 points; 10 rows of each class; 10 to choose by.
    said = cautions.little_measured(record) or ""
    assert "Only 30 pictures were measured" in said
    assert "22 points wide; 3 classes have fewer than 30 of the measured pictures" in said
    assert said.endswith("; the best pass was chosen on only 10 pictures, so that choice is partly luck.")
    assert record.main is not None
    enough = {"accuracy": Figure("accuracy", 0.9, 0.88, 0.92, 1000, known=RIGHT)}
    assert record.chosen == "pass"
    once = replace(record, log=[{"event": "pass", "pass": 1}])
    assert once.chosen is None
    assert "chosen" not in (cautions.little_measured(once) or "")
    climbed = replace(once, ladder={"rungs": [{"value": 0.8}, {"value": 0.9}, {"value": None}]})
    assert "; the best rung was chosen on only 10 pictures" in (cautions.little_measured(climbed) or "")
    crossed = replace(once, ladder={"rungs": [{"value": 0.8, "n": 300}, {"value": 0.9, "n": 300}]})
    assert "chosen" not in (cautions.little_measured(crossed) or "")  # by cross-validation, and not by 10 rows
    assert replace(once, ladder={"rungs": [{"value": 0.8}, {"value": None}]}).chosen is None
    assert replace(once, search={"trials": [{}, {}]}).chosen == "trial"
    many = {"split": ["train"] * 9 + ["validation"] * 200}
    assert cautions.little_measured(replace(with_result(record, figures=enough), data={"columns": many})) is None


def test_a_ladder_that_was_stopped_says_which_rungs_are_left(record: Record) -> None:
    plain = {"name": "plain", "state": "complete", "value": 0.8}
    trained = {"name": "trained", "state": "waiting", "value": None}
    ladder = {"taken": "plain", "rungs": [plain, trained]}
    stopped = replace(record, members={"kind": "ladder"}, ladder=ladder)
    assert (cautions.unfinished(stopped) or "").startswith("The ladder was stopped with trained still to be climbed: ")
    assert "with trained still to be climbed. To go on where it stopped: pervade resume" in verdict.unmeasured(stopped)
    whole = replace(stopped, ladder={**ladder, "rungs": [plain, {**trained, "state": "passed by"}]})
    assert cautions.unfinished(whole) is None


def test_no_better_than_baseline(record: Record) -> None:
    assert cautions.no_better_than_baseline(record) is None
    assert record.main is not None
    # Of results of before differences were written down. The baseline's interval ends at 51.2%, and begins at 19.2%.
    stored = record.main.details["baseline"]
    older = {"baseline": {name: each for name, each in stored.items() if name in ("name", "metrics")}}

    def said(low: float, value: float, high: float) -> str | None:
        return cautions.no_better_than_baseline(with_result(with_accuracy(record, low, value, high), details=older))

    assert said(0.52, 0.6, 0.7) is None
    assert (said(0.50, 0.6, 0.7) or "").endswith("their intervals overlap.")
    assert "worse than the baseline, as their intervals, which lie apart, show" in (said(0.1, 0.15, 0.19) or "")


def test_what_is_no_better_than_always_one_class_says_so_in_the_headline(record: Record) -> None:
    """Better than a linear model that is worse than nothing; all rows are of even classes."""
    assert record.main is not None
    constant = {"name": "always 'a'", "metrics": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}}}
    linear = {"name": "TF-IDF", "predictions": "p.parquet", "metrics": {"accuracy": {"value": 0.1}}}
    details = {**record.main.details, "baseline": linear, "constant": constant}

    def with_difference(low: float, value: float, high: float) -> Record:
        return with_result(with_accuracy(record, low, value, high), details=details)

    none_shown = with_difference(0.45, 0.55, 0.65)
    assert verdict.of(none_shown).does.endswith("and is not shown to do better than always 'a'.")
    assert (cautions.no_better_than_baseline(none_shown) or "").startswith(
        "It has not been shown to be better than always 'a', which takes no learning"
    )
    assert verdict.of(with_difference(0.2, 0.3, 0.39)).does.endswith("and does worse than always 'a'.")
    better = with_difference(0.61, 0.7, 0.8)
    assert "always" not in verdict.of(better).does
    assert cautions.no_better_than_baseline(better) is None


def test_a_paired_difference_decides_where_intervals_overlap(record: Record) -> None:
    assert record.main is not None
    stored = record.main.details["baseline"]

    def said(low: float, high: float, shown: bool) -> str | None:
        apart = {"accuracy": {"p": 0.01, "difference": (low + high) / 2, "low": low, "high": high, "shown": shown}}
        details = {**record.main.details, "baseline": {**stored, "differences": apart}}  # type: ignore[union-attr]
        return cautions.no_better_than_baseline(with_result(with_accuracy(record, 0.3, 0.4, 0.6), details=details))

    assert said(0.02, 0.2, True) is None
    assert "their paired difference may be nothing" in (said(0.02, 0.2, False) or "")
    assert "as the paired difference shows" in (said(-0.2, -0.02, True) or "")


def test_validation_in_place_of_a_test_split(record: Record) -> None:
    assert cautions.not_test(record) is None
    assert "was used to choose the model" in (cautions.not_test(with_result(record, split="validation")) or "")


def test_overconfident(record: Record) -> None:
    assert cautions.overconfident(record) is None
    bar = {"low": 0.9, "high": 1.0, "count": 100, "confidence": 0.97, "accuracy": 0.8}
    details = {"reliability": [bar | {"accuracy_low": 0.71, "accuracy_high": 0.87}]}
    right = with_accuracy(record, 0.711, 0.8, 0.867)
    said = cautions.overconfident(with_result(right, details=details)) or ""
    assert "97.0% sure, and it was right on 80.0% (71.1 to 86.7%, n = 100)" in said
    # Where what is answered is not always the likeliest, another share of the answers is right.
    said = cautions.overconfident(with_result(with_accuracy(record, 0.6, 0.7, 0.8), details=details)) or ""
    assert "97.0% sure of the likeliest class, and that was right on 80.0% (71.1 to 86.7%, n = 100)" in said


def test_a_class_that_is_never_answered(record: Record) -> None:
    assert cautions.never_answered(record) is None
    none, nan = {"low": None, "high": None}, None
    figures = {
        "precision[b]": Figure("precision[b]", nan, **none, n=0),
        "recall[b]": Figure("recall[b]", 0.0, 0.0, 0.6, 3),
        "precision[c]": Figure("precision[c]", nan, **none, n=0),
        "recall[c]": Figure("recall[c]", nan, **none, n=0),  # not among the measured rows either
    }
    said = cautions.never_answered(with_result(record, figures=figures))
    assert (
        said
        == "It never answered “b” (3): so many of the measured pictures are of that class, and none was recognised."
    )
    # Of several trainings the number is that of the first, and another may have answered it.
    figures["recall[b]"] = replace(figures["recall[b]"], how=Method("trainings", "seed", 3))
    assert cautions.never_answered(with_result(record, figures=figures)) is None


def test_weakest_class(record: Record) -> None:
    assert record.main is not None
    recall = Figure("recall[b]", 0.2, 0.1, 0.3, 50, known=SHARE)
    weak = {"recall[b]": recall, "recall[a]": Figure("recall[a]", 0.9, 0.8, 1.0, 50)}
    figures = {"accuracy": Figure("accuracy", 0.6, 0.5, 0.7, 100), **weak}
    said = cautions.weakest_class(with_result(record, figures=figures)) or ""
    assert "“b”: of 50 pictures of that class it recognised 20.0% (10.0 to 30.0%)" in said


def test_weakest_is_said_of_the_weakest_alone(record: Record) -> None:
    """Of “c” less was recognised, but of so few rows that it is not shown to be weak."""
    figures = {
        "accuracy": Figure("accuracy", 0.6, 0.5, 0.7, 100),
        "recall[b]": Figure("recall[b]", 0.2, 0.1, 0.3, 50),
        "recall[c]": Figure("recall[c]", 0.0, 0.0, 0.6, 3),
    }
    said = cautions.weakest_class(with_result(record, figures=figures)) or ""
    assert said.startswith("It is clearly weaker than on average on “b”")
    figures["recall[c]"] = Figure("recall[c]", 0.3, 0.1, 0.6, 10)
    assert (cautions.weakest_class(with_result(record, figures=figures)) or "").startswith("It is weakest on “b”")


def test_what_is_to_be_read_beside_the_data_is_no_loss(record: Record) -> None:
    def said(*sources: str) -> str | None:
        found = [{"source": each, "reason": "files ending in '' are not read"} for each in sources]
        return cautions.left_out(replace(record, data={**record.data, "left_out": found}))

    assert said("README.md", "licence", "LICENSE.txt", "cats/Readme", "CITATION.cff") is None
    assert (said("README.md", "cats/1.heic") or "").startswith("1 file was left out")
    assert (said("readmes/1.heic", "reader.png") or "").startswith("2 files were left out")


def test_overfitted(record: Record) -> None:
    assert cautions.overfitted(record) is None
    log = [{"event": "step", "step": i, "accuracy": 1.0} for i in range(10)]
    assert "right on 100.0% of those" in (
        cautions.overfitted(with_accuracy(replace(record, log=log), 0.5, 0.6, 0.7)) or ""
    )


def test_uneven_classes(record: Record) -> None:
    assert cautions.uneven_classes(record) is None
    columns = {"target": ["a"] * 9 + ["b"] * 3, "split": ["train"] * 12}
    said = cautions.uneven_classes(replace(record, data={"columns": columns})) or ""
    assert "9 pictures of “a” to learn from, 3 of “b”" in said


@pytest.mark.parametrize(
    "decision", [{"text": "time limit reached", "stop": True}, {"text": "there is time for 2 passes", "passes": 2}]
)
def test_time_limit(record: Record, decision: dict[str, Any]) -> None:
    assert cautions.time_limit(record) is None
    log = [*record.log, {"event": "decision", "step": 9, "pass": 2, **decision}]
    assert "cut training short" in (cautions.time_limit(replace(record, log=log)) or "")


def test_still_improving(record: Record) -> None:
    assert cautions.still_improving(record) is None
    assert cautions.still_improving(replace(record, plan={**record.plan, "best_pass": 3})) is not None


def every_fifth(record: Record, passes: int, **plan: Any) -> Record:
    """As the usual recipes have it: judged after every fifth pass, of two steps each, and after the last."""
    log: list[dict[str, Any]] = []
    for number in range(1, passes + 1):
        log.append({"event": "step", "step": 2 * number - 1, "pass": number - 1, "loss": 1.0})
        if number % 5 == 0 or (number == passes and plan.get("finished")):
            log.append({"event": "pass", "pass": number, "step": 2 * number, "validation accuracy": number / 100})
    return replace(record, log=log, plan={"passes": 70, **plan})


def test_passes_that_nobody_judged_are_counted(record: Record) -> None:
    unfinished = every_fifth(record, 38, finished=False, best_pass=35)
    # 37 of them are known to be over: with the 38th's first step the log ends.
    assert "(37 of 70 passes)" in (cautions.unfinished(unfinished) or "")
    assert "37 of 70 passes over the data are done" in verdict.unmeasured(unfinished)


@pytest.mark.parametrize(("passes", "best", "said"), [(70, 70, True), (70, 65, False), (38, 38, True), (38, 35, False)])
def test_still_improving_where_not_every_pass_was_judged(record: Record, passes: int, best: int, said: bool) -> None:
    caution = cautions.still_improving(every_fifth(record, passes, finished=True, best_pass=best))
    assert (f"The last of {passes} passes was the best one" in (caution or "")) == said


def test_unfinished(record: Record) -> None:
    assert cautions.unfinished(record) is None
    assert "3 of 3 passes" in (cautions.unfinished(replace(record, plan={"finished": False, "passes": 3})) or "")


@pytest.mark.parametrize("check", cautions.CAUTIONS)
def test_nothing_known_is_nothing_to_fear(record: Record, check: Callable[[Record], str | None]) -> None:
    bare = Record(record.run, {}, {}, {}, {"finished": True}, [], {}, [])
    assert check(bare) is None
    empty = Result("evaluate", "best", "test", 0, {}, {})
    assert check(replace(bare, results=[empty])) is None
