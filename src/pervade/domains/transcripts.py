"""Recordings and what is said in them: whole for training, in chunks that overlap where they are long.

The one path from a file to a model's input: decode to one channel at `rate` (data/sound/sound_files.py). What is longer
than `chunk` seconds is heard in several chunks; each says what half the overlap away from its neighbours lies nearest
to its middle, so that nothing is heard at an edge (tasks/transcribe.py puts the chunks together). Training changes
voice, pace and surroundings (data/sound/sound_augment.py). The alphabet is learnt from the training split, and so,
where it is asked for, is a model of which words follow which (data/text/word_model.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.random import Generator
from pydantic import Field
from torch import nn

from pervade.core.bounds import Decibels
from pervade.core.contracts import Domain, InputSpace, TensorSpec, Waveform, asking
from pervade.core.errors import ConfigError, DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Example, LeftOut, Media, Rows
from pervade.core.words import RECORDINGS, DomainWords
from pervade.data.read import inputs
from pervade.data.sound import player, recordings, sound_augment, sound_files, transcripts
from pervade.data.sound.alphabet import Normalisation, Units, encode, frames_needed, learn, normalised
from pervade.data.sound.pieces import are_groups, bound
from pervade.data.text import characters, texts, word_model
from pervade.nn.entrances import RecordingEntrance

GRID = 0.160  # seconds: chunks begin at multiples of it, and so at the beginning of a frame of any usual model


@register("domain")
@dataclass(frozen=True)
class Transcripts(Domain):
    reads: ClassVar[str] = "recordings with transcripts"
    wording: ClassVar[DomainWords] = RECORDINGS
    rate: Annotated[int, Field(ge=1000, le=48_000)] = 16_000  # samples a second that the model hears
    chunk: Annotated[float, Field(ge=1, le=600)] = 20.0  # seconds that are heard at once; longer rows do not train
    overlap: Annotated[float, Field(ge=0, le=300)] = 4.0  # seconds of one chunk in the next; half a chunk at most
    normalise: Normalisation = "none"  # what is done to transcripts before they are learnt and compared
    units: Units = "characters"  # that are put out; subwords and words begin with the blank before them
    pieces: Annotated[int, Field(ge=2, le=50_000)] = 500  # of subwords or words, the characters among them
    language_model: Literal["none", "words", "characters"] = "none"  # n-grams of these help decoding, if task.beam > 0
    order: Annotated[int, Field(ge=1, le=8)] = 3  # n
    augment: bool = True  # off: training hears what evaluation hears
    # What training changes of each recording, by amounts drawn anew; 0 leaves it as it is.
    speed: Annotated[float, Field(ge=0, le=1)] = 0.15  # at most so much faster and higher, and as much slower and lower
    pace: Annotated[float, Field(ge=0, le=1)] = 0.0  # likewise, at the same height
    equalise: Annotated[float, Field(ge=0, le=30)] = 4.0  # decibels, deviation of what another microphone does to six
    # parts of the spectrum
    # Decibels an octave, deviation of how steep the spectrum is; `tilt` in files and settings
    spectral_tilt: Annotated[float, Field(ge=0, le=12)] = field(default=2.0, metadata={"name": "tilt"})
    noise: Annotated[float, Field(ge=0, le=1)] = 0.5  # of so many recordings gets some: white, pink or browner
    noise_ratio: tuple[Decibels, Decibels] = (5.0, 40.0)  # decibels that the recording is above it: from, to
    file_column: str | None = None  # of a table; None: found by name
    text_column: str | None = None  # likewise
    times: bool = True  # columns of times, where a table has them, say which piece of its recording a row is; off:
    # rows are whole recordings
    group_column: str | None = None  # likewise: who speaks
    group_pattern: str | None = None  # or what of a file's name says so (data/read/patterns.py)
    split_column: str | None = None  # or the column of a table that says which split a row is in; "none" for none
    alphabet: tuple[str, ...] = ()  # what each piece spells, "" the blank first; learnt, or a published model's
    words: str = ""  # SHA-256 of the n-grams, which lie beside preprocess.json

    def __post_init__(self) -> None:
        if self.overlap > self.chunk / 2:
            raise ConfigError(
                f"domain.overlap {self.overlap:g} is more than half of domain.chunk {self.chunk:g}; lower the one or "
                "raise the other"
            )
        if self.noise_ratio[0] > self.noise_ratio[1]:
            raise ConfigError(f"domain.noise_ratio {list(self.noise_ratio)} falls; write the smaller number first")

    @property
    def repeats(self) -> bool:
        return not self.augment

    # reading

    @property
    def _columns(self) -> transcripts.Columns:
        columns = self.file_column, self.text_column, self.group_column, self.group_pattern, self.split_column
        return transcripts.Columns(*columns, self.times)

    def read(self, source: Any) -> tuple[Rows, list[LeftOut]]:
        """A table or folder with transcripts."""
        rows, left_out = transcripts.read(source, self._columns)
        return bound(rows), left_out

    def asked(self, given: str, number: int = 1) -> Iterable[dict[str, Any] | LeftOut]:
        """A file, a table or a folder."""
        return inputs.files(given, recordings.contents(self.file_column, self.times))

    def fields(self) -> tuple[asking.Field, ...]:
        return (asking.Field("input", "sound", "Recording of speech", tuple(sorted(sound_files.SUFFIXES))),)

    def sent(self, given: Mapping[str, Any], name: str, number: int = 1) -> dict[str, Any] | LeftOut:
        return {"id": name, "path": given["input"]}

    def prepare(
        self, rows: Rows, progress: Callable[[int, int], None], keep: bool = True
    ) -> tuple[Rows, list[LeftOut]]:
        """Takes control characters out of transcripts; leaves out those of which nothing is left once normalised."""
        if "text" not in rows:
            return recordings.prepare(rows, self.rate, progress, keep)
        made = [self._cleaned(str(text)) for text in rows.column("text")]
        good = [i for i, entry in enumerate(made) if isinstance(entry, tuple)]
        left_out = [LeftOut(str(rows.column("id")[i]), entry) for i, entry in enumerate(made) if isinstance(entry, str)]
        if not good:
            raise DataError(f"no transcript can be used; the first, {left_out[0].source}: {left_out[0].reason}")
        kept = rows.select(good).with_columns(text=[made[i][0] for i in good])
        kept, unreadable = recordings.prepare(kept, self.rate, progress, keep)
        return kept, [*left_out, *unreadable]

    def _cleaned(self, text: str) -> tuple[str] | str:
        """The transcript, or in one line why it cannot be used."""
        cleaned = texts.clean(text)
        if isinstance(cleaned, str):
            return cleaned.replace("it ", "its transcript ", 1)
        if not normalised(cleaned[0], self.normalise):
            return f"nothing is left of its transcript {cleaned[0][:50]!r} (domain.normalise {self.normalise!r})"
        return (cleaned[0],)

    # learning from the training split

    def fit(self, train: Rows) -> Transcripts:
        """The alphabet, unless a published model brought one, and the n-grams."""
        learnt = [self.spelling(text) for text in train.column("text")]
        known = self.alphabet or learn(learnt, self.units, self.pieces)
        words = ""
        if self.language_model != "none":
            words = word_model.keep(word_model.learn(learnt, self.language_model, self.order))
        return replace(self, alphabet=known, words=words)

    def inputs(self) -> Waveform:
        return Waveform(self.rate, pooled=False)

    def assets(self) -> Mapping[str, str]:
        return {word_model.file_name(self.words): word_model.text_of(self.words)} if self.words else {}

    def attach(self, folder: Path) -> None:
        if self.words:
            word_model.attach(folder, self.words)

    def remarks(self, rows: Rows) -> list[str]:
        """Recordings that are silent or too loud, characters that cannot be written, rows heard in chunks."""
        told = recordings.remarks(rows, self.rate)
        splits = list(rows.column("split")) if "split" in rows else ["train"] * len(rows)
        for split in dict.fromkeys(splits):
            there = [t for t, name in zip(rows.column("text"), splits, strict=True) if name == split]
            strange = [encode(self.alphabet, self.spelling(text))[1] for text in there]
            signs = sorted({sign for text in strange for sign in text})
            if signs:
                shown = ", ".join(map(repr, signs[:10])) + (" …" if len(signs) > 10 else "")
                told.append(
                    f"{sum(map(bool, strange)):,} of {len(there):,} transcripts of the {split} split hold characters "
                    f"that the alphabet has not ({shown}); they cannot be written, and count as errors where measured"
                )
        several = sum(size > self.chunk_samples for size in rows.column("size"))
        if several:
            told.append(
                f"{several:,} of {len(rows):,} recordings are longer than {self.chunk:g} s and are heard in chunks "
                f"that overlap by {self.overlap:g} s"
            )
        if "group" not in rows or are_groups(rows.columns):
            told.append(
                "who speaks is not known: where the same speakers stand in training and test, figures flatter; "
                "--group-pattern or --group-by says who"
            )
        return told

    # transcripts

    def spelling(self, text: str) -> str:
        """The transcript as it is learnt and compared."""
        return normalised(text, self.normalise)

    def frames_needed(self, text: str) -> int:
        return frames_needed(encode(self.alphabet, self.spelling(text))[0])

    # examples

    @property
    def chunk_samples(self) -> int:
        """A multiple of the grid where there is more than one."""
        return max(round(self.chunk / GRID), 1) * round(GRID * self.rate)

    @property
    def overlap_samples(self) -> int:
        """Even on the grid, so that its half begins a frame too."""
        return round(self.overlap / (2 * GRID)) * 2 * round(GRID * self.rate)

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """Input (t,) float32 in -1..1; "start" and "whole", where it begins in the recording and how long that is, in
        samples; "target" (l,) int64, the pieces of the transcript, and "reference", its characters."""
        samples = recordings.samples(row, self.rate)
        known: Example = {}
        if "text" in row:
            reference = self.spelling(row["text"])
            known["target"] = np.array(encode(self.alphabet, reference)[0], np.int64)
            known["reference"] = reference
        if rng is not None:
            wave = recordings.scaled(samples[:])
            wave = self._augmented(wave, rng) if self.augment else wave
            return [{"input": wave, "start": 0, "whole": len(wave), **known}]
        starts = self._starts(len(samples))
        chunks = (recordings.scaled(samples[start : start + self.chunk_samples]) for start in starts)
        return [
            {"input": chunk, "start": start, "whole": len(samples), **known}
            for start, chunk in zip(starts, chunks, strict=True)
        ]

    def _starts(self, samples: int) -> range:
        if samples <= self.chunk_samples:
            return range(1)
        step = self.chunk_samples - self.overlap_samples
        return range(0, samples - self.overlap_samples, step)

    def _augmented(self, wave: np.ndarray, rng: Generator) -> np.ndarray:
        if self.speed:
            wave = sound_augment.speed(wave, (1.0 + self.speed) ** rng.uniform(-1.0, 1.0))
        if self.pace:
            wave = sound_augment.stretch(wave, (1.0 + self.pace) ** rng.uniform(-1.0, 1.0), self.rate)
        if self.equalise or self.spectral_tilt:
            wave = sound_augment.microphone(wave, self.equalise, self.spectral_tilt, self.rate, rng)
        return sound_augment.surroundings(wave, self.noise, self.noise_ratio, rng)

    def takes(self) -> tuple[TensorSpec, ...]:
        return recordings.takes(self.rate, f", at most {self.chunk:g} s")

    def entrance(self) -> nn.Module:
        return RecordingEntrance()

    def feeds(self, row: dict[str, Any]) -> list[dict[str, np.ndarray]]:
        """Each of its chunks."""
        return [recordings.fed(example["input"]) for example in self.transform(row, None)]

    def specimen(self) -> dict[str, np.ndarray]:
        return recordings.specimen(2 * self.rate)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """ "input" (n, 1, t) float32; "mask" (n, t) where lengths differ; "start", "size" and "whole" (n,) in samples;
        "target" (n, l), filled up with blanks, "length" (n,) of them, "reference" as characters."""
        lengths = [len(example["input"]) for example in examples]
        waves = np.zeros((len(examples), 1, max(lengths)), np.float32)
        for number, example in enumerate(examples):
            waves[number, 0, : lengths[number]] = example["input"]
        size = torch.tensor(lengths)
        batch: Batch = {"input": torch.from_numpy(waves), "size": size}
        if min(lengths) < max(lengths):
            batch["mask"] = torch.arange(max(lengths)) < size[:, None]
        for name in ("start", "whole"):
            batch[name] = torch.tensor([int(example[name]) for example in examples])
        if "target" in examples[0]:
            counts = [len(example["target"]) for example in examples]
            target = np.zeros((len(examples), max(counts)), np.int64)
            for number, example in enumerate(examples):
                target[number, : counts[number]] = example["target"]
            batch |= {"target": torch.from_numpy(target), "length": torch.tensor(counts)}
            batch["reference"] = characters.to_tensor([example["reference"] for example in examples])
        return batch

    # looking inside

    def input_space(self) -> InputSpace:
        return InputSpace(-1.0, 1.0, "waveform, -1 to 1")

    def show(self, row: dict[str, Any], prediction: dict[str, Any] | None) -> list[Media]:
        """The beginning of the recording, to listen to."""
        wave = recordings.scaled(recordings.samples(row, self.rate)[: round(player.SECONDS * self.rate)])
        return [Media("wav", player.wav(wave, self.rate), str(row["id"]))]
