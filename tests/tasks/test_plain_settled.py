"""The simplest model's probabilities and thresholds are settled as the model's are, on the same validation rows."""

from dataclasses import replace

import numpy as np
import pytest

from pervade.core.contracts import PlainFeatures
from pervade.core.types import Rows
from pervade.data import linear
from pervade.domains.image import Image
from pervade.metrics.calibration import log_losses, temperature, tempered
from pervade.tasks.classify import Classify
from pervade.tasks.tag import Tag

LABELS = ("a", "b", "c")
DOMAIN = Image(size=8, channels=1, labels=LABELS)


def data(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Forty features of which three tell something: with 60 rows a linear model is too sure of itself."""
    generator = np.random.default_rng(seed)
    target = generator.integers(0, 3, n)
    features = generator.normal(size=(n, 40))
    features[np.arange(n), target] += 1.0
    return features, target


def features(targets: list) -> tuple[PlainFeatures, list[np.ndarray]]:
    parts = [data(60, 0), data(400, 1), data(400, 2)]
    held = Rows({"id": [str(i) for i in range(400)], "target": targets})
    return PlainFeatures("numbers", parts[0][0], parts[2][0], lambda rows: parts[1][0], held), [y for _, y in parts]


def test_the_linear_model_is_calibrated_on_the_validation_rows() -> None:
    held_target = data(400, 1)[1]
    given, (target, _, asked) = features([LABELS[i] for i in held_target])
    train, columns = Rows({"target": [LABELS[i] for i in target]}), {"row": np.arange(400)}
    raw = Classify().plain(replace(given, held=None), train, columns, DOMAIN)
    settled = Classify().plain(given, train, columns, DOMAIN)
    assert raw is not None
    assert settled is not None
    model = linear.classifier(given.train, target.tolist(), 3)
    by = temperature(model(data(400, 1)[0]), held_target)
    assert abs(np.log(by)) > 0.2  # far from being as sure as it ought to be
    assert settled.columns["probabilities"] == pytest.approx(tempered(model(given.rows), by), abs=1e-5)
    assert (settled.columns["prediction"] == raw.columns["prediction"]).all()
    before, after = (log_losses(each.columns["probabilities"], asked).mean() for each in (raw, settled))
    assert after < before - 0.02
    # A task that does not calibrate its model does not calibrate what it is compared with.
    without = Classify(calibrate=False).plain(given, train, columns, DOMAIN)
    assert without is not None
    assert without.columns["probabilities"] == pytest.approx(raw.columns["probabilities"])


def test_the_linear_models_thresholds_are_settled_on_the_validation_rows() -> None:
    held_target = data(400, 1)[1]
    given, (target, _, _) = features([[LABELS[i]] for i in held_target])
    train, columns = Rows({"target": [[LABELS[i]] for i in target]}), {"row": np.arange(400)}
    settled = Tag().plain(given, train, columns, DOMAIN)
    half = Tag(thresholds="half").plain(given, train, columns, DOMAIN)
    assert settled is not None
    assert half is not None
    assert (half.columns["threshold"] == 0.5).all()
    model = linear.labeller(given.train, np.eye(3)[target])
    held = {"target": np.eye(3)[held_target], "probabilities": model(data(400, 1)[0])}
    fitted = Tag().decide(held, DOMAIN)["thresholds"]
    assert settled.columns["threshold"][0] == pytest.approx([fitted[label] for label in LABELS])  # type: ignore[index,call-overload]
