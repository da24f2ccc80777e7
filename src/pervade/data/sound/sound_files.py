"""From a sound file to samples at one rate, or a reason in plain words why not.

Every kind of file that libsndfile reads (wav, flac, ogg, opus, mp3, aiff …), of any rate, number of channels and sample
format, becomes 16-bit samples of one channel: channels are averaged, and what lies above full scale is scaled down.
A few megabytes may hold days (60 h of silence take 6 MB of FLAC), so what is long is gone through once, piece by piece,
and stays `Long`: its parts are decoded when somebody asks for them.
"""

from __future__ import annotations

import io
import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pervade.core.errors import ConfigError, DataError
from pervade.data.read import embedded

SUFFIXES = frozenset(
    ".wav .wave .flac .ogg .oga .opus .mp3 .aiff .aif .aifc .au .snd .caf .w64 .rf64".split()  # noqa: SIM905
)
FULL = 32767  # the largest sample
BLOCK = 1 << 20  # samples of all channels that are decoded at once
MOST = 1 << 27  # samples of one recording that are held: 2 h 20 min of 16,000 a second, 268 MB
MOST_WHOLE = 1 << 28  # of one that is needed whole, as chunks that overlap: 4 h 40 min
MARGIN = 4096  # samples before and after a part, so that changing the rate does not end at its edges
UNKNOWN = 0x7FFFF000  # bytes: such lengths and larger stand in the header of what was written to a pipe
RATES = (1000, 192_000)  # samples a second, from where to where
CLIPPED = 0.995  # of the largest sample: from there on a sample counts as cut off
MOST_CLIPPED = 1e-3  # share of samples from which a recording counts as clipped


class SoundFault(ValueError):
    """Why a file cannot be used as a recording."""


class Header(NamedTuple):
    rate: int  # samples a second
    channels: int
    seconds: float


