"""Tokenizers: learnt, kept, brought back; what they make of special tokens and of long texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pervade.core.errors import CheckpointError, ConfigError, ContractError
from pervade.data import vocabulary

TEXTS = ["the cat sat on the mat", "the dog sat on the cat", "这家酒店的服务很好", "房间太小了 很好"] * 5


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_the_same_texts_give_the_same_tokenizer(kind: vocabulary.Kind) -> None:
    assert vocabulary.learn(TEXTS, kind, 400) == vocabulary.learn(iter(TEXTS), kind, 400)


def test_byte_level_loses_nothing() -> None:
    made = vocabulary.tokenizer(vocabulary.keep(vocabulary.learn(TEXTS, "bpe", 300)))
    for text in ("The CAT\n\n  sat…", "很好 🎬", "naïve\tcafé"):
        assert made.decode(made.encode(text, add_special_tokens=False).ids) == text


def test_chinese_characters_are_words() -> None:
    digest = vocabulary.keep(vocabulary.learn(TEXTS, "wordpiece", 400))
    assert vocabulary.tokenizer(digest).encode("很好").tokens == ["[CLS]", "很", "好", "[SEP]"]


def test_a_special_token_in_a_text_is_letters() -> None:
    """Nobody can end a text from inside it."""
    digest = vocabulary.keep(vocabulary.learn([*TEXTS, "[SEP] sep ["], "wordpiece", 400))
    assert vocabulary.encode(digest, "cat [SEP] dog").count(vocabulary.require(digest, "[SEP]", "this")) == 1


def test_what_is_cut_keeps_its_end() -> None:
    digest = vocabulary.keep(vocabulary.learn(TEXTS, "wordpiece", 400))
    beginning, end = (vocabulary.require(digest, name, "this") for name in ("[CLS]", "[SEP]"))
    whole, short = (vocabulary.encode(digest, "the cat " * 9, None, length) for length in (None, 7))
    assert len(whole) == 20
    assert short == [*whole[:6], end]
    pair = vocabulary.encode(digest, "the cat " * 9, "dog", 8)
    assert (pair[0], pair[-1], pair.count(end), len(pair)) == (beginning, end, 2, 8)
    assert vocabulary.encode(digest, "dog")[1] in pair  # the longer one was cut
    assert vocabulary.lengths(digest, ["the cat " * 9, "dog"]) == [20, 3]


def test_it_comes_back_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = vocabulary.learn(TEXTS, "wordpiece", 350)
    digest = vocabulary.keep(text)
    monkeypatch.setattr(vocabulary, "_known", {})
    with pytest.raises(ContractError, match="not known here"):
        vocabulary.text_of(digest)
    with pytest.raises(CheckpointError, match="missing or damaged"):
        vocabulary.attach(tmp_path, digest)
    (tmp_path / vocabulary.file_name(digest)).write_text(text + " ", encoding="utf-8")
    with pytest.raises(CheckpointError, match="missing or damaged"):
        vocabulary.attach(tmp_path, digest)
    (tmp_path / vocabulary.file_name(digest)).write_text(text, encoding="utf-8")
    vocabulary.attach(tmp_path, digest)
    assert vocabulary.text_of(digest) == text


def test_a_folder_without_tokenizer_and_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no tokenizer"):
        vocabulary.of_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": ')
    with pytest.raises(CheckpointError, match="is damaged"):
        vocabulary.of_folder(tmp_path)


def test_a_token_that_is_needed_and_missing() -> None:
    from tokenizers import Tokenizer, models

    digest = vocabulary.keep(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).to_str())
    assert vocabulary.special(digest, vocabulary.MASK) is None
    with pytest.raises(ConfigError, match=r"no token \[MASK\] or <mask>, which filling in needs"):
        vocabulary.require(digest, vocabulary.MASK, "filling in")
