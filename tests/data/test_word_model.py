"""Witten and Bell's numbers by hand."""

import math
from pathlib import Path

import pytest

from pervade.core.errors import CheckpointError
from pervade.data.text import word_model


def test_by_hand() -> None:
    """Of "a b" and "a c": the units are a, b, c and the end, 6 in all of 4 kinds."""
    model = word_model.read(word_model.learn(["a b", "a c"], "words", 2))
    nothing = 1 / 5  # four kinds, and what is unknown
    unigram = {"a": (2 + 4 * nothing) / 10, "b": (1 + 4 * nothing) / 10, "?": 4 * nothing / 10}
    after_a = (1 + 2 * unigram["b"]) / (2 + 2)
    assert math.exp(model.log_prob(["a"], "b")) == pytest.approx(after_a)
    assert math.exp(model.log_prob(["?"], "b")) == pytest.approx(unigram["b"])
    assert math.exp(model.log_prob(["x", "a"], "?")) == pytest.approx(2 * unigram["?"] / 4)
    first = (2 + 1 * unigram["a"]) / 3
    assert math.exp(model.log_prob([word_model.BEGIN], "a")) == pytest.approx(first)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_sum_to_one(order: int) -> None:
    texts = ["one two three", "two two", "three one two one"]
    model = word_model.read(word_model.learn(texts, "words", order))
    for history in ([], ["two"], ["one", "two"], ["never"]):
        total = sum(math.exp(model.log_prob(history, each)) for each in ("one", "two", "three", word_model.END, "?"))
        assert total == pytest.approx(1.0)


def test_what_was_learnt_is_less_surprising() -> None:
    texts = ["the cat sat on the mat", "the dog sat on the log"] * 3
    for unit in ("words", "characters"):
        model = word_model.read(word_model.learn(texts, unit, 3))
        assert model.perplexity(texts) < model.perplexity(["mat log the on sat cat"]) / 2


def test_it_lies_beside_a_checkpoint(tmp_path: Path) -> None:
    text = word_model.learn(["x y only here"], "words", 2)
    digest = word_model.keep(text)
    assert word_model.of(digest).order == 2
    (tmp_path / word_model.file_name(digest)).write_text(text + " ", encoding="utf-8")
    word_model.assets.known.pop(digest)
    with pytest.raises(CheckpointError, match="damaged"):
        word_model.attach(tmp_path, digest)
    (tmp_path / word_model.file_name(digest)).write_text(text, encoding="utf-8")
    word_model.attach(tmp_path, digest)
    assert word_model.text_of(digest) == text
