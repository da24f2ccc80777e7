"""What a run's model says of new inputs: one answer for each, in their order, or the reason why there is none."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pervade.core import memory, runtime, spec
from pervade.core.contracts import Domain
from pervade.core.contracts.abilities import MakesMedia
from pervade.core.contracts.capabilities import Composed, Encoded, MadeUp, labels_of
from pervade.core.errors import ConfigError, DataError
from pervade.core.types import LeftOut, Rows, Table
from pervade.data.media_files import MediaFiles
from pervade.data.read import account, division, encodings, inputs, table_files
from pervade.data.sound import player
from pervade.engine import promises
from pervade.engine.loaded import Loaded

if TYPE_CHECKING:  # with torch, which an exported graph is asked without
    from pervade.engine.gallery import Gallery

Places: TypeAlias = list[tuple[int, LeftOut | None]]  # of inputs among the rows, or why one is not there

PREDICT_AT_ONCE = 256  # rows that are held in memory
MADE = 64  # rows that are made where nobody says how many


def answers(
    loaded: Loaded,
    given: Any,
    top: int,
    device: str,
    out: Path | None,
    known: Callable[[], Gallery],
    say: Callable[[str], None],
    table_of: Callable[[Rows], Table] | None = None,
) -> Iterator[dict[str, Any]]:
    """As `Run.stream`; the rest as of `answers_about`."""
    return answers_about(loaded, inputs.entries(loaded.domain, given), top, device, out, known, say, table_of)


def answers_about(
    loaded: Loaded,
    asked: Iterator[inputs.Entry | LeftOut],
    top: int,
    device: str,
    out: Path | None,
    known: Callable[[], Gallery],
    say: Callable[[str], None],
    table_of: Callable[[Rows], Table] | None = None,
) -> Iterator[dict[str, Any]]:
    """An answer for each of what a domain made of inputs. `known` gives the run's own rows, and is called once, where
    the task looks for neighbours; how inputs are read is told `say`. What cannot be used waits for the first answer,
    which tells the keys of all. `table_of` stands in for the predict loop where the network is not here
    (run/exported.py)."""
    own: Gallery | None = None
    keys: dict[str, None] | None = None
    waiting: list[LeftOut] = []
    maker = loaded.task if isinstance(loaded.task, MakesMedia) else None
    files = None if out is None else MediaFiles(out)
    if maker is not None and maker.takes:
        say(maker.takes)
    for places, rows, table in _tables(loaded, asked, device, say, table_of):
        made: list[dict[str, Any]] = []
        if table is not None:
            made = loaded.task.answers(table, loaded.domain, top)
            made = promises.answers(made, table, loaded.decision, loaded.domain)
            if "embedding" in loaded.task.outputs(loaded.domain):
                own = own or known()
                nearest = own.nearest(np.asarray(table["embedding"]), top, rows.columns.get("path", []))
                made = [{"neighbours": near, **answer} for near, answer in zip(nearest, made, strict=True)]
        cut = rows.columns.get("cut") or [None] * len(rows)
        for place, lost in places:
            if lost is None:
                name, answer = rows.column("id")[place], made[place]
                if files is not None and maker is not None:
                    media, beside = maker.media(answer)
                    answer = {"file": str(files.write(media, media.caption or name)), **beside}
                answer = {"input": name, **answer, **({"cut": cut[place]} if loaded.domain.cuts else {}), "error": None}
                keys = keys or dict.fromkeys(answer)
                yield from _without_answer(waiting, keys)
                yield answer
                continue
            waiting.append(lost)
            if keys is not None:
                yield from _without_answer(waiting, keys)
    yield from _without_answer(waiting, dict.fromkeys(("input", *["cut"] * loaded.domain.cuts, "error")))
    if files is not None and (sheet := files.finish()) is not None:
        say(sheet)


def _without_answer(waiting: list[LeftOut], keys: Mapping[str, None]) -> Iterator[dict[str, Any]]:
    yield from ({**keys, "input": lost.source, "error": lost.reason} for lost in waiting)
    waiting.clear()


def stacked(loaded: Loaded, given: Any, device: str, column: str) -> np.ndarray:
    """One column of the table of all inputs, (n, d). Raises DataError where an input cannot be used."""
    width = loaded.task.outputs(loaded.domain).get(column, len(labels_of(loaded.domain)))
    parts = []
    for places, _, table in _tables(loaded, inputs.entries(loaded.domain, given), device, lambda line: None):
        for _, lost in places:
            if lost is not None:
                raise DataError(f"{lost.source}: {lost.reason}")
        if table is not None:
            parts.append(np.asarray(table[column]))
    return np.concatenate(parts) if parts else np.zeros((0, width))


def reading(domain: Domain, encoding: str | None, **asked: Any) -> Domain:
    """The domain as it reads what is asked about: by `encoding`, or each file anew (data/read/encodings.py), and by
    more of its fields where these are `asked` otherwise. Raises ConfigError where it has none of them, or knows no such
    encoding."""
    if isinstance(domain, Composed):
        return domain.with_parts(lambda part: reading(part, encoding, **asked))
    changes: dict[str, Any] = {}
    for name, value in {"encoding": encoding, **asked}.items():
        if value is not None and name not in spec.field_names(type(domain)):
            raise ConfigError(f"--{name.replace('_', '-')} {value!r} is not for {domain.reads}; leave it out")
        if value is not None:
            changes[name] = value
    if encoding is None and isinstance(domain, Encoded):
        changes["encoding"] = encodings.anew(domain.encoding)
    return replace(domain, **changes) if changes else domain  # type: ignore[type-var]


def made_up(domain: Domain, number: int | None, labels: Sequence[str] = ()) -> Iterator[str]:
    """What is asked of a model for so many rows that nobody gives, MADE unless it is said, of the `labels` in turn.
    Raises ConfigError where it answers about what it is given, or makes nothing of these labels."""
    if isinstance(domain, MadeUp):
        return domain.unasked(MADE if number is None else number, labels)
    raise ConfigError(
        f"--number and --label are for models that make pictures; this one reads {domain.reads}, so give it some"
    )


def _tables(
    loaded: Loaded,
    asked: Iterator[inputs.Entry | LeftOut],
    device: str,
    say: Callable[[str], None],
    table_of: Callable[[Rows], Table] | None = None,
) -> Iterator[tuple[Places, Rows, Table | None]]:
    """What the task says of the inputs, a number of them at a time: the places of all in their order, the rows of those
    that can be used, and the table of these."""
    told: dict[str, None] = {}
    with memory.during("new rows were predicted", "give smaller ones, or free some memory"):
        table_of = table_of or predicted_by(loaded, device)
        try:
            while True:
                with account.gathered() as notes:
                    some = list(itertools.islice(asked, PREDICT_AT_ONCE))
                for line in (note for note in notes if note not in told):
                    say(f"read: {line}")
                told |= dict.fromkeys(notes)
                if not some:
                    return
                rows = division.rows([row for row in some if not isinstance(row, LeftOut)])
                unreadable: list[LeftOut] = []
                if len(rows):
                    rows, unreadable = loaded.domain.prepare(rows, lambda done, total: None, keep=False)
                table = None
                if len(rows):
                    table = table_of(rows)
                yield list(inputs.in_place(some, rows, unreadable)), rows, table
        finally:
            table_files.forget()


def predicted_by(loaded: Loaded, device: str, **settings: Any) -> Callable[[Rows], Table]:
    """The predict loop over rows, with more `settings` of the Predictor."""
    from pervade.engine.predictor import Predictor

    loaded.network.to(runtime.pick_device(device))
    return Predictor.of(loaded, targets=False, by_row=True, **settings).table


def writer(loaded: Loaded, device: str) -> Callable[[str | list[dict[str, str]]], Iterator[str]]:
    """What the model writes on from a text, or answers to a conversation, piece by piece."""
    from pervade.engine.writing import Writer

    writer = Writer(loaded, device)

    def write(text: str | list[dict[str, str]]) -> Iterator[str]:
        with memory.during("text was written", "give a shorter text, or free some memory"):
            written = writer.begin(text, {}, whole=False)
            writer.join(written)
            while not written.over:
                writer.step()
                yield written.news()

    return write


def speak(
    name: str,
    texts: Sequence[str],
    out: str | Path | None = None,
    seed: int = 0,
    *,
    vocoder: str | None = None,
    speaker: str | Path | None = None,
) -> Iterator[dict[str, Any]]:
    """Texts read aloud by a published model, hf:OWNER/NAME or hf:FOLDER: "samples" at "rate", or, where `out` names a
    folder, "file" and "seconds" of what was written there. `vocoder` and `speaker`, and what it raises, as of
    `weights.voice.load`."""
    from pervade.weights import voice

    synthesiser = voice.load(name.removeprefix("hf:"), vocoder, speaker)
    files = None if out is None else MediaFiles(Path(out))
    for number, text in enumerate(texts):
        answer: dict[str, Any] = {"samples": synthesiser.say(text, seed), "rate": synthesiser.rate}
        if files is not None:
            media, beside = player.media(answer["samples"], answer["rate"])
            answer = {"file": str(files.write(media, f"{number + 1}-{text[:40]}")), **beside}
        yield {"input": text, **answer}
