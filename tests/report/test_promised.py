"""What was promised, on the page and in the card: kept or not, on the curve, and by each member."""

from __future__ import annotations

import re
import shutil
from typing import Any

from pervade.core import files
from pervade.core.run import RunDirectory
from pervade.report import record
from pervade.report.sections import decision, promises
from tests.report.conftest import LABELS
from tests.report.test_report import read

KEPT = {
    "sentence": "finds 95 of 100 <defects> (93 to 98 measured), at 7 false alarms in 100",
    "flag": "--min-recall <defect>=0.95",
    "kept": True,
    "why": "",
    "n": 262,
    "curve": {
        "x": [0.0, 0.07, 0.5],
        "y": [0.2, 0.95, 1.0],
        "low": [0.1, 0.93, None],
        "high": [0.3, 0.98, None],
        "x_title": "False alarms",
        "y_title": "Found",
        "at": [0.07, 0.95],
        "likeliest": [0.02, 0.8],
        "promised_y": 0.95,
    },
}
LOST = {
    "sentence": "",
    "flag": "--max-risk 0.02",
    "kept": False,
    "n": 40,
    "curve": {},
    "why": "of 40 rows 6 are wrong; --max-risk 0.2 can be kept",
}


def promise(run: RunDirectory, *told: dict[str, Any]) -> dict[str, Any]:
    path = run.result("evaluate", "best")
    result = files.read_json(path)
    result["details"]["promises"] = list(told)
    files.write_json(path, result)
    return result


def test_a_promise_stands_in_the_verdict_with_the_flag_that_asked_for_it(run: RunDirectory) -> None:
    promise(run, KEPT, LOST)
    reader, text = read(run)
    first = text.split("Be careful")[0]
    assert (
        "Finds 95 of 100 <defects> (93 to 98 measured), at 7 false alarms in 100 "
        "(promised by --min-recall <defect>=0.95)." in first
    )
    assert "NOT kept: of 40 rows 6 are wrong; --max-risk 0.2 can be kept (promised by --max-risk 0.02)." in first
    assert "#promises" in reader.links
    assert "defects" not in reader.tags
    card = run.model_card.read_text()
    assert "- Finds 95 of 100 &lt;defects&gt; (93 to 98 measured), at 7 false alarms in 100" in card
    assert "- NOT kept: of 40 rows 6 are wrong" in card


def test_one_that_the_measured_rows_break_is_not_called_kept(run: RunDirectory) -> None:
    promise(run, {**KEPT, "broken": True})
    text = read(run)[1]
    verdict, careful = text.split("Be careful", 1)
    assert "NOT kept on these rows: finds 95 of 100 <defects>" in verdict
    assert "break what was promised (--min-recall <defect>=0.95): the whole interval lies" in careful
    assert "- NOT kept on these rows: finds 95 of 100" in run.model_card.read_text()


def test_the_curve_has_its_interval_and_the_point_that_was_settled(run: RunDirectory) -> None:
    promise(run, KEPT, LOST)
    section = promises.section(record.read(run))
    assert section is not None
    assert section.body.count("<svg") == 1  # of the other there is no curve
    assert section.body.count('class="band first"') == 1
    outline = re.search(r'class="band first" points="([^"]+)"', section.body)
    assert outline is not None
    assert len(outline[1].split()) == 4  # of the two points that have an interval
    assert '<circle class="ring second"' in section.body
    assert "<title>as settled, False alarms 7.0%: 95.0%</title>" in section.body
    assert "settled at False alarms 7.0%, Found 95.0%" in section.body
    assert "promised 95.0%; the likeliest answers at 2.0%, 80.0%; settled at" in section.body
    assert "<title>the likeliest answers, False alarms 2.0%: 80.0%</title>" in section.body
    assert '<span class="key second point">as settled</span>' in section.body
    assert '<span class="key second faint">promised</span>' in section.body
    line = re.search(r'class="line second faint" points="([^ ]+) ([^"]+)"', section.body)
    assert line is not None
    assert line[1].split(",")[1] == line[2].split(",")[1]  # level, from one end to the other
    assert ">False alarms</text>" in section.body and "Across:" not in section.body
    assert "Settled on 262 pictures" in section.body
    assert "Settled on 40 pictures" in section.body


