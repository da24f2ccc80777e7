"""Starting and stopping: the form's line, and the process that works on a run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pervade.core.errors import ConfigError
from pervade.core.run import RunDirectory
from pervade.ui import trainings, working
from pervade.ui.working import Worker
from tests.data.drawing import class_folders
from tests.ui.conftest import Page

RUNS = Path("/somewhere/runs")


def until(seen: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := seen():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not come")


def test_the_form_is_one_command() -> None:
    given = {"data": "my photos/", "task": "", "model": "resnet18", "time_limit": "10m", "label_column": "a; rm -rf"}
    assert trainings.command(given, RUNS) == [
        *("pervade", "train", "my photos/", "--model", "resnet18", "--time-limit", "10m"),
        *("--label-column", "a; rm -rf", "--runs", "/somewhere/runs"),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("data", value) for value in ("", "--help", "-o", "a\nb", "a\0b", "x" * 5000)),
        *(("model", value) for value in ("--trust-remote-code", "-x", "a b", "a\nb")),
        *(("name", value) for value in ("../up", "a/b", "..", ".x", "-n")),
        *(("epochs", value) for value in ("0", "-1", "1e9", "nan", "١", "9" * 20)),
        *(("lr", value) for value in ("nan", "inf", "-1", "0")),
        *(("settings", value) for value in ("domain.size", "--runs=x", "a=b --runs x", "a=b -o c=d")),
        *(("time_limit", "10 minutes"), ("seed", "-1"), ("task", "Task"), ("label_column", "--x"), ("device", "cpu")),
    ],
)
def test_a_field_that_does_not_fit_is_refused(field: str, value: str) -> None:
    with pytest.raises(ConfigError, match=field):
        trainings.command({"data": "photos", field: value}, RUNS)


def test_every_flag_of_the_form_is_one_of_train() -> None:
    import typer

    from pervade import cli

    cli._register()
    known = {flag for one in typer.main.get_command(cli.app).commands["train"].params for flag in one.opts}
    assert {field.flag for field in trainings.FIELDS} | {"--runs"} <= known


def test_settings_are_words_of_their_own() -> None:
    words = trainings.command({"data": "photos", "settings": "domain.size=128  a=b;c"}, RUNS)
    assert words[3:-2] == ["-o", "domain.size=128", "-o", "a=b;c"]  # no shell reads them


def test_only_the_line_that_was_shown_is_started(page: Page) -> None:
    fields = {"data": "photos"}
    line = page.post("/api/command", {"fields": fields})["command"]
    assert line == f"pervade train photos --runs {page.runs}"
    body = {"fields": fields | {"epochs": "3"}, "command": line}
    assert "is not what would run" in page.post("/api/start", body, 422, **page.admin)["detail"]
    assert page.get("/api/started") == []


HOLDS = """
import signal, sys, time
from filelock import FileLock
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have told to pass it over
with FileLock(sys.argv[2] + "/.lock"):
    print("held", flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("saved", flush=True)
"""


def holding(folder: Path, name: str, verb: str, run: Path) -> subprocess.Popen[str]:
    """A process that has the lock of a run, called as `name verb`."""
    program = folder / name
    program.write_text(HOLDS)
    process = subprocess.Popen([sys.executable, program, verb, run], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_who_works_on_a_run_is_asked_to_save_and_stop(own: Page, tmp_path: Path) -> None:
    run = own.runs / "pictures"
    assert "no process works" in own.post("/api/stop", {"run": "pictures"}, 404, **own.admin)["detail"]
    with holding(tmp_path, "pervade", "train", run) as process:
        known = working.workers()
        assert known[run.resolve()] == Worker(known[run.resolve()].process, "train")
        assert working.worker_of(RunDirectory(own.runs / "pictures-2"), known) is None
        assert own.post("/api/stop", {"run": "pictures"}, 200, **own.admin) == {"process": process.pid}
        assert process.wait(30) == 0
        assert process.stdout is not None and process.stdout.read() == "saved\n"


def test_a_process_that_is_no_training_is_left_alone(own: Page, tmp_path: Path) -> None:
    run = own.runs / "pictures"
    for name, verb in (("pervade", "merge"), ("mine.py", "train")):
        with holding(tmp_path, name, verb, run) as process:
            told = own.post("/api/stop", {"run": "pictures"}, 409, **own.admin)["detail"]
            assert "which is no training" in told
            assert process.poll() is None
            process.send_signal(signal.SIGINT)


def test_of_a_run_of_runs_the_one_at_work_is_stopped(own: Page, tmp_path: Path) -> None:
    with holding(tmp_path, "pervade", "resume", own.runs / "seeds" / "members" / "pictures") as process:
        there = {one["name"]: one["state"] for one in own.get("/api/runs")["runs"]}
        assert (there["seeds"], there["seeds/pictures"], there["seeds/pictures-2"]) == (
            "working",
            "working",
            "finished",
        )
        own.post("/api/stop", {"run": "seeds"}, 200, **own.admin)
        assert process.wait(30) == 0


@pytest.mark.slow  # starts interpreters that load torch and train
def test_a_training_is_started_watched_and_stopped(own: Page, tmp_path: Path) -> None:
    photos = class_folders(tmp_path / "photos", count=20)
    fields = {"data": str(photos), "model": "reference-mlp", "epochs": "5000", "name": "live", "batch_size": "4"}
    line = own.post("/api/command", {"fields": fields})["command"]
    started = own.post("/api/start", {"fields": fields, "command": line}, 200, **own.admin)
    assert started["command"] == line

    def run() -> Any:
        there = {one["name"]: one for one in own.get("/api/runs")["runs"]}
        return there.get("live", {}).get("state") == "working" and there["live"]

    told = until(run)
    assert (told["process"], told["verb"], told["stoppable"]) == (started["process"], "train", True)
    log = until(lambda: (one := own.get("/api/log", run="live"))["points"] and one)
    assert log["working"] and log["total_steps"] == 5000 * 7
    own.post("/api/stop", {"run": "live"}, 200, **own.admin)
    ended = until(lambda: (one := own.get("/api/started")[0])["status"] is not None and one)
    assert ended["status"] == 130
    assert f"go on with: pervade resume {own.runs / 'live'}" in ended["output"]
    assert (own.runs / "live" / "state" / "state.json").exists()
    assert "does not run any more" in own.post("/api/stop", {"number": 1}, 404, **own.admin)["detail"]
    # what cannot be trained ends with a line that says so
    fields = {"data": str(tmp_path / "nothing")}
    line = own.post("/api/command", {"fields": fields})["command"]
    own.post("/api/start", {"fields": fields, "command": line}, 200, **own.admin)
    ended = until(lambda: (one := own.get("/api/started")[0])["status"] is not None and one)
    assert ended["status"] == 2 and "pervade: " in ended["output"]
