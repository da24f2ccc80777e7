"""Folders of classes that hold what they should not, and environments that are none."""

from __future__ import annotations

import io
import os
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from fuzzing import samples
from fuzzing.bad_inputs import PLACES
from fuzzing.samples import FOLDERS, class_folders
from fuzzing.sandbox import CANARY, Case, Place

Change = Callable[[Path, random.Random], None]


def _only(count: int) -> Change:
    def change(folder: Path, rng: random.Random) -> None:
        for each in folder.iterdir():
            for path in sorted(each.iterdir())[count:]:
                path.unlink()

    return change


def _one_class(folder: Path, rng: random.Random) -> None:
    shutil.rmtree(folder / "dog")


def _flat(folder: Path, rng: random.Random) -> None:
    for each in ("cat", "dog"):
        for path in (folder / each).iterdir():
            path.rename(folder / f"{each}-{path.name}")
        (folder / each).rmdir()


def _same(folder: Path, rng: random.Random) -> None:
    content = next((folder / "cat").iterdir()).read_bytes()
    for path in folder.glob("*/*"):
        path.write_bytes(content)


def _all(content: bytes) -> Change:
    def change(folder: Path, rng: random.Random) -> None:
        for path in folder.glob("*/*"):
            path.write_bytes(content)

    return change


def _cut(folder: Path, rng: random.Random) -> None:
    for path in sorted(folder.glob("*/*")):
        content = path.read_bytes()
        path.write_bytes(content[: rng.randrange(len(content))])


def _noisy(folder: Path, rng: random.Random) -> None:
    for path in sorted(folder.glob("*/*")):
        content = bytearray(path.read_bytes())
        content[rng.randrange(len(content))] ^= 255
        path.write_bytes(bytes(content))


def _named(name: bytes) -> Change:
    def change(folder: Path, rng: random.Random) -> None:
        (folder / "dog").rename(folder / os.fsdecode(name))
        path = min((folder / "cat").iterdir())
        path.rename(path.with_name(os.fsdecode(name[:200]) + path.suffix))

    return change


def _deep(folder: Path, rng: random.Random) -> None:
    inner = folder / "cat" / "/".join("d" * 20 for _ in range(150))
    inner.mkdir(parents=True)
    shutil.copy(min((folder / "dog").iterdir()), inner)


def _split(*kept: str) -> Change:
    def change(folder: Path, rng: random.Random) -> None:
        for name in kept:
            for each in ("cat", "dog"):
                shutil.copytree(folder / each, folder / name / each)
        shutil.rmtree(folder / "cat")
        shutil.rmtree(folder / "dog")
        if "val" in kept:
            shutil.rmtree(folder / "val" / "dog")

    return change


def _among(name: str) -> Change:
    def change(folder: Path, rng: random.Random) -> None:
        ending = min((folder / "cat").iterdir()).suffix
        before = Path.cwd()
        os.chdir(folder / "cat")  # a socket's name must be short
        PLACES[name](Path(f"odd{ending}"))
        os.chdir(before)

    return change


def _loop(folder: Path, rng: random.Random) -> None:
    (folder / "cat" / "again").symlink_to(folder)


def _empty(folder: Path, rng: random.Random) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _table_inside(folder: Path, rng: random.Random) -> None:
    (folder / "metadata.csv").write_bytes(
        rng.choice([b"", b"file_name\n", b"file_name,label\n../../x,1\n", b"\xff" * 9])
    )


CHANGES: dict[str, Change] = {
    "empty": _empty,
    "one class": _one_class,
    "no classes": _flat,
    "one file each": _only(1),
    "two files each": _only(2),
    "no files": _only(0),
    "all the same": _same,
    "all empty": _all(b""),
    "all zeros": _all(bytes(3000)),
    "all words": _all(b"Dear reader"),
    "cut": _cut,
    "a byte of each": _noisy,
    "name with a newline": _named(b"a\nb"),
    "name with escapes": _named(b"\x1b]0;x\x07\x1b[2J"),
    "name of no letters": _named(b"\xff\xfe"),
    "name with emoji": _named("\U0001f4a3".encode()),
    "long name": _named(b"n" * 250),
    "name that is markup": _named(b"<script>alert(1)<|script>"),
    "name of a bracket": _named(b"[bold]{{ 7*7 }}%s"),
    "name that is a number": _named(b"1e999"),
    "deep": _deep,
    "train alone": _split("train"),
    "test alone": _split("test"),
    "train and val of one class": _split("train", "val"),
    "copies in splits": _split("train", "test"),
    "pipe": _among("pipe"),
    "zeros for ever": _among("zeros for ever"),
    "full disk": _among("full disk"),
    "link to itself": _among("link to itself"),
    "socket": _among("socket"),
    "links in a circle": _loop,
    "odd table": _table_inside,
}


