"""Recipes for finding the answer to a question in a text. As for texts (recipes/text.py), with another question.

pervade train squad/ --model hf:NAME      finetunes an encoder: AdamW at a low rate, six passes
pervade train DATA --init RUN             goes on from a run that learnt to fill in words, or from any other of texts
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from pervade.core.contracts import EarlyStopping, Initializer, Model, Recipe
from pervade.data.read.questions import looks_like_questions
from pervade.domains.questions import Questions
from pervade.domains.text import Text
from pervade.models.text_cnn import TextCNN
from pervade.models.transformer import Transformer
from pervade.recipes import text
from pervade.run.search_space import Choice, Range
from pervade.tasks.answer_span import AnswerSpan
from pervade.train.optim.adamw import AdamW

TASKS = {"question-answering": "finds the answer in a text, or that there is none; SQuAD's JSON, or a table"}
LONGEST = 384  # tokens of a window, unless the model takes fewer


def recognises(source: Any, label_column: str | None = None, text_column: str | None = None) -> str | None:
    plain = isinstance(source, (str, os.PathLike)) and label_column is None and text_column is None
    return "question-answering" if plain and looks_like_questions(source) else None


def recipe(
    model: str | Model | None = None,
    task: str = "question-answering",
    init: str | Initializer | None = None,
    source: Any = None,
) -> Recipe:
    """The text recipe of this model and these weights, asked for spans."""
    base = text.of_classes(model, init, source)
    if model is None and isinstance(base.model, TextCNN):  # which puts a text together, and has no say of its places
        network = Transformer(width=128, depth=2, heads=4, dropout=0.2)
        base = replace(text.scratch(network), init=base.init)
    most = getattr(base.model, "length", None)
    length = min(LONGEST, most or LONGEST)
    known: Any = base.domain
    domain = Questions(length=length, overlap=length // 3, tokenizer_from=getattr(known, "tokenizer_from", ""))
    if isinstance(known, Text) and not domain.tokenizer_from:
        return replace(base, domain=domain, task=AnswerSpan(), early_stopping=EarlyStopping("f1"))
    return replace(
        base,
        domain=domain,
        task=AnswerSpan(),
        # A head for spans begins from nothing: on 850 questions MiniLM reached an F1 of 26 on validation after one pass
        # and of 52 after four. Of SQuAD's 87,000 two or three are usual (Devlin et al. 2019).
        optimizer=AdamW(lr=2 * text.rate_of(base.model), weight_decay=0.01),
        epochs=6,
        early_stopping=EarlyStopping("f1"),
        batch_size=16,
    )


tuned = text.tuned


def search_space(recipe: Recipe) -> dict[str, Range | Choice]:
    """What `pervade tune` varies."""
    return text.search_space(recipe) if isinstance(recipe.domain, Questions) else {}
