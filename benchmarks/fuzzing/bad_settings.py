"""Flags and settings with values that they cannot have, weights that are none, and streams that are closed."""

# ruff: noqa: E501 (odd values stand many in a line)

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from fuzzing.bad_inputs import PLACES
from fuzzing.bases import BASES
from fuzzing.samples import ENCODER, FOLDERS, ONE, PICTURES, SOUND, SPEECH, TABLES, WRITER, class_folders
from fuzzing.sandbox import CANARY, Case, Place

ODD = (
    "-1", "0", "1", "1e308", "-1e308", str(2**31), str(2**70), "", " ", "nan", "inf", "-inf", "0.5", "1e-300", "x", "\U0001f4a3",
    "n" * 5000, "a\nb", "\x1b[2J", "null", "[]", "{}", "[1, 2]", "true", "/dev/zero", "/dev/full", "/dev/null/x", "../..",
    "\udcff", "0x10", "1_0", "best", "-", "--", "%s", "auto", "cuda:99", "(", "(.*)*(.*)*$", "[[[[", "test", "a,b,c,d",
)  # fmt: skip
# As often as it is asked, for as long as it takes: no fault is found by waiting for these.
LASTING = ("--epochs", "--steps", "--seeds", "--folds", "--trials", "--episodes", "--length")
LARGE = ("1e308", str(2**31), str(2**70))


def flags_of() -> dict[str, list[str]]:
    """Every option of every verb that takes a value, in its longest spelling."""
    import typer.main

    from pervade import cli

    cli._register()
    verbs: Any = typer.main.get_command(cli.app)
    return {
        verb: [max(each.opts, key=len) for each in command.params if each.opts[0].startswith("-") and not each.is_flag]
        for verb, command in verbs.commands.items()
    }


def _base_of(verb: str, rng: random.Random) -> str:
    if verb == "predict":
        return rng.choice(sorted(set(BASES) - {"folds", "seeds"}))
    if verb == "merge":
        return "lora"
    return (
        rng.choice(["pictures", "texts", "agent", "folds", "sounds"]) if verb not in ("train", "tune", "demo") else ""
    )


def _flag_case(verb: str, flag: str, number: int, value: str, seed: int) -> Case:
    base = _base_of(verb, random.Random(f"{seed}/{verb}/{flag}/{number}"))

    def make(place: Place) -> list[str]:
        lasting = flag in LASTING and value in LARGE
        given = [flag, value] if flag == "-o" else [f"{flag}={value}"]
        if base:
            place.run(base)
            second = [base] if verb == "compare" else []
            new = (
                list(BASES[base][1]) if verb == "predict" and not (lasting or flag in ("--episodes", "--video")) else []
            )
            return [verb, base, *second, *given, *new]
        if verb == "demo":
            return [verb, *given]
        short = ["--time-limit", "4s"] if lasting else []
        if verb == "tune":
            (place.folder / "texts.csv").write_bytes(TABLES[0].content(place.folder))
            kept = [each for each in ENCODER if each not in ("--workers", "0")]
            limit = short if flag == "--time-limit" or short else ["--time-limit", "6s"]
            trials = [] if flag == "--trials" else ["--trials", "1"]
            return [verb, "texts.csv", *kept, *limit, *trials, *given]
        class_folders(place.folder / "photos", *FOLDERS["photos"][:2])
        return [verb, "photos", *PICTURES, *short, *given]

    return Case(f"flag/{verb} {flag}/{number}", make, base=base)


SETTINGS: dict[str, tuple[tuple[str, ...], str]] = {  # flags, and the file of samples.TABLES
    "text": (ENCODER, "texts.csv"),
    "writing": (WRITER, "book.txt"),
    "pictures": (PICTURES, "pictures.csv"),
    "sound": (SOUND, "recordings.csv"),
    "speech": (SPEECH, "metadata.csv"),
    "chats": (WRITER, "chats.jsonl"),
}
VALUES = (
    "-1", "0", "1e308", "-1e308", str(2**40), str(2**70), "''", ".nan", ".inf", "x", "null", "[]", "{}", "[1, [2]]", "true",
    "{use: nope}", "{use: sgd}", "0.5", "1e-300", "'\\x1b'", "1e9", "!!python/object/apply:os.system ['touch CANARY']",
    f"{{use: '{CANARY}:Canary'}}", f"{CANARY}:Canary", "*a", "{<<: {a: 1}}", "!!binary aaaa", "2001-01-01", "!!set {a, b}",
)  # fmt: skip
PARTS = ("domain", "task", "model", "optimizer", "schedule", "init", "source", "tuning", "early_stopping")


