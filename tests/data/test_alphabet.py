"""How transcripts are spelt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pervade.data.sound import alphabet


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("none", "Don’t—stop: 7 \u00e9t\u00e9s!"),
        ("lower", "don’t—stop: 7 \u00e9t\u00e9s!"),
        ("upper", "DON’T—STOP: 7 \u00c9T\u00c9S!"),
        ("words", "don't stop 7 \u00e9t\u00e9s"),
    ],
)
def test_normalised(how: alphabet.Normalisation, expected: str) -> None:
    assert alphabet.normalised("  Don’t—stop:\t7\n e\u0301te\u0301s! ", how) == expected


def test_quotation_marks_are_no_apostrophes() -> None:
    assert alphabet.normalised("'Tis 'so' he'd say", "words") == "tis so he'd say"


def test_unknown_characters_are_told() -> None:
    known = alphabet.learn(["abc cab"], "characters", 0)
    assert known == ("", " ", "a", "b", "c")
    assert alphabet.encode(known, "a7b7") == ([2, 3], ["7", "7"])


def test_subwords_become_whole_words() -> None:
    texts = ["seven three", "three seven one", "one one seven"] * 4
    known = alphabet.learn(texts, "subwords", 60)
    numbers, unknown = alphabet.encode(known, "seven one three")
    assert [known[i] for i in numbers] == [" seven", " one", " three"] and not unknown
    assert alphabet.decode(known, numbers) == "seven one three"
    assert alphabet.learn(texts, "subwords", 60) == known


def test_words_are_put_out_whole_the_most_frequent_first() -> None:
    known = alphabet.learn(["on off on", "stop on off"], "words", 10)
    assert known == ("", " ", "f", "n", "o", "p", "s", "t", " on", " off")  # ten in all
    numbers, _ = alphabet.encode(known, "stop off")
    assert [known[i] for i in numbers] == [" ", "s", "t", "o", "p", " off"]


@given(st.lists(st.text("abc é", min_size=1, max_size=12), min_size=1, max_size=6), st.sampled_from([0, 12, 300]))
def test_what_is_spelt_reads_as_it_was(texts: list[str], size: int) -> None:
    texts = [alphabet.normalised(each, "none") for each in texts if each.strip()]
    if not texts:
        return
    for known in (
        alphabet.learn(texts, "characters", 0),
        *(alphabet.learn(texts, u, size) for u in ("subwords", "words")),
    ):
        for text in texts:
            numbers, unknown = alphabet.encode(known, text)
            assert not unknown and alphabet.decode(known, numbers) == text
