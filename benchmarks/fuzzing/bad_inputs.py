"""Files to train on and to predict, mended the wrong way: bytes, places, rows and values."""

# ruff: noqa: E501 (odd values stand many in a line)

from __future__ import annotations

import gzip
import io
import os
import random
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzzing.bases import BASES
from fuzzing.samples import TABLES, Kind, picture, sound, written
from fuzzing.sandbox import Case, Place

DEEP = 100_000
Change = Callable[[bytes, random.Random], bytes]


def _garbage(content: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(4096)


def _flipped(content: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(20):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _sprinkled(content: bytes, rng: random.Random) -> bytes:
    odd = [
        b"\x00",
        b"\x1b[2J",
        b"\x1b]0;x\x07",
        b"\r",
        b"\x0b",
        "\u202e".encode(),
        "\U0001f600".encode(),
        b"\xff",
        b"\x85",
    ]
    damaged = bytearray(content)
    for _ in range(12):
        place = rng.randrange(len(damaged))
        damaged[place:place] = rng.choice(odd)
    return bytes(damaged)


def _packed(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("inside", content)
    return buffer.getvalue()


def _recoded(encoding: str) -> Change:
    return lambda content, rng: content.decode("utf-8", "replace").replace("fine", "fïné").encode(encoding, "replace")


def _lines(change: Callable[[list[bytes], random.Random], list[bytes]]) -> Change:
    return lambda content, rng: b"\n".join(change(content.split(b"\n"), rng))


BYTES: dict[str, Change] = {
    "empty": lambda content, rng: b"",
    "one byte": lambda content, rng: content[:1],
    "blank": lambda content, rng: b" \n\t\n  \n",
    "half": lambda content, rng: content[: len(content) // 2],
    "cut": lambda content, rng: content[: rng.randrange(1, len(content))],
    "end alone": lambda content, rng: content[-rng.randrange(1, len(content)) :],
    "garbage": _garbage,
    "flipped": _flipped,
    "sprinkled": _sprinkled,
    "zeros": lambda content, rng: bytes(5000),
    "utf-16": _recoded("utf-16"),
    "utf-16 without mark": _recoded("utf-16-le"),
    "utf-32": _recoded("utf-32"),
    "latin-1": _recoded("latin-1"),
    "mark in front": lambda content, rng: b"\xef\xbb\xbf" + content,
    "two marks": lambda content, rng: b"\xef\xbb\xbf" * 2 + content,
    "surrogates": lambda content, rng: content.replace(b"fine", b"\xed\xa0\x80"),
    "windows' lines": lambda content, rng: content.replace(b"\n", b"\r\n"),
    "old lines": lambda content, rng: content.replace(b"\n", b"\r"),
    "no line ends": lambda content, rng: content.replace(b"\n", b" "),
    "semicolons": lambda content, rng: content.replace(b",", b";").replace(b"\t", b";"),
    "tabs": lambda content, rng: content.replace(b",", b"\t"),
    "quotes that stay open": lambda content, rng: content.replace(b" ", b' "', 5),
    "first row": _lines(lambda lines, rng: lines[:2]),
    "two rows": _lines(lambda lines, rng: lines[:3]),
    "head alone": _lines(lambda lines, rng: lines[:1]),
    "no head": _lines(lambda lines, rng: lines[1:]),
    "head twice": _lines(lambda lines, rng: lines[:1] + lines),
    "one row again and again": _lines(lambda lines, rng: lines[:1] + lines[1:2] * 50),
    "shuffled": _lines(lambda lines, rng: rng.sample(lines, len(lines))),
    "rows of uneven width": _lines(lambda lines, rng: [line + b",x" * rng.randrange(4) for line in lines]),
    "wide": _lines(lambda lines, rng: [lines[0] + b",x" * 20_000, *lines[1:]]),
    "long line": lambda content, rng: content + b"a" * 3_000_000,
    "long words": lambda content, rng: content.replace(b"fine", b"w" * 40_000, 3),
    "deep lists": lambda content, rng: b"[" * DEEP,
    "deep objects": lambda content, rng: b'{"a":' * DEEP,
    "deep and closed": lambda content, rng: b"[" * DEEP + b"]" * DEEP,
    "a number": lambda content, rng: b"1e999",
    "null": lambda content, rng: b"null",
    "long number": lambda content, rng: b"9" * 100_000,
    "a picture": lambda content, rng: picture(0),
    "a sound": lambda content, rng: sound(0),
    "a page": lambda content, rng: b"<!doctype html><html><body>Not found</body></html>",
    "a pointer": lambda content, rng: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
    "gzip": lambda content, rng: gzip.compress(content, mtime=0),
    "zip": lambda content, rng: _packed(content),
    "sqlite": lambda content, rng: b"SQLite format 3\x00" + bytes(4000),
    "magic alone": lambda content, rng: b"PAR1" + bytes(60) + b"PAR1",
    "parquet bomb's foot": lambda content, rng: b"PAR1" + bytes(60) + b"\xff\xff\xff\x7fPAR1",
}

# Changes that say nothing to a file of bytes are tried on texts alone.
BINARY = ("empty", "one byte", "half", "cut", "end alone", "garbage", "flipped", "zeros", "magic alone", "a picture")


def _bytes_case(kind: Kind, name: str, change: Change) -> Case:
    def make(place: Place) -> list[str]:
        if kind.base:
            place.run(kind.base)
        (place.folder / kind.file).write_bytes(change(kind.content(place.folder), place.rng))
        return ["train", kind.file, *kind.flags]

    return Case(f"bytes/{kind.file}/{name}", make, base=kind.base)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


PLACES: dict[str, Callable[[Path], None]] = {
    "folder": Path.mkdir,
    "pipe": _fifo,
    "socket": _socket,
    "link to itself": _loop,
    "link to nowhere": lambda path: path.symlink_to("gone"),
    "zeros for ever": lambda path: path.symlink_to("/dev/zero"),
    "random for ever": lambda path: path.symlink_to("/dev/urandom"),
    "full disk": lambda path: path.symlink_to("/dev/full"),
    "nothing": lambda path: path.symlink_to("/dev/null"),
    "memory of the process": lambda path: path.symlink_to("/proc/self/mem"),
    "own output": lambda path: path.symlink_to("/dev/stdin"),
}

NAMES = (
    b"a\nb.csv", b"\x1b[31mred.csv", "\U0001f4a3.csv".encode(), b"\xff\xfe.csv", b"-x.csv", b"%s%n.csv", b"a b.csv",
    b"$(touch CANARY).csv", b"x;y|z.csv", b"TEXTS.CSV", b"texts", b"texts.csv.gz", b"texts.xlsx", b"texts.pkl",
    b"texts.npy", b".csv", b"..csv", b"a'\"`.csv", b"\xe2\x80\xae.csv", b"l" * 250 + b".csv", b"nul\x7f.csv", b"a\tb.csv",
)  # fmt: skip


def _place_case(kind: Kind, name: str, put: Callable[[Path], None]) -> Case:
    def make(place: Place) -> list[str]:
        if kind.base:
            place.run(kind.base)
        kind.rows(place.folder)
        put(place.folder / kind.file)
        return ["train", kind.file, *kind.flags]

    return Case(f"place/{kind.file}/{name}", make, base=kind.base)


def _name_case(number: int, name: bytes) -> Case:
    def make(place: Place) -> list[str]:
        path = place.folder / os.fsdecode(name)
        path.write_bytes(TABLES[0].content(place.folder))
        return ["train", os.fsdecode(name), *TABLES[0].flags]

    return Case(f"name/{number}", make)


# What stands in the place of one value of a table, by the format that can hold it.
CELLS: tuple[Any, ...] = (
    "", " ", "nan", "NaN", "inf", "1e400", "-0", "0x10", "1_000", "١٢", "True", "null", "[]", "{}", '["a"', '{"a": 1}',
    "\x00", "\x1b[2J", "a\nb", "a\rb", '"', "=HYPERLINK(1)", "\u202e", "e\u0301" * 50, "\U0001f600", "../../etc/passwd",
    "/dev/zero", "z" * 200_000, "|", "a||b", ",", "1e308", "9" * 500, "\ufeff",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 2**70, 1e308, float("nan"), float("inf"), 10**400, [], {}, [None], [[]], {"a": {"b": [1]}},
    [1, "a"], "", " ", "\x00", "\ud800", "a" * 100_000, [{"role": "user"}], {"text": 1, "answer_start": "x"},
)  # fmt: skip


def _spots(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value as (container, key)."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        each = waiting.pop()
        keys = each.keys() if isinstance(each, dict) else range(len(each)) if isinstance(each, list) else ()
        for key in keys:
            found.append((each, key))
            waiting.append(each[key])
    return found


def _value_case(kind: Kind, number: int, everywhere: bool) -> Case:
    """One value of one row, or of the same key everywhere, is another."""

    def make(place: Place) -> list[str]:
        if kind.base:
            place.run(kind.base)
        rows, rng = kind.rows(place.folder), place.rng
        flat = kind.ending in ("csv", "tsv", "parquet")
        odd = rng.choice(CELLS if flat else VALUES)
        spots = _spots(rows)
        container, key = rng.choice(spots if not flat else [(row, name) for row in rows for name in row])
        gone = rng.random() < 0.15
        for each, name in spots if everywhere else [(container, key)]:
            if name == key and type(each) is type(container):
                if gone and isinstance(each, dict):
                    each.pop(name, None)
                elif isinstance(each, (dict, list)):
                    each[name] = odd
        (place.folder / kind.file).write_bytes(written(rows, kind.ending))
        return ["train", kind.file, *kind.flags]

    return Case(f"value/{kind.file}/{'all' if everywhere else 'one'} {number}", make, base=kind.base)


PREDICTED = (
    "empty",
    "cut",
    "garbage",
    "flipped",
    "sprinkled",
    "zeros",
    "deep lists",
    "a picture",
    "a sound",
    "long line",
)
ENDINGS = {
    "pictures": ".png",
    "folds": ".png",
    "sounds": ".wav",
    "speech": ".wav",
    "questions": ".json",
    "chats": ".jsonl",
}
TEXTS = (
    "",
    " ",
    "\n",
    "\x00",
    "\x1b[2J",
    "-",
    "--",
    "\ud83d",
    "a" * 100_000,
    "\t",
    "\t\t",
    "x\t",
    "[MASK]" * 600,
    "1e999",
)


def _predict_case(base: str, name: str, change: Change) -> Case:
    ending = ENDINGS.get(base, ".csv")

    def make(place: Place) -> list[str]:
        place.run(base)
        good = picture(1) if ending == ".png" else sound(1) if ending == ".wav" else TABLES[0].content(place.folder)
        (place.folder / f"new{ending}").write_bytes(change(good, place.rng))
        output = ("-o", "made") if base == "voices" else ()
        return ["predict", base, f"new{ending}", *output, *place.rng.choice(((), ("--json",), ("--csv",)))]

    return Case(f"predict/{base}/{name}", make, base=base)


def _text_case(base: str, number: int, text: str) -> Case:
    def make(place: Place) -> list[str]:
        place.run(base)
        output = ("-o", "made", "--length", "40") if base == "voices" else ()
        return ["predict", base, *output, *place.rng.choice(((), ("--json",), ("--csv",))), "--", text]

    return Case(f"predict/{base}/text {number}", make, base=base)


def _placed(base: str, name: str, put: Callable[[Path], None]) -> Case:
    def make(place: Place) -> list[str]:
        place.run(base)
        put(place.folder / f"new{ENDINGS.get(base, '.csv')}")
        output = ("-o", "made", "--length", "40") if base == "voices" else ()
        return ["predict", base, f"new{ENDINGS.get(base, '.csv')}", *output]

    return Case(f"predict/{base}/place {name}", make, base=base)


def cases(seed: int) -> list[Case]:
    rng = random.Random(f"{seed}/bad inputs")
    found = []
    for kind in TABLES:
        binary = kind.ending == "parquet"
        names = BINARY if binary else rng.sample(sorted(BYTES), 20)
        found += [_bytes_case(kind, name, BYTES[name]) for name in names]
        found += [_place_case(kind, name, PLACES[name]) for name in rng.sample(sorted(PLACES), 3)]
        if kind.ending != "txt":  # a column of a parquet file has one type
            ways = (True,) if binary else (False, True)
            found += [_value_case(kind, number, everywhere) for number in range(4) for everywhere in ways]
    found += [_name_case(number, name) for number, name in enumerate(NAMES)]
    for base in BASES:
        found += [_predict_case(base, name, BYTES[name]) for name in rng.sample(PREDICTED, 3)]
        found += [_text_case(base, i, TEXTS[i]) for i in rng.sample(range(len(TEXTS)), 3)]
        found += [_placed(base, name, PLACES[name]) for name in rng.sample(sorted(PLACES), 1)]
    return found
