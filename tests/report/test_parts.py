"""Single parts with numbers worked by hand: confusions, calibration, axes, names."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

import pytest

from pervade.core.run import RunDirectory
from pervade.core.words import SHARE
from pervade.report import calibration, chart, wording
from pervade.report.details import confusion
from pervade.report.record import Figure, Result, read
from pervade.report.sections import learning, reproduce, search

# Always the diagonal but for one row: class i is taken for class 0.


def matrix(classes: int) -> list[list[int]]:
    rows = [[0] * classes for _ in range(classes)]
    for i in range(classes):
        rows[i][i] = 3
        rows[i][0] += 1
    return rows


def test_trials_that_had_no_time_to_go_on_are_counted(run: RunDirectory) -> None:
    through = {"number": 0, "values": {}, "state": "complete", "value": 0.8, "passes": {}, "reason": "", "rung": "a"}
    paused = {**through, "number": 1, "state": "paused", "value": None, "rung": "b"}
    trials = {"trials": [through, paused, {**paused, "number": 2}], "metric": "accuracy"}
    for winner, words in (("trial-000", "0 failed, 2 had time for a share"), (None, "0 failed. The search goes on")):
        section = search.section(replace(read(run), search={**trials, "winner": winner}))
        assert section is not None
        assert words in section.body


def test_confused_pairs_come_most_frequent_first() -> None:
    found = confusion.pairs([[8, 2, 0], [5, 5, 0], [0, 2, 2]], ["a", "b", "c"])
    assert [(pair.true, pair.answer, pair.count) for pair in found] == [("b", "a", 5), ("c", "b", 2), ("a", "b", 2)]
    assert found[0].figure.value == 0.5
    assert found[0].figure.low == pytest.approx(0.2366, abs=1e-4)  # Wilson, 5 of 10


@pytest.mark.parametrize(
    ("classes", "table", "picture"), [(2, True, False), (20, True, False), (100, False, True), (101, False, False)]
)
def test_the_matrix_is_a_table_a_picture_or_a_list(run: RunDirectory, classes: int, table: bool, picture: bool) -> None:
    result = Result("evaluate", "best", "test", 1, {}, {"labels": [f"class {i}" for i in range(classes)]})
    section = confusion.section(matrix(classes), result, read(run))
    assert section is not None
    assert ('class="confusion' in section.body) == table
    assert ("heat" in section.body) == picture
    assert ("Confused most often" in section.body) == (classes > 2)
    assert len(section.body) < 100_000


@pytest.mark.parametrize(
    ("count", "confidence", "kind"),
    [
        (100, 0.95, "over-confident"),
        (100, 0.80, "believable"),
        (100, 0.60, "under-confident"),
        (10, 0.80, "undecided"),
        (10, 0.99, "over-confident"),
    ],
)
def test_confidence_is_judged_by_the_interval_of_what_was_right(
    run: RunDirectory, count: int, confidence: float, kind: str
) -> None:
    # Wilson of 80 in 100 is 71.1 to 86.7%, of 8 in 10 49.0 to 94.3%.
    bar = {"count": count, "confidence": confidence, "accuracy": 0.8, "accuracy_low": 0.711, "accuracy_high": 0.867}
    main = read(run).main
    assert main is not None
    judgement = calibration.judge(replace(main, details={"reliability": [bar, {"count": 0}]}))
    assert judgement is not None
    assert judgement.kind == kind


def bars(*told: tuple[float, float, float, float, int]) -> dict:
    names = ("confidence", "accuracy", "accuracy_low", "accuracy_high", "count")
    return {"reliability": [dict(zip(names, each, strict=True)) for each in told]}


def test_the_worst_group_speaks_and_not_the_mean(run: RunDirectory) -> None:
    """77% claimed and 51% right (40 to 66) beside a group that errs the other way: on average both agree."""
    main = read(run).main
    assert main is not None
    details = bars((0.77, 0.51, 0.40, 0.66, 60), (0.55, 0.81, 0.70, 0.89, 60), (0.95, 0.96, 0.91, 0.99, 100))
    judgement = calibration.judge(replace(main, details=details))
    assert judgement is not None
    assert judgement.kind == "uneven"
    assert judgement.sentence.endswith(
        "But where it claimed 77%, it was right on 51% (40 to 66%, n = 60), the farthest off of 2 of the 3 groups "
        "whose interval does not hold the claim."
    )
    assert "n = 220" in judgement.sentence


def test_what_hardly_differs_is_not_called_wrong(run: RunDirectory) -> None:
    """42.5% claimed and 43.5% right, of so many rows that the interval (43.0 to 44.0) does not hold the claim."""
    main = read(run).main
    assert main is not None
    judgement = calibration.judge(replace(main, details=bars((0.425, 0.435, 0.430, 0.440, 40_000))))
    assert judgement is not None
    assert judgement.kind == "believable"


def test_a_line_of_one_point_is_a_dot() -> None:
    x, y = chart.axis_x("passes", 0.0, 2.0), chart.axis_y("Loss", 0.0, 1.0)
    drawn = chart.lines(x, y, [chart.Line("training", [(1.0, 0.5)], "first")], "one")
    assert drawn.count("<circle") == 1 and f'cx="{x.place(1.0)}" cy="{y.place(0.5)}"' in drawn
    assert "<circle" not in chart.lines(x, y, [chart.Line("training", [(0.0, 1.0), (1.0, 0.5)], "first")], "two")


def test_marks_stand_inside_their_chart() -> None:
    x, y = chart.axis_x("passes", 0.0, 2.0), chart.axis_y("loss", 0.0, 1.0)
    drawn = chart.lines(x, y, [], "nothing", [chart.Mark(0.0, "A"), chart.Mark(2.0, "B")])
    signs = re.findall(r'class="sign" x="([\d.]+)" y="[\d.]+" text-anchor="(\w+)"', drawn)
    assert [(float(at), anchor) for at, anchor in signs] == [(x.start + 4, "start"), (x.stop - 4, "end")]


def test_a_decision_behind_the_last_logged_step_widens_the_chart(run: RunDirectory) -> None:
    record = read(run)
    decision = {"event": "decision", "step": 18, "pass": 3, "at": 3.6, "text": "time limit: ended"}
    section = learning.section(replace(record, log=[*record.log, decision]))
    assert section is not None
    marks = [float(at) for at in re.findall(r'class="mark" x1="([\d.]+)"', section.body)]
    assert marks
    assert max(marks) <= chart.WIDTH - chart.RIGHT
    assert "after 3.6 passes, step 18: time limit: ended" in section.body


def test_training_took_as_long_as_the_console_said(run: RunDirectory) -> None:
    """The last validation and the last checkpoint come after the last logged line: the state knows them."""
    record = replace(read(run), plan={"elapsed": 400.0, "finished": True})
    assert record.elapsed == 400.0  # the log ends at 9.0
    assert "6 min 40 s with validation and saving" in learning._facts(record)
    assert replace(record, plan={}).elapsed == 9.0


def test_a_training_that_ended_within_a_hundredth_of_a_pass_is_drawn_over_its_steps() -> None:
    """Under a time limit one step may be all; of 800 a pass it stands in the log as pass 0.0."""
    over = learning.progress([{"step": 1}], [{"step": 1, "pass": 0.0}])
    assert (over.title, over.place({"step": 1})) == ("steps", 1.0)


def test_ticks_stand_at_round_numbers() -> None:
    assert [text for _, text in chart.axis_y("", 0.42, 0.72, share=True).ticks] == [
        "45%",
        "50%",
        "55%",
        "60%",
        "65%",
        "70%",
    ]
    assert [text for _, text in chart.axis_x("", 0, 30).ticks] == ["0", "5", "10", "15", "20", "25", "30"]
    assert chart.axis_x("", 3, 3).ticks  # a range of nothing is no division by it


def test_a_long_line_is_thinned_and_keeps_its_mean() -> None:
    points = [(float(i), float(i % 2)) for i in range(3000)]
    thinned = chart.thin(points)
    assert len(thinned) == chart.MOST_POINTS
    assert all(value == 0.5 for _, value in thinned)


def test_names_keep_to_one_line_and_to_their_own_direction() -> None:
    assert wording.label("one\ntwo\x00\u202eevil") == "one⏎twoevil"
    assert wording.quoted("שש") == "\u2068“שש”\u2069"
    assert len(wording.label("x" * 500)) == 60


def test_figures_read_as_people_read_them() -> None:
    assert wording.measured(Figure("recall[cat]", 0.49, 0.446, 0.534, 500, known=SHARE)) == "49.0% (44.6 to 53.4%)"
    assert wording.measured(Figure("log_loss", 0.6659, 0.6585, 0.6741, 500)) == "0.666 (0.658 to 0.674)"
    assert wording.measured(Figure("f1_macro", None, None, None, 0, why="no rows")) == "–"


def test_under_a_time_limit_the_same_seed_is_not_the_same_run(run: RunDirectory) -> None:
    record = read(run)
    assert "gives the same weights" in reproduce.section(record).body
    limited = replace(record, recipe={**record.recipe, "time_limit": 60.0})
    assert "hang on how fast the machine is" in " ".join(reproduce.section(limited).body.split())


def test_what_the_machine_decided_stands_in_the_command(run: RunDirectory) -> None:
    record = read(run)
    given = reproduce.command(record) or ""

    def added(command: str = given, **recipe: object) -> list[str]:
        about = {**record.about, "command": shlex.split(command)}
        changed = replace(record, about=about, recipe={**record.recipe, **recipe})
        return shlex.split(reproduce.command(changed) or "")[len(shlex.split(command)) :]

    fallback, published = {"use": "random", "because": "no network"}, {"use": "pretrained", "source": ""}
    assert added() == []
    assert added(threads=2) == ["--threads", "2"]
    assert added(threads="auto") == []
    assert added(init=fallback, threads=1) == ["--init", "random", "--threads", "1"]
    assert added(init={"use": "random"}) == []  # nothing else could have been chosen
    assert added(init=published) == ["--init", "pretrained"]
    assert added(init=published, model={"use": "hf", "name": "a/b"}) == ["--model", "hf:a/b", "--init", "pretrained"]
    for command in ("--init random --threads 1", "--init=random --threads=1", "-o init=random -o threads=1"):
        assert added(f"{given} {command}", init=fallback, threads=1) == []
    assert added("pervade tune photos --trials 3", init=fallback, threads=1) == []
    again = replace(record, about={**record.about, "command": ["pervade", "train", "p", "--recipe", "gone.yaml"]})
    assert shlex.split(reproduce.command(again) or "") == ["pervade", "train", "p", "--recipe", str(run.recipe)]
