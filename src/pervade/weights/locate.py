"""What a path after --init is: a file of weights, an agent, a folder as the Hugging Face Hub lays it out, or a run of
ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from pervade.core import files
from pervade.core.errors import CheckpointError, ConfigError
from pervade.core.run import RunDirectory
from pervade.weights import pipelines, remote_code, sb3
from pervade.weights.checkpoint import Checkpoint
from pervade.weights.torch_file import read_weights

HUB_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
LAYERS = 1000  # more than five times those of the deepest network that is published
LARGEST = 64 << 20  # bytes of JSON beside weights: a vocabulary, or an index of a thousand files


def own_checkpoint(path: Path) -> Path | None:
    """The folder of a checkpoint of ours that `path`, a run or such a folder, means; None where it is neither.

    Raises CheckpointError where a run has no checkpoint yet.
    """
    if (path / "architecture.json").is_file():
        return path
    if not (path / "recipe.yaml").is_file():
        return None
    run = RunDirectory(path)
    return run.checkpoint(run.require_checkpoint(None))


def read(path: Path) -> Checkpoint:
    """Raises CheckpointError where nothing there can be read as weights, saying what was looked for."""
    if not path.exists():
        raise CheckpointError(
            f"{path} is not there; --init takes random, pretrained, a file of weights (.safetensors, .pth), an agent "
            "of Stable-Baselines3 (.zip), a folder with a config.json, or a run"
        )
    if path.is_file() and sb3.is_agent(path):
        return sb3.described(path).checkpoint()
    if path.is_file():
        return Checkpoint(str(path), read_weights(path))
    if not path.is_dir():
        raise CheckpointError(f"{path} is a pipe or a device, and not a file of weights; copy them into a file")
    own = own_checkpoint(path)
    if own is not None:
        return files.steady(own, lambda: _read_own(own))
    if pipelines.is_pipeline(path):
        return pipelines.read(path)
    if (path / "config.json").is_file():
        return _read_hub(path)
    single = [file for file in sorted(path.iterdir()) if file.suffix in (".safetensors", ".pth", ".pt", ".bin")]
    hint = f"; take one of its files, such as {single[0]}" if single else ""
    raise CheckpointError(f"{path} is a folder, but neither a run nor one with a config.json and weights{hint}")


def _read_own(folder: Path) -> Checkpoint:
    architecture = files.read_json(folder / "architecture.json", "sha256", "tied")
    domain = files.read_json(folder / "preprocess.json", "domain")["domain"]
    path = folder / "model.safetensors"
    if not path.is_file() or files.sha256(path) != architecture["sha256"]:
        raise CheckpointError(f"{path} is missing or damaged; use another checkpoint, or train again")
    weights = read_weights(path)
    weights |= {name: weights[of] for name, of in architecture["tied"].items()}
    labels = domain.get("labels")
    return Checkpoint(
        str(folder),
        # Pixels are normalised by what stands in preprocess.json.
        {name: value for name, value in weights.items() if not name.startswith("normalise.")},
        tuple(domain["mean"]) if domain.get("mean") else None,
        tuple(domain["deviation"]) if domain.get("deviation") else None,
        tuple(labels) if labels else None,
    )


def _read_hub(folder: Path) -> Checkpoint:
    config = read_network(folder)
    mean, deviation = _normalisation(folder, config)
    return Checkpoint(str(folder), _hub_weights(folder), mean, deviation, _labels(config), config)


def read_network(folder: Path) -> dict[str, Any]:
    """A network's config.json, without what would fetch or run code. Raises CheckpointError where it is damaged."""
    config = remote_code.harmless(read_config(folder / "config.json"))
    require_layers(str(folder), config)
    return config


def require_layers(name: str, config: Any) -> None:
    """Raises ConfigError where a config.json asks for more than LAYERS layers, at any depth of it: to put ten million
    together takes hours, even on the meta device."""
    for key, value in config.items() if isinstance(config, dict) else ():
        counts = value if isinstance(value, list) else [value]
        if re.search(r"(layers?|depths?|blocks?)$", key):
            most = max((count for count in counts if isinstance(count, (int, float))), default=0)
            if most > LAYERS:
                raise ConfigError(
                    f"{name}: its config.json asks for {most:,} layers ({key}), and at most {LAYERS:,} are built; copy "
                    "or download it again, or take another model"
                )
        for count in counts:
            require_layers(name, count)


def read_config(path: Path) -> dict[str, Any]:
    """JSON that lies beside weights. Raises CheckpointError where it is damaged."""
    try:
        data = files.parse_json(files.read_text(path, LARGEST), foreign=True)
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}); copy or download it again") from None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} is damaged: it holds no settings; copy or download it again")
    return data


def _hub_weights(folder: Path) -> dict[str, Tensor]:
    for name in HUB_WEIGHTS:
        if (folder / name).is_file():
            return read_weights(folder / name)
        index = folder / f"{name}.index.json"
        if index.is_file():
            parts = sorted(set(read_config(index).get("weight_map", {}).values()))
            if any(Path(part).name != part for part in parts):
                raise CheckpointError(f"{index} names files outside its folder; copy or download it again")
            return {key: value for part in parts for key, value in read_weights(folder / part).items()}
    raise CheckpointError(f"{folder} has a config.json but no weights: {' or '.join(HUB_WEIGHTS)} should be there")


def _labels(config: dict[str, Any]) -> tuple[str, ...] | None:
    names = config.get("id2label")
    if isinstance(names, dict) and sorted(names, key=_number) == [str(i) for i in range(len(names))]:
        labels = tuple(str(names[str(i)]) for i in range(len(names)))
        # What transformers writes where nobody gave names says nothing.
        return None if labels == tuple(f"LABEL_{i}" for i in range(len(labels))) else labels
    names = config.get("label_names")  # timm
    return tuple(map(str, names)) if isinstance(names, list) else None


def _number(text: str) -> int:
    return int(text) if str(text).isdigit() else -1


def _normalisation(folder: Path, config: dict[str, Any]) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Mean and deviation of pixels of 0-1, from preprocessor_config.json or timm's pretrained_cfg."""
    path = folder / "preprocessor_config.json"
    if path.is_file():
        settings = read_config(path)
        if settings.get("do_normalize") is False:
            channels = len(settings.get("image_mean") or (0, 0, 0))
            return (0.0,) * channels, (1.0,) * channels
        return _numbers(settings.get("image_mean")), _numbers(settings.get("image_std"))
    settings = config.get("pretrained_cfg", config)
    if isinstance(settings, dict):
        return _numbers(settings.get("mean")), _numbers(settings.get("std"))
    return None, None


def _numbers(values: Any) -> tuple[float, ...] | None:
    if isinstance(values, list) and values and all(isinstance(value, (int, float)) for value in values):
        return tuple(map(float, values))
    return None
