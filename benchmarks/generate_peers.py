"""The other sides of benchmarks/generate.py: each learns from a folder of PNGs for some seconds, and writes pictures.

    python benchmarks/generate_peers.py diffusers TRAIN MADE [--seconds 900] [--number 5000] [--seed 0]
    python benchmarks/generate_peers.py dcgan     TRAIN MADE …

diffusers: UNet2DModel, DDPMScheduler (linear, 1,000 steps, epsilon), AdamW, cosine schedule after 500 steps of warm-up,
moving average and accelerate, with the settings of its example for unconditional generation (train_unconditional.py:
learning rate 1e-4, betas 0.95 and 0.999, decay 1e-6, average by inv_gamma 1 and power 3/4, batches of 16). Its network
of 113 million weights would see a few thousand pictures in the time, so it gets one of about four million. It samples
by DDIM in 50 steps, since 1,000 would take longer than the training.

dcgan: the networks and settings of Radford et al. 2016 (arXiv:1511.06434), one stage less, as pictures are 32 x 32.

The last line is JSON: steps, pictures seen, seconds of training and of making.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (32, 64, 128)  # of UNet2DModel's blocks: 3.9 million weights
SIDE = 32
NOISE = 100
AT_ONCE = 250  # pictures that are made together


def pictures(folder: Path) -> Tensor:
    """(n, c, h, w) of -1..1, all PNGs below the folder."""
    arrays = [np.asarray(Image.open(path)) for path in sorted(folder.rglob("*.png"))]
    stacked = np.stack([array[..., None] if array.ndim == 2 else array for array in arrays])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1


def batches(data: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Pass after pass, without an end, mirrored where that makes no other picture: nobody knows here, so never."""
    while True:
        order = torch.randperm(len(data), generator=generator)
        for start in range(0, len(data) - size + 1, size):
            yield data[order[start : start + size]]


def write(made: Tensor, folder: Path, first: int) -> None:
    """`made` (n, c, h, w) of -1..1, as PNGs that are numbered from `first`."""
    pixels = ((made.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    for number, array in enumerate(pixels, first):
        Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(folder / f"{number:05d}.png")


def diffusers_network(channels: int) -> Any:
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=SIDE,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=2,
        block_out_channels=WIDTHS,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    )


def diffusers_side(data: Tensor, made: Path, options: argparse.Namespace) -> dict[str, Any]:
    from accelerate import Accelerator
    from diffusers import DDIMScheduler, DDPMScheduler
    from diffusers.optimization import get_cosine_schedule_with_warmup
    from diffusers.training_utils import EMAModel

    accelerator = Accelerator(cpu=True)
    network = diffusers_network(data.shape[1])
    average = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    source = batches(data, 16, torch.Generator().manual_seed(options.seed))
    rate: Any = None
    began, steps, planned = time.monotonic(), 0, 20  # how many there will be is known after some
    network, optimizer = accelerator.prepare(network, optimizer)
    while (spent := time.monotonic() - began) < options.seconds:
        if steps == planned and rate is None:
            total = round(steps * options.seconds / spent)
            rate = get_cosine_schedule_with_warmup(optimizer, min(500, total // 10), total)
        clean = next(source)
        noise, when = torch.randn_like(clean), torch.randint(0, 1000, (len(clean),))
        loss = F.mse_loss(network(scheduler.add_noise(clean, noise, when), when).sample, noise)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if rate is not None:
            rate.step()
        average.step(network.parameters())
        steps += 1
    trained = time.monotonic() - began
    average.copy_to(network.parameters())
    sampler = DDIMScheduler.from_config(scheduler.config)
    sampler.set_timesteps(50)
    generator, began = torch.Generator().manual_seed(options.seed), time.monotonic()
    network.eval()
    with torch.inference_mode():
        for first in range(0, options.number, AT_ONCE):
            number = min(AT_ONCE, options.number - first)
            sample = torch.randn((number, *data.shape[1:]), generator=generator)
            for when in sampler.timesteps:
                sample = sampler.step(network(sample, when).sample, when, sample).prev_sample
            write(sample, made, first)
    return {"steps": steps, "seen": 16 * steps, "trained": trained, "made": time.monotonic() - began}


def dcgan_networks(channels: int) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator, with first weights of deviation 0.02."""
    width = 64

    def up(before: int, after: int, stride: int, padding: int) -> list[nn.Module]:
        turned = nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False)
        return [turned, nn.BatchNorm2d(after), nn.ReLU(True)]

    generator = nn.Sequential(
        *up(NOISE, width * 4, 1, 0),
        *up(width * 4, width * 2, 2, 1),
        *up(width * 2, width, 2, 1),
        nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(width, width * 2, 4, 2, 1, bias=False),
        nn.BatchNorm2d(width * 2),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(width * 2, width * 4, 4, 2, 1, bias=False),
        nn.BatchNorm2d(width * 4),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(width * 4, 1, 4, 1, 0, bias=False),
        nn.Flatten(0),
    )
    for module in [*generator.modules(), *discriminator.modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    return generator, discriminator


def dcgan_side(data: Tensor, made: Path, options: argparse.Namespace) -> dict[str, Any]:
    generator, discriminator = dcgan_networks(data.shape[1])
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    of_generator = torch.optim.Adam(generator.parameters(), **adam)
    of_discriminator = torch.optim.Adam(discriminator.parameters(), **adam)
    source, steps = batches(data, 128, torch.Generator().manual_seed(options.seed)), 0
    ones, zeros = torch.ones(128), torch.zeros(128)
    began = time.monotonic()
    while time.monotonic() - began < options.seconds:
        real, fake = next(source), generator(torch.randn(128, NOISE, 1, 1))
        told = F.binary_cross_entropy_with_logits
        of_discriminator.zero_grad()
        (told(discriminator(real), ones) + told(discriminator(fake.detach()), zeros)).backward()
        of_discriminator.step()
        of_generator.zero_grad()
        told(discriminator(fake), ones).backward()
        of_generator.step()
        steps += 1
    trained, began = time.monotonic() - began, time.monotonic()
    noise = torch.Generator().manual_seed(options.seed)
    with torch.inference_mode():  # in training mode, as the published code makes its pictures
        for first in range(0, options.number, AT_ONCE):
            number = min(AT_ONCE, options.number - first)
            write(generator(torch.randn(number, NOISE, 1, 1, generator=noise)), made, first)
    return {"steps": steps, "seen": 128 * steps, "trained": trained, "made": time.monotonic() - began}


SIDES = {"diffusers": diffusers_side, "dcgan": dcgan_side}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("side", choices=list(SIDES))
    parser.add_argument("train", type=Path)
    parser.add_argument("made", type=Path)
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--number", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    options.made.mkdir(parents=True)
    told = SIDES[options.side](pictures(options.train), options.made, options)
    print(json.dumps({name: round(value, 1) for name, value in told.items()}))


if __name__ == "__main__":
    main()
