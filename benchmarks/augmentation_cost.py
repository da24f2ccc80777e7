"""What augmentation costs the default recipe: its share of a training step, and core-milliseconds of each operation.

    python benchmarks/augmentation_cost.py [--data ../shared/data/cats_dogs] [--quick]      about 3 minutes

The default recipe trains on the same pictures with augmentation and without (the middle of each picture from the same
cache, the same collating and thread), by turns in one process, a pass of 1,024 pictures each. The share is what a step
takes longer, of what it takes: in wall time, and in time of all cores, which other work on the machine disturbs less.
Mixing (MixUp, CutMix) is done to whole batches by the same thread, and counts as augmentation where a recipe has it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pervade.core import runtime

runtime.prepare()

import numpy as np
import torch

from pervade.core import seed
from pervade.core.contracts import Context, Recipe
from pervade.core.types import Rows
from pervade.data.rows.loader import Loader
from pervade.domains.image import Image
from pervade.engine.fit import Learner
from pervade.recipes import image
from pervade.train.augment.cutmix import CutMix
from pervade.train.augment.mixup import MixUp

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "cats_dogs"
LIMIT = 0.20
PICTURES = 1024  # of a pass
# Colour jitter, RandAugment and erasing are no part of the default; this is what a step would cost with all of them.
EVERYTHING = {
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
    "grey": 0.1,
    "rand_augment": 2,
    "erase": 0.25,
}


@dataclass
class Side:
    name: str
    moments: Iterator[Any]
    wall: list[float] = field(default_factory=list)  # seconds a picture, a round each
    cores: list[float] = field(default_factory=list)

    def one_pass(self, count: bool) -> None:
        wall, cores, rows = time.perf_counter(), time.process_time(), 0
        for moment in self.moments:
            rows += moment.rows
            if moment.kind == "pass":
                break
        if count:
            self.wall.append((time.perf_counter() - wall) / rows)
            self.cores.append((time.process_time() - cores) / rows)


def side(name: str, recipe: Recipe, rows: Rows) -> Side:
    """Training as `pervade train` does it, endlessly."""
    seed.everything(recipe.seed)
    network = recipe.model.build(recipe.domain.inputs(), recipe.task.outputs(recipe.domain))
    network = network.to(memory_format=torch.channels_last)
    context = Context(recipe.domain, recipe.task.companions(network, recipe.domain))
    learner = Learner(
        recipe.task,
        network,
        context,
        recipe.optimizer,
        recipe.schedule,
        10**6,
        precision=runtime.training_precision("cpu", recipe.precision),
        tuning=recipe.tuning,
        l1=recipe.l1,
        l2=recipe.l2,
        average=recipe.average,
    )
    loader = Loader(rows, recipe.domain, recipe.batch_size, recipe.seed, workers=recipe.workers, augment=recipe.augment)
    return Side(name, learner.fit(loader, 10**9))


def quartiles(values: list[float], scale: float = 1.0, unit: str = "") -> str:
    low, middle, high = (scale * each for each in statistics.quantiles(values, n=4))
    return f"{middle:.2f}{unit} ({low:.2f} to {high:.2f})"


def shares(plain: list[float], changed: list[float]) -> list[float]:
    """By round: what the augmented pass took longer, of what it took."""
    return [(each - without) / each for each, without in zip(changed, plain, strict=True)]


def unchanged(domain: Image) -> Image:
    """The middle of each picture, of the size that training takes."""
    return replace(domain, augment=False, views=1, size=round(domain.size * domain.train_scale), train_scale=1.0)


def steps(recipe: Recipe, rows: Rows, rounds: int) -> None:
    domain = recipe.domain
    assert isinstance(domain, Image)
    plain = replace(recipe, domain=unchanged(domain), augment=())
    everything = replace(recipe, domain=replace(domain, **EVERYTHING))
    sides = [side("none", plain, rows), side("the recipe's", recipe, rows), side("everything", everything, rows)]
    for number in range(rounds + 1):  # the first warms up
        for each in sides if number % 2 else sides[::-1]:  # no side always follows the same other
            each.one_pass(number > 0)
    print("| augmentation | ms a picture, wall | core-ms a picture | share of wall time | share of core time |")
    print("|---|---|---|---|---|")
    none = sides[0]
    for each in sides:
        line = f"| {each.name} | {quartiles(each.wall, 1000)} | {quartiles(each.cores, 1000)} "
        if each is none:
            print(f"{line}| | |")
            continue
        wall, cores = shares(none.wall, each.wall), shares(none.cores, each.cores)
        print(f"{line}| **{quartiles(wall, 100, ' %')}** | {quartiles(cores, 100, ' %')} |")
    found = statistics.median(shares(none.wall, sides[1].wall))
    print(f"\nAsked: at most {LIMIT:.0%} of the step's wall time. {'Met' if found <= LIMIT else 'MISSED'}.")
    print(f"Medians and quartiles of {rounds} rounds, paired by round; batches of {recipe.batch_size};", end=" ")
    print(f"`everything` is the recipe's and {', '.join(f'{name} {value}' for name, value in EVERYTHING.items())}.\n")


def cost(work: Callable[[int], Any], count: int, repeats: int) -> float:
    """Core-milliseconds of one call: the least of the repeats, of this thread alone."""
    best = float("inf")
    for _ in range(repeats):
        start = time.thread_time()
        for number in range(count):
            work(number)
        best = min(best, (time.thread_time() - start) / count)
    return 1000 * best


def operations(domain: Image, rows: Rows, repeats: int) -> None:
    """Each operation by itself: the transform with it less the transform without."""
    torch.set_num_threads(1)
    given = [rows[number] for number in range(min(len(rows), 256))]
    nothing = replace(domain, flip=False, views=1, **dict.fromkeys(EVERYTHING, 0))

    def transform(settings: Image) -> float:
        return cost(lambda i: settings.transform(given[i], seed.generator(0, 0, i)), len(given), repeats)

    middle = transform(unchanged(nothing))
    crop = transform(nothing)
    print("| operation | core-ms a picture |\n|---|---|")
    print(f"| its generator, the middle cut out | {middle:.3f} |")
    print(f"| random crop, resized to {round(nothing.size * nothing.train_scale)} pixels | {crop - middle:.3f} |")
    # A mirrored picture costs in `collate` what it saves in `transform`, unless it is laid out anew: so both are timed.
    for name, value in {"flip": True, **EVERYTHING}.items():
        print(f"| {name} {value} | {transform(replace(nothing, **{name: value})) - crop:.3f} |")
    examples = [domain.transform(row, seed.generator(0, 0, i))[0] for i, row in enumerate(given[:64])]
    print(f"| collate: uint8 to floats of 0-1 | {cost(lambda i: domain.collate(examples), 10, repeats) / 64:.3f} |")
    batch = domain.collate(examples)
    for mixer in (MixUp(), CutMix()):
        each = cost(lambda i, mix=mixer: mix(batch, np.random.default_rng(i)), 10, repeats) / len(examples)
        print(f"| {type(mixer).__name__} | {each:.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=str(DATA))
    parser.add_argument("--quick", action="store_true", help="two rounds of few pictures")
    arguments = parser.parse_args()
    recipe = image.default()
    rows, _ = recipe.domain.read(arguments.data)
    rows, _ = recipe.domain.prepare(rows, lambda done, total: None)
    rows = rows.where("split", "train") if "split" in rows else rows
    recipe = replace(recipe, domain=recipe.domain.fit(rows))
    chosen = seed.generator(0).permutation(len(rows))[: 4 * recipe.batch_size if arguments.quick else PICTURES]
    steps(recipe, rows.select(chosen.tolist()), rounds=2 if arguments.quick else 24)
    assert isinstance(recipe.domain, Image)
    operations(recipe.domain, rows, repeats=2 if arguments.quick else 10)


if __name__ == "__main__":
    main()
