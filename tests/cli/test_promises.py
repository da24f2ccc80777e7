"""Promises on the command line: how they are asked for, and what is said of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pervade.cli.options import shares_of
from pervade.core.errors import ConfigError
from tests import texts

SOLVED = (
    "domain=bag",
    "optimizer={use: linear-solver, strengths: [1.0]}",
    "source=whole",
    "schedule=constant",
    "tuning=null",
)
SETTINGS = tuple(f"-o{each}" for each in (*SOLVED, "validation=0.4", "batch_size=8", "threads=1", "workers=0"))
TRAIN = ("--model", "linear", "--task", "text-classification", "--epochs", "1", "--name", "run", *SETTINGS)


@pytest.fixture
def data(workplace: Path) -> Path:
    return texts.write(workplace / "reviews.tsv", texts.reviews(300))


def test_shares_by_class() -> None:
    assert shares_of("--min-recall", ["a=b, c=0.95", "d=0.9"]) == {"a=b, c": 0.95, "d": 0.9}
    assert shares_of("--max-false-alarms", ["0.02"]) == {"": 0.02}
    assert shares_of("--min-recall", None) is None
    for wrong in ("sick", "=0.95", "sick=", "sick=much", "sick=nan", ""):
        with pytest.raises(ConfigError, match=r"is no share; write NAME=0.95, or 0.95 for the positive class of two"):
            shares_of("--min-recall", [wrong])
    with pytest.raises(ConfigError, match="--min-recall is given twice for 'a'"):
        shares_of("--min-recall", ["a=0.95", "a=0.9"])


def test_what_is_promised_is_said_and_shown(pervade, data: Path, workplace: Path) -> None:
    outcome = pervade("train", data, *TRAIN, "--min-recall", "good=0.9", "--max-false-alarms", "0.9")
    assert outcome.status == 0, outcome.err
    assert "promise: --min-recall good=0.9 --max-false-alarms 0.9, settled by 60 rows that chose" in outcome.err
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("promise: ")]
    assert line.startswith("promise: finds 100 of 100 'good' (") and "false alarms in 100 others" in line
    run = workplace / "runs" / "run"
    shown = pervade("predict", run, "so fine", "so dull").out.splitlines()
    assert shown[0].startswith("so fine\tanswer good  good ")
    assert shown[1].startswith("so dull\tanswer bad  bad ")
    as_json = [json.loads(line) for line in pervade("predict", run, "so fine", "--json").out.splitlines()]
    assert as_json[0]["answer"] == "good" and as_json[0]["top"][0]["label"] == "good"
    as_csv = pervade("predict", run, "so fine", "--csv").out.splitlines()
    assert as_csv[0].startswith("input,answer,rank,label,probability,")
    assert as_csv[1].startswith("so fine,good,1,good,")
    assert "promise: finds" in pervade("evaluate", run).out
    assert "false_alarms[good]" in pervade("evaluate", run, "--all").out
    assert pervade("evaluate", run, "--checkpoint", "last").err.count("which is not settled for 'last'") == 1
    decision = run / "checkpoints" / "best" / "decision.json"
    stored = json.loads(decision.read_text())
    stored["promises"][0]["n"] = "many"
    decision.write_text(json.dumps(stored))
    pervade("predict", run, "so fine").refuses("decision.json is damaged (promises.0.n is 'many'")


@pytest.mark.slow  # another training
def test_costs(pervade, data: Path, workplace: Path) -> None:
    (workplace / "costs.csv").write_text("true,bad,good\nbad,0,1\ngood,9,0\n")
    outcome = pervade("train", data, *TRAIN, "--cost", "costs.csv")
    assert outcome.status == 0, outcome.err
    assert "promise: costs " in outcome.out and "a row, where the likeliest answers would cost" in outcome.out
    recipe = (workplace / "runs" / "run" / "recipe.yaml").read_text()
    assert "use: cost" in recipe and "good: 1.0" in recipe
    shutil.rmtree(workplace / "runs")
    (workplace / "costs.csv").write_text("true,bad\nbad,0\n")
    pervade("train", data, *TRAIN, "--cost", "costs.csv").refuses("--cost has no costs of 'good'")
    assert not list((workplace / "runs").iterdir())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--min-recall", "good=1.5"], "--min-recall good=1.5 is no share that rows can show; give one above 0"),
        (["--min-recall", "god=0.9"], "--min-recall god: there is no such class; did you mean 'good'?"),
        (["--min-recall", "good=0.99"], "--min-recall good=0.99 takes 230 rows of 'good' that choose nothing else"),
        (["--coverage", "1"], "--coverage 1.0 is no share that rows can show"),
        (["--coverage-by", "class"], "--coverage-by class says by what --coverage holds; give that, too"),
        (["--min-recall", "good=0.9", "--cost", "costs.csv"], "--min-recall good=0.9 and --cost exclude each other"),
        (["--cost", "nowhere.csv"], "nowhere.csv is missing"),
    ],
)
def test_what_is_refused(flags: list[str], words: str, pervade, data: Path, workplace: Path) -> None:
    (workplace / "costs.csv").write_text("true,bad,good\nbad,0,1\ngood,9,0\n")
    pervade("train", data, *TRAIN, *flags).refuses(words)
    assert not (workplace / "runs").exists() or not list((workplace / "runs").iterdir())


def test_a_dry_run_says_what_cannot_be_promised(pervade, data: Path) -> None:
    pervade("train", data, *TRAIN, "--dry-run", "--min-recall", "good=0.99").refuses("good=0.99 takes 230 rows")
    outcome = pervade("train", data, *TRAIN, "--dry-run", "--min-recall", "good=0.9")
    assert outcome.status == 0
    assert "60 promise" in outcome.err and "promises: settled by 60 of the validation rows" in outcome.err
