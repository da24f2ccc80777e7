"""Work with bounds: what takes too much is ended by the kernel, and the next question is answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pervade.core.bounded import Bounded, LimitExceeded

WORK = """
def answer(asked):
    if asked == "loop":
        while True:
            try:
                sum(range(10**7))
            except BaseException:
                pass
    if asked == "fill":
        return len(bytearray(3 << 30))
    return [asked, __import__("sys").path[0]]
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bounded:
    (tmp_path / "some_work.py").write_text(WORK)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "json.py").write_text("raise SystemExit('the current folder was looked in')")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Bounded("some_work:answer", 0.3)


def test_it_answers_and_ends_what_takes_too_much(work: Bounded) -> None:
    said = {"text": "naïve \ud800\n", "list": [1, None]}
    assert work.ask(said)[0] == json.loads(json.dumps(said))
    process = work._process
    assert work.ask(1)[0] == 1
    assert work._process is process, "one process answers them all"
    for asked, words in (("loop", r"more than 0\.3 s"), ("fill", "more than 2,048 MB")):
        with pytest.raises(LimitExceeded, match=words):
            work.ask(asked)
        assert work.ask(2)[0] == 2
    work.close()
    work.close()


def test_a_fault_of_ours_is_not_called_too_much() -> None:
    with pytest.raises(RuntimeError, match="ended with status 1"):
        Bounded("nowhere_at_all:answer", 1).ask(1)
