"""A student learns what its teacher says: worked by hand, task by task."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from pervade.core.contracts import Context, Pixels
from pervade.core.errors import CheckpointError, ConfigError
from pervade.domains.image import Image
from pervade.nn.backbone import Backbone
from pervade.nn.distillation import apart, divergence, divergence_of_each, divergence_of_normals
from pervade.tasks.answer_span import AnswerSpan
from pervade.tasks.classify import Classify
from pervade.tasks.denoise import Denoise
from pervade.tasks.dictate import Dictate
from pervade.tasks.distil import Distil, Teacher, loaded
from pervade.tasks.dqn import DQN
from pervade.tasks.language_model import LanguageModel
from pervade.tasks.ppo import PPO
from pervade.tasks.prefer import Prefer
from pervade.tasks.regress import Regress
from pervade.tasks.tag import Tag
from pervade.tasks.transcribe import Transcribe
from pervade.testing import check_task

DOMAIN = Image(size=4, labels=("a", "b"), counts=(3, 1), rows=4)


def test_the_divergence_by_hand() -> None:
    """Teacher 3/4 to 1/4 at a temperature of 2, student even: 4 (3/4 log 3/2 + 1/4 log 1/2)."""
    teacher = torch.tensor([[2 * math.log(3.0), 0.0]])
    wanted = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert divergence(torch.zeros(1, 2), teacher, 2.0).item() == pytest.approx(wanted, rel=1e-6)
    # Of two classes it is that of a yes or no whose logit is the difference.
    assert divergence_of_each(torch.zeros(1, 1), teacher[:, :1], 2.0).item() == pytest.approx(wanted, rel=1e-6)
    far = torch.tensor([[200.0], [-200.0]])
    assert torch.equal(divergence_of_each(far, far, 1.0), torch.zeros(2, 1))


def test_the_gradient_is_as_large_at_any_temperature() -> None:
    """Of logits far smaller than T it is (z' - z) / k, without T (Hinton et al. 2015, equation 4)."""
    teacher = torch.tensor([[0.02, -0.02]])
    for temperature in (4.0, 40.0):
        student = torch.zeros(1, 2, requires_grad=True)
        divergence(student, teacher, temperature).sum().backward()
        assert torch.allclose(student.grad, -teacher / 2, rtol=1e-2)


def asked_of() -> dict[str, tuple[Any, dict, dict]]:
    """Each task with a student's output and a batch; a teacher's output differs by what is added to it."""
    frames = torch.ones(2, 5, dtype=torch.bool)
    span = {"inside": torch.tensor([[False, True, True, False]] * 2), "target": torch.ones(2, 2, dtype=torch.long)}
    spoken = {"target": torch.ones(2, 4, dtype=torch.long), "length": torch.tensor([4, 1])}
    stops = torch.tensor([[1, 2, -100], [-100, -100, -100]])
    return {
        "classify": (Classify(), {"logits": torch.zeros(2, 3)}, {}),
        "tag": (Tag(), {"logits": torch.zeros(2, 3)}, {}),
        "regress": (Regress(), {"value": torch.zeros(2, 1)}, {}),
        "answer-span": (AnswerSpan(), {"span": torch.zeros(2, 4, 2)}, span),
        "language-model": (LanguageModel(), {"logits": torch.zeros(2, 3, 7)}, {"target": stops}),
        "dictate": (Dictate(), {"logits": torch.zeros(2, 3, 7), "begun": torch.tensor(1)}, spoken),
        "ppo": (PPO(), {"logits": torch.zeros(2, 5), "sizes": torch.tensor([2, 3])}, {}),
        "ppo of numbers": (PPO(), {"mean": torch.zeros(2, 3), "log_deviation": torch.ones(2, 3)}, {}),
        "transcribe": (Transcribe(), {"logits": torch.zeros(2, 5, 4), "frames": frames}, {}),
    }


@pytest.mark.parametrize("name", asked_of())
def test_what_says_the_same_has_nothing_to_learn(name: str) -> None:
    task, output, batch = asked_of()[name]
    said = {key: value.clone() for key, value in output.items()}
    assert torch.equal(task.imitation(output, said, batch, 2.0), torch.zeros(2))
    key = next(iter(output))
    torch.manual_seed(0)
    said[key] = said[key] + torch.randn_like(said[key])
    apart = task.imitation(output, said, batch, 2.0)
    assert apart.shape == (2,) and bool((apart >= 0).all()) and apart[0] > 0
    assert name not in ("language-model", "dictate") or apart[1] == 0, "nothing is asked of that row"


def test_values_of_actions_are_taught_as_logits() -> None:
    values = torch.tensor([[math.log(3.0), 0.0]])
    apart = DQN().imitation({"values": torch.zeros(1, 2)}, {"value": values}, {}, 1.0)
    assert apart.item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-6)


