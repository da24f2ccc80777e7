"""What each rung of a ladder will take, said before the first one is begun.

Each learns from a few rows and predicts them, in memory, and nothing of it is kept: what that took is the price of a
row. How long the weights of a linear layer are looked for, few rows do not tell (of 64 sentences 1 s, of 256 up to 2
minutes on a busy machine), and it is not tried. It is no more than a forecast: a training may end early, and a machine
become busy. It decides nothing. Whether a rung is begun, it finds out itself, by prices of its own (run/time_limit.py).
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from pervade.core import deadline, runtime, seed
from pervade.core.contracts import Context, Opening, Recipe, Solver
from pervade.core.contracts.abilities import CanBeBlended, HasCompanions, HasMembers
from pervade.core.errors import PervadeError
from pervade.core.types import Rows
from pervade.core.words import counted
from pervade.engine import building, ranks
from pervade.engine.batches import to_device
from pervade.engine.fit import Learner
from pervade.engine.predictor import Predictor
from pervade.run import cross_validation, workflow
from pervade.run.candidates import BLEND
from pervade.run.members import final_split
from pervade.run.progress import duration
from pervade.run.rungs import LEAST_PASSES
from pervade.run.time_limit import AFTERWARDS, REPORTING
from pervade.run.training import ONCE, SEEN, Options

SHARE = 0.03  # of the time that is left, for all prices together,
MOST = 5.0  # and so many seconds
FIRST = 2  # rows that are tried,
TIMES = 4  # then as many times more, while there is the time,
ENOUGH = 256  # up to so many, and not once
WORTH = 0.02  # of what the rung will take was spent on it


@dataclass(frozen=True)
class Price:
    """Seconds of a row."""

    read: float  # where the rung reads rows in a way of its own
    learn: float  # once
    look: float  # to predict it
    rough: bool = False  # by one number of rows, so that what is the same for any number counts for each


def told(
    recipes: Mapping[str, Recipe], rows: Rows, base: Recipe, options: Options, left: float | None, first: bool
) -> Iterator[str]:
    """A line for each of these rungs, in their order: what it will take, and, of the seconds that are `left` of a time
    limit, whether that suffices. `rows` are as `base` reads them; `first`: no rung is complete yet."""
    if ranks.world() > 1:
        yield "what each rung takes is known once it has begun, since several processes climb together"
        return
    began = time.monotonic()
    prices = _prices(recipes, rows, base, MOST if left is None else min(SHARE * left, MOST))
    splits = Counter(rows.column("split"))
    at_end = AFTERWARDS + REPORTING * options.loaded
    if left is not None:
        left -= time.monotonic() - began
    for place, (name, recipe) in enumerate(recipes.items()):
        price = prices.get(name)
        if name == BLEND:
            together = sum(price.look + price.read for price in prices.values())
            needed = together * splits["validation"]
            yield f"expected of blend: about {duration(needed)} beside reading the rows, once two rungs are worth it"
        elif price is None:
            yield f"expected of {name}: not known before it has begun"
        else:
            ending = at_end + price.look * splits[final_split(rows)]
            own = Expected(recipe, price, len(rows), splits)
            line, taken = own.told(None if left is None else max(left - ending, 0.0), alone=first and place == 0)
            left = None if left is None else max(left - taken, 0.0)
            yield f"expected of {name}: {line}"
    if cross_validation.are_few(rows) and isinstance(base.task, CanBeBlended):
        yield f"rows are few: each is trained {cross_validation.FOLDS} times more to judge it, where there is the time"


@dataclass(frozen=True)
class Expected:
    recipe: Recipe
    price: Price
    rows: int
    splits: Mapping[str, int]

    def told(self, left: float | None, alone: bool) -> tuple[str, float]:
        """In words, and the seconds that it will take, as far as they are known, of those that are `left`. `alone`: no
        other model is there before it."""
        return self._solved(left, alone) if isinstance(self.recipe.optimizer, Solver) else self._trained(left, alone)

    def _solved(self, left: float | None, alone: bool) -> tuple[str, float]:
        seen = self.splits["train"] + self.splits["validation"]
        once = self.price.read * self.rows + self.price.look * seen
        about = "at most" if self.price.rough else "about"
        line = f"{about} {duration(once)} to read {counted(seen, 'row')}, and longer until its weights are found"
        if left is not None and not (alone or self.price.rough) and once > ONCE * left:
            line += f"; of the {duration(left)} that are then left that is too much: it is likely to be passed by"
            return line, SEEN * once
        return line, once if left is None else min(once, left)

    def _trained(self, left: float | None, alone: bool) -> tuple[str, float]:
        recipe, reading = self.recipe, self.price.read * self.rows
        judged = self.price.look * self.splits["validation"] / recipe.early_stopping.every
        whole_pass = self.price.learn * self.splits["train"] + judged
        once = reading + recipe.epochs * whole_pass
        line = f"up to {duration(once)} for {counted(recipe.epochs, 'pass', 'passes')}"
        if left is None:
            return line, once
        fits = max(left - reading, 0.0) / max(whole_pass, 1e-9)
        if fits < recipe.epochs:
            line += f"; at most {fits:.2g} fit in the {duration(left)} that are then left"
            if not alone and fits < LEAST_PASSES:
                return f"{line}, of which nothing is learnt: it is likely to be passed by", 0.0
        return line, min(once, left)


def _prices(recipes: Mapping[str, Recipe], rows: Rows, base: Recipe, seconds: float) -> dict[str, Price]:
    """Of the rungs that could be tried in their share of the time."""
    prices: dict[str, Price] = {}
    names = [name for name in recipes if name != BLEND]
    train, until = rows.where("split", "train"), time.monotonic() + seconds
    for place, name in enumerate(names):
        now = time.monotonic()
        share = now + max(until - now, 0.0) / (len(names) - place)
        with seed.kept(), runtime.threads(recipes[name].threads):
            price = _price(recipes[name], train, base, share)
        prices |= {name: price} if price is not None else {}
    return prices


def _price(recipe: Recipe, train: Rows, base: Recipe, until: float) -> Price | None:
    """By as many rows as there is time for; None where it does not suffice for the first, or these do not suffice for
    a model (few rows of many classes)."""
    if isinstance(recipe.task, HasMembers):  # of which each would have to learn first
        return None
    tried: list[tuple[int, Price]] = []
    order, number, started = _mixed(train), FIRST, time.monotonic()
    passes = 1 if isinstance(recipe.optimizer, Solver) else recipe.epochs
    while True:
        some, begun, modules = train.select(order[:number]), time.monotonic(), len(sys.modules)
        try:
            taken = deadline.done_by(until, partial(_try, recipe, some, base))
        except (PervadeError, ValueError):  # too few to learn from, which more may not be
            taken = None
        spent = time.monotonic() - begun
        if len(sys.modules) > modules:  # which took the time, and is needed later anyway
            until, started = until + spent, started + spent
            continue
        if taken is not None:
            tried.append((len(some), taken))
        price = _of_all(tried, train) if tried else None
        worth = 0.0 if price is None else WORTH * len(train) * (price.read + price.look + passes * price.learn)
        late = time.monotonic() + TIMES * spent > until
        if number >= min(ENOUGH, len(train)) or late or (price and time.monotonic() - started > worth):
            return price
        number *= TIMES


def _of_all(tried: Sequence[tuple[int, Price]], train: Rows) -> Price:
    """What a row costs where there are all: by what more rows took more, once that is known, so that what is the same
    for any number counts once."""
    number, last = tried[-1]
    before, first = tried[-2] if len(tried) > 1 else (0, Price(0.0, 0.0, 0.0))

    def of(own: float, less: float) -> float:
        more = max(own - less, 0.0) / (number - before)
        return (own + more * (len(train) - number)) / len(train)

    costs = of(last.read, first.read), of(last.learn, first.learn), of(last.look, first.look)
    return Price(*costs, rough=len(tried) < 2)


def _mixed(train: Rows) -> Sequence[int]:
    """Positions, by chance, but two of each class come before others, so that the first ones are of several."""
    order = np.random.default_rng(0).permutation(len(train)).tolist()
    if "target" not in train:
        return order
    seen: Counter[str] = Counter()
    turns = []
    for place in order:
        of = repr(train.column("target")[place])
        turns.append(seen[of] // 2)
        seen[of] += 1
    return [order[place] for place in np.argsort(turns, kind="stable")]


def _try(recipe: Recipe, some: Rows, base: Recipe) -> Price | None:
    """What these rows took together; None where they make no batch."""
    began = time.monotonic()
    if recipe.domain != base.domain:
        own = Rows({name: values for name, values in some.columns.items() if name not in workflow.MADE})
        some, _ = recipe.domain.prepare(own, lambda done, total: None, keep=False)
        domain = recipe.init.adapt(recipe.domain.fit(some), recipe.model)
        read = time.monotonic() - began
    else:
        domain, read = recipe.init.adapt(recipe.domain.fit(some), recipe.model), 0.0
    device = torch.device(runtime.pick_device(recipe.device))
    network = building.build(recipe.model, domain.inputs(), recipe.task.outputs(domain), changes=recipe.changes)
    network = network.to(device).to(memory_format=torch.channels_last)
    task = recipe.task
    context = Context(domain, task.companions(network, domain) if isinstance(task, HasCompanions) else None)
    opening = Opening(some, task, network, context, recipe.batch_size, recipe.seed, augment=recipe.augment)
    began = time.monotonic()
    if not isinstance(recipe.optimizer, Solver):  # how long one looks for weights, few rows do not tell
        source = recipe.source.open(opening)
        if not len(source):
            return None
        learner = Learner.by(recipe, network, context, len(source))
        learner.train_mode()
        for batch in source:
            for step in learner.steps:
                step.take(to_device(batch, device), False)
        learner.averages()  # which waits for what a GPU is still at
    learnt = time.monotonic()
    Predictor(network, domain, task, workers=0, train=some).table(some)
    looked = time.monotonic()
    return Price(read, learnt - began, looked - learnt)
