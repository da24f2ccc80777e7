"""Recipes for filling in hidden words: to teach an encoder the language of a field before it is asked anything else.

pervade train DATA --task fill-mask                     from nothing: a small transformer and its tokenizer
pervade train DATA --task fill-mask --model hf:NAME     goes on from a published encoder, with its tokenizer
pervade train LABELLED --init RUN                       and then another question (recipes/text.py, questions.py)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pervade.core import spec
from pervade.core.contracts import EarlyStopping, Initializer, Model, Recipe
from pervade.core.errors import ConfigError
from pervade.domains.masked import Masked
from pervade.init.pretrained import Pretrained, out_of_reach, published, starting_from
from pervade.models.transformer import Transformer
from pervade.recipes import language
from pervade.recipes.text import otherwise_random
from pervade.run.search_space import Range
from pervade.tasks.fill_mask import FillMask
from pervade.train.optim.adamw import AdamW
from pervade.train.optim.muon import Muon
from pervade.train.schedule.cosine import Cosine

TASKS = {"fill-mask": "learns a language by filling in hidden words, to go on from with --init; texts, however sorted"}


def recognises(source: Any, label_column: str | None = None, text_column: str | None = None) -> str | None:
    """Never: whoever has texts wants something else of them in the end."""
    return None


def recipe(
    model: str | Model | None = None,
    task: str = "fill-mask",
    init: str | Initializer | None = None,
    source: Any = None,
) -> Recipe:
    """Raises ConfigError where the model is no encoder of texts, or where its weights are from is not known."""
    network: Model | None = spec.decode(model, Model) if isinstance(model, str) else model
    if init is None and network is not None and published(network) is not None:
        why = out_of_reach(network)
        start: Initializer = Pretrained() if why is None else otherwise_random(network, why).init
    else:
        start = starting_from("random" if init is None else init)
    known = None
    if isinstance(start, Pretrained):
        known, _ = start.made_with()
    network = network or known or Transformer(width=256, depth=4, heads=4)
    assert network is not None
    most = getattr(network, "length", None)
    if isinstance(start, Pretrained):
        place = start.source or getattr(network, "name", "")
        if not place:
            raise ConfigError("--init says not which tokenizer belongs to the weights; name a run, or --model hf:NAME")
        return replace(
            continued(network), init=start, domain=Masked(length=min(256, most or 256), tokenizer_from=place)
        )
    domain = Masked(length=min(256, most or 256), tokenizer_from=getattr(network, "name", ""))
    return replace(scratch(network), init=start, domain=domain)


def scratch(model: Model) -> Recipe:
    return replace(
        language.scratch(model),
        domain=Masked(),
        task=FillMask(),
        # After six passes over 1,350 Chinese reviews a hidden token is one of 244 so, and of 309 with AdamW at 1e-3.
        optimizer=Muon(lr=3e-3, weight_decay=0.05),
        schedule=Cosine(warm_up=0.05, end=0.05),
        early_stopping=EarlyStopping("masked_perplexity"),
        epochs=40,
        batch_size=16,
    )


def continued(model: Model) -> Recipe:
    """Published weights, or those of a run: a lower rate, fewer passes."""
    return replace(scratch(model), optimizer=AdamW(lr=1e-4, weight_decay=0.01), epochs=5)


def search_space(recipe: Recipe) -> dict[str, Range]:
    """What `pervade tune` varies."""
    if not isinstance(recipe.domain, Masked):
        return {}
    lr = recipe.one_optimizer.lr
    return {"optimizer.lr": Range(lr / 5, lr * 5, log=True)}
