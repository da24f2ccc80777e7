"""What a network that had no part in it says of pictures that were made: the judge.

It is a run inside the run, members/judge: a given one, or a small classifier that learns first, from the same training
split. Where there are no two classes to learn from, it is a small network of random weights (as in Naeem et al. 2020,
arXiv:2002.09797), which is said wherever its features are. All pictures go to it the same way, those made, those of the
data, and those that stand for chance: as 8 bits a channel, scaled to its own size.

Axis letters as everywhere (core/types.py); m rows of the training split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import BatchNorm2d, Module
from torch.nn import functional as F

from pervade.core import seed, spec
from pervade.core.contracts import Canvas, Context, Domain, Model, Pixels, Recipe
from pervade.core.contracts import inputs as kinds
from pervade.core.contracts.abilities import ChoosesClass
from pervade.core.contracts.capabilities import Normalised, able, labels_of
from pervade.core.errors import ConfigError
from pervade.core.types import Rows, Table
from pervade.data.rows.loader import Loader
from pervade.domains.image import Image
from pervade.engine import building
from pervade.metrics import generation
from pervade.nn.backbone import Backbone, ShowsFeatures

Kept = TypeVar("Kept")

MEMBER = "judge"
RANDOM = "a small network of random weights"  # as it is called
NETWORK = "small-cnn"
# Of a judge that learns first: how many pictures it looks at, in how many passes at least and at most.
LOOKS, FEWEST, MOST = 120_000, 2, 25
ROWS = 20_000  # of the training split, drawn by chance, that pictures are compared with, at most
LARGEST = 32  # pixels of a side; larger pictures are made smaller before pixels are compared
AT_ONCE = 256  # pictures that go through the network together
BLOCK = 1024  # of which distances to all of the training split are held together


def name_of(given: str, domain: Domain) -> str:
    """What the judge is called in every figure's words. `given`: the run that was named, else empty."""
    if given:
        *_, run, folder, name = ("", "", *Path(given).parts)
        return f"the judge of the run {run}" if folder == "members" else f"the network of the run {name}"
    if len(labels_of(domain)) > 1:
        return "a small classifier of the same training split"
    return RANDOM


