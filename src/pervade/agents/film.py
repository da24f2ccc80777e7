"""An episode to look at: what the environment draws, what the policy made of it, and a file of it (gif, or mp4)."""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.nn import Module

from pervade.agents import spaces, worlds
from pervade.agents.episodes import SLOTS
from pervade.core import files
from pervade.core import seed as random
from pervade.core.contracts.abilities import Acts
from pervade.core.contracts.capabilities import Acting
from pervade.core.errors import ConfigError, DataError
from pervade.core.types import Json, Media
from pervade.core.words import counted
from pervade.nn import actions
from pervade.nn.policy import responder

MOST_FRAMES = 200  # of a film in the report; of one that is asked for, ten times as many
MOST_BYTES = 700_000  # so that the page stays small
SIDE = 240  # pixels of a film's longer side in the report; of one that is asked for, twice as many
MOST_POINTS = 300  # of the curves beside it
MOST_STEPS = 2000  # of an episode that others wait for
COLOURS = 64


class Reel:
    """Pictures of at most `side` pixels, at most `most` of them: once there are more every second one is dropped, and
    of those to come as well, so that no episode is too long."""

    def __init__(self, most: int = MOST_FRAMES, side: int = SIDE) -> None:
        self.most, self.side = most, side
        self.frames: list[np.ndarray] = []
        self.every, self.seen = 1, 0
        self.rate = 30.0  # frames a second, as the environment draws them

    def take(self, draw: Callable[[], Any]) -> None:
        """As `add`, of what `draw` gives, which is not asked of a picture that would be dropped."""
        if self.seen % self.every:
            self.seen += 1
        else:
            self.add(draw())

    def add(self, picture: Any) -> None:
        """What `render` gave; anything but a picture (h, w, 3) is passed by."""
        if not isinstance(picture, np.ndarray) or picture.ndim != 3:
            return
        if self.seen % self.every == 0:
            self.frames.append(_fit(np.array(picture[..., :3], np.uint8), self.side))
        self.seen += 1
        if len(self.frames) > self.most:
            self.frames = self.frames[::2]
            self.every *= 2

    def gif(self) -> bytes:
        return gif(self.frames, self.rate / self.every)

    def stills(self) -> list[bytes]:
        """Each picture as a PNG, of the colours of the gif."""
        return [_png(picture) for picture in _quantised(self.frames)]

    def small(self) -> bytes:
        """A gif for a page, of fewer pictures where it would be large."""
        every = 1
        while True:
            data = gif(self.frames[::every], self.rate / self.every / every)
            if len(data) <= MOST_BYTES or len(self.frames) // every <= 25:
                return data
            every *= 2