def paths_of(kind: str) -> list[str]:
    """Every setting of the recipe that this kind of data is learnt by."""
    from pervade.core import registry, spec

    flags, _ = SETTINGS[kind]
    cls, _ = registry.find("model", flags[flags.index("--model") + 1])
    domain, task = {
        "text": ("text", "classify"), "writing": ("corpus", "language_model"), "pictures": ("image", "classify"),
        "sound": ("sound", "classify"), "speech": ("transcripts", "transcribe"), "chats": ("instructions", "language_model"),
    }[kind]  # fmt: skip
    parts = {"model": cls()}
    for part, name in (("domain", domain), ("task", task), ("optimizer", "adamw"), ("schedule", "cosine")):
        names = [each for each in registry.names(part) if each.replace("-", "_") == name]
        parts[part] = registry.find(part, names[0])[0]()
    found = [f"{part}.{name}" for part, each in parts.items() for name in spec.encode(each)]
    plain = ("epochs", "batch_size", "micro_batch", "clip_norm", "l1", "l2", "average", "validation", "test", "seed",
             "device", "precision", "workers", "threads", "time_limit", "then", "format", "augment", "gradient",
             "early_stopping.every", "early_stopping.patience", "early_stopping.metric", "source.units", *PARTS)  # fmt: skip
    return [*found, *plain]


def _setting_case(kind: str, number: int, setting: str) -> Case:
    def make(place: Place) -> list[str]:
        place.plant()
        flags, file = SETTINGS[kind]
        table = next(each for each in TABLES if each.file == file)
        (place.folder / file).write_bytes(table.content(place.folder))
        endless = setting.startswith("epochs=") and setting.partition("=")[2] in (str(2**40), str(2**70), "1e9")
        kept = [each for each in flags if not each.startswith(f"-o{setting.partition('=')[0]}=")]
        return ["train", file, *kept, *(["--time-limit", "4s"] if endless else []), f"-o{setting}"]

    return Case(f"setting/{kind}/{number} {setting.partition('=')[0][:40]!r}", make)


