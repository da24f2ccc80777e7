"""A UNet2DModel of diffusers as its config says, from a pipeline's folder: `--model hf:FOLDER` with the task of making
pictures. The recipe keeps the config, so that what was trained loads again without the folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from pervade.core.contracts import Canvas, Inputs, Model, require
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.nn.denoising import Denoiser
from pervade.nn.diffusion import library
from pervade.weights import pipelines

MOST_LEVELS, MOST_LAYERS, WIDEST = 16, 64, 8192  # far more than any that is published


@register("model")
@dataclass(frozen=True)
class DiffusersUNet(Model):
    reads: ClassVar[str] = "pictures to be made"
    task: ClassVar[str] = "denoise"
    config: dict[str, Any] = field(default_factory=dict)  # unet/config.json

    def __post_init__(self) -> None:
        widths, layers = self.config.get("block_out_channels", ()), self.config.get("layers_per_block", 1)
        numbers = [*widths, layers] if isinstance(widths, (list, tuple)) else [None]
        if not all(isinstance(number, int) and 1 <= number <= WIDEST for number in numbers) or (
            len(widths) > MOST_LEVELS or layers > MOST_LAYERS
        ):
            raise ConfigError(
                f"model.config asks for {layers} layers in each of {widths}; allowed are up to {MOST_LAYERS} in up to "
                f"{MOST_LEVELS} levels of up to {WIDEST:,} channels"
            )

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where no pictures of its size are to be made, or by class, or it cannot be built."""
        canvas = require(inputs, Canvas, "diffusers-unet", "it goes with --task unconditional-image-generation")
        channels, size = pipelines.described(self.config)
        if canvas.shape != (channels, size, size):
            raise ConfigError(
                f"the network of the folder makes pictures of {channels} x {size} x {size}, not "
                f"{' x '.join(map(str, canvas.shape))}; set -o domain.size={size} and -o domain.channels={channels}"
            )
        if canvas.classes or self.config.get("num_class_embeds") or self.config.get("class_embed_type"):
            raise ConfigError(
                "a network of diffusers is not told of classes; leave --condition out, or take --model unet"
            )
        return Denoiser(canvas, _Body(self.config))


class _Body(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        try:
            self.network = library().UNet2DModel(**config)
        except (TypeError, ValueError, NotImplementedError, AttributeError) as error:  # what a config may make it raise
            raise ConfigError(
                f"model.config: diffusers builds no UNet2DModel of it ({str(error).splitlines()[0]})"
            ) from None

    def forward(self, input: Mapping[str, Tensor]) -> Tensor:
        output: Tensor = self.network(input["pixels"], input["time"], return_dict=False)[0]
        return output
