"""One name for one label: spellings, numbers that are equal, and which of two classes is the positive one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pervade.core.errors import ConfigError, DataError
from pervade.core.types import Rows
from pervade.data.read import account, label_names, targets
from pervade.domains.sound import Sound
from pervade.domains.text import Text
from pervade.domains.waveform import Waveform
from pervade.metrics.classification import classification_metrics
from pervade.metrics.estimate import estimate
from tests.data.sounds import tone, write


def settled(values: list[Any], kind: str = "class", **asked: Any) -> tuple[list[Any], list[str]]:
    with account.gathered() as notes:
        rows = Rows({"id": [str(i) for i in range(len(values))], "target": values})
        found = label_names.settle(rows, kind, **asked)  # type: ignore[arg-type]
    return list(found.column("target")), notes


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (["-1", "1"], ["-1", "1"]),
        (["+1", "-1"], ["-1", "+1"]),
        (["1", "0", "-1"], ["-1", "0", "1"]),
        (["10.0", "2.5"], ["2.5", "10.0"]),
        ([str(i) for i in (10, 9, 1, 2)], ["1", "2", "9", "10"]),
        (["1e3", "\u22122", "5"], ["\u22122", "5", "1e3"]),  # with the sign for minus
        (["yes", "no"], ["no", "yes"]),
        (["True", "False"], ["False", "True"]),
        (["b", "10", "nan", "a", "1_0"], ["10", "1_0", "a", "b", "nan"]),
        (["9" * 400, "1"], ["1", "9" * 400]),
    ],
)
def test_labels_stand_in_the_order_of_their_values(labels: list[str], order: list[str]) -> None:
    assert list(targets.learn("class", labels).labels) == order


def test_spellings_are_said_and_joined_on_request() -> None:
    values = ["spam", "Spam", "SPAM", "ｓｐａｍ", "spam", "spa\u200bm", "ham"]
    told = "labels in several spellings are learnt as different ones: 'spam' (2), 'spa\\u200bm' (1), 'Spam' (1)"
    found, notes = settled(values)
    assert found == values
    assert notes == [f"{told} … (--join-spellings makes them one)"]
    found, notes = settled([*values, "ham"], join=True)
    assert found == ["spam"] * 6 + ["ham"] * 2
    assert notes[1] == (
        "of the two classes 'spam' is the positive one, whose finding the areas under curves measure (--positive 'ham')"
    )
    assert settled(["polar bear", "polar_bear", "Polar-Bear", "polar bear"], join=True)[0] == ["polar bear"] * 4


def test_labels_that_are_equal_as_numbers_are_one() -> None:
    found, notes = settled(["1", "1.0", "1.0", "0", "0.0", "007", "7"])
    assert found == ["1", "1", "1", "0", "0", "007", "7"]  # 007 is a name
    assert notes[0] == "labels that are equal as numbers are one: '1.0' (2), '1' (1); '0' (1), '0.0' (1)"
    assert settled(["1.0", "0.0"])[0] == ["1.0", "0.0"]  # in one spelling they stay as they are
    assert settled([["a", "A"], ["1.0", "1"], []], "labels", join=True)[0] == [["a"], ["1"], []]
    assert settled([1.0, 2.0], "number") == ([1.0, 2.0], [])


def test_other_data_of_a_model_are_spelt_as_it_learnt_them() -> None:
    known = ("ham", "spam")
    assert settled(["SPAM", "SPAM", "Ham"], join=True, positive="spam", known=known) == (["spam", "spam", "ham"], [])
    assert settled(["SPAM", "spam"], positive="spam", known=known)[0] == ["SPAM", "spam"]
    assert settled(["1", "1", "0.0"], known=("0.0", "1.0"))[0] == ["1.0", "1.0", "0.0"]
    assert settled(["1", "1"], known=("0.0", "1.0"), positive="1")[0] == ["1.0", "1.0"]  # one of the two alone


@pytest.mark.parametrize(
    ("values", "kind", "positive", "fault"),
    [
        (["a", "b"] * 2, "class", "c", "--positive 'c': there is no such class; allowed: a, b"),
        (["a", "b", "c"] * 2, "class", "a", "--positive 'a' chooses one of two classes, and there are 3; leave it out"),
        ([["a"], ["b"]], "labels", "a", "--positive 'a' chooses one of two classes, and what is learnt is any number"),
        ([1.0, 2.0], "number", "1", "--positive '1' chooses one of two classes, and what is learnt is a number"),
    ],
)
def test_a_positive_class_that_there_is_not(values: list[Any], kind: str, positive: str, fault: str) -> None:
    with pytest.raises((ConfigError, DataError), match=fault):
        settled(values, kind, positive=positive)


@pytest.mark.parametrize(
    ("positive", "order"),
    [(None, ("0.0", "1.0")), ("1", ("0.0", "1.0")), ("0", ("1.0", "0.0")), ("0.0", ("1.0", "0.0"))],
)
def test_the_positive_class_is_what_the_figures_are_of(positive: str | None, order: tuple[str, str]) -> None:
    """By hand: of three rows of 0 and one of 1 the scores rank the only 1 second. For 1 average precision is 1 / 2;
    for 0 the ranks of its rows are 1, 2 and 4: (1 + 1 + 3 / 4) / 3."""
    labels = targets.learn("class", ["0.0", "1.0"], positive).labels
    assert labels == order
    chance_of_1 = np.array([0.1, 0.2, 0.9, 0.6])
    chances = {"1.0": chance_of_1, "0.0": 1 - chance_of_1}
    target = np.array([labels.index(each) for each in ("0.0", "0.0", "0.0", "1.0")])
    probabilities = np.stack([chances[each] for each in labels], 1)
    columns = {
        "row": np.arange(4),
        "group": np.arange(4),
        "target": target,
        "prediction": probabilities.argmax(1),
        "probabilities": probabilities,
    }
    metrics = classification_metrics(labels)
    found = estimate({"pr_auc": metrics["pr_auc"]}, columns)["pr_auc"]
    assert found.value == pytest.approx(0.5 if order[1] == "1.0" else (1 + 1 + 3 / 4) / 3)


def test_every_domain_of_labels_reads_them_so(tmp_path: Path) -> None:
    lines = ["text,label", *(f"text {i},{each}" for i, each in enumerate(("Spam", "ham", "SPAM", "ham ", "Spam")))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    rows, _ = Text(join_spellings=True, positive="ham").read(tmp_path / "t.csv")
    assert list(rows.column("target")) == ["Spam", "ham", "Spam", "ham", "Spam"]
    for i, label in enumerate(("10.0", "9", "10")):
        write(tmp_path / "said" / label / f"{i}.wav", tone(440))
    for domain in (Sound(), Waveform()):
        rows, _ = domain.read(tmp_path / "said")
        assert sorted(rows.column("target")) == ["10", "10", "9"]
    for domain in (Sound(labels=("9", "10.0")), Waveform(labels=("9", "10.0"))):  # of a model, which they measure
        rows, _ = domain.read(tmp_path / "said")
        assert sorted(rows.column("target")) == ["10.0", "10.0", "9"]
