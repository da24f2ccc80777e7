"""Better than the baseline or not: whichever way is better, and no answer where there is none."""

from typing import Any

import pytest

from pervade.metrics.baseline import beats_baseline, headline


def result(own: dict[str, Any], other: dict[str, Any] | None, name: str = "it") -> dict[str, Any]:
    details = {} if other is None else {"baseline": {"name": "always 1", "metrics": {name: other}}}
    return {"metrics": {"undefined": {"value": None}, name: own}, "details": details}


def figure(low: float | None, high: float | None, value: float | None = 0.5, **more: Any) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, **more}


@pytest.mark.parametrize(
    ("own", "other", "beats"),
    [
        (figure(0.6, 0.8), figure(0.4, 0.5), True),
        (figure(0.6, 0.8), figure(0.4, 0.6), False),
        (figure(0.6, 0.8), figure(None, None, value=0.5), True),
        (figure(0.6, 0.8, higher_is_better=True), figure(0.7, 0.9), False),
        (figure(0.1, 0.2, higher_is_better=False), figure(0.3, 0.4), True),
        (figure(0.1, 0.3, higher_is_better=False), figure(0.3, 0.4), False),
        (figure(0.1, 0.3, higher_is_better=False), figure(None, None, value=0.31), True),
        (figure(0.6, 0.8, higher_is_better=None), figure(0.4, 0.5), None),
        (figure(None, None), figure(0.4, 0.5), None),
        (figure(0.6, 0.8), figure(None, None, value=None), None),
        (figure(0.6, 0.8), None, None),
    ],
)
def test_the_interval_must_lie_on_the_better_side(own: dict[str, Any], other: Any, beats: bool | None) -> None:
    assert beats_baseline(result(own, other)) is beats


def test_a_baseline_of_zero_has_an_end_at_zero() -> None:
    assert beats_baseline(result(figure(0.1, 0.2), figure(0.0, 0.0, value=0.0))) is True


def test_the_headline_is_the_first_that_is_defined() -> None:
    assert headline(result(figure(0.1, 0.2), None)) == "it"
    assert headline({"metrics": {"it": {"value": None}}}) is None
    assert beats_baseline({"metrics": {}, "details": {}}) is None
