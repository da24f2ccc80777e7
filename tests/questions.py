"""Small questions about small texts, as SQuAD writes them, and a recipe that trains in a moment."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pervade.core.contracts import Recipe
from pervade.domains.questions import Questions
from pervade.models.transformer import Transformer
from pervade.recipes import questions

KINDS = {
    "city": ("paris", "rome", "cairo", "lima", "oslo"),
    "animal": ("cat", "horse", "crow", "trout", "mule"),
    "colour": ("red", "green", "blue", "black", "white"),
}
FILLING = ("the", "man", "went", "to", "see", "it", "and", "then", "he", "left", "with", "some", "old", "things")


def squad(articles: int, seed: int = 0, long: int = 0, unanswerable: bool = False) -> dict[str, Any]:
    """Articles of two paragraphs; each holds a city, an animal and a colour, which are asked for. `long` words stand
    before; with `unanswerable` the colour is missing from every second paragraph."""
    rng = np.random.default_rng(seed)
    found = []
    for article in range(articles):
        paragraphs = []
        for place in range(2):
            words = rng.choice(FILLING, int(rng.integers(6, 12)) + long).tolist()
            kinds = [kind for kind in KINDS if not (unanswerable and kind == "colour" and place)]
            right = {kind: str(rng.choice(KINDS[kind])) for kind in kinds}
            for word in right.values():
                words.insert(int(rng.integers(long, len(words))), word)
            context = f"{' '.join(words)}, {article} {place}."
            asked = [
                {
                    "id": f"{article}-{place}-{kind}",
                    "question": f"Which {kind} is it?",
                    "answers": [{"text": right[kind], "answer_start": f" {context}".index(f" {right[kind]}")}]
                    if kind in right
                    else [],
                    "is_impossible": kind not in right,
                }
                for kind in KINDS
            ]
            paragraphs.append({"context": context, "qas": asked})
        found.append({"title": f"article {article}", "paragraphs": paragraphs})
    return {"version": "1.1", "data": found}


def write(path: Path, data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return path


def recipe(**fields: Any) -> Recipe:
    torch.set_num_threads(1)
    small = replace(
        questions.recipe(Transformer(width=32, depth=2, heads=2, dropout=0.0), init="random"),
        domain=Questions(length=48, overlap=16, num_tokens=400),
        epochs=8,
        batch_size=16,
        workers=0,
    )
    return replace(small, **fields)
