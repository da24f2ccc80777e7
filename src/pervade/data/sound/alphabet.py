"""What a transcript is written in: its spelling made even, and the pieces (letters or longer) that a model puts out.

The number of a piece is its place in the alphabet. Place 0 is CTC's blank and spells nothing, as does any other piece
that is empty (a published model's own signs).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from pervade.data.text import vocabulary

Normalisation = Literal["none", "lower", "upper", "words"]
Units = Literal["characters", "subwords", "words"]

IN_WORDS: dict[str, str] = {
    "none": "composed Unicode, one blank between words, else as written",
    "lower": "composed Unicode, one blank between words, lower case",
    "upper": "composed Unicode, one blank between words, upper case",
    "words": "composed Unicode, one blank between words, lower case, no signs but apostrophes between letters",
}
_BASE = 262  # tokens of a byte-level vocabulary that spell single bytes, or nothing
_APOSTROPHES = re.compile("[‘’ʼ`´]")  # that spell it's
_INSIDE = re.compile(r"(?<=\w)'(?=\w)")
_KEPT = "\ue000"  # of a private plane: stands for an apostrophe that stays


def normalised(text: str, how: Normalisation) -> str:
    """The transcript as it is learnt and compared.

    >>> normalised("  It’s  7,\tSir! ", "words")
    "it's 7 sir"
    """
    text = " ".join(unicodedata.normalize("NFC", text).split())
    if how == "lower":
        return text.lower()
    if how == "upper":
        return text.upper()
    if how == "words":
        text = _INSIDE.sub(_KEPT, _APOSTROPHES.sub("'", text.lower()))
        text = "".join(character if character == _KEPT or _spells(character) else " " for character in text).replace(
            _KEPT, "'"
        )
        return " ".join(text.split())
    return text


def _spells(character: str) -> bool:
    """Letters, the marks upon them, and digits."""
    return unicodedata.category(character)[0] in "LMN"


def learn(texts: Sequence[str], units: Units, size: int) -> tuple[str, ...]:
    """The alphabet of normalised transcripts: their characters, and as subwords also the pieces that byte-pair encoding
    joins first (Sennrich et al. 2016, arXiv:1508.07909), or the most frequent whole words; `size` in all at most,
    unless there are more characters.

    A subword or word begins with the blank before it, and so does a transcript's first.

    >>> learn(["on off", "on"], "words", 100)
    ('', ' ', 'f', 'n', 'o', ' on', ' off')
    """
    letters = sorted({character for text in texts for character in text} | (set() if units == "characters" else {" "}))
    if units == "characters":
        return ("", *letters)
    room = max(size - len(letters) - 1, 0)
    if units == "words":
        counts = Counter(word for text in texts for word in text.split())
        usual = sorted(counts, key=lambda word: (-counts[word], word))[:room]
        return ("", *letters, *(f" {word}" for word in usual))
    pieces = _pieces([f" {text}" for text in texts], room) if room > 0 else []
    return ("", *letters, *pieces)


def _pieces(texts: Sequence[str], most: int) -> list[str]:
    """In the order in which they are joined. The whole bytes of a vocabulary come first and are left out."""
    made = vocabulary.tokenizer(vocabulary.keep(vocabulary.learn(texts, "bpe", _BASE + most)))
    pieces = [made.decode([number]) for number in range(_BASE, made.get_vocab_size())]
    return [piece for piece in pieces if len(piece) > 1 and "\ufffd" not in piece][:most]


@lru_cache(64)
def _by_length(alphabet: tuple[str, ...]) -> tuple[dict[str, int], int]:
    numbers = {piece: number for number, piece in enumerate(alphabet) if piece}
    return numbers, max(map(len, numbers), default=1)


def encode(alphabet: tuple[str, ...], text: str) -> tuple[list[int], list[str]]:
    """The numbers of a normalised text's pieces, the longest that fits first; and the characters that none spells."""
    numbers, longest = _by_length(alphabet)
    text = f" {text}" if longest > 1 and text else text
    tokens, unknown, place = [], [], 0
    while place < len(text):
        for length in range(min(longest, len(text) - place), 0, -1):
            number = numbers.get(text[place : place + length])
            if number is not None:
                tokens.append(number)
                place += length
                break
        else:
            unknown.append(text[place])
            place += 1
    return tokens, unknown


def decode(alphabet: tuple[str, ...], numbers: Iterable[int]) -> str:
    """The text that pieces spell.

    >>> decode(("", " ", "a", " b"), [3, 2, 0, 1])
    'ba'
    """
    return " ".join("".join(alphabet[number] for number in numbers).split())


def frames_needed(numbers: Sequence[int]) -> int:
    """Frames that CTC needs to spell these: one each, and a blank between two of the same.

    >>> frames_needed([1, 1, 2])
    4
    """
    return len(numbers) + sum(a == b for a, b in pairwise(numbers))
