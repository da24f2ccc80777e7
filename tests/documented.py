"""What the pages talk of, made small: the data that their commands name, and what a test adds to a command so that it
ends in about a second."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests import chats, questions, texts
from tests.data import sounds, spoken
from tests.data.drawing import class_folders, encoded, pixels

FEW = ("--epochs", "1", "--workers", "0", "--threads", "1")
ONE_PASS = (*FEW, "--init", "random")


def small(model: str, *settings: str) -> tuple[str, ...]:
    return (*ONE_PASS, "--model", model, *(f"-o{setting}" for setting in settings))


NARROW = ("model.width=16", "model.depth=1")
PICTURES = small("reference-cnn", "domain.size=16", "model.filters=[4,4,8]", "model.dense=8")
TEXTS = small("transformer-tiny", *NARROW, "model.heads=2", "domain.num_tokens=300", "domain.length=32")
WRITING = small("gpt-tiny", *NARROW, "model.heads=2", "domain.num_tokens=300", "domain.length=32")
SOUND = small("sound-cnn", "model.width=8", "model.stages=1", "model.features=16", "domain.views=1")
PAINTING = small(
    "unet-small", "domain.size=8", "model.widths=[8]", "model.attention=[]", "model.head=8", "batch_size=8"
)
WAVENET = small("wavenet-tiny", "model.channels=4", "model.skip=8", "model.longest=8")
SPEECH = small("conformer-tiny", *NARROW, "model.heads=2", "model.channels=4")
ACTING = (
    "--steps",
    "128",
    *(f"-o{each}" for each in ("domain.episodes=2", "domain.environments=2", "source.steps=64")),
)


@dataclass(frozen=True)
class Small:
    """What is added to a command of the pages, and the run that it makes where others go on from that one."""

    add: tuple[str, ...] = ()
    run: str | None = None
    slow: str | None = None  # why it is left to `make test-all`


AGAIN = ("-o", "epochs=1", "-o", "threads=1")
BY_SPEAKER = r"--label-pattern '^(\d)_' --group-pattern '_(?P<speaker>.+)_'"
# The commands that are run, in any order: what one needs is made first (`run`).
COMMANDS = {
    "pervade train photos/": Small(PICTURES, "photos-ladder"),
    "pervade train reviews.csv": Small(TEXTS, "reviews-ladder"),
    "pervade train asked.json": Small(TEXTS, "asked-hf"),
    "pervade train books/": Small(WRITING, "books-ladder"),
    "pervade train sounds/": Small(SOUND, "sounds-ladder"),
    "pervade train spoken/": Small(SPEECH, "spoken-conformer"),
    "pervade train gym://CartPole-v1": Small(ACTING, "CartPole-v1-policy"),
    "pervade train people/ --task image-feature-extraction": Small(PICTURES),
    "pervade train photos/ --dry-run": Small(),
    "pervade train photos/ --init photos-ladder": Small(AGAIN),
    "pervade resume photos-ladder": Small(),
    "pervade evaluate photos-ladder": Small(),
    "pervade report photos-ladder": Small(),
    "pervade predict photos-ladder new/ --top 3 --csv": Small(),
    'pervade predict reviews-ladder "so much fun" more.csv': Small(),
    r"pervade predict asked-hf $'Who?\tIt was Anna who came.'": Small(),
    'pervade predict books-ladder "It was a" --seed 3 --temperature 0.7': Small(("--length", "10")),
    "pervade predict spoken-conformer spoken/0.wav": Small(),
    "pervade train photos/ --task unconditional-image-generation --name painted": Small(PAINTING, "painted"),
    "pervade predict painted --number 64 --seed 0 -o made/": Small(),
    "pervade train photos/ --task unconditional-image-generation --init painted -o task.distil=4 --name quick": Small(
        (*FEW, "-obatch_size=8")
    ),
    "pervade export --list": Small(),
    "pervade serve photos-ladder --check": Small(),
    "pervade ui --port 0 --check": Small(),
    "pervade doctor": Small(),
    "pervade models": Small(),
    "pervade tasks": Small(),
    # slow
    "pervade demo": Small(slow="the demo as it is: half a minute"),
    "pervade train photos/ --model convnext-tiny --name other-run": Small(
        (*PICTURES, "--epochs", "2"), "other-run", slow="a second run, to be compared"
    ),
    "pervade compare photos-ladder other-run": Small(slow="trains two runs"),
    "pervade evaluate photos-ladder august/": Small(slow="tests/cli measure on other data too"),
    "pervade tune photos/ --trials 20": Small((*PICTURES, "--trials", "2"), slow="two trainings, and Optuna's import"),
    "pervade train photos/ --seeds 5": Small(PICTURES, slow="five trainings"),
    "pervade train photos/ --folds 5": Small(PICTURES, slow="five trainings"),
    "pervade train photos/ --recipe runs/photos-ladder/recipe.yaml --name again": Small(slow="trains a second run"),
    "pervade train reviews.csv --label-column label --split-column none": Small(TEXTS, slow="trains a second run"),
    "pervade train reviews.csv --ladder plain,frozen": Small(TEXTS, slow="trains a second run"),
    "pervade train notes/ --task fill-mask --name ward": Small(TEXTS, "ward", slow="one training of several of texts"),
    'pervade predict ward "The patient shows [MASK]."': Small(slow="trains a run"),
    "pervade train labelled.csv --init ward": Small(AGAIN, slow="trains two runs"),
    "pervade train chats.jsonl": Small(WRITING, "chats-ladder", slow="one training of several of texts"),
    "pervade train pairs.jsonl --init chats-ladder": Small(AGAIN, slow="trains two runs"),
    "pervade train books/ --init books-ladder": Small(AGAIN, slow="trains a second run"),
    "pervade train books/ --init books-ladder --lora --name books-lora": Small(
        AGAIN, "books-lora", slow="peft's import"
    ),
    "pervade compress photos-ladder --steps sparse --max-drop 0.01 --target size": Small(
        ("-o", "sparse.epochs=0"), slow="writes two graphs, and starts three processes"
    ),
    "pervade export photos-ladder": Small(("--rows", "4"), slow="torch's exporter: 3 s"),
    "pervade merge books-lora": Small(slow="peft's import: 3 s"),
    f"pervade train digits/ {BY_SPEAKER} --folds group": Small(SOUND, slow="a training for each of six speakers"),
    f"pervade train digits/ --task text-to-audio {BY_SPEAKER} --name voices": Small(
        WAVENET, "voices", slow="one training of several of sounds"
    ),
    "pervade predict voices 7 1/anna --seed 3 -o made/": Small(("--length", "100"), slow="trains a run"),
    "pervade predict CartPole-v1-policy --episodes 3 --video out.gif": Small(slow="draws a film"),
}


def table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def pictures(folder: Path) -> None:
    class_folders(folder / "photos", count=12)
    class_folders(folder / "august", ("cat", "dog"), count=30)
    class_folders(folder / "people", tuple("abcdefgh"), count=4)
    (folder / "new").mkdir()
    for colour, label in enumerate(("cat", "dog")):
        (folder / "new" / f"{label}.png").write_bytes(encoded(pixels(colour, 99)))
        Image.open(folder / "new" / f"{label}.png").save(folder / f"{label}.jpg")


def tables(folder: Path) -> None:
    """What the pages name beside the data that are trained on."""
    photos = sorted(path.relative_to(folder) for path in (folder / "photos").glob("*/*.png"))
    table(folder / "labels.csv", ("file", "label"), [(path, path.parts[1]) for path in photos])
    reviews = texts.reviews(40)
    table(folder / "pairs.csv", ("premise", "hypothesis", "label"), [(one, one[::-1], label) for one, label in reviews])
    table(folder / "posts.csv", ("title", "body", "label"), [(one[:9], one, label) for one, label in reviews])
    for number, (one, label) in enumerate(reviews):
        path = folder / "inbox" / label / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(one, encoding="utf-8")
    asked = [
        (ask["question"], paragraph["context"], ask["answers"][0]["text"])
        for article in questions.squad(6)["data"]
        for paragraph in article["paragraphs"]
        for ask in paragraph["qas"]
    ]
    table(folder / "asked.csv", ("question", "context", "answers"), asked)
    sound = sorted((folder / "digits").iterdir())
    clips = [(f"digits/{path.name}", path.name[0], number % 3) for number, path in enumerate(sound)]
    table(folder / "clips.csv", ("file", "label", "fold"), clips)
    with (folder / "spoken" / "metadata.csv").open(encoding="utf-8") as file:
        said = [(f"spoken/{name}", words, f"speaker {int(name[0]) % 5}") for name, words in list(csv.reader(file))[1:]]
    table(folder / "metadata.csv", ("file_name", "transcription", "speaker"), said)
    table(
        folder / "spoken" / "metadata.csv",
        ("file_name", "transcription", "speaker"),
        [(Path(a).name, b, c) for a, b, c in said],
    )


def writing(folder: Path) -> None:
    (folder / "books").mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        lines = [" ".join(rng.choice(texts.FILLING, 9)) + "." for _ in range(30)]
        (folder / "books" / f"{number}.txt").write_text("\n".join(lines), encoding="utf-8")
    shutil.copytree(folder / "books", folder / "notes")
    chats.write(folder / "chats.jsonl", chats.colours(60))
    chats.write(folder / "pairs.jsonl", chats.tastes(60))


def write(folder: Path) -> Path:
    """Everything, below `folder`: a few kB of each."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures(folder)
    table(folder / "reviews.csv", ("text", "label"), texts.reviews(80))
    table(folder / "more.csv", ("text",), [(text,) for text, _ in texts.reviews(4, seed=1)])
    table(folder / "labelled.csv", ("text", "label"), texts.reviews(80, seed=2))
    questions.write(folder / "asked.json", questions.squad(12))
    writing(folder)
    sounds.speakers(folder / "digits", ("anna", "ben", "cleo", "dora", "emil", "finn"), count=3)
    for path in sorted((folder / "digits").iterdir()):
        number = {"low": "1", "high": "7"}[path.name.partition("_")[0]]
        path.rename(path.with_name(f"{number}_{path.name.partition('_')[2]}"))
        label = folder / "sounds" / {"1": "low", "7": "high"}[number]
        label.mkdir(parents=True, exist_ok=True)
        shutil.copy(path.with_name(f"{number}_{path.name.partition('_')[2]}"), label)
    spoken.spoken(folder / "spoken", count=40)
    tables(folder)
    return folder
