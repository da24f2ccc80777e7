"""The default recipe, from the picture files to the updated weights, against Hugging Face's Trainer.

    python benchmarks/trainer_comparison.py [--data ../shared/data/cats_dogs] [--quick]      about 4 minutes

Both train the same timm network from random weights, on pictures of the recipe's training size, with the recipe's
augmentation, batch size, optimiser, label smoothing and precision. resnet10t is timm's nearest to the recipe's own (ten
layers, pooled shortcuts). The larger a network, the more of a step is convolutions, which are the same on both sides:
`--network resnet18` shows how much that takes away. Each side is a process of its own and waits while the other takes
its turn; a ratio is taken within a round and the median over rounds is reported.

Pervade runs as `pervade train` runs it: process set-up, decoded cache (filled before the clock starts), a thread that
reads ahead, channels last. The Trainer runs as its users run it: TimmWrapperForImageClassification, a data set that
opens each JPEG file with Pillow and applies torchvision's transforms, and as many loader processes as a trial in the
same run finds quickest (0, 1 or 2). Its logging, saving, evaluation and clipping are off, and it keeps no average of
the weights, as the recipe does. A turn's first step is not counted, so neither is the start of its loader.

Wanted: 1.5 times the Trainer's images a second.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
DATA = HERE.parents[2] / "shared" / "data" / "cats_dogs"
WANTED = 1.5
LOADERS = (0, 1, 2)  # processes of the Trainer's loader, of which the quickest is taken


# the two sides, each in a process of its own: (steps, loader processes) to the seconds of each step


def pervade_side(data: str, network: str) -> Callable[[int, int], list[float]]:
    from pervade.core import runtime

    runtime.prepare()
    import torch

    from pervade.core import seed
    from pervade.core.contracts import Context
    from pervade.data.rows.loader import Loader
    from pervade.engine.fit import Learner

    recipe, rows = configured(data)
    recipe = replace(recipe, model=timm_model(network))
    rows, _ = recipe.domain.prepare(rows, lambda done, total: None)
    domain = recipe.domain.fit(rows)
    seed.everything(recipe.seed)
    made = recipe.model.build(domain.inputs(), recipe.task.outputs(domain)).to(memory_format=torch.channels_last)
    learner = Learner(
        recipe.task,
        made,
        Context(domain, recipe.task.companions(made, domain)),
        recipe.optimizer,
        recipe.schedule,
        10**6,
        precision=runtime.training_precision("cpu", recipe.precision),
        tuning=recipe.tuning,
        l1=recipe.l1,
        l2=recipe.l2,
        average=recipe.average,
    )
    loader = Loader(rows, domain, recipe.batch_size, recipe.seed, workers=recipe.workers, augment=recipe.augment)
    moments = learner.fit(loader, 10**9)

    def train(steps: int, processes: int) -> list[float]:
        ends: list[float] = []
        for moment in moments:
            if moment.kind == "step":
                ends.append(time.perf_counter())
            if len(ends) == steps + 1:
                break
        learner.averages()
        return [after - before for before, after in itertools.pairwise(ends)]

    return train


def trainer_side(data: str, network: str) -> Callable[[int, int], list[float]]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from PIL import Image as Pillow
    from torchvision.transforms import v2
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification, Trainer, TrainerCallback
    from transformers import TrainingArguments as Arguments
    from transformers.utils import logging

    from pervade.core import runtime

    logging.set_verbosity_error()
    recipe, rows = configured(data)
    domain: Any = recipe.domain
    labels = sorted(set(rows.column("target")))
    jitter = domain.brightness, domain.contrast, domain.saturation, domain.hue
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(round(domain.size * domain.train_scale), scale=(domain.crop_area, 1.0)),
            *([v2.RandomHorizontalFlip()] if domain.flip else []),
            *([v2.RandAugment(domain.rand_augment, domain.rand_magnitude)] if domain.rand_augment else []),
            *([v2.ColorJitter(*jitter)] if any(jitter) else []),
            *([v2.RandomGrayscale(domain.grey)] if domain.grey else []),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            *([v2.RandomErasing(domain.erase)] if domain.erase else []),
        ]
    )

    class Pictures(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, index: int) -> dict[str, Any]:
            with Pillow.open(rows.column("path")[index]) as picture:
                pixels = transform(picture.convert("RGB"))
            return {"pixel_values": pixels, "labels": labels.index(rows.column("target")[index])}

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_step_end(self, *arguments: Any, **named: Any) -> None:
            self.ends.append(time.perf_counter())

    torch.manual_seed(0)
    config = TimmWrapperConfig(architecture=network, num_labels=len(labels), model_args={})
    model = TimmWrapperForImageClassification(config)
    optimizer = recipe.optimizer.build(model.parameters())
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.01)
    precision = runtime.training_precision("cpu", recipe.precision)

    def train(steps: int, processes: int) -> list[float]:
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            arguments = Arguments(
                folder,
                per_device_train_batch_size=recipe.batch_size,
                max_steps=steps + 1,
                bf16=precision == "bf16",
                label_smoothing_factor=getattr(recipe.task, "smoothing", 0.0),
                max_grad_norm=0.0,
                dataloader_num_workers=processes,
                dataloader_drop_last=True,
                use_cpu=True,
                logging_strategy="no",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            )
            Trainer(
                model, arguments, train_dataset=Pictures(), optimizers=(optimizer, scheduler), callbacks=[clock]
            ).train()
        return [after - before for before, after in itertools.pairwise(clock.ends)]

    return train


def configured(data: str) -> tuple[Any, Any]:
    """The default recipe and the training rows, not yet opened."""
    from pervade.recipes import image

    recipe = image.default()
    rows, _ = recipe.domain.read(data)
    return recipe, rows.where("split", "train") if "split" in rows else rows


def timm_model(network: str) -> Any:
    from pervade.core import registry

    cls, fields = registry.find("model", f"timm:{network}")
    return cls(**fields)


SIDES = {"pervade": pervade_side, "trainer": trainer_side}


def serve(name: str, data: str, network: str) -> None:
    """One line of JSON each way: [steps, loader processes] to the seconds of each step."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not get between the answers
    warnings.simplefilter("ignore")
    train = SIDES[name](data, network)
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(train(*json.loads(line))), file=answers, flush=True)


