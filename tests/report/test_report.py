"""The page as a whole: what it says, and what it does with a run that is hostile, unfinished or damaged."""

from __future__ import annotations

import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pervade.core import files
from pervade.core.errors import CheckpointError
from pervade.core.run import RunDirectory
from pervade.report import write
from pervade.run import overview

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and insists that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.text: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href", "data")]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):  # type: ignore[union-attr]
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


def read(directory: RunDirectory) -> tuple[Reader, str]:
    reader = Reader()
    reader.feed(write(directory).read_text(encoding="utf-8"))
    reader.close()
    assert not reader.open
    return reader, re.sub(r"\s+", " ", "".join(reader.text))


def test_says_how_well_with_n_interval_and_baseline(run: RunDirectory) -> None:
    _, text = read(run)
    # Wilson of 27 in 30, worked in tests/metrics; always the first class is right on 10 of 30.
    assert "On 30 pictures it had never seen, it was right on 90.0% (95% interval 74.4 to 96.5%)." in text
    assert "would be right on 33.3% (19.2 to 51.2%) of the same 30." in text


def test_has_every_section(run: RunDirectory) -> None:
    reader, text = read(run)
    anchors = {link for link in reader.links if link.startswith("#")}
    assert anchors == {
        *("#learning", "#classes", "#confusion", "#reliability", "#baseline", "#mistakes", "#figures", "#data"),
        *("#checkpoints", "#recipe", "#environment", "#reproduce"),
    }
    assert "3 of 30 pictures got a wrong answer" in text
    assert text.count("90.0% sure") >= 3
    assert "stopped early: <no> better" in text
    assert "this is not a picture" in text
    assert "reference-mlp" in text
    assert "'pets & <more>'" in text  # of the command, quoted for a shell


@pytest.mark.parametrize(("values", "drawn"), [([0.0, 0.0], False), ([0.0, 0.25], True)])
def test_what_never_happened_is_not_drawn(values: list[float], drawn: bool, run: RunDirectory) -> None:
    """A part of the loss that is 0 throughout; the loss itself is drawn whatever it is."""
    lines = [
        {"event": "step", "step": step, "pass": 0, "loss": 0.0, "accuracy": 0.0, "too_long": value}
        for step, value in enumerate(values, start=1)
    ]
    files.write_text(run.log, "".join(json.dumps(each) + "\n" for each in lines))
    text = write(run).read_text()
    assert ("Too long" in text) is drawn
    assert "loss in training from 0.000 to 0.000" in text and "accuracy in training from 0.0% to 0.0%" in text


def test_what_was_noticed_in_the_data_is_said(run: RunDirectory) -> None:
    assert "Noticed in the data" not in read(run)[1]
    overview.keep(run, ["3 of 60 pictures are <black>"])
    overview.keep(run, ["3 of 60 pictures are <black>", "2 are white"])  # as when a run goes on
    assert files.read_json(run.remarks)["remarks"] == ["3 of 60 pictures are <black>", "2 are white"]
    assert "Noticed in the data 3 of 60 pictures are <black>2 are white" in read(run)[1]


def test_loads_nothing_and_runs_nothing(run: RunDirectory) -> None:
    reader, _ = read(run)
    assert all(link.startswith(("#", "data:image/")) for link in reader.links)
    assert not reader.handlers
    page = run.report.read_text(encoding="utf-8")
    assert "@import" not in page
    assert "url(" not in page
    assert len(page) < 1_500_000


def test_names_are_text_and_never_markup(run: RunDirectory) -> None:
    reader, text = read(run)
    assert "script" not in reader.tags
    assert "i" not in reader.tags
    assert "<script>alert('猫')</script>" in text
    assert "שלום" in text
    assert "\n| *bold*" not in text
    assert "⏎| *bold*" in text  # a line break inside a name is shown, and breaks no line


def test_the_same_run_gives_the_same_bytes(run: RunDirectory) -> None:
    first = write(run).read_bytes(), run.model_card.read_bytes()
    assert (write(run).read_bytes(), run.model_card.read_bytes()) == first


def test_thumbnails_are_of_the_wrong_rows(run: RunDirectory) -> None:
    page = write(run).read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3
    assert all(html.escape(f"<i>{row}</i>.png") in page for row in (33, 40, 47))


def test_a_picture_that_is_gone_or_changed_is_said_to_be(run: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "pictures" / "33.png").unlink()
    shutil.copy(tmp_path / "pictures" / "1.png", tmp_path / "pictures" / "40.png")
    _, text = read(run)
    assert "the file is not there any more" in text
    assert "the file has changed since" in text


def test_a_run_that_was_not_evaluated_says_so_and_how(run: RunDirectory) -> None:
    shutil.rmtree(run.path / "results")
    _, text = read(run)
    assert "has not been measured yet" in text
    assert "pervade evaluate 'pets & <more>'" in text
    assert "Class by class" not in text


def test_an_unfinished_run_says_so_and_how_to_go_on(run: RunDirectory) -> None:
    shutil.rmtree(run.path / "results")
    shutil.rmtree(run.path / "checkpoints")
    shutil.rmtree(run.state)
    _, text = read(run)
    assert "Training has not finished: 3 of 3 passes" in text
    assert "pervade resume 'pets & <more>'" in text


def test_a_run_that_only_began_has_a_report(run: RunDirectory) -> None:
    for path in run.path.iterdir():
        if path != run.recipe:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _, text = read(run)
    assert "Training has not finished" in text
    assert "Nothing was logged yet" in text


def test_damaged_files_are_named(run: RunDirectory) -> None:
    run.result("evaluate", "best").write_text('{"format": 1, "metr')
    run.data.write_text("[]")
    _, text = read(run)
    assert "Not everything of this run could be read" in text
    assert "results/evaluate@best.json is damaged" in text
    assert "data.json is damaged" in text


def test_damaged_predictions_cost_only_the_mistakes(run: RunDirectory) -> None:
    run.predictions("best", "test").write_bytes(b"no parquet")
    _, text = read(run)
    assert "best@test.parquet cannot be read" in text
    assert "right on 90.0%" in text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a complete run"):
        write(RunDirectory(tmp_path))


def test_a_task_of_another_kind_is_shown_by_what_it_has(run: RunDirectory) -> None:
    shutil.rmtree(run.path / "predictions")
    figure = {"value": 12.5, "low": 11.0, "high": 14.0, "n": 30, "method": "bootstrap", "level": 0.95}
    result = {"meter": "evaluate", "checkpoint": "best", "split": "test", "n": 30, "metrics": {"word_error": figure}}
    files.write_json(run.result("evaluate", "best"), result)
    _, text = read(run)
    assert "its word error was 12.500 (95% interval 11.000 to 14.000)" in text
    assert "Mistakes" not in text


def test_every_checkpoint_and_measurement_stands_in_the_grid(run: RunDirectory) -> None:
    figure = {"value": 0.4, "low": 0.3, "high": 0.5, "n": 30, "method": "Wilson", "level": 0.95}
    files.write_json(run.result("attack", "last"), {"split": "test", "n": 30, "metrics": {"accuracy": figure}})
    _, text = read(run)
    assert "attack evaluate" in text
    assert "40.0% 30.0 to 50.0% n = 30" in text
    assert text.count("not measured") == 2
