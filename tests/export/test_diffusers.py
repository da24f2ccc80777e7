"""Folders for diffusers: opened by the library itself, they make the same pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pervade.core.errors import ConfigError
from pervade.domains.generated_pictures import GeneratedPictures
from pervade.engine.generation import PictureSampling
from pervade.export.diffusers import DiffusersFolder
from pervade.models.dit import DiT
from pervade.models.unet import UNet
from pervade.tasks.classify import Classify
from pervade.tasks.denoise import Denoise
from tests.exports import PICTURES, checkpoint

EXPORT = DiffusersFolder()
CANVAS = GeneratedPictures(size=16, channels=3, mean=(0.5,) * 3, deviation=(0.5,) * 3)
SAME = UNet(widths=(16, 32), head=16, attention=(2,), patch=1, told="shift")


def drawn(loaded: Any) -> Any:
    """What is learnt begins at zero, which says nothing."""
    for weight in loaded.network.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return loaded


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers', of numpy 2
@pytest.mark.parametrize("sampler", [pytest.param("ddpm", marks=pytest.mark.slow), "ddim", "dpm-solver++"])
def test_it_makes_the_same_pictures(tmp_path: Path, sampler: Any) -> None:
    from diffusers import DiffusionPipeline

    task = Denoise(schedule="linear", sampling=PictureSampling(steps=5, sampler=sampler))
    loaded = drawn(checkpoint(SAME, CANVAS, task))
    EXPORT(loaded, tmp_path)
    input = {"pixels": torch.randn(2, 3, 16, 16), "time": torch.tensor([3, 900])}
    with torch.no_grad():
        output = loaded.network({**input, "class": torch.zeros(2).long()})["output"]
    torch.testing.assert_close(EXPORT.reopened(tmp_path)({"input": input})["output"], output, atol=1e-5, rtol=1e-5)
    pipeline = DiffusionPipeline.from_pretrained(str(tmp_path))
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(batch_size=1, num_inference_steps=5, output_type="pt").images
    assert made.shape == (1, 3, 16, 16)
    assert 0 <= made.min() <= made.max() <= 1


@pytest.mark.parametrize(
    ("model", "domain", "message"),
    [
        (replace(SAME, patch=2), CANVAS, "does not have model.patch 2; train with -o model.patch=1"),
        (replace(SAME, told="scale and shift"), CANVAS, "does not have model.told .scale and shift."),
        (replace(SAME, widths=(16, 32, 32)), replace(CANVAS, size=18), "does not have sides of 18"),
        (DiT(width=16, blocks=1, heads=2), CANVAS, "no network of the structure of dit"),
    ],
)
def test_where_there_is_no_equal(tmp_path: Path, model: Any, domain: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"{message}.*pervade predict RUN"):
        EXPORT(checkpoint(model, domain, Denoise()), tmp_path)


def test_what_makes_no_pictures(tmp_path: Path) -> None:
    from pervade.models.resnet import ResNet

    with pytest.raises(ConfigError, match="and the task is classify"):
        EXPORT(checkpoint(ResNet(width=8), PICTURES, Classify()), tmp_path)
