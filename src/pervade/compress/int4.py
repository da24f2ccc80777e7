"""Weights alone in four bits (or eight): what a language model reads from memory for each token is an eighth of it.

A row of weights is cut into blocks, each with a scale of its own (Dettmers & Zettlemoyer 2022, arXiv:2212.09720);
activations stay in float. Embeddings are stored in eight bits, by row. ONNX Runtime has one operator for such layers,
MatMulNBits.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, Literal

from torch.nn import Module

from pervade.compress.int8 import Quantised, observe, require_float, stored_twice, summary
from pervade.core.contracts import Compressed, Compressor, Subject
from pervade.core.errors import ConfigError, UnfitError
from pervade.core.registry import register
from pervade.engine import building

OPERATOR = "MatMulNBits"


@register("compress")
@dataclass(frozen=True)
class Int4(Compressor):
    rounds: ClassVar[bool] = True
    bits: Literal[4, 8] = 4
    block: Literal[16, 32, 64, 128] = 32  # numbers of a row of weights with one scale

    def __call__(self, subject: Subject) -> Compressed:
        require_float(subject)
        require_kernel(self.bits, self.block)
        network, changes = building.merged(subject.loaded.network, subject.loaded.changes)
        observed = observe(network, islice(subject.batches(), 1), 0.0)
        layers = observed.layers
        if "linear" not in layers.values():
            raise UnfitError(f"int4: {type(network).__name__} has no linear layer whose weights are read one by one")
        change = Quantised("weights", bits=self.bits, block=self.block)
        before = subject.judge(network)
        rounded: Module = change.apply(network)
        twice = stored_twice(change.plan, observed.tied)
        told = f"on validation rows {before:.4f}, then {subject.judge(rounded):.4f}"
        return Compressed(
            rounded, (*changes, change), f"weights in {self.bits} bits of {summary(change.plan, layers)}{twice}; {told}"
        )


def require_kernel(bits: int, block: int) -> None:
    """Raises ConfigError where ONNX Runtime cannot multiply by such weights on this processor."""
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    bytes_ = block * bits // 8
    node = helper.make_node(
        OPERATOR,
        ["x", "weight", "scale"],
        ["y"],
        domain="com.microsoft",
        K=block,
        N=1,
        bits=bits,
        block_size=block,
    )
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, block])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [
            numpy_helper.from_array(np.zeros((1, 1, bytes_), np.uint8), "weight"),
            numpy_helper.from_array(np.ones(1, np.float32), "scale"),
        ],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        session.run(None, {"x": np.ones((1, block), np.float32)})
    except Exception as error:  # the runtime's own exceptions have no base of their own; whatever it is, it cannot
        reason = str(error).strip().splitlines()[0][:120]
        raise ConfigError(
            f"int{bits}: ONNX Runtime {onnxruntime.__version__} has no kernel of {OPERATOR} for blocks of {block} "
            f"weights in {bits} bits on this processor ({reason}); take int8"
        ) from None
