"""Recordings of which some are read through several windows and some through one, judged in batches of both kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pervade.core.types import Rows
from pervade.domains.sound import Sound
from pervade.engine import predictions, predictor
from pervade.engine.predictor import Predictor
from pervade.models.sound_cnn import SoundCNN
from pervade.tasks.classify import Classify
from tests.data.sounds import tone

LENGTHS = [0.3, 1.2, 0.2, 0.5, 2.0, 0.4, 0.1]  # seconds, of windows of 0.5


def rows() -> Rows:
    waves = [tone(300 + 100 * i, seconds) for i, seconds in enumerate(LENGTHS)]
    samples = [np.round(wave * 32767).astype(np.int16) for wave in waves]
    names = [f"{i}.wav" for i in range(len(waves))]
    return Rows(
        {"id": names, "samples": samples, "size": [len(each) for each in samples], "target": ["a", "b"] * 3 + ["a"]}
    )


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_every_row_is_answered_once_however_batches_fall(tmp_path: Path, batch_size: int) -> None:
    domain = Sound(rate=8000, seconds=0.5, labels=("a", "b"), counts=(4, 3), rows=7)
    torch.manual_seed(0)
    network = SoundCNN(bands=16, width=8, features=16).build(domain.inputs(), {"logits": 2}).eval()
    path = tmp_path / "predictions.parquet"
    Predictor(network, domain, Classify(), batch_size=batch_size).write(path, rows(), {})
    table = predictions.read_columns(path)
    assert "part" not in table
    assert table["id"] == rows().column("id")
    for row, name in enumerate(table["id"]):
        cuts = [each["input"] for each in domain.transform(rows()[row], None)]
        with torch.no_grad():
            logits = network(torch.from_numpy(np.stack(cuts))[:, None])["logits"]
        own = logits.double().mean(0).softmax(0).numpy()  # the geometric mean of probabilities
        np.testing.assert_allclose(table["probabilities"][row], own, atol=1e-6, err_msg=name)
    again = Predictor(network, domain, Classify(), batch_size=batch_size).table(rows())
    np.testing.assert_allclose(again["probabilities"], table["probabilities"], atol=1e-6)


def test_long_recordings_are_read_few_at_a_time() -> None:
    long = predictor.MOST_READ // 2
    assert predictor.Sized([10, 20, long, long, 3 * long]).batches(0, 2) == [[0, 1], [2, 3], [4]]
    assert predictor.Sized([10, long, long, 5]).batches(0, 64) == [[0, 1], [2, 3]]
    assert predictor.Sized([]).batches(0, 4) == []
