"""A folder that diffusers' `DiffusionPipeline.from_pretrained` opens: what takes noise out of pictures, and how it is
asked. Of networks of diffusers themselves, and of ours where they have the same structure (models/unet.py with `patch`
1, `told` "shift", and pictures that are made without a class, as diffusers' pipelines make them).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from pervade.core import files, registry, spec
from pervade.core.contracts import Canvas, Exporter, Model
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Batch
from pervade.engine.checkpoint import Loaded
from pervade.models.diffusers_unet import DiffusersUNet
from pervade.models.unet import EPSILON, UNet
from pervade.nn import diffusion
from pervade.tasks.denoise import Denoise
from pervade.weights.pipelines import INDEX

TOLERANCE = 1e-4  # of an output, between two orders of adding up in single precision
TIMES = (3, 300, 600, 900)  # at which noise is taken out
INSTEAD = "`pervade predict RUN -o FOLDER` makes its pictures here"
PIPELINES = {"ddpm": "DDPMPipeline", "ddim": "DDIMPipeline", "dpm-solver++": "DDPMPipeline"}


@register("export")
@dataclass(frozen=True)
class DiffusersFolder(Exporter):
    main: ClassVar[str] = INDEX
    tolerance: ClassVar[float] = TOLERANCE
    by_signature: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = ("denoise",)
    asked_of: ClassVar[str] = "one step of taking noise out of seeded noise, since it is not asked about rows"

    def __call__(self, loaded: Loaded, folder: Path) -> Path:
        task = loaded.task
        if not isinstance(task, Denoise):
            name = registry.full_name(task)
            raise ConfigError(f"diffusers opens what takes noise out of pictures, and the task is {name}; {INSTEAD}")
        network = _network(loaded).eval()
        _compare(loaded, network)
        sampling = task.sampling
        sampler, steps = sampling.sampler or "dpm-solver++", sampling.steps or 1
        scheduler = diffusion.build_scheduler(task.schedule, task.prediction, sampler, steps, task.variance)
        scheduler.register_to_config(trained_betas=diffusion.betas(task.schedule).tolist())
        with files.writing(folder / "unet"):
            network.save_pretrained(folder / "unet")
            scheduler.save_pretrained(folder / "scheduler")
        index: dict[str, Any] = {"_class_name": PIPELINES[sampler], "unet": ["diffusers", "UNet2DModel"]}
        index |= {"scheduler": ["diffusers", type(scheduler).__name__]}
        files.write_text(folder / INDEX, json.dumps(index, indent=2))
        return folder / INDEX

    def asks(self, loaded: Loaded) -> Iterator[tuple[str, Batch, dict[str, Tensor]]]:
        """Noise by seed 0, at times that are spread over the whole schedule."""
        pixels, time = _noise(loaded, TIMES)
        output = _answer(loaded, pixels, time)
        for number, when in enumerate(TIMES):
            one = slice(number, number + 1)
            yield f"noise at {when}", {"input": {"pixels": pixels[one], "time": time[one]}}, {"output": output[one]}

    def reopened(self, folder: Path) -> Callable[[Batch], dict[str, Tensor]]:
        """The folder as diffusers opens it: {"input": {"pixels", "time"}} to "output", as the network gives it."""
        pipeline = diffusion.library().DiffusionPipeline.from_pretrained(str(folder), local_files_only=True)

        def answer(batch: Batch) -> dict[str, Tensor]:
            with torch.no_grad():
                return {"output": pipeline.unet(batch["input"]["pixels"], batch["input"]["time"]).sample}

        return answer


def _network(loaded: Loaded) -> Any:
    """Raises ConfigError where UNet2DModel is not of the same structure."""
    model: Model = spec.decode(loaded.architecture["model"], Model)
    body: Any = loaded.network.body
    if loaded.changes:
        changed = ", ".join(registry.full_name(change) for change in loaded.changes)
        raise ConfigError(f"the network was changed ({changed}), which UNet2DModel of diffusers is not; {INSTEAD}")
    if isinstance(model, DiffusersUNet):
        return body.network
    canvas = loaded.domain.inputs()
    if not isinstance(model, UNet) or not isinstance(canvas, Canvas):
        raise ConfigError(f"diffusers has no network of the structure of {registry.full_name(model)}; {INSTEAD}")
    others = {
        f"model.patch {model.patch}": model.patch != 1,
        f'model.told "{model.told}"': model.told != "shift",
        "pictures by class": bool(canvas.classes),
        f"sides of {canvas.shape[1]}": bool(canvas.shape[1] % 2 ** (len(model.widths) - 1)),
    }
    if any(others.values()):
        names = ", ".join(name for name, differs in others.items() if differs)
        raise ConfigError(
            f"UNet2DModel of diffusers does not have {names}; train with -o model.patch=1 -o model.told=shift, without "
            f"--condition, or: {INSTEAD}"
        )
    sees = [level + 1 in model.attention for level in range(len(model.widths))]
    network = diffusion.library().UNet2DModel(
        sample_size=canvas.shape[1],
        in_channels=canvas.shape[0],
        out_channels=canvas.shape[0],
        layers_per_block=model.blocks,
        block_out_channels=model.widths,
        down_block_types=tuple("AttnDownBlock2D" if attends else "DownBlock2D" for attends in sees),
        up_block_types=tuple("AttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(sees)),
        attention_head_dim=model.head,
        norm_num_groups=model.groups,
        norm_eps=EPSILON,
        dropout=model.dropout,
    )
    network.load_state_dict({name.removeprefix("told."): weight for name, weight in body.state_dict().items()})
    return network


def _noise(loaded: Loaded, times: Sequence[int]) -> tuple[Tensor, Tensor]:
    canvas = loaded.domain.inputs()
    assert isinstance(canvas, Canvas)
    drawn = torch.randn((len(times), *canvas.shape), generator=torch.Generator().manual_seed(0))
    return drawn, torch.tensor(times)


def _answer(loaded: Loaded, pixels: Tensor, time: Tensor) -> Tensor:
    with torch.no_grad():
        given = {"pixels": pixels, "time": time, "class": torch.zeros(len(time), dtype=torch.int64)}
        output: Tensor = loaded.network(given)["output"]
        return output


def _compare(loaded: Loaded, network: Any) -> None:
    """Asks both networks the same. Raises ConfigError where they differ."""
    pixels, time = _noise(loaded, TIMES[::2])
    with torch.no_grad():
        furthest = float((_answer(loaded, pixels, time) - network(pixels, time).sample).abs().max())
    if not furthest <= TOLERANCE:
        raise ConfigError(f"UNet2DModel computes otherwise with these weights (by {furthest:.2g}); {INSTEAD}")
