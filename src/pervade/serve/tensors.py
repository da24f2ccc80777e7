"""Tensors as the Open Inference Protocol v2 writes them: in JSON, or, by its extension for binary tensors, behind it.

    github.com/kserve/open-inference-protocol: specification/protocol/inference_rest.md
    github.com/triton-inference-server/server: docs/protocol/extension_binary_data.md

A BYTES element stands in JSON as a string, and in binary data as its length (4 bytes, little-endian) and itself.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pervade.core import files
from pervade.serve.faults import Fault

TYPES = {
    "BOOL": "bool",
    **{f"FP{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"{kind}{bits}": f"{kind.lower()}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)},
}
NAMES = {name: kind for kind, name in TYPES.items()}
MOST_AXES = 8
MOST_TENSORS = 64


@dataclass(frozen=True)
class Tensor:
    name: str
    array: np.ndarray  # of BYTES an array of objects: str, or, where it came as binary data, bytes

    @property
    def datatype(self) -> str:
        return "BYTES" if self.array.dtype == object else NAMES[self.array.dtype.name]


@dataclass(frozen=True)
class Request:
    """What an infer request asks."""

    id: str | None
    parameters: Mapping[str, Any]
    inputs: tuple[Tensor, ...]
    outputs: Mapping[str, bool] | None  # by name, whether as binary data; None: all

    def binary(self, name: str) -> bool:
        """Whether an output is to be written as binary data."""
        usual = self.parameters.get("binary_data_output") is True
        return usual if self.outputs is None else self.outputs[name]


def bad(sentence: str) -> Fault:
    return Fault(400, sentence)


def read(body: bytes, json_length: str | None) -> Request:
    """`json_length` is the header Inference-Header-Content-Length. Raises Fault where it is no such request."""
    if json_length is not None and not (json_length.isascii() and json_length.isdecimal() and len(json_length) < 12):
        raise bad(f"Inference-Header-Content-Length is {json_length[:40]!r}; give the number of bytes of the JSON")
    end = len(body) if json_length is None else int(json_length)
    if end > len(body):
        raise bad(f"Inference-Header-Content-Length is {end:,}, and the body has {len(body):,} bytes; send all of it")
    try:
        told = files.parse_json(body[:end].decode())
    except ValueError as error:  # or no UTF-8
        raise bad(f"the body is no JSON ({str(error)[:100]}); send an object with the key inputs") from None
    told = _typed(told, dict, "the body")
    left = memoryview(body)[end:]
    inputs = []
    for one in _listed(told, "inputs"):
        tensor, left = _input(one, left)
        inputs.append(tensor)
    if not inputs:
        raise bad("inputs is empty; give at least one tensor")
    if len(left):
        raise bad(f"{len(left):,} bytes stand behind the last tensor; say binary_data_size of each in its parameters")
    parameters = _typed(told.get("parameters", {}), dict, "parameters")
    outputs = {}
    for one in _listed(told, "outputs", needed=False):
        own = _typed(one.get("parameters", {}), dict, "the parameters of an output")
        outputs[_typed(one.get("name"), str, "the name of an output")] = own.get("binary_data") is True
    ident = told.get("id")
    return Request(None if ident is None else _typed(ident, str, "id"), parameters, tuple(inputs), outputs or None)


def _typed(value: Any, kind: type, what: str) -> Any:
    called: dict[type, str] = {dict: "an object", list: "a list", str: "a text"}
    if not isinstance(value, kind):
        raise bad(f"{what} is {json.dumps(value)[:60]}; it must be {called[kind]}")
    return value


def _listed(told: Mapping[str, Any], name: str, needed: bool = True) -> list[dict[str, Any]]:
    listed = _typed(told.get(name, None if needed else []), list, name)
    if len(listed) > MOST_TENSORS:
        raise bad(f"{name} holds {len(listed):,} tensors; give {MOST_TENSORS} at most")
    return [_typed(one, dict, f"each of {name}") for one in listed]


def _input(told: Mapping[str, Any], left: memoryview) -> tuple[Tensor, memoryview]:
    """A tensor, and what of the binary data is left."""
    name = _typed(told.get("name"), str, "the name of an input")
    datatype, shape = told.get("datatype"), _typed(told.get("shape"), list, f"the shape of {name!r}")
    if datatype not in (*TYPES, "BYTES"):
        raise bad(f"the datatype of {name!r} is {datatype!r:.40}; give one of BYTES, {', '.join(TYPES)}")
    if len(shape) > MOST_AXES or not all(type(axis) is int and 0 <= axis < 2**40 for axis in shape):
        raise bad(f"the shape of {name!r} is {str(shape)[:60]}; give at most {MOST_AXES} whole numbers from 0 on")
    count = math.prod(shape)
    size = _typed(told.get("parameters", {}), dict, f"the parameters of {name!r}").get("binary_data_size")
    if size is None:
        return Tensor(name, _of_json(told.get("data"), datatype, shape, count, name)), left
    if type(size) is not int or not 0 <= size <= len(left):
        raise bad(f"binary_data_size of {name!r} is {size!r:.40}, and {len(left):,} bytes are left behind the JSON")
    mine, left = left[:size], left[size:]
    if datatype == "BYTES":
        elements = _elements(mine, name)
    else:
        width = np.dtype(TYPES[datatype]).itemsize
        if size != count * width:
            raise bad(f"{name!r} has {size:,} bytes, and {shape} of {datatype} are {count * width:,}")
        return Tensor(name, np.frombuffer(mine, TYPES[datatype]).reshape(shape)), left
    if len(elements) != count:
        raise bad(f"{name!r} has {len(elements):,} elements, and its shape is {shape}, which are {count:,}")
    return Tensor(name, _objects(elements).reshape(shape)), left


def _of_json(data: Any, datatype: str, shape: Sequence[int], count: int, name: str) -> np.ndarray:
    """What stands in JSON, flat or as nested lists."""
    flat = list(_flat(_typed(data, list, f"the data of {name!r}"), 0, name))
    if len(flat) != count:
        raise bad(f"{name!r} has {len(flat):,} elements, and its shape is {list(shape)}, which are {count:,}")
    kinds: tuple[type, ...] = {"BYTES": (str,), "BOOL": (bool,)}.get(datatype, (int,))
    kinds = (int, float) if datatype.startswith("FP") else kinds
    odd = next((one for one in flat if not isinstance(one, kinds) or (bool not in kinds and type(one) is bool)), None)
    if odd is not None:
        raise bad(f"{name!r} holds {json.dumps(odd)[:60]}, which is no {datatype}")
    if datatype == "BYTES":
        return _objects(flat).reshape(shape)
    try:
        with np.errstate(over="ignore"):
            return np.array(flat, TYPES[datatype]).reshape(shape)
    except OverflowError:
        raise bad(f"{name!r} holds a number that {datatype} does not; take another datatype") from None


def _flat(data: Any, depth: int, name: str) -> Iterator[Any]:
    for one in data:
        if not isinstance(one, list):
            if one is None or isinstance(one, dict):
                raise bad(f"{name!r} holds {json.dumps(one)[:60]}; give texts or numbers")
            yield one
        elif depth >= MOST_AXES:
            raise bad(f"the data of {name!r} are lists in more than {MOST_AXES} others; give fewer axes")
        else:
            yield from _flat(one, depth + 1, name)


def _elements(data: memoryview, name: str) -> list[bytes]:
    made, place = [], 0
    while place < len(data):
        (length,) = struct.unpack_from("<I", data, place) if place + 4 <= len(data) else (-1,)
        end = place + 4 + length
        if length < 0 or end > len(data):
            raise bad(f"the binary data of {name!r} end within an element; write its length before each")
        made.append(bytes(data[place + 4 : end]))
        place = end
    return made


def _objects(elements: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array


def write(about: Mapping[str, Any], tensors: Sequence[Tensor], request: Request) -> tuple[bytes, dict[str, str]]:
    """The body of an answer and its headers; `about` are the keys before "outputs". Raises Fault where an output is
    asked for that there is none of."""
    by_name = {tensor.name: tensor for tensor in tensors}
    if unknown := [name for name in request.outputs or () if name not in by_name]:
        raise bad(f"there is no output {unknown[0][:60]!r}; this model has {', '.join(by_name)}")
    outputs, behind = [], []
    for name in request.outputs or by_name:
        tensor = by_name[name]
        one: dict[str, Any] = {"name": name, "datatype": tensor.datatype, "shape": list(tensor.array.shape)}
        if request.binary(name):
            behind.append(_as_bytes(tensor))
            one["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            one["data"] = _finite(tensor).ravel().tolist()
        outputs.append(one)
    identity = {} if request.id is None else {"id": request.id}
    text = json.dumps({**about, **identity, "outputs": outputs}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if not behind:
        return text, {"content-type": "application/json"}
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(text))}
    return b"".join([text, *behind]), headers


def _finite(tensor: Tensor) -> np.ndarray:
    """For JSON, which has no infinity. Raises Fault."""
    if tensor.array.dtype.kind == "f" and not np.isfinite(tensor.array).all():
        raise bad(f"the output {tensor.name} holds what is no number, which JSON cannot say; ask for it as binary data")
    return tensor.array


def _as_bytes(tensor: Tensor) -> bytes:
    if tensor.array.dtype != object:
        return np.ascontiguousarray(tensor.array).tobytes()
    encoded = [
        one.encode("utf-8", "surrogatepass") if isinstance(one, str) else bytes(one) for one in tensor.array.ravel()
    ]
    return b"".join(struct.pack("<I", len(one)) + one for one in encoded)
