"""Recordings of like length together, as many as a budget of seconds allows, without those that cannot be learnt from.

What is longer than the model hears at once, what says more than connectionist temporal classification can put into its
frames (nn/ctc.py), and silence that is said to be speech is left out of training and said. It is measured all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from pervade.core.contracts import Opening, Source, SourceSpec
from pervade.core.contracts.capabilities import Transcribed, able
from pervade.core.errors import DataError
from pervade.core.registry import register
from pervade.data.rows.loader import Loader
from pervade.data.rows.sources.by_length import BudgetSampler
from pervade.data.sound import recordings, sound_files
from pervade.nn.frames import frames_of

LOOSE = 0.1  # of a recording's length, by which it may come to stand among others
NEAR = 0.8  # of the frames that a recording has by rule of thumb: what needs more is looked at in earnest


@register("source")
@dataclass(frozen=True)
class Utterances(SourceSpec):
    """`seconds` is the budget of a batch, padding included; None: the batch size times the mean length of a row."""

    seconds: Annotated[float, Field(ge=0.1, le=86400)] | None = None

    def open(self, opening: Opening) -> Source:
        """Raises DataError where nothing is left."""
        domain = able(opening.context.domain, Transcribed)
        faults = _known_faults(opening)
        rows = opening.rows.select([i for i, fault in enumerate(faults) if fault is None])
        if len(opening.rows) and not len(rows):
            first = next(fault for fault in faults if fault is not None)
            raise DataError(f"nothing is left to learn from; the first row, {opening.rows.column('id')[0]}: {first[1]}")
        lengths = np.array(rows.column("size"), np.int64)
        mean = float(lengths.mean()) if len(lengths) else 1.0
        # As many rows as asked for on average, though cuts keep room for lengths that stray from their order.
        budget = self.seconds * domain.rate if self.seconds else opening.batch_size * mean * (1 + LOOSE)
        sampler = BudgetSampler(lengths, max(round(budget), 1), opening.batch_size, opening.world, opening.seed, LOOSE)
        return Loader.opened(opening, rows, sampler)

    def remarks(self, opening: Opening) -> list[str]:
        """What is left out, by reason, with the first row's numbers."""
        named_by_fault: dict[str, list[str]] = {}
        for name, fault in zip(opening.rows.column("id"), _known_faults(opening), strict=True):
            if fault is not None:
                named_by_fault.setdefault(fault[0], []).append(f"{name}: {fault[1]}")
        return [
            f"left out of training, and measured all the same: {len(names):,} of {len(opening.rows):,} recordings "
            f"{why} (the first, {names[0]})"
            for why, names in named_by_fault.items()
        ]


def _known_faults(opening: Opening) -> list[tuple[str, str] | None]:
    """Looked for once: it takes every recording's samples, and runs of the network."""
    if "faults" not in opening.noted:
        opening.noted["faults"] = _faults(opening)
    faults: list[tuple[str, str] | None] = opening.noted["faults"]
    return faults


def _faults(opening: Opening) -> list[tuple[str, str] | None]:
    """Of each row why it cannot be learnt from, as a kind and in numbers; None where it can."""
    domain = able(opening.context.domain, Transcribed)
    frames = _counter(opening, domain.rate)
    longest = domain.chunk_samples
    faults: list[tuple[str, str] | None] = []
    for row in opening.rows:
        size, needed = row["size"], domain.frames_needed(row["text"])
        seconds = size / domain.rate
        if size > longest:
            why = f"are longer than the {longest / domain.rate:g} s that are heard at once (domain.chunk)"
            faults.append((why, f"{seconds:.1f} s"))
        elif not needed:
            faults.append(("have nothing in their transcripts that the model can write", repr(row["text"][:50])))
        elif sound_files.silent(recordings.samples(row, domain.rate)):
            faults.append(("are silent, and have transcripts", repr(row["text"][:50])))
        elif frames(size, needed) < needed:
            numbers = f"{seconds:.2f} s make {frames(size, needed)} frames, and its transcript needs {needed}"
            faults.append(("say more than can be aligned", numbers))
        else:
            faults.append(None)
    return faults


def _counter(opening: Opening, second: int) -> Callable[[int, int], int]:
    """Frames of a recording of `size` samples: by rule of thumb where these are many more than the `needed` ones."""
    frames_of_size: dict[int, int] = {}
    per_sample = frames_of(opening.model, second) / second

    def frames(size: int, needed: int) -> int:
        thumb = int(size * per_sample)
        if needed < NEAR * thumb:
            return thumb
        if size not in frames_of_size:
            frames_of_size[size] = frames_of(opening.model, size)
        return frames_of_size[size]

    return frames
