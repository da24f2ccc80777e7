"""Two players: their losses and penalties by hand, what is watched of them, and two patterns that must be learnt."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pervade import api
from pervade.core.contracts import Canvas, Context
from pervade.core.errors import ConfigError, TrainingError
from pervade.engine.fit import Learner
from pervade.engine.generation import PictureSampling
from pervade.engine.predictor import undisturbed
from pervade.models.dcgan import DCGAN
from pervade.models.reference_mlp import ReferenceMLP
from pervade.nn.modes import still
from pervade.run.training import Options
from pervade.tasks import adversarial_generation as gan
from pervade.tasks.adversarial_generation import AdversarialGeneration, Watch, diversity
from pervade.train.optim.adam import Adam
from pervade.train.schedule.constant import Constant
from tests.toys.base import ToyDomain
from tests.trainings import EVERY, TRAININGS

DCGAN_8 = DCGAN(width=8, noise=8)


@dataclass(frozen=True)
class Drawn(ToyDomain):
    """Grey pictures of two classes."""

    side: int = 8

    def inputs(self):
        return Canvas((1, self.side, self.side), 2)


def batch(rows: int = 16) -> dict:
    """Class 1: left half light. Class 2: upper half light."""
    number = torch.arange(rows) % 2 + 1
    left, upper = torch.zeros(2, 1, 8, 8)
    left[..., :4], upper[:, :4] = 1, 1
    light = 0.6 + 0.3 * torch.arange(rows) / rows
    pixels = torch.where((number == 1)[:, None, None, None], left, upper) * light[:, None, None, None]
    return {"row": torch.arange(rows), "input": {"pixels": pixels, "class": number}}


def learner(task: AdversarialGeneration, model: DCGAN = DCGAN_8, side: int = 8, **settings) -> Learner:
    torch.manual_seed(0)
    domain = Drawn(side)
    network = model.build(domain.inputs(), {"picture": side})
    context = Context(domain, task.companions(network, domain))
    optimizer = {"discriminator": Adam(0.01, 0.5, 0.9), "generator": Adam(0.01, 0.5, 0.9)}
    return Learner(task, network, context, optimizer, Constant(), 100, **settings)


class TestLosses:
    REAL, MADE = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 1.0])

    def test_of_the_discriminator(self) -> None:
        torch.testing.assert_close(gan.hinge(self.REAL, self.MADE), torch.tensor([0.0, 0.5 + 2.0]))
        torch.testing.assert_close(gan.wasserstein(self.REAL, self.MADE), torch.tensor([-5.0, 0.5]))
        certain = [1 / (1 + math.exp(-x)) for x in (2.0, 0.5, -3.0, 1.0)]
        by_hand = [-math.log(certain[0]) - math.log(1 - certain[2]), -math.log(certain[1]) - math.log(1 - certain[3])]
        torch.testing.assert_close(gan.non_saturating(self.REAL, self.MADE), torch.tensor(by_hand))

    def test_of_the_generator(self) -> None:
        for name in ("hinge", "wasserstein"):
            torch.testing.assert_close(gan.generator_loss(name, self.MADE), torch.tensor([3.0, -1.0]))
        by_hand = [math.log(1 + math.exp(3)), math.log(1 + math.exp(-1))]
        torch.testing.assert_close(gan.generator_loss("non-saturating", self.MADE), torch.tensor(by_hand))


class Linear(nn.Module):
    """score = <w, x>, whose slope is w everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([3.0, 4.0]).view(1, 2, 1, 1))

    def forward(self, x, number):
        return (self.w * x).sum((1, 2, 3))


