"""A tokenizer.json of others, tried before it is used: in a process of its own with bounds (core/bounded.py), which
imports no more than this.

Its patterns are regular expressions by an engine that goes back and forth, what it replaces may become as long as it
likes, and a file that is not quite right makes the library panic in the middle of a text. So it must get, within the
time, through all characters, and through long rows of each that its patterns name, which is where patterns go astray.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from tokenizers import Tokenizer

SPECIAL = 20_000  # tokens outside the vocabulary at most, which texts are searched for one by one
LONGEST = 200  # letters or pieces that one step may put in the place of a letter, or around a text
GROWTH = 16  # tokens for a letter, on the whole: four bytes each, in a form or two
ROW = 2000  # letters in a row
ROWS = 60
USUAL = "aA0 \n\t-'.é中ا"


def answer(text: str) -> str | None:
    """What is wrong with it; None where nothing is."""
    try:
        data = json.loads(text)
        made = Tokenizer.from_str(text)
        made.no_padding()
        made.no_truncation()
        if len(data.get("added_tokens") or ()) > SPECIAL:
            return f"it has {len(data['added_tokens']):,} added tokens, and {SPECIAL:,} is the most"
        for part in _parts(data):
            _require_short(part)
        for sample in _samples(data):
            encoding = made.encode(sample)
            if len(encoding.ids) > GROWTH * len(sample) + LONGEST:
                return f"it makes {len(encoding.ids):,} tokens of {len(sample):,} letters"
            if len(made.decode(encoding.ids)) > GROWTH * LONGEST * len(sample):
                return "it makes very long texts of its tokens"
    except MemoryError:
        raise
    except BaseException as error:  # the library raises nothing narrower than Exception, and panics are not even that
        return (str(error).strip() or type(error).__name__).split("\n")[0][:200]
    return None


def _parts(data: Any) -> Iterator[dict[str, Any]]:
    """All settings inside; not the vocabulary, where there may be a million pieces."""
    if isinstance(data, dict):
        yield data
    inside = [value for key, value in data.items() if key != "vocab"] if isinstance(data, dict) else data
    for value in inside:
        if isinstance(value, (dict, list)) and not (isinstance(value, list) and value and isinstance(value[0], str)):
            yield from _parts(value)


def _require_short(part: dict[str, Any]) -> None:
    kind = part.get("type")
    pieces = {"Replace": ("content",), "Prepend": ("prepend",), "TemplateProcessing": ("single", "pair")}
    around = [token.get("ids", ()) for token in (part.get("special_tokens") or {}).values()] if "single" in part else []
    for piece in (*(part.get(name, "") for name in pieces.get(str(kind), ())), *around):
        if len(piece) > LONGEST:
            raise ValueError(f"its {kind} puts in {len(piece):,} letters or pieces, and {LONGEST} is the most")


def _samples(data: Any) -> Iterator[str]:
    patterns = "".join(str(part["Regex"]) for part in _parts(data) if "Regex" in part)
    named = [pattern for pattern in patterns if pattern.isprintable()]
    rows = [sign * ROW for sign in dict.fromkeys([*USUAL, *named])]
    rows += [two * (ROW // 2) for two in dict.fromkeys(map("".join, itertools.pairwise(named)))]
    # What began well must be given up; and an engine looks first whether the letters it must end with are there at all.
    end = f"\x01{''.join(dict.fromkeys(named))}"
    for row in rows[:ROWS]:
        yield row
        yield row + end
    for start in (0, 0xE000):  # but for halves of pairs, which no text has
        yield "".join(map(chr, range(start, start + 0x2000 if start else 0xD800)))
    yield "It's 12:30, naïve café\r\n\r\n  and   so on… 这家酒店 🎬👍🏽 \t" * 20
