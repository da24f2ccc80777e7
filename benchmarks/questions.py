"""Questions about articles (XQuAD, English): a sentence encoder that learns to find answers, beside a rule.

    python benchmarks/questions.py [--data ../shared/data/xquad/xquad.en.json] [--encoder FOLDER] [--seeds 3]

48 articles: 8 are held out, 40 train and choose the checkpoint. The encoder is all-MiniLM-L6-v2, with the Hub switched
off, by the default recipe. Each seed draws the split anew. Intervals are by paragraph, differences paired. The rule has
learnt nothing: of the sentence that shares most of the question's words, weighed by how rare they are, it takes the
longest run of words that the question does not have.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from encoder import encoder, told

import pervade

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "xquad" / "xquad.en.json"


def main(data: Path, folder: Path, seeds: int, runs: Path, settings: list[str]) -> None:
    print("| seed | side | exact match | F1 | questions | seconds |\n|---|---|---|---|---|---|")
    found: dict[str, list[list[float]]] = {"encoder": [], "rule": []}
    for seed in range(seeds):
        began = time.monotonic()
        run = pervade.fit(
            data,
            model=f"hf:{folder}",
            seed=seed,
            name=f"questions-{seed}",
            runs=runs,
            settings=["test=0.1667", *settings],
        )
        result = run.evaluate()
        taken = time.monotonic() - began
        baseline = result["details"]["baseline"]
        for side, figures, seconds in (
            ("encoder", result["metrics"], f"{taken:.0f}"),
            ("rule", baseline["metrics"], ""),
        ):
            values = [figures[name] for name in ("exact_match", "f1")]
            cells = [told(each["value"], each["low"], each["high"]) for each in values]
            print(f"| {seed} | {side} | {' | '.join(cells)} | {result['n']} | {seconds} |", flush=True)
            found[side].append([each["value"] for each in values])
        apart = [baseline["differences"][name] for name in ("exact_match", "f1")]
        cells = [f"{100 * d['difference']:+.1f} ({100 * d['low']:+.1f} to {100 * d['high']:+.1f})" for d in apart]
        print(f"| {seed} | difference, points | {' | '.join(cells)} | | |", flush=True)
    for side, values in found.items():
        exact, f1 = np.mean(values, 0)
        print(f"\n{side}, mean of {seeds} seeds: exact match {exact:.1%}, F1 {f1:.1%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("-o", dest="settings", action="append", default=[])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = arguments.encoder or encoder()
        main(arguments.data, folder, arguments.seeds, Path(place), arguments.settings)
