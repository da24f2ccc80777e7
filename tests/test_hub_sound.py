"""Published encoders of sound from recordings to answers, with folders and recordings that are made here."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import pervade
from pervade.core import spec
from pervade.core.contracts import Model
from pervade.domains.transcripts import Transcripts
from pervade.init.pretrained import Pretrained
from pervade.models.hf import HuggingFace
from pervade.recipes import sound, transcription
from pervade.weights import locate

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "layerdrop": 0.0,
}
SIGNS = {"<s>": 0, "</s>": 1, "<pad>": 2, "|": 3, "E": 4, "T": 5, "'": 6, "<unk>": 7}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wav2Vec2 with a head for CTC whose blank is not the first sign."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    folder = tmp_path_factory.mktemp("hub") / "wav2vec2"
    torch.manual_seed(0)
    Wav2Vec2ForCTC(Wav2Vec2Config(**SMALL, vocab_size=8, pad_token_id=2)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(SIGNS))
    return folder


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Low and high tones of 0.2 to 0.3 seconds in noise, a folder each."""
    root, rng = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    for name, hertz in (("high", 1500), ("low", 250)):
        (root / name).mkdir()
        for number in range(20):
            time = np.arange(int(rng.integers(3200, 4800))) / 16_000
            wave = 0.3 * np.sin(2 * np.pi * hertz * time + rng.uniform(0, 6)) + 0.02 * rng.standard_normal(len(time))
            soundfile.write(root / name / f"{number}.wav", wave, 16_000)
    return root


def test_it_tells_tones_apart(encoder: Path, tones: Path, tmp_path: Path) -> None:
    """And is used without the folder that it came from."""
    copy = tmp_path / "copy"
    shutil.copytree(encoder, copy)
    settings = ["domain.augment=false", "optimizer.lr=3e-3"]
    run = pervade.fit(tones, model=f"hf:{copy}", epochs=6, runs=tmp_path / "runs", name="a", settings=settings)
    shutil.rmtree(copy)
    assert run.evaluate()["metrics"]["accuracy"]["value"] == 1.0
    answers = run.predict([tones / "high" / "0.wav", tones / "low" / "0.wav"])
    assert [each["top"][0]["label"] for each in answers] == ["high", "low"]


def test_the_alphabet_comes_with_it(encoder: Path) -> None:
    """The blank is put first; what transformers says of a recording is what the network says."""
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    recipe = transcription.recipe(f"hf:{encoder}")
    domain = recipe.domain
    assert isinstance(domain, Transcripts)
    assert domain.alphabet == ("", "", "", " ", "E", "T", "'", "")
    assert (domain.normalise, domain.rate) == ("upper", 16_000)
    network = recipe.model.build(domain.inputs(), recipe.task.outputs(domain))
    started = recipe.init.apply(network, recipe.model, domain)
    assert not started.new
    assert not started.left_out
    wave = np.random.default_rng(0).standard_normal(6000).astype(np.float32)
    given = Wav2Vec2FeatureExtractor()(wave, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        expected = Wav2Vec2ForCTC.from_pretrained(encoder).eval()(**given).logits[:, :, [2, 0, 1, 3, 4, 5, 6, 7]]
        found = network.eval()(torch.from_numpy(wave)[None, None])
    torch.testing.assert_close(found["logits"], expected, rtol=1e-4, atol=1e-4)
    assert found["frames"].all()


def test_a_published_name_spells_as_its_folder_does(encoder: Path) -> None:
    read = locate.read(encoder)
    for where in (str(encoder), f"hf:{encoder}"):
        made = HuggingFace(str(encoder)).translate(replace(read, where=where))
        assert made.labels == ("", "", "", " ", "E", "T", "'", "")


def test_another_alphabet_has_a_new_head(encoder: Path) -> None:
    chosen = spec.decode(f"hf:{encoder}", Model)
    domain = Transcripts(alphabet=("", *"abcdefg"))
    network = chosen.build(domain.inputs(), {"logits": 8})
    started = Pretrained(str(encoder)).apply(network, chosen, domain)
    assert [each.partition(":")[0] for each in started.new] == ["head.logits.weight", "head.logits.bias"]


def test_it_writes_down_what_is_said(encoder: Path, tones: Path, tmp_path: Path) -> None:
    with (tones / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "transcription"])
        writer.writerows(
            [f"{name}/{i}.wav", {"high": "tee", "low": "et"}[name]] for name in ("high", "low") for i in range(20)
        )
    try:
        run = pervade.fit(
            tones,
            task="automatic-speech-recognition",
            model=f"hf:{encoder}",
            epochs=1,
            runs=tmp_path / "runs",
            name="a",
            settings=["domain.augment=false"],
        )
        answers = run.predict([tones / "high" / "0.wav"])
        assert set(answers[0]["text"]) <= set("ET' ")
    finally:
        (tones / "metadata.csv").unlink()


def test_recipes(encoder: Path) -> None:
    recipe = sound.recipe(f"hf:{encoder}")
    assert isinstance(recipe.init, Pretrained)
    assert recipe.optimizer.lr == 5e-5
    assert recipe.domain.inputs().rate == 16_000
    again = sound.recipe(None, init=str(encoder))
    assert again.optimizer.lr == 5e-5
    assert sound.recipe(f"hf:{encoder}", init="random").epochs == 20
    assert transcription.recipe(f"hf:{encoder}", init="random").domain.alphabet == ()
