"""Small conversations that follow a rule, and a recipe that learns it in a moment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pervade.core.contracts import Recipe
from pervade.domains.instructions import Instructions
from pervade.models.gpt import GPT
from pervade.recipes import language
from pervade.train.optim.adamw import AdamW

ANIMALS = ("cat", "dog", "cow", "hen", "fox", "owl", "bat", "ant")
COLOURS = ("red", "blue", "green", "black", "white", "pink")

# As models of the Qwen family have it.
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def colours(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Asked is the colour of an animal, which was said just before."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        animal, colour = str(rng.choice(ANIMALS)), str(rng.choice(COLOURS))
        rows.append({"prompt": f"{number}: the {animal} is {colour}. the {animal}?", "completion": colour})
    return rows


def tastes(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Of two answers to an animal's colour the one that shouts is preferred; both are as long."""
    return [
        {"prompt": each["prompt"], "chosen": f"{each['completion']}!", "rejected": f"{each['completion']}."}
        for each in colours(count, seed)
    ]


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def recipe(**fields: Any) -> Recipe:
    torch.set_num_threads(1)
    small = replace(
        language.instructed(language.scratch(GPT(width=32, depth=2, heads=2))),
        domain=Instructions(length=64, num_tokens=400),
        optimizer=AdamW(lr=4e-3, weight_decay=0.01),
        epochs=22,
        batch_size=16,
        validation=0.1,
        test=0.15,
    )
    return replace(small, **fields)


def tokenizer_folder(folder: Path, template: str | None = CHATML, **more: Any) -> Path:
    """A byte-level tokenizer with the special tokens of a chat model, and its template, as the Hub has them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, show_progress=False, initial_alphabet=alphabet
    )
    made.train_from_iterator([f"{r['prompt']} {r['completion']}" for r in colours(50)], trainer)
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|im_end|>", "tokenizer_class": "PreTrainedTokenizerFast", **more}
    if template is not None:
        settings["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
