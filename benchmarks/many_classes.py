"""What the figures of many classes cost, from a predictions file: seconds and peak memory; and at ten classes whether
the intervals are those of the plain way, in which every class was ranked anew in every resample.

    OMP_NUM_THREADS=1 python benchmarks/many_classes.py        about two minutes

Every size runs in a process of its own, so that its peak is its own. Writing the predictions does not count.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZES = ((10, 20_000), (100, 20_000), (300, 20_000), (1_000, 20_000), (3_000, 20_000))
PLAIN_ROWS, PLAIN_RESAMPLES = 2_000, 1_000


def classified(n: int, k: int, seed: int = 0) -> dict:
    """Right on about half of the rows, by scores that know something."""
    generator = np.random.default_rng(seed)
    target = generator.integers(0, k, n)
    scores = generator.normal(size=(n, k))
    scores[np.arange(n), target] += np.sqrt(2 * np.log(k))
    probabilities = np.exp(scores)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    rows, prediction = np.arange(n), probabilities.argmax(axis=1)
    return {"row": rows, "group": rows, "target": target, "prediction": prediction, "probabilities": probabilities}


def names(k: int) -> tuple[str, ...]:
    return tuple(f"class {index:04}" for index in range(k))


def measured(k: int, path: Path) -> dict:
    """In a process of its own: figures and details of one file, as `evaluate` takes them."""
    from pervade.core.types import Rows
    from pervade.domains.image import Image
    from pervade.engine import predictions
    from pervade.metrics.estimate import estimate
    from pervade.tasks.classify import Classify

    labels = names(k)
    domain = Image(size=8, channels=1, labels=labels)
    train = Rows({"target": [labels[i % k] for i in range(10 * k)]})
    start, processor = time.perf_counter(), time.process_time()
    columns = predictions.read_columns(path)
    figures = estimate(dict(Classify().metrics(domain)), columns)
    details = Classify().details(columns, train, domain)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    stored = json.dumps({"metrics": {n: each.as_dict() for n, each in figures.items()}, "details": details})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"seconds": seconds, "processor": processor, "gigabytes": peak, "megabytes": len(stored) / 1e6}


def plainly(columns: dict, k: int) -> dict[str, tuple[float, float]]:
    """The reference: one class after the other, one resample after the other, by the whole confusion matrix."""
    from pervade.metrics.interval import percentiles, resample

    target, scores = columns["target"], columns["probabilities"]
    orders = [np.argsort(-scores[:, c], kind="stable") for c in range(k)]
    drawn: dict[str, list[float]] = {"roc_auc": [], "pr_auc": [], "f1_macro": [], "balanced_accuracy": []}
    for weight in resample(columns["group"], PLAIN_RESAMPLES, 0):
        matrix = np.bincount(target * k + columns["prediction"], weight, k * k).reshape(k, k)
        hits, rows, said = np.diagonal(matrix), matrix.sum(1), matrix.sum(0)
        drawn["balanced_accuracy"].append(float(np.mean(hits / rows)))
        drawn["f1_macro"].append(float(np.mean(2 * hits / (rows + said))))
        areas = []
        for c in range(k):  # without equal scores, which these files do not have
            times = weight[orders[c]]
            positive = times * (target[orders[c]] == c)
            found, passed = np.cumsum(positive), np.cumsum(times)
            wrong = times - positive
            roc = float(positive @ (wrong.sum() - np.cumsum(wrong))) / (positive.sum() * wrong.sum())
            precision = np.divide(found, passed, out=np.zeros_like(found), where=passed > 0)
            areas.append((roc, float(positive @ precision) / positive.sum()))
        drawn["roc_auc"].append(float(np.mean([roc for roc, _ in areas])))
        drawn["pr_auc"].append(float(np.mean([area for _, area in areas])))
    return {name: percentiles(np.array(each)) for name, each in drawn.items()}


def main() -> None:
    from pervade.engine import predictions
    from pervade.metrics import ranking
    from pervade.metrics.classification import classification_metrics
    from pervade.metrics.estimate import estimate

    print("| classes | rows | seconds | of a processor | peak GB | results, MB |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for k, n in SIZES:
            path = Path(folder) / "predictions.parquet"
            predictions.write_columns(path, classified(n, k), {})
            done = subprocess.run([sys.executable, __file__, str(k), str(path)], capture_output=True, check=True)
            found = json.loads(done.stdout)
            print(
                f"| {k:,} | {n:,} | {found['seconds']:.1f} | {found['processor']:.1f} | {found['gigabytes']:.2f} "
                f"| {found['megabytes']:.2f} |",
                flush=True,
            )
    columns = classified(PLAIN_ROWS, 10)
    start = time.perf_counter()
    plain = plainly(columns, 10)
    seconds = time.perf_counter() - start
    every = classification_metrics(names(10))
    chosen = {name: every[name] for name in plain}
    found = estimate(chosen, columns)
    ranking.MOST_RANKED = 0
    linear = estimate(chosen, columns)
    print(f"\nTen classes, {PLAIN_ROWS:,} rows; the plain way took {seconds:.0f} s\n")
    print("| figure | the plain way | now | to first order |\n|---|---|---|---|")
    for name, (low, high) in plain.items():
        now, first = ((each.low, each.high) for each in (found[name], linear[name]))
        cells = (f"{a:.5f} to {b:.5f}" for a, b in ((low, high), now, first))
        print(f"| {name} | {' | '.join(cells)} |")
        assert np.allclose((low, high), now, atol=1e-9), f"{name} differs from the plain way"
        assert np.allclose((low, high), first, atol=(high - low) / 6), f"{name} differs to first order"


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measured(int(sys.argv[1]), Path(sys.argv[2]))))
    else:
        main()
