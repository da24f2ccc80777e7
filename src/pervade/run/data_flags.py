"""Flags that say how data are read. Each sets a field of the domain, and not every domain has that field: who types
--label-pattern for an environment is told about --label-pattern, and not about a setting of a name never typed.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

from pervade.core import registry, spec
from pervade.core.contracts import Domain

# What the Python face calls it: the flag, and the domain's field.
FLAGS = {
    "label_column": ("--label-column", "label_column"),
    "file_column": ("--file-column", "file_column"),
    "text_column": ("--text-column", "text_column"),
    "label_pattern": ("--label-pattern", "label_pattern"),
    "group_pattern": ("--group-pattern", "group_pattern"),
    "group_column": ("--group-by", "group_column"),
    "split_column": ("--split-column", "split_column"),
    "encoding": ("--encoding", "encoding"),
    "join_spellings": ("--join-spellings", "join_spellings"),
    "positive": ("--positive", "positive"),
    "tta": ("--tta", "views"),
    "condition": ("--condition", "condition"),
}


def settings(domain: Domain, flags: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Paths of the recipe and their values, from those of `flags` that are given and of data; and a line of complaint
    for each that this domain has no field for."""
    changes: dict[str, Any] = {}
    problems = []
    for name, (flag, field) in FLAGS.items():
        value = flags.get(name)
        if value is None or value is False:
            continue
        if field not in spec.field_names(type(domain)):
            shown = flag if value is True else f"{flag} {value!r}"
            problems.append(
                f"{shown} is not for {domain.reads}; it is for {_readers(field)}: leave it out, or say with --task "
                "what else is to be learnt"
            )
        else:
            changes[f"domain.{field}"] = _more_views(domain) if name == "tta" else value
    return changes, problems


def _readers(field: str) -> str:
    """What the domains read that have this field."""
    domains = [registry.find("domain", name)[0] for name in registry.names("domain")]
    reads = dict.fromkeys(getattr(kind, "reads", Domain.reads) for kind in domains if field in spec.field_names(kind))
    return ", ".join(reads) or "none"


def _more_views(domain: Domain) -> int:
    """The fewest that are more than one: a picture's mirror image beside it, a recording slower and faster."""
    return min(views for views in typing.get_args(typing.get_type_hints(type(domain))["views"]) if views > 1)
