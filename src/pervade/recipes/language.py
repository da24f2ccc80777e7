"""Recipes for writing text.

pervade train DATA                    a folder of text files, or one: gpt-tiny from nothing, with its own tokenizer
pervade train DATA --model gpt-small  a larger one
pervade train CHATS.jsonl             conversations, or instructions and answers: it learns to answer
pervade train CHATS.jsonl --init RUN  what a run has learnt to write, taught to answer
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from pervade.core import spec
from pervade.core.errors import ConfigError
from pervade.core.protocols import EarlyStopping, Initializer, Model, Recipe
from pervade.data import conversations
from pervade.data.sources.by_length import ByLength
from pervade.data.sources.stream import Stream
from pervade.domains.corpus import Corpus, looks_like_running_text
from pervade.domains.instructions import Instructions, looks_like_instructions
from pervade.init.pretrained import Pretrained, starting_from
from pervade.init.random import Random
from pervade.models.gpt import GPT
from pervade.search_space import Choice, Range
from pervade.tasks.language_model import LanguageModel
from pervade.train.optim.adamw import AdamW
from pervade.train.schedule.cosine import Cosine
from pervade.train.tuning.full import Full

TASKS = {
    "text-generation": "writes on from a text; a folder of text files, one large file, or a table of texts; or "
    "answers, from a table of messages, of prompt and completion, or of instruction, input and output"
}


def recognises(source: Any, label_column: str | None = None, text_column: str | None = None) -> str | None:
    plain = isinstance(source, (str, os.PathLike)) and label_column is None
    if not plain:
        return None
    if (
        text_column is None
        and looks_like_instructions(source)
        and not conversations.holds_pairs(conversations.peek(source))
    ):
        return "text-generation"
    return "text-generation" if looks_like_running_text(source) else None


def recipe(
    model: str | Model | None = None,
    task: str = "text-generation",
    init: str | Initializer | None = None,
    source: Any = None,
) -> Recipe:
    """gpt-tiny unless another is named. Raises ConfigError where the model writes no text, or has no weights to begin
    with."""
    if source is not None and looks_like_instructions(source):
        return instructed(writing(model, init))
    network: Model = spec.decode(model, Model) if isinstance(model, str) else model or GPT()
    if not isinstance(network, GPT):
        raise ConfigError(
            "text-generation trains a gpt (gpt-tiny, gpt-small, gpt-base); language models of the Hugging Face Hub "
            "cannot be finetuned yet"
        )
    start = starting_from("random" if init is None else init)
    if isinstance(start, Pretrained):
        raise ConfigError("text-generation starts from random weights; going on from others is not there yet")
    return replace(scratch(network), init=start)


def scratch(model: Model) -> Recipe:
    return Recipe(
        domain=Corpus(),
        task=LanguageModel(),
        model=model,
        optimizer=AdamW(lr=2e-3, weight_decay=0.1),
        schedule=Cosine(warm_up=0.02, end=0.05),
        init=Random(),
        source=Stream(),
        tuning=Full(decay_all=False),
        early_stopping=EarlyStopping("bits_per_byte"),
        epochs=10,
        batch_size=16,
        clip_norm=1.0,
        validation=0.05,
        test=0.05,
    )


def writing(model: str | Model | None = None, init: str | Initializer | None = None) -> Recipe:
    """A gpt from nothing, or one that goes on from the weights and the tokenizer of a run. Raises ConfigError where the
    model writes no text, or the weights do not say which tokenizer they go with."""
    start = starting_from("random" if init is None else init)
    known, domain = start.made_with() if isinstance(start, Pretrained) else (None, None)
    network: Any = (spec.decode(model, Model) if isinstance(model, str) else model) or known or GPT()
    if not isinstance(network, GPT):
        raise ConfigError(
            "what writes text here is a gpt (gpt-tiny, gpt-small, gpt-base), or a run of one; language models of the "
            "Hugging Face Hub cannot be finetuned yet"
        )
    if not isinstance(start, Pretrained):
        return replace(scratch(network), init=start)
    if not hasattr(domain, "tokenizer"):
        raise ConfigError(
            f"--init {start.source} does not say which tokenizer it goes with; name a run of text-generation"
        )
    own = Instructions(length=getattr(domain, "length", Instructions.length), tokenizer_from=start.source)
    return replace(scratch(network), domain=own, init=start, optimizer=AdamW(lr=3e-4, weight_decay=0.1), epochs=3)


def instructed(recipe: Recipe) -> Recipe:
    """A recipe for writing, to learn to answer instead, with the same tokenizer where one is taken."""
    taken: Any = recipe.domain
    source = getattr(taken, "tokenizer_from", "")
    own = Instructions(length=taken.length, tokenizer_from=source) if source else Instructions()
    return replace(recipe, domain=own, source=ByLength())


def tuned(recipe: Recipe, tuning: str) -> Recipe:
    raise ConfigError(f"--{tuning} is not there for models that write; leave it out, and all weights learn")


def search_space(recipe: Recipe) -> dict[str, Range | Choice]:
    """What `pervade tune` varies."""
    if not isinstance(recipe.domain, (Corpus, Instructions)):
        return {}
    lr = recipe.optimizer.lr
    return {"optimizer.lr": Range(lr / 5, lr * 5, log=True), "model.dropout": Choice((0.0, 0.1, 0.2))}
