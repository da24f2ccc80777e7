"""Recipes for writing text. A model's name, and where its weights come from, pick the recipe.

pervade train DATA                    a folder of text files, or one: gpt-tiny from nothing, with its own tokenizer
pervade train DATA --model gpt-small  a larger one
pervade train DATA --model hf:NAME    finetune(): a published causal language model, or one in a folder
pervade train DATA --init RUN         finetune(): goes on from what one of our own runs has learnt
pervade train CHATS.jsonl             conversations, or instructions and answers: it learns to answer
pervade train CHATS.jsonl --init RUN  what a run, or a published model, has learnt to write, taught to answer
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from pervade.core import spec
from pervade.core.contracts import Domain, EarlyStopping, Initializer, Model, Recipe
from pervade.core.contracts.capabilities import Tokenised
from pervade.core.errors import ConfigError
from pervade.data.read import conversations
from pervade.data.rows.sources.by_length import ByLength
from pervade.data.rows.sources.stream import Stream
from pervade.data.rows.sources.whole import Whole
from pervade.domains.corpus import Corpus, looks_like_running_text
from pervade.domains.instructions import Instructions, looks_like_instructions
from pervade.init.pretrained import Pretrained, out_of_reach, starting_from
from pervade.init.random import Random
from pervade.models.gpt import GPT
from pervade.models.hf import HuggingFace
from pervade.models.ngram import NGram
from pervade.nn.decoder import configured
from pervade.run.search_space import Choice, Range
from pervade.tasks.language_model import LanguageModel
from pervade.train.optim.adamw import AdamW
from pervade.train.optim.counting import Counting
from pervade.train.optim.muon import Muon
from pervade.train.schedule.cosine import Cosine
from pervade.train.tuning.full import Full
from pervade.train.tuning.lora import Lora

LONGEST = 512  # tokens that a published model is trained on at once, unless it takes fewer
MOST_COUNTED = 20_000_000  # bytes of text from which n-grams are counted

TASKS = {
    "text-generation": "writes on from a text; a folder of text files, one large file, or a table of texts; or "
    "answers, from a table of messages, of prompt and completion, or of instruction, input and output"
}


def recognises(source: Any, label_column: str | None = None, text_column: str | None = None) -> str | None:
    plain = isinstance(source, (str, os.PathLike)) and label_column is None
    if not plain:
        return None
    columns = conversations.peek(source) if text_column is None else []
    conversations.refuse_choices(source, columns)
    if columns and looks_like_instructions(source) and not conversations.holds_pairs(columns):
        return "text-generation"
    return "text-generation" if looks_like_running_text(source) else None


def recipe(
    model: str | Model | None = None,
    task: str = "text-generation",
    init: str | Initializer | None = None,
    source: Any = None,
) -> Recipe:
    """gpt-tiny from nothing, unless a model or weights are named; of conversations, what learns to answer. Raises
    ConfigError where the model writes no text, or the weights do not say which tokenizer they go with."""
    made = writing(model, init)
    return instructed(made) if source is not None and looks_like_instructions(source, asked=True) else made


def writing(model: str | Model | None = None, init: str | Initializer | None = None) -> Recipe:
    """What learns to write: from nothing, or on from weights and with their tokenizer. Raises as `recipe` does."""
    network: Model | None = spec.decode(model, Model) if isinstance(model, str) else model
    _check(network)
    if isinstance(network, HuggingFace) and init is None:
        why = out_of_reach(network)
        if why is None:
            return finetune(network)
        return untrained(network, Random(because=f"no pretrained ones are within reach: {why}"))
    start = starting_from("random" if init is None else init)
    if not isinstance(start, Pretrained):
        return untrained(network or GPT(), start)
    known, domain = start.made_with()
    if network is None and known is None:
        where = start.source or "pretrained"
        raise ConfigError(f"--init {where} does not say which network it is of; name it with --model hf:NAME")
    chosen = network or known
    assert chosen is not None
    _check(chosen)
    if not isinstance(chosen, HuggingFace) and not isinstance(domain, Tokenised):
        raise ConfigError(
            f"--init {start.source or 'pretrained'} comes with no tokenizer, and a gpt's weights mean nothing without "
            "the one they were trained with; name one of your own runs"
        )
    return finetune(chosen, start, domain)


def _check(model: Model | None) -> None:
    """Raises ConfigError where the model writes no text."""
    if model is None or isinstance(model, GPT):
        return
    if isinstance(model, NGram):
        raise ConfigError(
            "an ngram is counted at once, and does not go on learning: take it with --ladder plain; of a ladder that "
            "took it, --init RUN/members/trained is the network"
        )
    if not isinstance(model, HuggingFace):
        raise ConfigError(
            "text-generation trains a gpt (gpt-tiny, gpt-small, gpt-base), or a causal language model of the Hugging "
            "Face Hub (hf:OWNER/NAME, hf:FOLDER)"
        )
    if not model.writes:
        configured(f"hf:{model.name}", model.config)  # which says why


def untrained(model: Model, start: Initializer) -> Recipe:
    """Random weights. An architecture of the Hub's keeps its own tokenizer."""
    if isinstance(model, HuggingFace):
        return replace(scratch(model), domain=_domain(model), init=start, optimizer=AdamW(lr=1e-3, weight_decay=0.1))
    return replace(scratch(model), init=start)