class TestPenalties:
    def test_of_a_linear_discriminator(self) -> None:
        """|w| is 5: R1 is 25 and the gradient penalty 16, and their gradients by w are 2 w and 2 (|w| - 1) w / |w|."""
        judge, number = Linear(), torch.zeros(3, dtype=torch.int64)
        x = torch.randn(3, 2, 1, 1).requires_grad_()
        slopes = gan.squared_slope(judge(x, number), x)
        torch.testing.assert_close(slopes, torch.full((3,), 25.0))
        (by_w,) = torch.autograd.grad(slopes[0], judge.w)
        torch.testing.assert_close(by_w.flatten(), torch.tensor([6.0, 8.0]))
        penalty = gan.gradient_penalty(judge, x, torch.randn(3, 2, 1, 1), number)
        torch.testing.assert_close(penalty, torch.full((3,), 16.0))
        (by_w,) = torch.autograd.grad(penalty[0], judge.w)
        torch.testing.assert_close(by_w.flatten(), torch.tensor([4.8, 6.4]))

    def test_r1_comes_every_so_many_steps_and_counts_as_often(self) -> None:
        task = AdversarialGeneration(r1=0.5, r1_every=3)
        taught = learner(task)
        watch = taught.context.companions
        for step in range(4):
            parts = taught.setting.task._discriminate(taught.network, watch, batch())
            assert ("r1" in parts) == (step % 3 == 0)
        torch.manual_seed(5)
        without = AdversarialGeneration()._discriminate(taught.network, watch, batch())
        watch.steps.fill_(3)
        taught.network.eval()  # so that the power method does not go on in between
        torch.manual_seed(5)
        plain = AdversarialGeneration()._discriminate(taught.network, watch, batch())
        watch.steps.fill_(3)
        torch.manual_seed(5)
        parts = task._discriminate(taught.network, watch, batch())
        torch.testing.assert_close(parts["loss"], plain["loss"] + 0.25 * 3 * parts["r1"])
        assert without.keys() == plain.keys() == {"loss", "told_apart", "diversity"}

    def test_wasserstein_comes_with_the_gradient_penalty(self) -> None:
        assert AdversarialGeneration().penalty == 0
        assert AdversarialGeneration(loss_name="wasserstein").penalty == 10
        assert AdversarialGeneration(loss_name="wasserstein", gradient_penalty=1).penalty == 1
        taught = learner(AdversarialGeneration(loss_name="wasserstein", lessons=2), DCGAN(8, 8, "none"))
        before = [parameter.clone() for parameter in taught.network.generator.parameters()]
        made = [taught._take_step(batch())[0] for _ in range(2)]
        assert "discriminator.gradient_penalty" in made[0]
        assert "generator.loss" in made[0]
        assert "generator.loss" not in made[1]  # the generator has every second step
        assert any(not torch.equal(a, b) for a, b in zip(before, taught.network.generator.parameters(), strict=True))

    def test_wasserstein_takes_a_step_in_bfloat16(self) -> None:
        taught = learner(AdversarialGeneration(loss_name="wasserstein"), DCGAN(8, 8, "spectral"), precision="bf16")
        assert all(value.isfinite().all() for value in taught._take_step(batch())[0].values())

    @pytest.mark.parametrize("settings", [{"r1": 1.0}, {"loss_name": "wasserstein"}])
    def test_batch_normalisation_has_no_slope_of_one_picture(self, settings) -> None:
        with pytest.raises(ConfigError, match=r"mixes them; set -o model\.bound=spectral or none"):
            learner(AdversarialGeneration(**settings), DCGAN(8, 8, "batch"), 16)


def test_a_model_without_two_players_is_refused() -> None:
    task, domain = AdversarialGeneration(), Drawn()
    with pytest.raises(ConfigError, match="set --model dcgan or sngan"):
        task.phases(nn.Linear(2, 2), Context(domain, task.companions(nn.Linear(2, 2), domain)))
    with pytest.raises(ConfigError, match="reads pictures, not pictures to be made"):
        ReferenceMLP((8,)).build(domain.inputs(), {"logits": 2})


@pytest.mark.parametrize("changes", [(), ("colour", "translation", "cutout")])
@pytest.mark.parametrize("bound", ["spectral", "batch"])
def test_players_learn_from_their_own_losses_alone(bound: str, changes) -> None:
    taught = learner(AdversarialGeneration(changes=changes, loss_name="non-saturating"), DCGAN(8, 8, bound))
    network = taught.network
    for phase, other in zip(taught.steps, (network.generator, network.discriminator), strict=True):
        network.zero_grad(set_to_none=True)
        phase.losses(batch())["loss"].sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in phase.phase.parameters)
        assert all(p.grad is None and p.requires_grad for p in other.parameters())


