"""Words and pairs of words as features of a text, weighed by TF-IDF (Sparck Jones 1972), by scikit-learn; of texts that
part no words by spaces, characters and up to three in a row. Beside words there may be the runs of letters in them, by
which a word is known that is new, or spelt or bent otherwise.

What was learnt of a training split is JSON, known by its SHA-256 (core/assets.py).
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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
LOOKED_AT = 1000  # characters of a text whose runs of letters are counted: there are many more of them than of words
KINDS: dict[str, dict[str, Any]] = {
    "words": {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"},
    "characters": {"ngram_range": (1, 3), "analyzer": "char"},
    "letters": {"ngram_range": (2, 5), "analyzer": "char_wb"},
}


def _read(path: Path) -> str:
    text = files.read_text(path, LARGEST)
    try:
        stored = json.loads(text)
        sound = len(stored["terms"]) == len(stored["weights"]) and _kind(stored) in KINDS
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise CheckpointError(f"{path} is damaged; use another checkpoint, or train again")
    return text


assets = Assets("list of terms", "terms", _read)
keep, text_of, file_name, attach = assets.keep, assets.text_of, assets.file_name, assets.attach


def learn(given: Sequence[str], letters: bool = False) -> str:
    """The SHA-256 of the terms of these texts, or of the `letters` in their words; empty where they hold none (nothing
    but signs; no words)."""
    words = not texts.without_spaces(given[:1000])
    if letters and not words:
        return ""
    kind = "letters" if letters else "words" if words else "characters"
    made = _vectorizer(kind, max_features=MOST)
    try:
        made.fit(given)
    except ValueError:
        return ""
    terms = sorted(made.vocabulary_, key=made.vocabulary_.__getitem__)
    return keep(json.dumps({"kind": kind, "terms": terms, "weights": made.idf_.tolist()}, ensure_ascii=False))


@functools.lru_cache(maxsize=8)
def vectorizer(terms: str) -> TfidfVectorizer:
    """What turns texts into a sparse matrix (n, terms), rows of length 1."""
    stored = json.loads(text_of(terms))
    made = _vectorizer(_kind(stored), vocabulary={term: place for place, term in enumerate(stored["terms"])})
    made.idf_ = np.asarray(stored["weights"])
    return made


def vector(terms: str, text: str) -> tuple[np.ndarray, np.ndarray]:
    """One text as `vectorizer` has it: places, in their order, and values. Making a matrix of it takes ten times as
    long."""
    made, analyse = _analysed(terms)
    times: Counter[Any] = Counter(map(made.vocabulary_.get, analyse(text)))
    del times[None]
    places = np.array(sorted(times), np.int64)
    values = (1.0 + np.log([times[place] for place in places.tolist()])) * made.idf_[places]
    return places, values / max(float(np.sqrt(values @ values)), 1e-300)


@functools.lru_cache(maxsize=8)
def _analysed(terms: str) -> tuple[TfidfVectorizer, Callable[[str], list[str]]]:
    made = vectorizer(terms)
    return made, made.build_analyzer()


def counted(terms: str) -> int:
    return len(vectorizer(terms).idf_)


def named(terms: str) -> str:
    return f"TF-IDF of {'words' if vectorizer(terms).analyzer == 'word' else 'characters'}"


def _kind(stored: Mapping[str, Any]) -> str:
    """Older files say whether they hold words."""
    return str(stored["kind"]) if "kind" in stored else "words" if stored["words"] else "characters"


def _vectorizer(kind: str, **more: Any) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    made = TfidfVectorizer(sublinear_tf=True, **KINDS[kind], **more)
    if kind == "letters":
        made.preprocessor = _beginning
    return made


def _beginning(text: str) -> str:
    return text[:LOOKED_AT].lower()
