"""The terms of weights that others published, as they say themselves: in the metadata of the card that lies beside the
weights (README.md: `license`), else in the first line of a file LICENSE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pervade.core import files, plain_yaml
from pervade.core.errors import CheckpointError, ConfigError

CARD = "README.md"
FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE")
LONGEST = 1 << 20  # bytes of a card or a licence
SHOWN = 200  # characters


def beside(folder: Path) -> str:
    """The licence and where it is said, in words; empty where neither file says one, or none can be read.

    >>> beside(Path("no such folder"))
    ''
    """
    for name in (CARD, *FILES):
        if not (folder / name).is_file():
            continue
        try:
            text = files.read_text(folder / name, LONGEST)
            said = (
                _of_card(text)
                if name == CARD
                else next((line.strip() for line in text.splitlines() if line.strip()), "")
            )
        except (CheckpointError, ConfigError, yaml.YAMLError):  # then it says nothing that could be passed on
            continue
        if said:
            return f"{said[:SHOWN]} ({name})"
    return ""


def _of_card(text: str) -> str:
    if not text.startswith("---"):
        return ""
    told: Any = plain_yaml.parse(text.removeprefix("---").partition("\n---")[0])
    if not isinstance(told, dict):
        return ""
    named = told.get("license")
    if named == "other":  # as the Hub has it: the name stands beside
        named = told.get("license_name") or named
    names = named if isinstance(named, list) else [named]
    return ", ".join(name for name in names if isinstance(name, str))
