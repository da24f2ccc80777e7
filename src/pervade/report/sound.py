"""A recording on the page: its spectrogram with both axes, and a player. Everything lies inside the page.

The picture is drawn here from the very sound that is played, in log-mel bands as a model of sound sees it. Sounds are
large, so a page has room for so many bytes of them: what is over is shown as a picture alone, and the page says so.

Axis letters: t samples, f frames, b bands.
"""

from __future__ import annotations

import base64
import io
import wave
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from PIL import Image

from pervade.data.sound import player
from pervade.nn.mel import mel_filters
from pervade.report import chart, wording
from pervade.report.html import render

MOST_BYTES = 100_000  # of one sound: 6 s of 16 bits at 8 kHz; one that is larger is played at a lower rate
PAGE_BYTES = 1_200_000  # of all sounds of one section, 1.6 MB as they stand in the page
LONGEST = player.SECONDS  # that are shown and played
HEADER = 64  # bytes of a wav beside its samples, and some for rounding
LOWEST_RATE = 8000  # samples a second, a telephone's: below that speech is hard to follow

FRAMES, BANDS = 240, 64  # pixels of a picture at least; of a long sound it is wider
HOP, WIDEST = 0.0125, 480  # seconds between two of its frames at most, and pixels that this may take
WINDOW = 0.025  # seconds
DEPTH = 65.0  # decibels below the loudest that can still be seen
LEVELS = 24  # colours of a picture: as many as the eye tells apart here, and few so that it stays small
HERTZ = (250, 500, 1000, 2000, 4000, 8000, 16000)  # that may be named beside the picture

# From black over purple and orange to pale yellow: ever lighter, so that it can be read without seeing colours.
COLOURS = (
    *((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99)),
    *((212, 72, 66), (245, 125, 21), (250, 193, 39), (252, 255, 164)),
)


@dataclass(frozen=True)
class Clip:
    """Mono sound: `samples` (t,) float64 in -1..1, `rate` samples a second."""

    samples: np.ndarray
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


@dataclass
class ByteBudget:
    """How many bytes of sound a section may still take, and how many sounds found no place."""

    left: int = PAGE_BYTES
    refused: int = 0

    def take(self, data: bytes) -> bool:
        if len(data) > self.left:
            self.refused += 1
            return False
        self.left -= len(data)
        return True

    def sentence(self, one: str = "recording", many: str = "recordings") -> str:
        """Empty where all of them can be played."""
        if not self.refused:
            return ""
        which = f"The last {one} is" if self.refused == 1 else f"The last {wording.count(self.refused)} {many} are"
        return f"{which} shown without a player: with all their sounds this page would be too large to send around."


TEMPLATE = """\
<div class="sound">
{% if picture %}
<div class="spectrum"><div class="hertz" aria-hidden="true">{% for at, text in hertz %}
<span style="bottom:{{ at }}%">{{ text }}</span>{% endfor %}</div>
<img src="{{ picture }}" alt="{{ words }}">
<div class="seconds" aria-hidden="true">{% for at, text in seconds %}
<span style="left:{{ at }}%">{{ text }}</span>{% endfor %}</div></div>
{% endif %}
{% if source %}<audio controls preload="metadata" aria-label="{{ label }}" src="{{ source }}"></audio>
{% else %}<p class="note">{{ why }}</p>{% endif %}
{% if cut %}<small class="block">the first {{ cut }} s of {{ whole }} s</small>{% endif %}
</div>"""


def element(data: bytes, label: str, room: ByteBudget | None = None, seconds: float | None = None) -> Markup:
    """Picture and player of a wav; `label` names it for those who cannot see, and `seconds` is how long the recording
    is that it may be the beginning of. What cannot be drawn (a wav of floating numbers, say) is played alone."""
    label = wording.label(label or "the recording", 120)
    try:
        clip = read(data)
    except (wave.Error, EOFError, ValueError):
        if len(data) > MOST_BYTES:
            return render('<div class="missing">a sound that is too large to be shown here</div>')
        return _filled(data, label, room)
    if not len(clip.samples):
        return render('<div class="missing">there is no sound in it</div>')
    whole = clip.seconds
    if whole > LONGEST + 0.1:
        clip = Clip(clip.samples[: round(LONGEST * clip.rate)], clip.rate)
    fits = len(data) <= MOST_BYTES and clip.seconds == whole
    return _filled(data if fits else smaller(clip), label, room, clip, max(whole, seconds or 0.0))


def smaller(clip: Clip) -> bytes:
    """A wav of it, of as few bytes as a page may hold of one."""
    small = _small(clip)
    return player.wav(small.samples, small.rate)


