"""Folders of diffusers: their network as it is, what their scheduler says, and what is not known of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pervade import recipes
from pervade.core.contracts import Canvas, Recipe
from pervade.core.errors import CheckpointError, ConfigError
from pervade.engine.generation import PictureSampling
from pervade.models.diffusers_unet import DiffusersUNet
from pervade.recipes import generation
from pervade.tasks.denoise import Denoise
from pervade.testing import check_recipe, check_spec
from tests.data.drawing import class_folders

CANVAS = Canvas((1, 8, 8))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The folder of a pipeline, and its network."""
    from diffusers import DDPMScheduler, UNet2DModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("pipeline")
    # As Google's published ones differ from the usual: frequencies, paddings, and heads.
    settings: dict[str, Any] = {"freq_shift": 1, "flip_sin_to_cos": False, "downsample_padding": 0, "norm_eps": 1e-6}
    network = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=None,
        **settings,
    )
    scheduler = DDPMScheduler(variance_type="fixed_large", beta_schedule="squaredcos_cap_v2")
    network.save_pretrained(folder / "unet")
    scheduler.save_pretrained(folder / "scheduler")
    index = {"_class_name": "DDPMPipeline", "scheduler": ["diffusers", "DDPMScheduler"]}
    (folder / "model_index.json").write_text(json.dumps({**index, "unet": ["diffusers", "UNet2DModel"]}))
    return folder, network.eval()


def changed(made: tuple[Path, Any], folder: Path, file: str, **settings: Any) -> str:
    """The folder again, with other settings in one of its files, as --model names it."""
    for old in made[0].rglob("*.*"):
        new = folder / old.relative_to(made[0])
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(old.read_bytes())
    told = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**told, **settings}))
    return f"hf:{folder}"


def recipe(made: tuple[Path, Any], tuning: str | None = None) -> Recipe:
    folder = class_folders(made[0] / "pictures", count=2)
    return recipes.choose(folder, generation.NAME, f"hf:{made[0]}", tuning=tuning)[1]


def test_a_pipeline_is_what_it_was(made) -> None:
    chosen = recipe(made)
    check_recipe(chosen)
    check_spec(chosen.model)
    sampling = PictureSampling(sampler="ddpm", steps=1000)
    assert chosen.task == Denoise(prediction="epsilon", schedule="cosine", variance="large", sampling=sampling)
    assert (chosen.domain.size, chosen.domain.channels) == (8, 1)
    network = chosen.model.build(CANVAS, {"output": 8}).eval()
    started = chosen.init.apply(network, chosen.model, chosen.domain)
    assert started.summary.startswith(f"all {len(list(made[1].parameters()))} weights from {made[0]}")
    pixels, time = torch.randn(2, 1, 8, 8), torch.tensor([3, 900])
    with torch.no_grad():
        output = network({"pixels": pixels, "time": time, "class": torch.zeros(2).long()})["output"]
        assert torch.equal(output, made[1](pixels, time).sample)


def test_adapters_learn_beside_it(made) -> None:
    chosen = recipe(made, "lora")
    network = chosen.model.build(CANVAS, {"output": 8}).eval()
    chosen.init.apply(network, chosen.model, chosen.domain)
    input = {"pixels": torch.randn(1, 1, 8, 8), "time": torch.tensor([3]), "class": torch.tensor([0])}
    with torch.no_grad():
        before = network(input)["output"]
        network = chosen.tuning.apply(network).eval()
        torch.testing.assert_close(network(input)["output"], before)
    learning = chosen.tuning.groups(network, list(network.parameters()))[0].parameters
    assert 0 < sum(p.numel() for p in learning) < sum(p.numel() for p in network.parameters()) / 2
    with pytest.raises(ConfigError, match="a denoiser takes --lora"):
        recipe(made, "freeze")


@pytest.mark.parametrize(
    ("file", "settings", "message"),
    [
        (
            "scheduler/scheduler_config.json",
            {"_class_name": "PNDMScheduler"},
            "the scheduler is 'PNDMScheduler'; known",
        ),
        (
            "scheduler/scheduler_config.json",
            {"prediction_type": "sample"},
            "prediction_type is 'sample'; known are eps",
        ),
        ("scheduler/scheduler_config.json", {"clip_sample": False}, "clip_sample is False; known are True"),
        ("scheduler/scheduler_config.json", {"solver_order": 3}, "solver_order is 3; known are 2"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 500}, "num_train_timesteps is 500; known are 1000"),
        ("unet/config.json", {"_class_name": "UNet2DConditionModel"}, "the network is 'UNet2DConditionModel'; known"),
        ("unet/config.json", {"sample_size": [8, 16]}, r"its pictures are of size \[8, 16\]"),
        ("unet/config.json", {"layers_per_block": 10**9}, "asks for 1000000000 layers"),
        ("model_index.json", {"vae": ["diffusers", "AutoencoderKL"]}, "and has vae as well"),
    ],
)
def test_what_is_not_known_is_named(made, tmp_path: Path, file: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        generation.recipe(changed(made, tmp_path, file, **settings))


def test_a_network_that_diffusers_does_not_build_is_named(made, tmp_path: Path) -> None:
    name = changed(made, tmp_path, "unet/config.json", down_block_types=["NoBlock", "DownBlock2D"])
    with pytest.raises(ConfigError, match="diffusers builds no UNet2DModel of it"):
        generation.recipe(name).model.build(CANVAS, {"output": 8})


def test_other_pictures_are_refused(made) -> None:
    model = recipe(made).model
    assert isinstance(model, DiffusersUNet)
    with pytest.raises(ConfigError, match=r"makes pictures of 1 x 8 x 8, not 3 x 8 x 8; set -o domain.size=8"):
        model.build(Canvas((3, 8, 8)), {"output": 8})
    with pytest.raises(ConfigError, match="is not told of classes"):
        model.build(Canvas((1, 8, 8), classes=2), {"output": 8})


def test_weights_that_are_no_safetensors_are_refused(made, tmp_path: Path) -> None:
    name = changed(made, tmp_path, "model_index.json")
    weights = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(CheckpointError, match=r"holds no unet/diffusion_pytorch_model.safetensors"):
        generation.recipe(name).init.fetch(generation.recipe(name).model)
