"""Finetuning a sentence encoder against Hugging Face's Trainer: examples a second, and whether the result is the same.

    python benchmarks/text_trainer.py [--data ../shared/data/sst2] [--rows 3000] [--epochs 2]       about 15 minutes

The same weights (all-MiniLM-L6-v2), rows, passes, batch size, optimiser (AdamW, decay, clipping) and schedule (warm-up
and cosine), by turns in one run, each training a process of its own. Pervade runs as `pervade train` runs it. The
Trainer runs once as it comes, in single precision, each batch padded to its longest text; and once with bf16 and
grouping by length switched on. Its classifier is BERT's own (first token, dense, tanh), ours a mean over tokens.
Saving, logging and validation are off on both sides. A text is tokenised once on the Trainer's side, before its clock
starts, and at every pass on ours.

Wanted: 1.5 times the examples a second of the first, not fewer than the second, accuracy within one point.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
HERE = Path(__file__).resolve()
DATA = HERE.parents[2] / "shared" / "data" / "sst2"
OURS, PLAIN, TUNED = "Pervade", "Trainer, fp32, dynamic padding", "Trainer, bf16, grouped by length"
BATCH, LR, DECAY, WARM_UP, CLIP, LENGTH = 32, 5e-5, 0.01, 0.05, 1.0, 256


def lines(path: Path) -> tuple[list[str], list[int]]:
    rows = [line.rsplit("\t", 1) for line in path.read_text(encoding="utf-8").splitlines()]
    return [text for text, _ in rows], [int(label) for _, label in rows]


def pervade_side(data: Path, encoder: str, epochs: int, seed: int) -> dict[str, Any]:
    from pervade.core import runtime

    runtime.prepare()
    import pervade
    from pervade.engine import predictions
    from pervade.run.training import Options

    settings = [
        "early_stopping.metric=null",
        f"batch_size={BATCH}",
        f"clip_norm={CLIP}",
        f"optimizer={{use: adamw, lr: {LR}, weight_decay: {DECAY}}}",
        f"schedule={{use: cosine, warm_up: {WARM_UP}}}",
        "tuning=null",
        f"domain.length={LENGTH}",
        "validation=0",
    ]
    with tempfile.TemporaryDirectory() as runs:
        run = pervade.fit(
            data,
            model=f"hf:{encoder}",
            epochs=epochs,
            seed=seed,
            name="a",
            runs=runs,
            settings=settings,
            options=Options(save_every=1e9),
        )
        entries = [each for each in run.directory.read_log() if each["event"] == "step"]
        run.evaluate()
        columns = predictions.read_columns(run.directory.predictions("last", "test"))
        names = [int(label) for label in run.labels]
        right = {
            row: names[p] == names[t]
            for row, p, t in zip(columns["id"], columns["prediction"], columns["target"], strict=True)
        }
        splits = json.loads(run.directory.data.read_text(encoding="utf-8"))["columns"]["split"]
    order = sorted(right, key=lambda each: int(each.rpartition("#")[2]))
    return {
        "seconds": entries[-1]["elapsed"],
        "rows": splits.count("train") * epochs,
        "right": [bool(right[each]) for each in order],
    }


def trainer_side(data: Path, encoder: str, epochs: int, seed: int, tuned: bool) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer
    from transformers import TrainingArguments as Arguments
    from transformers.utils import logging

    logging.set_verbosity_error()
    tokenizer = AutoTokenizer.from_pretrained(encoder)

    class Texts(torch.utils.data.Dataset):
        def __init__(self, path: Path) -> None:
            texts, self.labels = lines(path)
            self.tokens = tokenizer(texts, truncation=True, max_length=LENGTH)["input_ids"]

        def __len__(self) -> int:
            return len(self.labels)

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"input_ids": self.tokens[index], "labels": self.labels[index]}

    train, test = Texts(data / "train.tsv"), Texts(data / "test.tsv")
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=2)
    with tempfile.TemporaryDirectory() as folder:
        steps = -(-len(train) // BATCH) * epochs
        arguments = Arguments(
            folder,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=64,
            num_train_epochs=epochs,
            learning_rate=LR,
            weight_decay=DECAY,
            max_grad_norm=CLIP,
            lr_scheduler_type="cosine",
            warmup_steps=round(WARM_UP * steps),
            bf16=tuned,
            train_sampling_strategy="group_by_length" if tuned else "random",
            seed=seed,
            use_cpu=True,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = Trainer(model, arguments, train_dataset=train, data_collator=DataCollatorWithPadding(tokenizer))
        seconds = trainer.train().metrics["train_runtime"]
        answers = trainer.predict(test).predictions.argmax(1)
    right = [bool(a == b) for a, b in zip(answers.tolist(), test.labels, strict=True)]
    return {"seconds": seconds, "rows": len(train) * epochs, "right": right}


def subset(data: Path, folder: Path, rows: int) -> Path:
    """The first rows to train on, and the whole test split."""
    folder.mkdir()
    kept = (data / "train.tsv").read_text(encoding="utf-8").splitlines(keepends=True)[:rows]
    (folder / "train.tsv").write_text("".join(kept), encoding="utf-8")
    (folder / "test.tsv").write_text((data / "test.tsv").read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def work(side: str, data: Path, encoder: str, epochs: int, seed: int) -> None:
    """One line of JSON on standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    found = (
        pervade_side(data, encoder, epochs, seed)
        if side == OURS
        else trainer_side(data, encoder, epochs, seed, side == TUNED)
    )
    print(json.dumps(found), file=answers, flush=True)


