"""The training loop: what a step does, what a rehearsal leaves behind, and what is said when things go wrong."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from pervade.core.contracts import Context
from pervade.core.errors import ContractError, ResourceError, TrainingError
from pervade.data.rows.loader import Loader
from pervade.domains.image import Image
from pervade.engine.batches import cut
from pervade.engine.fit import Learner
from pervade.engine.rehearsal import rehearse
from pervade.models.reference_mlp import ReferenceMLP
from pervade.models.resnet import ResNet
from pervade.recipes import image
from pervade.tasks.classify import Classify
from pervade.train.optim.adam import Adam
from pervade.train.optim.adamw import AdamW
from pervade.train.optim.sgd import SGD
from pervade.train.schedule.constant import Constant
from pervade.train.schedule.one_cycle import OneCycle
from tests.toys.gan import Adversarial

DOMAIN = Image(size=8, channels=1, labels=("a", "b"), mean=(0.5,), deviation=(0.25,))


def batch(rows: int = 12) -> dict:
    torch.manual_seed(1)
    pixels = torch.rand(rows, 1, 8, 8)
    return {"row": torch.arange(rows), "input": pixels, "target": (pixels.mean((1, 2, 3)) > 0.5).long()}


def learner(model=None, **settings) -> Learner:
    torch.manual_seed(0)
    network = (model or ReferenceMLP((16,))).build(DOMAIN.inputs(), {"logits": 2})
    optimizer = settings.pop("optimizer", SGD(lr=0.1, momentum=0.9))
    task = settings.pop("task", Classify())
    return Learner(task, network, Context(DOMAIN), optimizer, settings.pop("schedule", Constant()), 100, **settings)


class Batches:
    def __init__(self, *batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)

    def feedback(self, batch, parts):
        return False


def weights(of: Learner) -> dict:
    return {name: value.clone() for name, value in of.network.state_dict().items()}


def test_a_step_is_torchs_own_step() -> None:
    """One step with momentum equals the same written out in torch."""
    ours = learner()
    network = ReferenceMLP((16,)).build(DOMAIN.inputs(), {"logits": 2})
    network.load_state_dict(weights(ours))
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(batch()["input"])["logits"], batch()["target"]).backward()
        optimizer.step()
    list(ours.fit(Batches(batch(), batch(), batch()), 1))
    for name, value in weights(ours).items():
        torch.testing.assert_close(value, network.state_dict()[name])


@pytest.mark.parametrize("size", [1, 5, 12])
def test_micro_batches_change_nothing(size: int) -> None:
    whole, pieces = learner(), learner(micro_batch=size)
    for each in (whole, pieces):
        list(each.fit(Batches(batch(), batch(9)), 2))
    for name, value in weights(whole).items():
        torch.testing.assert_close(value, weights(pieces)[name], rtol=1e-4, atol=1e-6)
    assert whole.averages() == pytest.approx(pieces.averages(), rel=1e-4)


def test_a_task_that_couples_rows_is_not_cut() -> None:
    with pytest.raises(ContractError, match="micro"):
        learner(task=Adversarial(), micro_batch=2)


def test_cut_reaches_nested_inputs() -> None:
    pieces = cut({"row": torch.arange(5), "input": {"a": torch.arange(5), "b": torch.arange(10).view(5, 2)}}, 2)
    assert [len(piece["row"]) for piece in pieces] == [2, 2, 1]
    assert pieces[1]["input"]["b"].tolist() == [[4, 5], [6, 7]]


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9, weight_decay=0.1), Adam(weight_decay=0.1), AdamW()])
def test_rehearsal_leaves_no_trace(optimizer) -> None:
    """Weights, gradients, batch normalisation's buffers, optimiser and random state are as before."""
    ours, rows = learner(ResNet(width=16), optimizer=optimizer), batch()
    before, random = weights(ours), torch.get_rng_state()
    rehearse(ours, rows)
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in weights(ours).items())
    assert all(parameter.grad is None for parameter in ours.network.parameters())
    assert not ours.steps[0].optimizer.state
    assert ours.averages() == {}
    untouched = learner(ResNet(width=16), optimizer=optimizer)
    for each in (ours, untouched):
        list(each.fit(Batches(rows, rows), 1))
    assert all(torch.equal(value, weights(untouched)[name]) for name, value in weights(ours).items())


