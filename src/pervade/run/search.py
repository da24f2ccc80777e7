"""`pervade tune`: a search over fields of a recipe, by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011)
with median pruning on the validation figure after each pass (Akiba et al. 2019, arXiv:1907.10902).

    members.json            what is searched, and within which limits
    search.json             every trial: its values, how it ended, its validation figure
    members/trial-000 …/    each a run; a pruned one keeps its log, but not its weights
    checkpoints/best/       the winner's, evaluated once on the test split, which no trial sees
    recipe.yaml             the recipe as asked for; at the end the winner's

What Optuna knows is made anew from search.json before every trial, with a generator of that trial's own, so that a
search that was killed goes on as if it never had been, and nothing of Optuna's lies on the disk.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from pervade import recipes
from pervade.core import files, runtime, spec
from pervade.core import seed as seeds
from pervade.core.contracts import Recipe
from pervade.core.contracts.promises import SPLIT as PROMISED
from pervade.core.errors import ConfigError, DataError, OutOfMemoryError, TrainingError
from pervade.core.run import RunDirectory
from pervade.core.types import Json, Rows
from pervade.engine import checkpoint, origin, ranks
from pervade.evaluate.evaluation import evaluate
from pervade.run import imbalance, members, overview, promising, search_space, workflow
from pervade.run.ladder import ends_all
from pervade.run.progress import Silent, spaced
from pervade.run.stopping import stopping_at_once
from pervade.run.time_limit import AFTERWARDS, REPORTING, TimeLimit
from pervade.run.training import Options

SHARE = 0.1  # of the time limit that one trial may take, unless the number of trials says otherwise
LEAST = 0.5  # of a trial's time: with less left no further trial begins
RESERVE = 0.1  # of the time limit, kept for the winner's evaluation until it is known what that takes
STARTUP = 4  # trials before any is pruned
NO_VALIDATION = "a search judges by the validation split, which is empty; leave rows for it: -o validation=0.15"


@dataclass(frozen=True)
class Plan:
    """What is searched. An empty space stands for the recipe's own."""

    time_limit: float | None
    trials: int | None
    space: search_space.Space


@dataclass
class Trial:
    number: int
    values: dict[str, Json]
    state: str = "running"  # then complete, pruned or failed
    value: float | None = None  # the best validation figure of its passes
    passes: dict[str, float] = field(default_factory=dict)  # pass to validation figure
    seconds: float = 0.0
    reason: str = ""  # why it failed or was pruned
    rung: str = ""  # of a search across rungs (run/halving.py), which
    share: float = 0.0  # of its training, to which it has come there,
    goal: float = 0.0  # and to which it was to come next

    @property
    def name(self) -> str:
        return f"trial-{self.number:03d}"

    @property
    def folds(self) -> int:
        """Trials are judged by the validation split, however few its rows are (run/candidates.py)."""
        return 0


def plan(time_limit: float | None, trials: int | None, search: Sequence[str]) -> Plan:
    """Raises ConfigError where it could not end, or a range is faulty."""
    if time_limit is None and trials is None:
        raise ConfigError("a search needs an end: give --time-limit 30m, --trials 20, or both")
    if trials is not None and trials < 1:
        raise ConfigError(f"--trials {trials} is too few; at least 1")
    space = search_space.parse(search)
    return Plan(time_limit, trials, space)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ConfigError("a search needs the package optuna; pip install 'pervade[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def begin(
    run: RunDirectory, asked: Plan, recipe: Recipe, task: str | None, settled: Collection[str] = frozenset()
) -> None:
    """Writes members.json. Of the recipe's own space what is `settled` by whoever asks stays as it is. Raises
    ConfigError where the recipe cannot be searched, or not in this space, or Optuna is not installed."""
    _optuna()
    if not spec.readable(recipe):
        raise ConfigError(
            "a search needs a recipe whose parts are all registered; register the model, or train with it"
        )
    if recipe.early_stopping.metric is None:
        raise ConfigError("a search judges by the validation split; set early_stopping.metric")
    own = {} if asked.space else recipes.search_space(recipe, task)
    space = asked.space or {path: values for path, values in own.items() if path not in settled}
    if not space:
        raise ConfigError(f"{', '.join(own)} are set, so nothing is left to search; name other fields with --search")
    search_space.check(space, recipe)
    about = {"kind": "trials", "time_limit": asked.time_limit, "trials": asked.trials}
    ranges = {path: values.as_json() for path, values in space.items()}
    origin.write(run, recipe)
    files.write_json(run.members, {**about, "space": ranges, "base": spec.encode(recipe)})


