"""Finetuning Wav2Vec2 or AST against Hugging Face's Trainer: seconds of audio a second.

    python benchmarks/sound_trainer.py [--data ../shared/data/read_speech] [--rounds 3] [--rows 32] [--size small]
    python benchmarks/sound_trainer.py --architecture ast [--data ../shared/data/fsdd]

Both start from the same random weights (a folder as `save_pretrained` writes it) and learn from the same recordings,
Wav2Vec2 to spell them by CTC, AST to tell spoken digits apart, with the same batch size, passes, optimiser (AdamW,
decay, clipping), schedule (warm-up and cosine), dropout and hidden times, by turns in one run, each training a process
of its own. All weights learn. Pervade runs as `pervade train` runs it; changes of voice and surroundings are off, as
the Trainer has none. The Trainer runs as its examples run it. For CTC recordings are read and normalised before its
clock starts, each batch is padded to its longest recording; and once more with grouping by length switched on. For AST
they are read before, and the extractor makes mel bands of each batch, 128 frames as of the published AST for spoken
commands; all are as long, so nothing is grouped. Saving, logging and validation are off on both sides. "Small" has 4
layers of 256 numbers (Wav2Vec2 over the seven convolutions of wav2vec2-base), "base" is wav2vec2-base, or AST as
published.

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
SHARED = HERE.parents[2] / "shared" / "data"
DATA = {"wav2vec2": SHARED / "read_speech", "ast": SHARED / "fsdd"}
OURS, PLAIN, GROUPED = "Pervade", "Trainer", "Trainer, grouped by length"
WANTED = {("fp32", PLAIN): 1.5, ("bf16", PLAIN): 1.0}
BATCH, LR, DECAY, WARM_UP, CLIP, RATE = 8, 1e-4, 0.01, 0.1, 1.0, 16_000
FRAMES, DIGITS = 128, 10  # of the mel bands that AST is given, and classes
SIZES: dict[str, dict[str, Any]] = {
    "small": {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024},
    "base": {},
}


def rows(data: Path) -> list[tuple[Path, str]]:
    with (data / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return [(data / row["file_name"], row["transcription"]) for row in csv.DictReader(file)]


def spoken(data: Path, number: int, folder: Path) -> Path:
    """A folder with every so manieth recording DIGIT_SPEAKER_NUMBER.wav, at the rate of AST, and a table of digits."""
    import soundfile
    import soxr

    folder.mkdir()
    paths = sorted(data.glob("*.wav"))
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "label"])
        for path in paths[:: max(len(paths) // number, 1)][:number]:
            wave, rate = soundfile.read(path, dtype="float32")
            soundfile.write(folder / path.name, soxr.resample(wave, rate, RATE), RATE)
            writer.writerow([path.name, f"digit {path.name[0]}"])
    return folder


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


def make(folder: Path, chosen: argparse.Namespace, seed: int) -> Path:
    """Random weights, in the Hub's layout."""
    import torch

    torch.manual_seed(seed)
    return (_make_ast if chosen.architecture == "ast" else _make_wav2vec2)(folder, chosen)


def _make_ast(folder: Path, chosen: argparse.Namespace) -> Path:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    labels = {place: f"digit {place}" for place in range(DIGITS)}
    config = ASTConfig(**SIZES[chosen.size], max_length=FRAMES, id2label=labels)
    ASTForAudioClassification(config).save_pretrained(folder)
    ASTFeatureExtractor(max_length=FRAMES).save_pretrained(folder)
    return folder


def _make_wav2vec2(folder: Path, chosen: argparse.Namespace) -> Path:
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    data, size, norm = chosen.data, chosen.size, chosen.norm
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


def pervade_side(chosen: argparse.Namespace) -> dict[str, Any]:
    from pervade.core import runtime

    runtime.prepare()
    import pervade
    from pervade.run.training import Options

    spelt = ["domain.alphabet=[]", "domain.normalise=none"] if chosen.architecture == "wav2vec2" else []
    settings = [
        *spelt,
        "early_stopping.metric=null",
        "domain.augment=false",
        f"batch_size={BATCH}",
        f"clip_norm={CLIP}",
        f"optimizer={{use: adamw, lr: {LR}, weight_decay: {DECAY}}}",
        f"schedule={{use: cosine, warm_up: {WARM_UP}}}",
        "tuning=null",
        f"precision={chosen.precision}",
        "validation=0",
        "test=0",
    ]
    with tempfile.TemporaryDirectory() as runs:
        run = pervade.fit(
            chosen.data,
            task="audio-classification" if chosen.architecture == "ast" else "automatic-speech-recognition",
            model=f"hf:{chosen.weights}",
            init=str(chosen.weights),
            epochs=chosen.epochs,
            seed=chosen.seed,
            name="a",
            runs=runs,
            settings=settings,
            options=Options(save_every=1e9),
        )
        entries = [each for each in run.directory.read_log() if each["event"] == "step"]
        seconds = json.loads(run.directory.data.read_text(encoding="utf-8"))["columns"]["seconds"]
    losses = [each["loss"] for each in entries if "loss" in each]
    return {"seconds": entries[-1]["elapsed"], "audio": sum(seconds) * chosen.epochs, "losses": losses}


