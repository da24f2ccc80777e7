"""Encoders of sound of the library transformers, from folders that are made here; nothing is downloaded.

What they are fed, and what they make of it, is compared with transformers' own feature extractors and networks.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from pervade.core import contracts, spec
from pervade.core.contracts import Model
from pervade.core.errors import ConfigError
from pervade.init.pretrained import Pretrained
from pervade.models.hf import HuggingFace
from pervade.nn.sound_encoder import KINDS, WAVEFORM, hidden_times
from pervade.nn.sound_front import KaldiBank, Waveform, WhisperMel
from pervade.testing import check_model, check_spec

LABELS = {0: "owl", 1: "cat", 2: "dog"}
INPUTS = contracts.Waveform(16_000)
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 24,
    "vocab_size": 12,
    "layerdrop": 0.0,
    "initializer_range": 0.3,
}
SPECTROGRAM: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "patch_size": 8,
    "frequency_stride": 8,
    "time_stride": 8,
    "max_length": 64,
    "num_mel_bins": 64,
    "initializer_range": 0.3,
}
WHISPER: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "num_mel_bins": 80,
    "max_source_positions": 50,
    "classifier_proj_size": 24,
    "init_std": 0.3,
}


class Named:
    """As much of a domain as is asked for its classes."""

    labels: ClassVar[tuple[str, ...]] = ("cat", "dog", "owl")


def waves(*lengths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        (rng.standard_normal(n) * s).astype(np.float32) for n, s in zip(lengths, (0.1, 0.3, 0.01, 0.2), strict=False)
    ]


def batch(recordings: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """With noise where padding is, which nobody may look at."""
    longest = max(map(len, recordings))
    x, mask = torch.full((len(recordings), 1, longest), 0.7), torch.zeros(len(recordings), longest, dtype=torch.bool)
    for row, each in enumerate(recordings):
        x[row, 0, : len(each)], mask[row, : len(each)] = torch.from_numpy(each), True
    return x, mask


def make(folder: Path, kind: str, settings: dict[str, Any], extractor: Any) -> Any:
    """The network with its classifier, as transformers builds and saves it."""
    import transformers as library

    names = {"num_labels": 3, "id2label": LABELS, "label2id": {name: i for i, name in LABELS.items()}}
    config = library.AutoConfig.for_model(kind, **settings, **names)
    torch.manual_seed(1)
    network = library.AutoModelForAudioClassification.from_config(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:  # else biases are 0 and scales 1, and nobody sees whether they are taken
                parameter.add_(torch.randn_like(parameter) * 0.1)
    network.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return network


def loaded(folder: Path) -> tuple[Any, Any]:
    chosen = spec.decode(f"hf:{folder}", Model)
    network = chosen.build(INPUTS, {"logits": 3})
    started = Pretrained(str(folder)).apply(network, chosen, Named())  # type: ignore[arg-type]
    return network.eval(), started


def quiet_filters() -> Any:
    return warnings.catch_warnings(action="ignore")  # of bands into which nothing falls, as published models have them


class TestWhatTheyAreFed:
    def test_waveforms(self) -> None:
        from transformers import Wav2Vec2FeatureExtractor as Extractor

        recordings = waves(5000, 8000, 400)
        given = Extractor(return_attention_mask=True)(
            recordings, sampling_rate=16000, padding=True, return_tensors="pt"
        )
        torch.testing.assert_close(Waveform({})(*batch(recordings)), given.input_values, rtol=0, atol=1e-5)
        alone = Waveform({})(torch.from_numpy(recordings[0])[None, None])
        torch.testing.assert_close(alone, given.input_values[:1, :5000], rtol=0, atol=1e-5)
        plain = Extractor(do_normalize=False)(recordings, sampling_rate=16000, padding=True, return_tensors="pt")
        assert torch.equal(Waveform({"do_normalize": False})(*batch(recordings)), plain.input_values)

    @pytest.mark.parametrize("settings", [{"max_length": 64}, {"max_length": 20}, {"do_normalize": False}])
    def test_kaldi_bands(self, settings: dict[str, Any]) -> None:
        from transformers import ASTFeatureExtractor

        recordings = waves(5000, 8000, 400, 8015)
        with quiet_filters():
            given = ASTFeatureExtractor(**settings)(recordings, sampling_rate=16000, return_tensors="pt").input_values
            found = KaldiBank(settings)(*batch(recordings))
        torch.testing.assert_close(found, given, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("seconds", [1, 30])
    @pytest.mark.parametrize("bands", [80, 128])
    def test_whispers_bands(self, seconds: int, bands: int) -> None:
        from transformers import WhisperFeatureExtractor

        recordings = waves(5000, 16000, 400, 20011)
        with quiet_filters():
            extractor = WhisperFeatureExtractor(feature_size=bands, chunk_length=seconds)
            given = extractor(recordings, sampling_rate=16000, return_tensors="pt").input_features
            found = WhisperMel({"chunk_length": seconds}, bands)(*batch(recordings))
        torch.testing.assert_close(found, given, rtol=0, atol=1e-4)


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("kind", WAVEFORM)
class TestWaveformModels:
    def test_its_weights_give_its_numbers(self, tmp_path: Path, kind: str, norm: str) -> None:
        """Encoder, mean and classifier, on three recordings of unequal length and on each alone. transformers is given
        each alone: with group normalisation its padding changes what it says."""
        from transformers import Wav2Vec2FeatureExtractor

        extractor = Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer")
        more = {"feat_extract_norm": norm, "do_stable_layer_norm": norm == "layer", "conv_bias": norm == "layer"}
        more["use_weighted_layer_sum"] = norm == "layer" and kind != "sew-d"
        original = make(tmp_path, kind, {**SMALL, **more}, extractor)
        network, started = loaded(tmp_path)
        assert not started.left_out
        assert not started.new
        recordings = waves(5000, 8000, 6011)
        x, mask = batch(recordings)
        with torch.no_grad(), quiet_filters():  # of WavLM, whose two masks are of two kinds
            found = network(x, mask=mask)["logits"]
            given = [extractor(each, sampling_rate=16000, return_tensors="pt") for each in recordings]
            expected = torch.cat([original(**each).logits for each in given])[:, [1, 2, 0]]
        assert float(expected.abs().max()) > 0.05
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        # In double precision, where sums in another order differ by 1e-15: what is left is what padding changes.
        network, exact = network.double(), x.double()
        with torch.no_grad(), quiet_filters():
            together = network(exact, mask=mask)["logits"]
            alone = torch.cat(
                [network(each[None, :, : int(m.sum())])["logits"] for each, m in zip(exact, mask, strict=True)]
            )
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-9)

    def test_everything_learns(self, tmp_path: Path, kind: str, norm: str) -> None:
        """Frames too: 24 of 8,000 samples, 15 of 5,000."""
        if kind == "wav2vec2-conformer":
            pytest.skip("builds a convolution for positions that it does not use")
        from transformers import AutoConfig

        AutoConfig.for_model(kind, **SMALL, feat_extract_norm=norm).save_pretrained(tmp_path)
        chosen = spec.decode(f"hf:{tmp_path}", Model)
        check_spec(chosen)
        x, mask = batch(waves(8000, 5000, 300))
        check_model(chosen, INPUTS, {"logits": 3}, {"row": torch.arange(3), "input": x, "mask": mask})
        inputs = replace(INPUTS, pooled=False)
        check_model(chosen, inputs, {"logits": 5}, {"row": torch.arange(3), "input": x, "mask": mask})
        output = chosen.build(inputs, {"logits": 5}).eval()(x, mask=mask)
        assert output["logits"].shape == (3, 24, 5)
        assert output["frames"].sum(1).tolist() == [24, 15, 2 if kind.startswith("sew") else 1]


class TestOthers:
    def test_spectrogram_transformer(self, tmp_path: Path) -> None:
        from transformers import ASTFeatureExtractor

        extractor = ASTFeatureExtractor(max_length=64, num_mel_bins=64, mean=-3.0, std=2.0)
        original = make(tmp_path, "audio-spectrogram-transformer", SPECTROGRAM, extractor)
        self._same(tmp_path, original, extractor, "input_values")

    @pytest.mark.parametrize("weighted", [False, True])
    def test_whispers_encoder(self, tmp_path: Path, weighted: bool) -> None:
        from transformers import WhisperFeatureExtractor

        with quiet_filters():
            extractor = WhisperFeatureExtractor(chunk_length=1)
            original = make(tmp_path, "whisper", {**WHISPER, "use_weighted_layer_sum": weighted}, extractor)
            self._same(tmp_path, original, extractor, "input_features")

    def _same(self, folder: Path, original: Any, extractor: Any, name: str) -> None:
        network, started = loaded(folder)
        assert not started.left_out
        assert not started.new
        recordings = waves(5000, 8000, 6011)
        x, mask = batch(recordings)
        given = extractor(recordings, sampling_rate=16000, return_tensors="pt")[name]
        with torch.no_grad():
            expected = original(given).logits[:, [1, 2, 0]]
            torch.testing.assert_close(network(x, mask=mask)["logits"], expected, rtol=1e-4, atol=1e-4)
        network.train()
        network(x, mask=mask)["logits"].square().sum().backward()
        assert all(each.grad is not None for each in network.parameters() if each.requires_grad)

    def test_whisper_counts_what_was_said(self, tmp_path: Path) -> None:
        """Whisper without a classifier of its own: the mean over 16 of 50 frames, in which something is heard."""
        from transformers import AutoConfig

        AutoConfig.for_model("whisper", **WHISPER).save_pretrained(tmp_path)
        chosen = spec.decode(f"hf:{tmp_path}", Model)
        x, mask = batch(waves(5000))
        frames = chosen.build(replace(INPUTS, pooled=False), {"logits": 5})(x, mask=mask)["frames"]
        assert frames.shape == (1, 50)
        assert int(frames.sum()) == 16  # 5,000 / 320, rounded up

    def test_weight_norm_of_older_files(self, tmp_path: Path) -> None:
        """`weight_g` and `weight_v`, as files were written for years."""
        from safetensors.torch import load_file, save_file
        from transformers import Wav2Vec2FeatureExtractor

        make(tmp_path, "wav2vec2", SMALL, Wav2Vec2FeatureExtractor())
        newer, _ = loaded(tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
        older = {}
        for name, value in weights.items():
            for now, then in names.items():
                name = name.replace(now, then)
            older[name] = value
        assert any(name.endswith("conv.weight_g") for name in older)
        save_file(older, tmp_path / "model.safetensors", {"format": "pt"})
        network, started = loaded(tmp_path)
        assert not started.new
        # Copied, and so equal to the bit; but for the head, which is two layers multiplied and then rounded once.
        head = {name: value for name, value in newer.state_dict().items() if name.startswith("head.")}
        for name, value in newer.state_dict().items():
            if name not in head:
                assert torch.equal(network.state_dict()[name], value), name
        found = {name: network.state_dict()[name] for name in head}
        torch.testing.assert_close(found, head, rtol=torch.finfo(torch.float32).eps, atol=0)

    def test_what_pretraining_used_is_left_behind(self, tmp_path: Path) -> None:
        from transformers import AutoConfig, Wav2Vec2ForPreTraining

        config = AutoConfig.for_model(
            "wav2vec2", **SMALL, codevector_dim=8, proj_codevector_dim=3, num_codevectors_per_group=4
        )
        Wav2Vec2ForPreTraining(config).save_pretrained(tmp_path)
        _, started = loaded(tmp_path)
        assert [each.partition(":")[0] for each in started.new] == ["head.logits.weight", "head.logits.bias"]


class TestHiddenTimes:
    def test_shares_and_borders(self) -> None:
        torch.manual_seed(0)
        lengths = torch.tensor([400, 100, 12, 7])
        found = torch.stack([hidden_times(4, 400, lengths, 0.3, 10, 1) for _ in range(200)])
        for row, length in enumerate(lengths.tolist()):
            assert not found[:, row, length:].any()
        shares = found.float().sum(2).mean(0) / lengths
        assert 0.2 < float(shares[0]) < 0.3  # spans overlap
        assert found[:, 2].sum(1).eq(10).all()
        assert not found[:, 3].any()  # shorter than a span

    def test_only_while_training(self, tmp_path: Path) -> None:
        from transformers import AutoConfig

        AutoConfig.for_model("wav2vec2", **{**SMALL, "hidden_dropout": 0.0}, mask_time_prob=0.5).save_pretrained(
            tmp_path
        )
        network = spec.decode(f"hf:{tmp_path}", Model).build(INPUTS, {"logits": 3})
        x, _ = batch(waves(16000))
        assert torch.equal(network.eval()(x)["logits"], network(x)["logits"])
        torch.manual_seed(0)
        first = network.train()(x)["logits"]
        torch.manual_seed(0)
        assert torch.equal(network(x)["logits"], first)
        assert not torch.equal(network(x)["logits"], first)


class TestRefusals:
    def test_another_rate(self, tmp_path: Path) -> None:
        from transformers import AutoConfig

        AutoConfig.for_model("wav2vec2", **SMALL).save_pretrained(tmp_path)
        chosen = spec.decode(f"hf:{tmp_path}", Model)
        assert isinstance(chosen, HuggingFace)
        assert chosen.rate == 16_000
        with pytest.raises(ConfigError, match=r"trained on sound of 16,000 Hz, .* is 8,000; set -o domain.rate=16000"):
            chosen.build(replace(INPUTS, rate=8000), {"logits": 2})

    def test_frames_of_a_spectrogram_transformer(self, tmp_path: Path) -> None:
        from transformers import AutoConfig

        AutoConfig.for_model("audio-spectrogram-transformer", **SPECTROGRAM).save_pretrained(tmp_path)
        with pytest.raises(ConfigError, match="one answer for a recording and none for its frames"):
            spec.decode(f"hf:{tmp_path}", Model).build(replace(INPUTS, pooled=False), {"logits": 2})

    def test_pieces_too_long(self, tmp_path: Path) -> None:
        from transformers import AutoConfig

        AutoConfig.for_model("whisper", **WHISPER).save_pretrained(tmp_path)
        with quiet_filters(), pytest.raises(ConfigError, match=r"takes 1 seconds at most, and .* pieces of 2; set"):
            spec.decode(f"hf:{tmp_path}", Model).build(replace(INPUTS, samples=32_000), {"logits": 2})

    def test_no_sound(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        with pytest.raises(ConfigError, match="of the kind 'bert', no encoder of sound"):
            spec.decode(f"hf:{tmp_path}", Model).build(INPUTS, {"logits": 2})
        assert len(KINDS) == 11
