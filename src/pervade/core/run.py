"""The run directory: where everything that belongs to one run lies. Only names of files are decided here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pervade.core import files
from pervade.core.errors import BusyError, CheckpointError, ConfigError, ResourceError, nearest

SIGNATURE = "signature.json"  # by which what was exported is known, and which says what it is
GRAPH = "model.onnx"  # beside it, of that form
READING = "pervade"  # beside it, a folder: how files are read, and what is decided of answers


@dataclass(frozen=True)
class RunDirectory:
    """`measured` names other data than its own (`pervade evaluate RUN DATA`): then rows, remarks, predictions, results
    and report are of these, and all else is the run's."""

    path: Path
    measured: str = ""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def data(self) -> Path:
        return self._read / "data.json"

    @property
    def remarks(self) -> Path:
        """What was noticed in the data before training; absent where nothing was."""
        return self._read / "remarks.json"

    @property
    def _read(self) -> Path:
        """Where it stands what data were read."""
        return self.path / "measured" / self.measured if self.measured else self.path

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def words(self) -> Path:
        return self.path / "words.json"

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
    def synthetic(self) -> Path:
        """The folder of rows that were made for training (run/synthetic.py), of all its rungs."""
        return self.path / "synthetic"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def report(self) -> Path:
        return self.path / (f"report-{self.measured}.html" if self.measured else "report.html")

    def other_pages(self) -> list[str]:
        """The reports of other data that this run, or one that it holds, was measured on, as paths inside it."""
        pages = [*self.path.glob("report-*.html"), *self.path.glob("members/*/report-*.html")]
        return sorted(page.relative_to(self.path).as_posix() for page in pages)

    @property
    def model_card(self) -> Path:
        return self.path / "MODEL_CARD.md"

    def checkpoint(self, name: str) -> Path:
        return self.path / "checkpoints" / name

    def checkpoints(self) -> list[str]:
        folder = self.path / "checkpoints"
        names: set[str] = set()
        # Looked at twice: a folder that is replaced just now has another name for a moment, which one look may miss.
        for name in [name for _ in range(2) if folder.is_dir() for name in os.listdir(folder)]:  # noqa: PTH208
            if not name.startswith("."):
                names.add(name)
            elif name.endswith((".new", ".old")):
                names.add(name[1:].rpartition(".")[0])
                with suppress(OSError):  # a run that may only be read
                    files.settle(folder / name[1:].rpartition(".")[0])
        return sorted(name for name in names if not (folder / name).is_file())

    def of_checkpoint(self, name: str, file: str) -> dict[str, Any]:
        """A JSON file of a checkpoint that training may be replacing."""
        folder = self.checkpoint(name)
        return files.steady(folder, lambda: files.read_json(folder / file))

    def predictions(self, checkpoint: str, split: str) -> Path:
        return self.path / "predictions" / f"{checkpoint}@{self.measured or split}.parquet"

    def samples(self, checkpoint: str, split: str) -> Path:
        """The folder of what was measured, where that was made."""
        return self.path / "samples" / self.predictions(checkpoint, split).stem

    def result(self, meter: str, checkpoint: str) -> Path:
        return self.path / "results" / f"{meter}@{checkpoint}{f'@{self.measured}' if self.measured else ''}.json"

    def results(self) -> list[tuple[str, str, Path]]:
        """Meter, checkpoint and file of every result there is of this data."""
        files = [(file.stem.split("@", 2), file) for file in sorted((self.path / "results").glob("*@*.json"))]
        return [(parts[0], parts[1], file) for parts, file in files if "".join(parts[2:]) == self.measured]

    def on(self, name: str) -> RunDirectory:
        """This run on other data that it was measured on, by their whole name, or by its beginning where one alone
        begins so. Raises CheckpointError with what there is."""
        folder = self.path / "measured"
        there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        names = [data for data in there if data == name] or [data for data in there if data.startswith(f"{name}-")]
        if len(names) != 1:
            which = f"several data called {name!r}" if names else f"no data called {name!r}"
            raise CheckpointError(
                f"{self.path} was measured on {which}; {nearest(name, names or there)}; `pervade evaluate {self.path} "
                "DATA` measures it"
            )
        return RunDirectory(self.path, names[0])

    def member(self, name: str) -> RunDirectory:
        return RunDirectory(self.path / "members" / name)

    def require_checkpoint(self, name: str | None) -> str:
        """The checkpoint asked for; without a name "best", else "last". Raises CheckpointError with what there is."""
        there = self.checkpoints()
        if name is None:
            name = next((usual for usual in ("best", "last") if usual in there), None)
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
        there = sorted(path.name for path in folder.iterdir()) if self.members.exists() and folder.is_dir() else []
        if there:
            raise CheckpointError(
                f"{self.path} holds {len(there)} runs and no model of its own; name one of them, for example "
                f"{folder / there[0]} (there are {', '.join(there)})"
            )

    def plan(self) -> dict[str, Any]:
        """What the training loop decided: passes, best_pass, elapsed, finished. Empty where nothing was saved."""
        extra = self._state().get("extra")
        return dict(extra) if isinstance(extra, dict) else {}

    def _state(self) -> dict[str, Any]:
        path = self.state / "state.json"
        state = files.steady(self.state, lambda: files.read_json(path, most=files.ROWS) if path.exists() else {}).get(
            "state"
        )
        return state if isinstance(state, dict) else {}

    @property
    def holds_work(self) -> bool:
        """Whether anything was learnt that would be lost with this run: a checkpoint, a state, or a logged step."""
        logged = self.log.exists() and self.log.stat().st_size > 0
        return logged or bool(self.checkpoints() or self._saved_state() or self.members_with_work())

    def members_with_work(self) -> list[RunDirectory]:
        folder = self.path / "members"
        there = [RunDirectory(path) for path in sorted(folder.iterdir())] if folder.is_dir() else []
        return [run for run in there if run.holds_work]

    def _saved_state(self) -> bool:
        names = ("state", ".state.new", ".state.old")
        return any((self.path / name).exists() for name in names)

    def standing(self) -> str:
        """What the run holds and how to go on, for the end of a message about a fault. A disk that is full may be the
        reason, so nothing is written."""
        held = [self._held(name) for name in self.checkpoints()]
        members = self.members_with_work()
        held += [f"what was trained in {', '.join(run.name for run in members)}"] if members else []
        if self._saved_state():
            try:
                learner = self._state().get("learner")
                step = learner.get("step", "?") if isinstance(learner, dict) else "?"
                held.append(f"its state of step {step}, from which it goes on")
            except CheckpointError as error:
                held.append(f"a state that cannot be read ({error})")
        elif not members:
            held.append("no state yet, so training begins again at its first step")
        return f"{self.path} holds {' and '.join(held)}; then: pervade resume {self.path}"

    def _held(self, name: str) -> str:
        try:
            return f"checkpoint {name!r} (pass {self.of_checkpoint(name, 'architecture.json').get('passes', '?')})"
        except CheckpointError as error:
            return f"checkpoint {name!r}, which cannot be read ({error})"

    @staticmethod
    def elapsed(log: Sequence[Mapping[str, Any]], plan: Mapping[str, Any]) -> float | None:
        """Seconds of training over all sittings: what the state says, which is written last, or else the log."""
        known = [float(entry["elapsed"]) for entry in [*log, plan] if isinstance(entry.get("elapsed"), (int, float))]
        return max(known, default=None)

    def used(self) -> float:
        """Seconds that its training took over all sittings, what comes before the first step included, as far as state
        and log know: of a process that was killed, all but the last seconds."""
        plan = self.plan() if self.state.exists() else {}
        return float(plan.get("setup") or 0.0) + float(self.elapsed(self.read_log(), plan) or 0.0)

    def read_data(self, synthetic: bool = False) -> dict[str, Any]:
        """data.json: "columns" are lists of one length, among them "id" and "split", which are texts; those that are
        written once, since all rows have the same, are there as others. Of the data's own rows, unless `synthetic` ones
        are asked for as well, which stand after them. Raises CheckpointError where it is missing or damaged."""
        data = files.read_json(self.data, "columns", most=files.ROWS)
        columns = data["columns"]
        for name, value in data.pop("once", {}).items():
            columns.setdefault(name, [value] * len(columns["id"]))
        if "synthetic" not in columns:
            return data
        made = columns["synthetic"]
        if synthetic:  # wherever the run lies now; a rung's are those of its ladder
            home = next(
                (place for place in (self.path, self.path.parent.parent) if (place / "synthetic").is_dir()), None
            )
            home = RunDirectory(home or self.path).synthetic
            paths = zip(columns["path"], made, strict=True)
            columns["path"] = [str(home / Path(path).name) if own else path for path, own in paths]
            return data
        del columns["synthetic"]
        kept = [place for place, own in enumerate(made) if not own]
        columns = {name: [values[place] for place in kept] for name, values in columns.items()}
        return {**data, "rows": len(kept), "columns": columns}

    def read_log(self) -> list[dict[str, Any]]:
        """Every logged line; a last line that a crash cut off is left out."""
        if not self.log.exists():
            return []
        lines = files.read_text(self.log, files.ROWS).split("\n")
        from pervade.core import contents  # which takes time, and needs nothing of this file

        entries = []
        for number, line in enumerate(lines):
            if not line:
                continue
            try:
                entry = files.parse_json(line)
                if not isinstance(entry, dict) or not {"event", "step", "pass"} <= entry.keys():
                    raise ValueError
            except ValueError:
                if number != len(lines) - 1:
                    raise CheckpointError(f"{self.log}, line {number + 1} is damaged") from None
            else:
                contents.check(self.log, entry)
                entries.append(entry)
        return entries

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process, cleared of what dead ones left half written. Raises ResourceError where
        another one has it, or it cannot be written."""
        with ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                held = stack.enter_context(files.locked(self.path / files.LOCK))
            except OSError as error:
                raise ResourceError(
                    f"cannot write to {self.path}: {error.strerror or error}; copy the run to where you may write"
                ) from None
            if not held:
                raise BusyError(f"another process is working on {self.path}; wait for it, or stop it first")
            files.clean(self.path)
            yield


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


def is_export(given: str | Path) -> bool:
    """Whether it is a folder that `pervade export` wrote, or a file in one."""
    folder = given if os.path.isdir(given) else os.path.dirname(given)  # noqa: PTH112, PTH120
    return os.path.exists(given) and os.path.isfile(os.path.join(folder, SIGNATURE))  # noqa: PTH110, PTH113, PTH118


def find(run: str | Path, runs: Path) -> RunDirectory:
    """The run that RUN on the command line means: a path, or a name inside `runs`.

    Raises CheckpointError with the nearest name where there is none.
    """
    for path in (Path(run), runs / run):
        if os.path.isfile(path / "recipe.yaml"):  # noqa: PTH113  (Path.is_file raises at names that are too long)
            return RunDirectory(path)
    if is_export(run):
        raise CheckpointError(
            f"{run} is what `pervade export` wrote, which `pervade predict` alone takes; give the run that it "
            "was made of"
        )
    if os.path.isdir(run) or os.path.isdir(runs / run):  # noqa: PTH112
        raise CheckpointError(f"{run} is a folder but not a run: it holds no recipe.yaml; `pervade train` makes runs")
    there = [path.name for path in runs.iterdir() if (path / "recipe.yaml").is_file()] if runs.is_dir() else []
    raise CheckpointError(
        f"there is no run {str(run)!r}, neither as a path nor in {runs}/ (--runs names another); "
        f"{nearest(str(run), there)}"
    )
