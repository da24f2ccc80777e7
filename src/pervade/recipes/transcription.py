"""Recipes for writing down what is said in recordings.

pervade train DATA          a table of files and transcripts, or LibriSpeech's folders: a conformer from random weights
                            learns the characters of the training transcripts (`scratch`)
pervade train DATA --model hf:NAME
                            Wav2Vec2, HuBERT or WavLM of the Hub's, at a low rate (`finetune`)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pervade.core import download, spec
from pervade.core.errors import ConfigError
from pervade.core.protocols import EarlyStopping, Initializer, Model, Recipe
from pervade.data.alphabet import Normalisation
from pervade.data.sources.utterances import Utterances
from pervade.data.transcripts import Columns, looks_like_transcripts
from pervade.domains.transcripts import Transcripts
from pervade.init.pretrained import Pretrained, out_of_reach, starting_from
from pervade.init.random import Random
from pervade.models.conformer import Conformer
from pervade.models.hf import HuggingFace
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
    if isinstance(network, HuggingFace):
        return finetune(network, None if init is None else starting_from(init))
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


def finetune(model: HuggingFace, init: Initializer | None = None) -> Recipe:
    """An encoder of the Hub's: AdamW at 1e-4 with warm-up and cosine (Baevski et al. 2020, arXiv:2006.11477). Where it
    was published with what it spells, that alphabet and its head are taken over."""
    why = out_of_reach(model) if init is None else None
    if why is not None:
        download.announce(f"init: random weights, since no pretrained ones are within reach: {why}")
        init = Random(because=f"no pretrained ones are within reach: {why}")
    start = init or Pretrained()
    spelt = model.alphabet if isinstance(start, Pretrained) else ()
    return replace(
        scratch(model, start),
        domain=Transcripts(rate=model.rate or 16_000, alphabet=spelt, normalise=case_of(spelt)),
        optimizer=AdamW(lr=1e-4, weight_decay=0.01),
        epochs=20,
        batch_size=8,
        clip_norm=1.0,
    )


def case_of(alphabet: tuple[str, ...]) -> Normalisation:
    """How transcripts must be written to be spelt with an alphabet: in the one case that it has.

    >>> case_of(("", " ", "A", "'")), case_of(("", "a", "B")), case_of(())
    ('upper', 'none', 'none')
    """
    letters = [each for piece in alphabet for each in piece if each.isalpha()]
    if not letters or (any(map(str.isupper, letters)) and any(map(str.islower, letters))):
        return "none"
    return "upper" if any(map(str.isupper, letters)) else "lower"


def tuned(recipe: Recipe, tuning: str) -> Recipe:
    raise ConfigError(f"--{tuning} is not known for transcription from our own conformer; leave it out")


def search_space(recipe: Recipe) -> dict[str, Range | Choice]:
    """What `pervade tune` varies."""
    if not isinstance(recipe.domain, Transcripts):
        return {}
    lr = recipe.optimizer.lr
    return {"optimizer.lr": Range(lr / 5, lr * 5, log=True), "model.dropout": Range(0.0, 0.3)}
