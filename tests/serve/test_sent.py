"""What is sent becomes the row that `predict` makes of the same, in a folder with no file of such a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pervade.core import registry
from pervade.core.contracts.asking import Askable
from pervade.core.types import LeftOut
from pervade.domains.corpus import Corpus
from pervade.domains.environment import Environment
from pervade.domains.generated_pictures import GeneratedPictures
from pervade.domains.image import Image
from pervade.domains.instructions import Instructions
from pervade.domains.questions import Questions
from pervade.domains.text import Text
from pervade.domains.waveform import Waveform

LONG = "so fine " * 20
TALK = [{"role": "user", "content": "Who?"}]


@pytest.mark.parametrize(
    ("domain", "sent", "asked"),
    [
        (Text(), {"input": "so fine"}, "so fine"),
        (Text(), {"input": LONG}, LONG),
        (Text(pair=True), {"text": "a", "second": "b\tc"}, "a\tb\tc"),
        (Corpus(), {"input": "It was a"}, "It was a"),
        (Questions(), {"question": "Who?", "context": "It was Anna."}, "Who?\tIt was Anna."),
        (Instructions(), {"input": "Who?"}, "Who?"),
        (Instructions(), {"input": TALK}, TALK),
        (Environment(name="CartPole-v1"), {"input": "7"}, "7"),
        (Environment(name="CartPole-v1"), {"input": "x"}, "x"),
        (Waveform(labels=("1", "7"), speakers=("anna",)), {"input": "7/anna"}, "7/anna"),
        (Waveform(labels=("1", "7")), {"input": "8"}, "8"),
        (GeneratedPictures(labels=("cat",), condition="label"), {"input": "cat", "seed": "2"}, "cat"),
        (GeneratedPictures(labels=("cat",), condition="label"), {"input": "dog", "seed": "2"}, "dog"),
    ],
)
def test_it_is_asked_as_predict_asks(
    domain: Any, sent: dict[str, Any], asked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(domain, Askable)
    assert {field.name for field in domain.fields()} == sent.keys()
    assert domain.sent(sent, "", 3) == next(iter(domain.asked(asked, 3)))


def test_names_of_files_are_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("what lies there")
    sent = [Text().sent({"input": "a.txt"}, ""), Corpus().sent({"input": "a.txt"}, "")]
    sent += [Questions().sent({"question": "Who?", "context": "a.txt"}, "")]
    sent += [Instructions().sent({"input": "a.txt"}, "")]
    for row in sent:
        assert isinstance(row, dict) and "what lies there" not in str(row) and "a.txt" in str(row)


def test_what_is_none_says_why() -> None:
    assert isinstance(Questions().sent({"question": " ", "context": "a"}, ""), LeftOut)
    assert isinstance(GeneratedPictures().sent({"input": "", "seed": "-1"}, ""), LeftOut)
    assert Image().sent({"input": "/private/0.png"}, "cat.png") == {"id": "cat.png", "path": "/private/0.png"}


def test_all_domains_but_codes_of_others_can_be_sent_something() -> None:
    domains = {name for name in registry.names("domain", variants=False) if not name.startswith("toy-")}
    assert {name for name in domains if not issubclass(registry.find("domain", name)[0], Askable)} == {"codebook"}
