"""Finetuning Wav2Vec2 to write down speech against Hugging Face's Trainer: seconds of audio a second.

    python benchmarks/sound_trainer.py [--data ../shared/data/read_speech] [--rounds 3] [--rows 32] [--size small]

Both start from the same random weights (a folder as `save_pretrained` writes it) and learn to spell the same
recordings by CTC, with the same batch size, passes, optimiser (AdamW, decay, clipping), schedule (warm-up and cosine),
dropout and hidden times, by turns in one run, each training a process of its own. All weights learn. Pervade runs as
`pervade train` runs it; changes of voice and surroundings are off, as the Trainer has none. The Trainer runs as its
example for CTC runs it: recordings are read and normalised before its clock starts, each batch is padded to its longest
recording; and once more with grouping by length switched on. Saving, logging and validation are off on both sides.
"Small" has 4 layers of 256 numbers over the seven convolutions of wav2vec2-base, "base" is wav2vec2-base.

Wanted: in single precision 1.5 times the audio a second of the Trainer as it comes; in bf16 not less.
"""

from __future__ import annotations

import argparse
import csv
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
DATA = HERE.parents[2] / "shared" / "data" / "read_speech"
OURS, PLAIN, GROUPED = "Pervade", "Trainer", "Trainer, grouped by length"
WANTED = {("fp32", PLAIN): 1.5, ("bf16", PLAIN): 1.0}
BATCH, LR, DECAY, WARM_UP, CLIP, RATE = 8, 1e-4, 0.01, 0.1, 1.0, 16_000
SIZES: dict[str, dict[str, Any]] = {
    "small": {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024},
    "base": {},
}


def rows(data: Path) -> list[tuple[Path, str]]:
    with (data / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return [(data / row["file_name"], row["transcription"]) for row in csv.DictReader(file)]


def some(data: Path, number: int, folder: Path) -> Path:
    """A folder with the first rows alone, and links to their recordings."""
    folder.mkdir()
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "transcription"])
        for path, text in rows(data)[:number]:
            (folder / path.name).symlink_to(path.resolve())
            writer.writerow([path.name, text])
    return folder


def alphabet(data: Path) -> list[str]:
    """As Pervade learns it: the blank, then all characters in order."""
    return ["", *sorted({sign for _, text in rows(data) for sign in " ".join(text.split())})]


def make(folder: Path, data: Path, size: str, norm: str, seed: int) -> Path:
    """Random weights, in the Hub's layout."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    torch.manual_seed(seed)
    stable = {"feat_extract_norm": norm, "do_stable_layer_norm": norm == "layer", "conv_bias": norm == "layer"}
    config = Wav2Vec2Config(
        **SIZES[size],
        **stable,
        vocab_size=len(alphabet(data)),
        pad_token_id=0,
        ctc_loss_reduction="mean",
        layerdrop=0.0,
    )
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer").save_pretrained(folder)
    return folder


def pervade_side(data: Path, weights: Path, epochs: int, precision: str, seed: int) -> dict[str, Any]:
    from pervade.core import runtime

    runtime.prepare()
    import pervade
    from pervade.training import Options

    settings = [
        "early_stopping.metric=null",
        "domain.augment=false",
        "domain.alphabet=[]",
        "domain.normalise=none",
        f"batch_size={BATCH}",
        f"clip_norm={CLIP}",
        f"optimizer={{use: adamw, lr: {LR}, weight_decay: {DECAY}}}",
        f"schedule={{use: cosine, warm_up: {WARM_UP}}}",
        "tuning=null",
        f"precision={precision}",
        "validation=0",
        "test=0",
    ]
    with tempfile.TemporaryDirectory() as runs:
        run = pervade.fit(
            data,
            task="automatic-speech-recognition",
            model=f"hf:{weights}",
            init=str(weights),
            epochs=epochs,
            seed=seed,
            name="a",
            runs=runs,
            settings=settings,
            options=Options(save_every=1e9),
        )
        entries = [each for each in run.directory.read_log() if each["event"] == "step"]
        seconds = json.loads(run.directory.data.read_text(encoding="utf-8"))["columns"]["seconds"]
    losses = [each["loss"] for each in entries if "loss" in each]
    return {"seconds": entries[-1]["elapsed"], "audio": sum(seconds) * epochs, "losses": losses}


def trainer_side(data: Path, weights: Path, epochs: int, precision: str, seed: int, grouped: bool) -> dict[str, Any]:
    import soundfile
    import torch
    from transformers import Trainer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC
    from transformers import TrainingArguments as Arguments
    from transformers.utils import logging

    logging.set_verbosity_error()
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(weights)
    number = {sign: place for place, sign in enumerate(alphabet(data))}
    examples = []
    for path, text in rows(data):
        wave, rate = soundfile.read(path, dtype="float32")
        assert rate == RATE, f"{path} has {rate} Hz; this side does not resample"
        given = extractor(wave, sampling_rate=rate).input_values[0]
        spelt = [number[sign] for sign in " ".join(text.split())]
        examples.append({"input_values": given, "labels": spelt})

    def collate(some: list[dict[str, Any]]) -> dict[str, Any]:
        """As DataCollatorCTCWithPadding of the example."""
        batch = extractor.pad([{"input_values": e["input_values"]} for e in some], padding=True, return_tensors="pt")
        longest = max(len(each["labels"]) for each in some)
        labels = [[*each["labels"], *[-100] * (longest - len(each["labels"]))] for each in some]
        return {**batch, "labels": torch.tensor(labels)}

    torch.manual_seed(seed)
    model = Wav2Vec2ForCTC.from_pretrained(weights)
    with tempfile.TemporaryDirectory() as folder:
        steps = -(-len(examples) // BATCH) * epochs
        arguments = Arguments(
            folder,
            per_device_train_batch_size=BATCH,
            num_train_epochs=epochs,
            learning_rate=LR,
            weight_decay=DECAY,
            max_grad_norm=CLIP,
            lr_scheduler_type="cosine",
            warmup_steps=round(WARM_UP * steps),
            bf16=precision == "bf16",
            train_sampling_strategy="group_by_length" if grouped else "random",
            remove_unused_columns=False,
            seed=seed,
            use_cpu=True,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        # By the extractor it knows what to look at for the length.
        trainer = Trainer(model, arguments, train_dataset=examples, data_collator=collate, processing_class=extractor)
        found = trainer.train().metrics
    audio = sum(len(each["input_values"]) for each in examples) / RATE
    return {"seconds": found["train_runtime"], "audio": audio * epochs, "losses": [found["train_loss"]]}


def work(side: str, data: Path, weights: Path, epochs: int, precision: str, seed: int) -> None:
    """One line of JSON on standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    if side == OURS:
        found = pervade_side(data, weights, epochs, precision, seed)
    else:
        found = trainer_side(data, weights, epochs, precision, seed, side == GROUPED)
    print(json.dumps(found), file=answers, flush=True)


