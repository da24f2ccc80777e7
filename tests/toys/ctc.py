"""Transcription: symbols of uneven length, without their times (CTC, Graves et al. 2006)."""

import numpy as np
import torch
from torch.nn import functional as F

from tests.toys.base import ToyTask, toy, toy_recipe
from tests.toys.worlds import SYMBOLS, Beeps

CHANCE, THRESHOLD = 0.02, 0.8


@toy("task", "toy-transcribe")
class Transcribe(ToyTask):
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