class Side:
    def __init__(self, name: str, data: str, network: str) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "THP_MEM_ALLOC_ENABLE"}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE), "--worker", name, "--data", data, "--network", network],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.name, self.rounds = name, list[list[float]]()
        self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the {self.name} side ended; what it said stands above")
        return json.loads(line)

    def train(self, steps: int, processes: int = 0) -> list[float]:
        assert self.process.stdin is not None
        print(json.dumps([steps, processes]), file=self.process.stdin, flush=True)
        found: list[float] = self._read()
        return found

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def rate(seconds: list[float], batch: int) -> float:
    return batch * len(seconds) / sum(seconds)


def quartiles(values: Iterator[float] | list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.1f} ({low:.1f}-{high:.1f})"


def compare(ours: Side, theirs: Side, batch: int, rounds: int, steps: int) -> None:
    ours.train(steps // 2)
    trial = {processes: rate(theirs.train(steps, processes), batch) for processes in LOADERS}
    best = max(trial, key=lambda processes: trial[processes])
    print("| loader processes of the Trainer | images/s, one trial |\n|---|---|")
    print("\n".join(f"| {processes} | {each:.1f} |" for processes, each in trial.items()))
    for number in range(rounds):
        for side in (ours, theirs) if number % 2 else (theirs, ours):
            side.rounds.append(side.train(steps, best))
    print("\n| side | images/s, median of the rounds (quartiles) | seconds a step, median (quartiles) |\n|---|---|---|")
    for side, name in ((ours, "Pervade"), (theirs, f"Trainer, {best} loader processes")):
        step = statistics.quantiles([each for turn in side.rounds for each in turn], n=4)
        rates = quartiles([rate(turn, batch) for turn in side.rounds])
        print(f"| {name} | {rates} | {step[1]:.3f} ({step[0]:.3f}-{step[2]:.3f}) |")
    ratios = [rate(o, batch) / rate(t, batch) for o, t in zip(ours.rounds, theirs.rounds, strict=True)]
    middle = statistics.median(ratios)
    print(
        f"\nPervade is **{middle:.2f}** times as fast ({min(ratios):.2f}-{max(ratios):.2f} over {rounds} rounds of",
        end=" ",
    )
    print(f"{steps} steps). Wanted: {WANTED}. {'Met' if middle >= WANTED else 'MISSED'}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=str(DATA))
    parser.add_argument("--network", default="resnet10t", help="a name of timm's")
    parser.add_argument("--quick", action="store_true", help="two rounds of few steps")
    parser.add_argument("--worker", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        serve(arguments.worker, arguments.data, arguments.network)
        return
    from pervade.core import environment

    recipe, _ = configured(arguments.data)
    sides = [Side(name, arguments.data, arguments.network) for name in SIDES]
    versions = environment.describe()["packages"]
    side = round(recipe.domain.size * recipe.domain.train_scale)
    print(
        f"timm:{arguments.network}, {side} x {side}, batches of {recipe.batch_size};",
        end=" ",
    )
    print(f"torch {versions['torch']}.\n")
    try:
        rounds, steps = (2, 3) if arguments.quick else (12, 16)
        compare(*sides, recipe.batch_size, rounds, steps)
    finally:
        for side in sides:
            side.close()


if __name__ == "__main__":
    main()
