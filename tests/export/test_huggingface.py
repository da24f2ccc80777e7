"""Folders for transformers: opened by the library itself, they give the run's answers."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image as Pillow

from pervade.core.contracts import Context
from pervade.core.errors import ConfigError
from pervade.data.text import vocabulary
from pervade.engine.checkpoint import Loaded
from pervade.export.huggingface import HuggingFaceFolder
from pervade.models.gpt import GPT
from pervade.models.resnet import ResNet
from pervade.models.timm import Timm
from pervade.tasks.classify import Classify
from pervade.tasks.language_model import LanguageModel
from pervade.tasks.tag import Tag
from pervade.train.tuning.lora import Lora
from tests import exports
from tests.exports import PICTURES, checkpoint, encoder, writer

EXPORT = HuggingFaceFolder()


def ours(loaded: Loaded, batch: dict[str, Any]) -> torch.Tensor:
    context = Context(loaded.domain, decision=loaded.decision, targets=False)
    with torch.no_grad():
        output = loaded.network(**batch)
    if isinstance(loaded.task, LanguageModel):
        return output["logits"]
    table = loaded.task.predictions(output, {"row": torch.arange(2)}, context)
    return torch.as_tensor(np.asarray(table["probabilities"])).float()


@pytest.mark.parametrize(
    ("model", "task", "temperature"),
    [
        (ResNet(width=8, stem="7x7"), Classify(), 1.7),
        (ResNet(depth=50, width=8, stem="7x7"), Classify(class_weights="balanced"), 0.6),
        (ResNet(width=8, stem="7x7"), Tag(), None),
        pytest.param(Timm("resnet10t"), Classify(), 1.0, marks=pytest.mark.slow),  # timm's import
    ],
)
def test_pictures(tmp_path: Path, model: Any, task: Any, temperature: float | None) -> None:
    loaded = checkpoint(model, PICTURES, task, **({"temperature": temperature} if temperature else {}))
    EXPORT(loaded, tmp_path)
    batch = {"input": torch.rand(2, 3, 64, 64)}
    theirs = EXPORT.reopened(tmp_path)(batch)["probabilities"]
    torch.testing.assert_close(theirs, ours(loaded, batch), atol=1e-5, rtol=0)


def test_a_pipeline_opens_it_and_prepares_pictures_as_we_do(tmp_path: Path) -> None:
    import transformers

    loaded = checkpoint(ResNet(width=8, stem="7x7"), replace(PICTURES, margin=1.0), temperature=0.7)
    EXPORT(loaded, tmp_path / "folder")
    drawn = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Pillow.fromarray(drawn).save(tmp_path / "a.png")
    folder = str(tmp_path / "folder")
    answers = transformers.pipeline("image-classification", model=folder)(str(tmp_path / "a.png"), top_k=3)
    pixels = torch.from_numpy(drawn).permute(2, 0, 1)[None] / 255
    expected = dict(zip(("ape", "bee", "cow"), ours(loaded, {"input": pixels.expand(2, -1, -1, -1)})[0], strict=True))
    assert {a["label"]: a["score"] for a in answers} == pytest.approx(
        {k: float(v) for k, v in expected.items()}, abs=1e-5
    )
    assert str(tmp_path) not in "".join(path.read_text() for path in (tmp_path / "folder").glob("*.json"))


def mlflow_opens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As mlflow.pyfunc.load_model does."""
    flavour = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["python_function"]
    monkeypatch.syspath_prepend(str(folder / flavour["code"]))
    return importlib.import_module(flavour["loader_module"])._load_pyfunc(folder)


SLOW = pytest.mark.slow  # the same once more, of another kind


