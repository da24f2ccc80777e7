"""YAML as settings need it: null, true, false, numbers, texts, lists and mappings.

Anchors are refused, and with them aliases: a file of one kilobyte can stand for gigabytes by them, and no recipe needs
one. So are other types (dates, sets, bytes, merged mappings), a key that stands twice, numbers that are not finite or
endless, and what is nested too deeply or is too long: this parser is written in Python and reads 0.2 MB a second.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

from pervade.core import files
from pervade.core.errors import CheckpointError, ConfigError, PervadeError

MOST = 1 << 20  # characters

_TYPES = ("null", "bool", "int", "float", "str", "seq", "map")
_TAGS = {f"tag:yaml.org,2002:{name}" for name in _TYPES}


class _Refused(ValueError):
    """Well-formed YAML that is not read all the same."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag in _TAGS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {  # noqa: RUF012
        tag: construct for tag, construct in yaml.SafeLoader.yaml_constructors.items() if tag is None or tag in _TAGS
    }
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if getattr(self.peek_event(), "anchor", None) and not self.check_event(yaml.AliasEvent):
            raise _Refused("anchors and aliases are not read; write the value out, or put a text in quotes")
        self.depth += 1
        if self.depth > files.DEPTH:
            raise _Refused(f"its lists and mappings lie more than {files.DEPTH} deep in one another")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_yaml_map(self, node: Any) -> Any:
        value: dict[Any, Any] = {}
        yield value
        value |= self.construct_mapping(node)
        if len(value) < len(node.value):
            names = [self.construct_object(key) for key, _ in node.value]
            raise _Refused(f"{next(name for name in names if names.count(name) > 1)!r} stands twice")

    def construct_yaml_int(self, node: Any) -> Any:
        if len(str(node.value)) > files.DIGITS:
            raise _Refused(f"{node.value[: files.DIGITS]}… is too long for a number")
        return super().construct_yaml_int(node)

    def construct_yaml_float(self, node: Any) -> Any:
        value = super().construct_yaml_float(node)
        if not math.isfinite(value):
            raise _Refused(f"{node.value[: files.DIGITS]} is not a finite number")
        return value


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_yaml_map)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


def parse(text: str) -> Any:
    """The one value that a text holds. Raises yaml.YAMLError where it is no YAML, and ConfigError where it is, but is
    not read (see above)."""
    if len(text) > MOST:
        raise ConfigError(f"{len(text):,} characters of YAML are too many: at most {MOST:,} are read")
    try:
        return yaml.load(text, _Loader)
    except _Refused as error:
        raise ConfigError(str(error)) from None
    except (ValueError, LookupError) as error:  # `!!int x`, `!!bool x`: a tag that its value does not bear out
        raise yaml.YAMLError(f"a value is not of the type that it is said to be ({error})") from None


def read(path: Path, error: type[PervadeError] = CheckpointError) -> dict[str, Any]:
    """The settings that a file holds, its format checked and left out. Raises `error`, naming the file."""
    remedy = (
        "mend it, or use another" if error is ConfigError else "use another checkpoint's recipe.yaml, or train again"
    )
    text = files.read_text(path, MOST, error)
    try:
        data = parse(text)
    except (yaml.YAMLError, ConfigError) as fault:
        raise error(f"{path} cannot be read ({' '.join(str(fault).split())}); {remedy}") from None
    if not isinstance(data, dict):
        raise error(f"{path} is damaged: it holds no settings; {remedy}")
    files.check_format(path, data.pop("format", None))
    return data
