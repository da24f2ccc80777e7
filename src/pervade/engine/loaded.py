"""A model ready for use, and how what lies beside its weights is read. Without torch, so that whoever asks an exported
graph need not wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pervade.core import files, spec
from pervade.core.contracts import Change, Domain, Task
from pervade.core.contracts.capabilities import labels_of
from pervade.core.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from torch.nn import Module


@dataclass(frozen=True)
class Loaded:
    """A checkpoint ready for use: `network` is in evaluation mode, on the CPU, in fp32."""

    name: str
    network: Module
    domain: Domain
    task: Task
    changes: tuple[Change, ...]  # made to the network since its model built it, in order
    architecture: dict[str, Any]
    decision: dict[str, Any]
    members: Mapping[str, Loaded] = field(default_factory=dict)  # as of `Context.members`


def read_domain(path: Path) -> Domain:
    """Raises CheckpointError where preprocess.json, or what lies beside it, is missing or damaged."""
    domain: Domain = decoded(path, files.read_json(path, "domain")["domain"], Domain)
    labels = labels_of(domain)
    if twice := next((label for i, label in enumerate(labels) if label in labels[:i]), None):
        raise CheckpointError(f"{path} is damaged (the label {twice!r} stands twice); use another checkpoint")
    domain.attach(path.parent)
    return domain


def decoded(path: Path, data: Any, expected: Any) -> Any:
    """What a file holds of a spec; the file is named where it is at fault."""
    try:
        return spec.decode(data, expected)
    except ConfigError as error:
        raise ConfigError(*(f"{path}: {problem}" for problem in error.problems)) from None
