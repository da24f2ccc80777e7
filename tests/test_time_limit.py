"""--time-limit: the plan by itself with a clock that is told, and whole runs."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from torch.nn import Module

import pervade
from pervade.core import files
from pervade.core.types import Rows
from pervade.domains.generated_pictures import GeneratedPictures
from pervade.domains.image import Image
from pervade.engine.predictor import Predictor
from pervade.recipes import generation
from pervade.run import time_limit
from pervade.run.pacing import Pace, process_start
from pervade.run.stopping import Stopped
from pervade.run.time_limit import FEWEST_JUDGED, TimeLimit
from pervade.run.training import Options
from pervade.train.schedule.one_cycle import OneCycle
from tests.painter import Painter, Painting
from tests.small_run import recipe, same, slow_steps, stop_at, weights
from tests.toys.base import toy

__all__ = ["slow_steps", "stop_at"]


def simulate(pace: Pace, step_time, judge: float, start: float = 0.0) -> tuple[int, float, list[int]]:
    """Trains by the plan on a clock of its own; returns steps, the time at the end, and every plan."""
    now, step, total, plans = start, 0, pace.asked, []
    while step < total:
        now += step_time(now)
        step += 1
        pace.note_step(step, now)
        new = pace.plan(step, now, total)
        if new is not None:
            total = new
            plans.append(new)
        if step % pace.per_pass == 0 and step < total:
            now += judge
            pace.note_pause(now)
    return step, now + pace.judging + pace.ending, plans


def noisy(now: float) -> float:
    """A machine that runs at half its speed for a third of the time."""
    return 0.1 * (2.0 if int(now / 7) % 3 == 0 else 1.0)


@pytest.mark.parametrize(("limit", "start"), [(20.0, 0.0), (60.0, 9.0), (600.0, 30.0)])
@pytest.mark.parametrize("step_time", [lambda now: 0.1, lambda now: 0.02, lambda now: 0.1 + 0.0003 * now, noisy])
def test_the_plan_keeps_the_limit(limit: float, start: float, step_time) -> None:
    pace = Pace(limit, asked=10**6, per_pass=27, judging=1.0, ending=4.0)
    _, end, _ = simulate(pace, step_time, judge=1.0, start=start)
    assert 0.93 * limit <= end <= 1.03 * limit


def test_a_limit_that_does_not_bind_changes_nothing() -> None:
    pace = Pace(1000.0, asked=100, per_pass=10, judging=1.0, ending=4.0)
    steps, _, plans = simulate(pace, lambda now: 0.1, judge=1.0)
    assert steps == 100
    assert plans == []


def test_a_limit_shorter_than_a_step() -> None:
    steps, _, plans = simulate(Pace(0.01, asked=100, per_pass=10, judging=1.0, ending=4.0), lambda now: 0.1, judge=1.0)
    assert (steps, plans) == (1, [1])


def test_the_plan_is_made_early() -> None:
    """After ten of hundreds of steps the end is known to a tenth, so that the schedule rises and falls once."""
    pace = Pace(60.0, asked=10**6, per_pass=27, judging=1.0, ending=4.0)
    steps, _, plans = simulate(pace, lambda now: 0.1, judge=1.0)
    assert all(abs(each - steps) < 0.1 * steps for each in plans)


def test_process_start_lies_in_the_past() -> None:
    """By as much as this process is old, however long the tests before took."""
    asked = "import time; from pervade.run.pacing import process_start; print(time.monotonic() - process_start())"
    started = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert 0 < float(started.stdout) < 60
    assert time.monotonic() - process_start() > 0


def entries(run, event: str) -> list[dict]:
    return [each for each in run.directory.read_log() if each["event"] == event]


@pytest.fixture
def warm(shapes: Path, tmp_path: Path) -> Path:
    """The data, once through everything: a first run imports and caches."""
    run = pervade.fit(shapes, recipe=recipe(epochs=1), name="warm", runs=tmp_path, options=Options())
    run.evaluate()
    run.report()
    return shapes


@pytest.mark.usefixtures("slow_steps")
def test_a_run_keeps_its_limit_and_comes_down(warm: Path, tmp_path: Path) -> None:
    limit = 4.0
    start = time.monotonic()
    asked = recipe(epochs=100_000, time_limit=limit, schedule=OneCycle())
    run = pervade.fit(warm, recipe=asked, name="a", runs=tmp_path, options=Options())
    run.evaluate()
    run.report()
    # The reserve for leaving a process is not used here, and what runs beside the tests takes its share.
    assert 0.5 * limit < time.monotonic() - start < 1.3 * limit
    assert entries(run, "plan")
    ended = entries(run, "decision")[-1]
    assert ended["stop"]
    rates = [each["lr"] for each in entries(run, "step")]
    assert rates[-1] < 0.05 * max(rates)
    report = (run.path / "report.html").read_text()
    assert "A time limit cut training short" in report


@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_prices_are_found_without_the_test_split(
    shapes: Path, tmp_path: Path, validation: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are there before the first step all the same, for as many rows as the test split has."""
    seen: set[int] = set()
    transform = Image.transform
    monkeypatch.setattr(Image, "transform", lambda self, row, rng: seen.add(row["row"]) or transform(self, row, rng))
    priced = []
    rehearse = TimeLimit.rehearse

    def noted(self: TimeLimit, network: Module) -> None:
        rehearse(self, network)
        priced.append((self.final_row_time, self.figures, len(self.final)))

    monkeypatch.setattr(TimeLimit, "rehearse", noted)
    asked = recipe(epochs=1, time_limit=60.0, validation=validation)
    run = pervade.fit(shapes, recipe=asked, name="a", runs=tmp_path, options=Options())
    splits = files.read_json(run.directory.data)["columns"]["split"]
    test = {row for row, split in enumerate(splits) if split == "test"}
    assert test
    assert seen
    assert not seen & test
    ((row_time, figures, rows),) = priced
    assert row_time > 0
    assert figures > 0
    assert rows == len(test)
    run.evaluate()
    assert test <= seen