def test_still_leaves_what_did_not_learn() -> None:
    layer = nn.Linear(2, 1)
    layer.bias.requires_grad_(False)
    x = torch.ones(1, 2, requires_grad=True)
    with still(layer):
        layer(x).backward()
    assert (x.grad == layer.weight).all()
    assert layer.weight.grad is None
    assert (layer.weight.requires_grad, layer.bias.requires_grad) == (True, False)


class TestWatching:
    def test_diversity_by_hand(self) -> None:
        """Of class 1 real pictures are at 0 and 4 (mean squared distance from their mean 4), made ones at 0 and 2 (1);
        class 2 has one picture, which is at no distance from itself."""
        number = torch.tensor([1, 1, 2])
        real, made = (torch.tensor(at).view(3, 1, 1, 1) for at in ([0.0, 4.0, 9.0], [0.0, 2.0, 7.0]))
        assert diversity(real, made, number).tolist() == pytest.approx([0.5] * 3)
        assert diversity(real[1:], made[1:], number[1:]).tolist() == pytest.approx([1.0] * 2)

    @pytest.mark.parametrize(
        ("told_apart", "apart", "judges", "message"),
        [
            (1.0, 0.8, True, r"tells 100\.0% of pictures apart.*task\.r1=10"),
            (0.6, 0.0, True, r"almost one picture alone \(diversity 0\.00.*optimizer\.generator\.lr"),
            (1.0, 0.8, False, None),  # a critic's values have no such threshold
            (0.6, 0.8, True, None),
        ],
    )
    def test_who_has_run_away(self, told_apart: float, apart: float, judges: bool, message, monkeypatch) -> None:
        monkeypatch.setattr(gan, "PATIENCE", 50)
        watch, context = Watch(2), Context(Drawn(), companions := Watch(2))
        assert watch.astray == 0
        parts = {"told_apart": torch.full((2,), told_apart), "diversity": torch.full((2,), apart)}
        for step in range(700):
            companions.see(parts, torch.tensor([1, 2]), judges)
            if step == 90:
                assert AdversarialGeneration().astray(context) is None
        said = AdversarialGeneration().astray(context)
        assert (said is None) == (message is None)
        assert said is None or re.search(message, said)
        assert companions.seen.tolist() == [0, 700, 700]

    def test_classes_as_often_as_they_were_seen(self) -> None:
        watch = Watch(2)
        assert watch.classes(3).tolist() == [0, 1, 2]
        watch.seen.copy_(torch.tensor([0, 30, 10]))
        assert watch.classes(8).tolist() == [1] * 6 + [2] * 2


