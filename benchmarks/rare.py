"""What `--imbalance` is worth on rare classes, and whether promises hold on rows that nothing was settled on.

    python benchmarks/rare.py [--shared ../shared/data] [--parts imbalance recall coverage] [--sets sms_spam …]
        [--seeds 0 1 2 3 4] [--settings none auto …] [--again] [--show]

Each cell is a line in measured/rare.jsonl, and a stopped script goes on; a cell that failed is said, and tried again by
the next start. All of it takes about two hours.

imbalance: training and validation are cut (rare_data.py), with each seed anew, and a cell is one training with one
setting of `--imbalance`, of a fixed number of passes or of the plain rung. Its figures on the test split stand beside
those of `none` with the same seed and rows, paired by row; over the seeds it is the mean with Student's interval, and
p after Holm over all that is compared.

recall and coverage: a model is trained once, and predicts its test split, made large, once. A draw divides these rows
anew by chance, as a run does (groups whole, classes in like shares): a third settles the promise, by the plug-in's own
functions, and the others measure it, as half of 15% and 15% of the rows do in a run; for recall also half of them,
beside. So a draw costs no training.
Validation rows, which chose the model, take no part. MAPIE (BSD-3) is given the same probabilities, or numbers, and
the same rows.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from busy import lines, note
from rare_data import Made, Maker, rare_digits, rare_sick, rare_spam, trained
from rare_promises import COVERED, FOUND, coverage_draws, recall_draws, show_coverage, show_recall

NAME = "rare.jsonl"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SETTINGS = ("none", "weights", "oversample", "undersample", "focal", "auto", "generate")
PICTURES = "pneumonia, trained"  # of which rare rows can be made,
MAKING = ["--time-limit", "15m"]  # a third of it for that: what makes them would learn for an hour and more
# Where all rows are learnt from at once, to draw a row more often is to weigh it.
AT_ONCE = ("none", "weights", "focal", "auto")
FIGURES = ("accuracy", "balanced_accuracy", "ece")  # beside each class's recall
SHOWN = ("balanced_accuracy", "rare_recall", "accuracy", "ece")
TRAININGS: dict[str, tuple[Maker, list[str]]] = {
    "pneumonia, plain": (rare_sick, ["--ladder", "plain"]),
    "pneumonia, trained": (rare_sick, ["--ladder", "trained", "--epochs", "20"]),
    "sms_spam, plain": (rare_spam, ["--ladder", "plain"]),
    "sms_spam, trained": (rare_spam, ["--ladder", "trained", "--epochs", "4"]),
    "fsdd, plain": (rare_digits, ["--ladder", "plain"]),
    "fsdd, trained": (rare_digits, ["--ladder", "trained", "--epochs", "8"]),
}


def noted(about: dict[str, Any], measure: Callable[[], dict[str, Any]], keep: bool = True) -> dict[str, Any]:
    """One cell, measured, and kept if it is to be."""
    start = time.monotonic()
    try:
        cell = measure()
    except Exception as error:  # whatever it is, the other cells are not to be lost by it
        cell = {"failed": f"{type(error).__name__}: {error}"}
    cell = {**about, "used": round(time.monotonic() - start, 1), **cell}
    if keep:
        note(NAME, cell)
    print(" ".join(map(str, about.values())), cell.get("failed", f"after {cell['used']:g} s"), flush=True)
    return cell


def latest() -> dict[tuple[str, str, int, str], dict[str, Any]]:
    return {(cell["part"], cell["set"], cell["seed"], cell["setting"]): cell for cell in lines(NAME)}


# Number 1: imbalance


def with_setting(
    made: Made, more: list[str], seed: int, setting: str, runs: Path, tables: dict[str, Any]
) -> dict[str, Any]:
    """What one training came to on the test split. Its predictions go to `tables`, where those of `none` are."""
    from pervade.engine import predictions
    from pervade.metrics.paired import differences

    more = [*more, *(MAKING if setting == "generate" else ())]
    run = trained(made, runs, setting, *more, "--imbalance", setting, "--seed", str(seed))
    result, loaded = run.results(), run.load()
    tables[setting] = predictions.read_columns(run.path / result["predictions"])
    labels, counts = result["details"]["labels"], result["details"]["train_counts"]
    names = [*FIGURES, *(f"recall[{label}]" for label in labels)]
    metrics = loaded.task.metrics(loaded.domain)
    figures = {name: [result["metrics"][name][end] for end in ("value", "low", "high")] for name in names}
    compared = differences({name: metrics[name] for name in names}, [tables["none"], tables[setting]])[0]
    apart = {name: difference.as_dict() for name, difference in compared.items()}
    return {
        "rare": [label for label, count in zip(labels, counts, strict=True) if count < max(counts) / 5],
        "counts": counts,
        "n": len(tables[setting]["row"]),
        "settled": loaded.decision,
        "figures": figures,
        "over_none": {name: [d[end] for end in ("difference", "low", "high", "p")] for name, d in apart.items()},
    }


def imbalance(options: argparse.Namespace, there: set[Any]) -> None:
    for seed in options.seeds:
        for name in chosen(TRAININGS, options.sets):
            settings = AT_ONCE if name.endswith("plain") else SETTINGS
            settings = settings if name == PICTURES else tuple(way for way in settings if way != "generate")
            cells = {setting: ("imbalance", name, seed, setting) for setting in settings}
            left = [
                setting
                for setting, cell in cells.items()
                if setting in options.settings and (options.again or cell not in there)
            ]
            if not left:
                continue
            make, more = TRAININGS[name]
            with tempfile.TemporaryDirectory() as place:
                made, runs = make(options.shared, Path(place), seed), Path(place) / "runs"
                tables: dict[str, Any] = {}
                for setting in dict.fromkeys(["none", *left]):  # it may be there: once more, for its predictions
                    about = {"part": "imbalance", "set": name, "seed": seed, "setting": setting}
                    measure = partial(with_setting, made, more, seed, setting, runs, tables)
                    if "failed" in noted(about, measure, keep=setting in left) and setting == "none":
                        break


class Mean(NamedTuple):
    """Of one value a seed: its mean, Student's 95% interval, and p of the hypothesis that it is 0; nan where there are
    too few, or all are the same."""

    value: float
    low: float
    high: float
    p: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        from scipy.special import stdtr

        from pervade.metrics.interval import student

        held = np.asarray(values, np.float64)
        mean, spread = float(held.mean()), float(held.std(ddof=1)) if len(held) > 1 else 0.0
        if spread <= 1e-12:
            return cls(mean, math.nan, math.nan, 1.0 if len(held) > 1 and mean == 0 else math.nan)
        p = 2 * float(stdtr(len(held) - 1, -abs(mean) / (spread / math.sqrt(len(held)))))
        return cls(mean, *student(held), p)


def of_cell(cell: dict[str, Any], kind: str, figure: str) -> float:
    """`figure` of "figures" or "over_none"; "rare_recall" is the mean over the rare classes."""
    if figure == "rare_recall":
        return fmean(cell[kind][f"recall[{label}]"][0] for label in cell["rare"])
    return float(cell[kind][figure][0])


def show_imbalance(cells: list[dict[str, Any]]) -> None:
    from pervade.metrics.paired import holm

    of_setting: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in sorted(cells, key=lambda cell: (list(TRAININGS).index(cell["set"]), SETTINGS.index(cell["setting"]))):
        of_setting.setdefault((cell["set"], cell["setting"]), []).append(cell)
    apart = {
        (name, setting, figure): Mean.of([of_cell(cell, "over_none", figure) for cell in there])
        for (name, setting), there in of_setting.items()
        for figure in SHOWN
        if setting != "none"
    }
    adjusted = dict(zip(apart, holm([mean.p for mean in apart.values()]), strict=True))
    titles = " | ".join(f"{figure.replace('_', ' ')} | points over none (95%), p" for figure in SHOWN)
    print(f"| set | setting | seeds | {titles} |\n" + "|---" * (3 + 2 * len(SHOWN)) + "|")
    for (name, setting), there in of_setting.items():
        row = [name, setting, str(len(there))]
        for figure in SHOWN:
            key = (name, setting, figure)
            row += [f"{fmean(of_cell(cell, 'figures', figure) for cell in there):.1%}"]
            row += [difference(apart[key], adjusted[key]) if key in apart else ""]
        print("| " + " | ".join(row) + " |")
    automatic = [name for name, setting in of_setting if setting == "auto"]
    balanced, ece = (
        {name: apart[name, "auto", figure] for name in automatic} for figure in ("balanced_accuracy", "ece")
    )
    single = sum(cell["setting"] == "auto" and beyond_none(cell) for cell in cells)
    for what, names in (
        ("balanced accuracy lower than none's (asked: none)", [name for name in balanced if balanced[name].high < 0]),
        ("higher (asked: two of the three sets)", [name for name in balanced if balanced[name].low > 0]),
        ("ECE higher (asked: none)", [name for name in ece if ece[name].low > 0]),
    ):
        print(f"auto, beyond the seeds' interval: {what}: {'; '.join(names) or 'none'}, of {len(automatic)} trainings")
    print(f"auto: single cells lower in balanced accuracy beyond the interval of their rows: {single}")


def beyond_none(cell: dict[str, Any]) -> bool:
    """Whether this one training is worse in balanced accuracy beyond the paired interval of its rows."""
    high = cell["over_none"]["balanced_accuracy"][2]
    return high is not None and high < 0


def difference(mean: Mean, adjusted: float) -> str:
    between = "" if math.isnan(mean.low) else f" ({100 * mean.low:+.1f} to {100 * mean.high:+.1f})"
    return f"{100 * mean.value:+.1f}{between}" + ("" if math.isnan(adjusted) else f", p {adjusted:.2g}")


# Numbers 2 and 3: promises


def draws(
    part: str, makers: Mapping[str, Any], measure: Callable[[str, Path, Path], dict[str, Any]]
) -> Callable[[argparse.Namespace, set[Any]], None]:
    def all_of(options: argparse.Namespace, there: set[Any]) -> None:
        for name in chosen(makers, options.sets):
            if options.again or (part, name, 0, "") not in there:
                with tempfile.TemporaryDirectory() as place:
                    about = {"part": part, "set": name, "seed": 0, "setting": ""}
                    noted(about, partial(measure, name, options.shared, Path(place)))

    return all_of


def chosen(sets: Mapping[str, Any], wanted: Sequence[str] | None) -> list[str]:
    """The sets whose name, or the first word of it, is wanted; all where none is said."""
    return [name for name in sets if wanted is None or {name, name.partition(",")[0]} & set(wanted)]


PARTS: dict[str, tuple[Callable[[argparse.Namespace, set[Any]], None], Callable[[list[dict[str, Any]]], None]]] = {
    "imbalance": (imbalance, show_imbalance),
    "recall": (draws("recall", FOUND, recall_draws), show_recall),
    "coverage": (draws("coverage", COVERED, coverage_draws), show_coverage),
}


def show() -> None:
    for part, (_, table) in PARTS.items():
        cells = [cell for (own, *_), cell in latest().items() if own == part]
        done = [cell for cell in cells if "failed" not in cell]
        print(f"\n## {part}\n")
        if done:
            table(done)
        else:
            print("not measured")
        for cell in cells:
            if "failed" in cell:
                print(f"{cell['set']}, seed {cell['seed']}, {cell['setting']}: {cell['failed']}")


def main() -> None:
    names = dict.fromkeys(
        word for sets in (TRAININGS, FOUND, COVERED) for name in sets for word in (name, name.partition(",")[0])
    )
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--sets", nargs="+", choices=list(names), help="All of them unless some are named.")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4], help="Of imbalance.")
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS), help="Of imbalance.")
    parser.add_argument("--again", action="store_true", help="Measure cells that are there already once more.")
    parser.add_argument("--show", action="store_true", help="Print what was measured, and measure nothing.")
    options = parser.parse_args()
    there = {cell for cell, done in latest().items() if "failed" not in done}
    for part in [] if options.show else options.parts:
        PARTS[part][0](options, there)
    show()


if __name__ == "__main__":
    main()
