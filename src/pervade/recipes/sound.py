"""Recipes for recordings. A model's name, and where its weights come from, pick the recipe.

pervade train DATA                        scratch(): a small residual network over the log-mel spectrogram
pervade train DATA --model NAME           the same, with another network
pervade train DATA --init PATH            finetune(): weights that were trained before, at a low rate
pervade train DATA --model hf:NAME        published(): an encoder of the Hub's, at a lower one
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pervade.core import spec
from pervade.core.contracts import Domain, EarlyStopping, Initializer, Model, Recipe
from pervade.core.contracts.abilities import HasLinearHead
from pervade.core.errors import ConfigError
from pervade.data.read import hub, listing, tables
from pervade.data.rows.sources.by_length import ByLength
from pervade.data.rows.sources.dataset import Dataset
from pervade.data.sound import recordings, sound_files
from pervade.data.sound.transcripts import Columns, looks_like_transcripts
from pervade.domains.sound import Sound, looks_like_sound
from pervade.domains.spectral_statistics import SpectralStatistics
from pervade.init.pretrained import Pretrained, out_of_reach, starting_from
from pervade.init.random import Random
from pervade.models.hf import HuggingFace
from pervade.models.linear import Linear
from pervade.models.sound_cnn import SoundCNN
from pervade.run.search_space import Choice, Range
from pervade.tasks.classify import Classify
from pervade.tasks.regress import Regress
from pervade.tasks.tag import Tag
from pervade.train.imbalance.auto import Auto
from pervade.train.optim.adamw import AdamW
from pervade.train.schedule.cosine import Cosine
from pervade.train.schedule.one_cycle import OneCycle
from pervade.train.tuning.freeze import Freeze
from pervade.train.tuning.full import Full
from pervade.train.tuning.lora import Lora

TASKS = {
    "audio-classification": "one class for each recording; class folders, names that say it, or a table",
    "audio-multi-label-classification": "several labels for each recording, or none; a table of files and labels",
    "audio-regression": "a number for each recording; a table of files and numbers",
}
RATES = (8_000, 16_000)  # samples a second that networks of our own hear
LOOKED_AT = 50  # files whose rate is looked at
READS_FILES = True
BY_TARGET = {"labels": "audio-multi-label-classification", "number": "audio-regression"}


def recognises(
    source: Any, label_column: str | None = None, text_column: str | None = None, file_column: str | None = None
) -> str | None:
    if not isinstance(source, (str, Path)) or not looks_like_sound(source, file_column):
        return None
    if label_column is None and looks_like_transcripts(
        source, Columns(file_column, text_column)
    ):  # recipes/transcription.py
        return None
    target = listing.detect(source, recordings.contents(file_column), label_column)
    return BY_TARGET.get(target, "audio-classification")


def recipe(
    model: str | Model | None = None,
    task: str = "audio-classification",
    init: str | Initializer | None = None,
    source: Any = None,
    file_column: str | None = None,
) -> Recipe:
    """The recipe that belongs to a model and to where its first weights come from, with the task asked; of `source` the
    rate of its files is looked at. Raises ConfigError with the nearest name where there is no such model."""
    network: Model | None = spec.decode(model, Model) if isinstance(model, str) else model
    if isinstance(network, HuggingFace) and (init is None or not isinstance(starting_from(init), Pretrained)):
        return asked(published(network, None if init is None else starting_from(init)), task)
    start = starting_from("random" if init is None else init)
    if not isinstance(start, Pretrained):
        return asked(replace(scratch(network, usual_rate(source, file_column)), init=start), task)
    known, domain = start.made_with()
    if network is None and known is None:
        raise ConfigError(f"--init {start.source} does not say which network it is of; name it with --model")
    return asked(finetune(network or known, start, domain), task)  # type: ignore[arg-type]


def asked(recipe: Recipe, task: str) -> Recipe:
    """A recipe for classes, with another question in its place."""
    domain = recipe.domain
    if not isinstance(domain, Sound):
        return recipe
    if task in TASKS and task != "audio-classification":
        recipe = replace(recipe, imbalance=None)
    if task == "audio-multi-label-classification":
        domain = replace(domain, target="labels")
        return replace(recipe, domain=domain, task=Tag(), early_stopping=EarlyStopping("mean_average_precision"))
    if task == "audio-regression":
        # A number may hang on what is changed: how high, how fast, how loud the low bands are.
        domain = replace(domain, target="number", speed=0.0, equalise=0.0, spectral_tilt=0.0)
        return replace(recipe, domain=domain, task=Regress(), early_stopping=EarlyStopping("mean_absolute_error"))
    return recipe


def usual_rate(source: Any, file_column: str | None = None) -> int:
    """8,000 samples a second where no file has more, as of telephones; else 16,000."""
    if not isinstance(source, (str, Path)) or hub.is_address(source):
        return RATES[1]
    path = Path(source)
    listed = [file for file in (path, *(sorted(path.iterdir()) if path.is_dir() else ())) if tables.is_table(file)]
    names = [name for table in listed[:1] for name in recordings.named(table, file_column)]
    names = names or listing.walk(path, sound_files.SUFFIXES)[0]
    headers = [sound_files.header(str(name)) for name in names[:LOOKED_AT]]
    rates = [header.rate for header in headers if header is not None]
    return RATES[0] if rates and max(rates) <= RATES[0] else RATES[1]


def scratch(model: Model | None = None, rate: int = RATES[1]) -> Recipe:
    """Random weights: AdamW, one cycle, label smoothing, weights averaged, every recording changed anew each time.

    Its parts were tried on spoken digits of four speakers, three to learn from (1,500 recordings, 14 passes) and one
    held out, each of two in turn (1,000 recordings, one seed). Every band at mean 0 and deviation 1: 72.2%; the level
    below the loudest instead 77.4%; with microphones drawn and all bands of a moment seen together 80.9%; with time and
    bands bent, windows of 0.75 s for 1 s and batches of 32 for 64, 87.1%. Judged at three speeds two voices that five
    others had taught went from 92.6% and 90.2% to 96.2% and 91.2% (500 recordings each, 12 passes).
    """
    return Recipe(
        domain=Sound(rate=rate, views=3),
        task=Classify(smoothing=0.1),
        model=model or SoundCNN(),
        optimizer=AdamW(lr=2e-3, weight_decay=0.05),
        schedule=OneCycle(rise=0.1),
        init=Random(),
        source=Dataset(),
        tuning=Full(decay_all=False),
        average=0.995,
        clip_norm=5.0,
        early_stopping=EarlyStopping("accuracy", every=5),
        epochs=40,
        batch_size=32,
        imbalance=Auto(),
    )


def finetune(model: Model, init: Initializer, domain: Domain | None = None) -> Recipe:
    """Weights that were trained before, at the rate of samples and the length of window of the run they come from."""
    if isinstance(model, HuggingFace):
        return published(model, init)
    own = Sound()
    if isinstance(domain, Sound):
        own = replace(own, rate=domain.rate, seconds=domain.seconds)
    return replace(
        scratch(model),
        domain=own,
        optimizer=AdamW(lr=3e-4, weight_decay=0.05),
        schedule=Cosine(),
        init=init,
        epochs=15,
    )


def published(model: HuggingFace, init: Initializer | None = None) -> Recipe:
    """An encoder of the Hub's at the rate of samples that it was trained with: AdamW at 5e-5 with warm-up and cosine, 5
    passes (Baevski et al. 2020, arXiv:2006.11477, take 5e-5 to 1e-4); 20 where its weights are random."""
    why = out_of_reach(model) if init is None else None
    if why is not None:
        init = Random(because=f"no pretrained ones are within reach: {why}")
    start = init or Pretrained()
    return replace(
        scratch(model),
        domain=Sound(rate=model.rate or RATES[1], masked=True),
        source=ByLength(),
        task=Classify(),
        optimizer=AdamW(lr=5e-5, weight_decay=0.01),
        schedule=Cosine(warm_up=0.1),
        init=start,
        average=None,
        clip_norm=1.0,
        early_stopping=EarlyStopping("log_loss"),
        epochs=5 if isinstance(start, Pretrained) else 20,
        batch_size=8,
    )


def tuned(recipe: Recipe, tuning: str) -> Recipe:
    """The recipe with "freeze" (the head alone learns, on features computed once) or "lora" (adapters learn)."""
    if tuning == "lora":
        return replace(recipe, tuning=Lora(), optimizer=AdamW(lr=5e-4))
    return replace(
        recipe,
        domain=replace(recipe.domain, augment=False),  # type: ignore[type-var]
        source=Dataset(),
        tuning=Freeze(),
        optimizer=AdamW(lr=1e-2, weight_decay=0.1),
        schedule=Cosine(warm_up=0.0),
        average=None,
        epochs=30,
    )


def plain(recipe: Recipe) -> Recipe | None:
    """The same rows, read by a linear model."""
    if not isinstance(recipe.domain, Sound) or not isinstance(recipe.task, HasLinearHead):
        return None
    return replace(recipe, domain=SpectralStatistics.of(recipe.domain), model=Linear())


def search_space(recipe: Recipe) -> dict[str, Range | Choice]:
    """What `pervade tune` varies: first the learning rate, up and down to ten times."""
    if not isinstance(recipe.domain, Sound):
        return {}
    lr = recipe.one_optimizer.lr
    return {
        "optimizer.lr": Range(lr / 10, lr * 10, log=True),
        "optimizer.weight_decay": Range(1e-3, 1e-1, log=True),
        "domain.speed": Choice((0.1, 0.2, 0.3)),
    }