class TestMaking:
    def test_batch_normalisation_is_that_of_the_averaged_weights(self) -> None:
        """In evaluation they give what they give in training with as many pictures, whatever was running before."""
        task = AdversarialGeneration()
        taught = learner(task, average=0.9)
        for _ in range(5):
            taught._take_step(batch())
        state = torch.get_rng_state()
        finished, raw = taught.judged.eval(), taught.average.network
        assert torch.equal(torch.get_rng_state(), state)
        for name, weight in raw.named_parameters():
            assert torch.equal(weight, finished.get_parameter(name))
        torch.manual_seed(1)
        drawn, number = torch.randn(2048, 8), torch.arange(2048) % 2 + 1
        with torch.no_grad():
            expected = raw.train().generator(drawn, number)
            near = (finished.generator(drawn, number) - expected).abs().mean()
            far = (raw.eval().generator(drawn, number) - expected).abs().mean()
        assert near < 0.01
        assert near < far / 3
        assert torch.equal(
            finished.state_dict()["generator.norms.0.norm.running_mean"],
            task.finished(raw, taught.context).state_dict()["generator.norms.0.norm.running_mean"],
        )

    def test_a_picture_hangs_on_seed_and_class_alone(self) -> None:
        task, taught = AdversarialGeneration(), learner(AdversarialGeneration())
        seeds, number = torch.arange(6), torch.tensor([1, 2, 1, 2, 1, 2])
        with undisturbed(taught.network), torch.no_grad():
            whole = task.sample(taught.network, seeds, number, taught.context)
            alone = task.sample(taught.network, seeds[3:4], number[3:4], taught.context)
            other = task.sample(taught.network, seeds[3:4], torch.tensor([1]), taught.context)
            calm = AdversarialGeneration(sampling=PictureSampling(truncation=0.01))
            alike = calm.sample(taught.network, seeds, torch.ones(6, dtype=torch.int64), taught.context)
        torch.testing.assert_close(whole[3:4], alone)
        assert (other - alone).abs().max() > 1e-6 or torch.equal(other, alone)  # gains of classes begin alike
        assert alike.std(0).max() < 0.1 * whole.std(0).max()

    @pytest.mark.parametrize(
        "task",
        [
            AdversarialGeneration(loss_name="non-saturating", r1=1, r1_every=1),
            pytest.param(AdversarialGeneration(loss_name="wasserstein"), marks=pytest.mark.slow),
        ],
    )
    def test_two_patterns_are_learnt(self, task) -> None:
        """What is made of a class is that class's pattern: within a tenth of the grey scale on average, where the other
        pattern is 0.4 away, and what nothing was learnt of too."""
        taught = learner(task, DCGAN(8, 8, "none" if task.loss_name == "wasserstein" else "spectral"), average=0.95)
        for _ in range(300):
            taught._take_step(batch())
        network = taught.judged
        with undisturbed(network), torch.no_grad():
            asked = batch(32)["input"]
            made = task.sample(network, torch.arange(32), asked["class"], taught.context)
        distance = (made - asked["pixels"]).abs().mean((1, 2, 3))
        assert distance[asked["class"] == 1].mean() < 0.12
        assert distance[asked["class"] == 2].mean() < 0.12


class TestRuns:
    """Of two passes and more, eight steps in all."""

    def begun(self, folder: Path, **asked) -> dict[str, Any]:
        plain = TRAININGS["pictures_by_two_players"].asked(folder / "data")
        known = {
            **plain,
            "settings": (*EVERY, *plain["settings"], "early_stopping.every=1"),
            "epochs": 4,
            "name": "run",
            "runs": folder,
        }
        return {**known, "options": Options(), **asked}

    def test_a_player_that_ran_away_ends_the_training(self, tmp_path: Path, monkeypatch) -> None:
        """After the first pass that saw it so, with the reason in the log, and a model that can be used."""
        monkeypatch.setattr(gan, "PATIENCE", 5)
        monkeypatch.setattr(gan, "ALIKE", 1e9)
        run = api.fit(**self.begun(tmp_path))
        told = [entry for entry in run.directory.read_log() if entry["event"] == "decision"]
        assert [entry["pass"] for entry in told] == [2]
        assert "training ended: the generator makes almost one picture alone" in told[0]["text"]
        assert run.directory.plan()["finished"]
        assert run.predict(number=2, seed=3)[1]["picture"].shape == (8, 8, 3)

    def test_one_rate_for_both_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(
            ConfigError, match=r"--lr 0\.1: .*-o optimizer\.discriminator\.lr, -o optimizer\.generator\.lr"
        ):
            api.fit(**self.begun(tmp_path, lr=0.1))

    def test_a_loss_that_is_no_number_leaves_what_was_best(self, tmp_path: Path, monkeypatch) -> None:
        """As it would be after an overflow in the third pass."""
        steps = itertools.count(1)

        def overflowing(real: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
            return gan.hinge(real, made) * (math.inf if next(steps) > 10 else 1.0)

        monkeypatch.setitem(gan.DISCRIMINATOR, "hinge", overflowing)
        with pytest.raises(
            TrainingError,
            match=r"discriminator\.loss became inf.*optimizer\.generator\.lr, now.*by pass 2 is kept: pervade evaluate",
        ):
            api.fit(**self.begun(tmp_path))
        monkeypatch.undo()
        kept = api.load(tmp_path / "run")
        assert kept.load().name == "best"
        assert kept.evaluate()["metrics"]["kernel_distance"]["n"] > 0
