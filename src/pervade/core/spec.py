"""Specs to JSON and back: a frozen dataclass becomes `{"use": registered name, field: value, ...}`.

Plain fields are checked by pydantic; fields typed by a protocol (anything with a `kind`) go through the registry,
because pydantic alone picks the wrong member of a union of look-alikes. All faults are collected and raised as one
ConfigError.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pervade.core import registry
from pervade.core.errors import ConfigError, nearest

S = TypeVar("S")
SHOWN = 80  # letters of a value that does not fit


def encode(value: Any) -> Any:
    """A spec, or anything inside one, as JSON. An unregistered object is named but cannot be decoded again."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {_spelt(f): encode(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        name = registry.name_of(type(value))
        if name is not None:
            return {"use": name, **fields}
        if getattr(value, "kind", None) in registry.PACKAGES:
            return {"unregistered": f"{type(value).__module__}:{type(value).__qualname__}", **fields}
        return fields
    if isinstance(value, Mapping):
        return {str(key): encode(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(part) for part in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return {"unregistered": f"{type(value).__module__}:{type(value).__qualname__}"}


def _spelt(field: dataclasses.Field[Any]) -> str:
    """What files and settings call a field: a method of its class may have that name already."""
    return str(field.metadata.get("name", field.name))


def field_names(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()


def readable(value: Any) -> bool:
    """Whether the spec can be read back from a file: no part of it is unregistered."""
    return "'unregistered':" not in str(encode(value))


def decode(data: Any, expected: type[S] | Any) -> S:
    """The spec that `encode` wrote. Raises ConfigError naming every fault at once, with its path."""
    problems: list[str] = []
    value = _decode(data, expected, "", problems)
    if problems:
        raise ConfigError(*problems)
    return typing.cast(S, value)


def change(data: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Applies `path.to.field=value` settings to encoded JSON; values are read as YAML.

    Raises ConfigError where a setting is not of that form or goes through something that has no fields. Whether fields
    exist and values fit is `decode`'s to say.
    """
    import copy

    import yaml

    from pervade.core import plain_yaml

    data = copy.deepcopy(data)
    problems = []
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            problems.append(f"setting {setting!r} is not of the form path.to.field=value")
            continue
        *parents, last = path.strip().split(".")
        place: Any = data
        for parent in parents:
            place = place.setdefault(parent, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            problems.append(f"setting {path!r}: {'.'.join(parents)!r} has no fields")
            continue
        try:
            place[last] = plain_yaml.parse(text)
        except yaml.YAMLError:
            place[last] = text
        except ConfigError as error:
            problems.append(f"setting {path!r}: {error}")
    if problems:
        raise ConfigError(*problems)
    return data


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def _kind(hint: Any) -> str | None:
    """The registry kind of a protocol type, None for any other type."""
    return getattr(hint, "kind", None) if isinstance(hint, type) and getattr(hint, "_is_protocol", False) else None


def _decode(data: Any, hint: Any, path: str, problems: list[str]) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        members = typing.get_args(hint)
        if data is None and type(None) in members:
            return None
        inner = [m for m in members if m is not type(None)]
        by_name = [m for m in inner if typing.get_origin(m) is Mapping]
        if by_name and len(inner) == 2:  # a plug-in, or several by name
            inner = by_name if _by_name(data) else [m for m in inner if m not in by_name]
        if len(inner) == 1:
            return _decode(data, inner[0], path, problems)
        return _plain(data, hint, path, problems)
    if origin is Mapping and _kind(typing.get_args(hint)[1]):
        item = typing.get_args(hint)[1]
        if not isinstance(data, Mapping):
            problems.append(f"{path}: expected names, each with its {_kind(item)}, got {data!r}")
            return None
        return {str(name): _decode(value, item, f"{path}.{name}", problems) for name, value in data.items()}
    if origin is tuple and len(typing.get_args(hint)) == 2 and typing.get_args(hint)[1] is Ellipsis:
        item = typing.get_args(hint)[0]
        if _kind(item) or dataclasses.is_dataclass(item):
            data = data if isinstance(data, (list, tuple)) else [data]  # one plug-in alone needs no brackets
            return tuple(_decode(part, item, f"{path}[{i}]", problems) for i, part in enumerate(data))
    kind = _kind(hint)
    if kind is not None:
        return _plug_in(data, kind, path, problems)
    if dataclasses.is_dataclass(hint):
        return _fields(data, typing.cast(type, hint), {}, path, problems)
    return _plain(data, hint, path, problems)


def _by_name(data: Any) -> bool:
    """Whether these are several plug-ins by name, and not the settings of one."""
    several = isinstance(data, Mapping) and bool(data) and not {"use", "unregistered"} & set(data)
    return several and all(isinstance(value, (str, Mapping)) for value in data.values())


def _plug_in(data: Any, kind: str, path: str, problems: list[str]) -> Any:
    if isinstance(data, str):
        data = {"use": data}
    if not isinstance(data, Mapping) or not isinstance(data.get("use", data.get("unregistered")), str):
        problems.append(f"{path or kind}: expected the name of a {kind}, got {data!r}")
        return None
    if "use" not in data:
        problems.append(
            f"{path or kind}: {data['unregistered']} is not registered, so it cannot be loaded from a file; "
            "register it, or pass the recipe from Python"
        )
        return None
    try:
        cls, preset = registry.find(kind, data["use"])
    except ConfigError as error:
        problems.append(f"{path}: {error}" if path else str(error))
        return None
    return _fields({k: v for k, v in data.items() if k != "use"}, cls, preset, path, problems)


def _fields(data: Any, cls: type, preset: Mapping[str, Any], path: str, problems: list[str]) -> Any:
    if not isinstance(data, Mapping):
        problems.append(f"{path}: expected settings, got {data!r}")
        return None
    known = {_spelt(f): f.name for f in dataclasses.fields(cls) if f.init}
    values = dict(preset)
    faults = len(problems)
    for name, value in data.items():
        where = f"{path}.{name}" if path else str(name)
        if name not in known:
            inside = f"{path}." if path else ""
            problems.append(f"unknown setting {where!r}; {nearest(str(name), known, inside)}")
        else:
            values[known[name]] = _decode(value, _hints(cls)[known[name]], where, problems)
    if len(problems) > faults:
        return None
    try:
        return cls(**values)
    except (TypeError, ValueError, ConfigError) as error:
        problems.append(f"{path}: {error}" if path else str(error))
        return None


@functools.cache
def _adapter(hint: Any) -> Any:
    import pydantic

    return pydantic.TypeAdapter(hint, config=pydantic.ConfigDict(allow_inf_nan=False))


def _plain(data: Any, hint: Any, path: str, problems: list[str]) -> Any:
    import pydantic

    try:
        return _adapter(hint).validate_python(data)
    except pydantic.ValidationError:
        shown = repr(data)
        shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]} …"
        problems.append(f"{path}: {shown} does not fit; it must be {allowed(_adapter(hint).json_schema())}")
        return None


def allowed(schema: Mapping[str, Any]) -> str:
    """What a JSON schema lets through, in words.

    >>> allowed({"type": "integer", "minimum": 8, "maximum": 2048, "multipleOf": 8})
    'a whole number from 8 up to 2,048, a multiple of 8'
    >>> allowed({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]})
    'a number above 0, or null'
    """
    if "anyOf" in schema:
        return ", or ".join(allowed(option) for option in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " or ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "anything")
    if kind == "array":
        most, least = schema.get("maxItems"), schema.get("minItems", 0)
        count = "" if most is None else f"{least} " if most == least else f"{least} to {most} "
        items = schema.get("items") or (schema.get("prefixItems") or [{}])[0]
        return f"a list of {count}items, each {allowed(items)}"
    words = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false"}
    ends = (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "up to"), ("exclusiveMaximum", "below"))
    told = [f"{word} {_written(schema[name])}" for name, word in ends if name in schema]
    more = f", a multiple of {schema['multipleOf']}" if "multipleOf" in schema else ""
    others = {"null": "null", "object": "settings by name"}
    return " ".join([words.get(kind, others.get(kind, kind)), *told]) + more


def _written(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"
