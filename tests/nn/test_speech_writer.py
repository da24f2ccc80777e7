"""Whisper as it writes, against transformers' own: scores and what is written."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pervade.core import spec
from pervade.core.contracts import Model, Waveform
from pervade.core.errors import ConfigError
from pervade.init.pretrained import Pretrained

INPUTS = Waveform(16_000, None, False, 60)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    folder = tmp_path_factory.mktemp("hub")
    config = WhisperConfig(
        vocab_size=60,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_source_positions=50,
        max_target_positions=20,
        init_std=0.3,
        pad_token_id=59,
        bos_token_id=57,
        eos_token_id=58,
        decoder_start_token_id=57,
    )
    torch.manual_seed(0)
    network = WhisperForConditionalGeneration(config).eval()
    network.save_pretrained(folder)
    with warnings.catch_warnings(action="ignore"):
        extractor = WhisperFeatureExtractor(chunk_length=1)
    extractor.save_pretrained(folder)
    return folder, network, extractor


def loaded(folder: Path) -> Any:
    chosen = spec.decode(f"hf:{folder}", Model)
    network = chosen.build(INPUTS, {"logits": 60})
    started = Pretrained(str(folder)).apply(network, chosen, object())  # type: ignore[arg-type]
    assert not started.new
    assert not started.left_out
    return network.eval()


def test_scores_and_texts(whisper: tuple[Path, Any, Any]) -> None:
    folder, original, extractor = whisper
    network, rng = loaded(folder), np.random.default_rng(0)
    waves = [rng.standard_normal(n).astype(np.float32) * 0.1 for n in (9000, 16000, 4000)]
    x, mask = torch.zeros(3, 1, 16000), torch.zeros(3, 16000, dtype=torch.bool)
    for row, each in enumerate(waves):
        x[row, 0, : len(each)], mask[row, : len(each)] = torch.from_numpy(each), True
    given = extractor(waves, sampling_rate=16_000, return_tensors="pt").input_features
    tokens = torch.tensor([[57, 3, 9, 20], [57, 8, 8, 1], [57, 40, 2, 5]])
    with torch.no_grad():
        expected = original(input_features=given, decoder_input_ids=tokens).logits
        torch.testing.assert_close(network(x, mask, tokens)["logits"], expected, rtol=1e-4, atol=1e-4)
        written = network.write(x, mask, [57, 3], end=58, never=[7], not_first=[58])
        for row in range(3):  # without a cache, token by token
            read = torch.tensor([[57, 3]])
            for place in range(18):
                scores = original(input_features=given[row : row + 1], decoder_input_ids=read).logits[0, -1]
                scores[7] = -torch.inf
                if place == 0:
                    scores[58] = -torch.inf
                read = torch.cat([read, scores.argmax()[None, None]], 1)
                if int(read[0, -1]) == 58:
                    break
            assert written[row] == [token for token in read[0, 2:].tolist() if token != 58]
            assert (
                network.write(x[row : row + 1, :, : len(waves[row])], None, [57, 3], 58, [7], [58])[0] == written[row]
            )


def test_everything_learns(whisper: tuple[Path, Any, Any]) -> None:
    network = loaded(whisper[0]).train()
    network(torch.randn(2, 1, 8000), None, torch.tensor([[57, 3], [57, 4]]))["logits"].square().sum().backward()
    assert all(each.grad is not None for each in network.parameters() if each.requires_grad)


def test_the_encoder_alone(whisper: tuple[Path, Any, Any]) -> None:
    """What writes is left behind, and is not taken for a head."""
    chosen = spec.decode(f"hf:{whisper[0]}", Model)
    network = chosen.build(Waveform(16_000, None, True), {"logits": 60})
    started = Pretrained(str(whisper[0])).apply(network, chosen, object())  # type: ignore[arg-type]
    assert [each.partition(":")[0] for each in started.new] == ["head.logits.weight", "head.logits.bias"]
    assert all(each.startswith("body.decoder.") for each in started.left_out)


def test_refusals(whisper: tuple[Path, Any, Any]) -> None:
    chosen = spec.decode(f"hf:{whisper[0]}", Model)
    with pytest.raises(ConfigError, match="knows 60 tokens, and the tokenizer has 70"):
        chosen.build(replace(INPUTS, vocabulary=70), {"logits": 70})
    with pytest.raises(ConfigError, match=r"set -o domain.rate=16000"):
        chosen.build(replace(INPUTS, rate=8000), {"logits": 60})
