"""Runs inside a run: the same recipe by several seeds (`--seeds 5`), or by cross-validation (`--folds 5`;
`--folds group` holds out one group, a speaker say, at a time; `--folds column` one fold of those that the data name).

    members.json                       which runs, and the seconds they took so far
    members/<seed-0 | fold-1 …>/       each a complete run
    predictions/members@test.parquet   of folds: every row once, by the model that never saw it
    results/evaluate@members.json      mean, standard deviation and every member's own figure

Seeds share one split of the data, so that what differs between them is the training alone. Folds each keep one part
for their test; a test split that the data has itself is touched by none of them ("aside").
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count
from typing import Any, Literal

import numpy as np
import torch

from pervade.core import files, runtime
from pervade.core.contents import MOST_MEMBERS
from pervade.core.contracts import Recipe, Task
from pervade.core.contracts.abilities import ComparesSeeds, CouplesRows, HasMembers, JudgesAll
from pervade.core.contracts.capabilities import Acting, labels_of
from pervade.core.errors import CheckpointError, ConfigError, DataError
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.data.rows import folds
from pervade.engine import checkpoint, origin, predictions, promises, ranks
from pervade.evaluate.evaluation import NATURE, PLAIN, against, evaluate, media_kept
from pervade.metrics.estimate import estimate
from pervade.metrics.interval import student
from pervade.metrics.method import Method
from pervade.run import opening, overview, workflow
from pervade.run.stopping import stopping_at_once
from pervade.run.time_limit import AFTERWARDS, REPORTING
from pervade.run.training import Options

BY_GROUP, BY_COLUMN = "group", "column"  # --folds group: every group is held out once; column: every fold of the data
NAME = "members"  # stands for a checkpoint's name in the files of all members together
SUMMARY = 1.0  # seconds that a time limit keeps for the figures of all, and the report (and see run/time_limit.py)


@dataclass(frozen=True)
class Plan:
    """members.json. `used` are seconds that finished members took."""

    kind: Literal["seeds", "folds"]
    number: int
    used: float = 0.0
    groups: tuple[str, ...] | None = None  # what is held out one at a time, where folds are groups or the data's own;
    # () before the data are read
    by: str = BY_GROUP  # or column

    def names(self, recipe: Recipe) -> list[str]:
        if self.kind == "seeds":
            return [f"seed-{recipe.seed + i}" for i in range(self.number)]
        if self.groups is not None:
            return _folder_names(self.groups)
        return [f"fold-{i + 1}" for i in range(self.number)]


def _folder_names(groups: Sequence[str]) -> list[str]:
    """Names of folders, none of them twice: letters of every language, digits, and dashes for the rest."""
    names: list[str] = []
    for group in groups:
        name = re.sub(r"[^\w.-]+", "-", group).strip(".-")[:60] or "group"
        further = (f"{name}-{number}" for number in count(2))
        names.append(name if name not in names else next(other for other in further if other not in names))
    return names


def plan(seeds: int | None, folds: int | str | None) -> Plan | None:
    """What was asked for; None where it is a single run. Raises ConfigError."""
    if seeds is None and folds is None:
        return None
    if seeds is not None and folds is not None:
        raise ConfigError("--seeds and --folds exclude each other: a spread over both could not be told apart")
    if folds in (BY_GROUP, BY_COLUMN):
        return Plan("folds", 0, groups=(), by=str(folds))
    if isinstance(folds, str):
        raise ConfigError(
            f"--folds {folds!r} is neither a number nor {BY_GROUP!r} nor {BY_COLUMN!r}; write for example 5"
        )
    kind: Literal["seeds", "folds"] = "seeds" if seeds is not None else "folds"
    number = int(seeds or 0) if seeds is not None else int(folds or 0)
    if number < 2:
        raise ConfigError(f"--{kind} {number} is too few; it takes at least 2 for a spread")
    if number > MOST_MEMBERS:
        raise ConfigError(f"--{kind} {number} is too many; it takes from 2 up to {MOST_MEMBERS:,}")
    return Plan(kind, number)


def check(plan: Plan, recipe: Recipe) -> None:
    """Raises ConfigError where the figures of such members could not be put together."""
    if plan.kind == "folds" and isinstance(recipe.domain, Acting):
        what = plan.by if plan.groups is not None else plan.number
        raise ConfigError(
            f"--folds {what} divides rows of data, and an environment has none; take --seeds {plan.number or 5}"
        )
    if plan.kind == "folds" and isinstance(recipe.task, CouplesRows):
        raise ConfigError(
            f"--folds {plan.number} puts the answers of {plan.number} models together, and the figures of this task "
            f"compare rows with one another, which answers of several models cannot be; take --seeds {plan.number}, or "
            "a single run"
        )
    if plan.kind == "folds" and _judged_apart(recipe.task):
        raise ConfigError(
            f"--folds {plan.number} puts what {plan.number} models make together, and each would be judged by a "
            "network of its own; give one for all with --judge RUN, or take --seeds"
        )


def _judged_apart(task: Task) -> bool:
    """Whether answers are judged by a network that each member trains itself."""
    return isinstance(task, JudgesAll) and not (isinstance(task, HasMembers) and task.taken())


def write_plan(run: RunDirectory, plan: Plan) -> None:
    files.write_json(run.members, asdict(plan))


def read_plan(run: RunDirectory) -> Plan:
    stored = files.read_json(run.members, "kind", "number")
    groups = tuple(stored["groups"]) if stored.get("groups") is not None else None
    return Plan(stored["kind"], stored["number"], stored.get("used", 0.0), groups, stored.get("by", BY_GROUP))


def go(run: RunDirectory, request: workflow.Request, recipe: Recipe | None, options: Options) -> dict[str, Any]:
    """Trains, evaluates and reports every member that is not finished yet; returns the results of all together.

    `recipe` is needed where the stored one has unregistered parts. Raises Stopped after a signal, once saved.
    """
    began = time.monotonic() if options.began is None else options.began
    given, recipe = recipe, checkpoint.settled(run, recipe or checkpoint.read_recipe(run.recipe))
    ranks.start(runtime.pick_device(recipe.device))
    with workflow.alone(run), stopping_at_once(run.path):
        for line in origin.check(run, recipe) if (run.path / "members").exists() else ():
            options.screen.say(line)
        asked = read_plan(run)

        def note_groups(groups: Sequence[str]) -> None:
            write_plan(run, replace(asked, number=len(groups), groups=tuple(groups)))

        workflow.read_data(run, request.source, recipe, options, division(asked, recipe, note_groups))
        rows = workflow.load_rows(run, recipe.domain, options.screen)
        asked = read_plan(run)  # which groups there are is known once the data are read
        if ranks.rank() == 0:
            origin.write(run, recipe)
        names = asked.names(recipe)
        under_way = [run.member(name) for name in names if not _finished(run.member(name))]
        asked = replace(asked, used=asked.used + sum(member.used() for member in under_way))
        for number, name in enumerate(names):
            member = run.member(name)
            if member not in under_way:
                continue
            own_rows = _member_rows(rows, recipe, asked, number)
            told = f": {overview.held_out(own_rows, recipe.domain)}" if asked.kind == "folds" else ""
            options.screen.say(f"{name}, {number + 1} of {len(names)}{told}")
            left = None
            if recipe.time_limit is not None:
                used = asked.used + time.monotonic() - began
                used += SUMMARY + REPORTING * options.loaded
                left = max((recipe.time_limit - used) / (len(names) - number), 0.001)
            seed = recipe.seed + number if asked.kind == "seeds" else recipe.seed
            own = replace(recipe, seed=seed, time_limit=left)
            _one(member, request, own, given is not None, own_rows, options)
            if recipe.threads == "auto":  # what the first member settled on holds for all
                recipe = checkpoint.settled(member, recipe)
                if ranks.rank() == 0:
                    checkpoint.write_recipe(run.recipe, recipe)
                    origin.write(run, recipe)
            if ranks.rank() == 0:
                write_plan(run, replace(asked, used=asked.used + time.monotonic() - began))
        if ranks.rank() == 0:
            overview.keep_common(run, names)
        return summarise(run, recipe, rows, given is not None)


def division(asked: Plan | None, recipe: Recipe, names: Callable[[Sequence[str]], None]) -> opening.Divide | None:
    """How the rows are divided, where they are into folds; `names` is told which, where the data name them."""
    if asked is None or asked.kind != "folds":
        return None
    if asked.groups is None:
        return partial(folds.assign, folds=asked.number, seed=recipe.seed)
    return partial(folds.assign_groups if asked.by == BY_GROUP else folds.assign_given, names=names)


def _member_rows(rows: Rows, recipe: Recipe, asked: Plan, number: int) -> Rows:
    if asked.kind == "seeds":
        return rows
    promised = promises.take_rows(recipe.promises)
    return folds.member(rows, number + 1, recipe.validation, recipe.seed, promised)


def _one(
    member: RunDirectory, request: workflow.Request, own: Recipe, unreadable: bool, rows: Rows, options: Options
) -> None:
    if ranks.rank() == 0 and not member.recipe.exists():
        workflow.write_data(member, request.source, rows)
        workflow.begin(member, own, request)
    ranks.wait()
    options = replace(options, began=time.monotonic(), loaded=0.0)
    workflow.train(member, request, own if unreadable else None, options, rows, final=True)
    measure(member, rows, own if unreadable else None, options)


def measure(member: RunDirectory, rows: Rows, recipe: Recipe | None, options: Options) -> None:
    """Evaluates the member's chosen checkpoint on its test split (or, without one, on validation), and reports."""
    from pervade import report

    loaded = checkpoint.load_checkpoint(member, member.require_checkpoint(None), recipe)
    own = checkpoint.settled(member, recipe or checkpoint.read_recipe(member.recipe))
    device = torch.device(runtime.pick_device(own.device))
    with runtime.threads(own.threads), options.screen.bar("evaluating") as bar:
        until = None
        if own.time_limit is not None and options.began is not None:
            until = options.began + own.time_limit - AFTERWARDS - REPORTING * options.loaded
        evaluate(member, loaded, rows, split=final_split(rows), device=device, progress=bar, until=until)
    if ranks.rank() == 0:
        report.write(member)
    ranks.wait()


