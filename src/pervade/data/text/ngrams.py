"""Words and pairs of words as features of a text, weighed by TF-IDF (Sparck Jones 1972), by scikit-learn; of texts that
part no words by spaces, characters and up to three in a row.

What was learnt of a training split is JSON, known by its SHA-256 (core/assets.py).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pervade.core import files
from pervade.core.assets import Assets
from pervade.core.errors import CheckpointError
from pervade.data.text import texts

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

MOST = 200_000  # that are counted, the most frequent
LARGEST = 256 << 20  # bytes of such a file
WORDS: dict[str, Any] = {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}
CHARACTERS: dict[str, Any] = {"ngram_range": (1, 3), "analyzer": "char"}


def _read(path: Path) -> str:
    text = files.read_text(path, LARGEST)
    try:
        stored = json.loads(text)
        sound = len(stored["terms"]) == len(stored["weights"]) and isinstance(stored["words"], bool)
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise CheckpointError(f"{path} is damaged; use another checkpoint, or train again")
    return text


assets = Assets("list of terms", "terms", _read)
keep, text_of, file_name, attach = assets.keep, assets.text_of, assets.file_name, assets.attach


def learn(given: Sequence[str], most: int = MOST) -> str:
    """The SHA-256 of the terms of these texts; empty where they hold none (nothing but signs)."""
    words = not texts.without_spaces(given[:1000])
    made = _vectorizer(words, max_features=most)
    try:
        made.fit(given)
    except ValueError:
        return ""
    terms = sorted(made.vocabulary_, key=made.vocabulary_.__getitem__)
    return keep(json.dumps({"words": words, "terms": terms, "weights": made.idf_.tolist()}, ensure_ascii=False))


@functools.lru_cache(maxsize=4)
def vectorizer(terms: str) -> TfidfVectorizer:
    """What turns texts into a sparse matrix (n, terms), rows of length 1."""
    stored = json.loads(text_of(terms))
    made = _vectorizer(stored["words"], vocabulary={term: place for place, term in enumerate(stored["terms"])})
    made.idf_ = np.asarray(stored["weights"])
    return made


def counted(terms: str) -> int:
    return len(vectorizer(terms).idf_)


def named(terms: str) -> str:
    return f"TF-IDF of {'words' if vectorizer(terms).analyzer == 'word' else 'characters'}"


def _vectorizer(words: bool, **more: Any) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, **(WORDS if words else CHARACTERS), **more)
