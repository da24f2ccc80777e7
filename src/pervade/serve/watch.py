"""What comes in, compared with rows that the model did not learn from, for as long as it is served.

Each statistic of an input (`statistics`, and how sure the answer is) is tested by itself. Were inputs exchangeable with
the rows that were held out, the rank of each among all before it, with ties broken at random, would be uniform and
independent of the others (conformal p-values). A martingale bets against that: it begins at 1, and by Ville's
inequality it ever reaches c with a probability of at most 1 / c, however long it is watched. So with the bound
statistics / FALSE_ALARM all alarms that are ever false have a probability of FALSE_ALARM together.

    V. Vovk, I. Petej, I. Nouretdinov, E. Ahlberg, L. Carlsson, A. Gammerman, "Retrain or not retrain: conformal test
    martingales for change-point detection", COPA 2021, arXiv:2102.10439

Bets are as in its Simple Jumper, on small and on large p-values and on those in the middle and at the ends, with all
or a part of what bets at stake. They begin one after another: the share 1 / (k (k + 1)) of the capital at the k-th
input, so a change after a million inputs costs 28 nats and is seen some 50 inputs later. What is compared is in cells
of fixed width, so memory does not grow.
"""

from __future__ import annotations

import io
import math
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

FALSE_ALARM = 0.01  # probability that all is well and there ever is one
JUMP = 0.005  # share of what bets that is divided anew among the bets, after every input
STAKES = np.array([[1.0], [0.3]])  # of what bets, in one go: on much that is other, and on little
CELLS, PER_NAT = 4096, 128  # of 0.8% each
RECENT = 200  # inputs whose quantiles are told
MOST = 1e100  # capital beyond which nothing more is learnt
CALLED = {
    "confidence": "confidence",
    "characters": "length in characters",
    "pixels": "number of pixels",
    "ratio": "longer side by the shorter",
    "seconds": "length in seconds",
}
LIKE = "as far as {n:,} inputs tell, what comes in looks like what this model learnt from"
UNLIKE = "what comes in no longer looks like what this model learnt from"


def statistics(kind: str, content: bytes | str) -> dict[str, float]:
    """By name, of one input of such a kind (served.py: Kind); from its header alone, so a picture or a sound that
    cannot be opened has none."""
    if isinstance(content, str):
        return {"characters": float(len(content))} if kind == "text" else {}
    try:
        if kind == "picture":
            from PIL import Image

            with Image.open(io.BytesIO(content)) as picture:
                width, height = picture.size
            return {"pixels": float(width * height), "ratio": max(width, height) / min(width, height)}
        if kind == "sound":
            import soundfile

            return {"seconds": float(soundfile.info(io.BytesIO(content)).duration)}
    except (OSError, RuntimeError, ValueError, SyntaxError, ZeroDivisionError):  # what Pillow and libsndfile raise
        return {}
    return {}  # of other kinds nothing is known


def confidence(answer: Mapping[str, Any]) -> float | None:
    """How sure an answer is, 0-1; None where it does not say."""
    top = answer.get("top")
    if isinstance(top, list) and top and isinstance(top[0], Mapping):
        answer = top[0]
    value = answer.get("probability", answer.get("confidence"))
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= 1 else None


