"""Names for plug-ins: a file in a kind's package is one, and the file's name (dashes for underscores) is its name.

    @register("model", variants={"resnet18": {"depth": 18}})
    @dataclass(frozen=True)
    class ResNet: ...

A variant is a second name for the same class with some fields set. A class with a `rest` opens a whole library:
`timm:NAME` is the class registered as timm with the field that `rest` names set to NAME. Outside the package a name is
given: `register("model", name="mine")`. Only registered names load from a file, so that a file can name no import.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pervade.core.errors import ConfigError, nearest

T = TypeVar("T", bound=type)

# Where plug-ins of each kind live. Strings, because the ground floor imports nothing above it. Of some kinds there is
# none of ours; users' own are registered all the same.
PACKAGES: dict[str, tuple[str, ...]] = {
    "domain": ("pervade.domains",),
    "task": ("pervade.tasks",),
    "model": ("pervade.models",),
    "source": ("pervade.data.rows.sources", "pervade.agents.sources"),
    "sampler": ("pervade.data.rows.samplers",),
    "init": ("pervade.init",),
    "optimizer": ("pervade.train.optim",),
    "schedule": ("pervade.train.schedule",),
    "gradient": (),
    "tuning": ("pervade.train.tuning",),
    "change": ("pervade.train.tuning", "pervade.compress"),  # adapters are put in by a way of tuning
    "augment": ("pervade.train.augment",),
    "imbalance": ("pervade.train.imbalance",),
    "promise": ("pervade.promises",),
    "attack": (),
    "compress": ("pervade.compress",),
    "export": ("pervade.export",),
}

_classes: dict[str, dict[str, type]] = {kind: {} for kind in PACKAGES}
_variants: dict[str, dict[str, tuple[str, Mapping[str, Any]]]] = {kind: {} for kind in PACKAGES}
_names: dict[type, tuple[str, str]] = {}


def register(
    kind: str, *, name: str | None = None, variants: Mapping[str, Mapping[str, Any]] | None = None
) -> Callable[[T], T]:
    """Raises ValueError where another class has the name already."""

    def decorate(cls: T) -> T:
        own = name or cls.__module__.rpartition(".")[2].replace("_", "-")
        for alias in (own, *(variants or {})):
            other = _classes[kind].get(alias)
            if other is not None and other.__qualname__ != cls.__qualname__:
                raise ValueError(f"{kind} {alias!r} is registered already, by {other.__module__}")
        _classes[kind][own] = cls
        _names[cls] = (kind, own)
        for variant, fields in (variants or {}).items():
            _variants[kind][variant] = (own, fields)
        return cls

    return decorate


def name_of(cls: type) -> str | None:
    """The registered name of a class, None where it has none."""
    return _names[cls][1] if cls in _names else None


def full_name(part: object) -> str:
    """What a part is called: its class's name, and of one that opens a library ("hf:") what it takes of it."""
    own, rest = name_of(type(part)) or type(part).__name__, getattr(part, "rest", None)
    return own if rest is None else f"{own}:{getattr(part, rest)}"


def files(kind: str) -> dict[str, str]:
    """File to module of every plug-in of a kind."""
    packages = [importlib.import_module(package) for package in PACKAGES[kind]]
    return {
        module.name: f"{package.__name__}.{module.name}"
        for package in packages
        for module in pkgutil.iter_modules(package.__path__)
    }


def names(kind: str, variants: bool = True) -> list[str]:
    """Every registered name of a kind; imports all of its files."""
    for module in files(kind).values():
        importlib.import_module(module)
    return sorted({*_classes[kind], *(_variants[kind] if variants else ())})


def find(kind: str, name: str) -> tuple[type, dict[str, Any]]:
    """The class with this name and the fields that the name sets. Imports one file where the name is a file's.

    Raises ConfigError, with the nearest name, where there is none.
    """
    library, colon, rest = name.partition(":")
    if colon:
        cls, fields = find(kind, library)
        field: str | None = getattr(cls, "rest", None)
        if field is None:
            raise ConfigError(f"unknown {kind} {name!r}: {library} takes no name after a colon")
        return cls, {**fields, field: rest}
    file = name.replace("-", "_")
    if name not in _classes[kind] and name not in _variants[kind]:
        module = files(kind).get(file)
        names(kind) if module is None else importlib.import_module(module)
    if name in _variants[kind]:
        own, preset = _variants[kind][name]
        return _classes[kind][own], dict(preset)
    if name in _classes[kind]:
        return _classes[kind][name], {}
    raise ConfigError(f"unknown {kind} {name!r}; {nearest(name, names(kind))}")
