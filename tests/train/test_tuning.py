"""Which weights learn, at what rate and from when."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import pervade
from pervade.core.contracts import Context, Pixels, Schedule, Tuning
from pervade.core.errors import ConfigError
from pervade.domains.image import Image
from pervade.engine import predictions
from pervade.engine.fit import Learner
from pervade.models.resnet import ResNet
from pervade.models.vit import ViT
from pervade.nn.backbone import Backbone
from pervade.nn.pointwise import Pointwise, _dangerous
from pervade.run.stopping import Stopped
from pervade.run.training import Options
from pervade.tasks.classify import Classify
from pervade.train.optim.adamw import AdamW
from pervade.train.schedule.constant import Constant
from pervade.train.schedule.one_cycle import OneCycle
from pervade.train.tuning.freeze import Freeze
from pervade.train.tuning.full import Full
from pervade.train.tuning.lora import Lora
from tests.small_run import stop_at

__all__ = ["stop_at"]

INPUTS = Pixels((3, 16, 16), (0.5,) * 3, (0.25,) * 3)
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


DOMAIN = Image(size=16, labels=("a", "b"), mean=(0.5,) * 3, deviation=(0.25,) * 3)


def learner(net: nn.Module, tuning: Tuning, total: int, schedule: Schedule | None = None, **settings: Any) -> Learner:
    optimizer = AdamW(lr=0.08, weight_decay=0.1)
    schedule = schedule or Constant()
    return Learner(Classify(), net, Context(DOMAIN), optimizer, schedule, total, tuning=tuning, **settings)


def steps(of: Learner) -> Iterator[dict[str, torch.Tensor]]:
    """Takes all its steps, and gives the network's state before the first and after each."""
    batch = {"row": torch.arange(8), "input": torch.rand(8, 3, 16, 16), "target": torch.arange(8) % 2}
    yield copy.deepcopy(of.network.state_dict())
    for _ in range(of.total_steps):
        of._take_step(batch)
        yield copy.deepcopy(of.network.state_dict())


def test_a_stage_stays_bit_for_bit_until_it_begins() -> None:
    """The running statistics of its batch normalisation too. Five stages: one more begins with every second step."""
    net = network()
    stages = net.stages()
    names = {id(value): name for name, value in net.state_dict(keep_vars=True).items()}
    of_stage = [{names[id(value)] for value in stage.state_dict(keep_vars=True).values()} for stage in stages]
    assert any("running_mean" in name for name in of_stage[0])
    before, *after = steps(learner(net, Full(unfreeze=0.5), 20))
    for step, state in enumerate(after):
        for depth, within in enumerate(reversed(of_stage), start=1):
            moved = {name for name in within if not torch.equal(before[name], state[name])}
            begun = step / 20 >= 0.5 * depth / len(stages)
            assert moved == (within if begun else set()), (step, depth)
    assert all(module.training for module in net.modules())


def test_going_on_from_a_state_sets_the_modes_of_its_step() -> None:
    net = network()
    first, again = (learner(net, Full(unfreeze=0.5), 10) for _ in range(2))
    first.step = 4
    list(first.fit(Nothing(), 1))
    modes = [module.training for module in net.modules()]
    assert len(set(modes)) == 2
    again.load_state_dict({**first.state_dict(), "passes": 0})
    list(again.fit(Nothing(), 1))
    assert [module.training for module in net.modules()] == modes


class Nothing:
    """A source of no batches."""

    def __iter__(self) -> Iterator[dict]:
        return iter(())

    def feedback(self, batch: dict, parts: dict) -> bool:
        return False


def test_rates_of_the_layers_reach_the_optimiser() -> None:
    """Each group's rate is the schedule's factor times its share of the peak."""
    net = network()
    depth = {id(p): 0 for p in net.head.parameters()}
    for number, stage in enumerate(reversed(net.stages()), start=1):
        depth |= {id(p): number for p in stage.parameters()}
    of = learner(net, Full(layer_decay=0.5, decay_all=False), 4, OneCycle(rise=0.5, start=0.1, end=0.0))
    taken = steps(of)
    next(taken)
    for factor in (0.1, 0.55, 1.0, 0.5):
        next(taken)
        groups = of.steps[0].optimizer.param_groups
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
    changed = Lora(rank=2).apply(net).eval()
    assert torch.equal(before, changed(torch.ones(2, 3, 16, 16))["logits"])
    learning = names(changed, Lora(rank=2))
    assert {name.startswith("head.") or ".lora_" in name for name in learning} == {True}
    assert any(".lora_B" in name for name in learning)


