"""Everything the report knows: what lies in a run directory, read once, without training, predicting or decoding.

A file that is not there yet leaves its part empty, and one that is damaged is named in `damaged`, because a report on
a run that went wrong is worth more than none. Nothing is computed here that is not written there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import TemplateError

from pervade.core import contents, files, plain_yaml
from pervade.core.contracts.promises import SPLIT as PROMISED
from pervade.core.errors import CheckpointError
from pervade.core.run import RunDirectory
from pervade.core.words import NUMBER, FigureWords, Words, as_json, of_figure, titled
from pervade.engine import origin, promises, wording
from pervade.metrics import baseline
from pervade.metrics.method import UNKNOWN, Method

T = TypeVar("T")

SPLITS = ("train", "validation", PROMISED, "test")  # in the order a reader wants them


@dataclass(frozen=True)
class Figure:
    """One measured value with the interval that goes with it; None where it is not defined, and `why` says so."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    how: Method = UNKNOWN
    level: float = 0.95
    why: str = ""
    higher_is_better: bool | None = True  # None: neither
    known: FigureWords | None = None  # what it is called, where somebody said so

    @staticmethod
    def of(name: str, stored: Mapping[str, Any], words: Words | None = None) -> Figure:
        """As results have it; `words` are its run's, for results that hold none of their own."""
        value, low, high = (stored.get(key) for key in ("value", "low", "high"))
        more = {key: stored[key] for key in ("level", "why", "higher_is_better") if key in stored}
        own = of_figure(name, stored["words"]) if "words" in stored else words.figure(name) if words else None
        return Figure(name, value, low, high, int(stored.get("n") or 0), Method.of(stored), known=own, **more)

    @property
    def words(self) -> FigureWords:
        return self.known or titled(NUMBER, self.name)

    @property
    def has_interval(self) -> bool:
        return self.value is not None and self.low is not None and self.high is not None


@dataclass(frozen=True)
class Result:
    """results/<meter>@<checkpoint>.json."""

    meter: str
    checkpoint: str
    split: str
    n: int
    figures: dict[str, Figure]
    details: dict[str, Any]

    @staticmethod
    def of(meter: str, checkpoint: str, stored: Mapping[str, Any], words: Words) -> Result:
        figures = {name: Figure.of(name, entry, words) for name, entry in (stored.get("metrics") or {}).items()}
        split, n = str(stored.get("split", "")), int(stored.get("n") or 0)
        return Result(meter, checkpoint, split, n, figures, stored.get("details") or {})

    @property
    def labels(self) -> list[str]:
        return [str(label) for label in self.details.get("labels") or []]

    @property
    def promises(self) -> list[dict[str, Any]]:
        """What was promised of the answers, and what became of it."""
        return list(self.details.get("promises") or [])

    @property
    def headline(self) -> Figure | None:
        """The figure the verdict is about."""
        name = baseline.headline(self.stored)
        return None if name is None else self.figures[name]

    @property
    def measured(self) -> int:
        """How many rows its headline figure is of, where these are fewer than all: of an agent's episodes those by the
        likeliest action."""
        return min(self.n, self.headline.n) if self.headline is not None else self.n

    @property
    def beats_baseline(self) -> bool | None:
        """None where there is nothing to compare."""
        return baseline.beats_baseline(self.stored)

    @property
    def never_answered(self) -> dict[str, int]:
        """Measured classes that no row was called, with their numbers of rows."""
        return baseline.never_answered(self.stored)

    @property
    def no_better_than(self) -> str:
        """What takes no learning, where even that is not shown to be beaten, though a simple model stands beside; else
        empty."""
        unbeaten = baseline.against_constant(self.stored) in (0, -1)
        return str(self.details["constant"].get("name", "guessing")) if unbeaten else ""

    @property
    def falls_behind_constant(self) -> bool:
        return baseline.against_constant(self.stored) == -1

    @property
    def falls_behind(self) -> bool:
        """Whether it is shown to be worse than its baseline."""
        return baseline.falls_behind(self.stored)

    @property
    def only_by_balance(self) -> bool:
        """Whether balanced accuracy alone shows it to be better than its baseline."""
        return baseline.only_by_balance(self.stored)

    @cached_property
    def stored(self) -> dict[str, Any]:
        more = {name: {"how": e.how.as_json(), "words": as_json(e.words)} for name, e in self.figures.items()}
        told = {name: vars(figure) | more[name] for name, figure in self.figures.items()}
        return {"metrics": told, "details": self.details}

    @property
    def baseline(self) -> dict[str, Figure]:
        return self.beside("baseline")

    def beside(self, detail: str) -> dict[str, Figure]:
        """The figures of what the model is compared with, which are called as its own are."""
        stored = (self.details.get(detail) or {}).get("metrics") or {}
        known = {name: self.figures[name].known if name in self.figures else None for name in stored}
        return {name: replace(Figure.of(name, entry), known=known[name]) for name, entry in stored.items()}

    @property
    def overall(self) -> dict[str, Figure]:
        """The figures over all rows, without those of single classes."""
        return {name: figure for name, figure in self.figures.items() if not name.endswith("]")}

    @property
    def by_class(self) -> dict[str, dict[str, Figure]]:
        """Class to the figures that are its own: `recall[cat]` is by_class["cat"]["recall"]."""
        classes: dict[str, dict[str, Figure]] = {}
        for name, figure in self.figures.items():
            match = re.fullmatch(r"(\w+)\[(.*)\]", name, re.DOTALL)
            if match:
                classes.setdefault(match[2], {})[match[1]] = figure
        return classes