class Long:
    """A recording of more than MOST samples (t,) at `rate`, or a part of one, from the sample `first` on: its length
    is known, and slices are decoded as int16."""

    def __init__(self, path: str, rate: int, length: int, peak: float, first: int = 0) -> None:
        self.path, self.rate, self.length, self.peak, self.first = path, rate, length, peak, first

    def __len__(self) -> int:
        return self.length

    def part(self, start: int, stop: int) -> Long:
        return Long(self.path, self.rate, stop - start, self.peak, self.first + start)

    def __getitem__(self, part: slice) -> np.ndarray:
        """Raises DataError where the file went bad, or the part is longer than can be held."""
        start, stop, _ = part.indices(self.length)
        if stop - start > MOST_WHOLE:
            raise DataError(f"{self.path}: {too_long(self.length, self.rate)}")
        start, stop = self.first + start, self.first + stop
        soundfile = library()
        try:
            with soundfile.SoundFile(_open(self.path)) as file:
                common = math.gcd(file.samplerate, self.rate)
                up, down = self.rate // common, file.samplerate // common  # so many samples here are so many there
                first = max(start - MARGIN, 0) // up
                file.seek(first * down)
                left = (-(-(stop + MARGIN) // up) - first) * down
                blocks = [file.read(left, dtype="float32", always_2d=True).mean(1)]
                whole = np.concatenate(list(_resampled(iter(blocks), file.samplerate, self.rate)))
            piece = _sixteen_bit([whole[start - first * up :][: stop - start]], self.peak, self.rate)
        except (soundfile.SoundFileError, OSError, RuntimeError, ValueError) as error:
            raise DataError(f"{self.path} cannot be read any more: {error}; put the data back") from None
        return np.pad(piece, (0, stop - start - len(piece)))


def too_long(length: int, rate: int) -> str:
    """Why a recording of so many samples cannot be used where it is needed whole."""
    hours, most = length / rate / 3600, MOST_WHOLE / rate / 3600
    return f"it is {hours:,.1f} h long, and up to {most:.1f} h are read as one; cut it into parts"


def library() -> Any:
    """soundfile. Raises ConfigError, saying how to install it, where it or soxr is missing."""
    try:
        import soundfile
        import soxr  # noqa: F401  (both come together)
    except (ImportError, OSError) as error:  # OSError: soundfile without its libsndfile
        raise ConfigError(
            f"sound needs the packages soundfile and soxr ({error}); pip install 'pervade[speech]'"
        ) from None
    return soundfile


def decoder() -> str:
    """What samples depend on besides the file; the first number is that of the code below."""
    soundfile = library()
    import soxr

    return f"2, libsndfile {soundfile.__libsndfile_version__}, soxr {soxr.__version__}"


def header(path: str) -> Header | None:
    """What the file says of itself; None where it cannot be read."""
    soundfile = library()
    try:
        with soundfile.SoundFile(_open(path)) as file:
            return Header(file.samplerate, file.channels, file.frames / max(file.samplerate, 1))
    except (soundfile.SoundFileError, OSError, TypeError, ValueError):
        return None


def decode(path: str, rate: int) -> np.ndarray | Long:
    """Samples (t,) int16 at `rate`, or, where these are more than MOST, their place. Raises SoundFault, and OSError
    where the file cannot be opened."""
    soundfile = library()
    source = _open(path)
    size = os.path.getsize(path) if isinstance(source, str) else len(source.getbuffer())  # noqa: PTH202
    if size == 0:
        raise SoundFault("the file is empty (0 bytes)")
    _require_whole(source, size)
    try:
        with soundfile.SoundFile(source) as file:
            if not RATES[0] <= file.samplerate <= RATES[1]:
                raise SoundFault(
                    f"it has {file.samplerate:,} samples a second, and {RATES[0]:,} to {RATES[1]:,} are read"
                )
            peaks: list[float] = []
            pieces: list[np.ndarray] = []
            length = 0
            for piece in _resampled(_blocks(file, peaks), file.samplerate, rate):
                length += len(piece)
                if length <= MOST:
                    pieces.append(piece)
                else:
                    pieces.clear()
            return _sixteen_bit(pieces, max(peaks), rate) if length <= MOST else Long(path, rate, length, max(peaks))
    except SoundFault:
        raise
    except soundfile.LibsndfileError as error:
        if "Format not recognised" in str(error) or "unknown format" in str(error).lower():
            raise SoundFault("this is not a sound file, or of a kind that cannot be read") from None
        raise SoundFault(f"damaged or cut off ({error.error_string.strip().rstrip('.')})") from None
    except (TypeError, ValueError, RuntimeError) as error:
        raise SoundFault(f"damaged ({str(error) or type(error).__name__})") from None


def silent(samples: np.ndarray | Long) -> bool:
    """Whether nothing but at most the lowest bit is there."""
    if isinstance(samples, Long):
        return samples.peak <= 1 / FULL
    return bool(samples.max(initial=0) <= 1 and samples.min(initial=0) >= -1)


def clipped(samples: np.ndarray | Long) -> bool:
    """Whether a thousandth of the samples stands at the largest value and more, as where a recorder was overloaded;
    not asked of long ones."""
    return isinstance(samples, np.ndarray) and bool(
        ((samples >= CLIPPED * FULL) | (samples <= -CLIPPED * FULL)).mean() >= MOST_CLIPPED
    )


def _open(path: str) -> Any:
    return path if embedded.place(path) is None else io.BytesIO(embedded.read(path))


def _blocks(file: Any, peaks: list[float]) -> Iterator[np.ndarray]:
    """One channel (t,) float32, piece by piece; how loud each is goes into `peaks`. Raises SoundFault at what is no
    number, or less than was promised."""
    promised, read = file.frames, 0
    at_once = max(BLOCK // file.channels, 1)
    while True:
        block = file.read(at_once, dtype="float32", always_2d=True)
        if not len(block):
            break
        if not np.isfinite(block).all():
            where = (read + int(np.flatnonzero(~np.isfinite(block).all(1))[0])) / file.samplerate
            raise SoundFault(f"it holds samples that are no numbers (NaN or infinite), the first at {where:.2f} s")
        read += len(block)
        peaks.append(float(max(block.max(), -block.min())))
        yield block.mean(1) if file.channels > 1 else block[:, 0]
    if read == 0:
        raise SoundFault("it holds no sound (0 samples)")
    # Of an mp3 the length is an estimate.
    if read < promised * (0.9 if file.format in ("MP3", "MPEG") else 1.0):
        rate = file.samplerate
        raise SoundFault(f"cut off: it promises {promised / rate:.2f} s, and {read / rate:.2f} s are there")


def _resampled(blocks: Iterator[np.ndarray], rate: int, wanted: int) -> Iterator[np.ndarray]:
    """(t,) float32, piece by piece."""
    if rate == wanted:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _sixteen_bit(pieces: list[np.ndarray], peak: float, rate: int) -> np.ndarray:
    """What goes beyond full scale in the file (`peak`) is scaled down as a whole: samples of a float file may be of any
    size. What another rate alone puts beyond it is cut off, so that what was overloaded can be told. The pieces are
    taken one by one, since of three hours any copy more is 700 MB."""
    whole = np.empty(sum(map(len, pieces)), np.int16)
    if not len(whole):
        raise SoundFault(f"it is shorter than one sample at {rate:,} samples a second")
    place = 0
    for piece in pieces:
        whole[place : place + len(piece)] = np.rint(np.clip(piece * (FULL / max(peak, 1.0)), -FULL, FULL))
        place += len(piece)
    return whole


def _require_whole(source: Any, size: int) -> None:
    """Raises SoundFault where a wav or aiff file is not as long as its header says: libsndfile would read what is
    there, or what was promised, and say nothing."""
    with Path(source).open("rb") if isinstance(source, str) else io.BytesIO(source.getbuffer()) as file:
        start = file.read(12)
        if start[:4] == b"FORM" and len(start) == 12 and 8 + struct.unpack(">I", start[4:8])[0] > size:
            raise SoundFault(
                f"cut off: its header promises {8 + struct.unpack('>I', start[4:8])[0]:,} bytes, not {size:,}"
            )
        if start[:4] != b"RIFF" or start[8:12] != b"WAVE":
            return
        per_second = 0
        while len(chunk := file.read(8)) == 8:
            name, length = chunk[:4], struct.unpack("<I", chunk[4:])[0]
            here = file.tell()
            if name == b"fmt " and length >= 16:
                per_second = struct.unpack("<I", file.read(16)[8:12])[0]
            if name == b"data":
                _judge_length(file, length, size - here, max(per_second, 1))
                return
            file.seek(here + length + length % 2)
    raise SoundFault("cut off: its header is there, and no sound follows")


def _judge_length(file: Any, promised: int, there: int, per_second: int) -> None:
    if promised >= UNKNOWN and there > 0:
        return
    if there < promised:
        raise SoundFault(
            f"cut off: its header promises {promised / per_second:.2f} s, and {there / per_second:.2f} s are there"
        )
    file.seek(promised + promised % 2, os.SEEK_CUR)
    after = file.read(8)
    chunk_follows = len(after) < 8 or (after[:4].isascii() and struct.unpack("<I", after[4:])[0] <= there - promised)
    if not chunk_follows and there - promised > per_second // 10:
        raise SoundFault(
            f"its header speaks of {promised / per_second:.2f} s, and {there / per_second:.2f} s are there; write it "
            "anew with the right length"
        )
