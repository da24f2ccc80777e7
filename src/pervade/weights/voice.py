"""Published models that read a text aloud, to be used as they are: VITS (Kim et al. 2021, arXiv:2106.06103), of which
there is one for each of a thousand languages (MMS, Pratap et al. 2023, arXiv:2305.13516), and SpeechT5 (Ao et al. 2022,
arXiv:2110.07205), which makes mel bands in the voice of a speaker embedding, and needs a vocoder to be heard.

pervade predict hf:OWNER/NAME "good morning" -o FOLDER
pervade predict hf:FOLDER "good morning" -o FOLDER --vocoder hf:FOLDER --speaker anna.npy

Axis letters: t samples, f frames, b bands, l letters of a text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pervade.core import download
from pervade.core.errors import CheckpointError, ConfigError, DataError
from pervade.data.text import vocabulary
from pervade.nn.griffin_lim import from_magnitude, spread
from pervade.nn.mel import LogMel
from pervade.weights import locate, remote_code
from pervade.weights.hub import HubRepository, preprocessor
from pervade.weights.torch_file import read_weights

VITS, SPEECH_T5 = "vits", "speecht5"
HIFI_GAN = ("speecht5_hifigan", "hifigan")  # what the published one calls itself is the second, newer files the first
VOCODER = "microsoft/speecht5_hifigan"  # that of the published SpeechT5
GRIFFIN_LIM = "griffin-lim"  # what --vocoder calls it
RATIO = 20.0  # frames a letter at most, transformers' own limit

Vocoder = Callable[[Tensor, int], Tensor]  # mel bands (f, b) and a seed -> a sound (t,)


@dataclass(frozen=True)
class Voice(ABC):
    """A network and the tokenizer that spells a text for it."""

    name: str
    network: Any
    tokenizer: Any
    rate: int  # samples a second

    def say(self, text: str, seed: int = 0) -> np.ndarray:
        """The text read aloud (t,) float32 in -1..1; the same by the same seed. Raises DataError where nothing of it
        can be pronounced, or it is too long."""
        if not text.strip():
            raise DataError(f"the text {text[:60]!r} is empty; write what {self.name} is to read")
        try:
            spelt = self._spelt(text)
        except ImportError as error:  # some are spelt by sounds, and a package of its own knows these
            raise ConfigError(f"{self.name} cannot spell a text: {str(error).strip().splitlines()[0]}") from None
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(seed)
            wave = self._read(spelt, text, seed)
        samples: np.ndarray = wave.float().cpu().numpy()
        return samples

    @abstractmethod
    def _spelt(self, text: str) -> Mapping[str, Tensor]:
        """What the network takes."""

    @abstractmethod
    def _read(self, spelt: Mapping[str, Tensor], text: str, seed: int) -> Tensor:
        """(t,)"""

    def _mute(self, text: str) -> DataError:
        return DataError(f"{text[:60]!r} holds nothing that {self.name} can pronounce")


@dataclass(frozen=True)
class Vits(Voice):
    def _spelt(self, text: str) -> Mapping[str, Tensor]:
        spelt: Mapping[str, Tensor] = self.tokenizer(text, return_tensors="pt")
        if not set(self.tokenizer.convert_ids_to_tokens(spelt["input_ids"][0].tolist())) - {self.tokenizer.pad_token}:
            raise self._mute(text)
        return spelt

    def _read(self, spelt: Mapping[str, Tensor], text: str, seed: int) -> Tensor:
        wave: Tensor = self.network(**spelt).waveform[0]
        return wave


@dataclass(frozen=True)
class SpeechT5(Voice):
    speaker: Tensor  # (1, the embedding's size)
    vocoder: Vocoder

    def _spelt(self, text: str) -> Mapping[str, Tensor]:
        unknown = self.tokenizer.unk_token_id
        letters = list(dict.fromkeys(letter for letter in text if not letter.isspace()))
        strange = [letter for letter in letters if unknown in self.tokenizer(letter).input_ids]
        if len(strange) == len(letters):
            raise self._mute(text)
        if strange:
            download.announce(
                f"{self.name} does not know {' '.join(strange[:10])}{' …' if strange[10:] else ''} in {text[:60]!r}, "
                "and makes something up there; write it in other letters, numbers as words"
            )
        numbers, end = self.tokenizer(text).input_ids, self.tokenizer.eos_token_id
        numbers = numbers if numbers[-1] == end else [*numbers, end]
        longest = self.network.config.max_text_positions
        if len(numbers) > longest:
            raise DataError(
                f"{text[:60]!r} is {len(numbers)} letters long, and {self.name} reads {longest} at most; split it"
            )
        return {"input_ids": torch.tensor([numbers])}

    def _read(self, spelt: Mapping[str, Tensor], text: str, seed: int) -> Tensor:
        config, letters = self.network.config, spelt["input_ids"].shape[1]
        most = min(RATIO, config.max_speech_positions * config.reduction_factor / letters)
        bands = self.network.generate_speech(**spelt, speaker_embeddings=self.speaker, maxlenratio=most)
        if len(bands) >= int(letters * most / config.reduction_factor) * config.reduction_factor:
            download.announce(f"{self.name} came to no end of {text[:60]!r}, and was stopped; another --seed may help")
        return self.vocoder(bands, seed)


def load(name: str, vocoder: str | None = None, speaker: str | Path | None = None) -> Voice:
    """Of a repository on the Hub, or a folder in its layout.

    SpeechT5 alone takes a `vocoder` (hf:OWNER/NAME, hf:FOLDER, "griffin-lim") and a `speaker`, a file that holds an
    embedding. Without a vocoder the published one is taken, and Griffin-Lim where that cannot be had; without a speaker
    zeros: what is taken is announced. Raises CheckpointError, DataError for a speaker's file, and ConfigError where it
    is no such model.
    """
    embedding = None if speaker is None else _embedding(Path(speaker))
    config, weights, folder = _read(name)
    kind = config.get("model_type")
    if kind not in (VITS, SPEECH_T5):
        raise ConfigError(
            f"hf:{name} is of the kind {kind!r}, and those that read a text aloud here are of {VITS!r} "
            f"(facebook/mms-tts-eng among them) or {SPEECH_T5!r}; what a run has learnt is named without hf:"
        )
    if kind == SPEECH_T5:
        return _speech_t5(name, config, weights, folder, vocoder, embedding)
    if vocoder is not None or speaker is not None:
        raise ConfigError(f"hf:{name} is of the kind {VITS!r}, which takes no --vocoder and no --speaker; leave it out")
    import transformers

    network = _network(name, transformers.VitsModel, transformers.VitsConfig, config, weights)
    tokenizer = _tokenizer(name, transformers.VitsTokenizer, folder)
    return Vits(name, network, tokenizer, int(network.config.sampling_rate))


def _speech_t5(
    name: str,
    config: dict[str, Any],
    weights: Mapping[str, Tensor],
    folder: Path,
    vocoder: str | None,
    embedding: Tensor | None,
) -> SpeechT5:
    import transformers

    made = config.get("architectures") or ["SpeechT5ForTextToSpeech"]
    if "SpeechT5ForTextToSpeech" not in made:
        raise ConfigError(f"hf:{name} is a {made[0]}, and what reads a text aloud is a SpeechT5ForTextToSpeech")
    network = _network(name, transformers.SpeechT5ForTextToSpeech, transformers.SpeechT5Config, config, weights)
    special = {"unk_token": "<unk>", "eos_token": "</s>", "pad_token": "<pad>"}
    if (folder / "tokenizer.json").exists():
        vocabulary.read(folder / "tokenizer.json")
        tokenizer = _tokenizer(name, transformers.PreTrainedTokenizerFast, folder, **special)
    else:
        tokenizer = _tokenizer(name, transformers.SpeechT5Tokenizer, folder)
    size = network.config.speaker_embedding_dim
    if embedding is None:
        embedding = torch.zeros(size)
        download.announce(f"no --speaker was named: {name} takes {size} zeros for a speaker, which is nobody's voice")
    if embedding.numel() != size:
        raise DataError(f"the speaker's embedding has {embedding.numel()} numbers, and {name} takes {size}")
    bands = network.config.num_mel_bins
    rate, by = _vocoder(vocoder, bands, folder)
    return SpeechT5(name, network, tokenizer, rate, embedding[None], by)


# vocoders


def _vocoder(asked: str | None, bands: int, folder: Path) -> tuple[int, Vocoder]:
    """The rate, and what makes sounds of mel bands."""
    if asked == GRIFFIN_LIM:
        return _griffin_lim(bands, folder)
    if asked is not None:
        if not asked.startswith("hf:"):
            raise ConfigError(f"--vocoder takes hf:OWNER/NAME, hf:FOLDER or {GRIFFIN_LIM}, not {asked!r}")
        return _hifi_gan(asked.removeprefix("hf:"), bands)
    try:
        repository = HubRepository(VOCODER)
        if not repository.path.is_file() and not download.offline() and not download.reachable(repository.host):
            raise CheckpointError(f"{VOCODER} is not in the cache, and {repository.host} does not answer")
        return _hifi_gan(VOCODER, bands)
    except CheckpointError as error:
        reason = str(error).split(";")[0]
    except ConfigError as error:  # another number of bands than that vocoder's
        reason = str(error)
    download.announce(
        f"mel bands are made a sound by Griffin-Lim, which is no vocoder's equal: {reason}; name one with --vocoder"
    )
    return _griffin_lim(bands, folder)


def _hifi_gan(name: str, bands: int) -> tuple[int, Vocoder]:
    """Kong et al. 2020, arXiv:2010.05646."""
    import transformers

    config, weights, _ = _read(name)
    if config.get("model_type") not in HIFI_GAN:
        raise ConfigError(f"hf:{name} is of the kind {config.get('model_type')!r}, and a vocoder of {HIFI_GAN[0]!r}")
    network = _network(name, transformers.SpeechT5HifiGan, transformers.SpeechT5HifiGanConfig, config, weights)
    if network.config.model_in_dim != bands:
        raise ConfigError(
            f"the vocoder hf:{name} takes {network.config.model_in_dim} mel bands, and the model makes {bands}; name "
            "another with --vocoder"
        )
    return int(network.config.sampling_rate), lambda mel, seed: network(mel)


def _griffin_lim(bands: int, folder: Path) -> tuple[int, Vocoder]:
    """By how preprocessor_config.json says that mel bands were made: decadic logarithms of amplitudes."""
    import transformers

    try:
        made: Any = transformers.SpeechT5FeatureExtractor(**{**preprocessor(folder), "num_mel_bins": bands})
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{folder}/preprocessor_config.json cannot be used: {error}") from None
    rate = int(made.sampling_rate)
    layer = LogMel(rate, bands, made.sample_size / rate, made.sample_stride / rate)
    filters = torch.from_numpy(made.mel_filters.T).double()

    def heard(mel: Tensor, seed: int) -> Tensor:
        magnitude = spread((10.0 ** mel.double()).t()[None], filters)
        return from_magnitude(magnitude, layer, len(mel) * layer.hop, seed=seed)[0].clamp(-1, 1)

    return rate, heard


# what is read


def _embedding(path: Path) -> Tensor:
    """The numbers of a .npy or a .safetensors, in one row."""
    if not path.is_file() or path.suffix not in (".npy", ".safetensors"):
        raise DataError(f"--speaker {path} {'is no .npy or .safetensors' if path.is_file() else 'is not there'}")
    if path.suffix == ".safetensors":
        held = list(read_weights(path).items())
        if len(held) != 1:
            raise DataError(f"--speaker {path} holds {len(held)} arrays ({held[0][0]} the first), and should hold one")
        embedding = held[0][1]
    else:
        try:  # mapped, so that no header can ask for more memory than the file has
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            embedding = torch.from_numpy(np.array(array, dtype=np.float32))
        except (OSError, ValueError, TypeError, EOFError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DataError(f"--speaker {path} holds no array of numbers: {first}") from None
    finite = bool(torch.isfinite(embedding).all())
    if embedding.numel() != max(embedding.shape, default=0) or not finite:
        shape = " x ".join(map(str, embedding.shape)) + ("" if finite else ", some not finite")
        raise DataError(f"--speaker {path} should hold one row of finite numbers, and has {shape}")
    return embedding.float().flatten()


def _network(name: str, kind: Any, settings: Any, config: dict[str, Any], weights: Mapping[str, Tensor]) -> Any:
    try:
        made = settings(**{key: value for key, value in config.items() if key != "model_type"})
        network, told = kind.from_pretrained(None, config=made, state_dict=dict(weights), output_loading_info=True)
    except (RuntimeError, ValueError, TypeError, OSError, KeyError) as error:
        raise CheckpointError(f"hf:{name} cannot be used: {str(error).strip().splitlines()[0]}") from None
    if told["missing_keys"]:
        missing = sorted(told["missing_keys"])
        raise CheckpointError(f"hf:{name} lacks {len(missing)} weights ({missing[0]} the first); download it again")
    return network.eval().float()


def _tokenizer(name: str, kind: Any, folder: Path, **special: str) -> Any:
    try:
        return kind.from_pretrained(str(folder), **special)
    except ImportError:
        raise ConfigError(
            f"hf:{name} is spelt by spm_char.model, which the package sentencepiece reads: pip install "
            "sentencepiece, or put a tokenizer.json beside it"
        ) from None
    except Exception as error:  # the library for tokenizer.json raises nothing narrower
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"hf:{name} cannot be used: {first}") from None


def _read(name: str) -> tuple[dict[str, Any], Mapping[str, Tensor], Path]:
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigError(f"hf:{name}: the folder holds no config.json; name one in the Hub's layout")
        config, weights = locate.read_network(folder), locate.read(folder).weights
    else:
        repository = HubRepository(name)
        config, weights, folder = repository.config(), repository.read().weights, repository.path.parent
    remote_code.check(f"hf:{name}", config)
    return config, weights, folder