def heard(path: Path) -> Any:
    import soundfile

    wave, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE, f"{path} has {rate} Hz; this side does not resample"
    return wave


Side = tuple[Any, Any, list[dict[str, Any]], Any]  # the model, its extractor, examples, and how a batch is made of them


def wav2vec2_side(data: Path, weights: Path) -> Side:
    import torch
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    extractor = Wav2Vec2FeatureExtractor.from_pretrained(weights)
    number = {sign: place for place, sign in enumerate(alphabet(data))}
    examples = []
    for path, text in rows(data):
        given = extractor(heard(path), sampling_rate=RATE).input_values[0]
        spelt = [number[sign] for sign in " ".join(text.split())]
        examples.append({"input_values": given, "labels": spelt})

    def collate(some: list[dict[str, Any]]) -> dict[str, Any]:
        """As DataCollatorCTCWithPadding of the example."""
        batch = extractor.pad([{"input_values": e["input_values"]} for e in some], padding=True, return_tensors="pt")
        longest = max(len(each["labels"]) for each in some)
        labels = [[*each["labels"], *[-100] * (longest - len(each["labels"]))] for each in some]
        return {**batch, "labels": torch.tensor(labels)}

    return Wav2Vec2ForCTC.from_pretrained(weights), extractor, examples, collate


def ast_side(data: Path, weights: Path) -> Side:
    import torch
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

    extractor = ASTFeatureExtractor.from_pretrained(weights)
    with (data / "metadata.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    examples = [{"input_values": heard(data / e["file_name"]), "labels": int(e["label"][-1])} for e in table]

    def collate(some: list[dict[str, Any]]) -> dict[str, Any]:
        """As the example for classes does it: mel bands are made as recordings are fetched."""
        batch = extractor([each["input_values"] for each in some], sampling_rate=RATE, return_tensors="pt")
        return {**batch, "labels": torch.tensor([each["labels"] for each in some])}

    return ASTForAudioClassification.from_pretrained(weights), extractor, examples, collate


def trainer_side(chosen: argparse.Namespace, grouped: bool) -> dict[str, Any]:
    import torch
    from transformers import Trainer
    from transformers import TrainingArguments as Arguments
    from transformers.utils import logging

    logging.set_verbosity_error()
    torch.manual_seed(chosen.seed)
    prepared = (ast_side if chosen.architecture == "ast" else wav2vec2_side)(chosen.data, chosen.weights)
    model, extractor, examples, collate = prepared
    with tempfile.TemporaryDirectory() as folder:
        steps = -(-len(examples) // BATCH) * chosen.epochs
        arguments = Arguments(
            folder,
            per_device_train_batch_size=BATCH,
            num_train_epochs=chosen.epochs,
            learning_rate=LR,
            weight_decay=DECAY,
            max_grad_norm=CLIP,
            lr_scheduler_type="cosine",
            warmup_steps=round(WARM_UP * steps),
            bf16=chosen.precision == "bf16",
            train_sampling_strategy="group_by_length" if grouped else "random",
            remove_unused_columns=False,
            seed=chosen.seed,
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
    return {"seconds": found["train_runtime"], "audio": audio * chosen.epochs, "losses": [found["train_loss"]]}


def work(side: str, chosen: argparse.Namespace) -> None:
    """One line of JSON on standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    found = pervade_side(chosen) if side == OURS else trainer_side(chosen, side == GROUPED)
    print(json.dumps(found), file=answers, flush=True)


def turn(side: str, precision: str, weights: Path, chosen: argparse.Namespace, seed: int) -> dict[str, Any]:
    command = [sys.executable, str(HERE), "--worker", side, "--data", str(chosen.data), "--weights", str(weights)]
    command += ["--architecture", chosen.architecture]
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
            weights = make(Path(place) / str(number), chosen, number)
            for precision in chosen.precisions.split(","):
                sides = [OURS, PLAIN] if chosen.architecture == "ast" else [OURS, PLAIN, GROUPED]
                turned = number % len(sides)
                for side in sides[turned:] + sides[:turned]:
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
    what = "ast" if chosen.architecture == "ast" else f"wav2vec2, {chosen.norm} normalisation"
    print(f"\n{what}, {chosen.size}; {chosen.epochs} passes, batches of {BATCH}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", choices=DATA, default="wav2vec2")
    parser.add_argument("--data", type=Path, help="read_speech for wav2vec2, fsdd for ast, unless given")
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
        work(arguments.worker, arguments)
    else:
        with tempfile.TemporaryDirectory() as here:
            arguments.data = arguments.data or DATA[arguments.architecture]
            if arguments.architecture == "ast":
                arguments.data = spoken(arguments.data, arguments.rows or 256, Path(here) / "some")
            elif arguments.rows:
                arguments.data = some(arguments.data, arguments.rows, Path(here) / "some")
            main(arguments)