def test_memory_that_runs_out_is_said_with_the_remedy() -> None:
    class Hungry(Classify):
        def loss(self, output, batch):
            torch.empty(2**60)
            return super().loss(output, batch)

    with pytest.raises(ResourceError, match=r"--batch-size.*micro_batch=6"):
        rehearse(learner(task=Hungry()), batch())


def test_other_faults_of_a_rehearsal_are_not_hidden() -> None:
    class Broken(Classify):
        def loss(self, output, batch):
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        rehearse(learner(task=Broken()), batch())


def test_a_loss_that_is_not_finite_ends_training() -> None:
    ours = learner(optimizer=SGD(lr=1e30))
    with pytest.raises(TrainingError, match=r"--lr"):
        for _ in ours.fit(Batches(*[batch()] * 5), 3):
            ours.averages()


def test_a_loss_of_the_wrong_shape_is_refused() -> None:
    class Mean(Classify):
        def loss(self, output, batch):
            return {"loss": super().loss(output, batch)["loss"].mean()}

    with pytest.raises(ContractError, match="one value a row"):
        list(learner(task=Mean()).fit(Batches(batch()), 1))


def test_clipping_bounds_the_gradient() -> None:
    ours = learner(clip_norm=1e-3, optimizer=SGD(lr=1.0))
    before = weights(ours)
    list(ours.fit(Batches(batch()), 1))
    moved = torch.cat([(value - before[name]).flatten() for name, value in weights(ours).items()]).norm()
    assert moved <= 1.01e-3


def test_the_schedule_is_followed() -> None:
    ours = learner(schedule=OneCycle(rise=0.5, start=0.1, end=0.0))
    ours.total_steps = 10
    rates = [moment and ours.lr for moment in ours.fit(Batches(*[batch()] * 10), 1) if moment.kind == "step"]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == rates[5] == pytest.approx(0.1)
    assert rates[-1] < 0.02


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam()])
@pytest.mark.parametrize("stop", [1, 3, 4, 7])
def test_state_goes_on_bit_for_bit(optimizer, stop: int) -> None:
    """Stopped after any step, the end of a pass included, and loaded into a new learner."""
    ours = [learner(ResNet(width=16), optimizer=optimizer) for _ in range(2)]
    for each in ours:
        each.network.to(memory_format=torch.channels_last)
    batches = [batch(n) for n in (8, 6, 8, 7)]
    list(ours[0].fit(Batches(*batches), 2))

    first = learner(ResNet(width=16), optimizer=optimizer)
    first.network.to(memory_format=torch.channels_last)
    for moment in first.fit(Batches(*batches), 2):
        if moment.kind == "step" and moment.step == stop:
            break
    ours[1].load_state_dict(first.state_dict())
    rest = Batches(*batches[stop % 4 :]) if stop % 4 else Batches()
    list(itertools.chain(ours[1].fit(rest, stop // 4 + (1 if stop % 4 else 0)), ours[1].fit(Batches(*batches), 2)))
    assert all(torch.equal(value, weights(ours[0])[name]) for name, value in weights(ours[1]).items())


def test_a_real_source_learns(shapes) -> None:
    domain = Image(size=16, augment=False)
    rows, _ = domain.read(shapes)
    rows, _ = domain.prepare(rows, lambda done, total: None)
    domain = domain.fit(rows)
    torch.manual_seed(0)
    network = image.ReferenceCNN((4, 4, 4), 8).build(domain.inputs(), {"logits": 2})
    ours = Learner(Classify(), network, Context(domain), Adam(lr=0.01), Constant(), 100)
    list(ours.fit(Loader(rows, domain, 16, seed=0, workers=1), 6))
    assert ours.averages()["accuracy"] > 0.7
