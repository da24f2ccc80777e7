"""Two classes that no straight line divides."""

from dataclasses import dataclass

from pervade.core.protocols import EarlyStopping
from pervade.core.registry import register
from pervade.tasks.classify import Classify
from tests.toys.base import ToyDomain, toy_recipe


@register("domain", name="toy-xor")
@dataclass(frozen=True)
class Xor(ToyDomain):
    labels: tuple[str, ...] = ("0", "1")

    def make(self, rng):
        points = rng.uniform(-1, 1, (600, 2)).astype("float32")
        return {"input": points.tolist(), "target": [str(int(x * y > 0)) for x, y in points]}


def recipe():
    return toy_recipe(Xor(), Classify(), early_stopping=EarlyStopping("accuracy", patience=8))


def score(columns):
    return (columns["prediction"] == columns["target"]).mean()


CHANCE, THRESHOLD = 0.5, 0.9
