"""What stands beside the figures of pictures that were made: the floor and the ceiling of each, what their nearest
training pictures are, what they are called, and the pictures themselves as files.

All of it is of a predictions file with the columns of engine/judging.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pervade.core.contracts import Domain
from pervade.core.contracts.capabilities import labels_of
from pervade.core.types import Json, Media, Rows
from pervade.data.image.grid import grid, png
from pervade.engine.judging import RANDOM, ROWS, made, pictures_of
from pervade.metrics import baseline, generation
from pervade.metrics.discrepancy import kernel_distance
from pervade.metrics.estimate import estimate, share

SHOWN = 8  # made pictures beside their nearest training pictures
MOST_CLASSES = 100  # that are told one by one
CHANCE = "single pixels drawn by chance (each from a normal distribution, as it is in training)"


def details(columns: Mapping[str, Any], train: Rows, domain: Domain, judge: str) -> dict[str, Json]:
    """ "floor_and_ceiling": each figure of two halves of the measured data, and of chance. "named": what the judge
    calls them. "neighbours": pictures beside the nearest of the training split. "baseline": the kernel distance of
    chance."""
    first = {"kernel_distance": generation.metrics(judge, False)["kernel_distance"]}
    chance = {**columns, "made": columns["gaussian"]}
    return {
        "floor_and_ceiling": _floor_and_ceiling(columns, judge),
        "named": _named(columns, domain, judge),
        "neighbours": _neighbours(columns, train, domain, judge),
        "baseline": baseline.beside(CHANCE, first, chance, columns) | {"called": "single pixels drawn by chance"},
    }


def _floor_and_ceiling(columns: Mapping[str, Any], judge: str) -> dict[str, Json]:
    """By the names of the figures, of `n` samples on either side, one of which is half of the measured real ones:
    "floor" of the other half, "ceiling" of chance, and, of figures that depend on n, "made". "training": the kernel
    distance of training samples, as many as there are, up to those measured. "apart": how far those made are from one
    another."""
    first, second = generation.halves(columns)
    real = np.asarray(columns["real"])
    floor, ceiling, made_of_n = (
        generation.figures(np.asarray(columns[name])[first], real[second]) for name in ("real", "gaussian", "made")
    )
    made_of_n.pop("kernel_distance")  # which does not
    known = generation.asked(columns)
    if known.any():
        right = np.asarray(columns["named_real"]) == np.asarray(columns["class"])
        floor["named_as_asked"] = float(right[known].mean())
    told = {"floor": floor, "ceiling": ceiling, "made": made_of_n}
    numbers: dict[str, Any] = {
        side: {name: value for name, value in own.items() if value == value} for side, own in told.items()
    }
    rows, learnt = generation.used(columns), np.asarray(columns["learnt"])
    beside = rows[np.isfinite(learnt[rows]).all(1)]
    training = kernel_distance(learnt[beside], real[beside]) if len(beside) > 1 else math.nan
    apart = generation.apart(*(np.asarray(columns[name])[rows] for name in ("made", "real", "class")))
    single = {"training": training, "apart": apart}
    numbers |= {name: value for name, value in single.items() if not math.isnan(value)}
    return {"judge": judge, "random": judge == RANDOM, "n": len(first), "features": real.shape[1], **numbers}


def _named(columns: Mapping[str, Any], domain: Domain, judge: str) -> dict[str, Json]:
    """Where pictures are asked for by class the share of each that is named so, else the share of all that is; beside
    it that of real pictures. Nothing where the judge names none."""
    named, real = np.asarray(columns["named"]), np.asarray(columns["named_real"])
    asked, known = np.asarray(columns["class"]), np.asarray(columns["named"]) >= 0
    by_class = bool((asked[known] > 0).any())
    shares = {}
    for number, label in list(enumerate(labels_of(domain), 1))[:MOST_CLASSES]:
        among = known & (asked == number) if by_class else known
        if among.any():
            shares[label] = {"made": share(named == number, among), "real": share(real == number, among)}
    if not shares:
        return {}
    told = {label: estimate(pair, columns) for label, pair in shares.items()}
    classes = [{"label": label, **{side: own[side].as_dict() for side in own}} for label, own in told.items()]
    return {"judge": judge, "by_class": by_class, "classes": classes}


def _neighbours(columns: Mapping[str, Any], train: Rows, domain: Domain, judge: str) -> dict[str, Json]:
    """Of some that were drawn by chance, and of those that come the nearest to a training picture."""
    near = np.asarray(columns["near_features_made"])
    count = min(SHOWN, len(near))
    some = {
        "drawn": np.sort(np.random.default_rng(0).choice(len(near), count, replace=False)),
        "nearest": np.argsort(near, kind="stable")[:count],
    }
    real = np.asarray(columns["near_features_real"])
    usual = {"usual": float(np.median(real)), "rare": float(np.quantile(real, generation.RARE))}
    sheets: dict[str, Any] = {name: _sheet(columns, places, train, domain) for name, places in some.items()}
    told = {name: _told(columns, places) for name, places in some.items()}
    return {
        "judge": judge,
        **sheets,
        "told": told,
        "of_real": usual,
        "compared": min(len(train), ROWS),
        "of": len(train),
    }


def _sheet(columns: Mapping[str, Any], places: np.ndarray, train: Rows, domain: Domain) -> Media:
    """Three rows: what was made, and the nearest training pictures in pixels and in features."""
    position = {int(number): place for place, number in enumerate(train.number)}
    cells = list(made({"picture": np.asarray(columns["picture"])[places]}, domain))
    for kind in ("pixels", "features"):
        numbers = [position[int(number)] for number in np.asarray(columns[f"nearest_{kind}"])[places]]
        cells += list(pictures_of(train.select(numbers), domain))
    return Media("png", png(grid(cells, len(places))))


def _told(columns: Mapping[str, Any], places: np.ndarray) -> dict[str, Json]:
    far = [round(float(value), 4) for value in np.asarray(columns["near_features_made"])[places]]
    return {"seeds": np.asarray(columns["seed"])[places].tolist(), "distance": far}


def samples(columns: Mapping[str, Any], rows: Rows, domain: Domain) -> Iterator[tuple[str, Media]]:
    """made/NUMBER-seed-SEED[-CLASS].png and real/NUMBER[-CLASS].png, by the rows' numbers: what the figures are of."""
    labels = [f"-{_file_name(label)}" for label in labels_of(domain)]
    told = zip(*(np.asarray(columns[name]).tolist() for name in ("row", "seed", "class")), strict=True)
    real = pictures_of(rows, domain)
    for (row, seed, number), picture, beside in zip(told, made(columns, domain), real, strict=True):
        label = labels[number - 1] if number > 0 else ""
        yield f"made/{row}-seed-{seed}{label}.png", Media("png", png(picture))
        yield f"real/{row}{label}.png", Media("png", png(beside))


def _file_name(label: str) -> str:
    return re.sub(r"[^\w-]+", "-", label).strip("-")[:60]
