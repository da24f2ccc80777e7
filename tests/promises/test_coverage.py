"""Sets and ranges that hold the truth so often, as functions of tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pervade.core import spec
from pervade.core.contracts import Promise
from pervade.core.contracts.promises import SPLIT
from pervade.core.errors import ConfigError, DataError, PromiseError
from pervade.core.types import Rows
from pervade.domains.image import Image
from pervade.domains.questions import Questions
from pervade.engine import promises
from pervade.metrics import conformal
from pervade.metrics.estimate import estimate
from pervade.promises.coverage import Coverage
from pervade.tasks.answer_span import AnswerSpan
from pervade.tasks.classify import Classify
from pervade.tasks.dictate import Dictate
from pervade.tasks.regress import Regress
from pervade.tasks.tag import Tag
from pervade.tasks.transcribe import Transcribe

LABELS = ("ant", "bee", "cat")
DOMAIN = Image(size=8, labels=LABELS, mean=(0.5,) * 3, deviation=(0.2,) * 3)
NUMBERS = Image(size=8, target="number", scale=(100.0, 20.0), mean=(0.5,) * 3, deviation=(0.2,) * 3)
MANY = Image(size=8, labels=tuple(f"c{i:02}" for i in range(30)), mean=(0.5,) * 3, deviation=(0.2,) * 3)


def drawn(rows: int, domain: Image, seed: int, spread: float = 1.5) -> dict[str, Any]:
    """Classes that come as often as their probabilities say."""
    generator = np.random.default_rng(seed)
    logits = spread * generator.normal(size=(rows, len(domain.labels)))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = (probabilities.cumsum(1) < generator.random((rows, 1))).sum(1).clip(max=len(domain.labels) - 1)
    prediction = probabilities.argmax(1)
    return {
        "row": np.arange(rows),
        "group": np.arange(rows),
        "target": target,
        "prediction": prediction,
        "label": [domain.labels[i] for i in prediction],
        "probabilities": probabilities,
    }


def measured(promise: Coverage, table: dict[str, Any], settled: dict[str, Any], domain: Any) -> dict[str, Any]:
    kept = promise.keep(table, settled, domain)
    figures = estimate(promise.metrics(settled, domain), kept)
    return {name: figure.as_dict() for name, figure in figures.items()} | {"kept": kept}


def held(*targets: Any, **more: list[Any]) -> Rows:
    """Rows of the split that settles promises, and one of each target that trains."""
    there = sorted(set(targets), key=str)
    columns = {"id": [str(i) for i in range(len(targets) + len(there))], "target": [*targets, *there], **more}
    return Rows({**columns, "split": [SPLIT] * len(targets) + ["train"] * len(there)})


# classes


def test_sets_by_hand() -> None:
    """Of 9 rows the true class has 0.9, 0.8 … 0.1; ceil(10 x 0.8) = 8, so a class is in a set from 0.2 on."""
    true = np.arange(9, 0, -1) / 10
    table = {
        "probabilities": np.stack([true, (1 - true) * 0.6, (1 - true) * 0.4], axis=1),
        "target": np.zeros(9, np.int64),
        "group": np.arange(9),
    }
    promise = Coverage(0.8)
    settled = promise.settle(table, DOMAIN)
    assert settled == {"of": "classes", "limit": pytest.approx(0.8)}
    new = {"probabilities": np.array([[0.81, 0.19, 0.0], [0.5, 0.3, 0.2001], [0.21, 0.39, 0.4]])}
    new["prediction"] = new["probabilities"].argmax(1)
    assert promise.keep(new, settled, DOMAIN)["set"].tolist() == [[1, 0, 0], [1, 1, 1], [1, 1, 1]]
    answers = [promise.answer({"top": []}, promise.keep(new, settled, DOMAIN), place, DOMAIN) for place in (0, 2)]
    assert answers[0] == {"top": [], "set": ["ant"], "coverage": 0.8}
    assert answers[1]["set"] == ["cat", "bee", "ant"]


@pytest.mark.parametrize("method", ["threshold", "adaptive"])
def test_the_promise_over_many_draws(method: Any) -> None:
    """Mean coverage over 200 draws of 99 rows within what Beta(90, 10) says of it, and no wider spread than its."""
    everything = drawn(99 * 200, MANY, seed=0)
    new, promise = drawn(1000, MANY, seed=1), Coverage(0.9, method=method)
    held = []
    for draw in range(200):
        some = slice(99 * draw, 99 * (draw + 1))
        settled = promise.settle({name: values[some] for name, values in everything.items()}, MANY)
        inside = promise.keep(new, settled, MANY)["set"]
        held.append(inside[np.arange(1000), new["target"]].mean())
    law = stats.beta(90, 10)
    slack = 3 * law.std() / np.sqrt(200) + 3 * np.sqrt(0.09 / 1000)  # of the draws, and of the 1,000 rows
    assert np.mean(held) == pytest.approx(law.mean(), abs=slack)
    assert np.std(held) == pytest.approx(law.std(), rel=0.25)


def test_many_classes_take_the_adaptive_score() -> None:
    settling, new = drawn(200, MANY, seed=2), drawn(500, MANY, seed=3)
    for domain, method in ((MANY, "adaptive"), (DOMAIN, "threshold")):
        settling, new = drawn(200, domain, seed=2), drawn(500, domain, seed=3)
        promise, named = Coverage(0.9), Coverage(0.9, method=method)  # type: ignore[arg-type]
        settled = promise.settle(settling, domain)
        assert settled == named.settle(settling, domain)
        inside = promise.keep(new, settled, domain)["set"]
        assert np.array_equal(inside, named.keep(new, settled, domain)["set"])
        assert inside[np.arange(500), new["prediction"]].all()
        assert inside.dtype == np.int8


def test_what_is_answered_is_in_its_set() -> None:
    """A threshold says ant of the second row, which is likelier a bee."""
    table = {"probabilities": np.array([[0.9, 0.06, 0.04], [0.3, 0.6, 0.1]]), "prediction": np.array([0, 0])}
    assert Coverage(0.9).keep(table, {"of": "classes", "limit": 0.5}, DOMAIN)["set"].tolist() == [[1, 0, 0], [1, 1, 0]]
    exact = Coverage(0.9, empty=True).keep(table, {"of": "classes", "limit": 0.5}, DOMAIN)
    assert exact["set"].tolist() == [[1, 0, 0], [0, 1, 0]]


def test_empty_sets() -> None:
    """Where the likeliest class is right more often than promised, only empty sets hold the truth as rarely as that."""
    settling, new = drawn(400, DOMAIN, seed=4, spread=8.0), drawn(4000, DOMAIN, seed=5, spread=8.0)
    assert (new["prediction"] == new["target"]).mean() > 0.92
    exact, usual = Coverage(0.9, empty=True), Coverage(0.9)
    settled = exact.settle(settling, DOMAIN)
    figures = measured(exact, new, settled, DOMAIN)
    assert figures["coverage"]["value"] == pytest.approx(0.9, abs=0.05)
    assert figures["set_size"]["value"] < 1
    more = measured(usual, new, settled, DOMAIN)
    assert more["kept"]["set"].sum(1).min() == 1
    assert more["coverage"]["value"] > 0.92


def test_each_class_has_its_own_limit() -> None:
    """A class that the model thinks too little of is in more sets, so that it is found as often as the others."""

    def made(seed: int) -> dict[str, Any]:
        table = drawn(3000, DOMAIN, seed)
        probabilities = table["probabilities"] * (1.0, 1.0, 0.2)
        return {**table, "probabilities": probabilities / probabilities.sum(1, keepdims=True)}

    settling, new = made(6), made(7)
    usual, each = Coverage(0.9), Coverage(0.9, by="class")
    of_all = measured(usual, new, usual.settle(settling, DOMAIN), DOMAIN)
    settled = each.settle(settling, DOMAIN)
    assert list(settled["limits"]) == list(LABELS)
    figures = measured(each, new, settled, DOMAIN)
    assert of_all["coverage[cat]"]["value"] < 0.86
    for label in LABELS:
        assert figures[f"coverage[{label}]"]["value"] == pytest.approx(0.9, abs=0.03)
    told = usual.told(of_all, new, usual.settle(settling, DOMAIN), DOMAIN)
    assert "of 'cat' only" in told.sentence
    assert "--coverage-by class" in told.sentence


def test_figures_by_hand() -> None:
    table = {
        "row": np.arange(4),
        "group": np.arange(4),
        "target": np.array([0, 0, 1, 1]),
        "set": np.array([[1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 1, 0]], np.int8),
        "probabilities": np.full((4, 3), 1 / 3),
    }
    promise = Coverage(0.9)
    figures = estimate(promise.metrics({"of": "classes", "limit": 0.5}, DOMAIN), table)
    values = {
        name: figure.value for name, figure in figures.items() if figure.n and not figure.why.startswith("no row")
    }
    assert values == {
        "coverage": 0.75,
        "set_size": 1.75,
        "coverage[ant]": 0.5,
        "coverage[bee]": 1.0,
        "set_size[ant]": 1.5,
        "set_size[bee]": 2.0,
    }
    assert figures["coverage"].method == "Wilson"
    assert figures["set_size[bee]"].n == 2
    assert "no row is of class 'cat'" in figures["coverage[cat]"].why


def test_what_is_told() -> None:
    figures = {"coverage": {"value": 0.912, "low": 0.88, "high": 0.93, "n": 300}, "set_size": {"value": 1.31}}
    told = Coverage(0.9).told(figures, {}, {"of": "classes", "limit": 0.5}, DOMAIN)
    assert told.sentence == (
        "the true class is in the set 91 of 100 times (88 to 93; promised: 90), sets of 1.3 classes in the mean"
    )
    assert told.flag == "--coverage 0.9"
    number = {"coverage": {"value": 1.0, "low": None, "high": None, "n": 1}}
    told = Coverage(0.995).told(number, {}, {"of": "numbers", "limit": 7.25}, NUMBERS)
    assert told.sentence == (
        "the true number is in the range 100 of 100 times (promised: 99.5), which is the answer ± 7.25"
    )


# numbers


def test_ranges_replace_the_tasks_own() -> None:
    table = {
        "row": np.arange(19),
        "group": np.arange(19),
        "target": np.arange(19.0),
        "prediction": np.zeros(19),
        "low": np.full(19, -1.0),
        "high": np.full(19, 1.0),
    }
    promise = Coverage(0.95)
    settled = promise.settle(table, NUMBERS)
    assert settled == {"of": "numbers", "limit": 18.0}
    kept = promise.keep(table, settled, NUMBERS)
    assert (kept["low"].tolist(), kept["high"].tolist()) == ([-18.0] * 19, [18.0] * 19)
    answer = promise.answer(Regress().answers(kept, NUMBERS, 1)[0], kept, 0, NUMBERS)
    assert answer == {"value": 0.0, "low": -18.0, "high": 18.0, "coverage": 0.95}
    assert "95%: -18 to 18" in Regress().display(answer).line
    # One figure of that name, and it says what was promised.
    both = {**Regress().metrics(NUMBERS), **promise.metrics(settled, NUMBERS)}
    assert "which was to hold 95%" in both["coverage"].description
    assert estimate({"coverage": both["coverage"]}, kept)["coverage"].value == 1.0


def test_groups_count_alike() -> None:
    """Of three groups, {0} and {1} with one row and {2} with seventeen: the limit is that of a new group."""
    table = {
        "group": np.array([0, 1] + [2] * 17),
        "target": np.array([8.0, 9.0] + [1.0] * 17),
        "prediction": np.zeros(19),
        "low": np.zeros(19),
        "high": np.zeros(19),
    }
    by_group = Coverage(0.5, by="group")
    settled = by_group.settle(table, NUMBERS)
    assert settled == Coverage(0.5).settle(table, NUMBERS) == {"of": "numbers", "limit": 8.0, "groups": 3}
    alone = {**table, "group": np.arange(19)}
    assert Coverage(0.5).settle(alone, NUMBERS) == {"of": "numbers", "limit": 1.0}
    figures = estimate(by_group.metrics(settled, NUMBERS), by_group.keep(table, settled, NUMBERS))
    assert figures["coverage"].value == pytest.approx(18 / 19)
    assert figures["coverage_of_groups"].value == pytest.approx(2 / 3)
    told = by_group.told({name: figure.as_dict() for name, figure in figures.items()}, table, settled, NUMBERS)
    assert told.sentence.startswith("the true number is in the range 67 of 100 times")
    assert told.sentence.endswith("each group counting alike")
    with pytest.raises(PromiseError, match="at least 9 rows that chose nothing else, and there are 3"):
        Coverage(0.9).settle(table, NUMBERS)


# answers and transcripts

ASKED = Questions(unanswerable=True)
ANSWERS = {
    "row": np.arange(4),
    "group": np.arange(4),
    "prediction": ["Rome", "", "the Nile", "1848"],
    "probability": np.array([0.6, 0.7, 0.5, 0.9]),
    "absent": np.array([np.log(0.1 / 0.6), 1.0, np.log(0.2 / 0.5), -9.0]),
    "candidates": [["Rome", "Paris"], ["two", "three"], ["the Nile", "a river"], ["1848"]],
    "candidate_probabilities": [[0.6, 0.3], [0.2, 0.1], [0.5, 0.3], [0.9]],
    "target": [["Paris"], [], ["Nile", "river Nile"], ["1849"]],
}


def test_sets_of_answers() -> None:
    """The right ones have 0.3, 0.7 (that there is none), 0.5, and the last is not among those that are known."""
    promise = Coverage(0.6)
    settled = promise.settle(ANSWERS, ASKED)
    assert settled == {"of": "answers", "limit": pytest.approx(0.7)}  # ceil(5 x 0.6) = 3
    kept = promise.keep(ANSWERS, settled, ASKED)
    assert kept["set"] == [["Rome", "Paris"], [""], ["the Nile", "a river"], ["1848"]]
    figures = estimate(promise.metrics(settled, ASKED), kept)
    assert (figures["coverage"].value, figures["set_size"].value) == (0.75, 1.5)
    assert promise.answer({}, kept, 1, ASKED) == {"set": ["(no answer)"], "coverage": 0.6}
    with pytest.raises(PromiseError, match=r"among the likeliest 60 times of 100 at most; --coverage 0\.6 or less"):
        Coverage(0.75).settle(ANSWERS, ASKED)


def test_bounds_of_wrong_words() -> None:
    """Confidences 0.9 and shares of wrong words 0, 0.1 … 0.8, so that these lie up to 0.7 above what they leave."""
    table: dict[str, Any] = {
        "row": np.arange(9),
        "group": np.arange(9),
        "confidence": np.full(9, 0.9),
        "words": np.full(9, 10),
        "text": ["-"] * 9,
        **{f"word_{kind}": np.zeros(9, np.int64) for kind in ("deletions", "insertions")},
        "word_substitutions": np.arange(9),
    }
    promise = Coverage(0.8)
    settled = promise.settle(table, DOMAIN)
    assert settled == {"of": "transcripts", "limit": pytest.approx(0.6)}
    kept = promise.keep({**table, "confidence": np.full(9, 0.8)}, settled, DOMAIN)
    assert kept["error_bound"].tolist() == pytest.approx([0.8] * 9)
    figures = estimate(promise.metrics(settled, DOMAIN), promise.keep(table, settled, DOMAIN))
    assert figures["coverage"].value == pytest.approx(8 / 9)
    assert figures["error_bound"].value == pytest.approx(0.7)


# what is refused


@pytest.mark.parametrize("task", [Classify(), Regress(), AnswerSpan(), Transcribe()])
def test_enough_rows(task: Any) -> None:
    Coverage().examine(task, held(*"aaaaabbbb"), DOMAIN)
    fault = r"takes 9 rows that choose nothing else.*there are 8; .*-o validation=0\.3\), or .* --coverage 0\.88"
    with pytest.raises(DataError, match=fault):
        Coverage().examine(task, held(*"aaaabbbb"), DOMAIN)


def test_a_rare_class_cannot_have_a_promise_of_its_own() -> None:
    domain = replace(DOMAIN, labels=("a", "b"))
    Coverage(0.5, by="class").examine(Classify(), held("a", "b"), domain)
    with pytest.raises(DataError, match=r"takes 9 rows of class 'b' .*there are 2"):
        Coverage(by="class").examine(Classify(), held(*"aaaaaaaaabb"), domain)


def test_groups_that_are_too_few_or_unknown() -> None:
    rows = held(*"aaaaabbbb")
    with pytest.raises(ConfigError, match="the data names none; say with --group-by"):
        Coverage(by="group").examine(Classify(), rows, DOMAIN)
    grouped = rows.with_columns(group=["anna", "ben", *["carl"] * 9])
    for by in ("all", "group"):
        with pytest.raises(DataError, match=r"takes 9 rows \(one a group\) .*there are 3"):
            Coverage(by=by).examine(Classify(), grouped, DOMAIN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("promise", "task", "fault"),
    [
        (Coverage(), Tag(), "not for several labels a row"),
        (Coverage(), Dictate(), "'dictate'; leave it out"),
        (Coverage(by="class"), Regress(), "--coverage-by class is for classes, and the task 'regress' has none"),
        (Coverage(method="adaptive"), AnswerSpan(), "method 'adaptive' is for classes"),
    ],
)
def test_what_it_is_not_for(promise: Coverage, task: Any, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        promise.examine(task, held(*"aaaaabbbb"), DOMAIN)


@pytest.mark.parametrize("share", [1.0, 0.0, -1, "often"])
def test_no_share_that_rows_could_show(share: Any) -> None:
    with pytest.raises(ConfigError, match="share"):
        spec.decode({"use": "coverage", "share": share}, Promise)


def test_too_few_rows_by_the_end() -> None:
    few = {name: values[:5] for name, values in drawn(5, DOMAIN, seed=8).items()}
    with pytest.raises(PromiseError, match="at least 9 rows that chose nothing else, and there are 5"):
        Coverage().settle(few, DOMAIN)
    assert conformal.rows_needed(0.9) == 9


def test_people_see_it_before_the_answer() -> None:
    settled = {"of": "transcripts", "limit": 0.25}
    entry = {"promise": spec.encode(Coverage()), "settled": settled, "n": 9, "kept": True, "why": ""}
    show = promises.display(Transcribe(), {"promises": [entry]})
    shown = show({"input": "a.wav", "text": "a b", "confidence": 0.8, "words": [], "error_bound": 1 / 3, "error": None})
    assert shown.line == "error_bound 0.3333  a b"
    assert shown.rows[0]["error_bound"] == 1 / 3
