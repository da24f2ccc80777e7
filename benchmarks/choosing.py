"""Which rung, or which blend of rungs, to deliver: rules compared on rows held out of the training split.

    python benchmarks/choosing.py [--shared ../shared/data] [--keep FOLDER] [--sets sst2 …] [--seeds 0 1]
        [--most 60] [--show]

No test split is read. A third of the training rows are held out (groups whole); the rungs plain and trained learn from
the others, from random weights, and what they say of the held-out rows is kept in FOLDER (a training that is there is
not made again). Then these rows are divided again and again: some take the validation split's place, by which a rule
chooses and finds shares, and the others tell what it came to. So one training serves every rule and many divisions.
Where there are fewer than ten groups, those of the validation split are divided with them.

Each line of measured/choosing.jsonl is a training and a rule; a stopped script goes on. All trainings take 40 minutes,
the rules 15, and once more by 60 rows (--most 60).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ["PERVADE_OFFLINE"] = "1"

import default
import numpy as np
from busy import lines, note

from pervade.core import runtime
from pervade.core.contracts import Domain
from pervade.core.run import RunDirectory
from pervade.core.types import Rows, Table
from pervade.data.rows import folds
from pervade.engine import checkpoint, predictions, ranks
from pervade.engine.predictor import Predictor
from pervade.metrics.estimate import Metric, too_few_groups
from pervade.run import blending, imbalance, ladder, opening, rungs, workflow
from pervade.run.choosing import choose
from pervade.run.settling import only
from pervade.run.training import Options

NAME = "choosing.jsonl"
HELD_OUT = 3  # one row in so many
DIVISIONS = 20
TWO_SIDED = 1.96  # standard errors
FEW_GROUPS = 10
RUNGS = ("plain", "trained")
BEFORE = "greedy, shown better"  # the rule until this was measured
SETS: dict[str, tuple[float, dict[str, Any]]] = {  # seconds for both rungs, and what else is asked
    "pneumonia": (120, {}),
    "sst2": (150, {}),
    "sms_spam": (90, {}),
    "chnsenticorp": (240, {}),
    "cats_dogs": (150, {}),
    "mnist 2,000": (120, {}),
    "fsdd by speaker": (90, {}),
    "noisy words": (60, {}),
    "pneumonia 20:1": (120, {"imbalance": "auto"}),
}
FLAGS = {"--label-pattern": "label_pattern", "--group-pattern": "group_pattern", "--task": "task"}


def learn(name: str, seed: int, shared: Path, run: RunDirectory) -> None:
    """Trains both rungs without the held-out rows, and keeps what they say of these, before any decision."""
    limit, more = SETS[name]
    with tempfile.TemporaryDirectory() as folder:
        place, words = default.SETS[name](shared, Path(folder))
        flags = {FLAGS[flag]: value for flag, value in zip(words[::2], words[1::2], strict=True)}
        asked: dict[str, Any] = {"ladder": list(RUNGS), "seed": seed, "time_limit": limit, "init": "random"}
        options = Options()
        chosen = choose(place, run.path.parent, options, **asked, **more, **flags)
        assert chosen.rungs is not None
        opened = opening.by_recipe(opening.plain(place), chosen.recipe, options)
        request = workflow.Request(opening.plain(place), chosen.task)
        run.path.mkdir(parents=True)
        rungs.begin(run, chosen.rungs)
        workflow.begin(run, chosen.recipe, request)
        workflow.write_data(run, request.source, held_out(opened.rows, seed))
        ranks.start(runtime.pick_device(chosen.recipe.device))
        climbed = ladder.Ladder(run, request, options)
        rows = climbed.open()
        assert rows is not None
        climbed.go_on(rows)
        for rung in climbed.complete():
            member = run.member(rung.name)
            loaded = checkpoint.load_checkpoint(member, member.require_checkpoint(None))
            own = workflow.load_rows(member, loaded.domain)
            with runtime.threads(1):
                undecided = Predictor(loaded.network, loaded.domain, loaded.task)
                undecided.write(run.path / f"{rung.name}.parquet", own.where("split", "test"), {"split": "held out"})
        print(name, seed, {rung.name: (rung.state, rung.value, rung.seconds, rung.reason) for rung in climbed.rungs})


def held_out(rows: Rows, seed: int) -> Rows:
    """Without the test split, in whose place stand rows of the training split."""
    rows = rows.select([i for i, split in enumerate(rows.column("split")) if split in ("train", "validation")])
    train = [i for i, split in enumerate(rows.column("split")) if split == "train"]
    fold = folds.deal(rows, train, HELD_OUT, seed)
    splits = zip(rows.column("split"), fold, strict=True)
    return rows.with_columns(split=["test" if number == 1 else split for split, number in splits])


def greedy(task: Any, tables: list[Table], scales: list[float], domain: Domain) -> list[float]:
    """Shares by greedy selection with replacement (Caruana et al. 2004), of which the best along the way are kept."""
    counts, best, chosen = [0] * len(tables), -np.inf, [0.0]
    for size in range(1, 21):
        tried = [[count + (place == more) for place, count in enumerate(counts)] for more in range(len(tables))]
        shares = [[count * scale / size for count, scale in zip(more, scales, strict=True)] for more in tried]
        figures = [task.log_likelihood(task.blended(tables, some, domain)).mean() for some in shares]
        place = int(np.argmax(figures))
        counts = tried[place]
        if figures[place] > best:
            best, chosen = figures[place], shares[place]
    return chosen


def equal(task: Any, tables: list[Table], scales: list[float], domain: Domain) -> list[float]:
    return [scale / len(scales) for scale in scales]


SHARES = {"combined": blending.weights, "greedy": greedy, "equal": equal}


def chosen(task: Any, tables: list[Table], half_of: dict[int, int], domain: Domain, headline: Metric) -> dict[str, Any]:
    """The weights by which each rule answers, from rows that stand for the validation split."""
    half = np.array([half_of[row] for row in tables[0]["row"].tolist()])

    def scale_of(table: Table, kept: np.ndarray) -> float:
        kept = kept if kept.any() else ~kept  # a half without rows settles nothing
        return float(task.output_scale(task.decide(only(table, kept), domain)))

    scales = [scale_of(table, half >= 0) for table in tables]
    by_half = [[scale_of(table, half == side) for side in (0, 1)] for table in tables]
    one = [[scale * (place == rung) for place, scale in enumerate(scales)] for rung in range(len(tables))]
    alone = [
        blending.crossed(task, [table], [[scale] for scale in own], half_of, domain)
        for table, own in zip(tables, by_half, strict=True)
    ]
    right = [float(headline.compute(table, np.ones(len(half)))) for table in tables]
    likely = [float(task.log_likelihood(table).mean()) for table in alone]
    place = int(np.argmax(right))
    best, first = one[place], alone[place]
    rules = {RUNGS[0]: one[0], RUNGS[1]: one[1], "best figure": best, "best log-loss": one[int(np.argmax(likely))]}
    too_few = too_few_groups(len(np.unique(tables[0]["group"])), len(half))
    for name, find in SHARES.items():
        shares = find(task, tables, scales, domain)
        with patch.object(blending, "weights", find):
            together = blending.crossed(task, tables, list(zip(*by_half, strict=True)), half_of, domain)
        gain = float(headline.compute(together, np.ones(len(half)))) - right[place]
        likelier = task.log_likelihood(together) - task.log_likelihood(first)
        errors = float(likelier.mean() / max(likelier.std(ddof=1) / len(likelier) ** 0.5, 1e-12))
        worse = blending.shown(headline, first, together) < 0
        clearly = blending.shown(headline, first, together) > 0 or (errors > TWO_SIDED and gain >= 0)
        bars = {"where likelier": errors > 0 and not worse, "likelier by one error": errors > 1 and not worse}
        bars["unless worse"] = errors > -TWO_SIDED and not worse
        if name == "greedy":
            rules[BEFORE] = shares if clearly else best
        for bar, passed in bars.items():
            rules[f"{name}, {bar}"] = shares if passed and not too_few else best
    return rules


def compare(name: str, seed: int, most: int | None, run: RunDirectory) -> None:
    """What each rule comes to, on average over the divisions; `most` rows choose, unless None."""
    member = run.member(RUNGS[1])
    if not all((run.path / f"{rung}.parquet").exists() for rung in RUNGS):
        print(f"{name}, seed {seed}: not both rungs came to their end")
        return
    recipe, domain = checkpoint.read_recipe(member.recipe), checkpoint.read_domain(member.preprocess)
    task: Any = recipe.task
    _, headline = imbalance.headline(recipe, domain)
    tables = [predictions.read_columns(run.path / f"{rung}.parquet") for rung in RUNGS]
    number = list(run.read_data()["columns"]["split"]).count("validation")
    few = len(np.unique(tables[0]["group"])) < FEW_GROUPS
    if few:
        paths = [run.member(rung).predictions(run.member(rung).require_checkpoint(None), "undecided") for rung in RUNGS]
        more = [predictions.read_columns(path) for path in paths]
        for table in more:
            table["group"] = table["group"] + 1 + tables[0]["group"].max()
        tables = [predictions.concatenate(list(pair)) for pair in zip(tables, more, strict=True)]
    group, rng = tables[0]["group"], np.random.default_rng(seed)
    outcomes: dict[str, list[list[float]]] = {}
    for _ in range(DIVISIONS):
        order = rng.permutation(np.unique(group))
        taken = len(order) // 2 if few else min(number, len(order) // 2, most or number)
        held = np.isin(group, order[:taken])
        halves = rng.permutation(np.unique(group[held]))[::2]
        half = np.isin(group[held], halves).astype(int)
        own = [only(table, held) for table in tables]
        rules = chosen(task, own, dict(zip(own[0]["row"].tolist(), half.tolist(), strict=True)), domain, headline)
        for rule, weights in rules.items():
            said = task.blended([only(table, ~held) for table in tables], weights, domain)
            value = float(headline.compute(said, np.ones(int((~held).sum()))))
            outcomes.setdefault(rule, []).append([value, -float(task.log_likelihood(said).mean()), min(weights) > 0])
    best = np.max([np.array(outcomes[rung])[:, 0] for rung in RUNGS], axis=0)
    for rule, kept in outcomes.items():
        value, loss, together = np.array(kept).T
        cell = {"set": name, "seed": seed, "most": most, "rule": rule, "divisions": DIVISIONS, "n": int(held.sum())}
        cell |= {
            "value": value.mean(),
            "behind": (best - value).mean(),
            "loss": loss.mean(),
            "blended": together.mean(),
        }
        note(NAME, {key: round(part, 5) if isinstance(part, float) else part for key, part in cell.items()})


def show(most: int | None) -> None:
    cells = {(cell["set"], cell["seed"], cell["rule"]): cell for cell in lines(NAME) if cell["most"] == most}
    rules = list(dict.fromkeys(rule for _, _, rule in cells))
    sets = [name for name in SETS if any(cell[0] == name for cell in cells)]
    columns = ("rule", "behind the best rung, points", "less than before, points", "log-loss less", "blends", *sets)
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---|---|---|" + "---|" * len(sets))
    trainings = sorted({(name, seed) for name, seed, _ in cells})
    for rule in rules:
        own = [cells[name, seed, rule] for name, seed in trainings]
        first = [cells[name, seed, BEFORE] for name, seed in trainings]
        behind = 100 * np.array([cell["behind"] for cell in own])
        gains = [100 * np.array([cell["behind"] for cell in first]) - behind]
        gains.append(np.array([one["loss"] - cell["loss"] for one, cell in zip(first, own, strict=True)]))
        told = [
            f"{gain.mean():+.{digits}f} ± {error(gain):.{digits}f}" for gain, digits in zip(gains, (2, 4), strict=True)
        ]
        by_set = [
            f"{np.mean([part for part, (own_set, _) in zip(behind, trainings, strict=True) if own_set == name]):+.2f}"
            for name in sets
        ]
        share = np.mean([cell["blended"] for cell in own])
        print(f"| {rule} | {behind.mean():+.2f} | {' | '.join(told)} | {share:.0%} | {' | '.join(by_set)} |")


def error(values: np.ndarray) -> float:
    """One standard error of the mean, over trainings."""
    return float(values.std(ddof=1) / len(values) ** 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=default.SHARED)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "choosing")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--most", type=int, help="Rows that choose, at most; else as many as the validation split has.")
    parser.add_argument("--show", action="store_true", help="Print what was measured, and measure nothing.")
    options = parser.parse_args()
    there = {(cell["set"], cell["seed"]) for cell in lines(NAME) if cell["most"] == options.most}
    for seed in [] if options.show else options.seeds:
        for name in options.sets:
            run = RunDirectory(options.keep / f"{name.replace(' ', '-').replace(',', '').replace(':', '-')}-{seed}")
            if not list(run.path.glob("*.parquet")):
                learn(name, seed, options.shared, run)
            if (name, seed) not in there:
                compare(name, seed, options.most, run)
    show(options.most)


if __name__ == "__main__":
    main()
