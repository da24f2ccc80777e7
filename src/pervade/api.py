"""The Python face of the command line: the same verbs, the same recipes, the same run directories."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pervade.agents import film
from pervade.core import download, files, memory, registry, runtime, spec
from pervade.core import run as runs_module
from pervade.core.contracts import Opened, Recipe
from pervade.core.contracts.abilities import Acts, MakesMedia
from pervade.core.contracts.capabilities import Acting, Conversational, MadeUp
from pervade.core.errors import CheckpointError, ConfigError, DataError, ResourceError
from pervade.core.run import RunDirectory
from pervade.core.types import Display
from pervade.core.words import Words
from pervade.data.read import hub
from pervade.data.rows.split import NAMES as SPLITS
from pervade.engine import answering, checkpoint, gallery, merging, promises, ranks
from pervade.engine import wording as called
from pervade.engine.answering import speak as speak
from pervade.engine.checkpoint import Loaded
from pervade.engine.gallery import Gallery
from pervade.evaluate.evaluation import evaluate
from pervade.run import compressing, halving, measuring, members, opening, overview, progress, standing, workflow
from pervade.run import exporting as exports
from pervade.run import ladder as ladders
from pervade.run import rungs as rungs_module
from pervade.run import search as search_module
from pervade.run import unlike as unlikeness
from pervade.run.choosing import AnyModel as AnyModel
from pervade.run.choosing import as_model, choose
from pervade.run.comparing import compare as compare
from pervade.run.configuring import configure as configure
from pervade.run.configuring import sampled, told
from pervade.run.progress import Screen
from pervade.run.stopping import Stopped
from pervade.run.time_limit import AFTERWARDS, REPORTING
from pervade.run.training import Options


@dataclass(frozen=True)
class Run:
    """A run directory, and what can be done with it."""

    directory: RunDirectory
    screen: Screen
    # Where parts of the recipe come from Python and no file can hold them; None: the stored one is read.
    given: Recipe | None = None
    # When its evaluation is to be over (time.monotonic), so that the command keeps its time limit; None: whenever.
    until: float | None = None

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def path(self) -> Path:
        return self.directory.path

    def recipe(self) -> Recipe:
        return checkpoint.settled(self.directory, self.given or checkpoint.read_recipe(self.directory.recipe))

    @property
    def holds_members(self) -> bool:
        """Whether this is a run of runs, by seeds or folds, which has results but no model of its own."""
        return _kind(self.directory) in ("seeds", "folds")

    def load(self, name: str | None = None) -> Loaded:
        """A checkpoint, ready for use: "best" unless named, "last" where there is no best."""
        return checkpoint.load_checkpoint(self.directory, self.directory.require_checkpoint(name), self.given)

    def evaluate(
        self,
        checkpoint: str | None = None,
        split: str | None = None,
        device: str = "auto",
        workers: int = 1,
        data: Any = None,
        keep_known: bool = False,
        unlike: Any = None,
        **flags: Any,
    ) -> dict[str, Any]:
        """Predicts the split ("test" unless given), writes the predictions file and the figures from it, and returns
        these.

        `data`: other labelled data than the run's own (run/measuring.py), all of them unless `split` says which;
        `flags` are label_column, text_column, file_column, group_column and so on, for data whose columns are called
        otherwise. What the run was trained on, byte by byte, is left out, unless `keep_known`. A page,
        report-NAME.html, is written too. Of a run of runs each member is measured, has such a page, and the figures are
        their means.

        `unlike`: data of whatever else, without labels, instead: how well a model that chooses a class tells them from
        the run's own test rows (run/unlike.py). Of the flags it takes text_column, file_column and encoding.

        Each figure has value, low and high (95%), n and method. Raises DataError where the split is empty.
        """
        if unlike is not None:
            if data is not None or split is not None or keep_known:
                raise ConfigError(
                    "--unlike compares with the run's own test split; leave out DATA, --split and --keep-known"
                )
            about: dict[str, Any] = {"device": device, "workers": workers, "threads": self.recipe().threads}
            return unlikeness.measure(self.directory, self.load(checkpoint), unlike, flags, self.screen, **about)
        if data is not None:
            known: dict[str, Any] = {"split": split, "keep_known": keep_known, "threads": self.recipe().threads}
            known |= {"device": device, "workers": workers}

            def measured(run: RunDirectory) -> dict[str, Any]:
                loaded = replace(self, directory=run).load(checkpoint)
                return measuring.measure(run, loaded, data, flags, self.screen, **known)

            several = checkpoint is None and self.holds_members
            return members.elsewhere(self.directory, measured) if several else measured(self.directory)
        if keep_known or flags:
            raise ConfigError(f"{', '.join([*flags, *['keep_known'] * keep_known])}: these are for other data (DATA)")
        split = split or "test"
        if checkpoint is None and self.holds_members:
            if split != "test":
                raise ConfigError(
                    f"{self.path} holds runs, which are evaluated together on what each keeps for its test; for the "
                    f"split {split!r} name one of them, in {self.path / 'members'}"
                )
            return members.again(self.directory, self.given, Options(self.screen))
        loaded = self.load(checkpoint)
        if (unsettled := standing.unsettled(self.directory, self.recipe(), checkpoint)) is not None:
            self.screen.say(unsettled)
        rows = workflow.load_rows(self.directory, self.recipe().domain, self.screen)
        place = torch.device(runtime.pick_device(device))
        split = SPLITS.get(split, split)
        with runtime.threads(self.recipe().threads), self.screen.bar("evaluating") as bar:
            more = {"workers": workers, "progress": bar, "until": self.until}
            result = evaluate(self.directory, loaded, rows, split=split, device=place, **more)
        overview.keep_left_out(self.directory, result, self.screen.say)
        return result

    def on(self, data: str) -> Run:
        """This run as it was measured on other data, by their name or its beginning: `results` and `report` are of
        these. Raises CheckpointError where it was not."""
        return replace(self, directory=self.directory.on(data))

    def predict(
        self, inputs: Any = None, top: int = 3, checkpoint: str | None = None, device: str = "auto", **sampling: Any
    ) -> list[dict[str, Any]]:
        """What the model says of files, folders or texts: for classes the `top` likeliest with their probabilities.

        One answer for each input, in their order; of a folder or a table one for each file or row in it. All have the
        same keys: "error" is None, or says why something cannot be used, and the others are None then; "cut", of models
        that may read a part, is None, or says how much was read. `sampling` is for models that write or make
        something: fields of their sampling. Raises ConfigError where the model makes nothing. One that makes pictures
        takes their `number` in place of inputs, and `labels`, of which these are in turn.
        """
        return list(self.stream(inputs, top, checkpoint, device, **sampling))

    def stream(
        self,
        inputs: Any = None,
        top: int = 3,
        checkpoint: str | None = None,
        device: str = "auto",
        out: str | Path | None = None,
        *,
        number: int | None = None,
        labels: Sequence[str] = (),
        encoding: str | None = None,
        text_column: str | None = None,
        file_column: str | None = None,
        lines: bool | None = None,
        **sampling: Any,
    ) -> Iterator[dict[str, Any]]:
        """As `predict`, row by row: any number of files in bounded memory. Sounds and pictures that are made go to the
        folder `out`, and the "file" stands in place of what was made. `encoding` and the columns are of the files asked
        about; without, each file is UTF-8, else as the training's were. `lines`: each line of a text file is a text;
        without, where the training's were so."""
        loaded = self.load(checkpoint)
        asked = {"text_column": text_column, "file_column": file_column, "lines": lines}
        loaded = replace(loaded, domain=answering.reading(loaded.domain, encoding, **asked))
        if sampling:
            loaded = replace(loaded, task=sampled(loaded.task, sampling))
        if inputs is None or number is not None or labels:
            if inputs is not None:
                raise ConfigError(
                    "each label that is given is one picture; leave out --number and --label, or give none"
                )
            inputs = answering.made_up(loaded.domain, number, labels)
        if out is not None and not self.makes:
            raise ConfigError(
                "-o is for models that make sounds or pictures; what others say is printed (--json, --csv)"
            )
        folder = None if out is None else Path(out)
        return answering.answers(loaded, inputs, top, device, folder, lambda: self._gallery(loaded), self.screen.say)

    @property
    def cuts(self) -> bool:
        """Whether of an input that is too long only a part may be read; its answer then says "cut"."""
        return self.recipe().domain.cuts

    def display(self, checkpoint: str | None = None) -> Callable[[Mapping[str, Any]], Display]:
        """How people see an answer of `predict`: a line, and rows of a table."""
        name = self.directory.require_checkpoint(checkpoint)
        return promises.display(self.recipe().task, self.directory.of_checkpoint(name, "decision.json"))

    @property
    def words(self) -> Words:
        """What its things are called."""
        return called.read(self.directory)

    @property
    def acts(self) -> bool:
        """Whether its model acts in an environment."""
        return isinstance(self.recipe().domain, Acting)

    @memory.during("episodes were played", "play fewer with --episodes, or free some memory")
    def play(
        self,
        episodes: int = 1,
        seed: int = 0,
        drawn: bool = False,
        video: str | Path | None = None,
        checkpoint: str | None = None,
        device: str = "auto",
    ) -> list[dict[str, Any]]:
        """Episodes by the seeds `seed`, `seed` + 1 …, by the likeliest actions, or `drawn` from the policy: "seed",
        "return" and "length" of each. `video` (.gif, or .mp4 where ffmpeg is) gets a film of them all. Raises
        ConfigError where the model does not act, or the file's ending is another."""
        loaded = self.load(checkpoint)
        task, domain = loaded.task, loaded.domain
        if not isinstance(task, Acts) or not isinstance(domain, Acting):
            raise ConfigError(f"{self.path} does not act in an environment; give files or texts to predict")
        if video is not None:
            film.check(Path(video))
        network = loaded.network.to(runtime.pick_device(device))
        reel = None if video is None else film.Reel(10 * film.MOST_FRAMES, 2 * film.SIDE)
        numbers = range(seed, seed + episodes)
        played = [film.watch(task, network, domain, number, drawn, reel) for number in numbers]
        if video is not None and reel is not None:
            film.save(Path(video), reel)
        return [{"seed": e.seed, "return": float(e.rewards.sum()), "length": len(e.rewards)} for e in played]

    @property
    def makes(self) -> str:
        """What its model makes, in words ("sounds", "pictures"); empty where it answers about what it is given."""
        task = self.recipe().task
        return task.makes if isinstance(task, MakesMedia) else ""

    @property
    def makes_up(self) -> bool:
        """Whether it makes that of nothing, as many as are asked for."""
        return isinstance(self.recipe().domain, MadeUp)

    @property
    def takes_turns(self) -> bool:
        """Whether its model answers in conversations, and does not just write on."""
        return isinstance(self.recipe().domain, Conversational)

    def write(
        self,
        text: str | list[dict[str, str]] = "",
        checkpoint: str | None = None,
        device: str = "auto",
        **sampling: Any,
    ) -> Iterator[str]:
        """What the model writes on from `text`, or answers to it, piece by piece as it comes. A conversation so far is
        a list of messages, {"role": "user", "content": …}. Raises ConfigError where it writes nothing."""
        return self.writer(checkpoint, device, **sampling)(text)

    def writer(
        self, checkpoint: str | None = None, device: str = "auto", **sampling: Any
    ) -> Callable[[str | list[dict[str, str]]], Iterator[str]]:
        """As `write`, with the model loaded once for any number of texts."""
        loaded = self.load(checkpoint)
        return answering.writer(replace(loaded, task=sampled(loaded.task, sampling)), device)

    def _gallery(self, loaded: Loaded) -> Gallery:
        """The run's own rows, whose embeddings are computed once and kept."""
        with self.screen.bar("embedding the run's own rows") as bar:
            return gallery.of_run(
                self.directory, loaded, lambda: workflow.load_rows(self.directory, loaded.domain, self.screen), bar
            )

    def threshold(self, checkpoint: str | None = None) -> float | None:
        """The cosine from which two embeddings are taken for one person, as settled on the validation split."""
        name = self.directory.require_checkpoint(checkpoint)
        threshold: float | None = self.directory.of_checkpoint(name, "decision.json").get("threshold")
        return threshold

    def embed(self, inputs: Any, checkpoint: str | None = None, device: str = "auto") -> np.ndarray:
        """Embeddings (n, d) of length 1: the cosine of two is their similarity. Raises ConfigError where the run's task
        gives none, DataError where an input cannot be used."""
        loaded = self.load(checkpoint)
        if not gallery.embeds(loaded):
            raise ConfigError(
                f"{self.path} was trained for another task and gives no embeddings; train with "
                "--task image-feature-extraction"
            )
        return answering.stacked(loaded, inputs, device, "embedding")

    def predict_proba(self, inputs: Any, checkpoint: str | None = None, device: str = "auto") -> np.ndarray:
        """Probabilities (n, k) in the order of `labels`. Raises DataError where an input cannot be used."""
        return answering.stacked(self.load(checkpoint), inputs, device, "probabilities")

    @property
    def labels(self) -> tuple[str, ...]:
        labels: tuple[str, ...] = getattr(self.load().domain, "labels", ())
        return labels

    def unfinished(self, checkpoint: str | None = None) -> str | None:
        """What to know of a checkpoint whose training goes on or was stopped; None where the run is finished."""
        return standing.unfinished(self.directory, self.recipe(), checkpoint)

    def has_split(self, split: str) -> bool:
        return split in self.directory.read_data()["columns"].get("split", [])

    def merge(self, checkpoint: str | None = None) -> Path:
        """Works the adapters of a checkpoint into its weights and writes the checkpoint "merged", which holds all of
        them, needs no base, and predicts the same; returns its folder. Raises ConfigError where it has no adapters."""
        return merging.merge(self.directory, self.directory.require_checkpoint(checkpoint), self.given)

    def compress(
        self, steps: Sequence[str] | None = None, checkpoint: str | None = None, **asked: Any
    ) -> list[dict[str, Any]]:
        """Makes smaller and faster checkpoints of one, and measures each beside it, as `run.compressing.compress` says:
        student, name, settings, max_drop, target, time_limit, threads. The results, one a checkpoint."""
        asked |= {"steps": steps, "checkpoint": checkpoint}
        return compressing.compress(self.directory, self.given, self.screen, **asked)

    def export(self, format: str = "onnx", checkpoint: str | None = None, **asked: Any) -> exports.Exported:
        """Writes a checkpoint in a form that others open ("onnx", "torch" …) and returns its `path` and `parity`;
        `asked` are folder, tolerance and rows, as of `run.exporting.export`."""
        return exports.of_run(self.directory, self.load, format, checkpoint, self.screen.say, **asked)

    def report(self) -> Path:
        """Writes report.html and MODEL_CARD.md from what lies in the run directory; returns the report's path."""
        from pervade.report import write

        return write(self.directory)

    def concluded(self) -> dict[str, Any] | None:
        """The results of a run of runs, which evaluates itself; None for a single run."""
        if _kind(self.directory) is None:
            return None
        name = members.NAME if self.holds_members else self.directory.require_checkpoint(None)
        paths = [self.directory.result(meter, name) for meter in ("evaluate", "evaluate-validation")]
        return next((files.read_json(path) for path in paths if path.exists()), None)

    def results(self, checkpoint: str | None = None) -> dict[str, Any]:
        """The figures of the last evaluation. Raises CheckpointError where there was none."""
        together = checkpoint is None and self.holds_members
        name = members.NAME if together else self.directory.require_checkpoint(checkpoint)
        path = self.directory.result("evaluate", name)
        if not path.exists():
            raise CheckpointError(f"{self.path} was not evaluated yet; run `pervade evaluate {self.path}`")
        return files.read_json(path)


