"""Recordings and what is said in them, as tokens of a published model that writes them one after the other (Whisper).

What is longer than `chunk` seconds is cut, when it is written down, at the quietest place in the last tenth of each
chunk, so that no word is likely to be cut in two; the pieces' texts are joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.random import Generator
from pydantic import Field

from pervade.core.bounds import Token
from pervade.core.contracts import Waveform
from pervade.core.registry import register
from pervade.core.types import Example, Rows
from pervade.data.sound import recordings
from pervade.data.text import vocabulary
from pervade.domains.transcripts import Transcripts
from pervade.weights import tokenizers

LISTENED = 0.05  # seconds over which loudness is measured


@register("domain")
@dataclass(frozen=True)
class Dictation(Transcripts):
    """`prompt` is what every text begins with, `end` what ends it, by number."""

    chunk: Annotated[float, Field(ge=1, le=600)] = 30.0
    overlap: Annotated[float, Field(ge=0, le=300)] = 0.0
    length: Annotated[int, Field(ge=2, le=65536)] = 448  # tokens of a text, with prompt and end; what is longer is cut
    tokenizer_from: str = ""  # a model's name or folder
    prompt: tuple[Token, ...] = ()
    end: Token = 0
    never: tuple[Token, ...] = ()  # tokens that are not written,
    not_first: tuple[Token, ...] = ()  # or not at the beginning
    tokenizer: str = ""  # SHA-256 of the tokenizer, which lies beside preprocess.json

    def fit(self, train: Rows) -> Dictation:
        return replace(self, tokenizer=vocabulary.keep(tokenizers.read(self.tokenizer_from)))

    def inputs(self) -> Waveform:
        return replace(super().inputs(), vocabulary=vocabulary.size(self.tokenizer))

    def assets(self) -> Mapping[str, str]:
        return {vocabulary.file_name(self.tokenizer): vocabulary.text_of(self.tokenizer)} if self.tokenizer else {}

    def attach(self, folder: Path) -> None:
        if self.tokenizer:
            vocabulary.attach(folder, self.tokenizer)

    def remarks(self, rows: Rows) -> list[str]:
        return recordings.remarks(rows, self.rate)

    @property
    def chunk_samples(self) -> int:
        return round(self.chunk * self.rate)

    def frames_needed(self, text: str) -> int:
        """Tokens need no frames of their own."""
        return int(bool(self.spelling(text)))

    def tokens(self, text: str) -> list[int]:
        """A text as it is learnt: prompt, tokens, end."""
        made = vocabulary.tokenizer(self.tokenizer).encode(f" {text}", add_special_tokens=False).ids
        return [*self.prompt, *made[: self.length - len(self.prompt) - 1], self.end]

    def text(self, tokens: list[int]) -> str:
        """Without what is no text, such as times."""
        return str(vocabulary.tokenizer(self.tokenizer).decode(tokens, skip_special_tokens=True)).strip()

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """As its base; "target" (l,) int64 are tokens."""
        wave = recordings.wave(row, self.rate)
        known: Example = {}
        if "text" in row:
            reference = self.spelling(row["text"])
            known = {"target": np.array(self.tokens(reference), np.int64), "reference": reference}
        if rng is not None:
            wave = self._augmented(wave, rng) if self.augment else wave
            return [{"input": wave[: self.chunk_samples], "start": 0, "whole": len(wave), **known}]
        ends = cuts(wave, self.chunk_samples, self.rate)
        pairs = zip([0, *ends], [*ends, len(wave)], strict=True)
        return [{"input": wave[start:end], "start": start, "whole": len(wave), **known} for start, end in pairs]


def cuts(wave: np.ndarray, longest: int, rate: int) -> list[int]:
    """Where a recording (t,) is cut into pieces of `longest` samples at most.

    >>> loud = np.ones(250)
    >>> loud[95:98] = 0
    >>> cuts(loud, 100, 40)
    [97, 196]
    """
    starts: list[int] = []
    start, width = 0, max(round(LISTENED * rate), 1)
    while len(wave) - start > longest:
        first = start + longest - longest // 10
        heard = np.square(wave[first : start + longest].astype(np.float64))
        sums = np.concatenate([[0.0], heard.cumsum()])
        loudness = sums[width:] - sums[:-width]
        # Of places that are equally quiet the last but the window's half.
        quietest = len(loudness) - 1 - int(np.argmin(loudness[::-1]))
        start = first + quietest + (width + 1) // 2
        starts.append(start)
    return starts