class Search:
    """A search under way: the trials so far, and what is left of the time."""

    def __init__(self, run: RunDirectory, request: workflow.Request, options: Options) -> None:
        self.run, self.request, self.options = run, request, options
        self.began = time.monotonic() if options.began is None else options.began
        stored = files.read_json(run.members, "space", "base", "time_limit", "trials")
        self.base: Recipe = spec.decode(stored["base"], Recipe)
        self.space = search_space.of_json(stored["space"])
        self.time_limit, self.most = stored["time_limit"], stored["trials"]
        so_far = files.read_json(self.path) if self.path.exists() else {}
        self.trials = [Trial(**trial) for trial in so_far.get("trials", [])]
        self.used_before = float(so_far.get("used", 0.0))
        for trial in (trial for trial in self.trials if trial.state == "running"):
            lost = max(run.member(trial.name).used() - trial.seconds, 0.0)  # by a process that was killed
            self.used_before, trial.seconds = self.used_before + lost, trial.seconds + lost
        self.ending = RESERVE * (self.time_limit or 0.0)
        self.winner: str | None = so_far.get("winner")
        self.metric = str(self.base.early_stopping.metric)
        self.no_blend: str = so_far.get("no_blend", "")  # why what was found is not put together (run/halving.py)
        self.rows = Rows({})  # once they are read

    @property
    def path(self) -> Any:
        return self.run.path / "search.json"

    def save(self) -> None:
        if ranks.rank() == 0:
            about = {"metric": self.metric, "higher_is_better": self.higher, "winner": self.winner, "used": self.used}
            about |= {"no_blend": self.no_blend} if self.no_blend else {}
            files.write_json(self.path, {**about, "trials": [asdict(trial) for trial in self.trials]})

    @property
    def used(self) -> float:
        return self.used_before + time.monotonic() - self.began

    @property
    def left(self) -> float | None:
        """Seconds for trials; None without a limit."""
        return None if self.time_limit is None else 0.98 * self.time_limit - self.used - self.ending

    higher = True

    def judge_by(self, rows: Rows) -> None:
        """Settles the figure by which trials are compared."""
        imbalance.refuse_made(self.base)
        self.base = imbalance.settled(self.run, self.base, rows, self.options.screen.say)
        self.metric = str(self.base.early_stopping.metric)
        domain = self.base.domain.fit(rows.where("split", "train"))
        metric = self.base.task.metrics(domain).get(self.metric)  # an unknown name is refused by the first trial
        self.higher = metric is None or metric.higher_is_better is not False

    def told(self) -> Iterator[str]:
        """What is said before the first trial."""
        limit = f"; each trial may take {self.allotted(0):.0f} s" if self.time_limit is not None else ""
        yield f"searching over {', '.join(self.space)}{limit}"

    def best(self) -> Trial | None:
        done = [trial for trial in self.trials if trial.state == "complete" and trial.value is not None]
        sign = 1 if self.higher else -1
        return max(done, key=lambda trial: sign * (trial.value or 0.0), default=None)

    # one trial

    def next(self) -> Trial | None:
        """The trial under way, or a new one; None where the search is over. The same on every rank."""
        if self.trials and self.trials[-1].state == "running":
            return self.trials[-1]
        text = "null"
        if ranks.rank() == 0 and self.another() is not False:
            text = json.dumps(dict(self.ask(len(self.trials)).params))
        values = json.loads(ranks.same_text(text))
        if values is None:
            return None
        trial = Trial(len(self.trials), values)
        self.trials.append(trial)
        self.save()
        return trial

    def another(self) -> float | bool | None:
        """Whether there is room for one more trial, and its seconds (None: no limit)."""
        if self.most is not None and len(self.trials) >= self.most:
            return False
        if self.left is None:
            return None
        allotted = self.allotted(len(self.trials))
        if self.trials and self.left < LEAST * allotted:
            return False
        # What is too little for two goes to one.
        return max(self.left if self.left < (1 + LEAST) * allotted else allotted, 0.001)

    def allotted(self, number: int) -> float:
        if self.most is not None:
            return (self.left or 0.0) / max(self.most - number, 1)
        return SHARE * float(self.time_limit or 0.0)

    def ask(self, number: int) -> Any:
        """Optuna's trial of this number, given all that came before it."""
        optuna = _optuna()
        drawn = int(seeds.generator(self.base.seed, number, 29).integers(2**31))
        study = optuna.create_study(
            direction="maximize" if self.higher else "minimize",
            sampler=optuna.samplers.TPESampler(seed=drawn),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=self.base.epochs // 10),
        )
        ranges = {path: values.distribution() for path, values in self.space.items()}
        states = optuna.trial.TrialState
        for trial in self.trials[:number]:
            last = trial.value if trial.state == "complete" else next(reversed(list(trial.passes.values())), None)
            state = states.FAIL if last is None or trial.state == "failed" else states[trial.state.upper()]
            study.add_trial(
                optuna.trial.create_trial(
                    state=state,
                    value=None if state == states.FAIL else last,
                    params=trial.values,
                    distributions=ranges,
                    intermediate_values={int(at): value for at, value in trial.passes.items()},
                )
            )
        if number < len(self.trials):
            study.enqueue_trial(self.trials[number].values)
        elif number == 0:
            study.enqueue_trial(search_space.own_values(self.space, self.base))
        return study.ask(ranges)

    def carry_out(self, trial: Trial, rows: Rows) -> None:
        member, began = self.run.member(trial.name), time.monotonic()
        if ranks.rank() == 0 and not member.recipe.exists():
            recipe = search_space.with_values(self.base, trial.values)
            limit = self.another_for(trial)
            workflow.write_data(member, self.request.source, rows)
            workflow.begin(member, replace(recipe, time_limit=limit or self.base.time_limit), self.request)
        ranks.wait()
        own = checkpoint.read_recipe(member.recipe)
        judge: Any = self.ask(trial.number) if ranks.rank() == 0 else None  # which the other ranks never ask
        reported: set[int] = set()

        def on_pass(at: float, value: float) -> str | None:
            for passed, figure in {**figures(member), int(at): value}.items():
                if passed not in reported and passed <= at:
                    judge.report(figure, int(passed))
                    reported.add(int(passed))
            below = f"pruned by the search: below the median of the other trials at pass {int(at)}"
            return below if judge.should_prune() else None

        options = replace(self.options, began=time.monotonic(), finish=False, on_pass=on_pass)
        try:
            workflow.train(member, self.request, None, options, rows if own.domain == self.base.domain else None)
        except (TrainingError, OutOfMemoryError) as error:  # a full disk is no fault of the trial
            if ends_all(error):
                raise
            trial.state, trial.reason = "failed", str(error)
        finally:
            trial.seconds = round(trial.seconds + time.monotonic() - began, 3)
        self.base = checkpoint.settled(member, self.base)  # how many threads compute holds for all trials
        self.conclude(trial, member)

    def another_for(self, trial: Trial) -> float | None:
        """The seconds of a trial that is on the list already."""
        self.trials.pop()
        seconds = self.another()
        self.trials.append(trial)
        return None if self.left is None else max(float(seconds or 0.0), 0.001)

    def conclude(self, trial: Trial, member: RunDirectory) -> None:
        known = figures(member)
        trial.passes = self.passes(member)
        if known:
            trial.value = max(known.values()) if self.higher else min(known.values())
        if trial.state == "running":
            pruned = next((entry["text"] for entry in member.read_log() if entry.get("pruned")), None)
            trial.state, trial.reason = ("pruned", pruned) if pruned is not None else ("complete", "")
            if trial.state == "complete" and trial.value is None:
                raise DataError(NO_VALIDATION)
        if trial.state == "pruned":
            self.forget(trial)
        self.save()
        value = "" if trial.value is None else f", {spaced(self.metric)} {trial.value:.4g} on validation"
        self.options.screen.say(f"{trial.name}: {trial.state}{value}")

    def passes(self, member: RunDirectory) -> dict[str, float]:
        return {f"{at:g}": value for at, value in figures(member).items() if at == int(at)}

    def forget(self, trial: Trial) -> None:
        """What a trial that was given up has learnt; its log stays."""
        if ranks.rank() == 0:
            for left in ("state", "checkpoints"):
                shutil.rmtree(self.run.member(trial.name).path / left, ignore_errors=True)

    def price_ending(self, trial: Trial, rows: Rows) -> None:
        """What the evaluation of this trial's model on the final split will take."""
        member = self.run.member(trial.name)
        loaded = checkpoint.load_checkpoint(member, member.require_checkpoint(None))
        loaded.network.to(runtime.pick_device(self.base.device))
        if checkpoint.read_recipe(member.recipe).domain != self.base.domain:
            rows = workflow.load_rows(member, loaded.domain)
        after = members.SUMMARY + REPORTING * self.options.loaded
        limit = TimeLimit(replace(self.base, time_limit=self.time_limit), loaded.domain, rows, 1, after)
        limit.rows_after = list(rows.column("split")).count(PROMISED)
        limit.rehearse(loaded.network)
        self.ending = limit.pace.ending