def finetune(model: Model, init: Initializer | None = None, domain: Domain | None = None) -> Recipe:
    """Weights that write already: AdamW at a low rate with warm-up and cosine, few passes (Howard & Ruder 2018).
    `domain` is what they were trained with, where they are of a run."""
    start = init or Pretrained()
    if isinstance(domain, Tokenised) and isinstance(start, Pretrained):
        # One that answers knows where an answer ends; where a text does, the model says.
        ends = domain.ends if isinstance(domain, Corpus) else model.ends() if isinstance(model, HuggingFace) else ()
        chosen = Corpus(length=domain.length, tokenizer_from=start.source, ends=ends)
    else:
        chosen = _domain(model) if isinstance(model, HuggingFace) else Corpus()
    ours = isinstance(model, GPT)
    return replace(
        scratch(model),
        domain=chosen,
        init=start,
        optimizer=AdamW(lr=3e-4 if ours else 2e-5, weight_decay=0.1 if ours else 0.01),
        epochs=3,
        batch_size=16 if ours else 8,
        # A published model's scores are ten times as many numbers as ours.
        micro_batch=None if ours else 2,
    )


def _domain(model: HuggingFace) -> Corpus:
    return Corpus(length=min(LONGEST, model.positions or LONGEST), tokenizer_from=model.name, ends=model.ends())


def tuned(recipe: Recipe, tuning: str) -> Recipe:
    """The recipe with adapters beside weights that stay, which are saved alone: such models have GB. Raises ConfigError
    at "freeze"."""
    if tuning != "lora":
        raise ConfigError(
            f"--{tuning} trains the head alone, and a language model has none apart from its body; take --lora"
        )
    return replace(recipe, tuning=Lora(alone=True), optimizer=AdamW(lr=2e-4))


def scratch(model: Model) -> Recipe:
    return Recipe(
        domain=Corpus(length=512),
        task=LanguageModel(),
        model=model,
        # Of a million tokens of documentation gpt-tiny foretold new documents at 1.98 bits a byte so, and at 2.36 with
        # AdamW at 2e-3, half the context and first weights of a fixed deviation.
        optimizer=Muon(lr=4e-3, weight_decay=0.1),
        schedule=Cosine(warm_up=0.02, end=0.05),
        init=Random(),
        source=Stream(),
        tuning=Full(decay_all=False),
        early_stopping=EarlyStopping("bits_per_byte"),
        epochs=10,
        batch_size=8,
        clip_norm=1.0,
        validation=0.05,
        test=0.05,
    )


def instructed(recipe: Recipe) -> Recipe:
    """A recipe for writing, to learn to answer instead."""
    taken: Any = recipe.domain
    source = taken.tokenizer_from
    own = Instructions(length=taken.length, tokenizer_from=source) if source else Instructions()
    return replace(recipe, domain=own, source=ByLength(), batch_size=max(recipe.batch_size, 16))


def plain(recipe: Recipe) -> Recipe | None:
    """The same tokens, by an n-gram model. Text is counted up to MOST_COUNTED, which is read in seconds."""
    if not isinstance(recipe.task, LanguageModel):
        return None
    return replace(recipe, model=NGram(), optimizer=Counting(), source=Whole(MOST_COUNTED), micro_batch=1)


def search_space(recipe: Recipe) -> dict[str, Range | Choice]:
    """What `pervade tune` varies."""
    if not isinstance(recipe.domain, (Corpus, Instructions)):
        return {}
    lr = recipe.one_optimizer.lr
    if not isinstance(recipe.model, GPT):
        return {"optimizer.lr": Range(lr / 10, lr * 10, log=True), "epochs": Choice((1, 2, 3))}
    return {"optimizer.lr": Range(lr / 5, lr * 5, log=True), "model.dropout": Choice((0.0, 0.1, 0.2))}
