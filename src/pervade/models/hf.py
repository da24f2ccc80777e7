"""Every image classifier, text encoder, causal language model and encoder of sound of the Hugging Face Hub, as
hf:OWNER/NAME, or of a folder in its layout.

The network is built from its config alone (of sound, and from what its preprocessor_config.json says it is fed), which
the recipe keeps, so that what was trained loads again without the Hub and without that folder. A config that names code
of its own (`auto_map`) is refused, since no code runs from a file, unless this process was told to trust it
(weights/remote_code.py).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from pervade.core import memory
from pervade.core.bounds import Part
from pervade.core.contracts import Inputs, Model, Pixels, Tokens, Waveform, require
from pervade.core.errors import CheckpointError, ConfigError, PervadeError, nearest
from pervade.core.registry import register
from pervade.nn import decoder, filler, sound_encoder, text_encoder
from pervade.nn.backbone import Backbone
from pervade.nn.decoder import DecoderLanguageModel
from pervade.nn.frames import EveryFrame
from pervade.nn.sound_encoder import SoundEncoder
from pervade.nn.sound_front import rate_of
from pervade.nn.speech_writer import SpeechWriter
from pervade.nn.text_encoder import TextEncoder
from pervade.nn.trial import features
from pervade.weights import hub, locate, remote_code, sound_names, spelling
from pervade.weights.checkpoint import Checkpoint
from pervade.weights.hub import GENERATION, INDEX, HubRepository

# A number of classes that no layer of a network has by chance: by it the classifier is found, which is then taken off.
MARK = 1009
# What transformers calls the three kinds of networks, and a config that names code too.
LIBRARIES = ("AutoModelForCausalLM", "AutoModel", "AutoModelForImageClassification")
# What says nothing about the network: names of classes, and of programs.
LEFT_OUT = ("id2label", "label2id", "transformers_version", "torch_dtype", "dtype", "num_labels")


@register("model")
@dataclass(frozen=True)
class HuggingFace(Model):
    reads: ClassVar[str] = "pictures, texts or recordings"
    rest: ClassVar[str] = "name"

    name: str = ""  # of a repository on the Hub, or a folder
    config: dict[str, Any] = field(default_factory=dict)  # its config.json, read from there when the recipe is made
    dropout: Part = 0.0  # before the head
    preprocessor: dict[str, Any] = field(default_factory=dict)  # of sound, its preprocessor_config.json, likewise
    # Of an encoder of texts, whose features are those of its last layers beside one another: of how many of them.
    layers: Annotated[int, Field(ge=1, le=100)] = 1

    def __post_init__(self) -> None:
        if self.name and Path(self.name).is_dir():  # as a whole path, so that a run can be used from elsewhere
            object.__setattr__(self, "name", str(Path(self.name).absolute()))
        if self.name and self.config.get("_name_or_path") != self.name:
            config = self._find()
            kept = {key: value for key, value in config.items() if key not in LEFT_OUT}
            object.__setattr__(self, "config", {**kept, "_name_or_path": self.name})
            if self.hears:
                folder, repository = Path(self.name), HubRepository(self.name)
                told = hub.preprocessor(folder) if folder.is_dir() else repository.preprocessor()
                object.__setattr__(self, "preprocessor", told)
        object.__setattr__(self, "config", remote_code.harmless(self.config))  # a recipe may be anybody's
        locate.require_layers(f"hf:{self.name}", self.config)
        remote_code.check(self.name, self.config)

    def _find(self) -> dict[str, Any]:
        folder = Path(self.name)
        if folder.is_dir():
            if not (folder / "config.json").is_file():
                raise ConfigError(f"hf:{self.name}: the folder holds no config.json; name one in the Hub's layout")
            return locate.read_network(folder)
        return HubRepository(self.name).config()

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where transformers knows no such image classifier, text encoder, causal language model or
        encoder of sound, or it does not fit the pictures, texts or recordings."""
        with self._building("transformers"):
            return self._built(inputs, outputs)

    def _built(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        name = f"hf:{self.name}"
        match inputs:
            case Waveform():
                return self._listener(inputs, outputs)
            case Tokens(causal=True):
                return DecoderLanguageModel(name, *self._writer(), inputs)
            case Tokens():
                kind, own = str(self.config.get("model_type")), self._with_code("AutoModel")
                with self._building("transformers"):
                    encoder = TextEncoder(name, kind, self._settings(), inputs, own, self.layers)
                if filler.asked_of(inputs, outputs):
                    return filler.Filler(inputs, encoder, encoder.width)
                return Backbone(inputs, outputs, encoder, encoder.width, self.dropout)
        seen = require(inputs, Pixels, name)
        body, width = features(name, lambda side: _Body(self._network(seen.shape[0], side)), seen)
        return Backbone(inputs, outputs, body, width, self.dropout)

    def _listener(self, inputs: Waveform, outputs: Mapping[str, int]) -> nn.Module:
        settings, kind = self._settings(), str(self.config.get("model_type"))
        if inputs.vocabulary is not None:
            return SpeechWriter(f"hf:{self.name}", kind, settings, self.preprocessor, inputs, inputs.vocabulary)
        encoder = SoundEncoder(f"hf:{self.name}", kind, settings, self.preprocessor, inputs)
        shape = Backbone if inputs.pooled else EveryFrame
        return shape(inputs, outputs, encoder, encoder.width, self.dropout)

    def _writer(self) -> tuple[Any, nn.Module]:
        """The library's config, and the network built from it."""
        import transformers

        own = self._with_code("AutoModelForCausalLM")
        if own is not None:
            return own
        kept = {**self._settings(), "model_type": self.config.get("model_type")}
        config = decoder.configured(f"hf:{self.name}", kept)
        config.dtype = "float32"
        return config, transformers.AutoModelForCausalLM.from_config(config).float()

    def _with_code(self, wanted: str) -> tuple[Any, nn.Module] | None:
        """Config and network by the code that the config names for it; None where it names none."""
        kind = remote_code.find(self.name, self.config, wanted)
        if kind is None:
            return None
        config = self._config_with_code(self._settings())
        with self._building("its own code"):
            network: nn.Module = kind(config)
        return config, network.float()

    def _config_with_code(self, settings: Mapping[str, Any]) -> Any:
        import transformers

        settings = {**settings, "architectures": settings.get("architectures") or []}
        made = remote_code.find(self.name, self.config, "AutoConfig")
        with self._building("its own code"):
            if made is not None:
                config = made(**settings)
            else:
                config = transformers.AutoConfig.for_model(str(self.config.get("model_type")), **settings)
        config.dtype = "float32"
        return config

    @contextmanager
    def _building(self, by: str) -> Iterator[None]:
        """Whatever a damaged or unusual config makes the library, or code of others, raise is a ConfigError."""
        try:
            yield
        except PervadeError:
            raise
        except Exception as error:
            if memory.ran_out(error):
                raise
            said = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"hf:{self.name} cannot be built from its config.json by {by} ({type(error).__name__}: {said}); copy "
                "or download it again, install what it names, or take another model"
            ) from None

    def _network(self, channels: int, side: int) -> nn.Module:
        import transformers
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as KNOWN

        settings = self._settings()
        kind = str(self.config.get("model_type"))
        if kind == "timm_wrapper":
            raise ConfigError(f"{self.name} is a network of timm; take --model timm:{self.config.get('architecture')}")
        own = remote_code.find(self.name, self.config, LIBRARIES[2])
        if own is None and kind not in KNOWN:
            raise ConfigError(f"{self.name} is of the kind {kind!r}, no image classifier; {nearest(kind, KNOWN)}")
        # Networks of pictures and text have the pictures' settings apart.
        for part in (settings, settings.get("vision_config", {})):
            if "image_size" in part:
                part["image_size"] = [side, side] if isinstance(part["image_size"], list) else side
        settings |= {"num_labels": MARK, "architectures": settings.get("architectures") or []}
        config = self._config_with_code(settings) if own else transformers.AutoConfig.for_model(kind, **settings)
        for part in (config, getattr(config, "vision_config", config)):
            if getattr(part, "num_channels", channels) != channels:
                part.num_channels = channels
        # Without this transformers builds in the precision that its weights were published in.
        config.dtype = "float32"
        network: nn.Module = (own or transformers.AutoModelForImageClassification.from_config)(config)
        return network.float()

    def _settings(self) -> dict[str, Any]:
        """A copy of the config without the kind of network."""
        if not self.name:
            raise ConfigError("hf takes a repository's name or a folder: --model hf:microsoft/resnet-18")
        return copy.deepcopy({key: value for key, value in self.config.items() if key != "model_type"})

    def _kind(self, more: Mapping[str, Any]) -> tuple[Any, Any]:
        """The config, with `more` of it that lay beside the weights, and the class of networks that reads them."""
        import transformers

        if "auto_map" in self.config:
            named = (remote_code.find(self.name, self.config, library) for library in LIBRARIES)
            own = next((cls for cls in named if cls is not None), None)
            if own is not None:
                return self._config_with_code(self._settings()), own
        settings = {**self.config, **more}
        config = transformers.AutoConfig.for_model(
            settings.pop("model_type"), **{**settings, "architectures": settings.get("architectures") or []}
        )
        config.dtype = "float32"
        library = LIBRARIES[0 if self.writes else 1 if self.reads_text or self.hears else 2]
        free = memory.available()
        with torch.device("meta"), memory.counted(f"hf:{self.name}", free, f"{free / 1e9:,.3g} GB are free"):
            return config, type(getattr(transformers, library).from_config(config))

    @property
    def writes(self) -> bool:
        """Whether it is a causal language model."""
        mapped = self.config.get("auto_map")
        return decoder.writes(self.config) or (isinstance(mapped, Mapping) and LIBRARIES[0] in mapped)

    @property
    def positions(self) -> int | None:
        """Tokens that a causal language model takes at most, where it says so."""
        if "auto_map" in self.config:
            return decoder.longest(self._config_with_code(self._settings()))
        with self._building("transformers"):
            return decoder.longest(decoder.configured(f"hf:{self.name}", self.config))

    def generation(self) -> dict[str, Any]:
        """What generation_config.json says; empty where there is none."""
        folder = Path(self.name)
        if folder.is_dir():
            path = folder / GENERATION
            return locate.read_config(path) if path.is_file() else {}
        if folder.is_absolute():  # a folder that went, though a run of the model is still there
            return {}
        return HubRepository(self.name).generation()

    def ends(self) -> tuple[int, ...]:
        """The tokens that end a text, by config.json and generation_config.json; the first is what stands between two
        texts. Empty where they name none."""
        more = self.generation()
        parts = (self.config, self.config.get("text_config"), more)
        named = [part.get("eos_token_id") for part in parts if isinstance(part, Mapping)]
        numbers = [end for part in named for end in (part if isinstance(part, list) else [part])]
        return tuple(dict.fromkeys(end for end in numbers if isinstance(end, int) and not isinstance(end, bool)))

    @property
    def reads_text(self) -> bool:
        return self.config.get("model_type") in text_encoder.known_kinds()

    @property
    def layered(self) -> bool:
        """Whether it is an encoder whose `layers` may be several."""
        return self.config.get("model_type") in text_encoder.LAYERED and "auto_map" not in self.config

    @property
    def hears(self) -> bool:
        """Whether it is an encoder of sound."""
        return sound_encoder.hears(self.config)

    @property
    def rate(self) -> int | None:
        """Samples a second of the sound that it was trained with; None where it is of something else."""
        return rate_of(self.preprocessor) if self.hears else None

    @property
    def alphabet(self) -> tuple[str, ...]:
        """What its head for CTC spells, the blank first; empty where it has none."""
        known = spelling.alphabet(self.name, self.config) if self.hears and self._spells else None
        return known[0] if known is not None else ()

    @property
    def _spells(self) -> bool:
        return any(str(name).endswith("ForCTC") for name in self.config.get("architectures") or ())

    @property
    def length(self) -> int | None:
        """Tokens that it takes at most, where it says so."""
        return text_encoder.longest(self.config)

    def translate(self, checkpoint: Checkpoint) -> Checkpoint:
        """The weights under the names that the network has: files keep older ones, and transformers knows how they were
        changed. Raises CheckpointError where it cannot read them."""
        if any(name.startswith("body.") for name in checkpoint.weights):
            return checkpoint  # saved by us, so under the network's own names
        if self.config.get("model_type") == sound_encoder.WHISPER:
            return replace(checkpoint, weights=sound_names.of_whisper(checkpoint.weights))

        with _quiet():
            try:
                config, kind = self._kind(checkpoint.config)
                network, info = kind.from_pretrained(
                    None,
                    config=config,
                    state_dict=dict(checkpoint.weights),
                    ignore_mismatched_sizes=True,
                    output_loading_info=True,
                )
            except PervadeError:
                raise
            except Exception as error:  # the library raises almost anything at a config.json that does not fit
                if memory.ran_out(error):
                    raise
                first = str(error).strip().split("\n")[0]
                raise CheckpointError(f"{checkpoint.where} does not fit hf:{self.name}: {first}") from None
        drawn = {*info["missing_keys"], *(key[0] for key in info["mismatched_keys"])}
        weights = {name: value for name, value in network.state_dict().items() if name not in drawn}
        unknown = {name: checkpoint.weights[name] for name in info["unexpected_keys"] if name in checkpoint.weights}
        if self.hears:
            made = sound_names.ours(weights, unknown)
            where = checkpoint.where.removeprefix("hf:")
            known = spelling.alphabet(where, self.config) if "lm_head.weight" in unknown else None
            if known is None:
                return replace(checkpoint, weights=made)
            made |= {name: made[name][known[1]] for name in ("head.logits.weight", "head.logits.bias")}
            return replace(checkpoint, weights=made, labels=known[0])
        return replace(
            checkpoint, weights={**weights, **{filler.renamed(name): value for name, value in unknown.items()}}
        )

    @property
    def side(self) -> int:
        """Pixels of the pictures its weights were made with, as far as the config says."""
        size = self.config.get("image_size", 224)
        first = size[0] if isinstance(size, list) and size else size
        if not isinstance(first, int):
            raise ConfigError(f"hf:{self.name}: image_size {size!r} of its config.json is no number; download it again")
        return first

    def published(self) -> HubRepository | _Folder | None:
        if not self.name:
            return None
        return _Folder(Path(self.name)) if Path(self.name).is_dir() else HubRepository(self.name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' own account of what fits: ours comes after."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@dataclass(frozen=True)
class _Folder:
    """Weights that lie here already, if at all."""

    folder: Path
    host: ClassVar[str] = ""

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def card(self) -> Path:
        return self.folder

    @property
    def path(self) -> Path:
        """The file of weights; one that is not there where the folder has none."""
        files = [self.folder / name for name in (*locate.HUB_WEIGHTS, *INDEX)]
        return next((file for file in files if file.is_file()), files[0])

    def read(self) -> Checkpoint:
        return locate.read(self.folder)


class _Body(nn.Module):
    """The network without its classifier, under the names that its own weights have."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        copied = 0
        for parent in list(network.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.Linear) and child.out_features == MARK:
                    setattr(parent, name, nn.Identity())
                    copied += 1
        if not copied:
            raise ConfigError(f"{type(network).__name__} has no linear classifier to take off; take another network")
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.network(pixel_values=x).logits
        return features.flatten(1) if features.ndim > 2 else features
