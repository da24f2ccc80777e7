"""Published models that read a text aloud by mel bands and a vocoder: SpeechT5."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from typer.testing import CliRunner

from pervade import api
from pervade.cli import _register, app
from pervade.core import download
from pervade.core.errors import CheckpointError, ConfigError, DataError
from pervade.weights import voice

transformers = pytest.importorskip("transformers")

LETTERS = ["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "b", "c", "d"]
SMALL = {
    "vocab_size": len(LETTERS),
    "hidden_size": 8,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 8,
    "decoder_ffn_dim": 8,
    "num_mel_bins": 20,
    "speaker_embedding_dim": 6,
    "speech_decoder_prenet_units": 8,
    "speech_decoder_postnet_units": 8,
    "speech_decoder_postnet_layers": 2,
    "max_text_positions": 20,
    "max_speech_positions": 40,
}
SOUNDS = {
    "model_in_dim": 20,
    "sampling_rate": 4000,
    "upsample_initial_channel": 8,
    "upsample_rates": [4, 2],
    "upsample_kernel_sizes": [8, 4],
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1]],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SpeechT5 with random weights, as the Hub lays it out."""
    made = tmp_path_factory.mktemp("models") / "t5"
    torch.manual_seed(0)
    network = transformers.SpeechT5ForTextToSpeech(transformers.SpeechT5Config(**SMALL))
    torch.nn.init.normal_(network.speech_decoder_postnet.feat_out.weight)  # the library's own are next to silence
    torch.nn.init.constant_(network.speech_decoder_postnet.prob_out.bias, -10.0)  # it comes to no end
    network.save_pretrained(made)
    spelling = Tokenizer(models.WordLevel({each: i for i, each in enumerate(LETTERS)}, unk_token="<unk>"))
    spelling.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    spelling.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    spelling.save(str(made / "tokenizer.json"))
    (made / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 8000, "fmax": 3800}))
    return made


@pytest.fixture(scope="module")
def vocoder(folder: Path) -> Path:
    made = folder.parent / "vocoder"
    torch.manual_seed(1)
    network = transformers.SpeechT5HifiGan(transformers.SpeechT5HifiGanConfig(**SOUNDS))
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    network.save_pretrained(made)
    return made


@pytest.fixture
def speaker(tmp_path: Path) -> Path:
    np.save(tmp_path / "anna.npy", np.linspace(-1, 1, 6))
    return tmp_path / "anna.npy"