def _image(mode: str, size: tuple[int, int], kind: str = "PNG") -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new(mode, size, 1).save(buffer, kind)
    return buffer.getvalue()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _claims(width: int, height: int) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", zlib.compress(bytes(10_000))) + _chunk(b"IEND", b"")


def _text_bomb() -> bytes:
    plain = _image("L", (8, 8))
    return plain[:33] + _chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(60 << 20))) + plain[33:]


def _wav(rate: int = 4000, channels: int = 1, bits: int = 16, kind: int = 1, content: bytes = bytes(4000)) -> bytes:
    frame = max(channels * bits // 8, 1) % 65_536
    head = struct.pack("<HHIIHH", kind, channels % 65_536, rate, (rate * frame) % 2**32, frame, bits)
    return b"RIFF" + struct.pack("<I", 36 + len(content)) + b"WAVEfmt " + struct.pack("<I", 16) + head + _data(content)


def _data(content: bytes) -> bytes:
    return b"data" + struct.pack("<I", len(content)) + content


ODD_FILES: dict[str, dict[str, Callable[[], bytes]]] = {
    "photos": {
        "one pixel": lambda: _image("RGB", (1, 1)),
        "a line": lambda: _image("L", (30_000, 1)),
        "16 bits": lambda: _image("I;16", (20, 20)),
        "floats": lambda: _image("F", (20, 20), "TIFF"),
        "bits": lambda: _image("1", (20, 20)),
        "palette": lambda: _image("P", (20, 20), "GIF"),
        "cmyk": lambda: _image("CMYK", (20, 20), "JPEG"),
        "alpha": lambda: _image("LA", (20, 20)),
        "claims to be huge": lambda: _claims(60_000, 60_000),
        "claims to be nothing": lambda: _claims(0, 0),
        "claims the most": lambda: _claims(2**31 - 1, 2**31 - 1),
        "comment of 60 MB": _text_bomb,
        "drawing": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>',
    },
    "sounds": {
        "no samples": lambda: _wav(content=b""),
        "one sample": lambda: _wav(content=b"\x01\x00"),
        "silence": lambda: _wav(),
        "rate of 0": lambda: _wav(rate=0),
        "rate of 1": lambda: _wav(rate=1),
        "highest rate": lambda: _wav(rate=2**32 - 1),
        "no channels": lambda: _wav(channels=0),
        "many channels": lambda: _wav(channels=1000),
        "no bits": lambda: _wav(bits=0),
        "unknown code": lambda: _wav(kind=0x7777),
        "no numbers": lambda: _wav(bits=32, kind=3, content=struct.pack("<1000f", *[float("nan")] * 1000)),
        "endless numbers": lambda: _wav(bits=32, kind=3, content=struct.pack("<1000f", *[float("inf")] * 1000)),
        "large numbers": lambda: _wav(bits=32, kind=3, content=struct.pack("<1000f", *[1e38] * 1000)),
        "claims to be long": lambda: _wav().replace(b"data\xa0\x0f\x00\x00", b"data\xff\xff\xff\xff"),
    },
    "letters": {
        "zeros": lambda: bytes(100),
        "no words": lambda: b"!!! ... ???",
        "one long word": lambda: b"a" * 200_000,
        "marks alone": lambda: "\u0301".encode() * 500,
        "other letters": lambda: "\u6f22\u5b57".encode("utf-16"),
    },
}


def _folder_case(kind: str, name: str, change: Change, flags: tuple[str, ...] = ()) -> Case:
    content, ending, small = FOLDERS[kind]

    def make(place: Place) -> list[str]:
        folder = class_folders(place.folder / kind, content, ending)
        change(folder, place.rng)
        return ["train", kind, *small, *flags]

    return Case(f"folder/{kind}/{name}", make)


def _odd_case(kind: str, name: str, odd: Callable[[], bytes], every: bool) -> Case:
    ending = FOLDERS[kind][1]

    def change(folder: Path, rng: random.Random) -> None:
        for path in sorted(folder.glob(f"*/*{ending}"))[: None if every else 1]:
            path.write_bytes(odd() + (path.parent.name + path.stem).encode())  # none is another's copy

    return _folder_case(kind, f"{name}, {'all' if every else 'one'}", change)


OWN = """import gymnasium, numpy as np
class Own(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    def __init__(self, render_mode=None): pass
    def reset(self, seed=None, options=None):
        super().reset(seed=seed); {reset}
        return np.zeros(2, np.float32), {{}}
    def step(self, action):
        {step}
        return np.zeros(2, np.float32), 1.0, self.np_random.random() < 0.2, False, {{}}
"""
FAULTY = {
    "as it should be": ("", "pass"),
    "raises in reset": ("raise RuntimeError('x\\ny')", "pass"),
    "raises in a step": ("", "1 / 0"),
    "another shape": ("", "return np.zeros(3, np.float32), 1.0, False, False, {}"),
    "no numbers": ("", "return np.full(2, np.nan, np.float32), 1.0, False, False, {}"),
    "reward of no number": ("", "return np.zeros(2, np.float32), float('nan'), False, False, {}"),
    "endless reward": ("", "return np.zeros(2, np.float32), float('inf'), False, False, {}"),
    "nothing back": ("", "return None"),
    "leaves the process": ("", "raise SystemExit(3)"),
}
ADDRESSES = (
    "gym://", "gym://Nope-v0", "gym://CartPole-v99", "gym://CartPole", "gym:///etc/passwd", "gym://os:system", "gym://:",
    "gym://a:b:c", "gym://builtins:exec", "gym://\x1b[31m", "gym://" + "x" * 5000, "gym://json:JSONDecoder", "gym://ALE/",
    "gym://ALE/Nope-v5", "gym://CartPole-v1 ", "gym://subprocess:Popen", "gym://gymnasium:Env", "gym://\udcff", "GYM://x",
    f"gym://{CANARY}:Canary", f"gym://{CANARY}:canary", f"gym://{CANARY}:Nope",
    "hf://", "hf://nobody/nothing", "hf://../..", "hf://a/b/c/d", "hf:nobody", "http://example.org/x.csv", "s3://x/y",
    "file:///etc", "hf://" + "y" * 3000, "", " ", "-", ".", "/dev/zero", "/dev/stdin", "/proc", "/dev/full", "~",
)  # fmt: skip


def _address_case(number: int, address: str) -> Case:
    def make(place: Place) -> list[str]:
        place.plant()
        flags = samples.AGENT if address.lower().startswith("gym") else ("--epochs", "1", "--time-limit", "5s")
        return ["train", *flags, "--", address]

    return Case(f"address/{number}", make, told=CANARY in address)


def _own_case(name: str, reset: str, step: str, algorithm: str) -> Case:
    def make(place: Place) -> list[str]:
        (place.folder / f"{CANARY}_own.py").write_text(OWN.format(reset=reset, step=step))
        steps = samples.MEMORY if algorithm == "dqn" else samples.AGENT
        return ["train", f"gym://{CANARY}_own:Own", *steps]

    return Case(f"environment/{algorithm} {name}", make, told=True)


def cases(seed: int) -> list[Case]:
    rng = random.Random(f"{seed}/folders")
    found = []
    for kind in FOLDERS:
        found += [_folder_case(kind, name, CHANGES[name]) for name in rng.sample(sorted(CHANGES), 22)]
        for name, odd in ODD_FILES[kind].items():
            found.append(_odd_case(kind, name, odd, every=rng.random() < 0.5))
    tasks = {
        "photos": ("image-feature-extraction", "image-regression", "image-multi-label-classification"),
        "sounds": ("audio-regression", "text-to-audio", "automatic-speech-recognition"),
        "letters": ("text-generation", "fill-mask", "text-regression", "question-answering", "text-preference"),
    }
    for kind, names in tasks.items():
        for task in names:
            change = CHANGES[rng.choice(["one file each", "all the same", "cut", "no classes", "all zeros"])]
            found.append(_task_case(kind, task, change))
    found += [_address_case(number, address) for number, address in enumerate(ADDRESSES)]
    for name, (reset, step) in FAULTY.items():
        found.append(_own_case(name, reset, step, rng.choice(("ppo", "dqn"))))
    return found


def _task_case(kind: str, task: str, change: Change) -> Case:
    content, ending, _ = FOLDERS[kind]

    def make(place: Place) -> list[str]:
        folder = class_folders(place.folder / kind, content, ending)
        change(folder, place.rng)
        return [
            "train",
            kind,
            "--task",
            task,
            "--epochs",
            "1",
            "--workers",
            "0",
            "--time-limit",
            "8s",
            "--init",
            "random",
        ]

    return Case(f"folder/{kind}/as {task}", make)