def test_what_stands_beside_the_figures_is_priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The linear model that is trained after a run on texts; and nothing of the price is noticed by the training."""
    from pervade.tasks.classify import Classify
    from tests import texts

    table = texts.write(tmp_path / "reviews.tsv", texts.reviews(120))
    plain, seen, late = Classify.plain, [], []

    def slow(self, *arguments):
        late.append(100.0)
        return plain(self, *arguments)

    whole = TimeLimit.rehearse

    def rehearse(self, network: Module) -> None:
        whole(self, network)
        seen.append(self.pace.ending)

    runs = [pervade.fit(table, recipe=texts.recipe(epochs=1), name="a", runs=tmp_path, options=Options())]
    monkeypatch.setattr(TimeLimit, "rehearse", rehearse)
    limited = texts.recipe(epochs=1, time_limit=1000.0)
    runs.append(pervade.fit(table, recipe=limited, name="b", runs=tmp_path, options=Options()))
    # A clock that the linear model puts on by far more than a busy machine loses.
    monkeypatch.setattr(Classify, "plain", slow)
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(late))
    monkeypatch.setattr(time_limit, "time", clock)
    pervade.fit(table, recipe=limited, name="c", runs=tmp_path, options=Options())
    assert seen[1] > seen[0] + 50
    assert same(weights(runs[0].directory), weights(runs[1].directory))


def test_shorter_than_a_pass_there_is_one_evaluation(shapes: Path, tmp_path: Path) -> None:
    run = pervade.fit(shapes, recipe=recipe(time_limit=0.001), name="a", runs=tmp_path, options=Options())
    assert run.directory.checkpoints() == ["best", "last"]
    assert [each["step"] for each in entries(run, "pass")] == [1]
    assert run.evaluate()["n"] > 0
    state = files.read_json(run.directory.state / "state.json")["state"]
    assert state["extra"]["finished"]


@pytest.mark.usefixtures("slow_steps")
def test_what_was_decided_before_a_kill_is_repeated(shapes: Path, tmp_path: Path) -> None:
    """Everything after the last saved state is done again as it was: the same plans at the same steps."""
    asked = recipe(epochs=100_000, time_limit=2.0)
    # Saved once, after the first step, and never again.
    whole = pervade.fit(shapes, recipe=asked, name="a", runs=tmp_path, options=Options(save_every=1e9))
    log, final = whole.directory.read_log(), weights(whole.directory)
    import shutil

    shutil.rmtree(whole.directory.state)
    shutil.rmtree(whole.directory.path / "checkpoints")
    again = pervade.resume(whole.path, options=Options(save_every=1e9))

    def decided(entries: list[dict]) -> list[tuple]:
        return [(each["step"], each.get("total_steps")) for each in entries if each["event"] in ("plan", "pass")]

    assert decided(again.directory.read_log()) == decided(log)
    assert same(weights(again.directory), final)


def test_stopped_time_counts(shapes: Path, tmp_path: Path, stop_at) -> None:
    stop_at(4)
    asked = recipe(epochs=100_000, time_limit=60.0)
    with pytest.raises(Stopped):  # as if the command had taken half a minute already
        options = Options(began=time.monotonic() - 30.0)
        pervade.fit(shapes, recipe=asked, name="a", runs=tmp_path, options=options)
    run = pervade.resume(tmp_path / "a", options=Options(began=time.monotonic() - 31.0))
    assert max(each["step"] for each in run.directory.read_log()) == 5


@pytest.mark.usefixtures("slow_steps")
def test_the_limit_covers_all_members(warm: Path, tmp_path: Path) -> None:
    start = time.monotonic()
    asked = recipe(epochs=100_000, time_limit=6.0)
    run = pervade.fit(warm, recipe=asked, seeds=2, name="a", runs=tmp_path, options=Options())
    assert time.monotonic() - start < 8.0
    limits = [pervade.load(run.path / "members" / f"seed-{i}").recipe().time_limit for i in (0, 1)]
    assert all(0 < each < 4 for each in limits)
    assert replace(run.recipe(), time_limit=None) == replace(asked, time_limit=None, threads=1)


def test_an_evaluation_without_time_measures_a_part_and_says_so(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of 60 rows are in the test split, and predicting takes a twentieth of a second each, for which there
    is half a second; `evaluate` then measures all."""
    asked = recipe(epochs=1, test=0.5)
    run = pervade.fit(shapes, recipe=asked, name="a", runs=tmp_path, options=Options())
    tables = Predictor.tables

    def slow(self, rows):
        time.sleep(0.05 * len(rows))
        yield from tables(self, rows)

    monkeypatch.setattr(Predictor, "tables", slow)
    found = replace(run, until=time.monotonic() + 0.5).evaluate()
    monkeypatch.setattr(Predictor, "tables", tables)
    number = len([each for each in files.read_json(run.directory.data)["columns"]["split"] if each == "test"])
    assert 1 <= found["n"] < number / 2
    assert found["left_out"][0] == f"{number - found['n']} of {number} rows of the test split, drawn by chance"
    assert "left out for the time limit" in files.read_json(run.directory.path / "remarks.json")["remarks"][-1]
    whole = run.evaluate()
    assert whole["n"] == number
    assert "left_out" not in whole


