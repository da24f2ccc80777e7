"""A run's predictions as a table: filtered, ordered and cut into pages here, each row with what it is made of.

Everything comes from one predictions file, as every figure does. Which rows are wrong is said only where there is one
answer to that: classes, several labels, and texts that are to be written word for word. A row is shown through the
run's own domain, from the path that data.json has for it, and only while the file there is the one that was read then.

Axis letters: n rows, k labels.
"""

from __future__ import annotations

import base64
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pervade.core.contracts import Domain
from pervade.core.contracts.capabilities import labels_of
from pervade.core.errors import CheckpointError, ConfigError, PervadeError, nearest
from pervade.core.run import RunDirectory
from pervade.core.types import Media
from pervade.engine.predictions import read
from pervade.report import preprocessing, sound, wording
from pervade.report import record as records
from pervade.report.record import Record
from pervade.report.sections.mistakes import MOST_BYTES, gone, row_of, thumbnail

MOST_ROWS = 100  # of a page
MOST_TEXT = 1200  # letters of a row that are shown
MOST_FACTS = 8  # columns of one number or text that are shown beside an answer
HIDDEN = ("row", "id", "group", "target", "prediction", "probabilities", "label", "prior", "threshold")
SHOWN = ("all", "wrong", "right")


def files(run: RunDirectory) -> list[str]:
    """The run's predictions, "checkpoint@split", those of the best and of the test split first."""
    there = [path.stem for path in (run.path / "predictions").glob("*@*.parquet")]
    return sorted(there, key=lambda name: (not name.endswith("@test"), not name.startswith("best@"), name))