@dataclass(frozen=True)
class Record:
    """One run, as it lies on the disk."""

    run: RunDirectory
    recipe: dict[str, Any]
    about: dict[str, Any]  # environment.json
    data: dict[str, Any]  # data.json
    plan: dict[str, Any]  # what the training loop decided: passes, best_pass, elapsed, finished
    log: list[dict[str, Any]]
    checkpoints: dict[str, dict[str, Any]]  # name to architecture.json
    results: list[Result]
    damaged: list[str] = field(default_factory=list)
    init: dict[str, Any] = field(default_factory=dict)  # init.json: where the first weights came from
    settled: dict[str, dict[str, Any]] = field(default_factory=dict)  # checkpoint to decision.json, without promises
    members: dict[str, Any] = field(default_factory=dict)  # members.json: which runs this one holds, if any
    search: dict[str, Any] = field(default_factory=dict)  # search.json: the trials of a search
    ladder: dict[str, Any] = field(default_factory=dict)  # ladder.json: the rungs that were climbed
    lr_find: dict[str, Any] = field(default_factory=dict)  # lr_find.json: the curve of a range test
    remarks: list[str] = field(default_factory=list)  # remarks.json: what was noticed in the data before training
    account: list[str] = field(default_factory=list)  # and how they were read
    words: Words = field(default_factory=Words)  # words.json: what all of it is called
    # By name, networks that learnt inside this run to serve it: what its task needed before, and what came `then`. None
    # of a run of runs, whose members are models of their own
    inside: dict[str, Record] = field(default_factory=dict)

    @property
    def other_data(self) -> str:
        """What the measured data are called, where they are not the run's own."""
        return self.run.measured

    # the run

    @property
    def name(self) -> str:
        return self.run.path.resolve().name

    @property
    def argument(self) -> str:
        """What to type for RUN: the name where the run lies in the usual folder, else the path."""
        return self.name if self.run.path.resolve().parent.name == "runs" else str(self.run.path)

    @property
    def finished(self) -> bool:
        if self.members:  # a run of runs: it is finished when there is something of all of them
            climbed = [rung.get("state") != "waiting" for rung in self.ladder.get("rungs") or []]
            return bool(self.search.get("winner") or (self.ladder.get("taken") and all(climbed)) or self.together)
        return bool(self.plan.get("finished", "last" in self.checkpoints))

    @property
    def together(self) -> dict[str, Any]:
        """What evaluate@members.json holds: the results of seeds or folds with every member's own; else empty."""
        for meter in ("evaluate", "evaluate-validation"):
            path = self.run.result(meter, "members")
            if path.exists():
                try:
                    return files.read_json(path, "kind", "members", "metrics")
                except CheckpointError:
                    return {}  # named among the damaged already
        return {}

    @cached_property
    def promises_of_members(self) -> dict[str, list[dict[str, Any]]]:
        """Seed or fold to what was promised of its own answers; empty where nothing was."""
        whole = self.together
        promised: dict[str, list[dict[str, Any]]] = {}
        for name, about in (whole.get("members") or {}).items():
            meter = "evaluate" if whole.get("split") == "test" else f"evaluate-{whole.get('split')}"
            path = replace(self.run.member(name), measured=self.run.measured).result(
                meter, str(about.get("checkpoint"))
            )
            with suppress(CheckpointError):  # what is damaged, the member's own report says
                promised[name] = (files.read_json(path).get("details") or {}).get("promises") or []
        return {name: promises for name, promises in promised.items() if promises}

    @property
    def held_out_groups(self) -> dict[str, str]:
        """Member to the group of the data (a speaker) that it was tested on alone; empty where it was not so."""
        groups = () if self.members.get("by") == "column" else self.members.get("groups") or ()
        return dict(zip(self.together.get("members") or {}, groups, strict=False))

    @property
    def done(self) -> float:
        """Passes over the data, judged or not, as far as was logged; 2.4 where a time limit ended the third."""
        return max((entry.get("pass", 0) for entry in self.log), default=0)

    @property
    def passes(self) -> list[dict[str, Any]]:
        """An entry for every pass that was judged; a recipe may judge only some of them (early_stopping.every)."""
        return [entry for entry in self.log if entry.get("event") == "pass"]

    @property
    def chosen(self) -> str | None:
        """Of what the validation split chose the best one; None where there was but one."""
        rungs = [rung for rung in self.ladder.get("rungs") or [] if rung.get("value") is not None]
        trials = self.search.get("trials") or []
        if self.ladder or self.search:
            return "rung" if len(rungs) > 1 else "trial" if len(trials) > 1 else None
        return "pass" if len(self.passes) > 1 else None

    @property
    def chosen_by(self) -> int:
        """How many rows chose it: of the rungs of a ladder the fewest that judged one."""
        judged = [int(rung.get("n") or 0) for rung in self.ladder.get("rungs") or [] if rung.get("value") is not None]
        return min(judged, default=0) or self.split_counts.get("validation", 0)

    @property
    def rungs_left(self) -> list[str]:
        """The rungs of a ladder that are still to be climbed."""
        return [str(rung.get("name")) for rung in self.ladder.get("rungs") or [] if rung.get("state") == "waiting"]

    @property
    def steps(self) -> list[dict[str, Any]]:
        return [entry for entry in self.log if entry.get("event") == "step"]

    @property
    def decisions(self) -> list[dict[str, Any]]:
        return [entry for entry in self.log if entry.get("event") == "decision"]

    @property
    def elapsed(self) -> float | None:
        """Seconds of training over all sittings, validation and saving included, as the console says them."""
        return self.run.elapsed(self.log, self.plan)

    def part(self, name: str) -> dict[str, Any]:
        """One part of the recipe: domain, task, model …"""
        part = self.recipe.get(name)
        return part if isinstance(part, dict) else {}

    @property
    def acts(self) -> bool:
        """Whether what it learns is to act in an environment: rows are episodes then, and training has no data."""
        return bool(self.words.domain.environment)

    def logs(self) -> dict[str, list[dict[str, Any]]]:
        """Of every run inside this one that has logged a step, its step lines; of one that is damaged, none."""
        logs = {}
        for path in sorted((self.run.path / "members").glob("*/log.jsonl"), key=_by_number):
            try:
                lines = RunDirectory(path.parent).read_log()
            except CheckpointError:
                continue
            if steps := [entry for entry in lines if entry.get("event") == "step"]:
                logs[path.parent.name] = steps
        return logs

    # measurements

    @cached_property
    def main(self) -> Result | None:
        """What the verdict speaks of: the test split before validation, the best checkpoint before the last."""
        splits, names = ["test", "validation"], ["best", "last"]

        def preference(result: Result) -> tuple[int, int, str]:
            split = splits.index(result.split) if result.split in splits else len(splits)
            name = names.index(result.checkpoint) if result.checkpoint in names else len(names)
            return split, name, result.checkpoint

        measured = [
            result for result in self.results if result.meter.startswith("evaluate") and result.headline is not None
        ]
        return min(measured, key=preference, default=None)

    # data

    @property
    def columns(self) -> dict[str, list[Any]]:
        return self.data.get("columns") or {}

    @property
    def left_out(self) -> list[dict[str, str]]:
        return self.data.get("left_out") or []

    @property
    def synthetic(self) -> dict[str, dict[str, int]]:
        """Class to how many rows were made for training, which are none of the data's: "real", "asked", "looked_at",
        "kept"."""
        return self.data.get("synthetic") or {}

    @cached_property
    def split_counts(self) -> dict[str, int]:
        counts = Counter(self.columns.get("split") or [])
        return {name: counts[name] for name in (*SPLITS, *sorted(set(counts) - set(SPLITS))) if counts[name]}

    @cached_property
    def class_counts(self) -> dict[str, Counter[str]]:
        """Split to rows of each class, or label where a row may have several; empty where the target is neither."""
        targets, splits = self.columns.get("target") or [], self.columns.get("split") or []
        if not self.words.task.classes:  # what was said
            return {}
        if not targets or not all(isinstance(target, (str, list)) for target in targets):
            return {}
        counts: dict[str, Counter[str]] = {name: Counter() for name in self.split_counts}
        for target, split in zip(targets, splits, strict=True):
            counts[split].update([target] if isinstance(target, str) else map(str, target))
        return counts


