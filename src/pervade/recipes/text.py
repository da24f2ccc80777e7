"""Recipes for texts. A model's name, and where its weights come from, pick the recipe.

pervade train DATA                        within_reach(): a small sentence encoder finetuned where it can be had
pervade train DATA --init random          scratch(): words and windows of them, and a tokenizer, from DATA alone
pervade train DATA --model hf:NAME        finetune(): AdamW at a low rate, three passes
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pervade.core import spec
from pervade.core.contracts import Domain, EarlyStopping, Initializer, Model, Recipe
from pervade.core.contracts.abilities import HasLinearHead
from pervade.core.contracts.capabilities import Tokenised
from pervade.core.errors import ConfigError, DataError
from pervade.data.read import listing
from pervade.data.rows.sources.by_length import ByLength
from pervade.data.rows.sources.dataset import Dataset
from pervade.data.text import texts
from pervade.domains.bag import Bag
from pervade.domains.text import LOOK, Text, contents, looks_like_text, sample
from pervade.init.pretrained import Pretrained, beyond, out_of_reach, published, starting_from
from pervade.init.random import Random
from pervade.models.hf import HuggingFace
from pervade.models.linear import Linear
from pervade.models.text_cnn import TextCNN
from pervade.models.transformer import Transformer
from pervade.run.search_space import Choice, Range
from pervade.tasks.classify import Classify
from pervade.tasks.regress import Regress
from pervade.tasks.tag import Tag
from pervade.train.imbalance.auto import Auto
from pervade.train.optim.adamw import AdamW
from pervade.train.schedule.cosine import Cosine
from pervade.train.tuning.freeze import Freeze
from pervade.train.tuning.full import Full
from pervade.train.tuning.lora import Lora
from pervade.weights.hub import HubRepository

TASKS = {
    "text-classification": "one class for each text or pair of texts; a table of texts and labels, or folders of .txt",
    "text-multi-label-classification": "several labels for each text, or none; a table of lists, or of 0 and 1",
    "text-regression": "a number for each text or pair of texts; a table of texts and numbers",
}
BY_TARGET = {"labels": "text-multi-label-classification", "number": "text-regression"}

ENGLISH = "sentence-transformers/all-MiniLM-L6-v2"  # 22 million weights, Apache-2.0
OTHERS = "intfloat/multilingual-e5-small"  # 118 million, most of them the vocabulary of 100 languages; MIT
OWN = (TextCNN, Transformer)  # networks whose tokenizer is learnt with them
SMALL = 512  # numbers of a token's features in a network that is small
LONGEST = 256  # tokens, unless the model takes fewer
# Of a frozen encoder so many layers are read. By one, two, three and four of MiniLM, heads learnt from 1,000 labels
# were right on 77.8, 79.6, 80.0 and 79.9% of other rows of sst2's training split (the penalty by log-loss).
LAYERS = 3


def recognises(source: Any, label_column: str | None = None, text_column: str | None = None) -> str | None:
    if not isinstance(source, (str, Path)) or not looks_like_text(source, text_column):
        return None
    target = listing.detect(source, contents(text_column, label_column, LOOK), label_column)
    return BY_TARGET.get(target, "text-classification")


def recipe(
    model: str | Model | None = None,
    task: str = "text-classification",
    init: str | Initializer | None = None,
    source: Any = None,
) -> Recipe:
    """The recipe that belongs to a model and to where its first weights come from, with the task asked; `source` is
    looked at for the language, where neither is named. Raises ConfigError with the nearest name."""
    return asked(of_classes(model, init, source), task)


def asked(recipe: Recipe, task: str) -> Recipe:
    """A recipe for classes, with another question in their place."""
    if task in TASKS and task != "text-classification":
        recipe = replace(recipe, imbalance=None)
    if task == "text-multi-label-classification":
        domain = replace(recipe.domain, target="labels")  # type: ignore[type-var]
        return replace(recipe, domain=domain, task=Tag(), early_stopping=EarlyStopping("mean_average_precision"))
    if task == "text-regression":
        domain = replace(recipe.domain, target="number")  # type: ignore[type-var]
        stopping = EarlyStopping("mean_absolute_error")
        return replace(recipe, domain=domain, task=Regress(), early_stopping=stopping)
    return recipe


def of_classes(model: str | Model | None, init: str | Initializer | None, source: Any) -> Recipe:
    if model is None and init is None:
        return within_reach(source)
    network: Model | None = spec.decode(model, Model) if isinstance(model, str) else model
    if network is not None and init is None and published(network) is not None:
        return otherwise_random(network, out_of_reach(network))
    start = starting_from("random" if init is None else init)
    if isinstance(start, Pretrained):
        known, domain = start.made_with()
        if network is None and known is None and start.source:
            raise ConfigError(f"--init {start.source} does not say which network it is of; name it with --model")
        if network is None and known is None:
            return within_reach(source)
        return finetune(network or known, start, domain)  # type: ignore[arg-type]
    return replace(untrained(network), init=start)


def within_reach(source: Any) -> Recipe:
    """Where neither model nor weights are named: a small encoder of sentences, for English or for many languages, where
    it lies in the cache or can be downloaded; else `scratch`, and the initialiser says why."""
    name = ENGLISH if mostly_english(source) else OTHERS
    why = beyond(HubRepository(name))
    return otherwise_random(HuggingFace(name) if why is None else None, why)


def otherwise_random(network: Model | None, why: str | None) -> Recipe:
    """The network with what was published for it, unless `why` says that this is out of reach."""
    if why is None and network is not None:
        return finetune(network)
    return replace(untrained(network), init=Random(because=f"no pretrained ones are within reach: {why}"))


def untrained(network: Model | None) -> Recipe:
    """Random weights. An architecture of the Hub's keeps its own tokenizer and its lower rate, for more passes."""
    if network is None or isinstance(network, OWN):
        return scratch(network)
    return replace(finetune(network, Random()), epochs=20)


