"""What benchmarks/rare.py learns from: shared data with classes made rare, or with half of the rows held out,
and a run on it."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Made = tuple[str, list[str]]  # where the data are, and what else the command is told
Maker = Callable[[Path, Path, int], Made]  # of the shared data, an empty folder, and a seed
MOST = 900  # seconds, after which a command is ended


def trained(made: Made, runs: Path, name: str, *more: str) -> Any:
    """A run, made by a command of its own. Raises RuntimeError with what it said last where it failed."""
    import pervade

    place, flags = made
    command = [str(Path(sys.executable).with_name("pervade")), "train", place, "--name", name, "--runs", str(runs)]
    done = subprocess.run([*command, *flags, *more], capture_output=True, text=True, timeout=MOST)
    if done.returncode:
        raise RuntimeError(" ".join(done.stderr.strip().splitlines()[-1:]) or f"exit {done.returncode}")
    return pervade.load(runs / name)


# Rare classes: training and validation cut, the test split as it is


def cut(labels: Sequence[Any], rare: Sequence[Any], ratio: int, rng: np.random.Generator) -> np.ndarray:
    """The positions (m,) of the rows that are kept, in their order: of each rare class one to `ratio` of the commonest
    of the others."""
    held = np.asarray(labels)
    most = max(np.count_nonzero(held == label) for label in np.unique(held) if label not in rare) // ratio
    kept = [np.flatnonzero(held == label) for label in np.unique(held)]
    drawn = [rows if held[rows[0]] not in rare else rng.permutation(rows)[:most] for rows in kept]
    return np.sort(np.concatenate(drawn))


def rare_sick(shared: Path, folder: Path, seed: int) -> Made:
    """X-rays, one sick person to twenty healthy ones."""
    (source,) = (shared / "pneumonia").glob("*.npz")
    arrays, rng = dict(np.load(source)), np.random.default_rng(seed)
    for split in ("train", "val"):
        kept = cut(arrays[f"{split}_labels"].ravel(), [1], 20, rng)
        arrays |= {name: arrays[name][kept] for name in (f"{split}_images", f"{split}_labels")}
    np.savez(folder / "rare_sick.npz", **arrays)
    return str(folder / "rare_sick.npz"), []


def rare_spam(shared: Path, folder: Path, seed: int) -> Made:
    """Messages, one of spam to twenty others; of those that repeat themselves each is there once, and the same fifth of
    them is the test split with each seed."""
    train, test = parted(messages(shared), 0.2)
    kept = cut([line.partition("\t")[0] for line in train], ["spam"], 20, np.random.default_rng(seed))
    return tables(folder / "messages", [train[place] for place in kept], test), []


def rare_digits(shared: Path, folder: Path, seed: int) -> Made:
    """Spoken digits by speaker: two speakers are the test split, and with the other four two of the digits, drawn with
    each seed, are said once to ten times of the others."""
    files = sorted((shared / "fsdd").glob("*.wav"))
    parts = [file.stem.split("_") for file in files]  # digit, speaker, number
    speakers, rng = sorted({part[1] for part in parts}), np.random.default_rng(seed)
    held_out = {speakers[(seed + more) % len(speakers)] for more in (0, 1)}
    learnt = [place for place, part in enumerate(parts) if part[1] not in held_out]
    rare = rng.choice(10, 2, replace=False).astype(str)
    kept = {learnt[place] for place in cut([parts[place][0] for place in learnt], list(rare), 10, rng)}
    for place, (file, part) in enumerate(zip(files, parts, strict=True)):
        split = "test" if part[1] in held_out else "train"
        if split == "test" or place in kept:
            link(file, folder / "digits" / split / part[0])
    return str(folder / "digits"), ["--group-pattern", "_(?P<speaker>.+)_"]


# Half held out, so that promises can be settled and measured on other rows again and again


def half_of_x_rays(shared: Path, folder: Path, seed: int) -> Made:
    (source,) = (shared / "pneumonia").glob("*.npz")
    with np.load(source) as held:
        pictures, labels = (
            np.concatenate([held[f"{split}_{what}"] for split in ("train", "val", "test")])
            for what in ("images", "labels")
        )
    order = np.random.default_rng(seed).permutation(len(labels))
    halves = {"train": order[: len(order) // 2], "test": order[len(order) // 2 :]}
    arrays = {f"{split}_images": pictures[rows] for split, rows in halves.items()}
    np.savez(folder / "half.npz", **arrays, **{f"{split}_labels": labels[rows] for split, rows in halves.items()})
    return str(folder / "half.npz"), []


def half_of_messages(shared: Path, folder: Path, seed: int) -> Made:
    return tables(folder / "messages", *parted(messages(shared), 0.5, seed)), []


def half_of_portraits(shared: Path, folder: Path, seed: int) -> Made:
    """Of each person five."""
    for person in sorted((shared / "orl_faces").glob("s*")):
        files = sorted(person.glob("*.pgm"))
        for place, number in enumerate(np.random.default_rng(seed).permutation(len(files))):
            link(files[number], folder / "portraits" / ("train" if place < 5 else "test") / person.name)
    return str(folder / "portraits"), ["--task", "image-classification"]


def leaning_digits(shared: Path, folder: Path, seed: int) -> Made:
    """Handwritten digits by how far they lean, a number: the covariance of the ink's two coordinates over the variance
    of its height, so that an upright stroke has 0."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    made = folder / "leaning"
    made.mkdir()
    for split, rows in (("train", 2000), ("test", 4000)):
        table = pq.read_table(shared / "mnist" / f"{split}.parquet", columns=["image"])  # in the order of the classes
        table = table.take(np.sort(np.random.default_rng(seed).permutation(len(table))[:rows]))
        pixels = [np.asarray(Image.open(io.BytesIO(image["bytes"]))) for image in table["image"].to_pylist()]
        lean = pa.array([lean_of(picture) for picture in pixels])
        pq.write_table(table.append_column("lean", lean), made / f"{split}.parquet")
    return str(made), ["--label-column", "lean"]


def lean_of(pixels: np.ndarray) -> float:
    """Of a picture (h, w) whose ink is bright."""
    ink = pixels / pixels.sum()
    down, right = (numbers - (ink * numbers).sum() for numbers in np.indices(ink.shape))
    return round(float((ink * down * right).sum() / (ink * down**2).sum()), 4)


# Files


def link(file: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file.name).symlink_to(file.resolve())


def messages(shared: Path) -> list[str]:
    """Lines of label and text, each text once."""
    lines = (shared / "sms_spam" / "SMSSpamCollection.tsv").read_text(encoding="utf-8").split("\n")
    return sorted({line.partition("\t")[2]: line for line in lines if line}.values())


def parted(lines: list[str], share: float, seed: int = 0) -> tuple[list[str], list[str]]:
    """Two lists, of which the second has this share of the lines."""
    order = np.random.default_rng(seed).permutation(len(lines))
    cut_at = round(len(lines) * (1 - share))
    return [lines[place] for place in order[:cut_at]], [lines[place] for place in order[cut_at:]]


def tables(folder: Path, train: list[str], test: list[str]) -> str:
    folder.mkdir()
    for name, lines in (("train", train), ("test", test)):
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(folder)
