"""Running text as one long row of tokens, in a memory-mapped file: any size trains.

The file is an entry of the cache (data/rows/cache.py), under a name made of the tokenizer and the contents; documents
follow one another, each with the token that ends it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pervade.core.errors import ResourceError
from pervade.data.rows import cache
from pervade.data.text import vocabulary

IGNORED = -100  # a target that is not asked for: it was asked for in the window before, or is padding
AT_ONCE = 256  # documents that are cut into tokens together, by all processors
MOST_REMEMBERED = 50_000_000  # tokens of the training text in which copies are looked for


@dataclass(frozen=True)
class Tokens:
    """`stream` (tokens,) and where each document begins in it, with the end of the last: `starts` (documents + 1,)."""

    stream: np.ndarray
    starts: np.ndarray

    def document(self, place: int) -> int:
        """The document that this token belongs to."""
        return int(np.searchsorted(self.starts, place, side="right") - 1)


def tokens(
    digest: str,
    hashes: Sequence[str],
    read: Callable[[int], str],
    between: str = vocabulary.END,
    *,
    end: int | None = None,
    begins: Sequence[int] = (),
) -> Tokens:
    """Of documents with these contents, the token `between` after each, or the one of the number `end` where a model
    says so, and `begins` before each; `read(i)` gives the text of one, where the file must be built."""
    parts: list[Any] = [cache.VERSION, digest, list(hashes), *([] if between == vocabulary.END else [between])]
    parts += [] if end is None and not begins else [end, list(begins)]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
    end = vocabulary.require(digest, between, "running text") if end is None else end
    final = end

    def made() -> Pieces:
        return _pieces(digest, len(hashes), read, final, begins)

    def opened(place: Path) -> Tokens:
        stream = place / "tokens.bin"
        stream_of_file = np.memmap(stream, _kind(digest), "r") if stream.stat().st_size else np.empty(0, _kind(digest))
        return Tokens(stream_of_file, np.load(place / "starts.npy", allow_pickle=False))

    if cache.limit():  # else nothing is to be kept, as was asked for
        try:
            return cache.entry(cache.features() / key, opened, lambda work: _build(work, made()))
        except (OSError, ResourceError) as error:
            cache.warn(f"the text is held in memory, because the cache cannot be used: {error}; set PERVADE_CACHE")
    pieces, starts = made()
    return Tokens(np.concatenate([*pieces, np.empty(0, _kind(digest))]), starts())


def _kind(digest: str) -> type:
    return np.uint16 if vocabulary.size(digest) <= 1 << 16 else np.uint32


Pieces = tuple[Iterable[np.ndarray], Callable[[], np.ndarray]]


def _build(work: Path, made: Pieces) -> None:
    """Raises ResourceError where the tokens do not fit under the cache's limit."""
    pieces, starts = made
    most, size = cache.room(work), 0
    with (work / "tokens.bin").open("wb") as file:
        for piece in pieces:
            size += piece.nbytes
            if size > most:
                raise ResourceError(
                    f"the tokens take more than the {most / 1e9:.3g} GB that it may; raise PERVADE_CACHE_GB or free "
                    f"some space in {cache.folder().parent}"
                )
            file.write(piece.data)
    np.save(work / "starts.npy", starts())


def _pieces(digest: str, count: int, read: Callable[[int], str], end: int, begins: Sequence[int]) -> Pieces:
    """The tokens of some documents after another, and, once all were taken, where each begins."""
    made = vocabulary.tokenizer(digest)
    lengths: list[int] = []

    def run() -> Iterable[np.ndarray]:
        for first in range(0, count, AT_ONCE):
            texts = [read(i) for i in range(first, min(first + AT_ONCE, count))]
            documents = [
                [*begins, *encoding.ids, end] for encoding in made.encode_batch_fast(texts, add_special_tokens=False)
            ]
            lengths.extend(map(len, documents))
            yield np.array([token for document in documents for token in document], dtype=_kind(digest))

    return run(), lambda: np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def filled(rows: Sequence[np.ndarray], filling: int) -> np.ndarray:
    """Rows of tokens (n, t) int64, shorter ones filled up at their end."""
    table = np.full((len(rows), max(map(len, rows))), filling, np.int64)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table


def overlap(texts: Sequence[Sequence[int]], trained: Tokens, run: int) -> list[float | None]:
    """Of each text's runs of `run` tokens, the share that stands so in the training text; None of a shorter one."""
    stream = trained.stream[:MOST_REMEMBERED]
    there = np.unique(_hashes(np.asarray(stream, np.uint64), run))
    shares: list[float | None] = []
    for text in texts:
        own = _hashes(np.array(text, np.uint64), run)
        shares.append(float(np.isin(own, there).mean()) if len(own) else None)
    return shares


def _hashes(stream: np.ndarray, run: int) -> np.ndarray:
    """One number for each run of tokens (a polynomial in 64 bits: two of 50 million meet by chance once in 10^4
    times)."""
    count = max(len(stream) - run + 1, 0)
    hashes = np.zeros(count, np.uint64)
    for place in range(run):
        hashes = hashes * np.uint64(6364136223846793005) + stream[place : place + count] + np.uint64(1)
    return hashes