def take_over(run: RunDirectory, member: RunDirectory, time_limit: float | None) -> None:
    """The member's chosen checkpoint, its recipe, domain and remarks become the run's."""
    with files.replacing_folder(run.checkpoint("best")) as folder:
        for file in member.checkpoint(member.require_checkpoint(None)).iterdir():
            shutil.copyfile(file, folder / file.name)
    checkpoint.forget_measured(run, "best")
    run.origin.unlink(missing_ok=True)  # from here on the recipe is the member's
    checkpoint.write_recipe(run.recipe, replace(checkpoint.read_recipe(member.recipe), time_limit=time_limit))
    checkpoint.write_domain(run.preprocess, checkpoint.read_domain(member.preprocess))
    overview.keep(run, overview.kept(member))


def final_split(rows: Rows) -> str:
    return "test" if "test" in rows.column("split") else "validation"


def _finished(member: RunDirectory) -> bool:
    # Figures alone do not say it: somebody may have measured it on the way.
    return result_path(member) is not None and bool(member.plan().get("finished"))


def result_path(member: RunDirectory) -> Any:
    """Where the member's last figures are; None while it is not finished."""
    if not member.recipe.exists():
        return None
    for name in ("best", "last"):
        if name in member.checkpoints():
            for meter in ("evaluate", "evaluate-validation"):
                path = member.result(meter, name)
                if path.exists():
                    return path
    return None