@memory.during("the run was begun", "give less data, or free some memory")
def fit(
    data: Any,
    *,
    task: str | None = None,
    model: AnyModel | None = None,
    recipe: Recipe | None = None,
    name: str | None = None,
    wish: str | None = None,
    runs: str | Path = "runs",
    settings: Sequence[str] = (),
    options: Options | None = None,
    seeds: int | None = None,
    folds: int | str | None = None,
    search: search_module.Plan | None = None,
    ladder: str | Sequence[str] | None = None,
    best_of: str = "accuracy",
    tuning: str | None = None,
    algorithm: str | None = None,
    steps: int | None = None,
    **flags: Any,
) -> Run:
    """Trains a model on `data` in a new run directory and returns the run.

    `recipe` is a whole configuration; without one it is chosen by task and model: a name (`pervade models`), a network,
    or a function of (inputs, outputs) that builds one. A run without a name is called `wish`
    or a variation of it. `settings` are "path.to.field=value"; `flags` are fields of the recipe by name (epochs,
    batch_size, seed, …), lr, which may be "find" (train/find_lr.py), and what is promised of answers: min_recall and
    max_false_alarms (shares by class, or one of the positive class), costs (by true class and answer, or the path of
    such a table), coverage, coverage_by, max_risk. `seeds` or `folds` make a run of that many runs (members.py),
    evaluated and reported; `search` is what `tune` passes on; `ladder` names the rungs to climb
    (run/ladder.py), of which the `best_of` accuracy, size or speed is delivered: without it all that there are, where
    there is a choice and neither model nor recipe nor another way is named; ["trained"] is the network alone. `tuning`
    is "freeze" or "lora". Raises DataError where the data cannot be used, ConfigError with every faulty setting.
    """
    options, data = _since(options), hub.located(data)
    choices: dict[str, Any] = {"task": task, "model": model, "recipe": recipe, "settings": settings, "tuning": tuning}
    choices |= {"algorithm": algorithm, "steps": steps, "ladder": ladder, "best_of": best_of, **flags}
    decided = choose(data, runs, options, seeds=seeds, folds=folds, search=search is not None, **choices)
    task, chosen, rungs, together = decided.task, decided.recipe, decided.rungs, decided.together
    request = workflow.Request(opening.plain(data), task, flags.get("lr") == "find")
    called = hub.title(data) if hub.is_address(data) else Path(str(data)).absolute().stem
    wish = wish or f"{called}-{'ladder' if rungs else registry.name_of(type(chosen.model)) or 'model'}"
    # Under torchrun the first process makes the run, and the others join it.
    ranks.start(runtime.pick_device(chosen.device))
    if ranks.rank() == 0:
        with download.announcing(options.screen.say):
            chosen.init.fetch(chosen.model)
    path = str(runs_module.create(Path(runs), name, wish).path) if ranks.rank() == 0 else ""
    directory = RunDirectory(Path(ranks.same_text(path)))
    try:
        if ranks.rank() == 0:
            if together is not None:
                members.write_plan(directory, together)
            by_hand = _set_by_hand(settings, flags)
            if search is not None and rungs is not None:
                halving.begin(directory, search, chosen, task, rungs, by_hand)
            elif search is not None:
                search_module.begin(directory, search, chosen, task, by_hand)
            elif rungs is not None:
                rungs_module.begin(directory, rungs, best_of, decided.by_default)
            workflow.begin(directory, chosen, request)
        ranks.wait()
        with download.announcing(options.screen.say):
            _work(directory, request, None if spec.readable(chosen) else chosen, options)
    except Exception as error:
        # A run that failed before its network had its first weights, or for which memory or disk did not suffice before
        # anything was learnt, holds nothing worth keeping, and would only take the name. (What was decoded is in the
        # cache; runs with members keep theirs.)
        short = isinstance(error, ResourceError)
        several = together or search or (rungs and not isinstance(error, (ConfigError, DataError)))
        begun = directory.data.exists() if several else directory.init.exists() and not short
        keep = begun or directory.holds_work or isinstance(error, Stopped)
        if ranks.rank() == 0 and not keep:
            shutil.rmtree(directory.path, ignore_errors=True)
        if short:
            left = directory.standing() if keep else "nothing was learnt yet, and the run was removed; then train again"
            raise ResourceError(f"{error}; {left}") from error
        raise
    return Run(directory, options.screen, None if spec.readable(chosen) else chosen, _until(chosen.time_limit, options))