@dataclass(frozen=True)
class RecordedEpisode:
    """One episode."""

    seed: int
    inner: dict[str, np.ndarray]  # chances or values of the actions (t, k), the state's value (t,)
    rewards: np.ndarray
    cut: bool

    def told(self) -> dict[str, Json]:
        """Its figures, and `inner` at every so many steps."""
        every = max(1, -(-len(self.rewards) // MOST_POINTS))
        curves = {name: np.round(curve[::every].astype(np.float64), 4).tolist() for name, curve in self.inner.items()}
        total = float(self.rewards.sum())
        return {"seed": self.seed, "return": total, "length": len(self.rewards), "every": every, **curves}

    def as_detail(self, reel: Reel) -> dict[str, Json]:
        """As the results keep it; the film is `Media`, which goes to a file."""
        film: Any = None
        if reel.frames:
            told = f"seed {self.seed}, {counted(len(self.rewards), 'step')}, return {self.rewards.sum():g}"
            film = Media("gif", reel.small(), told)
        return {**self.told(), "film": film}


def watch(
    task: Acts,
    model: Module,
    domain: Acting,
    seed: int,
    drawn: bool = False,
    reel: Reel | None = None,
    most: int | None = None,
) -> RecordedEpisode:
    """The episode by this seed, played as it is measured; with a `reel`, what the environment draws goes there. After
    `most` steps it is broken off, and counts as cut."""
    space = spaces.unpacked(domain.action)
    plan = domain.plan(count=1, training=False, processes=0, episodes=((seed,),), render=reel is not None)
    try:
        opened = worlds.InProcess(plan)
    except DataError:
        if reel is None:
            raise
        return watch(task, model, domain, seed, drawn, most=most)  # one that cannot draw may still be played
    generator = random.generator(seed, 11)
    respond, names = responder(model), task.shown(space)
    inner: dict[str, list[np.ndarray]] = {}
    rewards: list[float] = []
    try:
        seen = opened.reset()
        if reel is not None:
            reel.rate = float(opened.worlds[0].env.metadata.get("render_fps") or 30)
            reel.take(opened.render)
        while True:
            padded = np.concatenate([seen, np.zeros((SLOTS - 1, *seen.shape[1:]), seen.dtype)])
            output = {name: part[:1] if part.ndim > 1 else part for name, part in respond(padded, names).items()}
            for name, values in task.inner(output, space).items():
                inner.setdefault(name, []).append(values[0])
            noise = task.noise(space, (), generator)[None] if drawn else None
            step = opened.step(actions.outward(task.act(output, space, noise), space))
            rewards.append(float(step.rewards[0]))
            seen = step.observations
            if 0 in step.finals or len(rewards) == most:
                break
            if reel is not None:
                reel.take(opened.render)
        cut = 0 not in step.finals or any(episode.cut for episode in opened.finished())
    finally:
        opened.close()
    return RecordedEpisode(seed, {name: np.stack(values) for name, values in inner.items()}, np.array(rewards), cut)


def still_by_still(task: Acts, model: Module, domain: Acting, seed: int) -> dict[str, Any]:
    """The episode as it is shown picture by picture (`serve.served.Plays`), broken off after MOST_STEPS."""
    reel = Reel()
    seen = watch(task, model, domain, seed, reel=reel, most=MOST_STEPS)
    stills = [base64.b64encode(still).decode() for still in reel.stills()]
    return {**seen.told(), "cut": seen.cut, "frames": stills, "frames_every": reel.every, "rate": reel.rate}


def _fit(frame: np.ndarray, side: int) -> np.ndarray:
    height, width = frame.shape[:2]
    scale = min(1.0, side / max(height, width))
    if scale == 1.0:
        return frame
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS, reducing_gap=1.0))


def gif(frames: Sequence[np.ndarray], rate: float) -> bytes:
    pictures = _quantised(frames)
    buffer = io.BytesIO()
    # Browsers show nothing faster than 50 a second.
    duration = max(round(1000 / max(rate, 1e-3)), 20)
    pictures[0].save(
        buffer, "GIF", save_all=True, append_images=pictures[1:], duration=duration, loop=0, optimize=False
    )
    return buffer.getvalue()


def _quantised(frames: Sequence[np.ndarray]) -> list[Image.Image]:
    """One palette for all frames, so that what stands still is not stored again."""
    if not frames:
        return []
    first = Image.fromarray(np.concatenate([frames[0], frames[len(frames) // 2], frames[-1]]))
    palette = first.quantize(COLOURS)
    return [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def save(path: Path, reel: Reel) -> None:
    """Writes a gif, or an mp4 where ffmpeg is installed. Raises as `check` does, DataError without frames."""
    check(path)
    if not reel.frames:
        raise DataError("the environment draws nothing (it has no render_mode rgb_array), so there is no film of it")
    if path.suffix == ".mp4":
        _mp4(path, reel.frames, reel.rate / reel.every)
        return
    with files.replacing(path) as temporary:
        temporary.write_bytes(reel.gif())


def check(path: Path) -> None:
    """Raises ConfigError where no such film can be written here."""
    if path.suffix not in (".gif", ".mp4"):
        raise ConfigError(f"--video {str(path)!r}: films are written as .gif or .mp4")
    if path.suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise ConfigError("--video with .mp4 needs the program ffmpeg, which is not installed; write a .gif")


def _mp4(path: Path, frames: Sequence[np.ndarray], rate: float) -> None:
    height, width = (side - side % 2 for side in frames[0].shape[:2])  # the codec takes even sides alone
    with files.replacing(path) as temporary:
        made = subprocess.run(
            [
                *("ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"),
                *("-s", f"{width}x{height}", "-r", f"{rate:g}", "-i", "-", "-pix_fmt", "yuv420p", "-f", "mp4"),
                str(temporary),
            ],
            input=b"".join(np.ascontiguousarray(frame[:height, :width]).tobytes() for frame in frames),
            capture_output=True,
            check=False,
        )
        if made.returncode:
            raise DataError(f"ffmpeg could not write {path}: {made.stderr.decode(errors='replace').strip()[:300]}")
