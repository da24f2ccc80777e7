"""What a graph would compute of its weights alone, computed once: so weights that are rounded are stored rounded."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from pervade.core.errors import ConfigError, ResourceError

SMALL = 1 << 16  # numbers; larger results are stored in eight bits or less a number only, others would be repeated
LARGEST = 2_000_000_000  # bytes that a graph in memory may have: protobuf ends at 2 GiB


def fold(model: Any) -> Any:
    """The model (onnx.ModelProto), changed in place: each node that depends on no input is left out, and what others
    take of it is stored. Of what is stored rounded, the way back to numbers (DequantizeLinear) stays a node, since
    engines look for it. Raises ResourceError where the graph is too large."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    graph = model.graph
    known = {tensor.name for tensor in graph.initializer}
    constant = []
    for node in graph.node:
        branches = any(attribute.HasField("g") for attribute in node.attribute)
        if node.op_type != "DequantizeLinear" and not branches and known.issuperset(filter(None, node.input)):
            constant.append(node)
            known.update(node.output)
    made = {name for node in constant for name in node.output}
    outer = [node for node in graph.node if not any(node is one for one in constant)]
    asked = sorted(made & ({name for node in outer for name in node.input} | {value.name for value in graph.output}))
    if not asked:
        return model
    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.node[:], part.graph.input[:], part.graph.output[:], part.graph.value_info[:]
    part.graph.node.extend(constant)
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in asked)
    values = _computed(part, asked)
    stored = {
        name: value for name, value in zip(asked, values, strict=True) if value.size <= SMALL or value.itemsize == 1
    }
    turned = _turned(stored)
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(value), name)
        for name, value in stored.items()
        if name not in turned
    )
    _drop_unused(graph, set(stored))
    nodes = [onnx.helper.make_node("Transpose", [other], [name], perm=[1, 0]) for name, other in turned.items()]
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    return model


def _turned(stored: Mapping[str, Any]) -> dict[str, str]:
    """Of large matrices those that are the transpose of another one, as tied weights are: of the two, one is stored."""
    turned: dict[str, str] = {}
    large = {name: value for name, value in stored.items() if value.ndim == 2 and value.size > SMALL}
    for (one, value), (other, its) in combinations(large.items(), 2):
        if not {one, other} & turned.keys() and value.shape == its.shape[::-1] and bool((value == its.T).all()):
            turned[other] = one
    return turned


def _computed(part: Any, asked: list[str]) -> list[Any]:
    import onnxruntime

    if part.ByteSize() > LARGEST:
        raise ResourceError(f"weights of {part.ByteSize():,} bytes are too large for one graph; take a smaller --model")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return list(session.run(asked, {}))
    except (
        onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented,
        onnxruntime.capi.onnxruntime_pybind11_state.InvalidGraph,
    ) as error:
        raise ConfigError(f"ONNX Runtime lacks what the weights are rounded by ({error}); take float weights") from None


def _drop_unused(graph: Any, stored: set[str]) -> None:
    """Nodes whose results are stored, and all before them that nobody else asks."""
    wanted = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if any(name in wanted and name not in stored for name in node.output):
            kept.append(node)
            wanted.update(node.input)
            wanted.update(_asked_inside(node))
    del graph.node[:]
    graph.node.extend(reversed(kept))
    there = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(there)


def _asked_inside(node: Any) -> set[str]:
    """What graphs within a node take from without."""
    names: set[str] = set()
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for inner in graph.node:
                names.update(inner.input)
                names.update(_asked_inside(inner))
            names.update(value.name for value in graph.output)
    return names