def _filled(data: bytes, label: str, room: ByteBudget | None, clip: Clip | None = None, whole: float = 0.0) -> Markup:
    plays = room is None or room.take(data)
    picture, words = "", ""
    if clip is not None:
        picture = f"data:image/png;base64,{base64.b64encode(picture_of(clip)).decode()}"
        words = f"Spectrogram of {label}: {clip.seconds:.2g} s, frequencies up to {clip.rate // 2:,} Hz"
        words += "" if clip.samples.any() else "; it is silent"
    return render(
        TEMPLATE,
        picture=picture,
        words=words,
        label=label,
        hertz=[] if clip is None else _hertz(clip.rate),
        seconds=[] if clip is None else _seconds(clip.seconds),
        source=f"data:audio/wav;base64,{base64.b64encode(data).decode()}" if plays else "",
        why="not played here, for the size of the page",
        cut=f"{clip.seconds:.3g}" if clip is not None and clip.seconds < whole - 0.1 else "",
        whole=wording.number(whole),
    )


# the sound


def read(data: bytes) -> Clip:
    """A wav of 8, 16, 24 or 32 bits; of several channels their mean. Raises wave.Error, EOFError or ValueError."""
    with wave.open(io.BytesIO(data)) as file:
        channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
        raw = file.readframes(file.getnframes())
    if rate <= 0 or width not in (1, 2, 3, 4):
        raise ValueError(f"{8 * width} bits at {rate} samples a second")
    raw = raw[: len(raw) - len(raw) % (width * channels)]
    if width == 1:  # the only one without a sign
        values = np.frombuffer(raw, np.uint8).astype(np.float64) / 128 - 1
    else:
        wide = np.zeros((len(raw) // width, 4), np.uint8)
        wide[:, 4 - width :] = np.frombuffer(raw, np.uint8).reshape(-1, width)
        values = wide.view("<i4")[:, 0].astype(np.float64) / 2**31
    return Clip(values.reshape(-1, channels).mean(1), rate)


def _small(clip: Clip) -> Clip:
    """At the highest rate whose bytes are allowed, but never below a telephone's."""
    rate = int(min(clip.rate, max((MOST_BYTES - HEADER) / 2 / clip.seconds, LOWEST_RATE)))
    if rate >= clip.rate:
        return clip
    # What the lower rate cannot hold is cut off in the spectrum, so that nothing folds back.
    spectrum = np.fft.rfft(clip.samples)
    length = max(round(len(clip.samples) * rate / clip.rate), 1)
    made = np.fft.irfft(spectrum[: length // 2 + 1], length) * (length / len(clip.samples))
    return Clip(made, rate)


# the picture


def spectrogram(clip: Clip, frames: int = FRAMES, bands: int = BANDS) -> np.ndarray:
    """(b, f) decibels below the loudest, 0 to -DEPTH, the lowest band first. The frames' middles are evenly spaced over
    the clip. All of silence is -DEPTH."""
    length = max(round(WINDOW * clip.rate), 8)
    size = 2 << (length - 1).bit_length()  # twice as fine as the window asks for, so that low bands are smooth
    padded = np.pad(clip.samples, (length // 2, length))
    starts = ((np.arange(frames) + 0.5) * len(clip.samples) / frames).astype(np.int64)
    cut = padded[starts[:, None] + np.arange(length)] * np.hanning(length)
    power = np.abs(np.fft.rfft(cut, size)) ** 2
    energies = mel_filters(clip.rate, size, bands, 0.0, clip.rate / 2).astype(np.float64) @ power.T
    loudest = energies.max()
    if loudest <= 1e-12:
        return np.full((bands, frames), -DEPTH)
    decibels: np.ndarray = np.maximum(10 * np.log10(np.maximum(energies / loudest, 1e-12)), -DEPTH)
    return decibels


def picture_of(clip: Clip) -> bytes:
    """A png with the lowest band at its foot; dark is quiet."""
    frames = min(max(FRAMES, round(clip.seconds / HOP)), WIDEST)
    shade = np.round((1 + spectrogram(clip, frames) / DEPTH) * (LEVELS - 1)).astype(np.uint8)[::-1]
    anchors = np.linspace(0, 1, len(COLOURS))
    places = np.linspace(0, 1, LEVELS)
    colours = np.stack([np.interp(places, anchors, [colour[i] for colour in COLOURS]) for i in range(3)], axis=1)
    picture = Image.fromarray(np.ascontiguousarray(shade))
    picture.putpalette(np.round(colours).astype(np.uint8).reshape(-1).tolist())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _hertz(rate: int) -> list[tuple[str, str]]:
    """Places in percent of the height: as the bands, evenly spaced in mel (see nn/mel.py)."""
    top = np.log1p(rate / 2 / 700)
    there = [hertz for hertz in HERTZ if hertz <= 0.85 * rate / 2][-4:]
    return [(f"{100 * np.log1p(hertz / 700) / top:.1f}", _short(hertz)) for hertz in there]


def _short(hertz: int) -> str:
    return f"{hertz // 1000} kHz" if hertz >= 1000 else f"{hertz} Hz"


def _seconds(length: float) -> list[tuple[float, str]]:
    """Places in percent of the width; the last of them names the unit."""
    ticks = chart.Axis("", 0.0, length, 0.0, 100.0).ticks
    ticks = [tick for tick in ticks if tick[0] <= 92] or ticks[:1]
    return [*ticks[:-1], (ticks[-1][0], f"{ticks[-1][1]} s")]
