"""Networks whose code lies beside their weights (`auto_map` in config.json): refused, unless this process was told to
trust such code (core/trust.py). Then it is said which file runs, and where it comes from.

Other fields of a config.json make the library transformers fetch code, or another network, by itself. These are taken
out of whatever is read from a file (`harmless`)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pervade.core import download, trust
from pervade.core.errors import CheckpointError, ConfigError

_said: set[tuple[str, str]] = set()


# How attention and experts are computed: "owner/name" is a repository of kernels that is fetched and run.
KERNELS = ("attn_implementation", "experts_implementation", "use_kernels", "kernel_config", "custom_generate")
# A network inside the network, to be looked for on the Hub.
BACKBONES = ("backbone", "backbone_kwargs", "use_timm_backbone", "use_pretrained_backbone")
# Numbers of another kind, which are unpacked by kernels that are fetched.
QUANTISED = ("quantization_config", "compression_config")


def harmless(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config without what would be fetched or run because a file says so, in configs inside it too. What such
    fields choose changes speed, not the network; a network that cannot be without says so when it is built."""
    return {key: _harmless(value) for key, value in config.items() if not _fetches(key, value)}


def _harmless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return harmless(value)
    return [_harmless(part) for part in value] if isinstance(value, list) else value


def _fetches(key: str, value: Any) -> bool:
    if key == "architecture":  # a name of timm's, which may be an address too
        return ":" in str(value)
    return key in BACKBONES or any(kernel in key for kernel in KERNELS)


def _holds(config: Any, names: tuple[str, ...]) -> bool:
    """Whether a config, or one inside it, says anything under one of these names."""
    if isinstance(config, list):
        return any(_holds(part, names) for part in config)
    if not isinstance(config, Mapping):
        return False
    return any(config.get(name) for name in names) or any(_holds(part, names) for part in config.values())


def names_code(config: Any) -> bool:
    """Whether a config.json, or a config inside it, names code."""
    return _holds(config, ("auto_map",))


def check(name: str, config: Mapping[str, Any]) -> None:
    """Raises ConfigError where the config names code and nobody said that it may run, or its weights are quantised."""
    if _holds(config, QUANTISED):
        raise ConfigError(
            f"{name} has quantised weights (quantization_config in its config.json), which are not read here; take the "
            "model as it was before, in 16 or 32 bits"
        )
    if names_code(config) and not trust.allowed():
        raise ConfigError(
            f"{name} comes with code of its own (auto_map in its config.json), and no code runs from a file unless you "
            "say so: read it, and where you trust it add --trust-remote-code (pervade.trust_remote_code() in Python); "
            "or take a network that transformers knows, or build it in Python: pervade.fit(data, model=module)"
        )


def find(name: str, config: Mapping[str, Any], wanted: str) -> type | None:
    """The class that the config names for `wanted` (AutoConfig, AutoModel …), with its code run; None where it names
    none. Raises ConfigError where it is not trusted, CheckpointError where the code is not there or cannot be run."""
    mapped = config.get("auto_map")
    named = mapped.get(wanted) if isinstance(mapped, Mapping) else None
    if isinstance(named, (list, tuple)):
        named = named[0]
    if not isinstance(named, str):
        return None
    check(name, config)
    place, _, reference = named.rpartition("--")
    place = place or name
    file = f"{reference.rpartition('.')[0]}.py"
    where = _where(place, file)
    if (place, file) not in _said:
        _said.add((place, file))
        download.announce(f"running code that is not ours: {where}")
    return _run(place, reference, where)


def _where(place: str, file: str) -> str:
    if Path(place).is_dir():
        return str(Path(place) / file)
    if Path(place).is_absolute():
        raise CheckpointError(
            f"the network's code is not there: {Path(place) / file}; put it back, since no checkpoint holds code"
        )
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{place}/blob/main/{file}"


def _run(place: str, reference: str, where: str) -> type:
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    offline = download.offline() is not None
    try:
        # What the code prints while it is read is not ours to show.
        with contextlib.redirect_stdout(io.StringIO()):
            made: type = get_class_from_dynamic_module(reference, place, local_files_only=offline)
    except Exception as error:  # it is code of others, and may raise anything
        first = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"{where} cannot be run ({type(error).__name__}: {first}); see to it, or do without"
        ) from None
    return made