def difference(ours: list[list[bool]], theirs: list[list[bool]]) -> tuple[float, float, float]:
    """In points, with the 95% interval over resampled rows, all seeds of a row together."""
    import numpy as np

    apart = (np.array(ours, float) - np.array(theirs, float)).mean(0)
    rng = np.random.default_rng(0)
    drawn = [apart[rng.integers(0, len(apart), len(apart))].mean() for _ in range(2000)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return 100 * float(apart.mean()), 100 * float(low), 100 * float(high)


def main(data: Path, encoder: str, rows: int, epochs: int, seeds: int) -> None:
    results: dict[str, list[dict[str, Any]]] = {side: [] for side in (OURS, PLAIN, TUNED)}
    with tempfile.TemporaryDirectory() as place:
        some = subset(data, Path(place) / "texts", rows)
        print("| seed | side | examples/s | seconds | test accuracy |\n|---|---|---|---|---|")
        for seed in range(seeds):
            sides = list(results)
            for side in sides[seed % 3 :] + sides[: seed % 3]:
                command = [sys.executable, str(HERE), "--worker", side, "--data", str(some), "--encoder", encoder]
                command += ["--epochs", str(epochs), "--seeds", str(seed)]
                environment = {k: v for k, v in os.environ.items() if k != "THP_MEM_ALLOC_ENABLE"}
                done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
                if done.returncode:
                    sys.exit(f"{side}: {done.stderr[-2000:]}")
                found = json.loads(done.stdout.splitlines()[-1])
                results[side].append(found)
                rate, accuracy = found["rows"] / found["seconds"], statistics.mean(found["right"])
                print(f"| {seed} | {side} | {rate:.1f} | {found['seconds']:.0f} | {accuracy:.1%} |", flush=True)
    rates = {side: [each["rows"] / each["seconds"] for each in found] for side, found in results.items()}
    print("\n| against | times as fast, median (least to most) | wanted | | accuracy, points (paired 95%) |")
    print("|---|---|---|---|---|")
    for side, wanted in ((PLAIN, 1.5), (TUNED, 1.0)):
        ratios = [a / b for a, b in zip(rates[OURS], rates[side], strict=True)]
        middle = statistics.median(ratios)
        apart, low, high = difference(*([each["right"] for each in results[name]] for name in (OURS, side)))
        verdict = "met" if middle >= wanted else "**missed**"
        print(
            f"| {side} | **{middle:.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) | {wanted} | {verdict} "
            f"| {apart:+.1f} ({low:+.1f} to {high:+.1f}) |"
        )
    print(f"\n{rows:,} rows, {epochs} passes, n = {len(results[OURS][0]['right']):,} test rows, {seeds} seeds")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--encoder", default="")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--worker", choices=(OURS, PLAIN, TUNED), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, arguments.data, arguments.encoder, arguments.epochs, arguments.seeds)
    else:
        if not arguments.encoder:
            from encoder import encoder

            arguments.encoder = str(encoder())
        main(arguments.data, arguments.encoder, arguments.rows, arguments.epochs, arguments.seeds)