def figures(member: RunDirectory) -> dict[float, float]:
    """Pass to validation figure, of what a member logged."""
    known: dict[float, float] = {}
    for entry in member.read_log():
        if entry["event"] == "pass":
            name = next((name for name in entry if name.startswith("validation ")), None)
            if name is not None and entry[name] is not None:
                known[entry["pass"]] = entry[name]
    return known


def go(
    run: RunDirectory,
    request: workflow.Request,
    recipe: Recipe | None,
    options: Options,
    kind: Callable[[RunDirectory, workflow.Request, Options], Search] = Search,
) -> dict[str, Any]:
    """Carries the search on to its end; returns the winner's results. Raises Stopped after a signal, once saved."""
    recipe = recipe or checkpoint.read_recipe(run.recipe)
    ranks.start(runtime.pick_device(recipe.device))
    with workflow.alone(run), stopping_at_once(run.path):
        search = kind(run, request, options)
        ranks.wait()  # all have read what the first will write to
        if search.winner is None:
            for line in origin.check(run, recipe):
                options.screen.say(line)
            search.base = replace(search.base, **{name: getattr(recipe, name) for name in origin.FREE})
        workflow.read_data(run, request.source, search.base, options)
        rows = workflow.load_rows(run, search.base.domain, options.screen)
        if ranks.rank() == 0 and search.winner is None:
            origin.write(run, search.base)
        search.base = checkpoint.settled(run.member("trial-000"), search.base)
        search.rows = rows
        search.judge_by(rows)
        if search.winner is None:
            for line in search.told():
                options.screen.say(line)
            try:
                while (trial := search.next()) is not None:
                    search.carry_out(trial, rows)
                    if search.time_limit is not None and search.best() is trial:
                        search.price_ending(trial, rows)
            finally:
                search.save()  # the time used so far
        return _finish(search, rows)


