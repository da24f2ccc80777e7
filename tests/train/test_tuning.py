"""Which weights learn, at what rate and from when."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import pervade
from pervade.core.errors import ConfigError
from pervade.core.protocols import Context, Tuning
from pervade.domains.image import Image
from pervade.engine.fit import Learner
from pervade.models.resnet import ResNet
from pervade.nn.backbone import Backbone
from pervade.tasks.classify import Classify
from pervade.train.optim.adamw import AdamW
from pervade.train.optim.sgd import SGD
from pervade.train.schedule.constant import Constant
from pervade.train.schedule.one_cycle import OneCycle
from pervade.train.tuning.freeze import Freeze
from pervade.train.tuning.full import Full
from pervade.train.tuning.lora import Lora
from pervade.training import Options

INPUTS = {"shape": [3, 16, 16], "mean": [0.5] * 3, "deviation": [0.25] * 3}
SMALL = ("domain.size=16", "model.width=16", "batch_size=16", "epochs=2", "workers=0", "precision=fp32")


def network() -> Backbone:
    torch.manual_seed(0)
    built = ResNet(width=16).build(INPUTS, {"logits": 2})
    assert isinstance(built, Backbone)
    return built


def names(net: nn.Module, tuning: Tuning) -> set[str]:
    learning = {id(p) for group in tuning.groups(net, list(net.parameters())) for p in group.parameters}
    return {name for name, p in net.named_parameters() if id(p) in learning}


def test_frozen_body_leaves_the_head() -> None:
    assert names(network(), Freeze()) == {"head.logits.weight", "head.logits.bias"}


def test_rates_fall_from_the_head_down() -> None:
    net = network()
    groups = Full(layer_decay=0.5).groups(net, list(net.parameters()))
    assert [group.rate for group in groups] == [0.5**depth for depth in range(len(groups))]
    assert net.head["logits"].weight in set(groups[0].parameters)
    assert next(net.body.parameters()) in set(groups[-1].parameters)
    assert sum(len(group.parameters) for group in groups) == len(list(net.parameters()))


def test_gradual_unfreezing_starts_at_the_head() -> None:
    net = network()
    groups = Full(unfreeze=0.5).groups(net, list(net.parameters()))
    starts = [group.start for group in groups]
    assert starts[0] == 0.0
    assert starts[-1] == 0.5
    assert starts == sorted(starts)


def steps_of(net: Backbone, tuning: Tuning, total: int, **settings: Any) -> Iterator[dict[str, torch.Tensor]]:
    """What the network's state is before the first of `total` steps and after each."""
    domain = Image(size=16, labels=("a", "b"), mean=(0.5,) * 3, deviation=(0.25,) * 3)
    optimizer = AdamW(lr=0.01, weight_decay=0.1)
    learner = Learner(Classify(), net, Context(domain), optimizer, Constant(), total, tuning=tuning, **settings)
    batch = {"row": torch.arange(8), "input": torch.rand(8, 3, 16, 16), "target": torch.arange(8) % 2}
    yield copy.deepcopy(net.state_dict())
    for _ in range(total):
        learner._take_step(batch)
        yield copy.deepcopy(net.state_dict())


def test_a_stage_stays_bit_for_bit_until_it_begins() -> None:
    """The running statistics of its batch normalisation too. Five stages: one more begins with every second step."""
    net = network()
    stages = net.stages()
    names = {id(value): name for name, value in net.state_dict(keep_vars=True).items()}
    of_stage = [{names[id(value)] for value in stage.state_dict(keep_vars=True).values()} for stage in stages]
    assert any("running_mean" in name for name in of_stage[0])
    before, *after = steps_of(net, Full(unfreeze=0.5), 20)
    for step, state in enumerate(after):
        for depth, within in enumerate(reversed(of_stage), start=1):
            moved = {name for name in within if not torch.equal(before[name], state[name])}
            begun = step / 20 >= 0.5 * depth / len(stages)
            assert moved == (within if begun else set()), (step, depth)
    assert all(module.training for module in net.modules())


def test_modes_return_to_what_a_stage_is_due_after_looking_at_the_network() -> None:
    """A validation in between, and going on from a saved state, leave the stages that have not begun as they were."""
    net = network()
    domain = Image(size=16, labels=("a", "b"), mean=(0.5,) * 3, deviation=(0.25,) * 3)

    def learner() -> Learner:
        return Learner(Classify(), net, Context(domain), SGD(lr=0.1), Constant(), 10, tuning=Full(unfreeze=0.5))

    first = learner()
    first.step = 4
    first._train_mode()
    modes = [module.training for module in net.modules()]
    assert len(set(modes)) == 2
    again = learner()
    again.load_state_dict(first.state_dict())
    again._train_mode()
    assert [module.training for module in net.modules()] == modes


