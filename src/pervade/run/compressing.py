"""A run's model made smaller and faster: steps (compress/), one after the other, each of which leaves a checkpoint.

    a step, and what of it must learn      -> checkpoints/prune, then checkpoints/prune-int8
    what the validation split settles anew -> decision.json of each
    measured, and timed, beside where it came from -> results/compress@prune.json

A part of the Python face (api.py). The checkpoint that it begins from is never changed; a step that fails, or is
stopped, leaves nothing, and what steps before it made stays. Checkpoints that were to be replaced stay as they were
unless all is made and measured.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, combinations
from typing import Any

import numpy as np
import torch
from torch.nn import Module

from pervade.core import files, memory, registry, runtime, spec
from pervade.core.contracts import Change, Compressed, Compressor, Foreseeing, Recipe, Subject, Task, Wrapping
from pervade.core.contracts.abilities import Acts, CanTeach
from pervade.core.errors import ConfigError, DataError, UnfitError, nearest
from pervade.core.run import RunDirectory
from pervade.core.types import Batch, Rows
from pervade.data.rows.loader import Loader
from pervade.engine import checkpoint as checkpoints
from pervade.engine import predictions, promises
from pervade.engine.checkpoint import Loaded, load_checkpoint, save_checkpoint
from pervade.engine.predictor import Predictor
from pervade.evaluate.compare import Comparison, compare
from pervade.evaluate.evaluation import evaluate, figure_as_json
from pervade.init.pretrained import Pretrained
from pervade.nn.modes import evaluating
from pervade.run import compressed_speeds, promising, settling, workflow, written
from pervade.run.compressed_judge import Judge
from pervade.run.progress import Prefixed, Screen
from pervade.run.replacing import as_before_unless_finished
from pervade.run.training import Options
from pervade.tasks import distil

FROM = "compressed_from"  # of architecture.json: only such a checkpoint may be replaced
CALIBRATION = "ece"  # the figure that says how far probabilities can be believed, where a task has one
BEGUN = "begun"  # the checkpoint from which a training begins
BATCH = 32  # rows of training that a step is shown at once
MADE_BY_TRAINING = ("best", "last", checkpoints.MERGED)
SHORT = 0.5  # of the passes of a training: one of fewer is said to be cut
LEARNING = 0.8  # of the time that is left for a step, that may be spent on learning


def steps_of(names: Sequence[str] | None, student: str | None = None, settings: Sequence[str] = ()) -> list[Compressor]:
    """The steps, in order, with `settings` ("STEP.field=value") and, of the one that has a student, the `student`.
    Raises ConfigError where there is none of a name, or a setting is of no step."""
    there = registry.names("compress")
    if names is None:
        names = ["distil"] if student is not None else ["int8"]
    names = [name.strip() for name in names]
    if not any(names):
        raise ConfigError(f"--steps names no step; allowed: {', '.join(there)}, several by commas")
    unknown = [f"--steps {name!r} is unknown; {nearest(name, there)}" for name in names if name not in there]
    twice = [f"--steps names {name!r} twice; leave one out" for name in set(names) if names.count(name) > 1]
    if unknown or twice:
        raise ConfigError(*unknown, *twice)
    asked = spec.change({name: {"use": name} for name in names}, settings)
    if foreign := [name for name in asked if name not in names]:
        setting = next(setting for setting in settings if setting.strip().startswith(foreign[0]))
        raise ConfigError(f"setting {setting!r} is of no step here ({', '.join(names)}); write STEP.field=value")
    if student is not None:
        taught = [name for name in names if "student" in spec.field_names(registry.find("compress", name)[0])]
        if not taught:
            raise ConfigError(f"--student {student} is for a step that has one: --steps distil")
        asked[taught[0]] = {**asked[taught[0]], "student": student}
    steps = [_step(name, about) for name, about in asked.items()]
    rounded = ""
    for name, step in zip(asked, steps, strict=True):
        if rounded and not step.on_rounded:
            remedy = "take one of the two" if step.rounds else f"put {name} before it"
            raise ConfigError(
                f"--steps {','.join(names)}: {rounded} makes whole numbers, which {name} cannot take; {remedy}"
            )
        rounded = name if step.rounds else rounded
    return steps


def _step(name: str, about: dict[str, Any]) -> Compressor:
    try:
        step: Compressor = spec.decode(about, Compressor)
    except ConfigError as error:
        raise ConfigError(*(f"{name}: {problem}" for problem in error.problems)) from None
    return step


def require_for_agent(task: Task, steps: Sequence[Compressor]) -> None:
    """Raises ConfigError where a step is not for the network of an agent, whose rows are episodes: of what it sees in
    them there are no rows to settle anything on."""
    task = task.task if isinstance(task, Wrapping) else task
    if not isinstance(task, Acts):
        return
    of = f"of an agent by {registry.full_name(task)}"
    refused = [registry.full_name(step) for step in steps if step.by_rows or not isinstance(task, CanTeach)]
    if refused and isinstance(task, CanTeach):
        raise ConfigError(
            f"{', '.join(refused)}: there are no rows {of} to settle it on, only episodes; take --steps distil with a "
            "smaller network: --student perceptron"
        )
    if refused:
        raise ConfigError(f"{', '.join(refused)}: no step makes the network {of} smaller; train a smaller --model")


def called(steps: Sequence[Compressor]) -> str:
    return "-".join(registry.full_name(step) for step in steps)


def names_of(steps: Sequence[Compressor], last: str | None) -> list[str]:
    """Of the checkpoint that each leaves."""
    names = [called(steps[: number + 1]) for number in range(len(steps))]
    return [*names[:-1], last or names[-1]]


def any_of(steps: Sequence[Compressor], last: str | None) -> list[str]:
    """Of the checkpoints that they may leave, where the network has nothing for some of them to do."""
    some = chain.from_iterable(combinations(steps, number) for number in range(1, len(steps) + 1))
    return [*names_of(steps, last), *map(called, some)]


@dataclass
class Work:
    """A checkpoint of a run, `original`, and whatever is made of it. Raises CheckpointError where there is none,
    ConfigError where a part of its recipe came from Python alone, DataError where rows are gone, or none is there to
    learn or to measure by."""

    run: RunDirectory
    original: str
    given: Recipe | None
    screen: Screen
    until: float | None = None  # when it is to be over (time.monotonic)
    to_come: int = 1  # steps, this one among them, that share the time that is left
    recipe: Recipe = field(init=False)
    rows: Rows = field(init=False)

    def __post_init__(self) -> None:
        stored = self.run.checkpoint(self.original) / "recipe.yaml"
        self.recipe = checkpoints.settled(self.run, self.given or checkpoints.read_recipe(stored))
        if not spec.readable(self.recipe):  # what is made is loaded again by its own files, and by other processes
            raise ConfigError(
                f"{self.run.path} was trained with a part from Python that is not registered, and what is made smaller "
                "is built from files alone; register the part, and train anew with its name"
            )
        loaded = load_checkpoint(self.run, self.original, self.given)
        self.rows = workflow.load_rows(self.run, loaded.domain, self.screen).real()
        splits = set(self.rows.column("split"))
        for split, needed in (("test", "measured on"), ("train", "calibrated by")):
            if split not in splits:
                raise DataError(
                    f"{self.run.path} has no {split} split, which what is made smaller is {needed}; it has "
                    f"{', '.join(sorted(splits))}: train anew with one (-o test=0.2)"
                )

    # one step

    def take(self, step: Compressor, begun: str, name: str, steps: Sequence[Compressor]) -> str:
        """Makes the checkpoint `name` of `begun` by the step, the last of `steps`; returns what was done."""
        loaded = load_checkpoint(self.run, begun, self.given)
        recipe = self._recipe_of(begun)
        said = registry.full_name(step)
        self.screen.say(f"{said}: begins")
        with runtime.threads(self.recipe.threads):
            made = step(self._subject(loaded, recipe))
        self.screen.say(f"{said}: {made.summary}")
        network, model, summary = made.network, recipe.model, made.summary
        if made.learns is not None:
            network, passes = self._learnt(name, made, made.learns, recipe, loaded)
            model = made.learns.model
            if passes < SHORT * made.learns.epochs:
                summary += f"; it learnt for {passes:.2g} of {made.learns.epochs:g} passes alone"
                self.screen.say(f"{said}: a short training, of {passes:.2g} of {made.learns.epochs:g} passes")
        recipe = replace(recipe, model=model, changes=made.changes, tuning=None)
        self._save(
            name, network, recipe, loaded, made.changes, {FROM: begun, "compressed_by": spec.encode(list(steps))}
        )
        return summary

    def _recipe_of(self, name: str) -> Recipe:
        if name == self.original:
            return self.recipe
        return checkpoints.settled(self.run, checkpoints.read_recipe(self.run.checkpoint(name) / "recipe.yaml"))

    def require_free(self, name: str) -> None:
        """Raises ConfigError where the name is not for what is made smaller. What is replaced is said."""
        if not re.fullmatch(r"[^/\\\0@]+", name) or name.startswith("."):
            raise ConfigError(f"--name {name!r} cannot be a checkpoint's name; leave out slashes, @ and a dot in front")
        there = self.run.checkpoints()
        foreign = name in there and FROM not in self.run.of_checkpoint(name, "architecture.json")
        if name in (*MADE_BY_TRAINING, self.original) or foreign:
            raise ConfigError(f"--name {name!r} is a checkpoint that is to stay as it is; choose another name")
        if name in there:
            self.screen.say(f"the checkpoint {name!r} was there already; it will be replaced")

    def rename(self, name: str, to: str) -> None:
        files.remove(self.run.checkpoint(to))
        self.run.checkpoint(name).rename(self.run.checkpoint(to))

    def beginning(self) -> Subject:
        """What the first step sees."""
        return self._subject(load_checkpoint(self.run, self.original, self.given), self.recipe)

    def _subject(self, loaded: Loaded, recipe: Recipe) -> Subject:
        place = self.run.checkpoint(loaded.name).absolute()
        judge = Judge(self.run.path, self.rows.where("split", "validation"), loaded)
        return Subject(loaded, recipe, place, lambda: self._batches(loaded), judge, judge.loss, self.screen.say)

    def _batches(self, loaded: Loaded) -> Iterator[Batch]:
        train = self.rows.where("split", "train")
        order = np.random.default_rng(0).permutation(len(train)).tolist()
        asked = {name: values for name, values in train.columns.items() if name != "target"}
        shuffled = Rows(asked, train.number).select(order)
        loader = Loader(shuffled, loaded.domain, BATCH, seed=0, training=False, workers=self.recipe.workers)
        return ({name: value for name, value in batch.items() if name != "target"} for batch in loader)

    def _learnt(
        self, name: str, made: Compressed, learns: Recipe, recipe: Recipe, loaded: Loaded
    ) -> tuple[Module, float]:
        """The network of the step, once it has learnt by its recipe, from its weights, in a run of its own that goes
        again afterwards; and the passes of that."""
        inner = RunDirectory(self.run.path / "compressing" / name)
        request = replace(workflow.requested(self.run), find_lr=False)
        files.remove(inner.path)
        rows = self._with_written(made.writes, learns) if made.writes else self.rows
        try:
            workflow.write_data(inner, request.source, rows)
            checkpoints.write_domain(inner.preprocess, loaded.domain)
            if made.begins_there:
                begun = replace(recipe, model=learns.model, changes=made.changes, tuning=None)
                save_checkpoint(inner, BEGUN, made.network, begun, loaded.domain, {}, changes=made.changes)
                learns = replace(learns, init=Pretrained(str(inner.checkpoint(BEGUN).absolute())))
            learns = replace(learns, promises=(), then=None, threads=self.recipe.threads)
            if self.until is not None:
                left = LEARNING * max(self.until - time.monotonic(), 1.0) / self.to_come
                learns = replace(learns, time_limit=min(left, learns.time_limit or left))
            workflow.begin(inner, learns, request)
            options = Options(Prefixed(self.screen, name), finish=False)
            workflow.train(inner, request, None if spec.readable(learns) else learns, options, rows)
            best = next(each for each in ("best", "last") if each in inner.checkpoints())
            about = inner.of_checkpoint("last" if "last" in inner.checkpoints() else best, "architecture.json")
            return load_checkpoint(inner, best).network, float(about.get("passes", learns.epochs))
        finally:
            files.remove(inner.path)
            with suppress(OSError):  # that of another step is there
                inner.path.parent.rmdir()

    def _with_written(self, share: float, learns: Recipe) -> Rows:
        """The rows, and what the teacher writes beside them in half of the time that is there for learning."""
        task: Any = learns.task
        left = None if self.until is None else LEARNING * (self.until - time.monotonic()) / self.to_come
        until = None if left is None else time.monotonic() + left / 2
        with runtime.threads(self.recipe.threads):
            return written.beside(self.rows, distil.loaded(task.teacher), share, learns.seed, until, self.screen)

    def _save(
        self,
        name: str,
        network: Module,
        recipe: Recipe,
        loaded: Loaded,
        changes: tuple[Change, ...],
        note: dict[str, Any],
    ) -> None:
        """With what the validation split settles of this network; what was promised is settled once it is saved."""
        network.to("cpu").eval()
        task, held = loaded.task, self.rows.where("split", "validation")
        decision = {key: value for key, value in promises.without(loaded.decision).items() if key != "format"}
        if settling.settles(task) and len(held):
            with evaluating(network), runtime.threads(self.recipe.threads):
                predictor = Predictor(network, loaded.domain, task, members=loaded.members)
                decision = dict(task.decide(predictions.complete(predictor.table(held), held), loaded.domain))
        recipe = replace(recipe, task=task)
        save_checkpoint(self.run, name, network, recipe, loaded.domain, note, decision, changes=changes)
        promising.settle(self.run, recipe, self.rows, self.screen, None, name)

    # measuring

    def measured(self, name: str, split: str) -> None:
        """Evaluates a checkpoint on the split, unless its predictions are there, of all rows and these weights."""
        loaded = load_checkpoint(self.run, name, self.given if name == self.original else None)
        path, expected = self.run.predictions(name, split), len(self.rows.where("split", split))
        meter = "evaluate" if split == "test" else f"evaluate-{split}"
        if path.exists() and self.run.result(meter, name).exists():
            columns, about = predictions.read(path)
            if about.get("weights") == loaded.architecture["sha256"] and len(columns["row"]) == expected:
                return
        device = torch.device(runtime.pick_device(self.recipe.device))
        with runtime.threads(self.recipe.threads), self.screen.bar(f"evaluating {name}") as bar:
            evaluate(self.run, loaded, self.rows, split=split, device=device, workers=1, progress=bar)

    def beside(self, name: str, split: str) -> Comparison:
        """The checkpoint beside the original, by the same rows of the split."""
        for one in (self.original, name):
            self.measured(one, split)
        return compare([self.run, self.run], checkpoints=[self.original, name], split=split, allow_different_rows=True)


@memory.during("a model was made smaller", "free some memory, or take other steps")
def compress(
    run: RunDirectory,
    given: Recipe | None,
    screen: Screen,
    *,
    steps: Sequence[str] | None = None,
    student: str | None = None,
    name: str | None = None,
    settings: Sequence[str] = (),
    checkpoint: str | None = None,
    max_drop: float | None = None,
    target: str | None = None,
    time_limit: float | None = None,
    threads: int | None = None,
) -> list[dict[str, Any]]:
    """Makes a checkpoint by each step from the one before, the first from `checkpoint` ("best" unless named), and
    measures each on the test split: the results, as results/compress@NAME.json has them.

    `steps`: names (`registry.names("compress")`); `settings`: "STEP.field=value"; `student`: a model's name, for the
    step that has one. The last checkpoint is called `name`, others by their steps. `max_drop` (0-1) picks one by the
    validation split instead (run/compressed_curve.py), for `target`: "latency", "size" or "memory". `threads` of the
    timing. Raises ConfigError with every faulty setting, DataError where rows are missing.
    """
    from pervade.run import compressed_curve

    began = time.monotonic()
    compressed_curve.check(max_drop, target)
    if time_limit is not None and not 0 < time_limit < float("inf"):
        raise ConfigError(f"the time limit {time_limit} is no time; give seconds above 0")
    original = run.require_checkpoint(checkpoint)
    threads = threads or compressed_speeds.default_threads()
    chosen = None if max_drop is not None and steps is None and student is None else steps_of(steps, student, settings)
    with run.lock():
        work = Work(run, original, given, screen, None if time_limit is None else began + time_limit)
        ways = compressed_curve.ways(chosen, settings)
        last = name if len(ways) == 1 else None
        with as_before_unless_finished(run, [one for steps in ways for one in any_of(steps, last)]):
            try:
                if max_drop is not None:
                    results = compressed_curve.pick(work, ways, max_drop, target or "latency", name, threads)
                else:
                    made, left = make(work, ways[0], name)
                    results = [measure_on_test(work, one, threads, left if one is made[-1] else ()) for one in made]
            except UnfitError as error:
                raise ConfigError(f"{error}; {_others_than(ways[0])}") from None
        if time_limit is not None and (took := time.monotonic() - began) > time_limit:
            screen.say(
                f"the time limit of {time_limit:.0f} s is for learning, and was not kept: all took {took:.0f} s, as "
                "looking, measuring and timing count as well"
            )
        return results


@dataclass(frozen=True)
class Made:
    """A checkpoint, by which steps, and what each said that it did."""

    name: str
    steps: tuple[Compressor, ...]
    summaries: tuple[str, ...]


def make(work: Work, steps: Sequence[Compressor], name: str | None = None) -> tuple[list[Made], list[str]]:
    """A checkpoint by each step from the one before; and which steps were left out, with the reason: the network has
    nothing for them to do, or there was no time. Raises UnfitError where there is nothing for any of them, ConfigError
    where there was no time for one."""
    require_for_agent(work.recipe.task, steps)
    planned = names_of(steps, name)
    for one in planned:  # before anything learns
        work.require_free(one)
    unfit = _foreseen(work, steps[1:])
    to_come, made = [step for step in steps if registry.full_name(step) not in unfit], list[Made]()
    while to_come and (work.until is None or time.monotonic() <= work.until):
        work.to_come = max(work.to_come, len(to_come))
        step = to_come.pop(0)
        before = made[-1] if made else Made(work.original, (), ())
        taken = (*before.steps, step)
        own = name if name is not None and not to_come else called(taken)
        if own not in planned:
            work.require_free(own)
        try:
            summary = work.take(step, before.name, own, taken)
            made.append(Made(own, taken, (*before.summaries, summary)))
        except UnfitError as error:
            unfit[registry.full_name(step)] = str(error)
        work.to_come -= 1
    late = [registry.full_name(step) for step in to_come]
    if not made and late:
        raise ConfigError("the time limit was over before the first step; give more (--time-limit)")
    if not made:
        raise UnfitError(*unfit.values())
    left = [f"{step} is left out, as the network has nothing for it: {reason}" for step, reason in unfit.items()]
    left += [f"{step} is left out, for which there was no time" for step in late]
    for line in left:
        work.screen.say(line)
    if unfit and name is not None and made[-1].name != name:  # the one that was to be called so was left out
        work.rename(made[-1].name, name)
        made[-1] = replace(made[-1], name=name)
    return made, left


def _foreseen(work: Work, steps: Sequence[Compressor]) -> dict[str, str]:
    """Of steps that are not the first those of which it is known that the network has nothing for them, and why."""
    unfit = {}
    for step in steps:
        try:
            if isinstance(step, Foreseeing):
                step.check(work.beginning())
        except UnfitError as error:
            unfit[registry.full_name(step)] = str(error)
    return unfit


def _others_than(steps: Sequence[Compressor]) -> str:
    others = [name for name in registry.names("compress") if name not in map(registry.full_name, steps)]
    if not others:
        return "there is no other step; train a smaller --model"
    return f"other --steps are {', '.join(others)}, and --max-drop 0.01 tries each"


def measure_on_test(
    work: Work,
    made: Made,
    threads: int,
    left: Sequence[str] = (),
    speeds: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """What the checkpoint comes to beside the original: figures by the test split, and speeds, timed unless they are
    given. Written into results/compress@NAME.json."""
    comparison = work.beside(made.name, "test")
    if speeds is None:
        speeds = compressed_speeds.of(work.run, work.original, made.name, work.rows, threads, work.screen)
    weights = str(work.run.of_checkpoint(work.original, "architecture.json")["sha256"])
    about = {
        "of": work.original,
        "of_weights": weights,
        "steps": [registry.full_name(step) for step in made.steps],
        "summaries": list(made.summaries),
        "headline": comparison.headline,
        "differences": differences(comparison),
        **speeds,
        **more,
    }
    estimate = comparison.estimates[1]
    result = {
        "meter": "compress",
        "checkpoint": made.name,
        "split": "test",
        "n": comparison.n,
        "metrics": {comparison.headline: figure_as_json(estimate, comparison.metrics[comparison.headline])},
        "details": {"compressed": about},
        **({"left_out": list(left)} if left else {}),
    }
    files.write_json(work.run.result("compress", made.name), result)
    return result


def differences(comparison: Comparison) -> dict[str, Any]:
    """The headline, calibration, and the recall of the class that lost most, as far as there are such."""
    gaps = comparison.differences[0]
    kept = {name: gaps[name].as_dict() for name in (comparison.headline, CALIBRATION) if name in gaps}
    recalls = {label: gap for label, gap in comparison.recalls(1).items() if gap.second == gap.second}
    if recalls:
        label = min(recalls, key=lambda label: recalls[label].second)
        kept["worst_class"] = {"label": label, **recalls[label].as_dict()}
    return kept