def read(run: RunDirectory, rows: bool = True) -> Record:
    """Without `rows` what has an entry for every row or step, data.json and log.jsonl, is left unread. Raises
    CheckpointError where the folder is no run at all: it holds no recipe that can be read."""
    damaged: list[str] = []

    def lenient(read_it: Callable[[], T], empty: T) -> T:
        try:
            return read_it()
        except CheckpointError as error:
            damaged.append(str(error).replace(f"{run.path}/", ""))
            return empty

    def json(path: Path) -> dict[str, Any]:
        return lenient(lambda: files.read_json(path), {}) if path.exists() else {}

    def inside(name: str, file: str) -> dict[str, Any]:
        path = run.checkpoint(name) / file
        return lenient(lambda: files.steady(path.parent, lambda: files.read_json(path) if path.exists() else {}), {})

    words = lenient(lambda: wording.read(run), Words())
    checkpoints = {name: inside(name, "architecture.json") for name in run.checkpoints()}
    results = []
    for meter, checkpoint, path in run.results():
        stored = json(path)
        if stored:
            results.append(Result.of(meter, checkpoint, stored, words))
    settled = {name: inside(name, "decision.json") for name in checkpoints}
    recipe = plain_yaml.read(run.recipe)
    ladder = json(run.path / "ladder.json")
    learnt = run.member(str(ladder["taken"])) if ladder.get("taken") else run  # whose training it was
    damaged += [
        f"recipe.yaml was changed after training had begun: {path} was {was!r} and is {now!r}"
        for path, was, now in origin.differences(json(run.origin).get("recipe", recipe), recipe)
        if path not in origin.FREE
    ]
    members = json(run.members)
    within = {} if members else {path.parent.name: path.parent for path in run.path.glob("members/*/recipe.yaml")}
    inner = {name: partial(_network, RunDirectory(path), rows) for name, path in sorted(within.items())}
    networks = {name: lenient(read_it, None) for name, read_it in inner.items()}
    return Record(
        run,
        recipe=recipe,
        about=json(run.environment),
        data=lenient(run.read_data, {}) if rows and run.data.exists() else {},
        plan=lenient(learnt.plan, {}),
        log=lenient(learnt.read_log, []) if rows else [],
        checkpoints=checkpoints,
        results=results,
        damaged=damaged,
        init=json(learnt.init),
        members=members,
        search=json(run.path / "search.json"),
        ladder=ladder,
        lr_find=json(run.lr_find),
        remarks=list(map(str, json(run.remarks).get("remarks") or [])),
        account=list(map(str, json(run.remarks).get("account") or [])),
        words=words,
        settled={name: promises.without(entry) for name, entry in settled.items()},
        inside={name: own for name, own in networks.items() if own is not None},
    )


def _network(run: RunDirectory, rows: bool) -> Record | None:
    return read(run, rows)


def used(part: Mapping[str, Any]) -> str:
    """The registered name of a part of a recipe; empty where it has none."""
    return str(part.get("use") or "")


def drawing(record: Record, part: str, whole: bool = True) -> AbstractContextManager[None]:
    """To be put around whatever draws a part of the page: what it cannot make anything of is a CheckpointError that
    names the file. A detail, which is not `whole`, is of the main result's file alone."""
    main = record.main
    path = record.run.path / "results" if main is None else record.run.result(main.meter, main.checkpoint)
    where = f"{path}, or another file that {part!r} is drawn from," if whole else f"{path}: {part!r}"
    remedy = f"measure again with `pervade evaluate {record.run.path}`; where that does not help, report it"
    return contents.understood(where, remedy, TemplateError)


def _by_number(path: Path) -> tuple[str, int]:
    """seed-2 before seed-10."""
    name, _, number = path.parent.name.rpartition("-")
    return (name, int(number)) if number.isdecimal() else (path.parent.name, 0)
