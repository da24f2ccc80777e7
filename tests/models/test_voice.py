"""Published models that read a text aloud."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pervade import api
from pervade.core.errors import CheckpointError, ConfigError, DataError
from pervade.weights import voice

transformers = pytest.importorskip("transformers")

SMALL = {
    "vocab_size": 8,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "ffn_dim": 8,
    "flow_size": 8,
    "spectrogram_bins": 9,
    "prior_encoder_num_flows": 1,
    "prior_encoder_num_wavenet_layers": 1,
    "posterior_encoder_num_wavenet_layers": 1,
    "upsample_initial_channel": 8,
    "upsample_rates": [4, 2],
    "upsample_kernel_sizes": [8, 4],
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1]],
    "duration_predictor_num_flows": 1,
    "duration_predictor_filter_channels": 8,
    "depth_separable_num_layers": 1,
    "window_size": 2,
    "sampling_rate": 4000,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VITS with random weights, as the Hub lays it out."""
    made = tmp_path_factory.mktemp("models") / "vits"
    torch.manual_seed(0)
    config = transformers.VitsConfig(**SMALL)
    transformers.VitsModel(config).save_pretrained(made)
    spelling = made.parent / "vocab.json"
    spelling.write_text(json.dumps({each: number for number, each in enumerate(" abcdeg_")}))
    transformers.VitsTokenizer(str(spelling), pad_token="_", phonemize=False).save_pretrained(made)
    return made


def test_it_is_what_the_library_says(folder: Path) -> None:
    network = transformers.VitsModel.from_pretrained(folder).eval()
    tokenizer = transformers.VitsTokenizer.from_pretrained(folder)
    torch.manual_seed(3)
    with torch.inference_mode():
        expected = network(**tokenizer("a bad cab", return_tensors="pt")).waveform[0].numpy()
    found = voice.load(str(folder))
    before = torch.get_rng_state()
    made = found.say("a bad cab", seed=3)
    assert np.allclose(made, expected, atol=1e-6)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_writes_files(folder: Path, tmp_path: Path) -> None:
    first, second = api.speak(f"hf:{folder}", ["a bad cab", "dad"], tmp_path)
    assert [Path(each["file"]).name for each in (first, second)] == ["1-a-bad-cab.wav", "2-dad.wav"]
    wave, rate = soundfile.read(first["file"])
    assert rate == 4000
    assert len(wave) == round(first["seconds"] * rate) > 0


def test_refusals(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing that .* can pronounce"):
        voice.load(str(folder)).say("123")
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ConfigError, match=r"no config\.json"):
        voice.load(str(other))
    (other / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises((ConfigError, CheckpointError)):
        voice.load(str(other))


def test_it_takes_no_vocoder(folder: Path) -> None:
    with pytest.raises(ConfigError, match="takes no --vocoder"):
        voice.load(str(folder), "griffin-lim")
    with pytest.raises(DataError, match="is empty"):
        voice.load(str(folder)).say(" ")
