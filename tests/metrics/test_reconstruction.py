"""Reconstruction against values worked by hand and scikit-image's formula."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pervade.metrics.estimate import estimate
from pervade.metrics.language import code_metrics
from pervade.metrics.reconstruction import reconstruction_metrics

METRICS = reconstruction_metrics()


def test_psnr_is_the_mean_of_pictures() -> None:
    columns = {"squared_error": np.array([0.01, 0.0001])}
    assert METRICS["psnr"].compute(columns, np.ones(2)) == pytest.approx(30)  # 20 and 40 dB
    assert METRICS["psnr"].compute(columns, np.array([3.0, 1.0])) == pytest.approx(25)
    assert METRICS["psnr"].compute({"squared_error": np.zeros(1)}, np.ones(1)) == 100


def test_psnr_has_an_interval() -> None:
    error = np.random.default_rng(0).uniform(0.001, 0.1, 200)
    columns = {"row": np.arange(200), "group": np.arange(200), "squared_error": error}
    figure = estimate({"psnr": METRICS["psnr"]}, columns)["psnr"]
    assert figure.value == pytest.approx((-10 * np.log10(error)).mean())
    assert figure.value - 1 < figure.low < figure.value < figure.high < figure.value + 1


def test_features_kept() -> None:
    columns = {"feature_error": np.array([1.0, 0.0]), "feature_spread": np.array([3.0, 5.0])}
    assert METRICS["feature_similarity"].compute(columns, np.ones(2)) == pytest.approx(1 - 1 / 8)


def test_what_a_file_says_nothing_of_is_not_defined() -> None:
    metrics = METRICS | {"bits": replace(code_metrics()["bits_per_code"], needs="bits")}
    columns = {"row": np.arange(20), "group": np.arange(20), "squared_error": np.linspace(0.001, 0.01, 20)}
    figures = estimate(metrics, columns)
    assert figures["psnr"].low < figures["psnr"].value
    for name in ("feature_similarity", "bits"):
        assert math.isnan(figures[name].value)
        assert figures[name].why == f"the predictions file has no column {metrics[name].needs!r}"
    told = {"bits": np.full(20, 8.0), "tokens": np.full(20, 4)}
    assert estimate(metrics, columns | told)["bits"].value == 2
