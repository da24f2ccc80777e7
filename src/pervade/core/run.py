"""The run directory: where everything that belongs to one run lies. Only names of files are decided here."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pervade.core import files
from pervade.core.errors import CheckpointError, ConfigError, ResourceError, nearest


@dataclass(frozen=True)
class RunDirectory:
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def data(self) -> Path:
        return self.path / "data.json"

    @property
    def remarks(self) -> Path:
        """What was noticed in the data before training; absent where nothing was."""
        return self.path / "remarks.json"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def preprocess(self) -> Path:
        """The domain as fitted when the run began; every checkpoint holds a copy."""
        return self.path / "preprocess.json"

    @property
    def origin(self) -> Path:
        """By what it is trained (engine/origin.py)."""
        return self.path / "origin.json"

    @property
    def init(self) -> Path:
        return self.path / "init.json"

    @property
    def members(self) -> Path:
        """Which runs this one holds (seeds, folds, trials); absent where it is a single one."""
        return self.path / "members.json"

    @property
    def lr_find(self) -> Path:
        return self.path / "lr_find.json"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def model_card(self) -> Path:
        return self.path / "MODEL_CARD.md"

    def checkpoint(self, name: str) -> Path:
        return self.path / "checkpoints" / name

    def checkpoints(self) -> list[str]:
        folder = self.path / "checkpoints"
        if not folder.is_dir():
            return []
        for hidden in folder.glob(".*"):
            if hidden.name.endswith((".new", ".old")):
                files.settle(folder / hidden.name[1:].rpartition(".")[0])
        return sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))

    def predictions(self, checkpoint: str, split: str) -> Path:
        return self.path / "predictions" / f"{checkpoint}@{split}.parquet"

    def result(self, meter: str, checkpoint: str) -> Path:
        return self.path / "results" / f"{meter}@{checkpoint}.json"

    def member(self, name: str) -> RunDirectory:
        return RunDirectory(self.path / "members" / name)

    def require_checkpoint(self, name: str | None) -> str:
        """The checkpoint asked for; without a name "best", else "last". Raises CheckpointError with what there is."""
        there = self.checkpoints()
        if name is None:
            name = next((each for each in ("best", "last") if each in there), None)
            if name is None:
                self._refuse_members()
                raise CheckpointError(
                    f"{self.path} has no checkpoint yet; `pervade resume {self.path}` goes on training"
                )
        if name not in there:
            raise CheckpointError(f"{self.path} has no checkpoint {name!r}; {nearest(name, there)}")
        return name

    def _refuse_members(self) -> None:
        """Raises CheckpointError where this run has no model of its own, but holds runs that have."""
        folder = self.path / "members"
        there = sorted(each.name for each in folder.iterdir()) if self.members.exists() and folder.is_dir() else []
        if there:
            raise CheckpointError(
                f"{self.path} holds {len(there)} runs and no model of its own; name one of them, for example "
                f"{folder / there[0]} (there are {', '.join(there)})"
            )

    def plan(self) -> dict[str, Any]:
        """What the training loop decided: passes, best_pass, elapsed, finished. Empty where nothing was saved."""
        path = self.state / "state.json"
        if not path.exists():
            return {}
        state = files.read_json(path, most=files.ROWS).get("state")
        return dict(state.get("extra") or {}) if isinstance(state, dict) else {}

    def read_log(self) -> list[dict[str, Any]]:
        """Every logged line; a last line that a crash cut off is left out."""
        if not self.log.exists():
            return []
        lines = files.read_text(self.log, files.ROWS).split("\n")
        entries = []
        for number, line in enumerate(lines):
            if not line:
                continue
            try:
                entries.append(files.parse_json(line))
            except ValueError:
                if number != len(lines) - 1:
                    raise CheckpointError(f"{self.log}, line {number + 1} is damaged") from None
        return entries

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process. Raises ResourceError where another one has it, or it cannot be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise ResourceError(
                f"cannot write to {self.path}: {error.strerror or error}; copy the run to where you may write"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ResourceError(f"another process is working on {self.path}; wait for it, or stop it first") from None
        try:
            yield
        finally:
            os.close(descriptor)


def create(runs: Path, name: str | None, wish: str) -> RunDirectory:
    """A new, empty run directory; without a name the first free of wish, wish-2, wish-3 … (what a folder's name and a
    command line can bear of it).

    Raises ConfigError where the name is taken or not a file name, ResourceError where the folder cannot be written.
    """
    if name is not None and (not re.fullmatch(r"[^/\\\0]+", name) or name.startswith(".")):
        raise ConfigError(f"--name {name!r} cannot be a folder's name; leave out slashes and a dot in front")
    wish = wish.encode("utf-8", "replace")[:100].decode("utf-8", "ignore").lstrip(".- ") or "run"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            path = runs / (name or (wish if number == 1 else f"{wish}-{number}"))
            try:
                path.mkdir()
                break
            except FileExistsError:
                if name is not None:
                    raise ConfigError(
                        f"{path} is there already; choose another --name, or go on with `pervade resume {path}`"
                    ) from None
                number += 1
    except OSError as error:
        raise ResourceError(
            f"cannot write to {runs}: {error.strerror or error}; choose another folder with --runs"
        ) from error
    return RunDirectory(path)


def find(run: str | Path, runs: Path) -> RunDirectory:
    """The run that RUN on the command line means: a path, or a name inside `runs`.

    Raises CheckpointError with the nearest name where there is none.
    """
    for path in (Path(run), runs / run):
        if os.path.isfile(path / "recipe.yaml"):  # noqa: PTH113  (Path.is_file raises at names that are too long)
            return RunDirectory(path)
    if os.path.isdir(run) or os.path.isdir(runs / run):  # noqa: PTH112
        raise CheckpointError(f"{run} is a folder but not a run: it holds no recipe.yaml; `pervade train` makes runs")
    there = [each.name for each in runs.iterdir() if (each / "recipe.yaml").is_file()] if runs.is_dir() else []
    raise CheckpointError(
        f"there is no run {str(run)!r}, neither as a path nor in {runs}/ (--runs names another); "
        f"{nearest(str(run), there)}"
    )
