"""The worlds of the toys: small domains, each made from a seed so that chance cannot solve it and a minute can.

Sizes that a network, a task or a score must know as well stand before the domain they belong to.
"""

import math

import numpy as np
import pyarrow.parquet as pq
import torch

from pervade.core.types import Rows
from tests.toys import corridor
from tests.toys.base import ToyDomain, toy


@toy("domain", "toy-xor")
class Xor(ToyDomain):
    """Two classes that no straight line divides."""

    labels: tuple[str, ...] = ("0", "1")

    def make(self, rng):
        points = rng.uniform(-1, 1, (600, 2)).astype("float32")
        return {"input": points.tolist(), "target": [str(int(x * y > 0)) for x, y in points]}


FRAMES, SYMBOLS = 16, 4  # symbol 0 is CTC's blank


@toy("domain", "toy-beeps")
class Beeps(ToyDomain):
    """Noisy sounds of 2 to 4 symbols, each held for one or two frames and followed by as much silence."""

    size = SYMBOLS + 1

    def make(self, rng):
        columns = {"input": [], "mask": [], "symbols": [], "length": []}
        for _ in range(400):
            length = int(rng.integers(2, 5))
            symbols = rng.integers(1, SYMBOLS + 1, length)
            frames = np.concatenate([np.repeat([s, 0], rng.integers(1, 3, 2)) for s in symbols])[:FRAMES]
            sound = np.eye(SYMBOLS + 1)[np.pad(frames, (0, FRAMES - len(frames)))] + rng.normal(0, 0.2, (FRAMES, 5))
            columns["input"].append(sound.astype("float32").tolist())
            columns["mask"].append([i < len(frames) for i in range(FRAMES)])
            columns["symbols"].append([*symbols.tolist(), *[0] * (4 - length)])
            columns["length"].append(length)
        return columns


TOKENS, WINDOW, STRIDE, MARK = 30, 12, 6, 9  # of a context: its length, the model's, their distance, the answer's token


@toy("domain", "toy-contexts")
class Contexts(ToyDomain):
    """Contexts longer than the model, read through overlapping windows; the answer is where MARK stands."""

    def make(self, rng):
        tokens, places = rng.integers(0, MARK, (400, TOKENS)), rng.integers(0, TOKENS, 400)
        tokens[np.arange(400), places] = MARK
        return {"input": tokens.tolist(), "target": places.tolist()}

    def transform(self, row, rng):
        starts = range(0, TOKENS - WINDOW + 1, STRIDE)
        if rng is not None:  # training reads one window that holds the answer
            starts = [rng.choice([s for s in starts if s <= row["target"] < s + WINDOW])]
        keys = ("input", "target", "start")
        window = [(row["input"][s : s + WINDOW], row["target"] - s, s) for s in starts]
        return [dict(zip(keys, map(torch.tensor, each), strict=True)) for each in window]


NUMBERS, LENGTH = 7, 8  # how many numbers there are, and how many make a text


@toy("domain", "toy-counting")
class Counting(ToyDomain):
    """Counting in steps, modulo NUMBERS: the first two numbers tell all others."""

    def make(self, rng):
        pairs = [(a, b) for a in range(NUMBERS) for b in range(NUMBERS)] * 8
        return {"input": [[(a + (b - a) * i) % NUMBERS for i in range(LENGTH)] for a, b in pairs]}


@toy("domain", "toy-numbers")
class Numbers(ToyDomain):
    """Noise to make numbers from, and real numbers around 3."""

    def make(self, rng):
        return {"input": rng.normal(0, 1, (512, 2)).tolist(), "real": rng.normal(3, 0.5, (512, 1)).tolist()}


@toy("domain", "toy-clusters")
class Clusters(ToyDomain):
    """Points around four corners, one of which is frequent."""

    def make(self, rng):
        corners = rng.choice([[-1, -1], [-1, 1], [1, -1], [1, 1]], 500, p=[0.7, 0.1, 0.1, 0.1])
        return {"input": (corners + rng.normal(0, 0.1, (500, 2))).astype("float32").tolist()}


CODES = 8
EVEN_GUESS = math.log(CODES)  # nats that a code costs where none is preferred


@toy("domain", "toy-codes")
class Codes(ToyDomain):
    """The codes that another run predicted, read from its predictions file."""

    size = 1

    def read(self, source):
        table = pq.read_table(source)
        return Rows({"id": table["id"].to_pylist(), "target": table["code"].to_pylist()}), []

    def transform(self, row, rng):
        return [{"input": torch.zeros(1), "target": torch.tensor(row["target"])}]


PEOPLE, PICTURES = 12, 30  # pictures of each


@toy("domain", "toy-people")
class People(ToyDomain):
    """What tells people apart lies in two directions; four louder ones are noise."""

    size = 6

    def make(self, rng):
        count = PEOPLE * PICTURES
        faces = rng.normal(0, 1, (PEOPLE, 2)).repeat(PICTURES, 0) + rng.normal(0, 0.1, (count, 2))
        noise = rng.normal(0, 3, (count, 4))
        target = [str(i) for i in np.repeat(np.arange(PEOPLE), PICTURES)]
        return {"input": np.concatenate([faces, noise], 1).astype("float32").tolist(), "target": target}


@toy("domain", "toy-sight-and-sound")
class SightAndSound(ToyDomain):
    """Two modalities, neither of which alone tells the class."""

    labels: tuple[str, ...] = ("0", "1")

    def make(self, rng):
        sight, sound = rng.choice([-1.0, 1.0], 600), rng.choice([-1.0, 1.0], 600)
        return {"sight": sight.tolist(), "sound": sound.tolist(), "target": [str(int(t)) for t in sight * sound > 0]}

    def collate(self, examples):
        columns = super().collate(examples)
        return {"input": {name: columns[name][:, None] for name in ("sight", "sound")}, "target": columns["target"]}


@toy("domain", "toy-corridor")
class Corridor(ToyDomain):
    """A row is an episode of the evaluation."""

    size = corridor.CELLS

    def make(self, rng):
        return {"input": [0] * 20}