def mostly_english(source: Any) -> bool:
    """Whether nearly all letters of DATA's first texts are those of English; so too where there is nothing to see."""
    try:
        place, records = sample(source or "", contents(encoding=LOOK))
        some = records[:: max(len(records) // 500, 1)]
        text = " ".join(cell for record in some for cell in record.values() if isinstance(cell, str))
        if place is not None and not records:
            text = next(texts.below(place)).read_bytes()[:100_000].decode("utf-8", "ignore")
    except (OSError, DataError, StopIteration):
        return True
    letters = [letter for letter in text if letter.isalpha()]
    return sum(letter.isascii() for letter in letters) >= 0.98 * len(letters)


def scratch(model: Model | None = None) -> Recipe:
    """A small network from random weights, with a tokenizer learnt from the training split: words and windows of them,
    or the transformer that is named."""
    network = model or TextCNN()
    return Recipe(
        domain=Text(),
        task=Classify(smoothing=0.1),
        model=network,
        optimizer=AdamW(lr=2e-3 if isinstance(network, TextCNN) else 1e-3, weight_decay=0.05),
        schedule=Cosine(),
        init=Random(),
        source=ByLength(),
        tuning=Full(decay_all=False),
        early_stopping=EarlyStopping("log_loss"),
        epochs=10,
        batch_size=32,
        clip_norm=1.0,
        imbalance=Auto(),
    )


def finetune(model: Model, init: Initializer | None = None, domain: Domain | None = None) -> Recipe:
    """Pretrained weights: AdamW at a low rate with warm-up and cosine, three passes (Devlin et al. 2019)."""
    most = getattr(model, "length", None)
    own = domain if isinstance(domain, Text) else Text(tokenizer_from=getattr(model, "name", ""))
    start = init or Pretrained()
    if isinstance(start, Pretrained) and isinstance(domain, Tokenised):
        own = Text(length=domain.length, tokenizer_from=start.source)
    return replace(
        scratch(model),
        domain=replace(own, length=min(LONGEST, most or LONGEST)),
        task=Classify(),
        init=start,
        optimizer=AdamW(lr=rate_of(model), weight_decay=0.01),
        schedule=Cosine(),
        early_stopping=EarlyStopping("log_loss"),
        epochs=3,
        batch_size=32,
    )


def rate_of(model: Model) -> float:
    """Small networks take a higher rate (Turc et al. 2019, arXiv:1908.08962, looked between 3e-5 and 3e-4)."""
    if isinstance(model, OWN):
        return 3e-4
    width = getattr(model, "config", {}).get("hidden_size")
    return 1e-4 if isinstance(width, int) and width <= SMALL else 5e-5


def tuned(recipe: Recipe, tuning: str) -> Recipe:
    """The recipe with "freeze" (the head alone learns, on features computed once) or "lora" (adapters learn)."""
    if tuning == "lora":
        return replace(recipe, tuning=Lora(), optimizer=AdamW(lr=5e-4))
    model = recipe.model
    if isinstance(model, HuggingFace) and model.layered and model.layers == 1:
        model = replace(model, layers=LAYERS)
    # Features are as many for every text, however long it is.
    return replace(
        recipe,
        model=model,
        tuning=Freeze(),
        source=Dataset(),
        optimizer=AdamW(lr=1e-2, weight_decay=0.1),
        schedule=Cosine(warm_up=0.0),
        epochs=30,
    )


def plain(recipe: Recipe) -> Recipe | None:
    """The same rows, read by a linear model."""
    if not isinstance(recipe.domain, Text) or not isinstance(recipe.task, HasLinearHead):
        return None
    return replace(recipe, domain=Bag.of(recipe.domain), model=Linear())


def search_space(recipe: Recipe) -> dict[str, Range | Choice]:
    """What `pervade tune` varies: first the learning rate, up and down to ten times."""
    if not isinstance(recipe.domain, Text):
        return {}
    lr = recipe.one_optimizer.lr
    return {
        "optimizer.lr": Range(lr / 10, lr * 10, log=True),
        "optimizer.weight_decay": Range(1e-3, 1e-1, log=True),
        "epochs": Choice((2, 3, 5)),
    }
