"""How much an input may be once it is unpacked. A picture of a few kilobytes may hold gigabytes of pixels, and six
megabytes of FLAC sixty hours of silence; both say so in their heads, which is looked at before anything is decoded."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

from pervade.serve.faults import Fault
from pervade.serve.served import Field, Given
from pervade.serve.settings import Settings

USUAL = 96_000  # samples a second: two channels of 48,000


def require(inputs: Sequence[Given], fields: Sequence[Field], settings: Settings) -> None:
    """Raises Fault (413), naming the input, where one is larger than `settings` let it be. What is damaged passes: the
    model's own reader says what is wrong with it. Takes milliseconds a file; to be called in a thread."""
    if len(inputs) > settings.max_inputs:
        raise _too_much(
            f"{len(inputs):,} inputs were sent, and {settings.max_inputs:,} are taken at once", "send fewer"
        )
    for given in inputs:
        for field in fields:
            content = given.content.get(field.name, "")
            if field.kind == "picture" and isinstance(content, bytes):
                _require_picture(given.name, content, settings.max_pixels)
            elif field.kind == "sound" and isinstance(content, bytes):
                _require_sound(given.name, content, settings.max_seconds)
            else:
                length = len(json.dumps(content) if isinstance(content, list) else content)
                _require_text(given.name, length, settings.max_text)


def _require_text(name: str, length: int, most: int) -> None:
    if length > most:
        raise _too_much(f"{name} has {length:,} characters, and {most:,} are read", "send a part of it")


def _require_picture(name: str, content: bytes, most: int) -> None:
    from PIL.Image import DecompressionBombError

    from pervade.data.image import pictures

    try:
        width, height = pictures.size(content)
    except pictures.PictureFault as error:
        if isinstance(error.__context__, DecompressionBombError):  # beyond what Pillow itself opens
            raise _too_much(f"{name} has more pixels than the {most:,} that are decoded", "send it smaller") from None
        return
    if width * height > most:
        raise _too_much(f"{name} has {width:,} x {height:,} pixels, and {most:,} are decoded", "send it smaller")


def _require_sound(name: str, content: bytes, most: float) -> None:
    from pervade.data.sound import sound_files

    soundfile = sound_files.library()
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            frames, rate, channels = file.frames, max(file.samplerate, 1), file.channels
    except (soundfile.SoundFileError, OSError, TypeError, ValueError, RuntimeError):
        return
    if frames >= 2**62:
        raise _too_much(f"{name} does not say how long it is", "write it to a file whose head says so")
    if frames / rate > most:
        raise _too_much(f"{name} is {frames / rate:,.0f} s long, and {most:,.0f} s are heard", "send a part of it")
    if frames * channels > most * USUAL:
        told = f"{name} holds {frames * channels:,} samples, and {most * USUAL:,.0f} are decoded"
        raise _too_much(told, "send it with fewer channels, or fewer samples a second")


def _too_much(told: str, remedy: str) -> Fault:
    return Fault(413, f"{told}; {remedy}")