class Martingale:
    """Bets that the values that come are not exchangeable with the `reference` (n,) and with each other."""

    def __init__(self, reference: np.ndarray, of_shares: bool, rng: np.random.Generator) -> None:
        """Values are at least 0; `of_shares`: 0-1, told apart near both ends."""
        self.of_shares, self.rng = of_shares, rng
        self.counts = np.bincount(self._cells(np.asarray(reference, np.float64)), minlength=CELLS)
        self.total, self.seen = len(reference), 0
        self.asleep, self.awake = 1.0, np.zeros((len(STAKES), 4))
        self.most = 1.0  # capital that it ever had

    def _cells(self, values: np.ndarray) -> np.ndarray:
        """Numbers of cells, the same for a value whatever came before it."""
        if self.of_shares:
            shares = np.clip(values, 1e-7, 1 - 1e-7)
            nats = np.log(shares) - np.log1p(-shares) + CELLS / PER_NAT / 2
        else:
            nats = np.log1p(np.maximum(values, 0.0))
        return np.clip(np.floor(nats * PER_NAT), 0, CELLS - 1).astype(np.int64)

    def see(self, value: float) -> float:
        """The capital after one more value."""
        (cell,) = self._cells(np.array([value]))
        self.counts[cell] += 1
        self.total, self.seen = self.total + 1, self.seen + 1
        above, alike = int(self.counts[cell + 1 :].sum()), int(self.counts[cell])
        return self.bet((above + self.rng.random() * alike) / self.total)

    def bet(self, p: float) -> float:
        """The capital after the p-value `p`, 0-1. Each bet is worth 1 in the mean where these are uniform."""
        left = 1.0 / (self.seen + 1)
        self.awake += (self.asleep - left) / self.awake.size
        self.asleep = left
        width = 4 * abs(p - 0.5)
        self.awake *= 1 + STAKES * (np.array((2 * p, 2 - 2 * p, width, 2 - width)) - 1)
        self.awake += JUMP * (self.awake.mean() - self.awake)
        capital = self.asleep + float(self.awake.sum())
        if capital > MOST:
            self.awake *= MOST / capital
        self.most = max(self.most, capital)
        return capital


class Watch:
    """Of one model. Called and read from any thread."""

    def __init__(self, reference: Mapping[str, Sequence[float]], seed: int = 0) -> None:
        """`reference`: values of held-out rows by the name of the statistic, "confidence" and those of `statistics`."""
        self.reference = {name: np.asarray(values, np.float64) for name, values in reference.items() if len(values)}
        rng = np.random.default_rng(seed)
        self.tests = {name: Martingale(own, name == "confidence", rng) for name, own in self.reference.items()}
        self.recent = {name: deque[float](maxlen=RECENT) for name in self.tests}
        self.seen = 0
        self.alarms: dict[str, dict[str, Any]] = {}
        self.lock = threading.Lock()

    @property
    def bound(self) -> float:
        """Capital from which on there is an alarm."""
        return max(len(self.tests), 1) / FALSE_ALARM

    def see(self, kind: str, content: Any, answer: Mapping[str, Any]) -> None:
        """One more input, where it is of one field (else `content` is None), and its answer; what has no answer, or is
        no row but a tensor of them, is left out."""
        if answer.get("error") is not None or "outputs" in answer:
            return
        values: dict[str, float | None] = {"confidence": confidence(answer)}
        if isinstance(content, (bytes, str)) and self.tests.keys() - values.keys():
            values |= statistics(kind, content)
        with self.lock:
            self.seen += 1
            for name, test in self.tests.items():
                value = values.get(name)
                if value is None or not math.isfinite(value):
                    continue
                self.recent[name].append(value)
                if test.see(value) >= self.bound and name not in self.alarms:
                    self.alarms[name] = {"inputs": self.seen, "time": datetime.now(UTC).isoformat(timespec="seconds")}

    def told(self) -> dict[str, Any]:
        """For GET /v1/models/{run}/watch."""
        with self.lock:
            return {
                "inputs": self.seen,
                "alarm": bool(self.alarms),
                "sentence": self._sentence(),
                "false_alarm": FALSE_ALARM,
                "statistics": {
                    name: {
                        "called": CALLED[name],
                        "learnt_from": _quantiles(self.reference[name]),
                        "recent": _quantiles(np.array(self.recent[name])),
                        "evidence": test.most,
                        "bound": self.bound,
                        "alarm": self.alarms.get(name),
                    }
                    for name, test in self.tests.items()
                },
            }

    def _sentence(self) -> str:
        if not self.tests:
            return "there is nothing to compare with: no predictions of held-out rows lie beside this model"
        if not self.alarms:
            return LIKE.format(n=self.seen)
        parts = []
        for name in self.alarms:
            was, now = float(np.median(self.reference[name])), float(np.median(self.recent[name]))
            parts.append(f"the {CALLED[name]} is {now:.3g} in the middle, and was {was:.3g}")
        return f"{UNLIKE}: {'; '.join(parts)}"


def _quantiles(values: np.ndarray) -> dict[str, Any]:
    if not len(values):
        return {"n": 0, "low": None, "middle": None, "high": None}
    low, middle, high = (float(f"{value:.6g}") for value in np.quantile(values, (0.05, 0.5, 0.95)))
    return {"n": len(values), "low": low, "middle": middle, "high": high}
