"""Rows of rare classes that are made for training (`--imbalance generate`: train/imbalance/generate.py).

    members/judge/               a classifier, which learnt from the rows that train and no others
    members/generator/           what makes them, by class: likewise
    synthetic/0-12.png           of the first class that is made, by seed 12
    synthetic/beside.png         a few of each class, under real ones
    data.json                    "synthetic" marks them, after all rows of the data; how many were asked for and kept

A picture is kept that a judge, which learnt from the same rows (engine/judging.py), takes for one of the class asked
for, each class counting the same. From then on they are files of the run: a resumed one trains on the very same.
Nothing but training reads them (`RunDirectory.read_data`, `workflow.load_rows`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pervade.core import files, runtime
from pervade.core.contracts import MakesRows, Recipe
from pervade.core.contracts.capabilities import Counted, able
from pervade.core.errors import ConfigError
from pervade.core.run import RunDirectory
from pervade.core.terminal import visible
from pervade.core.types import LeftOut, Rows
from pervade.data.image.grid import grid, png
from pervade.data.rows import split as splits
from pervade.domains.generated_pictures import GeneratedPictures
from pervade.domains.image import Image
from pervade.engine import checkpoint, judging
from pervade.engine.checkpoint import Loaded
from pervade.engine.generation import canvas
from pervade.engine.predictor import Predictor
from pervade.metrics.priors import likelier_than_usual
from pervade.recipes import generation
from pervade.run import imbalance, overview
from pervade.run.progress import Screen

JUDGE, MEMBER = judging.MEMBER, "generator"
# Pixels a side that every network here can make: the largest that is no larger than what the classifier reads, since of
# larger ones much would have to be learnt from few.
SIDES = (8, 14, 16, 28, 32, 56, 64)
TRIES = 3  # times as many as are asked for are made at most
AT_ONCE = 64  # pictures that are made together
MAKING = 0.5  # of the time in which it learns, for making them, where that is limited
SHOWN, MOST_CLASSES = 8, 3  # pictures of a class in beside.png, and classes
ALIKE = ("read_from", "lines")  # columns that are the same in all rows


def generator(cure: MakesRows, recipe: Recipe, rows: Rows) -> tuple[Recipe, Rows]:
    """How what makes them learns, and from which rows: those that train. Where a figure chooses its pass, a part of
    these says it. Raises ConfigError where the model makes no pictures."""
    train = rows.where("split", "train")
    own, reads = generation.recipe(cure.model, rows=len(train)), able(recipe.domain, Image)
    if own.then is not None:
        raise ConfigError(
            f"--imbalance generate: {cure.model} makes pictures by two models, one after the "
            "other; take -o imbalance.model=dcgan, sngan or diffusion"
        )
    made = GeneratedPictures(
        size=cure.size or max(side for side in SIDES if side <= max(reads.size, SIDES[0])),
        condition="label",
        channels=1 if reads.channels == 1 else None,  # grey where all that train are: else colours would tell them
        framing=reads.framing,
        range=reads.range,
        flip=reads.flip,
    )
    learnt = ["train"] * len(train)
    if own.early_stopping.metric is not None:
        learnt = splits.draw(train, learnt, {"validation": own.validation}, recipe.seed)
    columns = {name: list(train.column(name)) for name in train.columns if name not in ("fold", "split")}
    return replace(own, domain=made, seed=recipe.seed), Rows({**columns, "split": learnt})


def judge(own: Recipe, recipe: Recipe, learnt: Rows) -> Recipe:
    """How what says of what class a picture is learns, from the same rows as what makes them by its `own` recipe."""
    counts = imbalance.counts(learnt, "train")
    known: dict[str, Any] = {"labels": tuple(sorted(counts)), "rows": len(learnt)}
    known["channels"] = able(recipe.domain, Image).channels
    (judges,) = judging.recipes(replace(able(own.domain, GeneratedPictures), **known)).values()
    return replace(judges, seed=recipe.seed)


def are_made(run: RunDirectory) -> bool:
    return "synthetic" in run.read_data(synthetic=True)["columns"]


def make(run: RunDirectory, cure: MakesRows, recipe: Recipe, rows: Rows, screen: Screen) -> tuple[Rows, dict[str, Any]]:
    """Writes the files, and returns their rows and, of each class, how many there are ("synthetic" in data.json)."""
    member = run.member(MEMBER)
    loaded = checkpoint.load_checkpoint(member, member.require_checkpoint(None))
    judges = checkpoint.load_checkpoint(run.member(JUDGE), run.member(JUDGE).require_checkpoint(None))
    counts = imbalance.counts(rows, "train")
    threads, device = checkpoint.read_recipe(member.recipe).threads, runtime.pick_device(recipe.device)
    loaded.network.to(device)
    limit = math.inf if recipe.time_limit is None else MAKING * cure.time * recipe.time_limit
    until, about = time.monotonic() + limit, dict[str, Any]()
    kept: dict[str, list[Path]] = {}
    with runtime.threads(threads), files.replacing_folder(run.synthetic) as folder, screen.bar("making rows") as bar:
        wanted = cure.wanted(counts)
        for number, (label, asked) in enumerate(wanted.items()):
            bar(number, len(wanted))
            kept[label], looked_at = _of_class(loaded, judges, folder, number, label, asked, until)
            known = {"real": counts[label], "asked": asked, "looked_at": looked_at, "kept": len(kept[label])}
            about[label] = known
        (folder / "beside.png").write_bytes(_beside(loaded, rows, kept))
    lines = [_told(label, **number) for label, number in about.items()]
    for line in lines:
        screen.say(line)
    overview.keep(run, lines)
    of_class = [(label, run.synthetic / path.name) for label, paths in kept.items() for path in paths]
    made = Rows(
        {
            "id": [f"synthetic: {path.name}" for _, path in of_class],
            "path": [str(path) for _, path in of_class],
            "hash": [files.sha256(path) for _, path in of_class],
            "target": [label for label, _ in of_class],
        }
    )
    return made, about


def _of_class(
    loaded: Loaded, judges: Loaded, folder: Path, number: int, label: str, asked: int, until: float
) -> tuple[list[Path], int]:
    """The files of as many pictures as are asked for, or of fewer where the judge takes too few of TRIES times as many
    for what they are to be, or there is no time for more than the first; and how many were looked at. `number` stands
    for the class in their names."""
    task, kept, looked_at = loaded.task, list[Path](), 0
    while len(kept) < asked and looked_at < TRIES * asked and (not looked_at or time.monotonic() < until):
        seeds = list(range(looked_at, min(looked_at + AT_ONCE, TRIES * asked)))
        rows = Rows({"id": [f"{label} {seed}" for seed in seeds], "target": [label] * len(seeds), "seed": seeds})
        answers = task.answers(Predictor.of(loaded, targets=False).table(rows), loaded.domain, 1)
        paths = [folder / f"{number}-{seed}.png" for seed in seeds]
        for path, answer in zip(paths, answers, strict=True):
            path.write_bytes(png(answer["picture"]))
        for path, named in zip(paths, _named(judges, paths), strict=True):
            looked_at += len(kept) < asked
            if named == label and len(kept) < asked:
                kept.append(path)
            else:
                path.unlink()
    return kept, looked_at


def _named(judge: Loaded, paths: Sequence[Path]) -> list[str]:
    """What class each picture is taken for, where each class counts the same."""
    names = [str(path) for path in paths]
    rows, _ = judge.domain.prepare(Rows({"id": names, "path": names}), lambda done, total: None, keep=False)
    table = Predictor.of(judge, targets=False).table(rows)
    known = able(judge.domain, Counted)
    taken_for = likelier_than_usual(table["probabilities"], np.array(known.counts) / known.rows)
    return [known.labels[place] for place in taken_for.tolist()]


def _beside(loaded: Loaded, rows: Rows, kept: Mapping[str, Sequence[Path]]) -> bytes:
    """A PNG: of each class a row of real pictures, as those that are made are, over one of made ones."""
    train, cells = rows.where("split", "train"), list[np.ndarray]()
    for label, paths in list(kept.items())[:MOST_CLASSES]:
        real = train.where("target", label)
        real = Rows({name: list(real.column(name)) for name in ("id", "path", "target")})
        for some, target in (
            (real, label),
            (Rows({"id": list(map(str, paths)), "path": list(map(str, paths))}), label),
        ):
            some = some.select(range(min(len(some), SHOWN)))
            some = some.with_columns(target=[target] * len(some))
            shown = list(judging.pictures_of(some, loaded.domain)) if len(some) else []
            white = np.full(canvas(loaded.domain).shape[1:] + canvas(loaded.domain).shape[:1], 255, np.uint8)
            cells += [*shown, *[white] * (SHOWN - len(shown))]
    return png(grid(cells, SHOWN))


def _told(label: str, real: int, asked: int, looked_at: int, kept: int) -> str:
    lost = f"; of {looked_at:,} the judge took {looked_at - kept:,} for another class" if looked_at > kept else ""
    few = f" of the {asked:,} that were asked for" if kept < asked else ""
    return f"synthetic rows: {visible(label)}: {kept:,}{few} train beside {real:,} real ones{lost}"


def beside(run: RunDirectory, made: Rows) -> tuple[Rows, list[LeftOut]]:
    """The rows of the run's data and, after them, those that were `made`, marked; and what was left out of the data."""
    stored = run.read_data()
    columns, number = stored["columns"], len(made)
    own: dict[str, list[Any]] = {
        **{name: [None] * number for name in columns},
        **{name: [values[0]] * number for name, values in columns.items() if name in ALIKE},
        **{name: list(made.column("id")) for name in ("group", "bundle")},
        **{name: list(made.column(name)) for name in made.columns},
        "fold": [0] * number,
        "split": ["train"] * number,
    }
    joined = {name: [*values, *own[name]] for name, values in columns.items()}
    marks = [*[False] * len(columns["id"]), *[True] * number]
    return Rows({**joined, "synthetic": marks}), [LeftOut(**item) for item in stored["left_out"]]


def told_of(recipe: Recipe, rows: Rows) -> Recipe:
    """The recipe where its rows hold synthetic ones, which its task takes out of the probabilities again."""
    made = imbalance.counts(rows.where("synthetic", True), "train")
    task: Any = recipe.task
    known = tuple((label, made[label]) for label in sorted(imbalance.counts(rows.real(), "train")))
    return replace(recipe, task=replace(task, synthetic=known))