def turn(side: str, precision: str, weights: Path, chosen: argparse.Namespace, seed: int) -> dict[str, Any]:
    command = [sys.executable, str(HERE), "--worker", side, "--data", str(chosen.data), "--weights", str(weights)]
    command += ["--epochs", str(chosen.epochs), "--precision", precision, "--seed", str(seed)]
    environment = {k: v for k, v in os.environ.items() if k != "THP_MEM_ALLOC_ENABLE"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{side}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(chosen: argparse.Namespace) -> None:
    rates: dict[tuple[str, str], list[float]] = {}
    print("| round | precision | side | audio, s/s | seconds | mean loss a sign |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        for number in range(chosen.rounds):
            weights = make(Path(place) / str(number), chosen.data, chosen.size, chosen.norm, number)
            for precision in chosen.precisions.split(","):
                sides = [OURS, PLAIN, GROUPED]
                for side in sides[number % 3 :] + sides[: number % 3]:
                    found = turn(side, precision, weights, chosen, number)
                    rate, loss = found["audio"] / found["seconds"], statistics.mean(found["losses"])
                    rates.setdefault((precision, side), []).append(rate)
                    print(
                        f"| {number} | {precision} | {side} | {rate:.2f} | {found['seconds']:.0f} | {loss:.2f} |",
                        flush=True,
                    )
    print("\n| precision | against | times as fast, median (least to most) | wanted | |\n|---|---|---|---|---|")
    for (precision, side), theirs in rates.items():
        if side == OURS:
            continue
        ratios = [a / b for a, b in zip(rates[precision, OURS], theirs, strict=True)]
        middle, wanted = statistics.median(ratios), WANTED.get((precision, side))
        verdict = "" if wanted is None else "met" if middle >= wanted else "**missed**"
        print(
            f"| {precision} | {side} | **{middle:.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) | {wanted or ''} "
            f"| {verdict} |"
        )
    print(f"\nwav2vec2, {chosen.size}, {chosen.norm} normalisation; {chosen.epochs} passes, batches of {BATCH}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--norm", choices=("group", "layer"), default="group", help="group as wav2vec2-base has it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, help="of the data, the first so many; all, unless given")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--precision", default="fp32", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--worker", choices=(OURS, PLAIN, GROUPED), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(
            arguments.worker,
            arguments.data,
            arguments.weights,
            arguments.epochs,
            arguments.precision,
            arguments.seed,
        )
    else:
        with tempfile.TemporaryDirectory() as here:
            if arguments.rows:
                arguments.data = some(arguments.data, arguments.rows, Path(here) / "some")
            main(arguments)
