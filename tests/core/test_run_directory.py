"""Finding, naming and holding a run directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pervade.core import run as runs
from pervade.core.errors import CheckpointError, ConfigError, ResourceError
from pervade.core.run import RunDirectory


def made(path: Path) -> RunDirectory:
    path.mkdir(parents=True)
    (path / "recipe.yaml").write_text("format: 1\n")
    return RunDirectory(path)


def test_names_without_a_wish_are_free_ones(tmp_path: Path) -> None:
    names = [runs.create(tmp_path / "runs", None, "pets-resnet").name for _ in range(3)]
    assert names == ["pets-resnet", "pets-resnet-2", "pets-resnet-3"]


@pytest.mark.parametrize(
    ("wish", "name"), [("..-resnet", "resnet"), ("-resnet", "resnet"), ("", "run"), ("é" * 300, "é" * 50)]
)
def test_wish_becomes_a_name_that_can_be_used(wish: str, name: str, tmp_path: Path) -> None:
    assert runs.create(tmp_path, None, wish).name == name


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\\b", "a\0b"])
def test_names_that_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be a folder's name"):
        runs.create(tmp_path, name, "wish")


def test_name_is_taken(tmp_path: Path) -> None:
    runs.create(tmp_path, "one", "wish")
    with pytest.raises(ConfigError, match="is there already; choose another --name, or go on with `pervade resume"):
        runs.create(tmp_path, "one", "wish")


def test_folder_of_runs_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(ResourceError, match="choose another folder with --runs"):
        runs.create(tmp_path / "runs", None, "wish")


def test_find_by_path_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = made(tmp_path / "runs" / "one")
    monkeypatch.chdir(tmp_path)
    for wanted in ("one", "runs/one", str(one.path), "runs/one/"):
        assert runs.find(wanted, Path("runs")).path.resolve() == one.path


def test_find_nothing(tmp_path: Path) -> None:
    made(tmp_path / "runs" / "pets")
    with pytest.raises(CheckpointError, match="did you mean 'pets'"):
        runs.find("pest", tmp_path / "runs")
    with pytest.raises(CheckpointError, match="is a folder but not a run"):
        runs.find(tmp_path, tmp_path / "runs")
    with pytest.raises(CheckpointError, match="there is no run"):
        runs.find("x" * 5000, tmp_path / "runs")
    with pytest.raises(CheckpointError, match=r"there is no run 'one'.*allowed: none"):
        runs.find("one", tmp_path / "nowhere")


def test_lock(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "one")
    with run.lock(), pytest.raises(ResourceError, match="another process is working on"), run.lock():
        raise AssertionError
    with run.lock():
        pass


def test_lock_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write to"), RunDirectory(tmp_path / "file" / "run").lock():
        raise AssertionError


def test_checkpoints(tmp_path: Path) -> None:
    run = made(tmp_path / "one")
    with pytest.raises(CheckpointError, match=r"has no checkpoint yet; `pervade resume .*` goes on training"):
        run.require_checkpoint(None)
    run.checkpoint("last").mkdir(parents=True)
    assert run.require_checkpoint(None) == "last"
    # A crash fell between the two renames that put the new best into its place.
    (run.path / "checkpoints" / ".best.new").mkdir()
    (run.path / "checkpoints" / ".int8.old").mkdir()
    assert run.checkpoints() == ["best", "int8", "last"]
    assert run.require_checkpoint(None) == "best"
    with pytest.raises(CheckpointError, match="no checkpoint 'bets'; did you mean 'best'"):
        run.require_checkpoint("bets")


def test_log_that_a_crash_cut_off(tmp_path: Path) -> None:
    run = made(tmp_path / "one")
    assert run.read_log() == []
    entries = [{"event": "step", "step": number, "pass": 0, "kl": None} for number in (1, 2)]
    first, second = map(json.dumps, entries)
    run.log.write_text(f'{first}\n{second}\n{{"st')
    assert run.read_log() == entries
    run.log.write_text(f'{first}\n{{"st\n{second}\n')
    with pytest.raises(CheckpointError, match="line 2 is damaged"):
        run.read_log()
