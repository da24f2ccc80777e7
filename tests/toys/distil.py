"""A small pupil learns from a teacher's answers: a task that wraps a task. The teacher is a checkpoint's path."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from pervade.core.protocols import Task
from pervade.core.registry import register
from pervade.core.run import RunDirectory
from pervade.engine.checkpoint import load_checkpoint
from pervade.tasks.classify import Classify
from tests.toys import classifier
from tests.toys.base import Perceptron, toy_recipe


@register("task", name="toy-distil")
@dataclass(frozen=True)
class Distil(Task):
    task: Task
    teacher: str  # a run

    def outputs(self, domain):
        return self.task.outputs(domain)

    def companions(self, model, domain):
        from pathlib import Path

        return load_checkpoint(RunDirectory(Path(self.teacher)), "last").network.requires_grad_(False)

    def forward(self, model, batch, context):
        output = self.task.forward(model, batch, context)
        if context.companions is None:
            return output
        return {**output, "teacher": context.companions(batch["input"])["logits"]}

    def loss(self, output, batch):
        taught = F.cross_entropy(output["logits"], output["teacher"].softmax(1), reduction="none")
        return {"loss": taught}

    def predictions(self, output, batch, context):
        return self.task.predictions(output, batch, context)

    def metrics(self, domain):
        return self.task.metrics(domain)


def recipe(teacher):
    torch.manual_seed(0)
    return toy_recipe(classifier.Xor(), Distil(Classify(), teacher), Perceptron(12), epochs=20)


score, CHANCE, THRESHOLD = classifier.score, 0.5, 0.85
