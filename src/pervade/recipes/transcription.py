"""Recipes for writing down what is said in recordings.

pervade train DATA          a table of files and transcripts, or LibriSpeech's folders: a conformer from random weights
                            learns the characters of the training transcripts (`scratch`); where these are made of a
                            few words said again and again, a small convolutional network learns the words (`commands`)
pervade train DATA --model hf:NAME
                            Wav2Vec2, HuBERT or WavLM of the Hub's, at a low rate (`finetune`)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from pervade.core import download, spec
from pervade.core.contracts import EarlyStopping, Initializer, Model, Recipe
from pervade.data.rows.sources.utterances import Utterances
from pervade.data.sound import transcripts
from pervade.data.sound.alphabet import Normalisation
from pervade.data.sound.transcripts import Columns, looks_like_transcripts
from pervade.domains.dictation import Dictation
from pervade.domains.transcripts import Transcripts
from pervade.init.pretrained import Pretrained, out_of_reach, starting_from
from pervade.init.random import Random
from pervade.models.conformer import Conformer
from pervade.models.hf import HuggingFace
from pervade.models.sound_cnn import SoundCNN
from pervade.nn.sound_encoder import WHISPER
from pervade.recipes.sound import RATES, usual_rate
from pervade.run.search_space import Choice, Range
from pervade.tasks.dictate import Dictate
from pervade.tasks.transcribe import Transcribe
from pervade.train.optim.adamw import AdamW
from pervade.train.schedule.cosine import Cosine
from pervade.train.tuning.full import Full

READS_TEXTS = READS_FILES = True
FEW_WORDS, OFTEN = 100, 20  # words of a closed list at most, and how often each is said at least, on average
TASKS = {"automatic-speech-recognition": "writes down what is said; a table of files and transcripts, or LibriSpeech"}


def recognises(
    source: Any, label_column: str | None = None, text_column: str | None = None, file_column: str | None = None
) -> str | None:
    """Who names a column of labels asks for something else."""
    known = label_column is None and looks_like_transcripts(source, Columns(file_column, text_column))
    return "automatic-speech-recognition" if known else None


def recipe(
    model: str | Model | None = None,
    task: str = "automatic-speech-recognition",
    init: str | Initializer | None = None,
    source: Any = None,
    text_column: str | None = None,
    file_column: str | None = None,
) -> Recipe:
    network: Model | None = spec.decode(model, Model) if isinstance(model, str) else model
    if isinstance(network, HuggingFace) and network.config.get("model_type") == WHISPER:
        return writer(network, None if init is None else starting_from(init))
    if isinstance(network, HuggingFace):
        return finetune(network, None if init is None else starting_from(init))
    if network is None and init is None and (words := few_words(source, text_column)):
        download.announce(
            f"transcripts of {words} words that come again and again: a small network learns them whole "
            "(--model conformer learns to spell)"
        )
        return commands(usual_rate(source, file_column))
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


def commands(rate: int = RATES[1]) -> Recipe:
    """Words of a closed list, such as digits or orders to a machine, put out whole by the network that tells single
    sounds apart: they need little more than the half second around them. In trials (spoken digits in rows by three
    speakers, a fourth measured, four minutes of one core) it got 34 of 100 words wrong; spelling them 44, and the
    conformer that spells 45. How its settings were chosen: benchmarks/connected_digits.py."""
    recipe = scratch(SoundCNN(features=192))
    return replace(
        recipe,
        domain=Transcripts(rate=rate, units="words", speed=0.3, noise_ratio=(5.0, 35.0)),
        average=0.998,
        batch_size=24,
    )


def few_words(source: Any, text_column: str | None = None) -> int | None:
    """How many words the transcripts are made of, where these are few and each comes often; None otherwise."""
    if not isinstance(source, (str, Path)):
        return None
    counts = Counter(word for text in transcripts.texts(source, text_column) for word in text.split())
    few = 0 < len(counts) <= FEW_WORDS and counts.total() >= OFTEN * len(counts)
    return len(counts) if few else None


def finetune(model: HuggingFace, init: Initializer | None = None) -> Recipe:
    """An encoder of the Hub's: AdamW at 1e-4 with warm-up and cosine (Baevski et al. 2020, arXiv:2006.11477). Where it
    was published with what it spells, that alphabet and its head are taken over."""
    why = out_of_reach(model) if init is None else None
    if why is not None:
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


def writer(model: HuggingFace, init: Initializer | None = None, language: str = "en") -> Recipe:
    """Whisper, which writes token by token: as `finetune`, at a tenth of its rate (as transformers' own example), and
    three passes."""
    recipe = finetune(model, init)
    told = model.generation()
    start = model.config.get("decoder_start_token_id") or told.get("decoder_start_token_id") or 50_258
    prompt = [start, *(told.get(name, {}).get(key) for name, key in asked_for(language))]
    if told.get("no_timestamps_token_id") is not None:
        prompt.append(told["no_timestamps_token_id"])
    positions = int(model.config.get("max_source_positions", 1500))
    domain = Dictation(
        rate=model.rate or 16_000,
        chunk=positions / 50,
        length=int(model.config.get("max_target_positions", 448)),
        tokenizer_from=model.name,
        prompt=tuple(token for token in prompt if token is not None),
        end=next(iter(model.ends()), 50_257),
        never=tuple(told.get("suppress_tokens") or ()),
        not_first=tuple(told.get("begin_suppress_tokens") or ()),
    )
    return replace(
        recipe, domain=domain, task=Dictate(), optimizer=AdamW(lr=1e-5, weight_decay=0.01), epochs=3, batch_size=8
    )


def asked_for(language: str) -> tuple[tuple[str, str], ...]:
    """Where generation_config.json keeps the tokens for a language and for writing down."""
    return ("lang_to_id", f"<|{language}|>"), ("task_to_id", "transcribe")


def case_of(alphabet: tuple[str, ...]) -> Normalisation:
    """How transcripts must be written to be spelt with an alphabet: in the one case that it has.

    >>> case_of(("", " ", "A", "'")), case_of(("", "a", "B")), case_of(())
    ('upper', 'none', 'none')
    """
    letters = [letter for piece in alphabet for letter in piece if letter.isalpha()]
    if not letters or (any(map(str.isupper, letters)) and any(map(str.islower, letters))):
        return "none"
    return "upper" if any(map(str.isupper, letters)) else "lower"


def search_space(recipe: Recipe) -> dict[str, Range | Choice]:
    """What `pervade tune` varies."""
    if not isinstance(recipe.domain, Transcripts):
        return {}
    lr = recipe.one_optimizer.lr
    return {"optimizer.lr": Range(lr / 5, lr * 5, log=True), "model.dropout": Range(0.0, 0.3)}
