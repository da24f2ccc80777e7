"""OpenVINO's intermediate representation: the ONNX graph in the form that Intel's engine keeps (model.xml, and its
weights beside it in model.bin), in single precision or, of a quantised checkpoint, with its integers.

Its scaling of pictures rounds otherwise than Pillow's; what is scaled already it answers as torch does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import torch
from torch import Tensor

from pervade.core import files
from pervade.core.contracts import Exporter
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Batch
from pervade.engine.checkpoint import Loaded
from pervade.export.onnx import Onnx


@register("export")
@dataclass(frozen=True)
class OpenVino(Exporter):
    main: ClassVar[str] = "model.xml"
    tolerance: ClassVar[float] = 1e-5
    by_signature: ClassVar[bool] = True

    def __call__(self, loaded: Loaded, folder: Path) -> Path:
        openvino = library()
        with TemporaryDirectory(dir=folder) as beside:
            graph = Onnx()(loaded, Path(beside))
            try:
                model = openvino.convert_model(graph)
            except RuntimeError as error:
                first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
                raise ConfigError(
                    f"OpenVINO lacks something of this graph ({first[:200]}); take --format onnx"
                ) from None
            place = folder / self.main
            with files.writing(place):
                openvino.save_model(model, place, compress_to_fp16=False)
        return place

    def reopened(self, folder: Path) -> Callable[[Batch], dict[str, Tensor]]:
        """The model as OpenVINO opens it: tensors by the names of the signature's inputs, to those of its outputs."""
        openvino = library()
        settings = {"INFERENCE_PRECISION_HINT": "f32"}  # else it takes bfloat16 where the processor has it
        compiled = openvino.Core().compile_model(folder / self.main, "CPU", settings)

        def answer(feed: Batch) -> dict[str, Tensor]:
            made = compiled({name: value.numpy() for name, value in feed.items()})
            return {output.any_name: torch.from_numpy(made[output].copy()) for output in compiled.outputs}

        return answer


def library() -> Any:
    """Raises ConfigError, saying how to install it, where openvino is missing."""
    try:
        import openvino
    except ImportError as error:
        raise ConfigError(
            f"OpenVINO's form needs the package openvino ({error}); pip install 'pervade[openvino]', or take "
            "--format onnx"
        ) from None
    return openvino
