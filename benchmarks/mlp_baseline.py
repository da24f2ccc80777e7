"""The plainest baseline: the reference MLP by mean squared error and Adam on photos of cats and dogs.

    python benchmarks/mlp_baseline.py [DATA]        about 5 minutes; DATA defaults to ../shared/data/cats_dogs

The recipe as it stands in recipes/image.py; the test split is looked at once, here.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pervade

SEEDS = 3
SHOWN = ("accuracy", "roc_auc", "log_loss", "ece")


def main(data: str) -> None:
    print("| seed | figure | value | 95% interval | n | method |\n|---|---|---|---|---|---|")
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as runs:
            run = pervade.fit(data, model="reference-mlp", seed=seed, runs=runs)
            metrics = run.evaluate()["metrics"]
        for name, each in metrics.items():
            if name in SHOWN or name.startswith("recall["):
                interval = f"{each['low']:.3f} to {each['high']:.3f}"
                print(f"| {seed} | {name} | {each['value']:.3f} | {interval} | {each['n']:,} | {each['method']} |")


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    main(sys.argv[1] if len(sys.argv) > 1 else str(root.parent / "shared" / "data" / "cats_dogs"))
