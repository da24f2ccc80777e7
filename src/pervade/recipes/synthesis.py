"""Recipes for making sounds, which must be asked for: recordings with labels are taken for sounds to recognise.

pervade train DATA --task text-to-audio                          wavenet-small from nothing, 20 passes
pervade train DATA --task text-to-audio --group-pattern '_(.+)_' with the speaker, read from the files' names
pervade predict RUN seven six/anna -o FOLDER                     a seven, and a six in anna's voice, as wav
"""

from __future__ import annotations

from typing import Any

from pervade.core import spec
from pervade.core.contracts import EarlyStopping, Initializer, Model, Recipe
from pervade.core.errors import ConfigError
from pervade.data.rows.sources.by_length import ByLength
from pervade.domains.waveform import Waveform
from pervade.init.pretrained import starting_from
from pervade.init.random import Random
from pervade.models.wavenet import WaveNet
from pervade.run.search_space import Choice, Range
from pervade.tasks.synthesise import Synthesise
from pervade.train.optim.adamw import AdamW
from pervade.train.schedule.cosine import Cosine
from pervade.train.tuning.full import Full

TASKS = {
    "text-to-audio": "makes sounds of a label, sample by sample; recordings in class folders, or in a table with labels"
}


def recognises(source: Any, label_column: str | None = None, text_column: str | None = None) -> str | None:
    return None


def recipe(
    model: str | Model | None = None,
    task: str = "text-to-audio",
    init: str | Initializer | None = None,
    source: Any = None,
) -> Recipe:
    """Raises ConfigError where the model makes no sounds."""
    network: Model = spec.decode(model, Model) if isinstance(model, str) else model or WaveNet()
    if not isinstance(network, WaveNet):
        raise ConfigError("text-to-audio trains a wavenet (wavenet-tiny, wavenet-small)")
    return Recipe(
        domain=Waveform(),
        task=Synthesise(),
        model=network,
        optimizer=AdamW(lr=3e-3, weight_decay=0.01),
        schedule=Cosine(warm_up=0.02, end=0.02),
        init=Random() if init is None else starting_from(init),
        # Two recordings at once are few enough to stay in a processor's cache from layer to layer.
        source=ByLength(),
        batch_size=4,
        micro_batch=2,
        tuning=Full(decay_all=False),
        early_stopping=EarlyStopping("bits_per_sample"),
        epochs=20,
        clip_norm=1.0,
        average=0.999,
        validation=0.05,
        test=0.1,
    )


def search_space(recipe: Recipe) -> dict[str, Range | Choice]:
    """What `pervade tune` varies."""
    if not isinstance(recipe.domain, Waveform):
        return {}
    lr = recipe.one_optimizer.lr
    return {"optimizer.lr": Range(lr / 5, lr * 5, log=True), "model.channels": Choice((32, 64, 96))}
