"""pervade predict: its three forms of output, its exit status, and that it agrees with evaluate."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from pervade import api
from pervade.cli.predict import _Table
from pervade.engine.predictions import read_columns
from pervade.tasks.classify import Classify
from pervade.tasks.regress import Regress


def test_text(pervade, run: Path, photos: Path) -> None:
    outcome = pervade("predict", run, photos / "cat" / "0.png", "--top", 2)
    assert outcome.status == 0
    name, answer = outcome.out.rstrip("\n").split("\t")
    assert name == str(photos / "cat" / "0.png")
    assert answer.split()[0] in ("cat", "dog")
    assert answer.endswith("%")


def test_json(pervade, run: Path, photos: Path) -> None:
    outcome = pervade("predict", run, photos, "--json", "--top", 9)
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert len(rows) == 16
    for row in rows:
        assert {each["label"] for each in row["top"]} == {"cat", "dog"}
        probabilities = [each["probability"] for each in row["top"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert abs(sum(probabilities) - 1) < 1e-9
    assert outcome.err == ""


def test_csv(pervade, run: Path, photos: Path, tmp_path: Path) -> None:
    odd = tmp_path / 'a,b "c"\nd.png'
    odd.write_bytes((photos / "cat" / "0.png").read_bytes())
    (tmp_path / "bad.png").write_bytes(b"")
    outcome = pervade("predict", run, odd, tmp_path / "bad.png", "--csv", "--top", 1)
    rows = list(csv.DictReader(io.StringIO(outcome.out, newline="")))
    assert [row["input"] for row in rows] == [str(odd), str(tmp_path / "bad.png")]
    assert rows[0]["rank"] == "1"
    assert 0.5 <= float(rows[0]["probability"]) <= 1
    assert rows[1]["error"] == "the file is empty (0 bytes)"


def test_names_neither_steer_the_terminal_nor_forge_an_answer(pervade, run: Path, photos: Path, tmp_path: Path) -> None:
    name = "a\x1b[2J\nother.png\tcat 99%.png"
    (tmp_path / name).write_bytes((photos / "cat" / "0.png").read_bytes())
    (tmp_path / "bad\x1b[2J\u202e.png").write_bytes(b"")
    outcome = pervade("predict", run, tmp_path / name, tmp_path / "bad\x1b[2J\u202e.png")
    (line,) = outcome.out.splitlines()
    assert line.split("\t")[0] == rf"{tmp_path}/a\x1b[2J\nother.png\tcat 99%.png"
    assert "\x1b" not in outcome.err
    assert "\u202e" not in outcome.err
    (line,) = pervade("predict", run, tmp_path / name, "--json").out.splitlines()
    assert "\x1b" not in line
    assert json.loads(line)["input"] == str(tmp_path / name)
    (complaint,) = pervade("train", "no\x1b[2J\nrun").complaints
    assert r"no\x1b[2J\nrun" in complaint


def test_no_cell_of_a_table_is_a_formula() -> None:
    texts = [
        '=HYPERLINK("http://x")',
        "+1+1",
        "-1-cmd",
        "@SUM(A1)",
        "\t=1",
        "＝1",
        "plain",
        "猫\r\nnext",
        "-",
        "a\x1b[2J",
    ]
    numbers = ["-1", "+3.5", "-1e-05", "-inf"]
    table = _Table(Regress().display)
    lines = [line for text in (*texts, *numbers) for line in table.lines({"input": text, "value": -0.5, "error": None})]
    rows = list(csv.reader(io.StringIO("\n".join(lines), newline="")))[1:]
    assert [row[0] for row in rows] == [
        *('\'=HYPERLINK("http://x")', "'+1+1", "'-1-cmd", "'@SUM(A1)", "'\t=1", "'＝1", "plain", "猫\nnext", "'-"),
        *(r"a\x1b[2J", *numbers),
    ]
    assert {row[1] for row in rows} == {"-0.5"}


def test_the_name_of_a_class_stays_in_one_line() -> None:
    lines = _Table(Classify().display).lines(
        {"input": "a.png", "top": [{"label": "two\nlines", "probability": 0.5}], "error": None}
    )
    assert lines == ["input,rank,label,probability,error", r"a.png,1,two\nlines,0.5,"]


def test_wrong_use(pervade, run: Path, photos: Path) -> None:
    pervade("predict", run, photos, "--json", "--csv").refuses("--json and --csv exclude each other; choose one")
    pervade("predict", run, photos, "--top", "0").refuses("Invalid value for '--top'")
    pervade("predict", run).refuses("predict takes files, folders or texts behind the run's name")
    for given, why in ((photos / "gone.png", "it is not there"), ("", "an empty name is no file")):
        outcome = pervade("predict", run, given, "--json")
        assert outcome.status == 2
        (row,) = map(json.loads, outcome.out.splitlines())
        assert row["error"] == f"{why}; give pictures or folders of pictures"


def test_agrees_with_evaluate_row_by_row(session_run: Path) -> None:
    run = api.load(session_run)
    run.evaluate(split="train")
    columns = read_columns(run.directory.predictions("best", "train"))
    stored = json.loads(run.directory.data.read_text())["columns"]
    paths = [stored["path"][row] for row in columns["row"]]
    difference = np.abs(run.predict_proba(paths) - columns["probabilities"]).max()
    assert difference < 1e-6
    # In another order and one at a time: a row does not depend on its neighbours.
    alone = np.concatenate([run.predict_proba([path]) for path in paths[::-1]])[::-1]
    assert np.abs(alone - columns["probabilities"]).max() < 1e-6


def test_reader_goes_away(session_run: Path, photos: Path, tmp_path: Path) -> None:
    """`pervade predict … | head -1` ends silently."""
    command = [sys.executable, "-c", "from pervade.cli import main; main()", "predict", session_run, photos, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ) as process:
        process.stdout.close()
        complaint = process.stderr.read().decode()
    assert complaint == ""
    assert process.returncode != 0


def test_an_unfinished_run_says_so(pervade, run: Path, photos: Path) -> None:
    state = run / "state" / "state.json"
    saved = json.loads(state.read_text())
    saved["state"]["extra"]["finished"] = False
    state.write_text(json.dumps(saved))
    outcome = pervade("predict", run, photos / "cat" / "0.png", "--json")
    assert outcome.status == 0
    assert json.loads(outcome.out)["top"]
    best = json.loads((run / "checkpoints" / "best" / "architecture.json").read_text())["passes"]
    assert f"this run is unfinished: its best so far, after pass {best}; go on with: pervade resume" in outcome.err
    outcome = pervade("predict", run, photos / "cat" / "0.png", "--checkpoint", "last")
    assert "its checkpoint 'last', after pass 2" in outcome.err
    state.write_text("{")  # answers need no state
    outcome = pervade("predict", run, photos / "cat" / "0.png")
    assert outcome.status == 0
    assert "whether this run is finished cannot be told" in outcome.err
