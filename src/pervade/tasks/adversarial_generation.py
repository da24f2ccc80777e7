"""Pictures made by a generator that learns against a discriminator (Goodfellow et al. 2014, arXiv:1406.2661)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from pervade.core.bounds import Weight
from pervade.core.contracts import Context, Domain, Phase
from pervade.core.contracts.abilities import CouplesRows, GoesAstray, HasCompanions, HasPlayers
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Batch, Parts
from pervade.core.words import SHARE, FigureWords, TaskWords
from pervade.engine import ranks
from pervade.engine.generation import GeneratesPictures, canvas, noise, noise_between
from pervade.nn.adversaries import Adversaries
from pervade.nn.diff_augment import Change, diff_augment
from pervade.nn.modes import still

Scores = tuple[Tensor, Tensor]  # (n,) of real pictures, (n,) of made ones

REMEMBERED = 0.99  # of what is watched, from one step to the next
TOLD_APART = 0.995  # pairs of a real and a made picture of which the discriminator takes the real one for more real:
ALIKE = 0.1  # and how far made pictures of a class are apart, real ones being 1: beyond these a player has run away,
PATIENCE = 1000  # where it is so for that many steps in a row
# How many pictures a generator's batch normalisation is settled by, and how many at a time
SETTLING, AT_ONCE, SALT = 512, 64, 1


def non_saturating(real: Tensor, made: Tensor) -> Tensor:
    """-log sigmoid(real) - log(1 - sigmoid(made)) (Goodfellow et al. 2014)."""
    return F.softplus(-real) + F.softplus(made)


def hinge(real: Tensor, made: Tensor) -> Tensor:
    """max(0, 1 - real) + max(0, 1 + made) (Lim & Ye 2017, arXiv:1705.02894)."""
    return F.relu(1 - real) + F.relu(1 + made)


def wasserstein(real: Tensor, made: Tensor) -> Tensor:
    """made - real (Arjovsky et al. 2017, arXiv:1701.07875)."""
    return made - real


DISCRIMINATOR: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "non-saturating": non_saturating,
    "hinge": hinge,
    "wasserstein": wasserstein,
}


def generator_loss(name: str, made: Tensor) -> Tensor:
    """-log sigmoid(made) where `name` is "non-saturating", else -made."""
    return F.softplus(-made) if name == "non-saturating" else -made


def squared_slope(score: Tensor, pictures: Tensor) -> Tensor:
    """(n,): of each picture's score (n,), the squared norm of its gradient by the picture, through which gradients
    flow. No picture's score may depend on another picture."""
    (slope,) = torch.autograd.grad(score.sum(), pictures, create_graph=True)
    return slope.square().flatten(1).sum(1)


