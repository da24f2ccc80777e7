"""Pictures that are lost in noise step by step (Ho et al. 2020, arXiv:2006.11239), and the way back.

At step t of 0 … 999 a picture x of -1..1 has become z = alpha x + sigma noise, with alpha^2 + sigma^2 = 1. A network
says of z what is asked of it: the noise ("epsilon"), or v = alpha noise - sigma x (Salimans & Ho 2022,
arXiv:2202.00512), from which x follows. The way back is taken by diffusers' schedulers.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from pervade.core.errors import ConfigError

Schedule: TypeAlias = Literal["cosine", "linear"]
Asked: TypeAlias = Literal["v", "epsilon"]
Variance: TypeAlias = Literal["small", "large"]
Sampler: TypeAlias = Literal["ddpm", "ddim", "dpm-solver++"]

STEPS = 1000
LARGEST = 0.999  # beta of a step (Nichol & Dhariwal 2021)
# Of log(alpha / sigma) where a solver begins that is told of noise: before there is nothing of the picture in z, and
# what is taken for it is the network's error times 1 / alpha (Lu et al. 2022, arXiv:2211.01095).
LEAST = -5.1
# Steps of each sampler, where none are asked for. By dpm-solver++ digits of 10 steps looked like those of 20.
USUAL = {"ddpm": 250, "ddim": 50, "dpm-solver++": 16}


def betas(schedule: Schedule) -> np.ndarray:
    """(steps,) float64, the share of variance that each step puts in the place of the picture's.

    "cosine": Nichol & Dhariwal 2021, arXiv:2102.09672, equation 17; "linear": Ho et al. 2020.
    """
    if schedule == "linear":
        return np.linspace(1e-4, 0.02, STEPS)
    share = np.cos((np.arange(STEPS + 1) / STEPS + 0.008) / 1.008 * math.pi / 2) ** 2
    return np.minimum(1 - share[1:] / share[:-1], LARGEST)


@dataclass(frozen=True)
class Noising:
    """alpha and sigma (n, 1, 1, 1) of rows at their steps."""

    alpha: Tensor
    sigma: Tensor

    @classmethod
    def at(cls, schedule: Schedule, step: Tensor) -> Noising:
        """`step` (n,) int64; -1 is the picture itself."""
        return cls(*(part.to(step.device)[step + 1, None, None, None] for part in _parts(schedule)))

    def noised(self, picture: Tensor, noise: Tensor) -> Tensor:
        return self.alpha * picture + self.sigma * noise

    def target(self, asked: Asked, picture: Tensor, noise: Tensor) -> Tensor:
        return noise if asked == "epsilon" else self.alpha * noise - self.sigma * picture

    def picture(self, asked: Asked, noisy: Tensor, output: Tensor) -> Tensor:
        """What the network takes for the picture."""
        if asked == "epsilon":
            return (noisy - self.sigma * output) / self.alpha
        return self.alpha * noisy - self.sigma * output

    def noise(self, noisy: Tensor, picture: Tensor) -> Tensor:
        """What then is the noise. Not of step -1, which has none."""
        return (noisy - self.alpha * picture) / self.sigma

    def weight(self, asked: Asked, gamma: float | None) -> Tensor:
        """(n,): of a row's squared error, such that the picture's counts by alpha^2 / sigma^2 and by `gamma` at most
        ("min-SNR", Hang et al. 2023, arXiv:2303.09556); 1 where there is no gamma."""
        ratio = (self.alpha / self.sigma).square().flatten()
        if gamma is None:
            return torch.ones_like(ratio)
        return ratio.clamp(max=gamma) / (ratio if asked == "epsilon" else ratio + 1)


@functools.cache
def _parts(schedule: Schedule) -> tuple[Tensor, Tensor]:
    """alpha and sigma (1 + steps,), from step -1 on."""
    kept = torch.from_numpy(np.concatenate([[1.0], np.cumprod(1 - betas(schedule))]))
    return kept.sqrt().float(), (1 - kept).sqrt().float()


def way_back(
    denoise: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    schedule: Schedule,
    asked: Asked,
    sampler: Sampler,
    steps: int,
    generators: Sequence[torch.Generator],
    variance: Variance = "small",
) -> Tensor:
    """Pictures (n, c, h, w) of about -1..1 from `noise` of the same shape. `denoise` maps pixels and steps (n,) to what
    is asked; `generators`, one a row, draw what DDPM adds on the way, of the smaller or the larger `variance` of its
    paper's two (section 3.2).

    Raises ConfigError where diffusers is missing, or the sampler does not take so many steps.
    """
    scheduler = build_scheduler(schedule, asked, sampler, steps, variance)
    more: dict[str, Any] = {}
    if sampler == "ddpm":
        more["generator"] = list(generators)
    elif sampler == "ddim":  # what was cut off at black and white is no part of the noise
        more["use_clipped_model_output"] = True
    pixels = noise
    for step in scheduler.timesteps:
        output = denoise(pixels, step.to(noise.device).expand(len(noise)))
        pixels = scheduler.step(output, step, pixels, return_dict=False, **more)[0]
    return pixels


def library() -> Any:
    """diffusers. Raises ConfigError, saying how to install it, where it is missing."""
    try:
        import diffusers
    except ImportError as error:
        raise ConfigError(
            f"denoising pictures needs the package diffusers ({error}); pip install 'pervade[generate]'"
        ) from None
    return diffusers


def build_scheduler(schedule: Schedule, asked: Asked, sampler: Sampler, steps: int, variance: Variance) -> Any:
    diffusers = library()
    # DDIM of diffusers goes from one step to the next by whole steps.
    if steps > STEPS or (sampler == "ddim" and STEPS % steps):
        divisors = ", ".join(str(number) for number in range(1, STEPS + 1) if STEPS % number == 0)
        allowed = f"a divisor of {STEPS:,}: {divisors}" if sampler == "ddim" else f"up to {STEPS:,}"
        raise ConfigError(f"sampling.steps is {steps}; {sampler} takes {allowed}")
    settings: dict[str, Any] = {
        "num_train_timesteps": STEPS,
        "trained_betas": betas(schedule),
        "prediction_type": "epsilon" if asked == "epsilon" else "v_prediction",
        # From pure noise on (Lin et al. 2024, arXiv:2305.08891); only DDIM takes it from here, the others `_trailing`.
        "timestep_spacing": "trailing",
    }
    # A picture is taken to lie between black and white at every step.
    if sampler == "ddpm":
        scheduler: Any = diffusers.DDPMScheduler(**settings, clip_sample=True, variance_type=f"fixed_{variance}")
    elif sampler == "ddim":
        scheduler = diffusers.DDIMScheduler(**settings, clip_sample=True)
    else:
        least = LEAST if asked == "epsilon" else -math.inf
        scheduler = diffusers.DPMSolverMultistepScheduler(
            **settings, thresholding=True, sample_max_value=1.0, lambda_min_clipped=least
        )
    with warnings.catch_warnings():
        # Of numpy 2, about how diffusers asks torch for an array.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        if sampler == "ddim":
            scheduler.set_timesteps(steps)
        else:
            scheduler.set_timesteps(timesteps=_trailing(_beginning(scheduler, sampler), steps))
    return scheduler


def _beginning(scheduler: Any, sampler: Sampler) -> int:
    """How many steps lie behind the one that a sampler begins with: all, or as many as it is told of."""
    if sampler == "ddpm":
        return STEPS
    return STEPS - int(torch.searchsorted(scheduler.lambda_t.flip(0), scheduler.config.lambda_min_clipped))


def _trailing(all_steps: int, number: int) -> list[int]:
    """So many of 0 … `all_steps` - 1 as evenly as can be, from the last down, or all there are. diffusers itself comes
    to one below 0 where rounding leaves a little of its last stride (61, 103, 121 …)."""
    number = min(number, all_steps)
    return [round(all_steps - place * all_steps / number) - 1 for place in range(number)]