@dataclass(frozen=True)
class Sheet:
    """One predictions file. `labels` (k) are empty where a row is not of one or some of several classes."""

    record: Record
    columns: dict[str, Any]
    labels: list[str]
    domain: Domain | None

    @staticmethod
    def open(run: RunDirectory, name: str) -> Sheet:
        """Raises CheckpointError where there is no such file, or it is damaged."""
        there = files(run)
        if name not in there:
            raise CheckpointError(f"{run.name!r} has no predictions {name[:100]!r}; {nearest(name[:100], there)}")
        columns, _ = read(_inside(run, run.path / "predictions" / f"{name}.parquet"))
        if not len(columns.get("row", ())):
            raise CheckpointError(f"the predictions {name!r} hold no row; write them again with `pervade evaluate`")
        checkpoint, _, rows_of = name.partition("@")
        other = (run.path / "measured" / rows_of).is_dir()  # other data than its own, which it was measured on
        record = records.read(RunDirectory(run.path, rows_of) if other else run)
        shown = preprocessing.domain(record, checkpoint)
        measured = (one.labels for one in record.results if one.checkpoint == checkpoint and one.labels)
        labels = next(measured, [] if shown is None else [str(label) for label in labels_of(shown)])
        both = [columns.get("target"), columns.get("prediction")]
        numbers = [v for v in both if isinstance(v, np.ndarray) and v.dtype.kind in "iub"]
        highest = max((int(v.max()) for v in numbers if v.ndim == 1), default=0)
        return Sheet(record, columns, labels if len(numbers) == 2 and highest < len(labels) else [], shown)

    def __len__(self) -> int:
        return len(self.columns["row"])

    @property
    def _both(self) -> tuple[Any, Any] | None:
        target, said = self.columns.get("target"), self.columns.get("prediction")
        return None if target is None or said is None else (target, said)

    @property
    def several(self) -> bool:
        return bool(self.labels) and self.columns["target"].ndim == 2

    @cached_property
    def right(self) -> np.ndarray | None:
        """(n,) whether the answer is what it should be; None where that is not one question."""
        if self._both is None:
            return None
        target, said = self._both
        if self.labels:
            same = np.asarray(target == said)
            return np.asarray(same.all(axis=1) if self.several else same)
        if all(isinstance(v, list) and all(isinstance(one, str) for one in v) for v in (target, said)):
            return np.array([one == other for one, other in zip(target, said, strict=True)])
        return None

    @cached_property
    def sure(self) -> np.ndarray | None:
        """(n,) the probability of the answer; of several labels that of the one that it was surest about, in what is
        wrong where something is. None where it says none."""
        share = self.columns.get("probabilities")
        if self.labels and isinstance(share, np.ndarray) and share.ndim == 2:
            said = self.columns["prediction"]
            if not self.several:
                return np.asarray(share[np.arange(len(self)), said])
            own = np.where(said > 0, share, 1 - share)
            wrong = said != self.columns["target"]
            return np.asarray(np.where(wrong.any(axis=1), np.where(wrong, own, 0).max(axis=1), own.min(axis=1)))
        single = self.columns.get("probability", self.columns.get("confidence"))
        return single if isinstance(single, np.ndarray) and single.ndim == 1 and single.dtype.kind == "f" else None

    @cached_property
    def off(self) -> np.ndarray | None:
        """(n,) how far an estimated number lies from the true one; None of other answers."""
        if self._both is None or self.labels:
            return None
        numbers = [v for v in self._both if isinstance(v, np.ndarray) and v.ndim == 1 and v.dtype.kind == "f"]
        return np.abs(numbers[0] - numbers[1]) if len(numbers) == 2 else None

    @cached_property
    def orders(self) -> dict[str, np.ndarray]:
        """What the rows can be ordered by, to the value of each: the largest first, with a minus the smallest."""
        plain = {"sure": self.sure, "off": self.off}
        plain |= {name: np.asarray(self.columns[name], np.float64) for name in self._facts if self._is_number(name)}
        return {name: values for name, values in plain.items() if values is not None}

    @cached_property
    def _facts(self) -> list[str]:
        """Columns of one number or one short text a row."""
        texts = [
            name for name, values in self.columns.items() if isinstance(values, list) and isinstance(values[0], str)
        ]
        single = [name for name in self.columns if name not in HIDDEN and (name in texts or self._is_number(name))]
        return single[:MOST_FACTS]

    def _is_number(self, name: str) -> bool:
        values = self.columns[name]
        return isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iufb"

    def about(self) -> dict[str, Any]:
        """What can be asked of it."""
        orders = [name for name in self.orders if name not in ("sure", "off")]
        return {
            "rows": len(self),
            "labels": self.labels[:1000],
            "judged": self.right is not None,
            "wrong": None if self.right is None else int((~self.right).sum()),
            "orders": [name for name in ("sure", "off") if name in self.orders] + orders,
        }

    def page(
        self, only: str = "all", order: str = "", said: str = "", target: str = "", begin: int = 0, most: int = 20
    ) -> dict[str, Any]:
        """`most` rows from `begin` on of those that fit. Raises ConfigError where the table knows no such order, class
        or choice."""
        keep = np.ones(len(self), bool)
        if only not in SHOWN or (only != "all" and self.right is None):
            raise ConfigError(
                f"{only[:40]!r} cannot be shown alone; allowed: {', '.join(SHOWN if self.labels else SHOWN[:1])}"
            )
        if only != "all" and self.right is not None:
            keep &= self.right == (only == "right")
        for column, label in (("prediction", said), ("target", target)):
            if label:
                keep &= self._of_class(column, label)
        places = np.flatnonzero(keep)
        name = order.removeprefix("-")
        if name:
            if name not in self.orders:
                raise ConfigError(f"rows have no order {name[:40]!r}; {nearest(name[:40], self.orders)}")
            values = self.orders[name][places]
            places = places[np.argsort(values if order.startswith("-") else -values, kind="stable")]
        begin = max(begin, 0)
        shown = places[begin : begin + min(max(most, 1), MOST_ROWS)]
        return {"rows": len(places), "begin": begin, "shown": [self.row(int(place)) for place in shown]}

    def _of_class(self, column: str, label: str) -> np.ndarray:
        if label not in self.labels:
            raise ConfigError(f"there is no class {label[:60]!r}; {nearest(label[:60], self.labels)}")
        number, values = self.labels.index(label), self.columns[column]
        return np.asarray(values[:, number] > 0 if self.several else values == number)

    def row(self, place: int) -> dict[str, Any]:
        row = row_of(self.record, self.columns, place)
        said, target = (self._named(name, place) for name in ("prediction", "target"))
        sure, off = (None if values is None else _finite(values[place]) for values in (self.sure, self.off))
        return {
            "id": wording.label(row["id"], most=160),
            "said": said,
            "target": target,
            "right": None if self.right is None else bool(self.right[place]),
            "sure": sure,
            "off": off,
            "facts": {name: _fact(self.columns[name][place]) for name in self._facts},
            "media": parts(self.domain, row, {"label": said or "", "confidence": sure}),
        }

    def _named(self, column: str, place: int) -> str | None:
        values = self.columns.get(column)
        if values is None:
            return None
        value = values[place]
        if self.labels:
            named = [self.labels[i] for i in (np.flatnonzero(value) if self.several else [int(value)])]
            return wording.join([wording.label(label) for label in named]) or "–"
        if isinstance(value, np.ndarray):
            return None
        if isinstance(value, list):
            value = value[0] if value and isinstance(value[0], str) else None
        return None if value is None else _fact(value)


