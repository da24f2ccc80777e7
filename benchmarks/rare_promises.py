"""Numbers 2 and 3 of benchmarks/rare.py: what promises come to in many draws of one model's predictions."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from default import some_digits, whole
from rare_data import Made, Maker, half_of_messages, half_of_portraits, half_of_x_rays, leaning_digits, trained
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

DRAWS = 40
# Of how many parts one settles. A run has about two rows of the test split to each that settles; halves are more rows.
DIVIDED = {"a third": 3, "half": 2}
LEAST = 0.95  # of the rows of the class that is to be found
SHARE = 0.9  # of the rows whose set, or range, is to hold the truth


def without_seed(make: Callable[[Path, Path], Made]) -> Maker:
    return lambda shared, folder, seed: make(shared, folder)


FOUND: dict[str, Maker] = {"pneumonia": half_of_x_rays, "sms_spam": half_of_messages}
COVERED: dict[str, Maker] = {
    "cats_dogs": without_seed(whole("cats_dogs")),
    "sst2": without_seed(whole("sst2")),
    "mnist": without_seed(some_digits),
    "orl_faces": half_of_portraits,
    "leaning digits": leaning_digits,
}


@dataclass(frozen=True)
class HeldOut:
    """Predictions of rows that chose nothing, and the rows themselves, in the same order."""

    domain: Any
    rows: Any
    columns: dict[str, Any]

    @classmethod
    def of(cls, make: Maker, shared: Path, folder: Path) -> HeldOut:
        from pervade.engine import predictions
        from pervade.run import workflow

        run = trained(make(shared, folder, 0), folder / "runs", "run", "--ladder", "plain", "--seed", "0")
        loaded = run.load()
        rows = workflow.load_rows(run.directory, loaded.domain).where("split", "test")
        columns = predictions.read_columns(run.path / run.results()["predictions"])
        assert list(columns["row"]) == list(rows.number)
        return cls(loaded.domain, rows, columns)

    def divided(self, draw: int, parts: int = 3) -> tuple[dict[str, Any], dict[str, Any]]:
        """The one of so many parts that settles, and the others, which are measured."""
        from pervade.data.rows import folds
        from pervade.run.settling import only

        fold = np.array(folds.deal(self.rows, range(len(self.rows)), parts, draw))
        settles = fold == draw % parts + 1  # in turn, since of the odd rows of a class the same fold has one more
        return only(self.columns, settles), only(self.columns, ~settles)


def fewest_false_alarms(score: np.ndarray, positive: np.ndarray, least: float) -> int:
    """Of the thresholds on `score` (n,) that find at least the share `least` of the `positive` rows (n,) bool, those of
    the best one: what could be had by who knows the answers."""
    wanted = math.ceil(least * positive.sum() - 1e-9)
    threshold = np.sort(score[positive])[-wanted]
    return int((score[~positive] >= threshold).sum())


def recall_draws(name: str, shared: Path, folder: Path) -> dict[str, Any]:
    held = HeldOut.of(FOUND[name], shared, folder)
    label = held.domain.labels[-1]
    return {"class": label, "settled_by": {settling: drawn(held, label, parts) for settling, parts in DIVIDED.items()}}


def drawn(held: HeldOut, label: str, parts: int) -> dict[str, Any]:
    """What `--min-recall` came to in each draw, where one of so many parts settles it."""
    from pervade.core.errors import PromiseError
    from pervade.metrics.interval import wilson
    from pervade.promises.threshold import Threshold

    number = held.domain.labels.index(label)
    promise, draws, refused = Threshold(min_recall={label: LEAST}), [], []
    for draw in range(DRAWS):
        settling, measured = held.divided(draw, parts)
        try:
            settled = promise.settle(settling, held.domain)
        except PromiseError as error:
            refused.append(str(error))
            continue
        positive = np.asarray(measured["target"]) == number
        called = np.asarray(promise.keep(measured, settled, held.domain)["prediction"]) == number
        right, total = int((called & positive).sum()), int(positive.sum())
        interval = dict(zip(("low", "high"), wilson(right, total), strict=True))
        best = fewest_false_alarms(np.asarray(measured["probabilities"])[:, number], positive, LEAST)
        alarms = {"false_alarms": int((called & ~positive).sum()), "best": best, "negative": int((~positive).sum())}
        settled_by = int((np.asarray(settling["target"]) == number).sum())
        draws.append({"recall": right / total, **interval, "positive": total, "settled_by": settled_by, **alarms})
    return {"draws": draws, "refused": refused}


def show_recall(cells: list[dict[str, Any]]) -> None:
    print(
        "| set | found | settled by | rows of it: to settle, measured | draws | recall, mean | at least 95% in "
        "| interval wholly below in | false alarms, median | best in hindsight, median "
        "| times as many, median |\n" + "|---" * 11 + "|"
    )
    for cell in cells:
        for settling, made in cell["settled_by"].items():
            draws, refused = made["draws"], made["refused"]
            if not draws:
                print(f"{cell['set']}, {settling}: refused in all of {len(refused)} draws: {refused[0]}")
                continue
            alarms, best = (
                median(draw[which] / draw["negative"] for draw in draws) for which in ("false_alarms", "best")
            )
            rows = [f"{median(draw[which] for draw in draws):g}" for which in ("settled_by", "positive")]
            print(
                f"| {cell['set']} | {cell['class']} | {settling} | {', '.join(rows)} "
                f"| {len(draws)} of {len(draws) + len(refused)} | {fmean(draw['recall'] for draw in draws):.1%} "
                f"| {sum(draw['recall'] >= LEAST for draw in draws)} | {sum(draw['high'] < LEAST for draw in draws)} "
                f"| {alarms:.2%} | {best:.2%} "
                f"| {median(ratio(draw['false_alarms'], draw['best']) for draw in draws):.2f} |"
            )
    print(f"\nasked: at least 95% in 32 of {DRAWS}, wholly below in none, at most 1.5 times the false alarms")


def ratio(alarms: int, best: int) -> float:
    """Of false alarms; infinite where there need have been none."""
    return alarms / best if best else 1.0 if alarms == 0 else math.inf


# Number 3: sets and ranges, beside MAPIE's

# What is asked of `Coverage`, and of MAPIE, by its score.
OF_CLASSES: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "threshold, empty sets too": {"method": "threshold", "empty": True},
    "adaptive": {"method": "adaptive"},
    "of each class": {"by": "class"},
}
OF_NUMBERS: dict[str, dict[str, Any]] = {"as it comes": {}}
SAME = {"threshold, empty sets too": "MAPIE, lac", "as it comes": "MAPIE, absolute"}  # the same method


class Known(ClassifierMixin, RegressorMixin, BaseEstimator):
    """What MAPIE takes for a fitted model: its rows (n, k) are the probabilities, or (n, 1) the numbers themselves."""

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs
        self.classes_ = np.arange(outputs)
        self.n_features_in_ = outputs

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, rows: np.ndarray, target: np.ndarray) -> Known:
        return self

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        return rows

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return rows.argmax(1) if self.outputs > 1 else rows[:, 0]


def mapie(score: str, settling: dict[str, Any], measured: dict[str, Any]) -> np.ndarray:
    """MAPIE's sets (n, k) bool, or ranges (n, 2), of the rows that are measured."""
    from mapie.classification import SplitConformalClassifier
    from mapie.regression import SplitConformalRegressor

    if score == "absolute":
        rows = [np.asarray(half["prediction"])[:, None] for half in (settling, measured)]
        model = SplitConformalRegressor(Known(1), confidence_level=SHARE, conformity_score=score, prefit=True)
        return model.conformalize(rows[0], settling["target"]).predict_interval(rows[1])[1][:, :, 0]
    rows = [np.asarray(half["probabilities"]) for half in (settling, measured)]
    known = Known(rows[0].shape[1])
    model = SplitConformalClassifier(known, confidence_level=SHARE, conformity_score=score, prefit=True, random_state=0)
    with warnings.catch_warnings():  # of 40 people with fewer than 80 rows scikit-learn doubts that they are classes
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        model.conformalize(rows[0], settling["target"])
    return np.asarray(model.predict_set(rows[1])[1][:, :, 0], bool)


