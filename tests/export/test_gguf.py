"""GGUF, read again by transformers, and by llama.cpp's own package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pervade.core.errors import ConfigError
from pervade.data.text import vocabulary
from pervade.engine.checkpoint import Loaded
from pervade.export.gguf import Gguf
from pervade.models.gpt import GPT
from pervade.models.resnet import ResNet
from pervade.tasks.language_model import LanguageModel
from pervade.train.tuning.lora import Lora
from tests import exports
from tests.exports import PICTURES, checkpoint, encoder, writer
from tests.texts import writer_folder


def assert_same(loaded: Loaded, folder: Path) -> None:
    batch = {"input": torch.randint(0, 90, (2, 20))}
    with torch.no_grad():
        ours = loaded.network(**batch)["logits"]
    Gguf()(loaded, folder)
    torch.testing.assert_close(Gguf().reopened(folder)(batch)["logits"], ours, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen2"])
def test_published_writers(tmp_path: Path, kind: str) -> None:
    assert_same(writer(tmp_path / "base", kind), tmp_path)


def test_our_own_writer(tmp_path: Path) -> None:
    domain = exports.corpus(writer_folder(tmp_path / "base"))
    assert_same(checkpoint(GPT(width=32, depth=2, heads=2), domain, LanguageModel()), tmp_path)


def test_adapters_are_merged(tmp_path: Path) -> None:
    loaded = writer(tmp_path / "base")
    network = Lora(rank=2).apply(loaded.network).eval()
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    assert_same(replace(loaded, network=network, changes=(Lora(rank=2),)), tmp_path)


def test_its_tokenizer_is_inside(tmp_path: Path) -> None:
    import gguf

    loaded = writer(tmp_path / "base")
    fields = gguf.GGUFReader(Gguf()(loaded, tmp_path)).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    made = vocabulary.tokenizer(loaded.domain.tokenizer)
    assert tokens == [made.id_to_token(number) for number in range(len(tokens))]
    assert fields["tokenizer.ggml.pre"].contents() == "gpt-2"
    assert len(fields["tokenizer.ggml.merges"].contents()) > 10


def test_what_llama_cpp_does_not_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"this one reads pictures.*--format huggingface or onnx"):
        Gguf()(checkpoint(ResNet(width=8, stem="7x7"), PICTURES), tmp_path)
    with pytest.raises(ConfigError, match="this is bert for text-classification"):
        Gguf()(encoder(tmp_path / "bert"), tmp_path)
    with pytest.raises(ConfigError, match="this is gpt_neox for text-generation"):
        Gguf()(writer(tmp_path / "neox", "gpt_neox"), tmp_path)
    assert not list(tmp_path.glob("*.gguf"))
