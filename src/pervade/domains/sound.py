"""Recordings to be judged as a whole: read from folders or tables, brought to one rate, cut into windows.

The one path from a file to a model's input: decode to one channel at `rate` (data/sound/sound_files.py), a window of
`seconds`. What is shorter stands in its middle, in silence; what is longer gives several windows that overlap by half,
whose answers are averaged. Training takes a window from anywhere, and changes voice, pace and surroundings
(data/sound/sound_augment.py). The spectrum is the model's first layer (nn/mel.py), so the input stays a waveform in
-1..1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.random import Generator
from pydantic import Field

from pervade.core.bounds import Count, Decibels, Deviation, Finite
from pervade.core.contracts import Domain, InputSpace, TensorSpec, Waveform, asking
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Batch, Example, LeftOut, Media, Rows
from pervade.core.words import RECORDINGS, DomainWords
from pervade.data.image.pictures import SUFFIXES as PICTURES
from pervade.data.read import hub, inputs, label_names, listing, tables, targets
from pervade.data.read.targets import Kind
from pervade.data.sound import pieces, player, recordings, sound_augment, sound_files
from pervade.data.sound.sound_files import Long

if TYPE_CHECKING:
    from torch import nn

LONGEST = 5.0  # seconds that a window is learnt to have at most
SHORTEST = 0.1
FARTHEST = 0.85  # of the way from the usual speed to the most that training hears, where views stand


@register("domain")
@dataclass(frozen=True)
class Sound(Domain):
    reads: ClassVar[str] = "recordings with labels"
    cuts: ClassVar[bool] = True
    wording: ClassVar[DomainWords] = RECORDINGS
    rate: Annotated[int, Field(ge=1000, le=48_000)] = 16_000  # samples a second that the model hears
    # Of a window; None: as long as 95 of 100 recordings of the training split, 5 at most
    seconds: Annotated[float, Field(ge=0.01, le=60)] | None = None
    masked: bool = False  # what is shorter than a window stays so, and a mask says what a batch is filled up with; off:
    # silence fills the window, on both sides
    windows: Annotated[int, Field(ge=1, le=10000)] = 20  # of one recording at most, evenly spaced, when it is judged
    views: Literal[1, 3] = (
        1  # 3: evaluation and prediction hear each recording slower and lower, and faster and higher,
    )
    # too, by most of `speed`, and average: a voice that nobody heard in training may be nearer to one that was. They
    # take that many times as long, and training where it is not augmented
    augment: bool = True  # off: training hears what evaluation hears
    # What training changes of each recording, by amounts drawn anew; 0 leaves it as it is.
    speed: Annotated[float, Field(ge=0, le=1)] = 0.3  # at most so much faster and higher, and as much slower and lower
    pitch: Annotated[float, Field(ge=0, le=1)] = 0.0  # at most so much higher or lower, at the same pace
    equalise: Annotated[float, Field(ge=0, le=30)] = 4.0  # decibels, deviation of what another microphone does to six
    # parts of the spectrum
    # Decibels an octave, deviation of how steep the spectrum is; `tilt` in files and settings
    spectral_tilt: Annotated[float, Field(ge=0, le=12)] = field(default=2.0, metadata={"name": "tilt"})
    noise: Annotated[float, Field(ge=0, le=1)] = 0.5  # of so many recordings gets some: white, pink or browner
    noise_ratio: tuple[Decibels, Decibels] = (3.0, 35.0)  # decibels that the recording is above it: from, to
    target: Kind = "class"  # what a row's target is (data/read/targets.py): class, labels or number
    label_column: str | None = None  # of a table; None: found by name
    file_column: str | None = None  # likewise
    times: bool = True  # columns of times, where a table has them, say which piece of its recording a row is; off:
    # rows are whole recordings
    separator: str | None = None  # what parts the labels of one cell of a table; None: found by looking
    join_spellings: bool = (
        False  # labels that differ in case, width and blanks alone are one (data/read/label_names.py)
    )
    positive: str | None = None  # of two classes the one that is looked for; None: the last in their order
    label_pattern: str | None = None  # what of a file's name is its label (data/read/patterns.py); None: its folder
    group_pattern: str | None = None  # likewise, what recordings that belong together have in common: who speaks
    group_column: str | None = None  # or the column of a table that says so; None: found by name
    split_column: str | None = None  # or the column of a table that says which split a row is in; "none" for none
    labels: tuple[str, ...] = ()  # learnt from the training split
    counts: tuple[Count, ...] = ()  # its rows of each label
    rows: Count = 0  # all its rows
    scale: tuple[Finite, Deviation] = (0.0, 1.0)  # mean and deviation of its targets, where these are numbers

    def __post_init__(self) -> None:
        if self.noise_ratio[0] > self.noise_ratio[1]:
            raise ConfigError(
                f"domain.noise_ratio goes from {self.noise_ratio[0]:g} down to {self.noise_ratio[1]:g}; give the lower "
                "one first"
            )

    @property
    def repeats(self) -> bool:
        return not self.augment

    @property
    def length(self) -> int:
        """Samples of a window, known once fitted."""
        return max(round((self.seconds or LONGEST) * self.rate), 2)

    # reading

    def read(self, source: Any) -> tuple[Rows, list[LeftOut]]:
        """A folder or table with labels."""
        patterns = self.label_pattern, self.group_pattern, self.group_column, self.split_column
        wanted = tables.Wanted(self.target, self.label_column, self.separator, *patterns)
        rows, left_out = listing.read(source, self._content, wanted)
        rows = label_names.settle(pieces.bound(rows), self.target, self.join_spellings, self.positive, self.labels)
        return rows, left_out

    @property
    def _content(self) -> tables.Files:
        return recordings.contents(self.file_column, self.times)

    def asked(self, given: str, number: int = 1) -> Iterable[tables.Record | LeftOut]:
        """A file, a table or a folder."""
        return inputs.files(given, self._content)

    def fields(self) -> tuple[asking.Field, ...]:
        return (asking.Field("input", "sound", "Recording", tuple(sorted(sound_files.SUFFIXES))),)

    def sent(self, given: Mapping[str, Any], name: str, number: int = 1) -> dict[str, Any] | LeftOut:
        return {"id": name, "path": given["input"]}

    def prepare(
        self, rows: Rows, progress: Callable[[int, int], None], keep: bool = True
    ) -> tuple[Rows, list[LeftOut]]:
        kept, left_out = recordings.prepare(rows, self.rate, progress, keep, whole=False)
        return kept if keep else kept.with_columns(cut=[self._cut(size) for size in kept.column("size")]), left_out

    def _cut(self, size: int) -> str | None:
        """How much of so many samples is heard, where windows do not cover them."""
        if self._count(size) <= self.windows or self.windows * self.length >= size:
            return None
        return f"{self.windows} windows of {self.length / self.rate:g} s of {size / self.rate:,.0f} s are heard"

    # learning from the training split

    def fit(self, train: Rows) -> Sound:
        """What targets have to be known by, and how long a window is."""
        learnt = targets.learn(self.target, train.column("target"), self.positive)
        usual = float(np.quantile(np.asarray(train.column("seconds"), np.float64), 0.95))
        seconds = self.seconds or round(min(max(usual, SHORTEST), LONGEST), 2)
        return replace(self, **vars(learnt), seconds=seconds)

    def inputs(self) -> Waveform:
        return Waveform(self.rate, None if self.masked else self.length)

    def remarks(self, rows: Rows) -> list[str]:
        told = recordings.remarks(rows, self.rate)
        many = [i for i, size in enumerate(rows.column("size")) if self._count(size) > self.windows]
        if many:
            told.append(
                f"{len(many):,} of {len(rows):,} recordings are so long that {self.windows} windows of "
                f"{self.seconds:g} s, evenly spaced, stand for them when they are judged; -o domain.windows takes more"
            )
        if "group" not in rows or pieces.are_groups(rows.columns):
            told.append(
                "who or what was recorded is not known: where the same speakers stand in training and test, figures "
                "flatter; --group-pattern or --group-by says who, --folds group measures on each in turn"
            )
        return told

    # examples

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """Input (t,) float32 in -1..1."""
        samples = recordings.samples(row, self.rate)
        if rng is None or not self.augment:
            cuts = [cut for faster in self.speeds for cut in self._windows(samples, faster)]
        else:
            cuts = [self._augmented(samples, rng)]
        known = self._target_of(row)
        return [{"input": cut, **known} for cut in cuts]

    def _target_of(self, row: dict[str, Any]) -> Example:
        """ "target" as examples hold it; nothing where the row has none."""
        if "target" not in row:
            return {}
        learnt = targets.Learnt(self.labels, self.counts, self.rows, self.scale)
        return {"target": targets.encode(self.target, row["target"], learnt, row["id"])}

    @property
    def speeds(self) -> tuple[float, ...]:
        """Of the views, as factors; the usual one first."""
        farthest = (1.0 + self.speed) ** FARTHEST
        return (1.0, 1 / farthest, farthest) if self.views == 3 and self.speed else (1.0,)

    def _count(self, samples: int) -> int:
        """Windows that overlap by half in so many samples."""
        beyond = max(samples - self.length, 0)
        return 1 + -(-beyond // max(self.length // 2, 1))

    def _windows(self, samples: np.ndarray | Long, faster: float) -> list[np.ndarray]:
        """One, where it holds the whole recording as it was; else several, each of what fills it at that speed."""
        if len(samples) <= self.length:
            return [self._placed(sound_augment.speed(recordings.scaled(samples[:]), faster))]
        span = min(math.ceil(self.length * faster), len(samples))
        starts = np.linspace(0, len(samples) - span, min(self._count(len(samples)), self.windows)).round().astype(int)
        cuts = [recordings.scaled(samples[start : start + span]) for start in starts]
        return [self._placed(sound_augment.speed(cut, faster)) for cut in cuts]

    def _placed(self, wave: np.ndarray, where: float = 0.5) -> np.ndarray:
        """In a window, by `where` (0-1) of what is cut or added before it."""
        length = min(self.length, len(wave)) if self.masked else self.length
        return sound_augment.place(wave, length, where)

    def _augmented(self, samples: np.ndarray | Long, rng: Generator) -> np.ndarray:
        faster = (1.0 + self.speed) ** rng.uniform(-1.0, 1.0)
        # No more than what is to fill the window is worked on, however long the recording.
        beyond = len(samples) - math.ceil(self.length * faster)
        if beyond > 0:
            start = int(rng.integers(0, beyond + 1))
            samples = samples[start : len(samples) - beyond + start]
        wave = sound_augment.speed(recordings.scaled(samples[:]), faster)
        if self.pitch:
            wave = sound_augment.pitch(wave, (1.0 + self.pitch) ** rng.uniform(-1.0, 1.0), self.rate)
        if self.equalise or self.spectral_tilt:
            wave = sound_augment.microphone(wave, self.equalise, self.spectral_tilt, self.rate, rng)
        power = float(np.square(wave).mean()) if len(wave) else 0.0
        wave = self._placed(wave, rng.uniform())
        return sound_augment.surroundings(wave, self.noise, self.noise_ratio, rng, power)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """ "input" (n, 1, t) float32; where `masked`, "mask" (n, t) bool: True at samples of the recording."""
        import torch

        waves = [example["input"] for example in examples]
        lengths = torch.tensor([len(wave) for wave in waves])
        stacked = np.stack([np.pad(wave, (0, int(lengths.max()) - len(wave))) for wave in waves])
        batch: Batch = {"input": torch.from_numpy(stacked)[:, None]}
        if self.masked:
            batch["mask"] = torch.arange(stacked.shape[1])[None] < lengths[:, None]
        return batch | self._targets(examples)

    def _targets(self, examples: Sequence[Example]) -> Batch:
        if "target" not in examples[0]:
            return {}
        return {"target": targets.stack(self.target, [example["target"] for example in examples])}

    # where it leaves this project

    def takes(self) -> tuple[TensorSpec, ...]:
        heard = f"; of what is longer than {self.length / self.rate:g} s the middle is heard" if not self.masked else ""
        if len(self.speeds) > 1:
            faster = " and ".join(f"{factor:.6g}" for factor in self.speeds[1:])
            heard += f"; as it is, and {faster} times as fast, by soxr.resample(waveform, factor, 1, quality='LQ')"
        return recordings.takes(self.rate, heard, len(self.speeds))

    def entrance(self) -> nn.Module:
        from pervade.nn.entrances import RecordingEntrance

        return RecordingEntrance(None if self.masked else self.length, len(self.speeds))

    def feeds(self, row: dict[str, Any]) -> list[dict[str, np.ndarray]]:
        """Each of its windows, at all speeds."""
        examples, views = self.transform(row, None), len(self.speeds)
        windows = len(examples) // views  # as many at each speed
        return [
            recordings.fed(*(example["input"] for example in examples[number::windows])) for number in range(windows)
        ]

    def specimen(self) -> dict[str, np.ndarray]:
        return recordings.specimen(self.length, len(self.speeds))

    # looking inside

    def input_space(self) -> InputSpace:
        return InputSpace(-1.0, 1.0, "waveform, -1 to 1")

    def show(self, row: dict[str, Any], prediction: dict[str, Any] | None) -> list[Media]:
        """The beginning of the recording, to listen to."""
        wave = recordings.scaled(recordings.samples(row, self.rate)[: round(player.SECONDS * self.rate)])
        return [Media("wav", player.wav(wave, self.rate), str(row["id"]))]


def looks_like_sound(source: Any, file_column: str | None = None) -> bool:
    """Whether DATA is recordings: a folder in which most files are, or a table with a column of them."""
    if not isinstance(source, (str, Path)) or not str(source):
        return False
    if hub.is_address(source):
        return any(name.lower() == "audio" for record in hub.records(str(source))[0][:1] for name in record)
    path = Path(source)
    if path.is_dir():
        there = [file for file in sorted(path.iterdir()) if tables.is_table(file)]
        if there and any(_names_recordings(file, file_column) for file in there):
            return True
        # What is said of each may lie beside it, in one file or two.
        suffixes = frozenset(recordings.contents().suffixes)
        return listing.mostly(path, suffixes, least=0.3) and not listing.mostly(path, frozenset(PICTURES), 0.3)
    return tables.is_table(path) and _names_recordings(path, file_column)


def _names_recordings(path: Path, file_column: str | None) -> bool:
    return bool(recordings.named(path, file_column))