def said(do: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What it returns, and what was announced meanwhile."""
    told: list[str] = []
    with download.announcing(told.append):
        return do(), told


def test_it_is_what_the_library_says(folder: Path, vocoder: Path, speaker: Path) -> None:
    network = transformers.SpeechT5ForTextToSpeech.from_pretrained(folder).eval()
    sounds = transformers.SpeechT5HifiGan.from_pretrained(vocoder).eval()
    whose = torch.from_numpy(np.load(speaker)).float()[None]
    letters = torch.tensor([[4, 5, 4, 6, 5, 8, 2]])  # " a bad" and the end
    torch.manual_seed(3)
    expected = network.generate_speech(letters, whose, maxlenratio=40 * 2 / 7, vocoder=sounds).detach().numpy()
    found = voice.load(str(folder), f"hf:{vocoder}", speaker)
    before = torch.get_rng_state()
    made = found.say("a bad", seed=3)
    assert found.rate == 4000
    assert expected.std() > 1e-3
    assert np.allclose(made, expected, atol=1e-6)
    assert torch.equal(torch.get_rng_state(), before)
    assert not np.allclose(voice.load(str(folder), f"hf:{vocoder}").say("a bad", seed=3), made, atol=1e-4)


def test_whose_voice_from_either_file(folder: Path, speaker: Path, tmp_path: Path) -> None:
    other = tmp_path / "anna.safetensors"
    safetensors.torch.save_file({"anna": torch.from_numpy(np.load(speaker)).half()[None]}, other)
    np.save(speaker, np.load(speaker).astype(np.float16)[None])
    first, second = (voice.load(str(folder), "griffin-lim", each).say("dad") for each in (speaker, other))
    assert np.array_equal(first, second)


def test_what_was_not_named_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, told = said(lambda: voice.load(str(folder)))
    assert "6 zeros" in told[0]
    assert "Griffin-Lim" in told[1] and "PERVADE_OFFLINE=1" in told[1]
    assert found.rate == 8000
    monkeypatch.delenv("PERVADE_OFFLINE")
    monkeypatch.setattr(download, "reachable", lambda host: False)
    assert "does not answer" in said(lambda: voice.load(str(folder)))[1][1]


def test_the_published_vocoder_is_found(folder: Path, vocoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the cache, where its kind is called by its older name."""
    from huggingface_hub import constants

    cached = Path(constants.HF_HUB_CACHE) / "models--microsoft--speecht5_hifigan"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("abc")
    (cached / "snapshots" / "abc").mkdir(parents=True)
    settings = json.loads((vocoder / "config.json").read_text())
    (cached / "snapshots" / "abc" / "config.json").write_text(json.dumps(settings | {"model_type": "hifigan"}))
    weights = cached / "snapshots" / "abc" / "model.safetensors"
    weights.write_bytes((vocoder / "model.safetensors").read_bytes())
    found, told = said(lambda: voice.load(str(folder)))
    assert found.rate == 4000 and len(told) == 1
    assert np.array_equal(found.say("dad"), voice.load(str(folder), f"hf:{vocoder}").say("dad"))
    weights.unlink()


def test_griffin_lim_gives_the_bands_back(folder: Path) -> None:
    """A tone's mel bands, made a sound again, are nearly those of the tone."""
    extractor = transformers.SpeechT5FeatureExtractor(sampling_rate=8000, fmax=3800, num_mel_bins=20)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    bands = np.array(extractor(audio_target=tone, sampling_rate=8000)["input_values"][0])
    rate, by = voice._griffin_lim(20, folder)
    made = by(torch.tensor(bands), 0).numpy()
    again = np.array(extractor(audio_target=made, sampling_rate=8000)["input_values"][0])
    heard = bands > bands.max() - 1.5  # 30 dB
    assert rate == 8000 and abs(len(made) - 8000) <= 128
    assert np.abs(again[: len(bands)] - bands)[heard].mean() < 0.1


def test_it_writes_files(folder: Path, vocoder: Path, speaker: Path, tmp_path: Path) -> None:
    told = ["predict", f"hf:{folder}", "a bad cab", "dad", "-o", str(tmp_path / "out"), "--seed", "2"]
    _register()
    outcome = CliRunner().invoke(app, [*told, "--vocoder", f"hf:{vocoder}", "--speaker", str(speaker)])
    assert outcome.exit_code == 0, outcome.output
    wave, rate = soundfile.read(tmp_path / "out" / "2-dad.wav")
    (row,) = api.speak(f"hf:{folder}", ["dad"], seed=2, vocoder=f"hf:{vocoder}", speaker=speaker)
    assert rate == row["rate"] == 4000
    assert np.allclose(wave, row["samples"], atol=1e-4)


def test_letters_and_lengths(folder: Path) -> None:
    found = voice.load(str(folder), "griffin-lim")
    for text, wrong in (("", "is empty"), (" \n", "is empty"), ("123", "nothing that"), ("a" * 30, "20 at most")):
        with pytest.raises(DataError, match=wrong):
            found.say(text)
    wave, told = said(lambda: found.say("a" * 18))
    assert len(wave) == 40 * 2 * 128 and "came to no end" in told[0]  # as many frames as it has places for
    assert "does not know 1 2 in 'a1 2'" in said(lambda: found.say("a1 2"))[1][0]


def test_faults_of_a_speaker(folder: Path, tmp_path: Path) -> None:
    faults: dict[str, Any] = {
        "has 5 numbers, and .* takes 6": np.zeros(5),
        "one row of finite numbers, and has 2 x 3": np.zeros((2, 3)),
        "some not finite": np.array([0, 0, 0, 0, 0, np.nan]),
        "no array of numbers": np.array([{}] * 6, dtype=object),
        "holds no array of numbers: could not": np.array(["a"] * 6),
    }
    for wrong, array in faults.items():
        np.save(tmp_path / "whose.npy", array, allow_pickle=True)
        with pytest.raises(DataError, match=wrong):
            voice.load(str(folder), "griffin-lim", tmp_path / "whose.npy")
    (tmp_path / "whose.npy").write_bytes(b"")
    (tmp_path / "whose.txt").write_text("1")
    safetensors.torch.save_file({each: torch.zeros(6) for each in "ab"}, tmp_path / "two.safetensors")
    wrongs = {"whose.npy": "no array", "whose.txt": "is no .npy", "no.npy": "not there", "two.safetensors": "2 arrays"}
    for name, wrong in wrongs.items():
        with pytest.raises(DataError, match=wrong):
            voice.load(str(folder), "griffin-lim", tmp_path / name)


def test_faults_of_a_vocoder(folder: Path, vocoder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--vocoder takes"):
        voice.load(str(folder), str(vocoder))
    with pytest.raises(CheckpointError, match="neither a folder that is there"):
        voice.load(str(folder), f"hf:{tmp_path / 'none' / 'there'}")
    with pytest.raises(CheckpointError, match="not in the Hugging Face Hub's cache"):
        voice.load(str(folder), "hf:nobody/nothing")
    with pytest.raises(ConfigError, match="is of the kind 'speecht5'"):
        voice.load(str(folder), f"hf:{folder}")
    other = transformers.SpeechT5HifiGan(transformers.SpeechT5HifiGanConfig(**SOUNDS | {"model_in_dim": 21}))
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(ConfigError, match="takes 21 mel bands, and the model makes 20"):
        voice.load(str(folder), f"hf:{tmp_path / 'other'}")


def test_faults_of_a_folder(folder: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    for each in ("config.json", "model.safetensors"):
        (made / each).write_bytes((folder / each).read_bytes())
    (made / "spm_char.model").write_bytes(b"x")
    with pytest.raises((ConfigError, CheckpointError), match=r"sentencepiece|cannot be used"):
        voice.load(str(made), "griffin-lim")
    (made / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"tokenizer.json is damaged"):
        voice.load(str(made), "griffin-lim")
    settings = json.loads((made / "config.json").read_text())
    (made / "config.json").write_text(json.dumps(settings | {"architectures": ["SpeechT5ForSpeechToText"]}))
    with pytest.raises(ConfigError, match="is a SpeechT5ForSpeechToText"):
        voice.load(str(made))


def test_a_run_takes_no_vocoder() -> None:
    _register()
    outcome = CliRunner().invoke(app, ["predict", "some-run", "a text", "--vocoder", "griffin-lim"])
    assert isinstance(outcome.exception, ConfigError) and "are for published models" in str(outcome.exception)
