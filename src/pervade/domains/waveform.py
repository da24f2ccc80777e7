"""Sounds to learn to make: samples as mu-law codes, each foretold from those before it and from what the sound is.

What a sound is: its class (class folders, `--label-pattern`, a column of a table), its speaker where known
(`--group-pattern`, `--group-by`), and, frame by frame of `hop` samples, how far one has come in it and how long it is
("place"), or its mel bands ("mel"). Training leaves the speaker out now and then, so that somebody whom it does not
know can be foretold as well.

Axis letters: n rows, t samples, f frames, k numbers that say where in the sound a frame is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.random import Generator
from pydantic import Field

from pervade.core.bounds import Seconds
from pervade.core.contracts import Codes, Domain, PlainFeatures, asking
from pervade.core.errors import nearest
from pervade.core.registry import register
from pervade.core.types import Batch, Example, LeftOut, Media, Rows
from pervade.core.words import RECORDINGS, DomainWords
from pervade.data.read import inputs, label_names, listing, tables
from pervade.data.read.targets import ordered
from pervade.data.sound import mu_law, pieces, player, recordings, sound_files
from pervade.data.sound.sound_files import Long
from pervade.data.text.corpus import IGNORED
from pervade.nn.mel import LogMel

WAVES = 8  # half waves over the whole of a sound, that say where in it a frame is
PLACE = WAVES + 3
BANDS = 40  # of a mel condition
Length = Annotated[float, Field(ge=0.01, le=86_400)]  # seconds
SHORTEST = 0.05  # seconds that are made at least


@register("domain")
@dataclass(frozen=True)
class Waveform(Domain):
    reads: ClassVar[str] = "sounds to be made"
    wording: ClassVar[DomainWords] = RECORDINGS
    rate: Annotated[int, Field(ge=1000, le=48_000)] = 8000  # samples a second
    seconds: Annotated[Length, Field(le=60)] = 1.0  # that training takes of a recording at once, from anywhere
    measured: Length = 60.0  # of one recording, from its beginning, that is measured
    context: Annotated[int, Field(ge=0, le=10**6)] = (
        2048  # samples before a window that are heard and not asked for; no more than
    )
    # the network looks back on are of use
    hop: Annotated[int, Field(ge=1, le=48000)] = 80  # samples of a frame, which share what is said of their place
    local: Literal["place", "mel", "none"] = "place"  # what is known of each frame besides
    unknown: Annotated[float, Field(ge=0, le=1)] = 0.2  # of the examples in training come without their speaker
    label_column: str | None = None  # of a table; None: found by name
    file_column: str | None = None  # likewise
    times: bool = True  # columns of times, where a table has them, say which piece of its recording a row is; off:
    # rows are whole recordings
    label_pattern: str | None = None  # what of a file's name is its label (data/read/patterns.py); None: its folder
    group_pattern: str | None = None  # likewise, who speaks
    group_column: str | None = None  # or the column of a table that says so; None: found by name
    split_column: str | None = None  # or the column of a table that says which split a row is in; "none" for none
    join_spellings: bool = (
        False  # labels that differ in case, width and blanks alone are one (data/read/label_names.py)
    )
    labels: tuple[str, ...] = ()  # learnt from the training split
    speakers: tuple[str, ...] = ()  # likewise; empty where it is not known who speaks
    lengths: tuple[tuple[Seconds, Seconds], ...] = ()  # seconds of each label's recordings: median and 95th percentile

    @property
    def given(self) -> str:  # type: ignore[override]
        return "FILE -o FOLDER" if self.local == "mel" else "LABEL -o FOLDER"

    # reading

    def read(self, source: Any) -> tuple[Rows, list[LeftOut]]:
        """A folder or table with labels."""
        patterns = self.label_pattern, self.group_pattern, self.group_column, self.split_column
        wanted = tables.Wanted("class", self.label_column, None, *patterns)
        rows, left_out = listing.read(source, recordings.contents(self.file_column, self.times), wanted)
        rows = label_names.settle(pieces.bound(rows), "class", self.join_spellings, known=self.labels)
        return rows, left_out

    def asked(self, given: str, number: int = 1) -> Iterable[tables.Record | LeftOut]:
        """A "target" to be made, and the speaker, which may stand behind a slash (seven/anna), as its "group"; or
        recordings to hear again: a file, a table or a folder."""
        if self.local == "mel":
            return inputs.files(given, recordings.contents(self.file_column, self.times))
        label, _, speaker = given.partition("/")
        why = self._unknown(label, speaker)
        return [LeftOut(given, why) if why else {"id": given, "target": label, "group": speaker or None}]

    def fields(self) -> tuple[asking.Field, ...]:
        if self.local == "mel":
            return (asking.Field("input", "sound", "Recording", tuple(sorted(sound_files.SUFFIXES))),)
        return (asking.Field("input", "label", "Label, or label/speaker"),)

    def sent(self, given: Mapping[str, Any], name: str, number: int = 1) -> dict[str, Any] | LeftOut:
        if self.local == "mel":
            return {"id": name, "path": given["input"]}
        return next(iter(self.asked(given["input"], number)))

    def _unknown(self, label: str, speaker: str) -> str | None:
        """Why it cannot make this, None where it can."""
        if label not in self.labels:
            return f"it learnt no label {label!r}; {nearest(label, self.labels)}"
        if speaker and speaker not in self.speakers:
            return (
                f"it learnt from no speaker {speaker!r} (nor can it sound like one who was kept to measure it by); "
                f"{nearest(speaker, self.speakers)}"
            )
        return None

    def prepare(
        self, rows: Rows, progress: Callable[[int, int], None], keep: bool = True
    ) -> tuple[Rows, list[LeftOut]]:
        if "path" not in rows:
            return rows, []
        return recordings.prepare(rows, self.rate, progress, keep, whole=self.local == "mel")

    def codes(self, row: dict[str, Any], most: int | None = None) -> np.ndarray:
        """(t,) uint8 of a prepared recording, of at most so many samples from its beginning."""
        return _encoded(recordings.samples(row, self.rate)[:most])

    # learning from the training split

    def fit(self, train: Rows) -> Waveform:
        """The labels, their usual lengths, and who speaks."""
        targets = np.array([str(label) for label in train.column("target")])
        seconds = np.asarray(train.column("size"), np.float64) / self.rate
        labels = ordered(set(targets.tolist()))
        usual = [np.quantile(seconds[targets == label], (0.5, 0.95)) for label in labels]
        known = "group" in train and not pieces.are_groups(train.columns)
        groups = {str(group) for group in train.column("group")} if known else set()
        return replace(
            self,
            labels=labels,
            lengths=tuple((round(float(a), 4), round(float(b), 4)) for a, b in usual),
            speakers=tuple(sorted(groups)),
        )

    def inputs(self) -> Codes:
        local = {"place": PLACE, "mel": BANDS, "none": 0}[self.local]
        return Codes(self.rate, mu_law.CODES, self.hop, len(self.labels), len(self.speakers), local)

    def remarks(self, rows: Rows) -> list[str]:
        told = recordings.remarks(rows, self.rate)
        long = sum(size > self._most for size in rows.column("size"))
        if long:
            told.append(
                f"of {long:,} of {len(rows):,} recordings the first {self.measured:g} s alone are measured; "
                "-o domain.measured takes more"
            )
        if not self.speakers:
            told.append("who speaks is not known, so voices are mixed; --group-pattern or --group-by says who")
        return told

    def plain_features(self, train: Rows, rows: Rows) -> PlainFeatures | None:
        """The codes themselves, for a compressor."""
        if "path" not in rows:
            return None
        return PlainFeatures("codes", None, [self.codes(row, self._most) for row in rows])

    @property
    def _most(self) -> int:
        """Samples of one recording that are measured."""
        return max(round(self.measured * self.rate), 1)

    # examples

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """Training takes one window from anywhere; otherwise each sample is foretold once, by windows that overlap by
        `context`. A row without a recording, or with one that is not kept, is a sound to make."""
        known = self.known(row)
        if row.get("path") is None:
            length = self.length_of(str(row["target"]))
            return [{**known, "length": length, "local": self.place(length)}]
        samples = recordings.samples(row, self.rate)
        bands = self._bands(samples) if self.local == "mel" else None
        if "hash" not in row:
            return [{**known, "length": len(samples), "local": self.place(len(samples)) if bands is None else bands}]
        if rng is None:
            return [{**window, **known} for window in self._windows(samples, bands)]
        if self.speakers and rng.random() < self.unknown:
            known["speaker"] = 0
        frames = max(-(-len(samples) // self.hop) - self._at_once // self.hop, 0)
        start = int(rng.integers(0, frames + 1)) * self.hop
        return [{**self._window(samples, bands, start, start + self._at_once), **known}]

    @property
    def _at_once(self) -> int:
        """Samples that a window asks for, whole frames."""
        return max(round(self.seconds * self.rate) // self.hop, 1) * self.hop

    def _windows(self, samples: np.ndarray | Long, bands: np.ndarray | None) -> Iterator[Example]:
        most = min(len(samples), self._most)
        for start in range(0, most, self._at_once):
            yield self._window(samples, bands, start, min(start + self._at_once, most))

    def _window(self, samples: np.ndarray | Long, bands: np.ndarray | None, start: int, stop: int) -> Example:
        """Asks for the codes from `start` on. Before the first stands silence. No more is made into codes than is
        heard, however long the recording."""
        first = max(start - -(-self.context // self.hop) * self.hop, 0)
        codes = _encoded(samples[max(first - 1, 0) : stop])
        if first == 0:
            codes = np.r_[np.uint8(mu_law.SILENCE), codes]
        target = codes[1:].astype(np.int64)
        target[: start - first] = IGNORED
        frames = slice(first // self.hop, first // self.hop + -(-len(target) // self.hop))
        local = self.place(len(samples), frames) if bands is None else bands[frames]
        return {"input": codes[:-1], "target": target, "local": local}

    def known(self, row: dict[str, Any]) -> Example:
        """ "class" and "speaker" as the network numbers them, from 1; 0 is unknown."""
        label, speaker = row.get("target"), row.get("group")
        return {
            "class": self.labels.index(str(label)) + 1 if str(label) in self.labels else 0,
            "speaker": self.speakers.index(str(speaker)) + 1 if str(speaker) in self.speakers else 0,
        }

    def length_of(self, label: str) -> int:
        """Samples of a sound that is made: as long as the middle one of its label, in whole frames."""
        seconds = self.lengths[self.labels.index(label)][0]
        return max(round(max(seconds, SHORTEST) * self.rate / self.hop), 1) * self.hop

    def _bands(self, samples: np.ndarray | Long) -> np.ndarray:
        """(f, k) float32: mel bands of what the codes of the whole recording tell."""
        layer = LogMel(self.rate, BANDS, hop=self.hop / self.rate, normalise="none")
        wave = torch.from_numpy(mu_law.decode(_encoded(samples[:])))[None, None]
        bands: np.ndarray = layer(wave)[0][0].t().numpy() / 4.0
        return bands

    def place(self, length: int, frames: slice = slice(None)) -> np.ndarray:
        """(f, k) float32: where each frame of a sound of `length` samples is: half waves over the whole, the share that
        has gone by, seconds gone by and in all. Nothing (f, 0) where that is not told."""
        start = np.arange(-(-length // self.hop))[frames] * self.hop
        if self.local != "place":
            return np.zeros((len(start), 0), np.float32)
        share = start / max(length, 1)
        waves = [np.cos(np.pi * number * share) for number in range(1, WAVES + 1)]
        seconds = [start / self.rate, np.full(len(start), length / self.rate)]
        return np.stack([*waves, share, *seconds], 1).astype(np.float32)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """ "input": {"codes" (n, t), "class" (n,), "speaker" (n,), "local" (n, f, k)}; "target" (n, t) the code after
        each. What is shorter is filled up with silence that is not asked for. Of sounds to make "length" (n,) stands in
        place of the codes."""
        to_make = "length" in examples[0]
        whole = ("class", "speaker", "length") if to_make else ("class", "speaker")
        given: dict[str, Any] = {name: torch.tensor([example[name] for example in examples]) for name in whole}
        given["local"] = _filled([example["local"] for example in examples], 0.0)
        if to_make:
            return {"input": given}
        given["codes"] = _filled([example["input"].astype(np.int64) for example in examples], mu_law.SILENCE)
        return {"input": given, "target": _filled([example["target"] for example in examples], IGNORED)}

    # looking inside

    def show(self, row: dict[str, Any], prediction: dict[str, Any] | None) -> list[Media]:
        """The beginning of the recording, to listen to."""
        wave = mu_law.decode(self.codes(row, round(player.SECONDS * self.rate)))
        return [Media("wav", player.wav(wave, self.rate), str(row["id"]))]


def _encoded(samples: np.ndarray) -> np.ndarray:
    return mu_law.encode(recordings.scaled(samples))


def _filled(arrays: Sequence[np.ndarray], value: float) -> torch.Tensor:
    """(n, longest, …): arrays of different lengths, filled up at the end."""
    whole = np.full((len(arrays), max(map(len, arrays)), *arrays[0].shape[1:]), value, arrays[0].dtype)
    for number, array in enumerate(arrays):
        whole[number, : len(array)] = array
    return torch.from_numpy(whole)