def ours(promise: Any, settling: dict[str, Any], measured: dict[str, Any], domain: Any) -> np.ndarray:
    """The same of `Coverage`."""
    kept = promise.keep(measured, promise.settle(settling, domain), domain)
    return np.stack([kept["low"], kept["high"]], 1) if "low" in kept else np.asarray(kept["set"]) == 1


def coverage_draws(name: str, shared: Path, folder: Path) -> dict[str, Any]:
    from pervade.core.errors import PromiseError
    from pervade.promises.coverage import Coverage

    held = HeldOut.of(COVERED[name], shared, folder)
    labels = tuple(getattr(held.domain, "labels", ()))
    ways = OF_CLASSES if labels else OF_NUMBERS
    # MAPIE has no other score for two classes.
    scores = ["absolute"] if not labels else ["lac"] if len(labels) == 2 else ["lac", "aps", "raps"]
    draws: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    equal, refused = Counter[str](), Counter[str]()
    for draw in range(DRAWS):
        settling, measured = held.divided(draw)
        target = np.asarray(measured["target"])
        here: dict[str, np.ndarray] = {}
        for way, settings in ways.items():
            try:
                here[way] = ours(Coverage(share=SHARE, **settings), settling, measured, held.domain)
            except PromiseError:
                refused[way] += 1
        for score in scores:
            try:
                here[f"MAPIE, {score}"] = mapie(score, settling, measured)
            except ValueError:  # so few rows of so many classes that raps cannot divide them once more
                refused[f"MAPIE, {score}"] += 1
        for side, answers in here.items():
            draws.setdefault(side, []).append((answers, target))
            theirs = here.get(SAME.get(side, ""))
            if theirs is not None:
                equal[side] += bool(np.allclose(answers, theirs, rtol=1e-9))
    sides = {side: summary(there, labels) for side, there in draws.items()}
    return {"n": [len(settling["row"]), len(target)], "sides": sides, "equal": dict(equal), "refused": dict(refused)}


