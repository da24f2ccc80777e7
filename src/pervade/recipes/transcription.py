"""Recipes for writing down what is said in recordings.

pervade train DATA          a table of files and transcripts, or LibriSpeech's folders: a conformer from random weights
                            learns the characters of the training transcripts (`scratch`)
"""

from __future__ import annotations

from typing import Any

from pervade.core import spec
from pervade.core.errors import ConfigError
from pervade.core.protocols import EarlyStopping, Initializer, Model, Recipe
from pervade.data.sources.utterances import Utterances
from pervade.data.transcripts import Columns, looks_like_transcripts
from pervade.domains.transcripts import Transcripts
from pervade.init.pretrained import starting_from
from pervade.init.random import Random
from pervade.models.conformer import Conformer
from pervade.search_space import Choice, Range
from pervade.tasks.transcribe import Transcribe
from pervade.train.optim.adamw import AdamW
from pervade.train.schedule.cosine import Cosine
from pervade.train.tuning.full import Full

TASKS = {"automatic-speech-recognition": "writes down what is said; a table of files and transcripts, or LibriSpeech"}


def recognises(source: Any, label_column: str | None = None, text_column: str | None = None) -> str | None:
    """Who names a column of labels asks for something else."""
    known = label_column is None and looks_like_transcripts(source, Columns(text=text_column))
    return "automatic-speech-recognition" if known else None


def recipe(
    model: str | Model | None = None,
    task: str = "automatic-speech-recognition",
    init: str | Initializer | None = None,
    source: Any = None,
) -> Recipe:
    network: Model | None = spec.decode(model, Model) if isinstance(model, str) else model
    return scratch(network, Random() if init is None else starting_from(init))


def scratch(model: Model | None = None, init: Initializer | None = None) -> Recipe:
    """A conformer from random weights. Warm-up matters: at a full rate from the first step on attention may end up
    looking nowhere, and then only blanks are written."""
    return Recipe(
        domain=Transcripts(),
        task=Transcribe(),
        model=model or Conformer(),
        optimizer=AdamW(lr=2e-3, weight_decay=0.05),
        schedule=Cosine(warm_up=0.1),
        init=init or Random(),
        source=Utterances(),
        tuning=Full(decay_all=False),
        early_stopping=EarlyStopping("word_error_rate"),
        epochs=60,
        batch_size=16,
        clip_norm=5.0,
    )


def tuned(recipe: Recipe, tuning: str) -> Recipe:
    raise ConfigError(f"--{tuning} is not known for transcription from our own conformer; leave it out")


def search_space(recipe: Recipe) -> dict[str, Range | Choice]:
    """What `pervade tune` varies."""
    if not isinstance(recipe.domain, Transcripts):
        return {}
    lr = recipe.optimizer.lr
    return {"optimizer.lr": Range(lr / 5, lr * 5, log=True), "model.dropout": Range(0.0, 0.3)}