def open_data(
    data: Any,
    *,
    runs: str | Path = "runs",
    options: Options | None = None,
    **choices: Any,
) -> Opened:
    """Reads `data` as `fit` does by the same settings: the rows with their splits, what is left out, how all was read,
    and what is to be known of it. Nothing is written but the caches. Raises as `fit` does."""
    options, data = _since(options), hub.located(data)
    decided = choose(data, runs, options, **choices)
    with download.announcing(options.screen.say):
        divide = members.division(decided.together, decided.recipe, lambda names: None)
        opened = opening.by_recipe(opening.plain(data), decided.recipe, options, divide)
    workflow.examine(decided.recipe, opened.fitted)
    options.screen.say(told(decided.recipe))
    if decided.rungs is not None:
        options.screen.say(rungs_module.told(decided.rungs))
    return replace(opened, task=decided.task)


def load(run: str | Path, runs: str | Path = "runs", model: AnyModel | None = None) -> Run:
    """A run by path, or by name inside `runs`; with the module or function it was trained with, where the network came
    from Python. Raises CheckpointError where there is none."""
    directory = runs_module.find(run, Path(runs))
    return Run(directory, progress.screen(), _given(directory, model))


def resume(
    run: str | Path,
    runs: str | Path = "runs",
    recipe: Recipe | None = None,
    options: Options | None = None,
    model: AnyModel | None = None,
) -> Run:
    """Goes on training where the run was stopped, to the same weights as if it never had been. `model` as in `load`."""
    directory, options = runs_module.find(run, Path(runs)), _since(options)
    recipe = recipe or _given(directory, model)
    used = directory.used()
    with workflow.telling(directory):
        _work(directory, workflow.requested(directory), recipe, options)
    resumed = Run(directory, options.screen, recipe)
    return replace(resumed, until=_until(resumed.recipe().time_limit, options, used))