@pytest.mark.parametrize("kind", ["bert", pytest.param("roberta", marks=SLOW), pytest.param("distilbert", marks=SLOW)])
def test_texts(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = encoder(tmp_path / "base", kind, temperature=1.5)
    EXPORT(loaded, tmp_path / "folder")
    batch = {"input": torch.randint(5, 90, (2, 9)), "mask": torch.arange(9)[None] < torch.tensor([[9], [5]])}
    theirs = EXPORT.reopened(tmp_path / "folder")(batch)["probabilities"]
    torch.testing.assert_close(theirs, ours(loaded, batch), atol=1e-5, rtol=0)
    text = "A fine film [SEP] of the year"
    (answer,) = mlflow_opens(tmp_path / "folder", monkeypatch).predict([text])
    tokens = torch.tensor([vocabulary.encode(loaded.domain.tokenizer, text, None, 24)] * 2)
    expected = ours(loaded, {"input": tokens, "mask": torch.ones_like(tokens, dtype=torch.bool)})[0]
    assert list(answer) == ["ape", "bee", "cow"]
    assert list(answer.values()) == pytest.approx(expected.tolist(), abs=1e-5)
    assert "AutoModelForTokenClassification" in (tmp_path / "folder" / "README.md").read_text()


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_writers(tmp_path: Path, kind: str) -> None:
    import transformers

    loaded = writer(tmp_path / "base", kind)
    EXPORT(loaded, tmp_path / "folder")
    batch = {"input": torch.randint(0, 90, (2, 9))}
    torch.testing.assert_close(EXPORT.reopened(tmp_path / "folder")(batch)["logits"], ours(loaded, batch))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "folder")
    text = "the film [CLS] was"
    assert (
        tokenizer(text)["input_ids"]
        == vocabulary.tokenizer(loaded.domain.tokenizer).encode(text, add_special_tokens=False).ids
    )


def test_our_own_writer_is_llama(tmp_path: Path) -> None:
    from tests.texts import writer_folder

    domain = exports.corpus(writer_folder(tmp_path / "base"))
    loaded = checkpoint(GPT(width=32, depth=2, heads=2), domain, LanguageModel())
    EXPORT(loaded, tmp_path / "folder")
    assert json.loads((tmp_path / "folder" / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
    batch = {"input": torch.randint(0, 90, (2, 20))}
    theirs = EXPORT.reopened(tmp_path / "folder")(batch)["logits"]
    torch.testing.assert_close(theirs, ours(loaded, batch), atol=1e-5, rtol=1e-5)


def test_adapters_are_merged(tmp_path: Path) -> None:
    loaded = writer(tmp_path / "base")
    network = Lora(rank=2).apply(loaded.network).eval()
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    loaded = replace(loaded, network=network, changes=(Lora(rank=2),))
    batch = {"input": torch.randint(0, 90, (2, 9))}
    before = ours(loaded, batch)
    EXPORT(loaded, tmp_path / "folder")
    torch.testing.assert_close(EXPORT.reopened(tmp_path / "folder")(batch)["logits"], before, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours(loaded, batch), before)


def test_what_the_folder_cannot_decide_is_said(tmp_path: Path) -> None:
    loaded = checkpoint(ResNet(width=8, stem="7x7"), PICTURES, Tag(), thresholds={"ape": 0.31})
    EXPORT(loaded, tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "0.31" in card.partition("## What it leaves to you")[2]
    assert card.startswith("---\nlibrary_name: transformers\npipeline_tag: image-classification\n")


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        (ResNet(width=8, stem="3x3"), {}, "begins with 7x7 and pooling"),
        (ResNet(width=8, stem="7x7"), {"views": 2}, "2 views, whose answers are averaged"),
        (ResNet(width=8, stem="7x7"), {"framing": "pad"}, "padded to a square"),
    ],
)
def test_where_there_is_no_equal(tmp_path: Path, model: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"{message}.*--format onnx"):
        EXPORT(checkpoint(model, replace(PICTURES, **changes)), tmp_path)


@pytest.mark.slow  # imports transformers in a process of its own
def test_what_torch_logs_of_torchao_is_not_shown() -> None:
    """It goes to stderr once in a process: where transformers first imports it."""
    code = "from pervade.export.huggingface import quiet\nwith quiet():\n    from transformers import PreTrainedModel"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr == ""
