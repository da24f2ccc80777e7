"""Recipes for learning what people prefer.

pervade train PAIRS.jsonl --init RUN   DPO, from a run of text-generation that writes or answers
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from pervade.core.contracts import EarlyStopping, Initializer, Model, Recipe
from pervade.core.errors import ConfigError
from pervade.data.rows.sources.by_length import ByLength
from pervade.domains.preferences import Preferences, looks_like_preferences
from pervade.init.pretrained import Pretrained
from pervade.recipes import language
from pervade.run.search_space import Choice, Range
from pervade.tasks.prefer import Prefer
from pervade.train.optim.adamw import AdamW
from pervade.train.schedule.cosine import Cosine

TASKS = {
    "text-preference": "learns which of two answers is preferred (DPO), and answers so; a table of prompt, chosen and "
    "rejected; goes on from a model that writes (--init RUN)"
}


def recognises(source: Any, label_column: str | None = None, text_column: str | None = None) -> str | None:
    plain = isinstance(source, (str, os.PathLike)) and label_column is None and text_column is None
    return "text-preference" if plain and looks_like_preferences(source) else None


def recipe(
    model: str | Model | None = None,
    task: str = "text-preference",
    init: str | Initializer | None = None,
    source: Any = None,
) -> Recipe:
    """From the weights, the tokenizer and the template of a run, or of a published model. Raises ConfigError where
    there is none to go on from: a model that cannot write has no answers to choose between. Without DATA, the recipe to
    look at."""
    base = language.writing(model, init)
    if not isinstance(base.init, Pretrained) and (init is not None or source is not None):
        raise ConfigError(
            "text-preference goes on from a model that writes: name one with --init RUN, for example what `pervade "
            "train` made of texts, or of instructions and answers (--task text-generation), or with --model hf:NAME"
        )
    taken: Any = language.instructed(base).domain
    return replace(
        base,
        domain=Preferences(length=taken.length, tokenizer_from=taken.tokenizer_from),
        task=Prefer(),
        source=ByLength(),
        optimizer=AdamW(lr=2e-5, weight_decay=0.0),
        schedule=Cosine(warm_up=0.1),
        early_stopping=EarlyStopping("chosen_likelier"),
        epochs=3,
        validation=0.1,
        test=0.1,
    )


tuned = language.tuned


def search_space(recipe: Recipe) -> dict[str, Range | Choice]:
    """What `pervade tune` varies."""
    if not isinstance(recipe.domain, Preferences):
        return {}
    lr = recipe.one_optimizer.lr
    return {"optimizer.lr": Range(lr / 10, lr * 10, log=True), "task.beta": Choice((0.03, 0.1, 0.3))}