def summary(draws: list[tuple[np.ndarray, np.ndarray]], labels: tuple[str, ...]) -> dict[str, Any]:
    """Of sets (n, k) bool or ranges (n, 2) with the targets (n,), a pair a draw: "coverage" of each draw, the mean
    "size", and, of classes, the share of "empty" sets and the "worst" class over all draws together."""
    covered = [holds(answers, target, bool(labels)) for answers, target in draws]
    together = np.concatenate([answers for answers, _ in draws])
    size = together.sum(1) if labels else together[:, 1] - together[:, 0]
    made = {"coverage": [round(float(own.mean()), 5) for own in covered], "size": round(float(size.mean()), 4)}
    if not labels:
        return made
    inside, target = np.concatenate(covered), np.concatenate([target for _, target in draws])
    by_class = {label: float(inside[target == index].mean()) for index, label in enumerate(labels)}
    worst = min(by_class, key=lambda label: by_class[label])
    return {**made, "empty": round(float((size == 0).mean()), 4), "worst": [worst, round(by_class[worst], 4)]}


def holds(answers: np.ndarray, target: np.ndarray, classes: bool) -> np.ndarray:
    """Whether the set, or the range, holds the truth: (n,) bool."""
    if classes:
        return np.asarray(answers[np.arange(len(target)), target])
    return np.asarray((answers[:, 0] <= target) & (target <= answers[:, 1]))


def show_coverage(cells: list[dict[str, Any]]) -> None:
    print(
        "| set | sets by | draws | settled by, measured on | coverage, mean (least to most) | worst class | size, mean "
        "| empty | equal to MAPIE's |\n" + "|---" * 9 + "|"
    )
    for cell in cells:
        for side, made in cell["sides"].items():
            coverage = made["coverage"]
            row = [cell["set"], side, str(len(coverage)), f"{cell['n'][0]:,}, {cell['n'][1]:,}"]
            row += [f"{fmean(coverage):.1%} ({min(coverage):.1%} to {max(coverage):.1%})"]
            row += [f"{made['worst'][0]}: {made['worst'][1]:.1%}" if "worst" in made else "", f"{made['size']:.3g}"]
            row += [f"{made['empty']:.1%}" if "empty" in made else ""]
            row += [f"{cell['equal'][side]} of {DRAWS}" if side in cell["equal"] else ""]
            print("| " + " | ".join(row) + " |")
    for cell in cells:
        for side, count in cell["refused"].items():
            print(f"{cell['set']}, {side}: refused in {count} of {DRAWS}")
    print("\nasked: a mean coverage of 89% to 93%, and the same sets as MAPIE's where the method is the same")
