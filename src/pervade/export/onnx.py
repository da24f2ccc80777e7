"""ONNX: one graph that any engine runs, with what comes before the network and what is decided after it inside.

Written by torch's exporter from torch.export's program of `engine.deployment.Deployed`; rows, and lengths of texts and
sounds, are axes of any length.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from pervade.core import files
from pervade.core.contracts import Exporter, Signature
from pervade.core.contracts.capabilities import Portable
from pervade.core.contracts.deployment import Finished, Translated
from pervade.core.errors import ConfigError, ResourceError
from pervade.core.registry import register
from pervade.core.run import GRAPH
from pervade.engine.checkpoint import Loaded
from pervade.engine.deployment import PREDICT, Deployed

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18  # the first with an antialiased Resize; torch writes it, and ONNX Runtime and OpenVINO run it
LARGEST = 2_000_000_000  # bytes of weights that go into the one file: protobuf ends at 2 GiB
# What torch's exporter says of a graph that cannot be: the name in it.
NO_OPERATOR = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.:]+)'")
BY_VALUES = re.compile(r"[Dd]ata-dependent|GuardOnDataDependent|_local_scalar_dense|torch\.cond")
WHERE = re.compile(r"(?:Caused by|code): \(?(?:[\w.]+\()?(?:.*?)([\w./-]+\.py:\d+)")


@register("export")
@dataclass(frozen=True)
class Onnx(Exporter):
    main: ClassVar[str] = GRAPH

    def __call__(self, loaded: Loaded, folder: Path) -> Path:
        """Checked by onnx.checker. Weights of more than 2 GB lie beside it, in model.onnx.data."""
        import onnx

        model, place = graph(loaded), folder / self.main
        with files.writing(place):
            large = model.ByteSize() > LARGEST
            onnx.save(model, place, save_as_external_data=large, location=f"{self.main}.data" if large else None)
        onnx.checker.check_model(place, full_check=not large)
        return place


def graph(loaded: Loaded) -> ModelProto:
    """The checkpoint as an ONNX graph. Raises ConfigError where there is none, with the operator or the control flow
    that ONNX lacks, and what to take instead."""
    whole = Deployed(loaded).eval()
    assert isinstance(loaded.domain, Portable), "as `Deployed` asks"
    specimen = loaded.domain.specimen()
    given = tuple(torch.from_numpy(specimen[spec.name]) for spec in whole.signature.inputs)
    own = [part for part in (*whole.modules(), *loaded.changes) if isinstance(part, Translated)]
    translations = {operator: written for part in own for operator, written in part.translations().items()}
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                whole,
                given,
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[spec.name for spec in whole.signature.inputs],
                output_names=[spec.name for spec in whole.signature.outputs],
                dynamic_shapes=free_axes(whole.signature),
                custom_translation_table=translations or None,
            )
    except torch.onnx.OnnxExporterError as error:
        raise refusal(error) from None
    assert program is not None, "of the exporter that goes by torch.export"
    model: Any = program.model_proto
    for change in loaded.changes:
        model = change.finish(model) if isinstance(change, Finished) else model
    _name_axes(model, whole.signature)
    _forget_source(model)
    return model


def free_axes(signature: Signature) -> tuple[tuple[dict[int, Any], ...]]:
    """Of the one argument that takes all inputs, which axes of each are of any length."""
    dynamic = torch.export.Dim.DYNAMIC
    return (
        tuple(
            {axis: dynamic for axis, length in enumerate(spec.shape) if isinstance(length, str)}
            for spec in signature.inputs
        ),
    )


def _name_axes(model: ModelProto, signature: Signature) -> None:
    """Called as the signature calls them, where torch has names of its own."""
    for values, specs in ((model.graph.input, signature.inputs), (model.graph.output, signature.outputs)):
        for value, spec in zip(values, specs, strict=True):
            for axis, length in zip(value.type.tensor_type.shape.dim, spec.shape, strict=True):
                if isinstance(length, str):
                    axis.dim_param = length
                else:
                    axis.dim_value = length


def _forget_source(model: ModelProto) -> None:
    """Without lines of the code that it was traced from, and the paths of its files on this machine."""
    parts = (model.graph.node, model.graph.initializer, model.graph.value_info, model.graph.input, model.graph.output)
    for part in (model, model.graph, *model.functions, *(one for parts_of in parts for one in parts_of)):
        del part.metadata_props[:]
        if part is not model and part is not model.graph and hasattr(part, "doc_string"):
            part.doc_string = ""


def refusal(error: Exception) -> Exception:
    """One line, of what torch's exporter says in hundreds."""
    told = "\n".join(map(str, _causes(error)))
    if operator := NO_OPERATOR.search(told):
        return ConfigError(
            f"ONNX has no operator for {operator[1]}, which the network uses; take another --model, or "
            f"--format torch; {PREDICT}"
        )
    if BY_VALUES.search(told):
        where = WHERE.search(told)
        at = f" ({where[1]})" if where else ""
        return ConfigError(
            f"the network takes another way for other values{at}, which a graph cannot; take another --model; {PREDICT}"
        )
    if isinstance(error, MemoryError) or "not enough memory" in told:
        return ResourceError("memory ran out while the graph was written; free some, or take a smaller --model")
    first = next((line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()), "")
    return ConfigError(f"torch cannot write this network as ONNX ({first[:200]}); take another --model; {PREDICT}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter and onnxscript print and log for their own authors (programs of a thousand lines,
    where one cannot be written), and without their warnings of each other's older selves."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)
