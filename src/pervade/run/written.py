"""Texts that a teacher writes for its student to learn from, beside the real ones (sequence-level distillation: Kim and
Rush 2016, arXiv:1606.07947).

Of running text it goes on from a piece of a training text, as far as it sees at once; to the questions of training it
gives the likeliest answer. The student learns from what it wrote token by token, as from any other text. Of running
text tokens are drawn by their probability: the likeliest text of all, which the paper looks for in translations,
repeats itself where nothing is asked. Nothing is measured by such rows.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pervade.core import seed as seeds
from pervade.core.contracts import Wrapping
from pervade.core.contracts.capabilities import Conversational, Written, able
from pervade.core.errors import DataError
from pervade.core.types import Rows
from pervade.core.words import counted
from pervade.engine.checkpoint import Loaded
from pervade.nn.modes import evaluating
from pervade.nn.sampling import Sampling
from pervade.run.progress import Screen
from pervade.tasks.language_model import LanguageModel, end_of, ends_of, write

BEGUN = 0.25  # of what the network sees at once, the most that is given to go on from


def beside(rows: Rows, teacher: Loaded, share: float, seed: int, until: float | None, screen: Screen) -> Rows:
    """The rows, and after them what the teacher wrote, about as much as this share of the training text has tokens, or
    as much as there is time for `until` then (time.monotonic)."""
    train, texts, tokens = rows.where("split", "train"), list[dict[str, Any]](), 0
    wanted = round(share * len(able(teacher.domain, Written).tokens(train).stream))
    with evaluating(teacher.network), screen.bar("the teacher writes") as bar:
        for made, size in _texts(teacher, train, seed):
            tokens += size
            texts += [made] if made else []
            bar(min(tokens, wanted), wanted)
            if tokens >= wanted or (until is not None and time.monotonic() > until):
                break
    if not texts:
        screen.say("the teacher wrote no text, so that its student learns from the real ones alone")
        return rows
    names = [f"written {number}" for number in range(1, len(texts) + 1)]
    columns = {name: [text[name] for text in texts] for name in texts[0]}
    written, _ = teacher.domain.prepare(Rows({"id": names, **columns}), lambda done, total: None)
    screen.say(f"the teacher wrote {counted(len(written), 'text')} ({tokens:,} tokens) that train beside the real ones")
    own: dict[str, Sequence[Any]] = {
        **{name: [None] * len(written) for name in rows.columns},
        **{name: [values[0]] * len(written) for name, values in rows.columns.items() if name == "read_from"},
        **written.columns,
        **{name: list(written.column("id")) for name in ("group", "bundle") if name in rows},
        "split": ["train"] * len(written),
    }
    missing = {name: [None] * len(rows) for name in own if name not in rows}
    return Rows({name: [*values, *own[name]] for name, values in {**rows.columns, **missing}.items()})


def _texts(teacher: Loaded, train: Rows, seed: int) -> Iterator[tuple[dict[str, Any], int]]:
    """A text each, empty where there was nothing to write, and how many tokens of it are new. Of questions each is
    answered once; what is gone on from is drawn without an end."""
    domain = teacher.domain
    if isinstance(domain, Conversational):
        for place in seeds.generator(seed, 61).permutation(len(train)).tolist():
            yield _answer(teacher, domain, train[place])
        return
    known = able(domain, Written)
    stream, length = known.tokens(train), domain.inputs().length  # type: ignore[union-attr]
    for number in itertools.count():
        first = int(seeds.generator(seed, 61, number).integers(0, len(stream.stream)))
        last = min(first + max(int(BEGUN * length), 1), int(stream.starts[stream.document(first) + 1]) - 1)
        begun = np.asarray(stream.stream[first:last]).astype(int).tolist()
        begun = begun[len(known.begins) :] if begun[: len(known.begins)] == [*known.begins] else begun
        if not begun:  # it is the end of a text
            continue
        sampling = Sampling(length=max(length - len(begun), 1), temperature=1.0, top_p=1.0, seed=number)
        made = list(write(teacher.network, [*known.begins, *begun], sampling, end_of(domain), ends_of(domain)))
        text = _task(teacher).decode([*begun, *made], domain)
        yield ({"text": text} if text.strip() else {}), len(begun) + len(made)


def _answer(teacher: Loaded, domain: Any, row: dict[str, Any]) -> tuple[dict[str, Any], int]:
    messages, _ = domain.held_out(row)
    try:
        asked = domain.transform({"messages": messages}, None)[0]["input"].tolist()
    except DataError:  # longer than the network reads
        return {}, 0
    sampling = Sampling(length=max(domain.length - len(asked), 1), temperature=0)
    made = list(write(teacher.network, asked, sampling, end_of(domain), ends_of(domain)))
    reply = _task(teacher).decode(made, domain)
    if not reply.strip():
        return {}, len(made)
    return {"messages": [*messages, {"role": "assistant", "content": reply}]}, len(made)


def _task(teacher: Loaded) -> LanguageModel:
    task = teacher.task.task if isinstance(teacher.task, Wrapping) else teacher.task
    assert isinstance(task, LanguageModel), "see compress/distil.py"
    return task
