"""Foreign files of weights: safetensors, and torch's own format read with `weights_only`, so that no code in them runs.

Training scripts wrap the weights in a dictionary beside the epoch and the optimiser ("state_dict", "model", …), and
some of them keep their arguments or a numpy number there: these are let in, anything else is refused.
"""

from __future__ import annotations

import argparse
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from pervade.core import files
from pervade.core.errors import CheckpointError, nearest

SUFFIXES = (".safetensors", ".pth", ".pt", ".th", ".bin", ".ckpt", ".tar")
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "model_ema", "ema")
DEEPEST = 8  # wrappers inside each other; a dictionary may hold itself
REPEATED = 1 << 30  # bytes of a view beyond what is stored for it; masks are such views, and smaller
# What else than tensors and plain values may stand in a file: inert records that training scripts leave there.
INERT: list[Any] = [
    argparse.Namespace,
    np.float64(0).__reduce__()[0],  # makes single numbers; where numpy keeps it depends on its version
    np.dtype,
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
    np.dtypes.Int64DType,
]


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name. Raises CheckpointError where the file is damaged, holds code, or holds no weights by name."""
    if not path.is_file():
        there = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        raise CheckpointError(f"{path} is not there; {nearest(path.name, there)}")
    if path.suffix not in SUFFIXES:
        raise CheckpointError(
            f"{path}: weights are read from files ending in {', '.join(SUFFIXES)}, and from folders with a config.json"
        )
    _look(path)
    weights = _read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path, str(path))
    if not weights:
        raise CheckpointError(f"{path} holds no weights by name; save the network's state_dict() and take that")
    return weights


def _look(path: Path) -> None:
    """Refuses what is no file of weights at all, by its first bytes."""
    try:
        with files.open_regular(path) as file:
            start = file.read(64)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); copy or download it again") from None
    if not start:
        raise CheckpointError(f"{path} is empty; copy or download it again")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path} is a pointer of Git LFS, not the weights; fetch them with `git lfs pull`")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(f"{path} is a web page, not weights; download the file itself")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); copy or download it again") from None


def read_torch(file: Path | BinaryIO, where: str) -> dict[str, Tensor]:
    """As `read_weights`, of torch's own format alone; `where` is what messages call it."""
    _check_size(file, where)
    try:
        with torch.serialization.safe_globals(INERT):
            data = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refusal(where, str(error)) from None
    except MemoryError:
        raise
    except Exception as error:  # the reader of a damaged file raises whatever comes to its mind
        if "TorchScript" in str(error):
            raise CheckpointError(
                f"{where} is a TorchScript program, not weights; save its state_dict() and take that"
            ) from None
        first = str(error).strip().split("\n")[0]
        raise CheckpointError(f"{where} is damaged ({first}); copy or download it again") from None
    weights = _unwrap(data)
    for name, value in weights.items():  # a view may repeat one number a million times a million
        if value.layout is torch.strided and value.nbytes > max(value.untyped_storage().nbytes(), REPEATED):
            raise CheckpointError(f"{where} is damaged: {name[:60]} is larger than its numbers; download it again")
    return weights


def _check_size(file: Path | BinaryIO, where: str) -> None:
    """Raises CheckpointError where a zip would unpack to more than it is long: torch packs nothing."""
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        size = file.stat().st_size if isinstance(file, Path) else file.seek(0, 2)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return  # the older format; or damaged, which torch.load says
    finally:
        if not isinstance(file, Path):
            file.seek(0)
    if unpacked > size:
        raise CheckpointError(f"{where} is {size:,} bytes long and unpacks to {unpacked:,}, which torch never writes")


def _refusal(where: str, message: str) -> CheckpointError:
    match = re.search(r"GLOBAL\s+([\w.]+)", message)
    if match is None:
        return CheckpointError(f"{where} is damaged or no file of torch; copy or download it again")
    return CheckpointError(
        f"{where} holds an object of {match[1][:100]}, and reading it would run code from the file; "
        "where you trust it, load it yourself and save its state_dict() as safetensors"
    )


def _unwrap(data: Any, depth: int = 0) -> dict[str, Tensor]:
    """The dictionary of tensors inside what a training script saved; empty where there is none."""
    if not isinstance(data, Mapping) or depth == DEEPEST:
        return {}
    tensors = {str(key): value for key, value in data.items() if isinstance(value, Tensor)}
    if len(tensors) * 2 > len(data):
        return tensors
    for name in WRAPPERS:
        if isinstance(data.get(name), Mapping):
            inside = _unwrap(data[name], depth + 1)
            if inside:
                return inside
    return tensors
