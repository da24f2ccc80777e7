"""A small pupil learns from a teacher's answers: a task that wraps a task. The teacher is a checkpoint's path."""

from pathlib import Path

from torch.nn import functional as F

from pervade.core.contracts import Wrapping
from pervade.core.contracts.abilities import HasCompanions
from pervade.core.run import RunDirectory
from pervade.engine.checkpoint import load_checkpoint
from pervade.tasks.classify import Classify
from tests.toys.base import Perceptron, share_right, toy, toy_recipe
from tests.toys.worlds import Xor

score, CHANCE, THRESHOLD = share_right, 0.5, 0.85


@toy("task", "toy-distil")
class Distil(Wrapping, HasCompanions):
    teacher: str  # a run

    def companions(self, model, domain):
        return load_checkpoint(RunDirectory(Path(self.teacher)), "last").network.requires_grad_(False)

    def forward(self, model, batch, context):
        output = super().forward(model, batch, context)
        if context.companions is None:
            return output
        return {**output, "teacher": context.companions(batch["input"])["logits"]}

    def loss(self, output, batch):
        return {"loss": F.cross_entropy(output["logits"], output["teacher"].softmax(1), reduction="none")}


def recipe(teacher):
    return toy_recipe(Xor(), Distil(Classify(), teacher), Perceptron(12), epochs=20)