def _until(limit: float | None, options: Options, used: float = 0.0) -> float | None:
    """When an evaluation has to be over so that the report, too, keeps a time limit; `used` of it before this
    command."""
    if limit is None:
        return None
    return (options.began or time.monotonic()) + limit - used - AFTERWARDS - REPORTING * options.loaded


def tune(
    data: Any,
    *,
    time_limit: float | None = None,
    trials: int | None = None,
    search: Sequence[str] = (),
    options: Options | None = None,
    **settings: Any,
) -> Run:
    """Searches over settings of the recipe (search.py) and returns the run, whose model is the best trial's. Where
    neither model nor recipe is named, across the rungs that there are, or those that `ladder` names (halving.py).

    `time_limit` (seconds) covers everything, the final evaluation included; `trials` is how many there are at most.
    `search` are "path=low..high", "path=low..high:log" or "path=[a, b, c]"; without any the recipe's own space is
    searched. `settings` are those of `fit`, but that a rate cannot be found and a search has no seeds, folds or
    best_of. Raises ConfigError where neither limit is given, a path is unknown, or Optuna is not installed.
    """
    if settings.get("lr") == "find":
        raise ConfigError(
            "lr 'find' is for a single training, and a search tries rates itself; search over them with "
            "optimizer.lr=1e-4..1e-1:log, or give a number"
        )
    several = [name for name in ("seeds", "folds", "best_of") if settings.get(name) is not None]
    if several:
        raise ConfigError(
            f"a search has no {several[0]}, since each of its trials is a single training, and the best is delivered; "
            f"search first, then train what was found with {several[0]}"
        )
    return fit(data, search=search_module.plan(time_limit, trials, search), options=_since(options), **settings)


