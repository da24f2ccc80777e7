"""A small pupil learns from a teacher's answers: a task that wraps a task. The teacher is a checkpoint's path."""

from pervade.tasks.classify import Classify
from pervade.tasks.distil import Distil
from tests.toys.base import Perceptron, share_right, toy_recipe
from tests.toys.worlds import Xor

score, CHANCE, THRESHOLD = share_right, 0.5, 0.85


def recipe(teacher):
    return toy_recipe(Xor(), Distil(Classify(), teacher, temperature=1.0, share=0.0), Perceptron(12), epochs=20)
