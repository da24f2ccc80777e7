"""A dict of two modalities: neither alone tells the class."""

from pervade.tasks.classify import Classify
from tests.toys.base import share_right, toy_recipe
from tests.toys.networks import Fusion
from tests.toys.worlds import SightAndSound

score, CHANCE, THRESHOLD = share_right, 0.5, 0.95


def recipe():
    return toy_recipe(SightAndSound(), Classify(), Fusion(), micro_batch=10)