def bomb(levels: int = 12) -> str:
    """YAML whose last line means 9 ** levels words."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


STRANGE = (
    "", "=", "a", "a=", "=1", "a.b.c=1", "domain=", "domain.=1", ".size=1", "domain..size=1", "domain.size.x=1", "__class__=1",
    "domain.__class__=1", "a" * 5000 + "=1", "\x1b[2J=1", "epochs=[", "epochs={", "epochs: 1", "epochs==1", "epochs=1=1",
    "domain={" + bomb(10).replace("\n", ", ") + "}", "domain=" + "[" * 3000, "domain=" + "{a: " * 3000, "epochs=1\nseed: 2",
    "epochs=&a [*a]", "domain=&a {a: *a}", "model={use: hf, name: ../../etc}", "model=hf:", "model=timm:nope", "model=timm:",
    "optimizer={use: adam, lr: {use: adam}}", "format=99", "format=x", "use=image", "labels=[a]", "\udcff=1", "init=pretrained",
)  # fmt: skip


class _Reduced:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch CANARY",)


def _zip(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


def _safetensors(head: Any, content: bytes = bytes(64), size: int | None = None) -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + content


def _tensor(**fields: Any) -> dict[str, Any]:
    return {"w": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]} | fields}


SAFETENSORS: dict[str, Callable[[], bytes]] = {
    "no tensors": lambda: _safetensors({}, b""),
    "long head": lambda: _safetensors(b"{}", size=2**63),
    "head beyond the file": lambda: _safetensors(b"{}", size=10**6),
    "offsets beyond": lambda: _safetensors(_tensor(data_offsets=[0, 10**12])),
    "offsets backwards": lambda: _safetensors(_tensor(data_offsets=[64, 0])),
    "offsets below zero": lambda: _safetensors(_tensor(data_offsets=[-64, 0])),
    "huge shape": lambda: _safetensors(_tensor(shape=[2**40, 2**40])),
    "unknown numbers": lambda: _safetensors(_tensor(dtype="F7")),
    "head no object": lambda: _safetensors([1]),
    "deep head": lambda: _safetensors(b'{"a":' * 100_000),
    "odd names": lambda: _safetensors({"\x1b[2J\n": _tensor()["w"]}),
    "metadata no text": lambda: _safetensors({"__metadata__": {"a": 1}, **_tensor()}),
    "nothing fits": lambda: _safetensors(_tensor()),
}
WEIGHTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    **{f"safetensors {name}": ("w.safetensors", content) for name, content in SAFETENSORS.items()},
    "pickle": ("w.pth", lambda: pickle.dumps(_Reduced())),
    "pickle in a zip": (
        "w.pt",
        lambda: _zip(**{"archive/data.pkl": pickle.dumps(_Reduced()), "archive/version": b"3"}),
    ),
    "empty": ("w.pth", lambda: b""),
    "garbage": ("w.bin", lambda: bytes(range(256)) * 20),
    "zip of nothing": ("w.zip", lambda: _zip()),
    "agent without data": ("agent.zip", lambda: _zip(**{"policy.pth": b"x"})),
    "agent's data no json": ("agent.zip", lambda: _zip(data=b"{", **{"policy.pth": pickle.dumps(_Reduced())})),
    "agent's data a list": ("agent.zip", lambda: _zip(data=b"[]", **{"policy.pth": b""})),
    "agent's data pickled": (
        "agent.zip",
        lambda: _zip(
            data=json.dumps({"policy_class": {":type:": "x", ":serialized:": "gAVLAS4="}}).encode(),
            **{"policy.pth": pickle.dumps(_Reduced()), "_stable_baselines3_version": b"2"},
        ),
    ),
    "agent's data large": ("agent.zip", lambda: _zip(data=b'{"a": "' + b"a" * 200_000_000 + b'"}')),
    "agent's name long": (
        "agent.zip",
        lambda: _zip(data=json.dumps({"policy_class": {"__module__": "a" * 200_000}}).encode(), **{"policy.pth": b""}),
    ),
    "gguf": ("w.gguf", lambda: b"GGUF" + bytes(100)),
    "numpy": (
        "w.npy",
        lambda: b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,)}" + b" " * 40,
    ),
    "text": ("w.txt", lambda: b"hello"),
    "table": ("w.csv", lambda: TABLES[0].rows.__name__.encode()),
}
GIVEN = (
    "",
    " ",
    "random ",
    "pretrained",
    "nope",
    "/dev/zero",
    "/dev/null",
    "/dev/full",
    ".",
    "hf:",
    "hf:../..",
    "hf:a/b",
    "\x1b",
    "x" * 5000,
)


def _init_case(name: str, file: str, content: Callable[[], bytes]) -> Case:
    def make(place: Place) -> list[str]:
        (place.folder / file).write_bytes(content())
        if file.startswith("agent"):
            return ["train", "gym://CartPole-v1", "--steps", "0", "-odomain.episodes=4", "--init", file]
        class_folders(place.folder / "photos", *FOLDERS["photos"][:2])
        return ["train", "photos", *PICTURES, "--init", file]

    return Case(f"init/{name}", make)


def _given_case(number: int, value: str, agent: bool) -> Case:
    def make(place: Place) -> list[str]:
        if agent:
            return ["train", "gym://CartPole-v1", "--steps", "0", "-odomain.episodes=4", f"--init={value}"]
        class_folders(place.folder / "photos", *FOLDERS["photos"][:2])
        return ["train", "photos", *PICTURES, f"--init={value}"]

    return Case(f"init/given {number}{' agent' if agent else ''}", make)


def _init_place(name: str) -> Case:
    def make(place: Place) -> list[str]:
        PLACES[name](place.folder / "w.safetensors")
        class_folders(place.folder / "photos", *FOLDERS["photos"][:2])
        return ["train", "photos", *PICTURES, "--init", "w.safetensors"]

    return Case(f"init/place {name}", make)


TOGETHER = (
    ("train", "--freeze", "--lora"), ("train", "--recipe", "r.yaml", "--model", "gpt"), ("train", "--folds", "2", "--seeds", "2"),
    ("train", "--lora", "--init", "random"), ("train", "--freeze"), ("train", "--algorithm", "ppo"), ("train", "--steps", "5"),
    ("train", "--group-pattern", "(a)", "--group-by", "x"), ("train", "--label-pattern", "x"), ("train", "--folds", "group"),
    ("train", "--time-limit", "5s", "--folds", "2"), ("train", "--seeds", "1"), ("train", "--folds", "1"), ("train", "--task", "nope"),
    ("train", "--model", "wavenet"), ("train", "--model", "transformer"), ("train", "--model", "policy"), ("train", "--model", "hf:"),
    ("train", "--model", "gpt"), ("train", "--model", "sound-cnn"), ("train", "--model", "perceptron"), ("train", "--tta", "--lora"),
    ("train", "--task", "text-classification"), ("train", "--task", "reinforcement-learning"), ("train", "--unknown"),
    ("train", "--text-column", "x"), ("train", "--label-column", "a,b"), ("train", "--file-column", "x"), ("train", "another"),
    ("train", "--name", "../x"), ("train", "--name", "a/b"), ("train", "--name", "."), ("train", "--lr", "find", "--folds", "2"),
)  # fmt: skip


def _together_case(number: int, given: tuple[str, ...]) -> Case:
    def make(place: Place) -> list[str]:
        class_folders(place.folder / "photos", *FOLDERS["photos"][:2])
        named = "--model" in given or "--recipe" in given or "--task" in given
        return [given[0], "photos", *(ONE if named else PICTURES), "--time-limit", "8s", *given[1:]]

    return Case(f"together/{number} {' '.join(given[1:])}", make)


PLAIN: tuple[tuple[str, ...], ...] = (
    (), ("nope",), ("--nope",), ("train",), ("train", ""), ("evaluate",), ("evaluate", "nope"), ("predict",), ("predict", "nope", "x"),
    ("predict", ""), ("predict", "/dev/zero", "x"), ("predict", "hf:", "x"), ("predict", "hf:nope", "x", "-o", "out"), ("compare",),
    ("compare", "a"), ("compare", "a", "a"), ("merge", "nope"), ("report", "."), ("report", "/dev/null"), ("resume", "/"), ("tune",),
    ("resume", "\x1b[2J"), ("models", "x"), ("tasks", "x"), ("doctor", "x"), ("models",), ("tasks",), ("doctor",), ("\x1b",), ("-h", "x"),
    ("evaluate", "x" * 5000), ("report", "\udcff"), ("demo", "--name", ""), ("tune", "gym://CartPole-v1", "--trials", "0"),
    ("compare", "\udcff", "b"), ("evaluate", "a\nb"), ("predict", "a\x00b", "x"), ("train", "a\x00b"), ("merge", ""), ("resume", ""),
)  # fmt: skip


def _stream_case(name: str, arguments: tuple[str, ...], **how: Any) -> Case:
    def make(place: Place) -> list[str]:
        if "pictures" in arguments:
            place.run("pictures")
        return list(arguments)

    return Case(f"stream/{name}", make, alone=True, base="pictures" if "pictures" in arguments else "", **how)


PREDICT = ("predict", "pictures", "photos/cat/0.png")
STREAMS = (
    _stream_case("no input", PREDICT, closed=(0,)),
    _stream_case("no output", PREDICT, closed=(1,)),
    _stream_case("no errors", PREDICT, closed=(2,)),
    _stream_case("no errors, refused", ("predict", "pictures", "nope.png"), closed=(2,)),
    _stream_case("none", PREDICT, closed=(0, 1, 2)),
    _stream_case("full output", PREDICT, full=(1,)),
    _stream_case("full errors", PREDICT, full=(2,)),
    _stream_case("full output of models", ("models",), full=(1,)),
    _stream_case("no output of tasks", ("tasks",), closed=(1,)),
    _stream_case("full output of evaluate", ("evaluate", "pictures"), full=(1,)),
    _stream_case("no errors in evaluate", ("evaluate", "pictures"), closed=(2,)),
    _stream_case("full errors of a report", ("report", "pictures"), full=(1, 2)),
)


def cases(seed: int) -> list[Case]:
    rng = random.Random(f"{seed}/settings")
    found = []
    for verb, flags in flags_of().items():
        number = {"train": 5, "predict": 4, "demo": 1}.get(verb, 3)
        for flag in flags:
            found += [_flag_case(verb, flag, i, value, seed) for i, value in enumerate(rng.sample(ODD, number))]
    for kind in SETTINGS:
        paths = paths_of(kind)
        chosen = [f"{path}={rng.choice(VALUES)}" for path in rng.sample(paths, min(28, len(paths)))]
        found += [_setting_case(kind, number, setting) for number, setting in enumerate(chosen)]
    found += [_setting_case("pictures", 100 + number, setting) for number, setting in enumerate(STRANGE)]
    found += [_init_case(name, *each) for name, each in WEIGHTS.items()]
    found += [_given_case(number, value, rng.random() < 0.4) for number, value in enumerate(GIVEN)]
    found += [_init_place(name) for name in sorted(PLACES)]
    found += [_together_case(number, given) for number, given in enumerate(TOGETHER)]
    found += [Case(f"plain/{i}", lambda place, each=each: list(each)) for i, each in enumerate(PLAIN)]
    return [*found, *STREAMS]
