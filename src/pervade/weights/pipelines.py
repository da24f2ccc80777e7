"""Folders in which diffusers keeps what denoises pictures: a network (unet/) and how it is asked (scheduler/), named by
model_index.json. Weights are read from safetensors alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pervade.core.errors import CheckpointError, ConfigError
from pervade.weights.checkpoint import Checkpoint
from pervade.weights.torch_file import read_weights

INDEX = "model_index.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
NETWORK = "UNet2DModel"
# By the names of diffusers: the samplers that its schedulers are, and what our tasks call the rest.
SAMPLERS = {"DDPMScheduler": "ddpm", "DDIMScheduler": "ddim", "DPMSolverMultistepScheduler": "dpm-solver++"}
SCHEDULES = {"linear": "linear", "squaredcos_cap_v2": "cosine"}
PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v"}
VARIANCES = {"fixed_small": "small", "fixed_large": "large"}
# What else a scheduler may say that changes what is made, and the only value that is known.
SETTLED = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
    "use_karras_sigmas": False,
    "clip_sample": True,
    "clip_sample_range": 1.0,
    "thresholding": False,
    "set_alpha_to_one": True,
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
}
STEPS = {"ddpm": 1000, "ddim": 50, "dpm-solver++": 50}  # as its pipelines take them


def is_pipeline(folder: Path) -> bool:
    return (folder / INDEX).is_file()


def network(folder: Path, read: Any) -> dict[str, Any]:
    """The network's config.json, by `read`, which parses JSON that is not ours. Raises ConfigError where it is no
    network that is known, or the pipeline has further parts."""
    parts = {
        name: kind for name, kind in read(folder / INDEX).items() if not name.startswith("_") and kind != [None] * 2
    }
    further = sorted(set(parts) - {"unet", "scheduler"})
    if further or set(parts) != {"unet", "scheduler"}:
        has = f"has {', '.join(further)} as well" if further else f"has {', '.join(parts) or 'nothing'} alone"
        raise ConfigError(f"hf:{folder}: it is to be a network (unet) and a scheduler, and {has}; name another folder")
    config: dict[str, Any] = read(folder / "unet" / "config.json")
    _require(folder, "the network", config.get("_class_name"), (NETWORK,))
    return {name: value for name, value in config.items() if not name.startswith("_")}


def sampling(folder: Path, read: Any) -> dict[str, Any]:
    """What the scheduler says: "schedule", "prediction", "variance", and the "sampler" with its "steps". Raises
    ConfigError, naming what is not known."""
    config = read(folder / "scheduler" / "scheduler_config.json")
    sampler = SAMPLERS[_require(folder, "the scheduler", config.get("_class_name"), SAMPLERS)]
    for name, known in SETTLED.items():
        if config.get(name, known) != known:
            _require(folder, f"the scheduler's {name}", config[name], (known,))
    told = {"steps": STEPS[sampler], "sampler": sampler}
    for name, key, usual, names in (
        ("schedule", "beta_schedule", "linear", SCHEDULES),
        ("prediction", "prediction_type", "epsilon", PREDICTIONS),
        *([("variance", "variance_type", "fixed_small", VARIANCES)] if sampler == "ddpm" else []),
    ):
        told[name] = names[_require(folder, f"the scheduler's {key}", config.get(key, usual), names)]
    return told


def _require(folder: Path, what: str, said: Any, known: Any) -> Any:
    if said not in known:
        raise ConfigError(f"hf:{folder}: {what} is {said!r}; known are {', '.join(map(str, known))}")
    return said


def read(folder: Path) -> Checkpoint:
    """Its network's weights, which go in whole. Raises CheckpointError where they are no safetensors."""
    path = folder / "unet" / WEIGHTS
    if not path.is_file():
        raise CheckpointError(
            f"{folder} holds no unet/{WEIGHTS}; save it again by diffusers (save_pretrained), which writes one"
        )
    weights = {f"body.network.{name}": value for name, value in read_weights(path).items()}
    return Checkpoint(str(folder), weights, remedy="load and save it again by the diffusers that is installed")


def described(config: Mapping[str, Any]) -> tuple[int, int]:
    """(channels, size) of the pictures that a network's config is for. Raises ConfigError where they are of no one
    square size, or come out otherwise than they go in."""
    size, channels = config.get("sample_size"), config.get("in_channels", 3)
    if isinstance(size, list) and len(set(size)) == 1:
        size = size[0]
    if not isinstance(size, int) or channels not in (1, 3) or config.get("out_channels", 3) != channels:
        raise ConfigError(
            f"model.config: its pictures are of size {size} with {channels} channels ({config.get('out_channels', 3)} "
            "come out); known are squares in grey or in colours"
        )
    return channels, size
