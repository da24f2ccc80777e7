"""The Python face of the command line: the same verbs, the same recipes, the same run directories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pervade import progress, recipes, workflow
from pervade.core import files, registry, runtime, spec
from pervade.core import run as runs_module
from pervade.core.errors import CheckpointError, DataError
from pervade.core.protocols import Recipe
from pervade.core.types import LeftOut, Rows, Table
from pervade.data.split import NAMES as SPLITS
from pervade.engine import checkpoint, predict, ranks
from pervade.engine.checkpoint import Loaded
from pervade.evaluate.evaluation import evaluate
from pervade.progress import Screen
from pervade.training import Options

PREDICT_AT_ONCE = 256  # rows that are held in memory while predicting files


@dataclass(frozen=True)
class Run:
    """A run directory, and what can be done with it."""

    directory: runs_module.RunDirectory
    screen: Screen

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def path(self) -> Path:
        return self.directory.path

    def recipe(self) -> Recipe:
        return checkpoint.read_recipe(self.directory.recipe)

    def load(self, name: str | None = None) -> Loaded:
        """A checkpoint, ready for use: "best" unless named, "last" where there is no best."""
        return checkpoint.load_checkpoint(self.directory, self.directory.require_checkpoint(name))

    def evaluate(
        self, checkpoint: str | None = None, split: str = "test", device: str = "auto", workers: int = 1
    ) -> dict[str, Any]:
        """Predicts the split, writes the predictions file and the figures from it, and returns these.

        Each figure has value, low and high (95%), n and method. Raises DataError where the split is empty.
        """
        loaded = self.load(checkpoint)
        rows = workflow.load_rows(self.directory, self.recipe().domain, self.screen)
        place = torch.device(runtime.pick_device(device))
        split = SPLITS.get(split, split)
        with self.screen.bar("evaluating") as bar:
            return evaluate(self.directory, loaded, rows, split=split, device=place, workers=workers, progress=bar)

    def predict(
        self, inputs: Any, top: int = 3, checkpoint: str | None = None, device: str = "auto"
    ) -> list[dict[str, Any]]:
        """What the model says of files or folders: for classes the `top` likeliest with their probabilities.

        A file that cannot be used has "error" in place of an answer.
        """
        return list(self.stream(inputs, top, checkpoint, device))

    def stream(
        self, inputs: Any, top: int = 3, checkpoint: str | None = None, device: str = "auto"
    ) -> Iterator[dict[str, Any]]:
        """As `predict`, row by row: any number of files in bounded memory."""
        loaded = self.load(checkpoint)
        for rows, table, left_out in self._tables(loaded, inputs, device):
            if table is not None:
                answers = loaded.task.answers(table, loaded.domain, top)
                for name, answer in zip(rows.column("id"), answers, strict=True):
                    yield {"input": name, **answer}
            for each in left_out:
                yield {"input": each.source, "error": each.reason}

    def predict_proba(self, inputs: Any, checkpoint: str | None = None, device: str = "auto") -> np.ndarray:
        """Probabilities (n, k) in the order of `labels`. Raises DataError where an input cannot be used."""
        loaded = self.load(checkpoint)
        parts = []
        for _, table, left_out in self._tables(loaded, inputs, device):
            if left_out:
                raise DataError(f"{left_out[0].source}: {left_out[0].reason}")
            if table is not None:
                parts.append(np.asarray(table["probabilities"]))
        return np.concatenate(parts)

    @property
    def labels(self) -> tuple[str, ...]:
        labels: tuple[str, ...] = getattr(self.load().domain, "labels", ())
        return labels

    def _tables(self, loaded: Loaded, inputs: Any, device: str) -> Iterator[tuple[Rows, Table | None, list[LeftOut]]]:
        if isinstance(inputs, (str, Path)):
            inputs = [inputs]
        network = loaded.network.to(runtime.pick_device(device))
        rows, left_out = loaded.domain.read(list(inputs))
        if left_out:
            yield rows.select([]), None, left_out
        for start in range(0, len(rows), PREDICT_AT_ONCE):
            some = rows.select(range(start, min(start + PREDICT_AT_ONCE, len(rows))))
            some, unreadable = loaded.domain.prepare(some, lambda done, total: None, keep=False)
            table = None
            if len(some):
                table = predict.predict_table(network, loaded.domain, loaded.task, some, decision=loaded.decision)
            yield some, table, unreadable

    def has_split(self, split: str) -> bool:
        return split in files.read_json(self.directory.data)["columns"].get("split", [])

    def report(self) -> Path:
        """Writes report.html and MODEL_CARD.md from what lies in the run directory; returns the report's path."""
        from pervade.report import write

        return write(self.directory)

    def results(self, checkpoint: str | None = None) -> dict[str, Any]:
        """The figures of the last evaluation. Raises CheckpointError where there was none."""
        name = self.directory.require_checkpoint(checkpoint)
        path = self.directory.result("evaluate", name)
        if not path.exists():
            raise CheckpointError(f"{self.path} was not evaluated yet; run `pervade evaluate {self.path}`")
        return files.read_json(path)


