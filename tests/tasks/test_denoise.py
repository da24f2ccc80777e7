"""Noise, what is asked of a network, and the ways back: by hand, and against pictures whose distribution is known."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor, nn

from pervade import api
from pervade.core.contracts import Canvas, Context
from pervade.core.errors import ConfigError
from pervade.engine.checkpoint import read_recipe
from pervade.engine.generation import PictureSampling, generators, noise
from pervade.metrics.estimate import estimate
from pervade.metrics.reconstruction import denoising_metrics
from pervade.models.unet import UNet
from pervade.nn import diffusion
from pervade.nn.diffusion import Noising, way_back
from pervade.run.configuring import sampled
from pervade.run.training import Options
from pervade.tasks.denoise import Denoise
from pervade.testing import check_task
from tests.trainings import noisy_pictures

MEAN, DEVIATION = 0.2, 0.15


@dataclass(frozen=True)
class Canvases:
    """As much of a domain as the task looks at."""

    classes: int = 2

    def inputs(self) -> Canvas:
        return Canvas((1, 8, 8), self.classes)


def context(**more: Any) -> Context:
    domain: Any = Canvases()
    return Context(domain, **more)


def small(seed: int = 0, classes: int = 2) -> nn.Module:
    """A network that says something."""
    torch.manual_seed(seed)
    network = UNet(widths=(16, 16), head=8, attention=()).build(Canvas((1, 8, 8), classes), {"output": 8})
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network.eval()


def batch(rows: int = 6) -> dict[str, Any]:
    pixels = torch.rand(rows, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return {"row": torch.arange(rows), "input": {"pixels": pixels, "class": torch.arange(rows) % 3}}


@pytest.mark.parametrize(("schedule", "theirs"), [("cosine", "squaredcos_cap_v2"), ("linear", "linear")])
def test_the_schedules_are_those_of_diffusers(schedule, theirs: str) -> None:
    kept = DDPMScheduler(beta_schedule=theirs).alphas_cumprod
    at = Noising.at(schedule, torch.arange(1000))
    torch.testing.assert_close(at.alpha.flatten() ** 2, kept, rtol=1e-4, atol=1e-9)
    torch.testing.assert_close((at.alpha**2 + at.sigma**2).flatten(), torch.ones(1000))
    before = Noising.at(schedule, torch.tensor([-1]))
    assert (before.alpha.item(), before.sigma.item()) == (1.0, 0.0)


def test_what_is_asked_by_hand() -> None:
    """alpha 0.8, sigma 0.6: x = 2 and noise 1 give z = 2.2, v = 0.8 - 1.2, and from z and v follow both again."""
    at = Noising(torch.tensor(0.8).view(1, 1, 1, 1), torch.tensor(0.6).view(1, 1, 1, 1))
    picture, drawn = torch.full((1, 1, 1, 1), 2.0), torch.ones(1, 1, 1, 1)
    noisy = at.noised(picture, drawn)
    assert noisy.item() == pytest.approx(2.2)
    assert at.target("v", picture, drawn).item() == pytest.approx(-0.4)
    assert at.target("epsilon", picture, drawn).item() == 1.0
    for asked in ("v", "epsilon"):
        again = at.picture(asked, noisy, at.target(asked, picture, drawn))
        assert again.item() == pytest.approx(2.0)
        assert at.noise(noisy, again).item() == pytest.approx(1.0)


def test_weights_by_hand() -> None:
    """Signal to noise of 16 and 1/4, and gamma 5: the error of the picture counts 5 and 1/4, that of the noise 5/16 and
    1, that of v 5/17 and 1/5."""
    ratio = torch.tensor([16.0, 0.25])
    kept = (ratio / (1 + ratio)).view(2, 1, 1, 1)
    at = Noising(kept.sqrt(), (1 - kept).sqrt())
    assert at.weight("epsilon", 5.0).tolist() == pytest.approx([5 / 16, 1.0])
    assert at.weight("v", 5.0).tolist() == pytest.approx([5 / 17, 0.2])
    assert at.weight("v", None).tolist() == [1.0, 1.0]


def best(asked: str, schedule: Any) -> Any:
    """What the best network says of pixels of N(MEAN, DEVIATION^2): of z the picture is expected to be
    MEAN + alpha DEVIATION^2 / (alpha^2 DEVIATION^2 + sigma^2) (z - alpha MEAN)."""

    def denoise(pixels: Tensor, step: Tensor) -> Tensor:
        at = Noising.at(schedule, step)
        gain = at.alpha * DEVIATION**2 / (at.alpha**2 * DEVIATION**2 + at.sigma**2)
        picture = MEAN + gain * (pixels - at.alpha * MEAN)
        return at.target(asked, picture, at.noise(pixels, picture))

    return denoise


@pytest.mark.parametrize("asked", ["v", "epsilon"])
@pytest.mark.parametrize(
    ("sampler", "schedule", "steps", "near"),
    [
        ("ddpm", "cosine", 500, 0.06),
        ("ddim", "cosine", 250, 0.03),
        ("ddim", "linear", 250, 0.06),
        ("dpm-solver++", "cosine", 50, 0.02),
        ("dpm-solver++", "linear", 250, 0.03),
    ],
)
def test_every_sampler_finds_what_is_known(sampler, schedule, steps: int, near: float, asked) -> None:
    """8,000 pixels by the best network have the mean and the deviation of the pictures, or nearly: the last step goes
    to what is expected of a picture, so that few steps miss some of the latter, and DDPM adds as little as suffices
    where there is none."""
    seeds = torch.arange(20)
    begin = noise(seeds, (1, 20, 20))
    made = way_back(best(asked, schedule), begin, schedule, asked, sampler, steps, generators(seeds, 1))
    assert made.mean().item() == pytest.approx(MEAN, abs=4 * DEVIATION / math.sqrt(8000) + 0.002)
    assert made.std().item() == pytest.approx(DEVIATION, rel=near + 3 / math.sqrt(2 * 8000))


def test_ddim_is_the_scheduler_as_it_comes() -> None:
    begin = noise(torch.arange(3), (1, 4, 4))
    scheduler = DDIMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", timestep_spacing="trailing"
    )
    scheduler.set_timesteps(10)
    pixels = begin
    for step in scheduler.timesteps:
        output = best("v", "cosine")(pixels, step.expand(3))
        pixels = scheduler.step(output, step, pixels, use_clipped_model_output=True).prev_sample
    made = way_back(best("v", "cosine"), begin, "cosine", "v", "ddim", 10, [])
    torch.testing.assert_close(made, pixels, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm-solver++"])
def test_a_picture_does_not_depend_on_its_batch(sampler) -> None:
    task = Denoise(sampling=PictureSampling(sampler=sampler, steps=5, guidance=2.0))
    network, seeds, classes = small(), torch.tensor([7, 8, 9]), torch.tensor([1, 0, 2])
    with torch.inference_mode():
        together = task.sample(network, seeds, classes, context())
        assert together.shape == (3, 1, 8, 8)
        assert not torch.allclose(together[0], together[1], atol=0.01)
        for place in range(3):
            alone = task.sample(network, seeds[place : place + 1], classes[place : place + 1], context())
            torch.testing.assert_close(together[place : place + 1], alone, rtol=1e-4, atol=1e-4)


def test_guidance_of_one_is_none_and_of_zero_forgets_the_class() -> None:
    network, classes = small(), torch.tensor([1, 2])
    pixels, step = torch.randn(2, 1, 8, 8), torch.tensor([500, 500])
    plain = network({"pixels": pixels, "time": step, "class": classes})["output"]
    without = network({"pixels": pixels, "time": step, "class": 0 * classes})["output"]
    for weight, expected in ((1.0, plain), (0.0, without), (3.0, without + 3 * (plain - without))):
        guided = Denoise(sampling=PictureSampling(guidance=weight))._guided(network, pixels, step, classes)
        torch.testing.assert_close(guided, expected)
    assert not torch.allclose(plain, without)


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_losses_do_not_depend_on_the_cut(prediction) -> None:
    check_task(Denoise(prediction=prediction), small(), batch(), context())


def test_classes_are_left_out_as_often_as_asked() -> None:
    torch.manual_seed(0)
    told = Denoise(class_dropout=0.25)._told(torch.ones(10_000, dtype=torch.int64))
    assert told.float().mean().item() == pytest.approx(0.75, abs=0.02)


def test_steps_are_spread_over_a_batch() -> None:
    """Of 10 rows each tenth of all steps gets one."""

    class Kept(nn.Module):
        def forward(self, input, mask=None):
            self.time = input["time"]
            return {"output": input["pixels"]}

    network = Kept().train()
    Denoise().forward(network, batch(10), context())
    assert sorted((network.time // 100).tolist()) in (list(range(10)), sorted([*range(1, 10), 0]))


def test_a_pupil_reaches_in_one_step_what_its_teacher_reaches_in_several() -> None:
    """One that says what is asked of it is where the teacher is at the end of its part of the way."""
    task = Denoise(distil=4, class_dropout=0.0, sampling=PictureSampling(guidance=1.0))
    teacher = small()
    companions = task.companions(teacher, context().domain)
    torch.manual_seed(0)
    output = task.forward(teacher, batch(), context(companions=companions))
    assert output["target"].shape == output["output"].shape
    assert not output["target"].requires_grad and output["output"].requires_grad
    # The teacher's own way, by diffusers, from the last part's beginning to the picture.
    begin, first = torch.randn(6, 1, 8, 8), torch.full((6,), 249)
    pixels, classes = begin, torch.zeros(6, dtype=torch.int64)
    scheduler = DDIMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", timestep_spacing="trailing"
    )
    scheduler.set_timesteps(1000 // 125)
    with torch.no_grad():
        for step in (249, 124):
            told = teacher({"pixels": pixels, "time": torch.full((6,), step), "class": classes})["output"]
            pixels = scheduler.step(told, step, pixels, use_clipped_model_output=True).prev_sample
        target = task._reached(teacher, begin, first, classes, 2)
    at = Noising.at("cosine", first)
    torch.testing.assert_close(at.picture("v", begin, target), pixels, rtol=1e-3, atol=1e-3)


@pytest.mark.slow  # three trainings and their judges' figures
def test_few_steps_are_learnt_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the network, the size and the schedule of the run that it learns from, whose companion the teacher is."""
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))
    asked = noisy_pictures(tmp_path / "data")
    asked["settings"] = (*asked["settings"], "threads=1", "task.schedule=linear")
    teacher = api.fit(**asked, name="many", runs=tmp_path, epochs=1, options=Options())
    asked = {"data": asked["data"], "task": asked["task"], "init": str(teacher.path), "runs": tmp_path}
    few = ("threads=1", "task.distil=2", "batch_size=6", "validation=0.2", "test=0.2")
    pupil = api.fit(**asked, name="few", settings=few, epochs=1, options=Options())
    log = (teacher.path / "log.jsonl").read_text()
    assert '"validation denoising_error": 0.' in log or '"validation denoising_error": 1.' in log
    assert (teacher.directory.checkpoints(), pupil.directory.checkpoints()) == (["best", "last"], ["last"])
    recipe, before = (read_recipe(run.directory.recipe) for run in (pupil, teacher))
    assert (recipe.model, recipe.domain.size, recipe.task.schedule) == (before.model, 8, "linear")
    held = safetensors.torch.load_file(pupil.directory.state / "state.safetensors")
    assert any("teacher" in name for name in held)
    first, again = (pupil.predict(number=2, seed=5)[1]["picture"] for _ in range(2))
    assert first.shape == (8, 8, 3) and (first == again).all()
    with pytest.raises(ConfigError, match="has learnt nothing yet"):
        settings = (*few, "model.widths=[8]", "model.head=8", "model.attention=[]", "domain.size=8")
        new = {**asked, "init": "random", "model": "unet"}
        api.fit(**new, name="none", settings=settings, epochs=1, options=Options())


