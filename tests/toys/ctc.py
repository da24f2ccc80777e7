"""Transcription: symbols of uneven length, without their times (CTC, Graves et al. 2006)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from pervade.core.protocols import Task
from pervade.core.registry import register
from tests.toys.base import ToyDomain, toy_recipe

FRAMES, SYMBOLS = 16, 4  # symbol 0 is CTC's blank


@register("domain", name="toy-beeps")
@dataclass(frozen=True)
class Beeps(ToyDomain):
    size = SYMBOLS + 1

    def make(self, rng):
        columns = {"input": [], "mask": [], "symbols": [], "length": []}
        for _ in range(400):
            length = int(rng.integers(2, 5))
            symbols = rng.integers(1, SYMBOLS + 1, length)
            frames = np.concatenate([np.repeat([s, 0], rng.integers(1, 3, 2)) for s in symbols])[:FRAMES]
            sound = np.eye(SYMBOLS + 1)[np.pad(frames, (0, FRAMES - len(frames)))] + rng.normal(0, 0.2, (FRAMES, 5))
            columns["input"].append(sound.astype("float32").tolist())
            columns["mask"].append([i < len(frames) for i in range(FRAMES)])
            columns["symbols"].append([*symbols.tolist(), *[0] * (4 - length)])
            columns["length"].append(length)
        return columns


@register("task", name="toy-transcribe")
@dataclass(frozen=True)
class Transcribe(Task):
    def outputs(self, domain):
        return {"logits": SYMBOLS + 1}

    def loss(self, output, batch):
        log_prob, frames = output["logits"].log_softmax(-1).transpose(0, 1), batch["mask"].sum(1)
        loss = F.ctc_loss(log_prob, batch["symbols"], frames, batch["length"], reduction="none", zero_infinity=True)
        return {"loss": loss, "count": batch["length"].float()}

    def predictions(self, output, batch, context):
        texts = []
        for best, frames in zip(output["logits"].argmax(-1), batch["mask"].sum(1), strict=True):
            texts.append([int(s) for s in torch.unique_consecutive(best[:frames]) if s])
        truth = [s[:n].tolist() for s, n in zip(batch["symbols"], batch["length"], strict=True)]
        return {"row": batch["row"], "prediction": texts, "target": truth}


def recipe():
    return toy_recipe(Beeps(), Transcribe())


def score(columns):
    return np.mean([p == t for p, t in zip(columns["prediction"], columns["target"], strict=True)])


CHANCE, THRESHOLD = 0.02, 0.8
