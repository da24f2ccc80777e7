"""Recipes for pictures. A model's name picks the recipe: `recipe("reference-cnn")`.

pervade train DATA                        default(): a residual network on 96 x 96 pixels
pervade train DATA --model reference-cnn  reference(): Adam, 10 epochs, 224 x 224, no augmentation
pervade train DATA --model reference-mlp  reference(), 64 x 64, mean squared error
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pervade.core import registry
from pervade.core.protocols import EarlyStopping, Recipe
from pervade.data.sources.dataset import Dataset
from pervade.domains.image import Image
from pervade.init.random import Random
from pervade.models.reference_cnn import ReferenceCNN
from pervade.models.reference_mlp import ReferenceMLP
from pervade.models.resnet import ResNet
from pervade.tasks.classify import Classify
from pervade.train.optim.adam import Adam
from pervade.train.optim.sgd import SGD
from pervade.train.schedule.constant import Constant
from pervade.train.schedule.one_cycle import OneCycle

TASKS = {"image-classification": "one class for each picture; class folders, or a table of files and labels"}


def recognises(source: Any) -> str | None:
    """Every source, as long as pictures are the only domain there is: what is wrong with it, the reader says best."""
    return "image-classification"


def recipe(model: str | None = None, task: str = "image-classification") -> Recipe:
    """The recipe that belongs to a model. Raises ConfigError with the nearest name where there is no such model."""
    if model is None:
        return default()
    cls, fields = registry.find("model", model)
    if cls is ReferenceCNN:
        return reference()
    if cls is ReferenceMLP:
        return mlp()
    return replace(default(), model=cls(**fields))


def default() -> Recipe:
    """A narrow ResNet-18 by one-cycle SGD with label smoothing, random crops and flips."""
    return Recipe(
        domain=Image(size=96),
        task=Classify(smoothing=0.1),
        model=ResNet(depth=18, width=32),
        optimizer=SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=OneCycle(),
        init=Random(),
        source=Dataset(),
        early_stopping=EarlyStopping("accuracy"),
        epochs=30,
        batch_size=64,
    )


def reference() -> Recipe:
    """The reference network by the recipe that people write first. 64.6% on 5,000 photos of cats and dogs, then
    it overfits."""
    return replace(
        default(),
        domain=Image(size=224, augment=False),
        task=Classify(),
        model=ReferenceCNN(),
        optimizer=Adam(lr=1e-3),
        schedule=Constant(),
        epochs=10,
        batch_size=32,
    )


def mlp() -> Recipe:
    """The plainest baseline: dense layers, mean squared error, Adam."""
    return replace(
        reference(),
        domain=Image(size=64, augment=False),
        task=Classify(loss_name="mse"),
        model=ReferenceMLP(),
        optimizer=Adam(lr=1e-4),
    )


def demo() -> Recipe:
    """scikit-learn's handwritten digits, 8 x 8 grey pixels, in seconds. Digits are never mirrored."""
    return replace(
        reference(),
        domain=Image(size=8, margin=1.25, channels=1, crop_area=1.0, flip=False),
        optimizer=Adam(lr=2e-3),
        schedule=OneCycle(),
        epochs=12,
    )