def _finish(search: Search, rows: Rows) -> dict[str, Any]:
    """The winner's checkpoint becomes the run's, and is evaluated once on the test split."""
    run, best = search.run, search.best()
    if best is None:
        reasons = "; ".join(f"{trial.name}: {trial.reason}" for trial in search.trials[-3:])
        raise TrainingError(f"no trial of {run.path} came to its end ({reasons}); search over smaller learning rates")
    member = run.member(best.name)
    if ranks.rank() == 0 and search.winner is None:
        members.take_over(run, member, search.base.time_limit)
        search.winner = best.name
        search.save()
    ranks.wait()
    path = members.result_path(run)
    if path is not None:
        return files.read_json(path)
    own = checkpoint.read_recipe(run.recipe)
    if own.domain != search.base.domain:
        rows = workflow.load_rows(run, own.domain, Silent())
    options, until = search.options, None
    options.screen.say(f"{best.name} is best of {len(search.trials)}")
    promising.settle(run, own, rows, options.screen)
    loaded = checkpoint.load_checkpoint(run, "best")
    imbalance.conclude(run, own.promises, options.screen.say)
    if search.time_limit is not None:
        until = time.monotonic() + search.time_limit - search.used - AFTERWARDS - REPORTING * options.loaded
    device = torch.device(runtime.pick_device(search.base.device))
    with runtime.threads(own.threads), options.screen.bar("evaluating") as bar:
        result = evaluate(run, loaded, rows, split=members.final_split(rows), device=device, progress=bar, until=until)
    overview.keep_left_out(run, result, options.screen.say)
    return result
