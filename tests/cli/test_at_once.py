"""Several processes at work on one run: readers find something whole, and nobody takes what another one writes."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from pervade import api
from pervade.core.run import RunDirectory
from pervade.engine.checkpoint import load_checkpoint, save_checkpoint
from pervade.report import write

EVALUATE = "import pervade, sys; pervade.load(sys.argv[1]).evaluate(); pervade.load(sys.argv[1]).report()"


def test_evaluations_and_reports_at_once_in_one_process(run: Path) -> None:
    """Threads come closest: they share even the process's number."""
    expected = [(run / name).read_bytes() for name in ("results/evaluate@best.json",)]
    write(RunDirectory(run))
    page = (run / "report.html").read_bytes()
    faults: list[BaseException] = []

    def work() -> None:
        try:
            api.load(run).evaluate(workers=0)
            api.load(run).report()
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not faults
    assert [(run / "results" / "evaluate@best.json").read_bytes()] == expected
    assert (run / "report.html").read_bytes() == page
    assert not [each for each in run.rglob(".*") if each.name != ".lock"]


@pytest.mark.slow  # three interpreters load torch
def test_evaluations_at_once(run: Path) -> None:
    subprocess.run([sys.executable, "-c", EVALUATE, str(run)], check=True, timeout=300)
    expected = (run / "results" / "evaluate@best.json").read_bytes()
    started = [
        subprocess.Popen([sys.executable, "-c", EVALUATE, str(run)], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for each in started:
        _, said = each.communicate(timeout=300)
        assert each.returncode == 0, said
    assert (run / "results" / "evaluate@best.json").read_bytes() == expected


def test_a_checkpoint_is_read_while_training_replaces_it(run: Path) -> None:
    """Each read is of one save: all its weights are that save's."""
    directory = RunDirectory(run)
    loaded = load_checkpoint(directory, "best")
    recipe = api.load(run).recipe()
    child = os.fork()
    if child == 0:
        try:
            for number in range(20):
                with torch.no_grad():
                    for each in loaded.network.parameters():
                        each.fill_(number)
                save_checkpoint(directory, "best", loaded.network, recipe, loaded.domain, {"passes": number})
        finally:
            os._exit(0)
    found = [load_checkpoint(directory, "best")]
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        found.append(load_checkpoint(directory, directory.require_checkpoint(None)))
        write(directory)
    values = [{float(each) for p in one.network.parameters() for each in p.detach().flatten()[:3]} for one in found[1:]]
    assert all(len(each) == 1 for each in values[1:])
    assert "is damaged" not in (run / "report.html").read_text()


def test_figures_of_a_checkpoint_that_was_replaced_are_not_kept(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They would pass for those of the weights that are there now."""
    shutil.rmtree(run / "results")
    loaded = api.load(run).load()
    original = RunDirectory.result

    def meanwhile(self: RunDirectory, meter: str, checkpoint: str) -> Path:
        path = self.checkpoint("best") / "architecture.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "sha256": "other"}))
        return original(self, meter, checkpoint)

    monkeypatch.setattr(RunDirectory, "result", meanwhile)
    result = api.load(run).evaluate(workers=0)
    assert result["metrics"]["accuracy"]["n"] == result["n"] > 0
    assert f"training replaced the checkpoint {loaded.name!r}" in caplog.text
    assert not list(run.glob("results/*.json"))
    assert not list(run.glob("predictions/best@test.parquet"))


def test_weights_may_be_read_by_whom_the_files_beside_them_may(run: Path) -> None:
    paths = [*run.glob("checkpoints/*/*"), *run.glob("state/*")]
    assert {stat.S_IMODE(each.stat().st_mode) for each in paths} == {stat.S_IMODE((run / "data.json").stat().st_mode)}
