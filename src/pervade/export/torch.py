"""torch.export: a program (.pt2) that torch opens and runs, with what comes before the network and what is decided
after it inside, for any number of rows and texts and sounds of any length (`torch.export.load`).

Of pictures it holds the operator by which these are framed as Pillow does it: `import pervade.nn.framing` comes first.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from pervade.core import files
from pervade.core.contracts import Exporter
from pervade.core.contracts.capabilities import Portable
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Batch
from pervade.engine.checkpoint import Loaded
from pervade.engine.deployment import PREDICT, Deployed
from pervade.export.onnx import free_axes

NAMES = "outputs.json"  # beside the program, in its archive: what its outputs are called


@register("export")
@dataclass(frozen=True)
class TorchProgram(Exporter):
    main: ClassVar[str] = "model.pt2"
    tolerance: ClassVar[float] = 1e-5
    by_signature: ClassVar[bool] = True

    def __call__(self, loaded: Loaded, folder: Path) -> Path:
        whole = Deployed(loaded).eval()
        assert isinstance(loaded.domain, Portable), "as `Deployed` asks"
        specimen = loaded.domain.specimen()
        given = tuple(torch.from_numpy(specimen[spec.name]) for spec in whole.signature.inputs)
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what torch says to those who write operators
                program = torch.export.export(whole, given, dynamic_shapes=free_axes(whole.signature))
        except (RuntimeError, ValueError, TypeError, torch._dynamo.exc.TorchDynamoException) as error:
            first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise ConfigError(
                f"torch.export writes no program of this network ({first[:200]}); take another --model; {PREDICT}"
            ) from None
        for module in program.graph_module.modules():
            for node in getattr(module, "graph", torch.fx.Graph()).nodes:
                node.meta.pop("stack_trace", None)  # lines of code, with the paths of this machine
        place = folder / self.main
        names = "\n".join([spec.name for spec in whole.signature.outputs])
        with files.writing(place):
            torch.export.save(program, place, extra_files={NAMES: names})
        return place

    def reopened(self, folder: Path) -> Callable[[Batch], dict[str, Tensor]]:
        """The program as torch opens it: tensors by the names of the signature's inputs, to those of its outputs."""
        import pervade.nn.framing  # noqa: F401  (it registers the operator)

        kept = {NAMES: ""}
        module = torch.export.load(folder / self.main, extra_files=kept).module()

        def answer(feed: Batch) -> dict[str, Tensor]:
            with torch.no_grad():
                return dict(zip(kept[NAMES].split("\n"), module(*feed.values()), strict=True))

        return answer
