"""Nested state (dicts, lists, numbers, tensors, arrays) as one safetensors file and one JSON file; no pickle.

`pack` takes the tensors out and leaves `{"$tensor": key}` in their place; a tensor that stands in two places (tied
weights) is kept once. JSON has no tuples, no nan, no infinity and only text as keys, so these are marked as well.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """A safetensors file with the mode that other files get: safetensors makes its own readable by the owner alone.
    Raises OSError."""
    with path.open("wb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
    try:
        safetensors.torch.save_file(tensors, path)
    except safetensors.SafetensorError as error:  # a full disk, in words of its own
        raise OSError(str(error)) from None
    path.chmod(mode)


def pack(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """Returns JSON and the tensors by key. Raises TypeError at anything that is neither plain nor a tensor."""
    tensors: dict[str, Tensor] = {}
    seen: dict[tuple[Any, ...], str] = {}
    storages: set[int] = set()

    def keep(tensor: Tensor, path: str) -> str:
        """{"a": {"b": …}} and {"a.b": …} have one path, and safetensors keeps a name for itself."""
        key = path
        while key in tensors or key in ("", "__metadata__"):
            key += "_"
        tensors[key] = tensor
        return key

    def walk(part: Any, path: str) -> Any:
        if isinstance(part, Tensor):
            # The layout belongs to the key: two views of one storage are the same only if they read it alike.
            identity = (part.untyped_storage().data_ptr(), part.storage_offset(), part.shape, part.stride(), part.dtype)
            key = seen.get(identity) if part.numel() else None
            if key is None:
                tensor = part.detach().cpu().contiguous()
                # safetensors refuses tensors that share memory, so views are copied out of it.
                whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
                key = seen[identity] = keep(tensor.clone() if identity[0] in storages or not whole else tensor, path)
                storages.add(identity[0])
            return {"$tensor": key}
        if isinstance(part, np.ndarray):
            if part.dtype.kind not in "biufc":
                raise TypeError(f"{path}: a state may hold arrays of numbers, not of {part.dtype}")
            own = np.array(part, dtype=part.dtype.newbyteorder("="), order="C")
            return {"$array": keep(torch.from_numpy(own), path)}
        if isinstance(part, np.generic):
            part = part.item()
        if isinstance(part, float) and not math.isfinite(part):
            return {"$float": str(part)}
        if part is None or isinstance(part, (bool, int, float, str)):
            return part
        if isinstance(part, Mapping):
            if all(isinstance(key, str) and not key.startswith("$") for key in part):
                return {key: walk(item, f"{path}.{key}" if path else key) for key, item in part.items()}
            return {"$items": [[walk(k, path), walk(v, f"{path}.{k}")] for k, v in part.items()]}
        if isinstance(part, tuple):
            return {"$tuple": [walk(item, f"{path}.{i}") for i, item in enumerate(part)]}
        if isinstance(part, list):
            return [walk(item, f"{path}.{i}") for i, item in enumerate(part)]
        raise TypeError(f"{path}: a state may hold numbers, text, tensors and arrays, not {type(part).__name__}")

    return walk(value, ""), tensors


def unpack(data: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `pack`."""
    if isinstance(data, list):
        return [unpack(part, tensors) for part in data]
    if not isinstance(data, dict):
        return data
    if "$tensor" in data:
        return tensors[data["$tensor"]]
    if "$array" in data:
        return tensors[data["$array"]].numpy()
    if "$float" in data:
        return float(data["$float"])
    if "$tuple" in data:
        return tuple(unpack(part, tensors) for part in data["$tuple"])
    if "$items" in data:
        return {unpack(key, tensors): unpack(value, tensors) for key, value in data["$items"]}
    return {key: unpack(value, tensors) for key, value in data.items()}