def test_policies_are_taught_by_their_distributions() -> None:
    torch.manual_seed(0)
    own, taught = ({"mean": torch.randn(4, 3), "log_deviation": torch.randn(4, 3)} for _ in range(2))
    normal = [torch.distributions.Normal(one["mean"], one["log_deviation"].exp()) for one in (taught, own)]
    wanted = torch.distributions.kl_divergence(*normal)
    said = divergence_of_normals(own["mean"], own["log_deviation"], taught["mean"], taught["log_deviation"])
    assert torch.allclose(said, wanted, atol=1e-5)
    assert torch.allclose(PPO().imitation(own, taught, {}, 7.0), wanted.sum(1), atol=1e-5)
    logits, sizes = torch.randn(2, 4, 5), torch.tensor([2, 3])
    apart = PPO().imitation({"logits": logits[0], "sizes": sizes}, {"logits": logits[1]}, {}, 1.0)
    each = [
        torch.distributions.kl_divergence(*(torch.distributions.Categorical(logits=one[:, part]) for one in (t, s)))
        for s, t in (logits,)
        for part in (slice(0, 2), slice(2, 5))
    ]
    assert torch.allclose(apart, sum(each), atol=1e-5)


def test_how_far_features_are_apart_by_hand() -> None:
    """(1, 2) from (0, 2): 1 of 4. Of two places the one that counts; without a mask both."""
    student, teacher = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 2.0]])
    assert apart(student, teacher).item() == pytest.approx(0.25)
    assert apart(10 * student, 10 * teacher).item() == pytest.approx(0.25)
    places = torch.stack([student, teacher], 1), torch.stack([teacher, teacher], 1)
    assert apart(*places, torch.tensor([[True, False]])).item() == pytest.approx(0.25)
    assert apart(*places).item() == pytest.approx(0.125)
    with pytest.raises(ConfigError, match=r"features of the shape \(2,\) of a row, and its teacher of \(2, 2\); leave"):
        apart(student, places[0])


class Says(nn.Module):
    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([logits]))

    def forward(self, input: Any, mask: Any = None) -> dict[str, Any]:
        return {"logits": self.logits.expand(len(input), -1)}


def companions(*logits: float, own: nn.Module | None = None) -> nn.Module:
    made = nn.Module()
    made.teacher = Teacher(SimpleNamespace(network=Says(*logits)), "there")  # type: ignore[arg-type]
    if own is not None:
        made.own = own
    return made


def test_the_loss_is_shared_between_truth_and_teacher() -> None:
    batch = {"input": torch.zeros(2, 3), "target": torch.tensor([0, 1])}
    student, beside = Says(1.0, 0.0), companions(0.0, 2.0)
    for share in (0.0, 0.3, 1.0):
        task = Distil(Classify(), "there", 2.0, share)
        output = task.forward(student, batch, Context(DOMAIN, beside))
        parts = task.loss(output, batch)
        truth = Classify().loss({"logits": output["logits"]}, batch)["loss"]
        taught = divergence(output["logits"], torch.tensor([[0.0, 2.0]]), 2.0)
        assert torch.allclose(parts["loss"], share * truth + (1 - share) * taught)
        assert not parts["imitation"].requires_grad
        parts["loss"].sum().backward()
    assert all(p.grad is None for p in beside.teacher.network.parameters())


def test_outside_training_it_is_the_inner_task() -> None:
    batch = {"input": torch.zeros(2, 3), "target": torch.tensor([0, 1])}
    task, student = Distil(Classify(), "there"), Says(1.0, 0.0)
    output = task.forward(student, batch, Context(DOMAIN))
    assert output.keys() == {"logits"}
    assert torch.equal(task.loss(output, batch)["loss"], Classify().loss(output, batch)["loss"])