def test_an_axis_of_no_shares_has_no_percent(run: RunDirectory) -> None:
    costs = {"x": [0.0, 1.0], "y": [3.0, 40.0], "x_title": "threshold", "y_title": "cost"}
    promise(run, {**KEPT, "curve": costs})
    section = promises.section(record.read(run))
    assert section is not None
    assert ">40<" in section.body
    assert "ring" not in section.body


def test_without_a_promise_nothing_is_said(run: RunDirectory) -> None:
    reader, text = read(run)
    assert "#promises" not in reader.links
    assert "What is promised" not in text
    assert "promised by" not in run.model_card.read_text()


def test_what_is_settled_stands_as_words_and_not_as_json(run: RunDirectory) -> None:
    settled = {"promise": {"use": "threshold"}, "settled": {"threshold": 0.2}, "n": 9, "kept": True, "why": ""}
    files.write_json(run.checkpoint("best") / "decision.json", {"promises": [settled], "temperature": 1.5})
    section = decision.section(record.read(run))
    assert section is not None
    assert "1.5" in section.body
    assert "threshold" not in section.body
    files.write_json(run.checkpoint("best") / "decision.json", {"promises": [settled]})
    assert decision.section(record.read(run)) is None


def test_each_fold_settles_its_own(run: RunDirectory) -> None:
    for name, told in (("fold-1", KEPT), ("fold-2", {**KEPT, "kept": False, "why": "too few rows"})):
        result = promise(run, told)
        path = run.member(name).result("evaluate", "best")
        path.parent.mkdir(parents=True)
        files.write_json(path, result)
        shutil.copyfile(run.recipe, run.member(name).recipe)
    members = {name: {"checkpoint": "best", "n": 15} for name in ("fold-1", "fold-2")}
    whole = {**result, "kind": "folds", "checkpoint": "members", "members": members}
    run.result("evaluate", "best").unlink()
    files.write_json(run.result("evaluate", "members"), whole)
    files.write_json(run.members, {"kind": "folds", "number": 2})
    folds = record.read(run)
    section = promises.section(folds)
    assert section is not None
    assert "Each of the 2 folds settled its own promises" in section.body
    assert 'href="members/fold-2/report.html"' in section.body
    assert "NOT kept: too few rows." in section.body


def test_false_alarms_stand_beside_what_is_recognised(run: RunDirectory) -> None:
    path = run.result("evaluate", "best")
    result = files.read_json(path)
    figure = {"value": 0.07, "low": 0.05, "high": 0.1, "n": 20, "words": {"unit": "share"}}
    # Of a group, which is no class, there is no line.
    result["metrics"] |= {f"false_alarms[{LABELS[1]}]": figure, "coverage[Anna]": figure}
    files.write_json(path, result)
    _, text = read(run)
    table = text.split("Class by class", 2)[2].split("What is taken for what")[0]
    assert "False alarms" in table
    assert "7.0% 5.0 to 10.0%" in table
    assert "Anna" not in table
    assert "35.0%" in table  # 7 of the 20 rows to learn from


def test_the_curve_is_drawn_where_something_is_known_and_to_be_seen(run: RunDirectory) -> None:
    """Not from 1%, of which one row tells; not beyond 20%, where it has nearly come to its end."""
    curve = {
        "x": [0.01, 0.1, 0.2, 0.6, 1.0],
        "y": [1.0, 0.5, 0.995, 1.0, 1.0],
        "low": [0.0, 0.3, 0.9, 0.9, 0.9],
        "high": [1.0, 0.7, 1.0, 1.0, 1.0],
        "x_title": "a name of a class that is much too long for the foot of a drawing",
        "y_title": "found",
    }
    promise(run, {**KEPT, "curve": {**curve, "at": [0.05, 0.4]}})
    section = promises.section(record.read(run))
    assert section is not None
    line = re.search(r'class="line first" points="([^"]+)"', section.body)
    assert line is not None
    assert len(line[1].split()) == 2
    assert "Across: a name of a class that is much too long for the foot of a drawing" in section.body
    promise(run, {**KEPT, "curve": {**curve, "at": [0.3, 1.0]}})  # the point is seen with what comes after it
    whole = promises.section(record.read(run))
    assert whole is not None
    line = re.search(r'class="line first" points="([^"]+)"', whole.body)
    assert line is not None
    assert len(line[1].split()) == 3
