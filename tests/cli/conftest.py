"""The command line called in this process (torch loads once), and one small trained run to work on."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pervade import api, cli
from pervade.run.progress import Silent
from pervade.run.training import Options
from tests.cli.small import SETTINGS
from tests.data.drawing import class_folders
from tests.small_run import stop_at as stop_at


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("pervade: ")]

    def refuses(self, *words: str) -> None:
        """Exit status 2, one line of complaint that holds the words, no traceback."""
        assert self.status == 2, self
        assert "Traceback" not in self.err
        assert len(self.complaints) == 1, self.err
        assert self.err.splitlines()[-1] == self.complaints[0]
        for word in words:
            assert word in self.complaints[0]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder and a cache of its own."""
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def pervade(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["pervade", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def session_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, trained and evaluated, that nobody changes."""
    folder = tmp_path_factory.mktemp("session")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERVADE_CACHE", str(folder / "cache"))
        data = class_folders(folder / "photos", count=10)
        run = api.fit(
            data,
            model="reference-cnn",
            name="pets",
            runs=folder / "runs",
            settings=SETTINGS,
            options=Options(Silent()),
            epochs=2,
            workers=0,
        )
        run.evaluate()
        return run.path


@pytest.fixture
def run(session_run: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return shutil.copytree(session_run, tmp_path / "runs" / "pets")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "photos")