def again(run: RunDirectory, recipe: Recipe | None, options: Options) -> dict[str, Any]:
    """Evaluates every member anew. Raises CheckpointError where one is unfinished."""
    given, recipe = recipe, recipe or checkpoint.read_recipe(run.recipe)
    asked = read_plan(run)
    with workflow.alone(run):
        origin.check(run, recipe)
        rows = workflow.load_rows(run, recipe.domain, options.screen)
        for number, name in enumerate(asked.names(recipe)):
            options.screen.say(name)
            measure(run.member(name), _member_rows(rows, recipe, asked, number), given, options)
        return summarise(run, recipe, rows, given is not None)


# all members together


def summarise(run: RunDirectory, recipe: Recipe, rows: Rows, unreadable: bool = False) -> dict[str, Any]:
    """results/evaluate@members.json, from the members' results and predictions alone."""
    summary = _summary(run, recipe, rows, unreadable) if ranks.rank() == 0 else {}
    ranks.wait()
    return summary


def _summary(run: RunDirectory, recipe: Recipe, rows: Rows, unreadable: bool) -> dict[str, Any]:
    asked = read_plan(run)
    names = asked.names(recipe)
    paths = {name: result_path(run.member(name)) for name in names}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise CheckpointError(f"{missing[0]} of {run.path} is not finished; go on with: pervade resume {run.path}")
    keys = ("metrics", "details", "split", "n", "checkpoint", "predictions")
    results = {name: files.read_json(path, *keys) for name, path in paths.items()}
    first = results[names[0]]
    metrics = {name: _together(name, results) for name in first["metrics"] if _common(name, results.values())}
    summary: dict[str, Any] = {
        "meter": "evaluate",
        "checkpoint": NAME,
        "split": first["split"],
        "n": first["n"],
        "precision": "fp32",
        "kind": asked.kind,
        "members": {name: {"checkpoint": result["checkpoint"], "n": result["n"]} for name, result in results.items()},
    }
    if asked.kind == "folds":
        n, pooled, details = _pooled(run, results, recipe if unreadable else None, rows)
        summary |= {"n": n, "predictions": f"predictions/{NAME}@test.parquet"}
        metrics = {name: {**metric, **pooled[name]} for name, metric in metrics.items() if name in pooled}
    else:
        details = _shared_details(run, recipe, results)
    summary |= {"metrics": metrics, "details": details | _promised(results, asked.kind)}
    meter = "evaluate" if summary["split"] == "test" else f"evaluate-{summary['split']}"
    files.write_json(run.result(meter, NAME), summary)
    return summary