def _inside(run: RunDirectory, path: Path) -> Path:
    if not path.resolve().is_relative_to(run.path.resolve()):
        raise CheckpointError(f"predictions/{path.name} leads out of the run; put the file itself there")
    return path


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _fact(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return wording.number(float(value)) if np.isfinite(value) else "–"
    return str(value)[:MOST_TEXT]


def parts(domain: Domain | None, row: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
    """What the row is made of: pictures and sounds as data: addresses, texts; or "why" it cannot be shown."""
    why = gone(row)
    if why is None and domain is not None:
        try:
            return [_part(media) for media in domain.show(row, answer)]
        except (PervadeError, OSError, ValueError, LookupError, TypeError) as error:
            why = str(error)
    return [{"kind": "none", "why": wording.label(why or "it cannot be shown here", most=160)}]


def _part(media: Media) -> dict[str, Any]:
    if media.kind == "text":
        return {"kind": "text", "text": str(media.data)[:MOST_TEXT]}
    data = media.data if isinstance(media.data, bytes) else media.data.encode()
    made = MADE.get(media.kind)
    told = None if made is None else made(data)
    if told is None:
        return {"kind": "none", "why": "too large to be shown here"}
    return {**told, "alt": wording.label(media.caption)}


def _picture(data: bytes) -> dict[str, Any] | None:
    kind, data, small = thumbnail(data)
    return {"kind": "picture", "source": _address(kind, data), "small": small} if len(data) <= MOST_BYTES else None


def _film(data: bytes) -> dict[str, Any] | None:
    return {"kind": "picture", "source": _address("image/gif", data)} if len(data) <= 4 * MOST_BYTES else None


def _sound(data: bytes) -> dict[str, Any] | None:
    try:
        clip = sound.read(data)
    except (wave.Error, EOFError, ValueError):
        return {"kind": "sound", "source": _address("audio/wav", data)} if len(data) <= sound.MOST_BYTES else None
    played = data if len(data) <= sound.MOST_BYTES else sound.smaller(clip)
    told = {"kind": "sound", "source": _address("audio/wav", played), "seconds": round(clip.seconds, 2)}
    return told | ({"picture": _address("image/png", sound.picture_of(clip))} if len(clip.samples) else {})


MADE: Mapping[str, Callable[[bytes], dict[str, Any] | None]] = {"png": _picture, "gif": _film, "wav": _sound}


def _address(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
