"""Runs of every kind with one file damaged, deleted or replaced, and what each verb says of them."""

# ruff: noqa: E501 (odd values stand many in a line)

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from fuzzing.bad_inputs import BYTES, PLACES, _spots
from fuzzing.bad_settings import SAFETENSORS, bomb
from fuzzing.bases import BASES
from fuzzing.sandbox import Case, Place

VERBS = ("predict", "evaluate", "report", "compare", "resume", "merge")
EACH = 18  # cases of every kind of run
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**70, 10_000_000, 1e308, float("nan"), float("inf"), -0.5, "", "x", "\x1b[2J", "../../x", [], {},
    [None], [[]], {"use": "nope"}, {"a": 1}, "a" * 100_000, [1, "a"], ["a", "a"], "os:system", "9" * 400, [-1], [1e308],
)  # fmt: skip
DAMAGES = (
    "empty",
    "half",
    "garbage",
    "flipped",
    "zeros",
    "deep lists",
    "deep objects",
    "null",
    "long number",
    "mark in front",
)


def _value(path: Path, rng: random.Random) -> None:
    """One value of a JSON or YAML file is another, or its key is gone."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    place = rng.randrange(len(lines))
    content = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(lines[place])
    spots = _spots(content)
    if not spots:
        path.write_text("[]")
        return
    # first the upper ones: a tokenizer has thousands of words below
    container, key = rng.choice(spots[: max(12, len(spots) // 8)] if rng.random() < 0.6 else spots)
    if rng.random() < 0.2:
        del container[key]
    else:
        container[key] = rng.choice(ODD)
    if path.suffix == ".yaml":
        path.write_text(yaml.safe_dump(content))
    else:
        lines[place] = json.dumps(content)
        path.write_text("\n".join(lines) + "\n")


def _weights(path: Path, rng: random.Random) -> None:
    """Weights that are no numbers, or a head that lies."""
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    how = rng.choice(["nan", "inf", "large", "missing", "shape", "other"])
    if how == "other":
        path.write_bytes(SAFETENSORS[rng.choice(sorted(SAFETENSORS))]())
        return
    head = json.loads(content[8 : 8 + size])
    names = [name for name in head if name != "__metadata__"]
    if how in ("nan", "inf", "large"):
        number = struct.pack("<f", {"nan": float("nan"), "inf": float("inf"), "large": 3e38}[how])
        body = number * ((len(content) - 8 - size) // 4)
    else:
        body = content[8 + size :]
        if not names:
            return
        name = rng.choice(names)
        if how == "missing":
            head["renamed"] = head.pop(name)
        else:
            head[name]["shape"] = [1, *head[name]["shape"]]
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def _parquet(path: Path, rng: random.Random) -> None:
    """A column of the predictions is gone, of another type, of no numbers, or half its rows are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    name = rng.choice(table.column_names)
    index = table.column_names.index(name)
    how = rng.choice(["drop", "text", "nulls", "rows", "none", "nan", "large"])
    count = table.num_rows
    if how == "drop":
        table = table.drop_columns([name])
    elif how in ("rows", "none"):
        table = table.slice(0, count // 2 if how == "rows" else 0)
    else:
        values = {
            "text": ["x"] * count,
            "nulls": pa.nulls(count),
            "nan": [float("nan")] * count,
            "large": [2**62] * count,
        }[how]
        table = table.set_column(index, name, values if isinstance(values, pa.Array) else pa.array(values))
    pq.write_table(table.replace_schema_metadata(pq.read_schema(path).metadata), path)


def _bomb(path: Path, rng: random.Random) -> None:
    path.write_text(bomb() if path.suffix == ".yaml" else '{"a":' * 200_000)


def _replaced(name: str) -> Callable[[Path, random.Random], None]:
    def replace(path: Path, rng: random.Random) -> None:
        import os

        path.unlink()
        before = Path.cwd()
        os.chdir(path.parent)
        PLACES[name](Path(path.name))
        os.chdir(before)

    return replace


def _outside(path: Path, rng: random.Random) -> None:
    """A link that leads out of the run."""
    path.unlink()
    path.symlink_to("/etc/passwd")


def _damage(path: Path, rng: random.Random) -> None:
    kinds: list[Callable[[Path, random.Random], None]]
    kinds = [lambda path, rng: path.write_bytes(BYTES[rng.choice(DAMAGES)](path.read_bytes() or b"x", rng)) and None]
    kinds += [lambda path, rng: path.unlink()]
    kinds += [_replaced(rng.choice(["folder", "pipe", "link to itself", "zeros for ever", "nothing", "socket"]))]
    if rng.random() < 0.2:
        kinds.append(_outside)
    if path.suffix in (".json", ".jsonl", ".yaml"):
        kinds += [_value] * 6 + [_bomb]
    elif path.suffix == ".safetensors":
        kinds += [_weights] * 4
    elif path.suffix == ".parquet":
        kinds += [_parquet] * 4
    rng.choice(kinds)(path, rng)


def arguments(verb: str, base: str) -> list[str]:
    if verb == "predict":
        return [verb, *_predicted(base)]
    if verb == "compare":
        return [verb, base, f"{base}-whole"]
    return [verb, base]


def _predicted(base: str) -> list[str]:
    member = "folds/members/1" if base == "folds" else "seeds/members/0" if base == "seeds" else base
    return [member if "/" not in member else f"runs/{member}", *BASES[base][1]]


def _case(base: str, number: int, verb: str) -> Case:
    def make(place: Place) -> list[str]:
        run = place.run(base)
        if verb == "compare":
            shutil.copytree(run, run.with_name(f"{base}-whole"), symlinks=True)
        files = sorted(each for each in run.rglob("*") if each.is_file() and each.suffix not in (".html", ".md"))
        path = place.rng.choice(files)
        _damage(path, place.rng)
        return arguments(verb, base)

    return Case(f"damaged/{base}/{number} {verb}", make, base=base)


def cases(seed: int) -> list[Case]:
    rng = random.Random(f"{seed}/damaged")
    found = []
    for base in BASES:
        verbs = [verb for verb in VERBS if verb != "merge" or base == "lora"]
        found += [_case(base, number, rng.choice(verbs)) for number in range(EACH)]
    return found