def test_units_and_companions_of_the_inner_task_count() -> None:
    inner = Classify(class_weights="balanced")
    batch = {"input": torch.zeros(2, 3), "target": torch.tensor([0, 1])}
    task, student = Distil(inner, "there", 1.0, 0.0), Says(1.0, 0.0)
    beside = companions(0.0, 2.0, own=inner.companions(student, DOMAIN))
    parts = task.loss(task.forward(student, batch, Context(DOMAIN, beside)), batch)
    weights = beside.own.class_weights
    assert weights[1] > weights[0] and torch.equal(parts["count"], weights)
    assert torch.allclose(parts["loss"], parts["imitation"] * weights)


def backbone(width: int) -> Backbone:
    body = nn.Sequential(nn.Flatten(), nn.Linear(48, width))
    return Backbone(Pixels((3, 4, 4), (0.5,) * 3, (0.25,) * 3), {"logits": 2}, body, width)


@pytest.mark.parametrize("width", [4, 6])
def test_features_are_learnt_beside_the_answers(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    teacher, student = backbone(6), backbone(width)
    monkeypatch.setattr(Distil, "_fitting", lambda task, domain: SimpleNamespace(network=teacher))
    task = Distil(Classify(), "there", features=3.0)
    beside = task.companions(student, DOMAIN)
    assert hasattr(beside, "map") == (width != 6)
    batch = {"row": torch.arange(2), "input": torch.rand(2, 3, 4, 4), "target": torch.tensor([0, 1])}
    context = Context(DOMAIN, beside)
    parts = task.loss(task.forward(student, batch, context), batch)
    own = student.features(batch["input"])
    between = apart(own if width == 6 else beside.map(own), teacher.features(batch["input"]))
    alone = Distil(Classify(), "there")
    without = alone.loss(alone.forward(student, batch, Context(DOMAIN, alone.companions(student, DOMAIN))), batch)
    assert torch.allclose(parts["features"], between) and bool((between > 0).all())
    assert torch.allclose(parts["loss"], without["loss"] + 0.9 * 3.0 * between)
    parts["loss"].sum().backward()
    learning = [*student.parameters(), *beside.parameters()]
    assert all(weight.grad is not None for weight in learning) and len(learning) == (4 if width == 6 else 6)
    assert all(weight.grad is None for weight in teacher.parameters())
    check_task(task, student, batch, context)


def test_features_of_what_shows_none_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Distil, "_fitting", lambda task, domain: SimpleNamespace(network=backbone(4)))
    with pytest.raises(ConfigError, match=r"task\.features needs a network with a body and a head, and Says is not"):
        Distil(Classify(), "there", features=1.0).companions(Says(0.0, 1.0), DOMAIN)


def test_a_teacher_is_in_no_state_and_stays_itself() -> None:
    beside = companions(0.0, 2.0)
    state = beside.state_dict()
    assert list(state) == ["teacher._extra_state"] and state["teacher._extra_state"] == beside.teacher.sha256
    assert not list(beside.parameters()) and not list(beside.buffers())
    assert not beside.train().teacher.network.training
    assert beside.double().teacher.network.logits.dtype is torch.float64, "it moves with its companions"
    beside.load_state_dict(state)
    with pytest.raises(CheckpointError, match="there holds other weights now than those of the teacher"):
        companions(0.0, 3.0).load_state_dict(state)


def test_what_no_student_can_learn_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"task\.task: denoise has no answers that a student could learn"):
        Distil(Denoise(), "there")
    with pytest.raises(ConfigError, match=r"task\.task: prefer has .*; distil is for .*language-model, ") as caught:
        Distil(Prefer(), "there")
    assert "prefer," not in str(caught.value).partition(";")[2]
    one, other = ({"logits": torch.zeros(1, frames, 4), "frames": torch.ones(1, frames)} for frames in (4, 8))
    with pytest.raises(ConfigError, match="hears 4 frames where its teacher hears 8"):
        Transcribe().imitation(one, other, {}, 1.0)


def test_a_teacher_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    for place in ("", str(tmp_path)):
        with pytest.raises(CheckpointError, match="is no run and no checkpoint's folder"):
            loaded(place)
