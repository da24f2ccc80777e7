"""Answers where they may be given: the bound by hand, and how often it holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from pervade.core.contracts.promises import SPLIT
from pervade.core.errors import ConfigError, DataError, PromiseError
from pervade.core.types import Rows
from pervade.domains.image import Image
from pervade.domains.questions import Questions
from pervade.metrics.estimate import estimate
from pervade.promises.max_risk import MaxRisk, candidates, rows_needed
from pervade.tasks.answer_span import AnswerSpan
from pervade.tasks.classify import Classify
from pervade.tasks.regress import Regress

DOMAIN = Image(size=8, labels=("ant", "bee"), mean=(0.5,) * 3, deviation=(0.2,) * 3)


def table(confidence: np.ndarray, wrong: np.ndarray) -> dict[str, Any]:
    """Rows that are all answered "ant", so surely."""
    return {
        "row": np.arange(len(confidence)),
        "group": np.arange(len(confidence)),
        "prediction": np.zeros(len(confidence), np.int64),
        "label": ["ant"] * len(confidence),
        "target": wrong.astype(np.int64),
        "probabilities": np.stack([confidence, 1 - confidence], axis=1),
    }


def test_the_bound_by_hand() -> None:
    """Of 256 rows, 8 shares of them: each with 1 - 0.1 / 8. The surest 224 are right, the others wrong."""
    confidence = np.linspace(0.99, 0.51, 256)
    settled = MaxRisk(0.05).settle(table(confidence, np.arange(256) >= 224), DOMAIN)
    level = 1 - 0.1 / 8
    bounds = [
        stats.binomtest(errors, 224 + errors, alternative="less").proportion_ci(level, method="exact").high
        for errors in range(8)
    ]
    last = sum(bound <= 0.05 for bound in bounds) - 1
    assert 0 < last < 7
    assert settled == {
        "confidence": pytest.approx(confidence[224 + last - 1]),
        "bound": pytest.approx(bounds[last]),
        "answered": 224 + last,
        "wrong": last,
    }
    kept = MaxRisk(0.05).keep(table(confidence, np.arange(256) >= 224), settled, DOMAIN)
    assert kept["answered"].tolist() == [1] * (224 + last) + [0] * (32 - last)


def test_everything_is_answered_where_everything_is_right() -> None:
    confidence = np.linspace(0.99, 0.51, 300)
    settled = MaxRisk().settle(table(confidence, np.zeros(300)), DOMAIN)
    assert (settled["confidence"], settled["answered"], settled["wrong"]) == (0.0, 300, 0)
    assert settled["bound"] == pytest.approx(1 - (0.1 / 9) ** (1 / 300))


def test_equal_confidences_are_answered_together() -> None:
    """150 rows of 0.9 without, and 150 of 0.8 with 20 errors: no part of the latter is answered."""
    confidence = np.repeat([0.9, 0.8], 150)
    wrong = np.arange(300) % 2 * (np.arange(300) > 260)
    settled = MaxRisk(0.05).settle(table(confidence, wrong), DOMAIN)
    assert (settled["confidence"], settled["answered"], settled["wrong"]) == (0.9, 150, 0)


def test_the_risk_over_many_draws() -> None:
    """Of 300 draws of 300 rows, at most one in ten (and what chance adds) has a risk above what was promised."""
    generator = np.random.default_rng(0)
    everywhere = 0.5 + 0.5 * generator.beta(8, 1, 200_000)
    broken, kept, answered = 0, 0, []
    for _ in range(300):
        confidence = 0.5 + 0.5 * generator.beta(8, 1, 300)
        try:
            settled = MaxRisk(0.05).settle(table(confidence, generator.random(300) > confidence), DOMAIN)
        except PromiseError:
            continue
        taken = everywhere >= settled["confidence"]
        broken += (1 - everywhere[taken]).mean() > 0.05
        kept, answered = kept + 1, [*answered, taken.mean()]
    assert kept > 100
    assert broken <= 0.1 * 300
    assert np.mean(answered) > 0.3


def test_rows_needed_are_the_fewest() -> None:
    for share, level in ((0.02, 0.9), (0.1, 0.9), (0.05, 0.99)):
        needed = rows_needed(share, level)
        for rows, enough in ((needed, True), (needed - 1, False)):
            assert (1 - ((1 - level) / candidates(rows)) ** (1 / rows) <= share) == enough
        settled = MaxRisk(share, level).settle(table(np.linspace(0.9, 0.6, needed), np.zeros(needed)), DOMAIN)
        assert settled["bound"] <= share


def test_a_risk_that_cannot_be_kept_names_one_that_can() -> None:
    generator = np.random.default_rng(1)
    confidence = 0.6 + 0.4 * generator.random(250)
    data = table(confidence, generator.random(250) < 0.2)
    with pytest.raises(PromiseError, match=r"--max-risk 0\.02 cannot be kept with 90% confidence") as fault:
        MaxRisk(0.02).settle(data, DOMAIN)
    told = str(fault.value)
    least = float(told.split("; --max-risk ")[1].split(" can be kept")[0])
    assert 0.1 < least < 0.5
    assert MaxRisk(least).settle(data, DOMAIN)["bound"] <= least
    with pytest.raises(PromiseError):
        MaxRisk(least - 0.002).settle(data, DOMAIN)
    few = table(np.linspace(0.9, 0.6, 100), np.zeros(100))
    with pytest.raises(PromiseError, match=r"and this one of about \d+ rows of which as many are right"):
        MaxRisk(0.02).settle(few, DOMAIN)
    # 7 of 100 wrong are just under 0.07 * 100 in binary fractions: no number of rows would show it.
    hardly = table(np.full(100, 0.9), np.arange(100) < 7)
    with pytest.raises(PromiseError, match=r"--max-risk 0\.148 can be kept$"):
        MaxRisk(0.07).settle(hardly, DOMAIN)


def test_figures_answers_and_what_is_told() -> None:
    promise = MaxRisk(0.2)
    settled = {"confidence": 0.8, "bound": 0.15, "answered": 60, "wrong": 2}
    data = table(np.array([0.95, 0.9, 0.85, 0.8, 0.7, 0.6]), np.array([0, 0, 1, 0, 1, 0]))
    kept = promise.keep(data, settled, DOMAIN)
    figures = {name: figure.as_dict() for name, figure in estimate(promise.metrics(settled, DOMAIN), kept).items()}
    assert (figures["answered"]["value"], figures["risk"]["value"], figures["risk"]["n"]) == (4 / 6, 0.25, 4)
    told = promise.told(figures, kept, settled, DOMAIN)
    assert told.sentence == (
        "answers 67 of 100 (30 to 90), of which 25 of 100 are wrong (5 to 70; promised: at most 20)"
    )
    assert told.curve["x"] == pytest.approx(np.arange(1, 7) / 6)
    assert told.curve["y"] == pytest.approx([0, 0, 1 / 3, 1 / 4, 2 / 5, 2 / 6])
    assert told.curve["at"] == [4 / 6, 0.25]
    sure, unsure = (promise.answer({"top": []}, kept, place, DOMAIN) for place in (3, 4))
    assert sure == {"top": [], "answered": True, "answer": "ant"}
    assert unsure == {"top": [], "answered": False, "answer": "I do not know"}
    none = promise.keep(data, {**settled, "confidence": 0.99}, DOMAIN)
    figures = {name: figure.as_dict() for name, figure in estimate(promise.metrics(settled, DOMAIN), none).items()}
    assert figures["risk"]["why"] == "no row was answered"
    assert promise.told(figures, none, settled, DOMAIN).sentence.startswith("answers 0 of 100")


def test_answers_to_questions() -> None:
    domain = Questions()
    rows = 300
    data = {
        "row": np.arange(rows),
        "group": np.arange(rows),
        "prediction": ["the Nile"] * rows,
        "probability": np.linspace(0.9, 0.1, rows),
        "target": [["Nile"]] * 290 + [["Rhine"]] * 10,
    }
    settled = MaxRisk(0.03).settle(data, domain)
    assert settled["wrong"] == 2
    kept = MaxRisk(0.03).keep(data, settled, domain)
    assert kept["answered"].sum() == settled["answered"] == 292
    assert MaxRisk(0.03).answer({}, kept, 299, domain)["answer"] == "I do not know"


def test_one_row_a_group_counts() -> None:
    """Three pictures of each of 260 patients, of which each is as sure and as right as the others, are 260 rows."""
    confidence, wrong = np.linspace(0.99, 0.51, 260), np.arange(260) >= 240
    alone, together = table(confidence, wrong), table(np.repeat(confidence, 3), np.repeat(wrong, 3))
    together["group"] = np.repeat(np.arange(260), 3)
    assert MaxRisk(0.05).settle(together, DOMAIN) == MaxRisk(0.05).settle(alone, DOMAIN)
    held = Rows(
        {"id": [str(i) for i in range(780)], "group": [str(i) for i in together["group"]], "split": [SPLIT] * 780}
    )
    MaxRisk().examine(Classify(), held, DOMAIN)
    with pytest.raises(DataError, match="there are 260"):
        MaxRisk(0.01).examine(Classify(), held, DOMAIN)


def test_what_is_refused() -> None:
    def held(rows: int) -> Rows:
        return Rows({"id": [str(i) for i in range(rows)], "target": ["ant"] * rows, "split": [SPLIT] * rows})

    needed = rows_needed(0.02, 0.9)
    MaxRisk().examine(Classify(), held(needed), DOMAIN)
    MaxRisk().examine(AnswerSpan(), held(needed), Questions())
    with pytest.raises(
        DataError, match=rf"takes {needed} rows .*there are 40; give more data; --max-risk 0\.098 might"
    ):
        MaxRisk().examine(Classify(), held(40), DOMAIN)
    with pytest.raises(DataError, match=r"give more data, or leave more of them for validation"):  # twice as many do
        MaxRisk().examine(Classify(), held(needed - needed // 2), DOMAIN)
    with pytest.raises(DataError, match=r"there are 0; give more data$"):
        MaxRisk().examine(Classify(), held(0), DOMAIN)
    with pytest.raises(ConfigError, match=r"not for the task 'regress'; .*--coverage 0\.9"):
        MaxRisk().examine(Regress(), held(needed), DOMAIN)