def test_what_cannot_be_distilled_is_refused() -> None:
    with pytest.raises(ConfigError, match="a network that is asked for the picture"):
        Denoise(distil=4, prediction="epsilon")
    task = Denoise(distil=4, sampling=PictureSampling(steps=20))
    with pytest.raises(ConfigError, match="learnt to make pictures in 4 steps of ddim"):
        task.sample(small(), torch.arange(2), torch.zeros(2).long(), context())
    assert replace(task, sampling=PictureSampling(steps=4)).way() == ("ddim", 4)


def test_a_guidance_that_was_learnt_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"guidance 2.0: this network learnt to take few steps by a guidance of 1.5"):
        sampled(Denoise(distil=4), {"guidance": 2.0})
    assert sampled(Denoise(distil=4), {"seed": 1}).sampling.seed == 1
    assert sampled(Denoise(), {"guidance": 2.0}).sampling.guidance == 2.0


def test_steps_that_a_sampler_does_not_take_are_refused() -> None:
    seeds = torch.arange(2)
    for sampler, steps, why in (("ddim", 60, "a divisor of 1,000: 1, 2, 4"), ("ddpm", 1001, "up to 1,000")):
        with pytest.raises(ConfigError, match=f"sampling.steps is {steps}; {sampler} takes {why}"):
            way_back(best("v", "cosine"), noise(seeds, (1, 2, 2)), "cosine", "v", sampler, steps, [])