def fit(
    data: Any,
    *,
    task: str | None = None,
    model: str | None = None,
    recipe: Recipe | None = None,
    name: str | None = None,
    wish: str | None = None,
    runs: str | Path = "runs",
    settings: Sequence[str] = (),
    options: Options | None = None,
    **flags: Any,
) -> Run:
    """Trains a model on `data` in a new run directory and returns the run.

    `recipe` is a whole configuration; without one it is chosen by task and model. A run without a name is called `wish`
    or a variation of it. `settings` are "path.to.field=value"; `flags` are fields of the recipe by name (epochs,
    batch_size, seed, …) and lr. Raises DataError where the data cannot be used, ConfigError with every faulty setting.
    """
    options = options or Options(screen=progress.screen())
    if recipe is None:
        task, recipe = recipes.choose(data, task, model)
        options.screen.say(f"task: {task}")
    chosen = configure(recipe, settings, **flags)
    wish = wish or f"{Path(str(data)).absolute().stem}-{registry.name_of(type(chosen.model)) or 'model'}"
    # Under torchrun the first process makes the run, and the others join it.
    ranks.start(runtime.pick_device(chosen.device))
    path = str(runs_module.create(Path(runs), name, wish).path) if ranks.rank() == 0 else ""
    directory = runs_module.RunDirectory(Path(ranks.same_text(path)))
    try:
        if ranks.rank() == 0:
            workflow.begin(directory, chosen, data, task)
        ranks.wait()
        workflow.train(directory, None if spec.readable(chosen) else chosen, options)
    except Exception:
        # A run that failed before its data was read holds nothing worth keeping, and would only take the name.
        if ranks.rank() == 0 and not directory.data.exists():
            _remove(directory)
        raise
    return Run(directory, options.screen)


def configure(recipe: Recipe, settings: Sequence[str] = (), **flags: Any) -> Recipe:
    """The recipe with settings applied. Raises ConfigError with every fault at once."""
    named = {"lr": "optimizer.lr"}
    given = [f"{named.get(key, key)}={_text(value)}" for key, value in flags.items() if value is not None]
    if not given and not settings:
        return recipe
    return spec.decode(spec.change(spec.encode(recipe), [*given, *settings]), Recipe)


def _text(value: Any) -> str:
    import json

    return json.dumps(spec.encode(value))


def load(run: str | Path, runs: str | Path = "runs") -> Run:
    """A run by path, or by name inside `runs`. Raises CheckpointError where there is none."""
    return Run(runs_module.find(run, Path(runs)), progress.screen())


def resume(
    run: str | Path, runs: str | Path = "runs", recipe: Recipe | None = None, options: Options | None = None
) -> Run:
    """Goes on training where the run was stopped, to the same weights as if it never had been."""
    directory = runs_module.find(run, Path(runs))
    options = options or Options(screen=progress.screen())
    workflow.train(directory, recipe, options)
    return Run(directory, options.screen)


def _remove(directory: runs_module.RunDirectory) -> None:
    import shutil

    shutil.rmtree(directory.path, ignore_errors=True)
