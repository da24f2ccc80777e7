"""What the page is told of runs: the list, one run, its log, its predictions, two runs side by side."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from pervade.core.run import RunDirectory
from pervade.report import compare_words, record
from pervade.run import comparing
from tests.ui.conftest import Page


def lines(page: Page) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in page.get("/api/runs")["runs"]}


def test_every_run_is_a_line_with_its_own_words(page: Page) -> None:
    there = lines(page)
    assert list(there) == [
        *("agent", "broken", "pictures", "pictures-2", "seeds", "seeds/pictures", "seeds/pictures-2", "texts")
    ]
    run = record.read(RunDirectory(page.runs / "pictures"))
    assert run.main is not None
    stored = run.main.figures["log_loss"]
    assert there["pictures"]["figures"]["log_loss"] == {
        "title": stored.words.title,
        "value": stored.value,
        "text": stored.words.written(stored.value),
        "interval": stored.words.span(stored.low, stored.high),
        "higher_is_better": False,
        "percent": False,
        "why": "",
    }
    assert there["pictures"]["headline"] == "accuracy"
    assert there["texts"]["headline"] == "mean_absolute_error"
    assert there["agent"]["figures"]["mean_return"]["text"] == "10"
    assert {there[name]["state"] for name in ("agent", "pictures", "texts")} == {"finished"}


def test_a_damaged_run_is_a_line_that_says_so(page: Page, own: Page) -> None:
    broken = lines(page)["broken"]
    assert (broken["state"], broken["figures"]) == ("damaged", {})
    assert broken["damaged"][0].startswith("recipe.yaml cannot be read")
    results = own.runs / "pictures" / "results" / "evaluate@best.json"
    assert not lines(own)["pictures"]["damaged"]
    results.write_text("{")
    there = lines(own)  # what is known of a run is looked at again where a file of it changed
    assert "results/evaluate@best.json is damaged" in there["pictures"]["damaged"][0]
    assert there["pictures"]["figures"] == {}
    assert there["pictures-2"]["figures"]


def test_runs_inside_stand_under_their_run(page: Page) -> None:
    there = lines(page)
    assert [name for name, one in there.items() if one["inside"] == "seeds"] == ["seeds/pictures", "seeds/pictures-2"]
    told = page.get("/api/run", run="seeds")
    assert [one["name"] for one in told["inside"]] == ["seeds/pictures", "seeds/pictures-2"]
    assert page.get("/api/run", run="seeds/pictures")["predictions"] == ["best@test"]


def test_a_log_is_read_on_from_where_it_was(own: Page) -> None:
    log = own.runs / "pictures" / "log.jsonl"
    first = own.get("/api/log", run="pictures")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [one["step"] for one in first["points"]] == [one["step"] for one in entries]
    assert (
        first["figures"]["validation accuracy"] | {"of": "accuracy", "judged": True}
        == first["figures"]["validation accuracy"]
    )
    assert first["anew"] and not first["working"]
    more = {"event": "step", "step": 9, "pass": 4, "loss": 0.25, "total_steps": 40, "elapsed": 1.0}
    with log.open("a") as file:
        file.write(json.dumps(more) + "\n" + '{"event": "step", "st')  # the last line is still being written
    second = own.get("/api/log", run="pictures", place=first["place"])
    assert [(one["step"], one["values"]) for one in second["points"]] == [(9, {"loss": 0.25})]
    assert (second["anew"], second["total_steps"]) == (False, 40)
    # A resumed run writes its log anew.
    text = log.read_text()
    log.unlink()
    log.with_name("kept").touch()  # so that the file is another one
    log.write_text(text.split("\n")[0] + "\n")
    third = own.get("/api/log", run="pictures", place=second["place"])
    assert third["anew"] and len(third["points"]) == 1
    log.write_text("no line of a log\n")
    assert "damaged" in own.get("/api/log", 404, run="pictures")["detail"]


def test_predictions_are_filtered_ordered_and_paged(page: Page) -> None:
    asked = {"run": "pictures-2", "file": "last@test"}
    told = page.get("/api/predictions", **asked)
    rows = told["shown"]
    assert (told["rows"], told["about"]["labels"], told["about"]["wrong"]) == (12, ["dark", "light"], 4)
    assert [one["right"] for one in rows] == [one["said"] == one["target"] for one in rows]
    wrong = page.get("/api/predictions", **asked, only="wrong", order="sure")["shown"]
    assert len(wrong) == 4 and not any(one["right"] for one in wrong)
    assert [one["sure"] for one in wrong] == sorted((one["sure"] for one in wrong), reverse=True)
    least = page.get("/api/predictions", **asked, order="-sure", most=3, begin=3)
    assert [one["sure"] for one in least["shown"]] == sorted(one["sure"] for one in rows)[3:6]
    light = page.get("/api/predictions", **asked, target="light", said="dark")
    assert light["rows"] == 4 and {one["target"] for one in light["shown"]} == {"light"}
    assert "did you mean 'light'" in page.get("/api/predictions", 422, **asked, said="lihgt")["detail"]
    assert (
        "no predictions 'last@tset'" in page.get("/api/predictions", 404, run="pictures-2", file="last@tset")["detail"]
    )


def test_rows_are_shown_as_long_as_their_files_are_what_they_were(own: Page) -> None:
    asked = {"run": "pictures", "file": "best@test"}
    row = own.get("/api/predictions", **asked, most=1)["shown"][0]
    assert row["media"][0]["kind"] == "picture"
    assert row["media"][0]["source"].startswith("data:image/png;base64,")
    text = own.get("/api/predictions", run="texts", file="best@test", order="off")["shown"]
    assert text[0]["media"][0]["kind"] == "text" and text[0]["off"] >= text[1]["off"] and text[0]["right"] is None
    data = own.runs / "pictures" / "data.json"
    secret = own.runs / "secret.png"
    secret.write_bytes(b"something of somebody else's")
    told = json.loads(data.read_text())
    told["columns"]["path"] = [str(secret)] * len(told["columns"]["path"])
    data.write_text(json.dumps(told))
    row = own.get("/api/predictions", **asked, most=1)["shown"][0]
    assert row["media"] == [{"kind": "none", "why": "the file has changed since"}]


def test_rows_of_other_data_are_those(own: Page) -> None:
    run = own.runs / "pictures"
    shutil.copytree(run / "predictions", run / "kept")
    (run / "kept" / "best@test.parquet").rename(run / "predictions" / "best@august-1a2b.parquet")
    data = json.loads((run / "data.json").read_text())
    data["columns"]["path"] = [str(own.runs / "august" / name) for name in data["columns"]["id"]]
    (run / "measured" / "august-1a2b").mkdir(parents=True)
    (run / "measured" / "august-1a2b" / "data.json").write_text(json.dumps(data))
    assert own.get("/api/run", run="pictures")["predictions"] == ["best@test", "best@august-1a2b"]
    shown = own.get("/api/predictions", run="pictures", file="best@august-1a2b", most=1)["shown"][0]
    assert shown["media"] == [{"kind": "none", "why": "the file is not there any more"}]


def test_two_runs_are_compared_as_the_command_does(page: Page) -> None:
    told = page.get("/api/compare", first="pictures", second="pictures-2")
    whole = comparing.compare(["pictures", "pictures-2"], runs=page.runs)
    assert told["headline"] == compare_words.headline(whole)
    assert told["sentences"][0] == compare_words.sentence(whole, 1)
    loss = next(row for row in told["rows"] if row["title"] == "Log-loss")
    assert loss["lower"] and loss["shown"] and not loss["better"]
    shown = page.get("/compare", first="pictures", second="pictures-2")
    assert "sandbox" in shown.headers["content-security-policy"]
    assert "pictures-2" in shown.text
    assert "classify" in page.get("/api/compare", 422, first="pictures", second="texts")["detail"]


@pytest.mark.parametrize("path", ["/report", "/card"])
def test_reports_are_read_and_run_nothing(page: Page, path: str) -> None:
    answer = page.get(path, run="pictures")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "script" not in answer.headers["content-security-policy"]
    assert "pervade report pictures-2" in page.get(path, 404, run="pictures-2")["detail"]