def limit_of(seconds: float, shapes: Path) -> TimeLimit:
    """Ten passes of ten steps; 1,000 rows to validate on at a hundredth of a second each."""
    rows = Rows({"id": [str(i) for i in range(1100)], "split": ["train"] * 100 + ["validation"] * 1000})
    limit = TimeLimit(recipe(epochs=10, time_limit=seconds), recipe().domain, rows, 10, 1.0)
    limit.row_time = limit.final_row_time = 0.01
    limit._price()
    return limit


def test_validation_is_thinned_where_time_is_short(shapes: Path) -> None:
    """A tenth of a pass of 10 x 5 s buys 500 rows; where everything fits, all are judged."""
    assert limit_of(100_000.0, shapes).thinned(5.0) == 1000
    assert limit_of(300.0, shapes).thinned(5.0) == 500
    assert limit_of(300.0, shapes).thinned(0.5) == 1000  # 10 x (5 + 10) s and 75 at the end fit
    assert limit_of(30.0, shapes).thinned(0.5) == FEWEST_JUDGED


@toy("task", "toy-slowly-judged")
class SlowlyJudged(Painting):
    """Looks at the training split the first time, and at all rows together each time."""

    looked: ClassVar[list[str]] = []

    def judged(self, table, rows, train, context):
        time.sleep(0.1 if self.looked else 0.5)
        self.looked.append("train")
        return table


def test_what_judges_all_rows_is_no_price_of_one() -> None:
    SlowlyJudged.looked.clear()
    domain = GeneratedPictures(size=4, channels=1)
    pixels = [np.zeros((4, 4, 1), np.uint8)] * 30
    splits = ["train"] * 10 + ["validation"] * 10 + ["test"] * 10
    rows = Rows({"id": [str(i) for i in range(30)], "split": splits, "pixels": pixels})
    asked = replace(generation.general(Painter(), SlowlyJudged(), 10), time_limit=100.0, workers=0)
    limit = TimeLimit(asked, domain, rows, 10, None)
    limit.rehearse(Painter().build(domain.inputs(), {}))
    assert 0.1 <= limit.together < 0.4
    assert limit.row_time < 0.03
    assert limit.pace.judging == limit.together + 10 * limit.row_time


def test_the_shorter_the_time_the_sooner_passes_are_judged(shapes: Path) -> None:
    """Every 5th of 100 passes, or a tenth of those that fit."""
    limit = limit_of(300.0, shapes)
    limit.pace.every, limit.pace.asked = 5, 100 * limit.pace.per_pass
    assert [limit.judge_sooner(fits) for fits in (100.0, 99.0, 40.0, 0.5)] == [5, 5, 4, 1]


def test_a_limit_that_is_too_short_is_told_with_one_that_would_do(shapes: Path) -> None:
    """Of 100 steps of 5 s in 30 s a quarter of one fits; all of them, with ten validations of 10 s, take 11 minutes."""
    text = limit_of(30.0, shapes).told(5.0, used=10.0)
    assert text is not None
    assert text.startswith("time limit: 30 s is too short for this training here: about 0.025 of 10 passes fit")
    assert text.endswith("--time-limit 12m would do for all of them, or take a smaller --model")
    learnt = limit_of(30.0, shapes).told(5.0, used=10.0, freezable=True)
    assert learnt is not None
    assert learnt.endswith("a smaller --model, or --freeze")
    assert limit_of(300.0, shapes).told(5.0, used=10.0) is None