@pytest.mark.parametrize("average", [None, 0.5])
def test_what_lora_leaves_alone_stays_bit_for_bit(average: float | None) -> None:
    """A transformer on torch's own attention, whose weights are read and not called. Every adapter learns."""

    def plain() -> nn.Module:
        torch.manual_seed(0)
        return ViT("tiny", blocks=2).build(INPUTS, {"logits": 2})

    tuning = Lora(rank=2, dropout=0.1)
    before = plain().state_dict()
    of = learner(tuning.apply(plain()), tuning, 6, average=average)
    *_, after = steps(of)
    for state in (after, of.judged.state_dict()):
        adapters = {name for name in state if ".lora_" in name}
        assert len(adapters) == 2 * 5  # the patches, and two layers between the attentions of each block
        assert all(state[name].any() for name in adapters)
        kept = {name.replace(".base_layer.", "."): value for name, value in state.items() if name not in adapters}
        moved = {name for name in before if not torch.equal(before[name], kept[name])}
        assert moved == {"head.logits.weight", "head.logits.bias"}
    again, x = tuning.apply(plain()), torch.rand(2, 3, 16, 16)
    again.load_state_dict(of.judged.state_dict())
    assert torch.equal(again.eval()(x)["logits"], of.judged.eval()(x)["logits"])


def test_narrow_strided_convolutions_are_guarded_in_adapters_too() -> None:
    """peft builds an adapter of the class of the layer beside it, which nn/pointwise.py had exchanged."""
    net = Lora(rank=4).apply(ResNet(width=8).build(INPUTS, {"logits": 2}))
    strided = [each for each in net.modules() if isinstance(each, nn.Conv2d) and _dangerous(each)]
    assert len(strided) == 2  # the layer and its adapter
    assert {type(each) for each in strided} == {Pointwise}


# Slow, since adapters are resumed in tests/test_resume.py too: by texts, with averaged weights, and saved alone.
@pytest.mark.slow
@pytest.mark.parametrize("average", ["null", "0.5"])
def test_adapters_of_a_transformer_are_saved_resumed_and_loaded(
    shapes: Path, tmp_path: Path, stop_at: Callable[[int], None], average: str
) -> None:
    """A run that was stopped goes on to the same weights and the same predictions."""
    small = [each for each in SMALL if not each.startswith("model")]
    settings = [*small, "model.blocks=2", "tuning={use: lora, dropout: 0.2}", f"average={average}"]

    def fit(name: str) -> pervade.Run:
        return pervade.fit(
            shapes, model="vit-tiny", init="random", runs=tmp_path, name=name, settings=settings, options=Options()
        )

    whole = fit("whole")
    stop_at(4)
    with pytest.raises(Stopped):
        fit("stopped")
    resumed = pervade.resume(tmp_path / "stopped", options=Options())
    one, two = weights(whole), weights(resumed)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    for run in (whole, resumed):
        run.evaluate()
    tables = [predictions.read_columns(run.directory.predictions("best", "test")) for run in (whole, resumed)]
    assert (tables[0]["probabilities"] == tables[1]["probabilities"]).all()


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
    settings = [*SMALL, "tuning=freeze", "domain.augment=false", f"domain.views={views}"]

    def fit(name: str) -> pervade.Run:
        return pervade.fit(
            shapes, model="resnet10", init="random", runs=tmp_path, name=name, settings=settings, options=Options()
        )

    cached = fit("a")
    kept = list((tmp_path / "cache" / "features").iterdir())
    assert len(kept) == 1
    passes = []
    monkeypatch.setattr(
        Backbone, "features", lambda self, x, mask=None: passes.append(1) or self.body(self.normalise(x))
    )
    fit("b")
    assert not passes  # the second run found the features
    monkeypatch.setattr("pervade.run.training.Training._reading", lambda self: self.domain)
    plain = fit("c")
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
