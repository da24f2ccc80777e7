"""What a published network that writes by CTC can spell: its vocab.json as an alphabet of ours
(data/sound/alphabet.py)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pervade.core.errors import CheckpointError
from pervade.weights import locate
from pervade.weights.hub import HubRepository

FILE = "vocab.json"
BLANK = "|"  # between words, unless tokenizer_config.json says otherwise


def alphabet(source: str, config: Mapping[str, Any]) -> tuple[tuple[str, ...], list[int]] | None:
    """What each piece spells, the blank first, and the place of each in the network's head; None where the model, a
    folder or a name on the Hub, has no such file, or one for several languages."""
    try:
        folder = Path(source) if Path(source).is_dir() else HubRepository(source).tokenizer_folder()
        names = locate.read_config(folder / FILE)
        more = folder / "tokenizer_config.json"
        told = locate.read_config(more) if more.is_file() else {}
    except CheckpointError:
        return None
    if sorted(names.values(), key=str) != sorted(range(int(config.get("vocab_size") or 0)), key=str):
        return None
    pad, between = int(config.get("pad_token_id") or 0), told.get("word_delimiter_token") or BLANK
    pieces = {place: _spelt(name, str(between)) for name, place in names.items()}
    order = [pad, *(place for place in sorted(pieces) if place != pad)]
    return ("", *(pieces[place] for place in order[1:])), order


def _spelt(name: str, between: str) -> str:
    """
    >>> _spelt("|", "|"), _spelt("E", "|"), _spelt("<unk>", "|")
    (' ', 'E', '')
    """
    if name == between:
        return " "
    own = (name.startswith("<") and name.endswith(">")) or (name.startswith("[") and name.endswith("]"))
    return "" if own and len(name) > 2 else name
