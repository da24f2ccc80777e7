"""Checkpoints that nothing was trained for: a network as its model builds it, with a fitted domain and a decision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pervade.core import spec
from pervade.core.contracts import Domain, Model, Task
from pervade.data.text import vocabulary
from pervade.domains.corpus import Corpus
from pervade.domains.image import Image
from pervade.domains.text import Text
from pervade.engine.checkpoint import Loaded
from pervade.models.hf import HuggingFace
from pervade.tasks.classify import Classify
from pervade.tasks.language_model import LanguageModel
from tests.texts import encoder_folder, writer_folder

LABELS: dict[str, Any] = {"labels": ("ape", "bee", "cow"), "counts": (30, 20, 10), "rows": 60}
PICTURES = Image(size=64, mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.2, 0.3), framing="crop", **LABELS)


def checkpoint(model: Model, domain: Domain, task: Task | None = None, **decision: Any) -> Loaded:
    torch.manual_seed(0)
    task = task or Classify()
    network = model.build(domain.inputs(), task.outputs(domain)).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
    architecture = {"model": spec.encode(model), "outputs": task.outputs(domain)}
    return Loaded("best", network, domain, task, (), architecture, decision)


def encoder(folder: Path, kind: str = "bert", task: Task | None = None, **decision: Any) -> Loaded:
    made = encoder_folder(folder, kind)
    digest = vocabulary.keep(vocabulary.of_folder(made))
    return checkpoint(HuggingFace(str(made)), Text(length=24, tokenizer=digest, **LABELS), task, **decision)


def corpus(folder: Path) -> Corpus:
    return Corpus(length=24, tokenizer=vocabulary.keep(vocabulary.of_folder(folder)))


def writer(folder: Path, kind: str = "gpt2") -> Loaded:
    made = writer_folder(folder, kind)
    return checkpoint(HuggingFace(str(made)), corpus(made), LanguageModel())
