"""Published models that read a text aloud, to be used as they are: VITS (Kim et al. 2021, arXiv:2106.06103), of which
there is one for each of a thousand languages (MMS, Pratap et al. 2023, arXiv:2305.13516).

pervade predict hf:OWNER/NAME "good morning" -o FOLDER
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import Module

from pervade.core.errors import CheckpointError, ConfigError, DataError
from pervade.weights import locate
from pervade.weights.hub import HubRepository

KIND = "vits"


@dataclass(frozen=True)
class Voice:
    """A network and the tokenizer that spells a text for it."""

    name: str
    network: Module
    tokenizer: Any
    rate: int  # samples a second

    def say(self, text: str, seed: int = 0) -> np.ndarray:
        """The text read aloud (t,) float32 in -1..1; the same by the same seed. Raises DataError where nothing of it
        can be pronounced."""
        try:
            spelt = self.tokenizer(text, return_tensors="pt")
        except ImportError as error:  # some are spelt by sounds, and a package of its own knows these
            raise ConfigError(f"{self.name} cannot spell a text: {str(error).strip().splitlines()[0]}") from None
        if not set(self.tokenizer.convert_ids_to_tokens(spelt["input_ids"][0].tolist())) - {self.tokenizer.pad_token}:
            raise DataError(f"{text[:60]!r} holds nothing that {self.name} can pronounce")
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(seed)
            wave = self.network(**spelt).waveform[0]
        found: np.ndarray = wave.float().cpu().numpy()
        return found


def load(name: str) -> Voice:
    """Of a repository on the Hub, or a folder in its layout. Raises CheckpointError, and ConfigError where it is no
    such model."""
    import transformers

    config, weights, folder = _read(name)
    if config.get("model_type") != KIND:
        raise ConfigError(
            f"hf:{name} is of the kind {config.get('model_type')!r}, and those that read a text aloud here are of "
            f"{KIND!r} (facebook/mms-tts-eng among them); what a run has learnt is named without hf:"
        )
    try:
        made = transformers.VitsConfig(**{key: value for key, value in config.items() if key != "model_type"})
        kind: Any = transformers.VitsModel
        network, told = kind.from_pretrained(None, config=made, state_dict=dict(weights), output_loading_info=True)
        tokenizer = transformers.VitsTokenizer.from_pretrained(str(folder))
    except (RuntimeError, ValueError, TypeError, OSError, KeyError) as error:
        raise CheckpointError(f"hf:{name} cannot be used: {str(error).strip().splitlines()[0]}") from None
    if told["missing_keys"]:
        missing = sorted(told["missing_keys"])
        raise CheckpointError(f"hf:{name} lacks {len(missing)} weights ({missing[0]} the first); download it again")
    return Voice(name, network.eval(), tokenizer, int(made.sampling_rate))


def _read(name: str) -> tuple[dict[str, Any], Mapping[str, torch.Tensor], Path]:
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigError(f"hf:{name}: the folder holds no config.json; name one in the Hub's layout")
        return locate.read_config(folder / "config.json"), locate.read(folder).weights, folder
    repository = HubRepository(name)
    config = repository.config()
    return config, repository.read().weights, repository.path.parent
