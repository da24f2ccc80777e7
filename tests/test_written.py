"""What a teacher writes trains its student beside the real texts, and is nowhere else."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import pervade
from pervade.compress.distil import Distil
from pervade.domains.corpus import Corpus
from pervade.domains.instructions import Instructions
from pervade.engine.checkpoint import load_checkpoint
from pervade.models.gpt import GPT
from pervade.recipes import language
from pervade.run import written
from pervade.run.compressing import Work
from pervade.run.progress import Silent
from pervade.run.training import Options
from tests import chats

TEXT = "the cat sees a small bird and then it sleeps.\nthe dog likes a bird and then it sees a cat.\n"


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pervade.Run:
    folder = tmp_path_factory.mktemp("stories")
    for number in range(20):
        (folder / f"{number:02d}.txt").write_text(TEXT * (1 + number % 3), encoding="utf-8")
    torch.set_num_threads(1)
    small = Corpus(length=32, num_tokens=320)
    made = replace(language.scratch(GPT(width=32, depth=4, heads=2)), domain=small, epochs=1, validation=0.1, test=0.2)
    return pervade.fit(folder, recipe=made, name="a", runs=tmp_path_factory.mktemp("runs"), options=Options())


def test_running_text_is_gone_on_from(run: pervade.Run) -> None:
    work = Work(run.directory, "best", None, Silent())
    loaded, screen = load_checkpoint(run.directory, "best"), Heard()
    domain = loaded.domain
    assert isinstance(domain, Corpus)
    rows = written.beside(work.rows, loaded, 0.5, 0, None, screen)
    own, made = rows.select(range(len(work.rows))), rows.select(range(len(work.rows), len(rows)))
    assert all(list(own.column(name)) == list(work.rows.column(name)) for name in work.rows.columns)
    assert set(made.column("split")) == {"train"} and len(set(rows.column("id"))) == len(rows)
    train = work.rows.where("split", "train")
    size, wrote = (len(domain.tokens(part).stream) for part in (train, made))
    assert 0.4 * size < wrote < size
    assert len(domain.tokens(rows.where("split", "train")).stream) == size + wrote
    # The network knows nothing yet. What begins at the last token of a text is its own.
    begun = [text[:3] in TEXT + TEXT for text in made.column("text")]
    assert sum(begun) > 0.7 * len(begun) > 2
    again = written.beside(work.rows, loaded, 0.5, 0, None, Silent())
    assert list(again.column("hash")) == list(rows.column("hash"))
    assert len(written.beside(work.rows, loaded, 0.5, 0, time.monotonic(), Silent())) == len(work.rows) + 1
    (line,) = screen.lines
    assert line.startswith(f"the teacher wrote {len(made)} texts (")


def test_a_student_learns_from_it_and_leaves_no_trace(run: pervade.Run) -> None:
    screen = Heard()
    work, step = Work(run.directory, "best", None, screen), Distil(written=0.3, epochs=1)
    before = run.directory.data.read_bytes()
    work.take(step, "best", "student", [step])
    assert any(line.startswith("the teacher wrote ") for line in screen.lines)
    assert load_checkpoint(run.directory, "student").architecture["compressed_from"] == "best"
    assert run.directory.data.read_bytes() == before and not (run.path / "compressing").exists()


def test_questions_are_answered(tmp_path: Path) -> None:
    source = chats.write(tmp_path / "chats.jsonl", chats.colours(30))
    run = pervade.fit(source, recipe=chats.recipe(epochs=1), name="a", runs=tmp_path / "runs", options=Options())
    loaded = load_checkpoint(run.directory, "best")
    assert isinstance(loaded.domain, Instructions)
    work = Work(run.directory, "best", None, Silent())
    rows = written.beside(work.rows, loaded, 5.0, 0, None, Silent())
    asked = [messages[:-1] for messages in work.rows.where("split", "train").column("messages")]
    for messages in rows.column("messages")[len(work.rows) :]:
        assert messages[:-1] in asked and messages[-1]["role"] == "assistant" and messages[-1]["content"].strip()
    assert len(work.rows) <= len(rows) <= len(work.rows) + len(asked)