def _set_by_hand(settings: Sequence[str], flags: Mapping[str, Any]) -> set[str]:
    """Paths of the recipe that somebody gave a value."""
    named = {"optimizer.lr" if name == "lr" else name for name, value in flags.items() if value is not None}
    return named | {setting.partition("=")[0].strip() for setting in settings}


def _since(options: Options | None) -> Options:
    """The options with the moment from which time limits count: now, unless the command knows better."""
    options = options or Options(screen=progress.screen())
    return options if options.began is not None else replace(options, began=time.monotonic())


def _work(directory: RunDirectory, request: workflow.Request, recipe: Recipe | None, options: Options) -> None:
    """Whatever of the run is still to be done, of whichever kind it is."""
    kind = _kind(directory)
    if kind == "trials":
        search_module.go(directory, request, recipe, options)
    elif kind == "halving":
        search_module.go(directory, request, recipe, options, halving.Halving)
    elif kind == "ladder":
        ladders.go(directory, request, recipe, options)
    elif kind is not None:
        members.go(directory, request, recipe, options)
    else:
        workflow.train(directory, request, recipe, options, final=True)


def _kind(directory: RunDirectory) -> str | None:
    """seeds, folds, trials, halving or ladder; None for a single run."""
    return str(files.read_json(directory.members, "kind")["kind"]) if directory.members.exists() else None


def _given(directory: RunDirectory, model: AnyModel | None) -> Recipe | None:
    return None if model is None else checkpoint.read_recipe(directory.recipe, as_model(model))
