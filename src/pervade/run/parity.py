"""Whether an exported model answers as the run does: the same rows through both, compared row by row.

What was written is opened in a fresh process (run/reopened.py) and asked twice: with rows decoded and scaled as the
predict loop has them, and, by run.py beside it, with the files themselves, of which decoding and scaling are its own.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from pervade.core.contracts import Signature
from pervade.core.contracts.capabilities import Portable, Streamed
from pervade.core.contracts.deployment import Finished
from pervade.core.errors import ConfigError, DataError
from pervade.core.run import RunDirectory
from pervade.core.types import Json, Rows
from pervade.engine.checkpoint import Loaded
from pervade.engine.deployment import Deployed
from pervade.engine.predictor import Predictor, undisturbed
from pervade.run import reopened, standalone

Answers: TypeAlias = Mapping[str, np.ndarray]  # of one row, by the names of outputs

TOLERANCE = 1e-5  # of what has single precision on both sides
QUANTISED = 0.1  # of integers, which a last digit can move by a whole step, layer after layer
CHANGED = 1e-3  # share of rows whose files may be answered otherwise: decoders and scalings round
CHANGED_QUANTISED = 0.02  # share of rows that integers may answer otherwise than integers simulated
MOST = 50_000_000  # numbers of answers that are compared, 400 MB of both sides
COLUMNS = {"probabilities", "prediction", "embedding"}  # what the predict loop gives as a graph does


@dataclass(frozen=True)
class Bound:
    """`difference` of numbers, and the `share` of rows whose decision may change; at least `one` where that is on."""

    difference: float
    share: float = 0.0
    one: bool = False

    def most(self, rows: int) -> int:
        return max(int(self.share * rows), int(self.one))


def bound_of(loaded: Loaded, tolerance: float | None, usual: float = TOLERANCE) -> Bound:
    """What a form is held to: what is `usual`, or what integers come to where the checkpoint is quantised."""
    if any(isinstance(change, Finished) for change in loaded.changes):
        return Bound(QUANTISED if tolerance is None else tolerance, CHANGED_QUANTISED, one=True)
    return Bound(usual if tolerance is None else tolerance)


def compare(wanted: Sequence[Answers], given: Sequence[Answers], ids: Sequence[str], bound: Bound) -> dict[str, Json]:
    """Row by row: "rows"; "difference", the largest (of probabilities; of numbers above 1 as a share of them);
    "changed" rows, of which whole numbers differ; "first", the row beyond the bound that comes first, or None, with
    what differs."""
    largest, changed, first, decided = 0.0, 0, None, None
    for one, other, name in zip(wanted, given, ids, strict=True):
        gap, decides = _apart(one, other)
        largest, changed = max(largest, gap), changed + decides
        if gap > bound.difference:
            first = first or f"{name}: probabilities or numbers differ by {gap:.2g}"
        if decides:
            decided = decided or f"{name}: another decision"
    if changed > bound.most(len(ids)):
        first = first or decided
    return {"rows": len(ids), "difference": min(largest, 1e300), "changed": changed, "first": first}


def _apart(wanted: Answers, given: Answers) -> tuple[float, bool]:
    """How far the numbers of one row are apart, and whether a decision differs."""
    gap, decides = 0.0, False
    for name, one in wanted.items():
        other = np.asarray(given[name]) if name in given else None
        if other is None or other.shape != one.shape:
            return math.inf, True
        if one.dtype.kind in "biu":
            decides |= not np.array_equal(one, other)
            continue
        one, other = _probabilities(name, one), _probabilities(name, other)
        nothing = np.isnan(one)
        if not np.array_equal(nothing, np.isnan(other)):
            return math.inf, decides
        apart = np.abs(one - other)[~nothing] / np.maximum(np.abs(one[~nothing]), 1.0)
        gap = max(gap, float(apart.max(initial=0.0)))
    return gap, decides


def _probabilities(name: str, values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    if name == "log_prob":
        return np.exp(values)
    if name == "logits":
        raised: np.ndarray = np.exp(values - values.max(-1, keepdims=True))
        return np.asarray(raised / raised.sum(-1, keepdims=True))
    return values


def test_rows(run: RunDirectory, loaded: Loaded, most: int) -> Rows:
    """At most so many rows of the test split, drawn by seed 0, ready to be asked about; of a run that has none, of
    validation. Raises DataError where they are gone."""
    rows = Rows(run.read_data()["columns"])
    split = next((name for name in ("test", "validation", "train") if len(rows.where("split", name))), "test")
    own = rows.where("split", split)
    chosen = np.sort(np.random.default_rng(0).permutation(len(own))[:most])
    keep = isinstance(loaded.domain, Streamed)  # whose rows are documents, and what is asked is a text
    prepared, left_out = loaded.domain.prepare(own.select(chosen.tolist()), lambda done, total: None, keep)
    if not len(prepared):
        reason = f" ({left_out[0].source}: {left_out[0].reason})" if left_out else ""
        raise DataError(f"no row of {run.path} can be read to compare the export with{reason}; put the data back")
    return prepared


def reference(loaded: Loaded, rows: Rows, signature: Signature, feeds: Sequence[Sequence[Answers]]) -> list[Answers]:
    """What the run answers to each row: by the predict loop where it says the same things, else by the network and what
    stands around it, in torch."""
    names = [spec.name for spec in signature.outputs]
    single, answers = all(len(parts) == 1 for parts in feeds), [dict[str, np.ndarray]() for _ in feeds]
    if single and COLUMNS & set(names):
        table = replace(Predictor.of(loaded, targets=False), workers=0).table(rows)
        for spec in signature.outputs:
            if spec.name not in table:
                continue
            column = np.asarray(table[spec.name])
            if column.ndim == len(spec.shape) and column.dtype.kind in "biuf":
                for number, answer in enumerate(answers):
                    answer[spec.name] = column[number : number + 1]
    if any(set(names) - set(answer) for answer in answers):
        whole = Deployed(loaded).eval()
        with undisturbed(loaded.network), torch.inference_mode():
            for answer, parts in zip(answers, feeds, strict=True):
                told = [whole(*(torch.from_numpy(part[spec.name]) for spec in signature.inputs)) for part in parts]
                for place, name in enumerate(names):
                    if name not in answer:
                        answer[name] = joined([outputs[place].numpy() for outputs in told])
    return list(answers)


def measure(
    run: RunDirectory,
    loaded: Loaded,
    signature: Signature,
    place: Path,
    bound: Bound,
    most: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """parity.json of the graph at `place`. Raises ConfigError, with the row that differs first, where it answers
    otherwise than the run by more than the `bound`."""
    rows, ids, feeds = asked_about(run, loaded, signature, most)
    names = [spec.name for spec in signature.inputs]
    given = {
        number: file
        for number, (row, parts) in enumerate(zip(rows, feeds, strict=True))
        if len(parts) == 1 and (file := standalone.asked(row, names)) is not None
    }
    say(f"comparing answers about {len(rows):,} rows")
    wanted = reference(loaded, rows, signature, feeds)
    fed, raw = reopen(place, feeds, {number: file for number, file in given.items() if _is_there(file, names)})
    told: dict[str, Any] = {
        "checkpoint": loaded.name,
        "tolerance": bound.difference,
        "decoded": compare(wanted, fed, ids, bound),
    }
    hold(place, told["decoded"], "")
    if raw:
        loose = Bound(math.inf, max(CHANGED, bound.share), one=True)
        told["files"] = compare([wanted[n] for n in raw], list(raw.values()), [ids[n] for n in raw], loose)
        hold(place, told["files"], " from files")
    return told


def agreement(
    run: RunDirectory, loaded: Loaded, signature: Signature, place: Path, bound: Bound, most: int
) -> dict[str, Json]:
    """`compare` of the graph at `place` alone, without a run.py, whatever that comes to."""
    rows, ids, feeds = asked_about(run, loaded, signature, most)
    given, _ = reopen(place, feeds, {})
    return compare(reference(loaded, rows, signature, feeds), given, ids, bound)


def asked_about(
    run: RunDirectory, loaded: Loaded, signature: Signature, most: int
) -> tuple[Rows, list[str], list[Sequence[Answers]]]:
    """Test rows, what they are called, and what of each the graph takes."""
    assert isinstance(loaded.domain, Portable), "as the graph asks"
    rows = test_rows(run, loaded, most)
    feeds = _affordable([loaded.domain.feeds(row) for row in rows], signature)
    return rows.select(range(len(feeds))), [str(name) for name in rows.column("id")[: len(feeds)]], feeds


def _affordable(feeds: Sequence[Sequence[Answers]], signature: Signature) -> list[Sequence[Answers]]:
    """As many of the rows, and of a long one's parts, as answers of which fit into MOST numbers: of a text every token
    is answered by a number for each of the vocabulary."""
    kept: list[Sequence[Answers]] = []
    room = MOST
    for parts in feeds:
        taken: list[Answers] = []
        for part in parts:
            long = max(value.shape[1] if value.ndim > 1 else 1 for value in part.values())
            for spec in signature.outputs:
                several = sum(isinstance(axis, str) for axis in spec.shape) > 1
                room -= math.prod(axis for axis in spec.shape if isinstance(axis, int)) * (long if several else 1)
            if room < 0 and (kept or taken):
                return [*kept, taken] if taken else kept
            taken.append(part)
        kept.append(taken)
    return kept


def hold(place: Path, told: Mapping[str, Any], how: str) -> None:
    if told["first"] is not None:
        raise ConfigError(
            f"{place.name} answers otherwise{how} than the run, first {told['first']} ({told['changed']:,} of "
            f"{told['rows']:,} decisions changed, the largest difference is {told['difference']:.2g}), and is not "
            "kept; --tolerance allows more, or take another --format"
        )


def _is_there(given: str, names: Sequence[str]) -> bool:
    return "input_ids" in names or Path(given).is_file()


def reopen(
    place: Path, feeds: Sequence[Sequence[Answers]], given: Mapping[int, str]
) -> tuple[list[Answers], dict[int, Answers]]:
    """What the graph answers to the feeds of each row, and its run.py to what is `given` of some, in a process that can
    import neither torch nor pervade. Raises ConfigError where that fails, with its last words."""
    parts = [(row, feed) for row, fed in enumerate(feeds) for feed in fed]
    job = {"graph": str(place), "script": str(place.with_name("run.py")), "given": dict(given)}
    told: list[dict[str, list[np.ndarray]]] = [{} for _ in feeds]
    raw: dict[int, dict[str, np.ndarray]] = {}
    for key, value in in_fresh_process(place, job, [feed for _, feed in parts], alone=True).items():
        kind, number, name = key.split("/", 2)
        if kind == "fed":
            told[parts[int(number)][0]].setdefault(name, []).append(value)
        else:
            raw.setdefault(int(number), {})[name] = value
    return [{name: joined(values) for name, values in row.items()} for row in told], dict(raw)


def in_fresh_process(
    place: Path, job: Mapping[str, Any], feeds: Sequence[Answers], alone: bool = False
) -> dict[str, np.ndarray]:
    """What run/reopened.py answers, there where this package cannot be imported (`alone`), or can. Raises ConfigError
    where that fails, with its last words."""
    with tempfile.TemporaryDirectory(prefix="pervade-parity-") as folder:
        work = Path(folder)
        stored = {f"{number}/{name}": value for number, feed in enumerate(feeds) for name, value in feed.items()}
        np.savez(work / "feeds.npz", allow_pickle=False, **stored)
        whole = {**job, "feeds": len(feeds), "threads": torch.get_num_threads()}
        (work / "job.json").write_text(json.dumps(whole), encoding="utf-8")
        command = [sys.executable, "-I" if alone else "-P", reopened.__file__, folder]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if ended.returncode != 0:
            lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
            last = lines[-1][:300] if lines else f"it ended with {ended.returncode}"
            raise ConfigError(
                f"{place.name} cannot be run by itself ({last}); take another --format, or `pervade predict`"
            )
        with np.load(work / "answers.npz", allow_pickle=False) as answers:
            return {key: answers[key] for key in answers.files}


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """What a row's parts were answered, one after the other; they may be of several lengths."""
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    ends = {part.shape[-1] for part in parts}
    return np.concatenate([part.reshape(-1, part.shape[-1]) if len(ends) == 1 else part.ravel() for part in parts])
