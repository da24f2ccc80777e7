"""What torch and OpenVINO open by themselves: the whole model, of any number of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pervade.engine.deployment import Deployed
from pervade.export.openvino import OpenVino
from pervade.export.torch import TorchProgram
from pervade.models.resnet import ResNet
from tests.exports import PICTURES, checkpoint


@pytest.mark.parametrize(
    ("exporter", "height", "width"),
    [
        (TorchProgram(), 90, 70),
        pytest.param(OpenVino(), 73, 73, marks=pytest.mark.slow),  # it compiles for 6 s; pictures that are scaled
    ],
)
def test_opened_again_it_answers_the_same(tmp_path: Path, exporter: Any, height: int, width: int) -> None:
    loaded = checkpoint(ResNet(width=8), PICTURES, temperature=1.7)
    place = exporter(loaded, tmp_path)
    assert place == tmp_path / exporter.main
    whole = Deployed(loaded).eval()
    (name,) = (spec.name for spec in whole.signature.inputs)
    reopened = exporter.reopened(tmp_path)
    for rows in (1, 3):
        pixels = np.random.default_rng(0).integers(0, 256, (rows, height, width, 3), dtype=np.uint8)
        answer = reopened({name: torch.from_numpy(pixels)})
        with torch.no_grad():
            expected = whole(torch.from_numpy(pixels))
        for spec, value in zip(whole.signature.outputs, expected, strict=True):
            torch.testing.assert_close(answer[spec.name], value, atol=1e-5, rtol=0)
    assert str(Path(__file__).parents[2]).encode() not in place.read_bytes()
