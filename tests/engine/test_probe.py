"""One view of a model on pixels, waveforms, embeddings of tokens and observations, proved by an explainer and an attack
that know nothing of any of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pervade.core.contracts import Domain, Model, Probe, Task
from pervade.core.errors import ConfigError
from pervade.core.types import Batch
from pervade.data.text import vocabulary
from pervade.domains.environment import Environment
from pervade.domains.image import Image
from pervade.domains.sound import Sound
from pervade.domains.text import Text
from pervade.domains.waveform import Waveform
from pervade.engine.probe import probe
from pervade.models.policy import Policy
from pervade.models.reference_cnn import ReferenceCNN
from pervade.models.sound_cnn import SoundCNN
from pervade.models.transformer import Transformer
from pervade.tasks.classify import Classify
from pervade.tasks.ppo import PPO

LABELS = ("no", "yes")
TEXTS = ["the cat sat on the mat", "a dog ran in the park", "cats and dogs are animals"] * 20


def integrated_gradients(seen: Probe, baseline: Tensor, steps: int = 300) -> Tensor:
    """Sundararajan et al. 2017, arXiv:1703.01365, by the midpoint rule."""
    total = torch.zeros_like(seen.x)
    for step in range(steps):
        x = (baseline + (step + 0.5) / steps * (seen.x - baseline)).detach().requires_grad_()
        total += torch.autograd.grad(seen.score(seen.forward(x)).sum(), x)[0] / steps
    return (seen.x - baseline) * total


def pgd(seen: Probe, radius: float, steps: int = 8) -> Tensor:
    """Madry et al. 2018, arXiv:1706.06083, without a random start; of each row what had the lowest score."""
    x, best = seen.x, seen.x
    lowest = torch.full((len(x),), torch.inf)
    for _ in range(steps + 1):
        x = x.detach().requires_grad_()
        score = seen.score(seen.forward(x))
        lower = (score < lowest).view(-1, *[1] * (x.ndim - 1))
        best, lowest = torch.where(lower, x.detach(), best), torch.minimum(score.detach(), lowest)
        (gradient,) = torch.autograd.grad(score.sum(), x)
        x = seen.x + (x - radius / 4 * gradient.sign() - seen.x).clamp(-radius, radius)
        x = seen.space.project(x)
    return best


def pixels() -> tuple[Domain, Model, Task, Batch]:
    domain = Image(size=16, labels=LABELS, mean=(0.5,) * 3, deviation=(0.25,) * 3)
    return domain, ReferenceCNN((4, 4, 4), 8), Classify(), {"input": torch.rand(3, 3, 16, 16)}


def waveform() -> tuple[Domain, Model, Task, Batch]:
    tones = torch.sin(torch.tensor([[0.2], [0.5], [1.1]]) * torch.arange(2000))[:, None]
    batch = {"input": 0.3 * tones + 0.1 * torch.randn(3, 1, 2000)}
    return Sound(rate=8000, seconds=0.25, labels=LABELS), SoundCNN(bands=16, width=8, features=16), Classify(), batch


def embeddings() -> tuple[Domain, Model, Task, Batch]:
    digest = vocabulary.keep(vocabulary.learn(TEXTS, "wordpiece", 300))
    domain = Text(length=16, labels=LABELS, tokenizer=digest)
    examples = [{"input": vocabulary.tokenizer(digest).encode(text).ids, "target": 0} for text in TEXTS[:3]]
    return domain, Transformer(width=32, depth=1, heads=2), Classify(), domain.collate(examples)


def observations() -> tuple[Domain, Model, Task, Batch]:
    domain = Environment(
        name="CartPole-v1",
        observation={"shape": [4], "picture": False, "dtype": "float32"},
        action={"kind": "discrete", "form": "number", "sizes": [2], "start": [0]},
    )
    return domain, Policy(), PPO(), {"input": torch.randn(3, 4)}


RADIUS = {pixels: 0.05, waveform: 0.01, embeddings: 0.05, observations: 0.2}


def opened(make) -> tuple[Probe, Batch]:
    torch.manual_seed(0)
    domain, model, task, batch = make()
    network = model.build(domain.inputs(), task.outputs(domain)).eval()
    for parameter in network.parameters():  # heads begin near zero, where all answers are alike
        if parameter.ndim == 2 and make is observations:
            torch.nn.init.normal_(parameter, std=0.5)
    batch |= {"row": torch.arange(3)} | ({} if make is observations else {"target": torch.tensor([0, 1, 0])})
    return probe(network, domain, task, batch), batch


@pytest.mark.parametrize("make", RADIUS, ids=lambda make: make.__name__)
def test_attributions_sum_to_what_the_score_gained(make) -> None:
    seen, _ = opened(make)
    # Networks begin with the logarithm of a spectrum, which is steep at silence, or divide an embedding by its length,
    # which is nothing at zero: so a sound is compared with noise, and each token with the first.
    zero = torch.zeros_like(seen.x)
    baseline = {waveform: 0.1 * torch.randn_like(zero), embeddings: seen.x[:1, :1].expand_as(zero)}.get(make, zero)
    with torch.no_grad():
        gained = seen.score(seen.forward(seen.x)) - seen.score(seen.forward(baseline))
    found = integrated_gradients(seen, baseline)
    assert found.shape == seen.x.shape
    assert gained.abs().max() > 1e-3
    assert torch.allclose(found.flatten(1).sum(1), gained, rtol=0.02, atol=0.02 * float(gained.abs().max()))


@pytest.mark.parametrize("make", RADIUS, ids=lambda make: make.__name__)
def test_an_attack_lowers_the_score_inside_the_space(make) -> None:
    seen, _ = opened(make)
    x = pgd(seen, RADIUS[make])
    assert seen.space.low <= float(x.min()) and float(x.max()) <= seen.space.high
    assert float((x - seen.x).abs().max()) <= RADIUS[make] + 1e-6
    with torch.no_grad():
        before, after = seen.score(seen.forward(seen.x)), seen.score(seen.forward(x))
    assert (after <= before).all() and after.sum() < before.sum()


def test_embeddings_stand_for_their_tokens() -> None:
    torch.manual_seed(0)
    domain, model, task, batch = embeddings()
    network = model.build(domain.inputs(), task.outputs(domain)).eval()
    expected = network(batch["input"], mask=batch["mask"])["logits"]
    embedded = network.embed(batch["input"])
    assert torch.equal(network.forward_embedded(embedded, batch["input"], mask=batch["mask"])["logits"], expected)
    assert not torch.allclose(network.forward_embedded(0 * embedded, batch["input"])["logits"], expected)
    assert torch.equal(network(batch["input"], mask=batch["mask"])["logits"], expected)  # nothing stays behind


def test_what_a_person_sees_of_a_pixel() -> None:
    space = pixels()[0].input_space()
    assert space is not None and space.unit == "pixel, 0-255"
    assert space.shown(torch.tensor(0.2)).item() == pytest.approx(51)
    assert space.meant(torch.tensor(51.0)).item() == pytest.approx(0.2)


def test_codes_are_refused() -> None:
    with pytest.raises(ConfigError, match="sounds to be made cannot be explained or attacked"):
        probe(torch.nn.Identity(), Waveform(), Classify(), {})
