"""Words, and the letters in them, as features: what is counted, how it is weighed, and what a file of them holds."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from pervade.core.types import Rows
from pervade.data.text import ngrams
from pervade.domains.bag import ALIKE, Bag

GIVEN = ["a fine film", "a dull film"]


def bag(texts: list[str], **more: list[str]) -> Bag:
    return Bag().fit(Rows({"id": texts, "text": texts, "target": ["x", "y"], **more}))


def vector(domain: Bag, **row: str) -> np.ndarray:
    (example,) = domain.transform({"id": "1", **row}, None)
    places = example["places"]
    whole = csr_matrix((example["values"], places, [0, len(places)]), (1, domain.inputs().size))
    return np.asarray(whole.todense())[0]


def test_words_then_the_letters_in_them() -> None:
    """Each of length 1. A word that never was there is known by the runs of letters that it shares."""
    domain = bag(GIVEN)
    words = ngrams.counted(domain.terms)
    assert words == 8  # a, fine, film, dull, and a fine, fine film, a dull, dull film
    known, bent, other = (vector(domain, text=text) for text in ("fine", "finest", "ox"))
    assert np.linalg.norm(known[:words]) == pytest.approx(1.0)
    assert np.linalg.norm(known[words:]) == pytest.approx(1.0)
    assert not bent[:words].any()
    # Of " fin", "fine" and what is in them; not "e " or "ine ", which end the word.
    letters = sorted(ngrams.vectorizer(domain.letters).vocabulary_)
    shared = {letters[place] for place in np.flatnonzero(bent[words:])}
    assert shared == {" f", "fi", "in", "ne", " fi", "fin", "ine", " fin", "fine", " fine"}
    assert not other.any()


def test_letters_are_counted_at_the_beginning_of_a_long_text() -> None:
    domain = bag(GIVEN)
    words = ngrams.counted(domain.terms)
    assert vector(domain, text="ox " * 400 + "fine")[:words].any()
    assert not vector(domain, text="ox " * 400 + "fine")[words:].any()


def test_what_is_not_parted_into_words_has_characters_alone() -> None:
    domain = bag(["这家酒店很好", "这家酒店很差"])
    assert domain.letters == ""
    assert domain.inputs().size == ngrams.counted(domain.terms)
    assert ngrams.named(domain.terms) == "TF-IDF of characters"


@pytest.mark.parametrize("given", [[*GIVEN, "a film, a fine one: film"], ["这家酒店很好", "酒店很差，很差"]])
def test_one_text_is_as_scikit_learn_has_it(given: list[str]) -> None:
    for terms in filter(None, (ngrams.learn(given), ngrams.learn(given, letters=True))):
        for text in (*given, "ox"):
            row = ngrams.vectorizer(terms).transform([text]).toarray()[0]
            places, values = ngrams.vector(terms, text)
            np.testing.assert_array_equal(places, np.flatnonzero(row))
            np.testing.assert_allclose(values, row[places], rtol=1e-12)


def test_a_pair_is_compared_by_its_words() -> None:
    domain = bag(GIVEN, second=["a film", "a play"])
    assert domain.pair
    same, apart = (vector(domain, text="a fine film", second=text)[-ALIKE:] for text in ("a fine film", "play"))
    np.testing.assert_allclose(same, [1.0, 1.0, 0.5], rtol=1e-6)
    np.testing.assert_allclose(apart, [0.0, 0.0, 11 / 15], rtol=1e-6)


def test_files_of_older_runs_are_read() -> None:
    new = ngrams.learn(GIVEN)
    stored = json.loads(ngrams.text_of(new))
    assert stored.pop("kind") == "words"
    old = ngrams.keep(json.dumps({"words": True, **stored}))
    one, two = (replace(bag(GIVEN), terms=terms) for terms in (old, new))
    np.testing.assert_array_equal(vector(one, text="a film"), vector(two, text="a film"))