@pytest.mark.parametrize("steps", [1, 7, 20, 61, 103, 121, 999, 1000])
def test_as_many_steps_are_taken_as_are_asked_for(steps: int) -> None:
    """Of 61, 103 and 121 diffusers' own come to one more, below 0."""
    for sampler in ("ddpm", "dpm-solver++"):
        taken = diffusion.build_scheduler("cosine", "v", sampler, steps, "small").timesteps.tolist()
        assert len(taken) == steps and taken[0] == 999 and taken[-1] >= 0
        assert all(later < step for step, later in itertools.pairwise(taken))
    assert diffusion.build_scheduler("cosine", "v", "ddpm", 20, "small").timesteps.tolist() == list(range(999, 0, -50))


def test_a_row_that_is_measured_has_its_loss_without_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a step and a noise that hang on the row alone, whatever its batch; a network of few steps has none."""
    model, rows, task = small(), {**batch(), "seed": torch.arange(6)}, Denoise()
    monkeypatch.setattr(Denoise, "sample", lambda *asked: pytest.fail("a picture is made"))
    judging = context(figures=frozenset(["denoising_error"]))
    whole = task.predictions(task.infer(model, rows, judging), rows, judging)
    assert whole.keys() == {"row", "seed", "class", "denoising_error"}
    torch.testing.assert_close(whole["denoising_error"], task.loss(task.forward(model, rows, judging), rows)["loss"])
    last = {
        "row": rows["row"][4:],
        "seed": rows["seed"][4:],
        "input": {name: of[4:] for name, of in rows["input"].items()},
    }
    torch.testing.assert_close(task.infer(model, last, judging)["denoising_error"], whole["denoising_error"][4:])
    assert Denoise(distil=4).infer(model, rows, judging).keys() == {"seed", "class"}
    columns = {name: values.detach().numpy() for name, values in whole.items()}
    figure = estimate(denoising_metrics("denoising_error"), {**columns, "group": columns["row"]}, resamples=200)
    assert figure["denoising_error"].value == pytest.approx(whole["denoising_error"].mean().item())


def test_a_teacher_is_seen_by_the_recipe_alone() -> None:
    """A resumed run builds its network without first weights, and loads them afterwards."""
    fresh = UNet(widths=(16,), head=8, attention=()).build(Canvas((1, 8, 8)), {"output": 8})
    assert Denoise(distil=4).companions(fresh, context().domain) is not None
    assert Denoise(distil=4).goes_on() == "task.distil" and Denoise().goes_on() is None


def test_a_weight_of_no_class_is_refused() -> None:
    task = Denoise(sampling=PictureSampling(guidance=2.0))
    of_none: Any = Canvases(classes=0)
    with pytest.raises(ConfigError, match=r"sampling.guidance 2 is the weight of a class.*--condition label"):
        task.companions(small(), of_none)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ConfigError, match=r"needs the package diffusers .* pip install 'pervade\[generate\]'"):
        diffusion.library()
