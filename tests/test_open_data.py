"""Data opened without a run are what a run of them has: rows, what is left out, what is noticed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pervade
from pervade.core import files
from pervade.core.contracts import Opened, Recipe
from pervade.core.errors import ConfigError, DataError
from pervade.core.run import RunDirectory
from pervade.domains.image import Image
from pervade.run import opening, workflow
from pervade.run.training import Options
from tests import chats, questions, texts
from tests.data import spoken
from tests.data.drawing import class_folders
from tests.data.sounds import speakers
from tests.small_run import recipe


def pictures(root: Path) -> Path:
    class_folders(root / "pictures")
    (root / "pictures" / "cat" / "torn.png").write_bytes(b"no picture")
    (root / "pictures" / "dog" / "copy.png").write_bytes((root / "pictures" / "dog" / "0.png").read_bytes())
    return root / "pictures"


def reviews(root: Path) -> Path:
    rows = texts.reviews(40)
    return texts.write(root / "reviews.tsv", [*rows, (" ".join(["long"] * 300), "good"), ("", "bad")])


def books(root: Path) -> Path:
    (root / "books").mkdir()
    for number in range(4):
        (root / "books" / f"{number}.txt").write_text(f"It was a night of number {number}.\n" * 100)
    (root / "books" / "5.txt").write_text("")
    return root / "books"


def sounds(root: Path) -> Path:
    speakers(root / "sounds")
    (root / "sounds" / "low_anna_9.wav").write_bytes(b"no sound")
    return root / "sounds"


def asked(root: Path) -> Path:
    return questions.write(root / "squad.json", questions.squad(4, long=400))


def talk(root: Path) -> Path:
    return chats.write(root / "talk.jsonl", chats.colours(20))


def transcripts(root: Path) -> Path:
    spoken.spoken(root / "spoken", count=20)
    return root / "spoken"


def one_text(root: Path) -> Path:
    (root / "one.txt").write_text("It was a night.\n" * 20)
    return root / "one.txt"


def pole(root: Path) -> str:
    return "gym://CartPole-v1"


BY_NAME = {"label_pattern": "^([^_]+)"}
# What `fit` is given, and something of what there is to be known of the data.
KINDS: dict[str, tuple[Callable[[Path], Any], dict[str, Any], str]] = {
    "pictures": (pictures, {"model": "reference-mlp", "settings": ["domain.size=16"]}, "cannot"),
    "texts": (reviews, {}, "1 of 41 texts are longer than"),
    "running text": (books, {}, "empty"),
    "sound": (sounds, BY_NAME, "who or what was recorded is not known"),
    "questions": (asked, {}, "questions have texts that are read in several windows"),
    "conversations": (talk, {}, "conversations are written by a plain chat template"),
    "transcripts": (transcripts, {}, "who speaks is not known"),
    "environment": (pole, {"steps": 2048}, "CartPole-v1: sees numbers (4)"),
}


def inside(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_what_a_run_of_them_has(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, flags, telling = KINDS[kind]
    monkeypatch.chdir(tmp_path)
    flags = {"init": "random", "threads": 1, **flags, "runs": tmp_path / "runs"}
    data = make(tmp_path)
    before = inside(tmp_path)
    opened = pervade.open_data(data, **flags)
    opened.remarks  # noqa: B018  (which fits the domain)
    assert inside(tmp_path) == before
    monkeypatch.setattr("pervade.run.training.Training.go", lambda training: None)  # all that comes before it is done
    run = pervade.fit(data, name="run", ladder=["trained"], **flags).directory
    stored = run.read_data()
    columns = {name: list(opened.rows.column(name)) for name in opened.rows.columns if name not in workflow.MADE}
    assert as_json(columns) == stored["columns"]
    assert opened.splits == {name: stored["columns"]["split"].count(name) for name in opened.splits}
    assert opened.source == stored["source"]
    assert [{"source": item.source, "reason": item.reason} for item in opened.left_out] == stored["left_out"]
    kept = files.read_json(run.remarks)
    assert list(opened.account) == kept["account"]
    assert opened.remarks == kept["remarks"][: len(opened.remarks)]  # then those of the network and its source
    assert opened.task == files.read_json(run.environment)["task"]
    assert telling in " ".join([*opened.remarks, *opened.account, *(item.reason for item in opened.left_out)])


def twins(opened: Opened) -> list[str]:
    """A check: which rows hold the same bytes as one before them."""
    seen: set[str] = set()
    ids = zip(opened.rows.column("id"), opened.rows.column("hash"), strict=True)
    return [name for name, content in ids if content in seen or seen.add(content)]


def test_a_domain_is_enough(tmp_path: Path) -> None:
    opened = opening.open_data(pictures(tmp_path), Image())
    assert twins(opened) == ["dog/copy.png"]
    assert [Path(item.source).name for item in opened.left_out] == ["torn.png"]
    assert sum(opened.splits.values()) == len(opened.rows) == 17
    assert opened.fitted.labels == ("cat", "dog")
    assert set(opened.train.column("split")) == {"train"}
    assert not opened.remarks


def test_folds_learn_from_every_row(tmp_path: Path) -> None:
    opened = pervade.open_data(speakers(tmp_path / "sounds"), folds=3, init="random", **BY_NAME)
    assert len(opened.train) == len(opened.rows) == 24
    assert opened.fitted.labels == ("high", "low")


def test_what_the_data_keep_for_a_test_stays_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "test"):
        class_folders(tmp_path / "pictures" / split, count=4 if split == "train" else 2)
    opened = pervade.open_data(tmp_path / "pictures", folds=2, init="random")
    assert len(opened.train) + opened.splits["aside"] == len(opened.rows)
    assert "the data's own test split (" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "flags", "error", "message"),
    [
        (lambda root: root / "gone", {}, DataError, "gone"),
        (pictures, {"options": Options(on_bad_file="fail")}, DataError, "torn.png: .*; mend or remove it, or leave"),
        (reviews, {"label_column": "stars"}, DataError, "no column 'stars'"),
        (pictures, {"settings": ["validation=2"]}, ConfigError, "validation"),
        (pole, {"folds": 3}, ConfigError, "divides rows of data, and an environment has none"),
        (one_text, {}, DataError, "nothing can be held out of 1 row"),
    ],
)
def test_bad_input_is_refused_as_fit_refuses_it(
    make: Callable[[Path], Any], flags: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    data = make(tmp_path)
    told = []
    for take in (pervade.open_data, pervade.fit):
        with pytest.raises(error, match=message) as raised:
            take(data, init="random", runs=tmp_path / "runs", **flags)
        told.append(str(raised.value))
    assert told[0] == told[1]
    assert "\n" not in told[0]


def test_a_new_run_takes_its_source_from_whoever_begins_it(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """environment.json is read back on resume alone: what is written there since matters to no other."""
    begin = workflow.begin

    def begin_and_forget(run: RunDirectory, chosen: Recipe, request: workflow.Request) -> None:
        begin(run, chosen, request)
        files.write_json(run.environment, {**files.read_json(run.environment), "source": "gone", "find_lr": True})

    monkeypatch.setattr(workflow, "begin", begin_and_forget)
    run = pervade.fit(shapes, recipe=recipe(epochs=0, threads=1), runs=tmp_path, name="a", seeds=2).directory
    for begun in (run, run.member("seed-0"), run.member("seed-1")):
        assert begun.read_data()["source"] == str(shapes)
        assert not begun.lr_find.exists()
    assert workflow.requested(run) == workflow.Request("gone", None, True)