def test_rates_of_the_layers_reach_the_optimiser() -> None:
    """Each group's rate is the schedule's factor times its share of the peak."""
    net = network()
    domain = Image(size=16, labels=("a", "b"), mean=(0.5,) * 3, deviation=(0.25,) * 3)
    tuning = Full(layer_decay=0.5, decay_all=False)
    schedule = OneCycle(rise=0.5, start=0.1, end=0.0)
    learner = Learner(Classify(), net, Context(domain), AdamW(lr=0.08), schedule, 4, tuning=tuning)
    batch = {"row": torch.arange(4), "input": torch.rand(4, 3, 16, 16), "target": torch.arange(4) % 2}
    depth = {id(p): 0 for p in net.head.parameters()}
    for number, stage in enumerate(reversed(net.stages()), start=1):
        depth |= {id(p): number for p in stage.parameters()}
    for factor in (0.1, 0.55, 1.0, 0.5):
        learner._take_step(batch)
        groups = learner.optimizers[0].param_groups
        for group in groups:
            for parameter in group["params"]:
                assert group["lr"] == pytest.approx(factor * 0.08 * 0.5 ** depth[id(parameter)])
                assert (group["weight_decay"] > 0) == (parameter.ndim > 1)
        assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))


def test_biases_can_be_spared_of_decay() -> None:
    net = network()
    for group in Full(decay_all=False).groups(net, list(net.parameters())):
        assert {p.ndim > 1 for p in group.parameters} == {group.decay}


def test_adapters_alone_learn_and_change_nothing_at_first() -> None:
    net = network().eval()
    before = net(torch.ones(2, 3, 16, 16))["logits"]
    changed = Lora(rank=2).change(net).eval()
    assert torch.equal(before, changed(torch.ones(2, 3, 16, 16))["logits"])
    learning = names(changed, Lora(rank=2))
    assert {name.startswith("head.") or ".lora_" in name for name in learning} == {True}
    assert any(".lora_B" in name for name in learning)


def test_a_network_without_a_body_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a network with a body and a head"):
        Freeze().groups(nn.Linear(2, 2), [])


def weights(run: pervade.Run, name: str = "last") -> dict[str, torch.Tensor]:
    return dict(run.load(name).network.state_dict())


@pytest.mark.parametrize("tuning", ["freeze", "lora", "{use: full, unfreeze: 0.6, layer_decay: 0.7}"])
def test_trains_saves_and_loads(shapes: Path, tmp_path: Path, tuning: str) -> None:
    run = pervade.fit(
        shapes,
        model="resnet18",
        init="random",
        runs=tmp_path,
        name="a",
        settings=[*SMALL, f"tuning={tuning}"],
        options=Options(),
    )
    again = run.evaluate()
    assert again["n"] == 8
    answer = run.predict(shapes / "left" / "00.png")[0]
    assert 0.5 <= answer["top"][0]["probability"] <= 1


@pytest.mark.parametrize("views", [1, 2])
def test_features_of_a_frozen_body_are_computed_once(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, views: int
) -> None:
    """Training on cached features gives the weights that training on the pictures themselves gives."""
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))
    settings = [*SMALL, "tuning=freeze", "domain.augment=false", f"domain.views={views}", "epochs=3"]
    cached = pervade.fit(
        shapes, model="resnet18", init="random", runs=tmp_path, name="a", settings=settings, options=Options()
    )
    kept = list((tmp_path / "cache" / "features").iterdir())
    assert len(kept) == 1
    passes = []
    monkeypatch.setattr(Backbone, "features", lambda self, x: passes.append(1) or self.body(self.normalise(x)))
    pervade.fit(shapes, model="resnet18", init="random", runs=tmp_path, name="b", settings=settings, options=Options())
    assert not passes  # the second run found the features
    monkeypatch.setattr("pervade.training.Training._reading", lambda self: self.domain)
    plain = pervade.fit(
        shapes, model="resnet18", init="random", runs=tmp_path, name="c", settings=settings, options=Options()
    )
    assert passes
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(cached)[name], value, rtol=1e-4, atol=1e-5)
    logs = [[entry for entry in run.directory.read_log() if entry["event"] == "step"] for run in (cached, plain)]
    for key in ("step", "loss"):
        assert [entry[key] for entry in logs[0]] == pytest.approx([entry[key] for entry in logs[1]], rel=1e-4)


def test_averaged_weights_are_what_is_saved(shapes: Path, tmp_path: Path) -> None:
    plain, averaged = (
        pervade.fit(
            shapes,
            model="resnet18",
            init="random",
            runs=tmp_path,
            name=name,
            settings=[*SMALL, *more],
            options=Options(),
        )
        for name, more in (("a", []), ("b", ["average=0.9"]))
    )
    one, two = weights(plain), weights(averaged)
    assert not torch.equal(one["head.logits.weight"], two["head.logits.weight"])
    assert torch.equal(one["normalise.scale"], two["normalise.scale"])
