"""Tokenizers: learnt, kept, brought back; what they make of special tokens and of long texts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pervade.core.bounded import Bounded
from pervade.core.errors import CheckpointError, ConfigError, ContractError
from pervade.data.text import vocabulary

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
    monkeypatch.delitem(vocabulary.assets.known, digest)
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
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer.json").mkdir()
    with pytest.raises(CheckpointError, match="cannot be read"):
        vocabulary.of_folder(tmp_path)


REGEX = {"type": "Split", "pattern": {"Regex": ""}, "behavior": "Isolated", "invert": False}
GROWS = {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 150}
PIECES = [{"Sequence": {"id": "A", "type_id": 0}}] * 300
BAD = {
    "goes back and forth for ever": ({"pre_tokenizer": {**REGEX, "pattern": {"Regex": "(a+)+b"}}}, "retry-limit"),
    "takes the third power of the time": (
        {"pre_tokenizer": {**REGEX, "pattern": {"Regex": "(?:x*x*x*x*y)"}}},
        "retry-limit|took more than",
    ),
    "makes a letter long": ({"normalizer": GROWS | {"content": "e" * 10**6}}, "puts in 1,000,000 letters"),
    "and longer": ({"normalizer": {"type": "Sequence", "normalizers": [GROWS] * 9}}, "took more than|tokens of"),
    "repeats a text": (
        {"post_processor": {"type": "TemplateProcessing", "single": PIECES, "pair": PIECES, "special_tokens": {}}},
        "puts in 300 letters or pieces",
    ),
    "knows none of its own": ({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"}}, "UNK"),
    "has no model": ({"model": {"type": "Own"}}, "Model"),
    "is of a strange kind": ({"normalizer": 7, "version": "9.9"}, ""),
}


@pytest.mark.parametrize("name", BAD)
def test_one_that_would_not_do_is_refused_before_it_is_used(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it runs in this process: the library's panics and loops cannot be caught."""
    changed, words = BAD[name]
    text = json.dumps(json.loads(vocabulary.learn(TEXTS, "wordpiece", 300)) | changed)
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vocabulary, "_trial", Bounded("pervade.data.text.tokenizer_trial:answer", 0.5))
    place = tmp_path / "tokenizer.json"
    place.write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"tokenizer.json is damaged \(.*({words})"):
        vocabulary.of_folder(tmp_path)
    vocabulary._trial.close()


def test_one_that_a_run_brings_is_tried_too(tmp_path: Path) -> None:
    text = json.dumps({"model": {"type": "Own"}})
    digest = hashlib.sha256(text.encode()).hexdigest()
    (tmp_path / vocabulary.file_name(digest)).write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"{vocabulary.file_name(digest)} is damaged"):
        vocabulary.attach(tmp_path, digest)


WORDS = r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PUBLISHED = {  # how those of GPT-4 and of its successor cut a text
    "cl100k": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + WORDS,
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re)?|" + WORDS,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_published_gets_through_and_is_remembered(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = {**REGEX, "pattern": {"Regex": PUBLISHED[name]}}
    then = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    made = json.loads(vocabulary.learn(TEXTS, "bpe", 300))
    made["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [cut, then]}
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "tokenizer.json"
    place.write_text(json.dumps(made), encoding="utf-8")
    text = vocabulary.of_folder(tmp_path)
    monkeypatch.setattr(vocabulary._trial, "ask", lambda text: pytest.fail("it was tried again"))
    assert vocabulary.of_folder(tmp_path) == text


def test_a_panic_in_the_middle_of_a_text_is_one_line(monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    made = json.loads(vocabulary.learn(TEXTS, "wordpiece", 300))
    made["pre_tokenizer"] = {**REGEX, "pattern": {"Regex": "(q+)+r"}}
    digest = vocabulary.keep(json.dumps(made))  # as if it had got through
    with pytest.raises(CheckpointError, match="the tokenizer cannot read a text"):
        vocabulary.encode(digest, "q" * 3000)


def test_a_token_that_is_needed_and_missing() -> None:
    from tokenizers import Tokenizer, models

    digest = vocabulary.keep(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).to_str())
    assert vocabulary.special(digest, vocabulary.MASK) is None
    with pytest.raises(ConfigError, match=r"no token \[MASK\] or <mask>, which filling in needs"):
        vocabulary.require(digest, vocabulary.MASK, "filling in")


def test_one_endless_word_is_learnt_from_in_no_time() -> None:
    """Learning took the square of a word's length. Words of up to a hundred letters are learnt from as ever."""
    made = vocabulary.learn(["a" * 200_000, "word " * 3, "b" * 100 + " word"], "wordpiece", 50)
    assert "word" in json.loads(made)["model"]["vocab"]