def gradient_penalty(discriminator: nn.Module, real: Tensor, made: Tensor, number: Tensor) -> Tensor:
    """(n,): (norm of the slope - 1)^2 at a place drawn between each real and made picture (WGAN-GP, Gulrajani et al.
    2017, arXiv:1704.00028)."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = torch.lerp(real.detach(), made.detach(), share).requires_grad_()
    # The root's own slope is infinite at 0, where a discriminator that is flat begins.
    slope = (squared_slope(discriminator(between, number), between) + 1e-12).sqrt()
    return (slope - 1).square()


@register("task")
@dataclass(frozen=True)
class AdversarialGeneration(GeneratesPictures, CouplesRows, HasPlayers, HasCompanions, GoesAstray):
    """The model is `nn.adversaries.Adversaries`; players are "discriminator" and "generator", each with an optimiser of
    its own where the recipe names two.

    A step: the discriminator learns to tell the batch's pictures from as many that are made, by its loss and penalties;
    in every `lessons`-th step the generator learns to have others taken for real. Both are told classes, where there
    are any, and the discriminator sees all pictures changed by `changes`.
    """

    loss_name: Literal["non-saturating", "hinge", "wasserstein"] = "hinge"
    lessons: Annotated[int, Field(ge=1, le=1000)] = 1  # steps of the discriminator to one of the generator
    gradient_penalty: Weight | None = None  # of slopes other than 1; None: 10 for "wasserstein", else 0
    # R1: weight / 2 x squared slope at real pictures (Mescheder et al. 2018, arXiv:1801.04406), in every `r1_every`-th
    # step so many times as heavy (Karras et al. 2020, arXiv:1912.04958)
    r1: Weight = 0.0
    r1_every: Annotated[int, Field(ge=1, le=1000)] = 16
    uses: ClassVar[tuple[str, ...]] = ("truncation",)
    changes: tuple[Change, ...] = ()  # DiffAugment's (nn/diff_augment.py), for few pictures

    # learning

    def outputs(self, domain: Domain) -> dict[str, int]:
        return {"picture": canvas(domain).shape[2]}

    def companions(self, model: nn.Module, domain: Domain) -> nn.Module | None:
        return Watch(canvas(domain).classes)

    @property
    def penalty(self) -> float:
        usual = 10.0 if self.loss_name == "wasserstein" else 0.0
        return usual if self.gradient_penalty is None else self.gradient_penalty

    def phases(self, model: nn.Module, context: Context) -> list[Phase]:
        """Raises ConfigError where the model has no two players, or a penalty asks for each picture's own slope and the
        discriminator normalises batches."""
        if not isinstance(model, Adversaries):
            raise ConfigError(
                "task: adversarial-generation takes a generator and its discriminator; set --model dcgan or sngan"
            )
        if (self.penalty or self.r1) and _normalising(model.discriminator):
            raise ConfigError(
                "task: a penalty on slopes (r1, gradient_penalty) is of each picture by itself, and batch "
                "normalisation mixes them; set -o model.bound=spectral or none"
            )
        watch = context.companions
        if not isinstance(watch, Watch):
            raise TypeError("players are asked for where nothing is trained")

        def discriminate(batch: Batch) -> Parts:
            return self._discriminate(model, watch, batch)

        def generate(batch: Batch) -> Parts:
            number = batch["input"]["class"]
            with still(model.discriminator):
                score = model.discriminator(diff_augment(_made(model, number), self.changes), number)
            return {"loss": generator_loss(self.loss_name, score)}

        return [
            Phase("discriminator", list(model.discriminator.parameters()), discriminate),
            Phase("generator", list(model.generator.parameters()), generate, every=self.lessons),
        ]

    def _discriminate(self, model: Adversaries, watch: Watch, batch: Batch) -> Parts:
        """ "loss", "told_apart" and "diversity" (`Watch`), and the penalties before their weights, where there are
        any."""
        pictures, number = 2 * batch["input"]["pixels"] - 1, batch["input"]["class"]
        with torch.no_grad():
            made = _made(model, number).float()  # beside real ones, whatever the generator computes in
            parts = {"diversity": diversity(pictures, made, number)}
            made = diff_augment(made, self.changes)
        due = self.r1 > 0 and int(watch.steps) % self.r1_every == 0
        real = diff_augment(pictures, self.changes).requires_grad_(due)
        scores = model.discriminator(real, number), model.discriminator(made, number)
        parts["loss"] = DISCRIMINATOR[self.loss_name](*scores)
        if due:
            parts["r1"] = squared_slope(scores[0], real)
            parts["loss"] = parts["loss"] + self.r1 / 2 * self.r1_every * parts["r1"]
        if self.penalty:
            parts["gradient_penalty"] = gradient_penalty(model.discriminator, real, made, number)
            parts["loss"] = parts["loss"] + self.penalty * parts["gradient_penalty"]
        parts["told_apart"] = (scores[0] > scores[1]).float()
        watch.see(parts, number, judges=self.loss_name != "wasserstein")
        return parts

    def astray(self, context: Context) -> str | None:
        watch = context.companions
        if not isinstance(watch, Watch) or int(watch.astray) < PATIENCE:
            return None
        if float(watch.diversity) < ALIKE:
            return (
                f"the generator makes almost one picture alone (diversity {float(watch.diversity):.2f} of real ones'); "
                "lower its rate (-o optimizer.generator.lr), or set -o task.loss_name=wasserstein -o task.lessons=5"
            )
        return (
            f"the discriminator tells {float(watch.told_apart):.1%} of pictures apart, so that the generator learns "
            "nothing from it; set -o task.r1=10 or -o task.changes=[colour,translation,cutout], or lower its rate "
            "(-o optimizer.discriminator.lr)"
        )

    @torch.no_grad()
    def finished(self, model: nn.Module, context: Context) -> nn.Module:
        """A copy whose generator's batch normalisation has the mean and variance of what these weights make: averaged
        weights never made anything while training, so the running ones are another network's (Brock et al. 2019,
        arXiv:1809.11096, "standing statistics"). Classes are drawn as often as training saw them."""
        watch = context.companions
        if not isinstance(model, Adversaries) or not isinstance(watch, Watch) or not _normalising(model.generator):
            return model
        model = copy.deepcopy(model)
        for layer in _normalising(model.generator):
            layer.reset_running_stats()
            layer.momentum = None  # the mean over all batches
        number = watch.classes(SETTLING).to(watch.seen.device)
        drawn = noise(torch.arange(SETTLING), (model.noise,), SALT).to(watch.seen.device)
        model.generator.train()
        for start in range(SETTLING // AT_ONCE):  # classes come in order, so that each batch takes of all
            model.generator(drawn[start :: SETTLING // AT_ONCE], number[start :: SETTLING // AT_ONCE])
        return model

    # making

    def sample(self, model: nn.Module, seeds: Tensor, classes: Tensor, context: Context) -> Tensor:
        return self._painted(model, noise(seeds, _size(model)), classes)

    def between(
        self, model: nn.Module, seeds: Tensor, others: Tensor, shares: Tensor, classes: Tensor, context: Context
    ) -> Tensor:
        return self._painted(model, noise_between(seeds, others, shares, _size(model)), classes)

    def _painted(self, model: nn.Module, drawn: Tensor, classes: Tensor) -> Tensor:
        truncation = 1.0 if self.sampling.truncation is None else self.sampling.truncation
        picture: Tensor = model({"noise": truncation * drawn.to(classes.device), "class": classes})["picture"]
        return picture

    def wording(self, domain: Domain) -> TaskWords:
        logged = {
            "discriminator.told_apart": replace(SHARE, title="Real told from made"),
            "discriminator.diversity": FigureWords(title="Diversity of made pictures, real ones 1"),
        }
        return replace(super().wording(domain), logged=logged)


class Watch(nn.Module):
    """What is remembered of the players: how often each class was seen, how many steps there were, moving means of

    "told_apart": pairs of a real and a made picture of which the discriminator takes the real one for more real, and
    "diversity": how far made pictures are apart, beside real ones (`diversity`),

    and for how many steps in a row one of the two was beyond what leaves something to learn.
    """

    seen: Tensor
    steps: Tensor
    told_apart: Tensor
    diversity: Tensor
    astray: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(classes + 1, dtype=torch.int64))
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("told_apart", torch.tensor(0.5))
        self.register_buffer("diversity", torch.tensor(1.0))
        self.register_buffer("astray", torch.tensor(0))

    @torch.no_grad()
    def see(self, parts: Parts, number: Tensor, judges: bool) -> None:
        """A step's parts and classes, of all ranks. `judges`: that all are told apart leaves nothing to learn."""
        watched = {name: parts[name].mean() for name in ("told_apart", "diversity")}
        seen = torch.bincount(number, minlength=len(self.seen))
        if ranks.world() > 1:  # all have to remember the same, as the first rank's is saved, and all end by it
            sums = ranks.sum_numbers(*(float(parts[name].sum()) for name in watched), *seen.tolist())
            seen = seen.new_tensor(sums[len(watched) :])
            means = (mean.new_tensor(total) / seen.sum() for mean, total in zip(watched.values(), sums, strict=False))
            watched = dict(zip(watched, means, strict=True))
        self.seen += seen
        self.steps += 1
        for name, mean in watched.items():
            getattr(self, name).lerp_(mean, 1 - REMEMBERED)
        beyond = self.diversity < ALIKE
        if judges:
            beyond = beyond | (self.told_apart > TOLD_APART)
        self.astray.copy_(torch.where(beyond, self.astray + 1, 0))

    def classes(self, count: int) -> Tensor:
        """(count,) int64 in rising order, each as often as it was seen; evenly where nothing was."""
        seen = self.seen.double() if self.seen.any() else torch.ones(len(self.seen), dtype=torch.float64)
        upto = seen.cpu().cumsum(0) / seen.sum().cpu()
        return torch.searchsorted(upto, (torch.arange(count, dtype=torch.float64) + 0.5) / count)


def diversity(real: Tensor, made: Tensor, number: Tensor) -> Tensor:
    """(n,) of one value: the root of the mean squared distance of two made pictures (n, c, h, w) of one class in the
    batch, divided by that of two real ones. 1 where no class has two."""
    _, index, count = number.unique(return_inverse=True, return_counts=True)

    def spread(pictures: Tensor) -> Tensor:
        flat = pictures.flatten(1)
        centre = flat.new_zeros(len(count), flat.shape[1]).index_add_(0, index, flat) / count[:, None]
        return (flat - centre[index]).square().mean() + 1e-8

    return (spread(made) / spread(real)).sqrt().expand(len(number))


def _made(model: Adversaries, number: Tensor) -> Tensor:
    """(n, c, h, w) of -1..1 from noise of torch's own generator."""
    pictures: Tensor = model.generator(torch.randn(len(number), model.noise, device=number.device), number)
    return pictures


def _size(model: nn.Module) -> tuple[int]:
    """Of a picture's noise."""
    return (cast(Adversaries, model).noise,)


def _normalising(network: nn.Module) -> list[Any]:
    return [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
