"""One small trained run of every kind, made once: what damaged runs are copies of."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from fuzzing import samples
from fuzzing.sandbox import Case, Place, run


def _table(name: str, *more: str) -> Callable[[Place], list[str]]:
    kind = next(each for each in samples.TABLES if each.file == name)

    def make(place: Place) -> list[str]:
        (place.folder / name).write_bytes(kind.content(place.folder))
        return ["train", name, *kind.flags, *more]

    return make


def _folder(name: str, *more: str) -> Callable[[Place], list[str]]:
    content, ending, flags = samples.FOLDERS[name]

    def make(place: Place) -> list[str]:
        samples.class_folders(place.folder / name, content, ending)
        return ["train", name, *flags, *more]

    return make


def _voices(place: Place) -> list[str]:
    samples.class_folders(place.folder / "voices", samples.sound, ".wav", 8)
    flags = ("--task", "text-to-audio", "--model", "wavenet", *samples.ONE)
    small = samples.settings(
        "model.channels=4", "model.skip=8", "model.longest=8", "model.stacks=1", "domain.rate=2000"
    )
    return ["train", "voices", *flags, *small]


def _books(*more: str) -> Callable[[Place], list[str]]:
    def make(place: Place) -> list[str]:
        (place.folder / "books").mkdir()
        for i, text in enumerate(samples.BOOK.split(".\n")[k::12] for k in range(12)):
            (place.folder / "books" / f"{i}.txt").write_text("\n".join(text))
        return ["train", "books", *samples.WRITER, *more]

    return make


def _agent(*more: str) -> Callable[[Place], list[str]]:
    return lambda place: ["train", "gym://CartPole-v1", *samples.AGENT, *more]


def _dqn(place: Place) -> list[str]:
    return ["train", "gym://CartPole-v1", *samples.MEMORY]


BASES: dict[str, tuple[Callable[[Place], list[str]], tuple[str, ...]]] = {  # and what is predicted of it
    "pictures": (_folder("photos"), ("photos/cat/0.png",)),
    "texts": (_table("texts.csv"), ("so plain",)),
    "numbers": (_table("numbers.csv"), ("so plain",)),
    "tags": (_table("tags.csv"), ("so plain",)),
    "hidden": (_table("hidden.csv"), ("it was [MASK]",)),
    "book": (_books(), ("Once", "--length", "5")),
    "chats": (_table("chats.jsonl"), ("say 3", "--length", "5")),
    "questions": (_table("squad.json"), ("Which city is it?\tnumber 3 went to rome",)),
    "sounds": (_folder("sounds"), ("sounds/cat/0.wav",)),
    "speech": (_table("metadata.csv"), ("f0.wav",)),
    "voices": (_voices, ("cat", "-o", "made", "--length", "40")),
    "agent": (_agent(), ("7",)),
    "memory": (_dqn, ("7",)),
    "folds": (_folder("photos", "--folds", "2"), ("photos/cat/0.png",)),
    "seeds": (_agent("--seeds", "2"), ("7",)),
    "lora": (_books("-otuning=lora"), ("Once", "--length", "5")),
}


def made(scratch: Path, seed: int, workers: int) -> Path:
    """The folder that holds them; made unless the same code and seed made them before. Raises SystemExit."""
    import pervade

    digest = hashlib.sha256(str(seed).encode())
    for root in (Path(pervade.__file__).parent, Path(__file__).parent):
        for path in sorted(root.rglob("*.py")):
            digest.update(path.read_bytes())
    folder = scratch / f"bases-{digest.hexdigest()[:12]}"
    if folder.exists():
        return folder
    for old in scratch.glob("bases-*"):
        shutil.rmtree(old)
    building = scratch / "bases-new"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    cases = []
    for name, (make, _) in BASES.items():
        cases.append(
            Case(
                name,
                lambda place, make=make, name=name: [*make(place), "--name", name],
                unlimited=True,
            )
        )
    wrong = []
    for outcome in run(cases, scratch / "making", building, seed, workers, 120.0, keep=True):
        work = scratch / "making" / hashlib.sha256(outcome.case.name.encode()).hexdigest()[:12] / "work"
        if outcome.status or outcome.faults:
            wrong.append(f"the run {outcome.case.name} could not be made: {outcome.faults} {outcome.last}")
            continue
        work.rename(building / outcome.case.name)
    shutil.rmtree(scratch / "making")
    if wrong:
        raise SystemExit("\n".join(wrong))
    building.rename(folder)
    return folder
