"""pervade compare: what the terminal says, what is refused in one line, and where the page goes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import pervade as library
from pervade.cli import compare
from pervade.evaluate.compare_seeds import FigureDifference, SeedsComparison
from tests.evaluate.made import make

A_WRONG, B_WRONG = tuple(range(20, 32)), (20, 21, 40)


@pytest.fixture
def made(workplace: Path) -> None:
    make(Path("runs/a"), A_WRONG)
    make(Path("runs/b"), B_WRONG, recipe={"seed": 8, "epochs": 4})


def test_text_and_page(pervade, made: None) -> None:
    outcome = pervade("compare", "a", "b")
    assert outcome.status == 0, outcome
    assert outcome.err == ""
    said = outcome.out
    assert "on 40 pictures of the test split" in said
    assert "b is better by 22.5 points than a (95% interval 7.5 to " in said
    assert "McNemar p = 0.012): right on 92.5% against 70.0%." in said
    row = next(line for line in said.splitlines() if line.startswith("accuracy"))
    assert row.split()[1:4] == ["70.0%", "92.5%", "+22.5"]
    assert "seed" in said
    assert "7  |  8" in said
    assert said.endswith("page    compare.html\n")
    page = Path("compare.html").read_text()
    assert "<h1>“b” is better than “a”.</h1>" in page
    for name in ("compare-2.html", "compare-3.html"):  # what is there is never written over
        assert pervade("compare", "a", "b").out.endswith(f"page    {name}\n")
        assert Path(name).read_text() == page


def test_other_ways_round(pervade, made: None, tmp_path: Path) -> None:
    outcome = pervade("compare", "a", "b", "--reference", 2, "--out", tmp_path / "page.html")
    assert "a is worse by 22.5 points than b (95% interval 7.5 to " in outcome.out
    assert (tmp_path / "page.html").is_file()
    assert not Path("compare.html").exists()
    make(Path("runs/c"), A_WRONG[:-1])
    outcome = pervade("compare", "a", "b", "c")
    assert "McNemar p = 0.023 after Holm for 2 comparisons" in outcome.out
    assert "c is not shown to differ from a: the difference of +2.5 points may be chance (95% interval" in outcome.out


def test_json(pervade, made: None) -> None:
    outcome = pervade("compare", "a", "b", "--json")
    assert json.loads(outcome.out)["runs"][1]["differences"]["accuracy"]["shown"] is True
    assert not Path("compare.html").exists()


def test_rows_that_differ(pervade, made: None) -> None:
    make(Path("runs/c"), test=range(30, 60))
    pervade("compare", "a", "c").refuses(
        "10 only in a (20.png, 21.png, 22.png, …), 10 of which c learnt from",
        "--allow-different-rows compares the 30 that are the same",
    )
    outcome = pervade("compare", "a", "c", "--allow-different-rows")
    assert outcome.status == 0
    assert "on 30 pictures" in outcome.out
    assert "not all rows are the same: 30 in both, 10 only in a" in outcome.err


def test_wrong_use(pervade, made: None) -> None:
    pervade("compare").refuses("Missing argument")
    pervade("compare", "a").refuses("two runs or more")
    pervade("compare", "a", "a").refuses("is named twice")
    pervade("compare", "a", "bb").refuses("there is no run 'bb'")
    pervade("compare", "a", "b", "--reference", 3).refuses("--reference 3", "1 to 2")
    pervade("compare", "a", "b", "--split", "night").refuses("no split 'night'")
    shutil.rmtree("runs/b/predictions")
    pervade("compare", "a", "b").refuses("run `pervade evaluate runs/b --checkpoint best --split test`")
    make(Path("runs/c"), labels=("cat", "fox"))
    pervade("compare", "a", "c").refuses("only a has 'dog', only c has 'fox'")


def test_damaged_files_are_named(pervade, made: None) -> None:
    Path("runs/b/predictions/best@test.parquet").write_bytes(b"no parquet")
    pervade("compare", "a", "b").refuses("best@test.parquet cannot be read", "pervade evaluate")
    Path("runs/b/data.json").write_text("{")
    pervade("compare", "a", "b").refuses("data.json is damaged")


def test_from_python(made: None) -> None:
    found = library.compare([library.load("a"), "b"], out="page.html")
    assert found.differences[0]["accuracy"].shown
    assert Path("page.html").is_file()


def test_runs_that_were_trained(pervade, run: Path, tmp_path: Path) -> None:
    """What evaluate writes is what compare reads; both checkpoints of one run."""
    pervade("evaluate", run, "--checkpoint", "last")
    outcome = pervade("compare", run, run, "--checkpoint", "best", "--checkpoint", "last")
    assert outcome.status == 0, outcome
    assert "pets@last is not shown to differ from pets@best" in outcome.out


def test_ways_of_training_say_which_direction_is_better(capsys: pytest.CaptureFixture[str]) -> None:
    apart = {"value": 1.0, "low": None, "high": None}
    figures = tuple(
        FigureDifference(name, (1.0, 2.0), (2.0, 3.0), (1.5, 2.5), apart, None, higher)
        for name, higher in (("mean_return", True), ("loss", False), ("length", None))
    )
    compare._ways([SeedsComparison("one", "other", "test", figures)], as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[0] for line in lines[4:7]] == ["mean_return", "loss (lower is better)", "length"]