def recipes(domain: Domain) -> Mapping[str, Recipe]:
    """How the judge learns, from the rows of the fitted `domain`, by its member's name: as pictures of up to about 48
    pixels are classified (recipes/image.py), in few passes. Nothing where there are no two classes."""
    if len(labels_of(domain)) < 2:
        return {}
    pictures = able(domain, Image)
    seen = {name: getattr(pictures, name) for name in spec.field_names(Image)}
    learnt = {"labels": (), "counts": (), "rows": 0, "mean": (), "deviation": ()}
    reads = Image(**{**seen, **learnt, "crop_area": 1.0, "shift": max(pictures.size // 14, 1), "views": 1})
    passes = min(max(round(LOOKS / max(pictures.rows, 1)), FEWEST), MOST)
    settings = {
        "domain": spec.encode(reads),
        "task": {"use": "classify", "smoothing": 0.1},
        "model": NETWORK,
        "optimizer": {"use": "muon", "lr": 0.02, "weight_decay": 5e-4},
        "schedule": {"use": "one-cycle", "rise": 0.2},
        "init": "random",
        "source": "dataset",
        "tuning": {"use": "full", "decay_all": False},
        "average": 0.99,
        "early_stopping": {"metric": "accuracy", "every": max(passes // 5, 1)},
        "epochs": passes,
        "batch_size": 64,
    }
    return {MEMBER: spec.decode(settings, Recipe)}


@dataclass(frozen=True)
class Judge:
    network: Module
    inputs: Pixels
    task: ChoosesClass | None  # None: it names no classes
    labels: Sequence[str]
    key: str  # what tells it from others

    @classmethod
    def of(cls, context: Context, train: Rows) -> Judge:
        """The member, or else one of random weights, the same ones each time. Raises ConfigError where a given one does
        not read pictures, or shows no features."""
        member = context.members.get(MEMBER)
        if member is None:
            return cls._of_random_weights(context, train)
        inputs = kinds.require(
            member.domain.inputs(), Pixels, "the judge", "give --judge a run that classifies pictures"
        )
        network: Module = member.network
        if not isinstance(network, ShowsFeatures):
            raise ConfigError(
                f"--judge: {type(network).__name__} shows no features before its last layer; give a run whose "
                "network has a body and a head"
            )
        task = member.task if isinstance(member.task, ChoosesClass) else None
        return cls(cast(Module, network), inputs, task, labels_of(member.domain), str(member.architecture["sha256"]))

    @classmethod
    def _of_random_weights(cls, context: Context, train: Rows) -> Judge:
        """Its normalisation is that of training pictures, so that features are neither all but 0 nor huge."""
        domain, pictures = context.domain, able(context.domain, Normalised)
        inputs = Pixels(_canvas(domain).shape, pictures.mean, pictures.deviation)
        with seed.kept():
            torch.manual_seed(0)
            network = building.build(spec.decode(NETWORK, Model), inputs, {"logits": 2})
        some = train.select(_drawn(len(train))[:AT_ONCE])
        judge = cls(network, inputs, None, (), f"random weights {_digest(_names(some))}")
        for layer in network.modules():
            if isinstance(layer, BatchNorm2d):
                layer.momentum = 1.0
        with torch.no_grad():
            network.train()(judge._as_read(pictures_of(some, domain)))
        network.eval().to(context.device)
        return judge

    @torch.inference_mode()
    def __call__(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features (n, d) float32 of pictures (n, h, w, c) uint8, and the class (n,) that it names, by its own
        `labels`; -1 where it names none."""
        features, named, device = [], [], next(self.network.parameters()).device
        for start in range(0, len(pictures), AT_ONCE):
            input = self._as_read(pictures[start : start + AT_ONCE]).to(device)
            own = np.asarray(cast(ShowsFeatures, self.network).linear_features(input), np.float32)
            features.append(own)
            if self.task is None:
                named.append(np.full(len(own), -1))
            else:
                output = self.network(torch.from_numpy(own).to(device) if isinstance(self.network, Backbone) else input)
                named.append(self.task.class_logits(output).argmax(1).cpu().numpy())
        return np.concatenate(features), np.concatenate(named)

    def _as_read(self, pictures: np.ndarray) -> Tensor:
        """(n, c, h, w) of 0-1, of its own size and channels."""
        input = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(255)
        channels, *size = self.inputs.shape
        if channels == 1 and input.shape[1] == 3:
            input = (input * torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)).sum(1, keepdim=True)
        input = input.expand(-1, channels, -1, -1)
        if list(input.shape[2:]) == size:
            return input
        return F.interpolate(input, size, mode="bilinear", antialias=True)


# pictures of the data


@dataclass(frozen=True)
class Learnt:
    """What is compared with of the training split, in an order drawn by chance."""

    rows: np.ndarray  # (m,) their numbers
    small: np.ndarray  # (m, h, w, c) uint8, of LARGEST pixels a side at most
    features: np.ndarray  # (m, d) float32
    mean: np.ndarray  # (h, w, c) float32 of each value of 0-255
    deviation: np.ndarray

    @classmethod
    def of(cls, judge: Judge, rows: Rows, domain: Domain) -> Learnt:
        """Part by part: full pictures of all rows may be too many to hold."""
        small, features = [], []
        total = squares = np.zeros(1)
        for start in range(0, len(rows), BLOCK):
            pictures = pictures_of(rows.select(range(start, min(start + BLOCK, len(rows)))), domain)
            small.append(_small(pictures))
            features.append(judge(pictures)[0])
            total = total + pictures.sum(0, np.float64)
            squares = squares + np.square(pictures, dtype=np.uint16).sum(0, np.float64)
        mean = total / len(rows)
        deviation = np.sqrt(np.maximum(squares / len(rows) - mean**2, 0))
        told = (np.concatenate(small), np.concatenate(features), mean.astype(np.float32), deviation.astype(np.float32))
        return cls(np.asarray(rows.number, np.int64), *told)

    def gaussian(self, number: int) -> Iterator[np.ndarray]:
        """(n, h, w, c) uint8, `number` of them in parts: each value drawn by itself, of its mean and deviation."""
        rng = np.random.default_rng(0)
        for start in range(0, number, AT_ONCE):
            drawn = rng.standard_normal((min(AT_ONCE, number - start), *self.mean.shape), np.float32)
            yield np.asarray((drawn * self.deviation + self.mean).clip(0, 255).round(), np.uint8)


_KEPT: dict[str, tuple[str, Any]] = {}  # by what it is, the last one: what a training's every look at its rows asks for


def learnt(judge: Judge, train: Rows, domain: Domain) -> Learnt:
    return _once(
        "learnt", judge, train, domain, lambda: Learnt.of(judge, train.select(_drawn(len(train))[:ROWS]), domain)
    )


def _once(name: str, judge: Judge, rows: Rows, domain: Domain, told: Callable[[], Kept]) -> Kept:
    """What a judge has told of rows, asked again only of others."""
    key = _digest([judge.key, str(spec.encode(domain)), *_names(rows)])
    if name not in _KEPT or _KEPT[name][0] != key:
        _KEPT.pop(name, None)
        _KEPT[name] = key, told()
    kept: Kept = _KEPT[name][1]
    return kept


def _names(rows: Rows) -> list[str]:
    return [*map(str, rows.column("hash" if "hash" in rows else "id")), *map(str, rows.number)]


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _drawn(number: int) -> list[int]:
    """So many places, in an order drawn by chance, the same each time."""
    order: list[int] = np.random.default_rng(0).permutation(number).tolist()
    return order


def pictures_of(rows: Rows, domain: Domain) -> np.ndarray:
    """(n, h, w, c) uint8: the rows as the domain shows them to be learnt from, undistorted."""
    loader = Loader(rows, domain, AT_ONCE, seed=0, training=False, workers=1)
    parts = [batch["input"]["pixels"].mul(255).round().to(torch.uint8) for batch in loader]
    return np.ascontiguousarray(torch.cat(parts).permute(0, 2, 3, 1).numpy())


def made(table: Mapping[str, Any], domain: Domain) -> np.ndarray:
    """(n, h, w, c) uint8 of a predictions file."""
    channels, height, width = _canvas(domain).shape
    return np.asarray(table["picture"], np.uint8).reshape(-1, height, width, channels)


def by_class(domain: Domain) -> bool:
    """Whether pictures are made by class."""
    return _canvas(domain).classes > 0


def _canvas(domain: Domain) -> Canvas:
    return kinds.require(domain.inputs(), Canvas, "a judge", "take domain generated-pictures")


# what is said


def judged(table: Table, rows: Rows, train: Rows, context: Context) -> Table:
    """The predictions of all rows with what the judge says of them, in float32:

    - "made" and "real" (n, d): features of the picture that was made, and of the row's own; "gaussian" (n, d) of
      pictures whose values are drawn one by one; "learnt" (n, d) of training pictures, drawn by chance, nan beside as
      many rows as there are fewer.
    - "named" and "named_real" (n,): what class it calls them, as in "class" (from 1), 0 where it is none of these; -1
      where the row's own class is none that it knows.
    - "near_pixels_made", "near_pixels_real", "near_features_made", "near_features_real" (n,): how far the nearest
      training picture (in pixels also mirrored, where the domain mirrors) is, as the root of the mean square of
      differences of values of 0-1, and of features. A training picture is not the nearest to itself.
    - "nearest_pixels" and "nearest_features" (n,): the number of the training row that is the nearest to what was made.

    Only features and classes of what was made and of the rows are there where figures are asked for, unless one of
    these is of copies.
    """
    domain, judge = context.domain, Judge.of(context, train)
    real = _once("rows", judge, rows, domain, lambda: judge(pictures_of(rows, domain)))
    said = {"made": judge(made(table, domain)), "real": real}
    table = {**table, **{side: features for side, (features, _) in said.items()}}
    knows = _knows(rows, judge, domain)
    for side, (_, named) in said.items():
        column = "named" if side == "made" else "named_real"
        table[column] = np.where(knows, _numbered(named, judge.labels, labels_of(domain)), -1)
    return _beside_training(table, rows, train, judge, domain) if context.asks(generation.COPIES) else table


def _beside_training(table: Table, rows: Rows, train: Rows, judge: Judge, domain: Domain) -> Table:
    """With the columns of `judged` for which the training split is looked at."""
    known = learnt(judge, train, domain)
    table["gaussian"] = np.concatenate([judge(part)[0] for part in known.gaussian(len(rows))])
    table["learnt"] = _beside(known.features, len(rows))
    pictures = {"made": made(table, domain), "real": pictures_of(rows, domain)}
    among = {int(number): place for place, number in enumerate(known.rows)}
    itself = np.array([among.get(int(number), -1) for number in rows.number], np.int64)
    shown_as = (known.small, known.small[:, :, ::-1]) if able(domain, Image).flip else (known.small,)
    for kind, own, others in (
        ("pixels", {side: _values(_small(shown)) for side, shown in pictures.items()}, [*map(_values, shown_as)]),
        ("features", {side: np.asarray(table[side]) for side in pictures}, [known.features]),
    ):
        for side, values in own.items():
            place, distance = _nearest_of(values, others, itself if side == "real" else None)
            table[f"near_{kind}_{side}"] = distance
            if side == "made":
                table[f"nearest_{kind}"] = known.rows[place]
    return table


def _beside(features: np.ndarray, number: int) -> np.ndarray:
    """(number, d): the first of the features, or, of fewer, all of them beside as many rows, drawn by chance."""
    beside = np.full((number, features.shape[1]), np.nan, np.float32)
    there = min(number, len(features))
    beside[np.random.default_rng(0).permutation(number)[:there] if there < number else slice(None)] = features[:there]
    return beside


def _knows(rows: Rows, judge: Judge, domain: Domain) -> np.ndarray:
    """(n,) bool: whether it can name the row's class; where a row has none, whether it names any."""
    if judge.task is None:
        return np.zeros(len(rows), bool)
    targets = rows.column("target") if "target" in rows else [None] * len(rows)
    both = set(judge.labels) & set(labels_of(domain))
    return np.array([bool(both) if target is None else target in both for target in targets])


def _numbered(named: np.ndarray, labels: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """(n,) the classes that are `named` by `labels`, as the domain that knows `known` numbers them."""
    place = {label: number for number, label in enumerate(known, 1)}
    numbers = np.array([*(place.get(label, 0) for label in labels), 0], np.int64)
    return numbers[named]


def _small(pictures: np.ndarray) -> np.ndarray:
    """(n, h, w, c) uint8, of LARGEST pixels a side at most."""
    height, width = pictures.shape[1:3]
    size = min(height, LARGEST), min(width, LARGEST)
    if size == (height, width):
        return pictures
    parts = torch.from_numpy(pictures).split(AT_ONCE)
    pooled = [F.adaptive_avg_pool2d(part.permute(0, 3, 1, 2).float(), size).round().to(torch.uint8) for part in parts]
    return np.ascontiguousarray(torch.cat(pooled).permute(0, 2, 3, 1).numpy())


def _values(pictures: np.ndarray) -> np.ndarray:
    """(n, p) float32 of 0-1."""
    return np.asarray(pictures.reshape(len(pictures), -1), np.float32) / 255


def _nearest_of(
    rows: np.ndarray, sets: Sequence[np.ndarray], itself: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """As `nearest`, of the same others, shown in several ways."""
    ways = [nearest(rows, others, itself) for others in sets]
    places, distances = (np.stack(values) for values in zip(*ways, strict=True))
    best = distances.argmin(0)[None]
    return np.take_along_axis(places, best, 0)[0], np.take_along_axis(distances, best, 0)[0]


def nearest(rows: np.ndarray, others: np.ndarray, itself: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(n,) which of the `others` (m, d) is the nearest to each of the rows (n, d), and how far it is: the root of the
    mean square of their differences, exactly 0 where both are the same. `itself` (n,): which of the others a row is,
    and so is not compared with; -1 where it is none."""
    known = torch.from_numpy(others)
    squares = known.square().sum(1)
    place = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        apart = squares - 2 * torch.from_numpy(rows[part]) @ known.T
        if itself is not None:
            (there,) = np.nonzero(itself[part] >= 0)
            apart[there, itself[part][there]] = torch.inf
        place[part] = apart.argmin(1).numpy()
    return place, np.sqrt(np.square(rows - others[place]).mean(1))