def elsewhere(run: RunDirectory, measure: Callable[[RunDirectory], dict[str, Any]]) -> dict[str, Any]:
    """Every member on other data (run/measuring.py), by `measure`, and their mean:
    results/evaluate@members@<data>.json. Raises CheckpointError where a member has no checkpoint yet."""
    asked, recipe = read_plan(run), checkpoint.settled(run, checkpoint.read_recipe(run.recipe))
    names = asked.names(recipe)
    missing = next((name for name in names if not run.member(name).checkpoints()), None)
    if missing is not None or not names:
        raise CheckpointError(f"{run.path} is not finished; go on with: pervade resume {run.path}")
    results = {name: measure(run.member(name)) for name in names}
    first = results[names[0]]
    metrics = {
        name: _together(name, results, asked.kind) for name in first["metrics"] if _common(name, results.values())
    }
    summary = {key: first[key] for key in ("meter", "split", "n", "precision", "data")} | {
        "checkpoint": NAME,
        "kind": asked.kind,
        "members": {name: {"checkpoint": result["checkpoint"], "n": result["n"]} for name, result in results.items()},
        "metrics": metrics,
        "details": _shared_details(run, recipe, results) | _promised(results, asked.kind),
    }
    files.write_json(replace(run, measured=first["data"]["name"]).result("evaluate", NAME), summary)
    return summary


