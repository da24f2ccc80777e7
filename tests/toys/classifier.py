"""Two classes that no straight line divides."""

from pervade.core.contracts import EarlyStopping
from pervade.tasks.classify import Classify
from tests.toys.base import share_right, toy_recipe
from tests.toys.worlds import Xor

score, CHANCE, THRESHOLD = share_right, 0.5, 0.9


def recipe():
    return toy_recipe(Xor(), Classify(), early_stopping=EarlyStopping("accuracy", patience=8))
