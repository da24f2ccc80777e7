"""Sound on the page: what is drawn and played, by numbers worked out here."""

from __future__ import annotations

import base64
import html
import io
import re
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pervade.data.sound import player
from pervade.report import sound
from pervade.report.sound import ByteBudget, Clip
from tests.sound_run import RATE, voice


def tone(hertz: float, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def wav(frames: bytes, width: int, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((channels, width, RATE, 0, "NONE", ""))
        file.writeframes(frames)
    return buffer.getvalue()


def embedded(markup: str, kind: str) -> list[bytes]:
    found = re.findall(rf"data:{kind};base64,([A-Za-z0-9+/=]+)", html.unescape(markup))
    return [base64.b64decode(each) for each in found]


@pytest.mark.parametrize(
    ("width", "frames"),
    [
        (1, bytes([128, 192, 0])),  # unsigned: 0, half, the lowest
        (2, np.array([0, 1 << 14, -(1 << 15)], "<i2").tobytes()),
        (3, bytes([0, 0, 0, 0, 0, 0x40, 0, 0, 0x80])),
        (4, np.array([0, 1 << 30, -(1 << 31)], "<i4").tobytes()),
    ],
)
def test_every_width_is_read_alike(width: int, frames: bytes) -> None:
    assert sound.read(wav(frames, width)).samples.tolist() == [0.0, 0.5, -1.0]


def test_channels_become_their_mean() -> None:
    both = np.array([0, 1 << 14, 1 << 14, 1 << 14], "<i2").tobytes()
    assert sound.read(wav(both, 2, channels=2)).samples.tolist() == [0.25, 0.5]


@pytest.mark.parametrize("hertz", [300, 1000, 3000])
def test_a_tone_stands_at_its_height_in_mel(hertz: int) -> None:
    found = sound.spectrogram(Clip(tone(hertz), RATE), frames=20, bands=64)
    # Bands are evenly spaced in mel from 0 to half the rate; 1 kHz of 4 kHz is 1000 of 2146 mel.
    mel, top = (2595 * np.log10(1 + each / 700) for each in (hertz, RATE / 2))
    assert abs(int(found.mean(1).argmax()) - (mel / top * 65 - 1)) <= 1
    assert found.max() == 0


def test_time_runs_from_left_to_right() -> None:
    clip = Clip(np.concatenate([np.zeros(RATE // 2), tone(1000)]), RATE)
    found = sound.spectrogram(clip, frames=40)
    assert (found[:, :19] == -sound.DEPTH).all()
    assert (found[:, 21:].max(0) > -1).all()


def test_the_picture_has_low_tones_at_its_foot_and_is_small() -> None:
    png = sound.picture_of(Clip(tone(200), RATE))
    assert len(png) < 12_000
    grey = np.asarray(Pillow.open(io.BytesIO(png)).convert("L"))
    assert grey.shape == (sound.BANDS, sound.FRAMES)
    assert grey.mean(1).argmax() > 0.8 * sound.BANDS


def test_silence_is_dark_and_said() -> None:
    shown = sound.element(player.wav(np.zeros(800), RATE), "quiet")
    assert "it is silent" in shown
    assert len(set(np.asarray(Pillow.open(io.BytesIO(embedded(shown, "image/png")[0]))).ravel().tolist())) == 1


def test_a_sound_is_played_as_it_is_and_named() -> None:
    data = player.wav(voice(0.4), RATE)
    shown = sound.element(data, '<b>"one"</b>')
    assert embedded(shown, "audio/wav") == [data]
    assert "<b>" not in shown
    assert "Spectrogram of &lt;b&gt;" in shown
    assert re.findall(r">([0-9.]+(?: s)?)</span>", shown) == ["0.0", "0.1", "0.2", "0.3 s"]
    assert re.findall(r">(\d+ k?Hz)</span>", shown) == ["250 Hz", "500 Hz", "1 kHz", "2 kHz"]


def test_a_large_one_is_played_at_a_lower_rate() -> None:
    data = player.wav(tone(1000, seconds=6.0, rate=44_100), 44_100)
    (small,) = embedded(sound.element(data, "long"), "audio/wav")
    clip = sound.read(small)
    assert len(small) <= sound.MOST_BYTES
    assert clip.seconds == pytest.approx(6.0, abs=0.01)
    inside = clip.samples[clip.rate : 2 * clip.rate]
    assert np.abs(np.fft.rfft(inside)).argmax() == 1000
    assert np.abs(inside).max() == pytest.approx(0.5, abs=0.01)


def test_what_is_cut_is_said() -> None:
    shown = sound.element(player.wav(tone(500, seconds=30.0), RATE), "endless")
    assert "the first 6 s of 30 s" in shown
    assert sound.read(embedded(shown, "audio/wav")[0]).seconds == 6.0
    beginning = player.wav(tone(500, seconds=6.0), RATE)
    assert "the first 6 s of 8.4 s" in sound.element(beginning, "longer", seconds=8.4)
    assert "the first" not in sound.element(beginning, "whole", seconds=6.0)


@pytest.mark.parametrize("data", [b"RIFF", player.wav(np.zeros(0), RATE)])
def test_what_is_no_sound_costs_only_itself(data: bytes) -> None:
    assert sound.element(data, "broken")


def test_a_page_has_room_for_so_many_and_says_how_many_it_left_out() -> None:
    data = player.wav(voice(0.5), RATE)
    room = ByteBudget(left=2 * len(data))
    shown = [sound.element(data, "one of four", room) for _ in range(4)]
    assert ["<audio" in each for each in shown] == [True, True, False, False]
    assert all("data:image/png" in each for each in shown)
    assert room.sentence().startswith("The last 2 recordings are shown without a player")
    assert ByteBudget().sentence() == ""


def test_the_same_sound_gives_the_same_bytes(tmp_path: Path) -> None:
    data = player.wav(voice(0.5), RATE)
    assert sound.element(data, "a") == sound.element(data, "a")