def _shared_details(run: RunDirectory, recipe: Recipe, results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Of members that answered the same rows. What belongs to one member's predictions (its confusions) stands in its
    own results, and so does how far it and its baseline are apart."""
    first = next(iter(results.values()))["details"]
    details = {key: value for key, value in first.items() if key in ("labels", "baseline")}
    if "baseline" in details:
        details["baseline"] = {key: value for key, value in details["baseline"].items() if key != "differences"}
    if isinstance(recipe.task, ComparesSeeds):
        details |= recipe.task.together(*_all_predictions(run, results))
    return details


def _promised(results: dict[str, dict[str, Any]], kind: str) -> dict[str, Any]:
    """What became of each promise, which every member settles by its own rows; empty where there are none."""
    lines: list[Any] = []
    for told in zip(*(result["details"].get(promises.ENTRY, ()) for result in results.values()), strict=False):
        why = [f"{name}: {one['why']}" for name, one in zip(results, told, strict=True) if not one["kept"]]
        sentence = f"settled in {len(told) - len(why)} of {len(told)} {kind}"
        sentence += ", in each by rows of its own" * bool(told[0]["n"])
        if lost := sum(one.get("broken") is True for one in told):
            sentence += f"; NOT kept on the measured rows of {lost}"
        known = {"flag": told[0]["flag"], "n": min(one["n"] for one in told), "curve": {}}
        lines.append({"sentence": sentence, **known, "kept": not why, "why": "; ".join(why)})
    return {promises.ENTRY: lines} if lines else {}


def _all_predictions(
    run: RunDirectory, results: dict[str, dict[str, Any]]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The predictions of every member, and of the simplest model beside it where there is one."""
    own, plain = {}, {}
    for name, result in results.items():
        folder = run.member(name).path
        own[name] = predictions.read_columns(folder / result["predictions"], folder)
        beside = (result["details"].get("baseline") or {}).get("predictions")
        if beside is not None:
            plain[name] = predictions.read_columns(folder / beside, folder)
    return own, plain


def _common(name: str, results: Iterable[dict[str, Any]]) -> bool:
    return all(name in result["metrics"] for result in results)


def _together(name: str, results: dict[str, dict[str, Any]], kind: str = "seeds") -> dict[str, Any]:
    """Mean, standard deviation and the interval of the mean over members of one metric."""
    own = {member: result["metrics"][name] for member, result in results.items()}
    members = {member: {key: figure[key] for key in ("value", "low", "high", "n")} for member, figure in own.items()}
    n = int(next(iter(own.values()))["n"])
    undefined = [member for member, figure in own.items() if figure["value"] is None]
    if undefined:
        nothing = {"value": None, "low": None, "high": None, "mean": None, "deviation": None}
        return {**nothing, "n": n, "method": "none", "level": 0.95, "why": f"not defined in {undefined[0]}"} | {
            "members": members
        }
    values = np.array([figure["value"] for figure in own.values()], dtype=np.float64)
    low, high = student(values)
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    how = Method("trainings", kind[:-1], len(values), alike=deviation < 1e-12)
    own_nature = next(iter(own.values()))
    # The t distribution knows of no bounds: beyond them the true mean cannot lie.
    least, most = own_nature.get("bounds", (None, None))
    low, high = low if least is None else max(low, least), high if most is None else min(high, most)
    # All alike, say at none right: an interval of no width would claim a certainty that nobody has.
    interval: dict[str, Any] = {"low": None if how.alike else low, "high": None if how.alike else high}
    if how.alike:
        interval["why"] = f"every {how.over} gives the same value, so their spread cannot tell how sure it is"
    kept = {key: value for key, value in own_nature.items() if key in NATURE}
    told = {"n": n, "method": str(how), "how": how.as_json(), "level": 0.95}
    return {"value": mean, **interval, **told, **kept} | {
        "mean": mean,
        "deviation": deviation,
        "members": members,
    }


def _trained(run: RunDirectory, members: Iterable[str], rows: Rows) -> Rows:
    """The rows that any of the members trained on, each once."""
    splits = [run.member(name).read_data()["columns"]["split"] for name in members]
    return rows.select([i for i, in_members in enumerate(zip(*splits, strict=True)) if "train" in in_members])


def _pooled(
    run: RunDirectory, results: dict[str, dict[str, Any]], recipe: Recipe | None, rows: Rows
) -> tuple[int, dict[str, dict[str, Any]], dict[str, Any]]:
    """The folds' predictions as one file, and the figures of that file: every row once."""
    loaded = [
        checkpoint.load_checkpoint(run.member(name), result["checkpoint"], recipe) for name, result in results.items()
    ]
    labels = [list(labels_of(model.domain)) for model in loaded]
    for name, learnt in zip(results, labels, strict=True):
        if learnt != labels[0]:
            raise DataError(
                f"the classes that {name} learnt differ from those of {next(iter(results))}, so that their answers "
                "cannot be put together; leave out classes with few rows, or ask for fewer folds"
            )
    tested = rows.where("split", "test")
    parts = [run.member(name).path / result["predictions"] for name, result in results.items()]
    about = {"checkpoint": NAME, "split": "test", "precision": "fp32", "members": list(results)}
    path = predictions.pool(run.predictions(NAME, "test"), parts, tested, about)
    columns = predictions.read_columns(path)
    task, domain = loaded[0].task, loaded[0].domain
    asked = dict(task.metrics(domain)) | promises.metrics(loaded[0].decision, domain)
    common = {name: metric for name, metric in asked.items() if _common(name, results.values())}
    estimates = estimate(common, columns)
    details = media_kept(run, f"{NAME}@test", task.details(columns, _trained(run, results, rows), domain))
    baseline = details.get("baseline")
    if isinstance(baseline, dict) and "name" in baseline:
        details["baseline"] = {**baseline, "name": f"{baseline['name']}, all folds together"}
    plain = [result["details"].get("baseline") or {} for result in results.values()]
    if all("predictions" in beside for beside in plain):
        own = [run.member(name).path / beside["predictions"] for name, beside in zip(results, plain, strict=True)]
        known = {"checkpoint": PLAIN, "split": "test", "members": list(results)}
        place = predictions.pool(run.predictions(PLAIN, "test"), own, tested, known)
        told = f"{plain[0]['name']}, trained anew in each fold"
        constant = {"constant": details["baseline"]} if "baseline" in details else {}
        baseline = against(run, place, told, dict(task.metrics(domain)), columns)
        details = {**details, **constant, "baseline": baseline}
    return len(columns["row"]), {name: estimated.as_dict() for name, estimated in estimates.items()}, details
