"""Texts from random weights, by the whole ladder, beside scikit-learn's logistic regression on TF-IDF.

    python benchmarks/text_scratch.py [--shared ../shared/data] [--data sst2 chnsenticorp] [--seeds 3]
        [--time-limit 600] [--note "what else the machine did"]

Film reviews in English (sst2, by its own three tables) and reviews in Chinese (chnsenticorp: dev.tsv is held out, texts
of it are taken out of train.tsv, and the validation split is drawn from the rest, anew with each seed). Each cell is a
whole `pervade train --init random --ladder all --time-limit` and a line in measured/text_scratch.jsonl; a stopped
script goes on. No published weights can be reached: the Hub's and torch's caches are empty folders.

Beside it is TF-IDF of words and pairs of words (in Chinese of one to three characters), sublinear, with the penalty by
five folds, as the report's simplest model is; it learns from the run's training rows. The test rows are read once, at
the end, by both. Differences are paired by row; wanted are 3 points on either.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from busy import lines, note
from pretraining import folder, text_of
from pretraining import lines as rows_of
from time_limit import SHARED, command

from pervade.data.linear import STRENGTHS
from pervade.engine import predictions

NAME = "text_scratch.jsonl"
COUNTED: dict[str, dict[str, Any]] = {
    "sst2": {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"},
    "chnsenticorp": {"ngram_range": (1, 3), "analyzer": "char"},
}
WANTED = 0.03  # over TF-IDF, the mean of the seeds


def source(data: str, shared: Path, place: Path) -> Path:
    there, made = shared / data, place / data
    if data == "sst2":
        return there
    if not made.exists():
        test = rows_of(there / "dev.tsv")
        held_out = {text_of(line) for line in test}
        folder(made, [line for line in rows_of(there / "train.tsv") if text_of(line) not in held_out], test)
    return made


def beside(data: str, columns: dict[str, list[Any]]) -> dict[str, Any]:
    """The linear model's label of every test row, by the row's id."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline

    def of(split: str, name: str) -> list[Any]:
        return [value for value, own in zip(columns[name], columns["split"], strict=True) if own == split]

    features = TfidfVectorizer(sublinear_tf=True, max_features=200_000, **COUNTED[data])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    strengths = {"C": list(STRENGTHS)}
    head = GridSearchCV(LogisticRegression(max_iter=1000), strengths, scoring="neg_log_loss", cv=folds)
    model = make_pipeline(features, head).fit(of("train", "text"), of("train", "target"))
    return dict(zip(of("test", "id"), model.predict(of("test", "text")).tolist(), strict=True))


def measure(data: str, seed: int, limit: float, shared: Path, place: Path, about: str) -> None:
    table, name = str(source(data, shared, place)), f"{data}-{seed}"
    asked = ["--init", "random", "--ladder", "all", "--seed", str(seed), "--time-limit", f"{limit:g}"]
    used = command(table, place, name, asked, 3 * limit)
    run = place / name
    ladder = json.loads((run / "ladder.json").read_text())
    rungs = {rung["name"]: {key: rung[key] for key in ("state", "value", "seconds")} for rung in ladder["rungs"]}
    assert rungs["frozen"]["state"] == "passed by", "published weights were at hand"
    columns = json.loads((run / "data.json").read_text())["columns"]
    answers = predictions.read_columns(run / "predictions" / "best@test.parquet")
    linear = beside(data, columns)
    wanted = dict(zip(columns["id"], columns["target"], strict=True))
    right, plain = (
        np.array([float(said == wanted[row]) for row, said in zip(answers["id"], told, strict=True)])
        for told in (answers["label"], [linear[row] for row in answers["id"]])
    )
    apart, spread = float((right - plain).mean()), 1.96 * float((right - plain).std(ddof=1)) / len(right) ** 0.5
    cell = {
        "data": data,
        "seed": seed,
        "asked": limit,
        "used": round(used, 1),
        "taken": ladder["taken"],
        "n": len(right),
    }
    cell |= {"accuracy": right.mean(), "tf_idf": plain.mean(), "difference": apart}
    note(NAME, cell | {"low": apart - spread, "high": apart + spread, "rungs": rungs, "beside": about})


def show() -> None:
    print("| data | limit | seed | taken | accuracy | TF-IDF | difference, points, paired | n | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    for cell in lines(NAME):
        apart = " to ".join(f"{100 * cell[name]:+.1f}" for name in ("low", "high"))
        print(
            f"| {cell['data']} | {cell['asked']:g} s | {cell['seed']} | {cell['taken']} | {cell['accuracy']:.1%} "
            f"| {cell['tf_idf']:.1%} | {100 * cell['difference']:+.1f} ({apart}) | {cell['n']:,} | {cell['used']:g} |"
        )
    for data, limit in sorted({(cell["data"], cell["asked"]) for cell in lines(NAME)}):
        cells = [cell for cell in lines(NAME) if (cell["data"], cell["asked"]) == (data, limit)]
        own, apart = (sum(cell[name] for cell in cells) / len(cells) for name in ("accuracy", "difference"))
        told = "met" if apart >= WANTED else f"MISSED, {100 * WANTED:+.1f} were asked"
        print(f"\n{data}, {limit:g} s: {own:.1%}, {100 * apart:+.1f} points, mean of {len(cells)} seeds: {told}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--data", nargs="+", default=list(COUNTED), choices=list(COUNTED))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--time-limit", type=float, default=600.0, help="Seconds of each run.")
    parser.add_argument("--note", default="", help="What else the machine did meanwhile.")
    options = parser.parse_args()
    there = {(cell["data"], cell["seed"], cell["asked"]) for cell in lines(NAME)}
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        os.environ |= {"PERVADE_OFFLINE": "1", "HF_HOME": str(place / "hub"), "TORCH_HOME": str(place / "torch")}
        for data in options.data:
            for seed in range(options.seeds):
                if (data, seed, options.time_limit) not in there:
                    measure(data, seed, options.time_limit, options.shared, place, options.note)
    show()


if __name__ == "__main__":
    main()
