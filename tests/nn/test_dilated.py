"""Causal dilated convolutions, and the queues that make one sample at the cost of one pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pervade.core.contracts import Codes, Tokens
from pervade.core.errors import ConfigError
from pervade.models.wavenet import WaveNet, WaveNetwork
from pervade.nn.dilated import DilatedStack, dilations
from pervade.nn.queues import SoundSampling, draw, go_on
from pervade.testing import check_model

INPUTS = Codes(1000, 256, 8, 3, 2, 4)


def network(**settings: int) -> WaveNetwork:
    torch.manual_seed(0)
    spec = WaveNet(**{"channels": 8, "skip": 16, "longest": 8, "stacks": 2, **settings})
    made = spec.build(INPUTS, {"logits": 256}).eval()
    assert isinstance(made, WaveNetwork)
    return made


def sounds(rows: int, length: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return {
        "codes": torch.randint(0, 256, (rows, length), generator=random),
        "class": torch.arange(rows) % 4,
        "speaker": torch.arange(rows) % 3,
        "local": torch.randn(rows, -(-length // 8), 4, generator=random),
    }


def test_the_dilations_double() -> None:
    assert dilations(8, 2) == [1, 2, 4, 8, 1, 2, 4, 8]
    # 1 + 2 (1 + 2 + 4 + 8), and of WaveNet's own 1 … 512, three times, 1 + 3 x 1023.
    assert DilatedStack(4, 4, dilations(8, 2), 2).receptive_field == 31
    assert DilatedStack(4, 4, dilations(512, 3), 2).receptive_field == 3070


def test_an_output_sees_just_its_receptive_field() -> None:
    """Changing sample t changes no output before it, and the last that it changes is t + 30: 31 with itself."""
    net, input = network().double(), sounds(1, 80)
    input["local"] = input["local"].double()
    before = net(input)["logits"][0]
    changed = {**input, "codes": input["codes"].clone()}
    changed["codes"][0, 20] = (changed["codes"][0, 20] + 100) % 256
    differs = (net(changed)["logits"][0] != before).any(1).nonzero()[:, 0].tolist()
    assert differs[0] == 20
    assert differs[-1] == 20 + 30 == 20 + net.receptive_field - 1


def test_layers_by_their_formula() -> None:
    """tanh(a) sigmoid(b), what is handed on and what is skipped by torch's convolution, with all gradients."""
    torch.manual_seed(0)
    rows, time, channels, told = 3, 12, 4, 5
    stack = DilatedStack(channels, 6, [1, 2, 16, 4], told).double()
    x = torch.randn(time, rows, channels, dtype=torch.float64, requires_grad=True)
    condition = torch.randn(4, rows, told, dtype=torch.float64, requires_grad=True)

    def plain() -> torch.Tensor:
        scale = torch.tensor([-0.5] * channels + [1.0] * channels, dtype=torch.float64)
        here, found = x.permute(1, 2, 0), []
        conditions = stack.condition(condition).repeat_interleave(3, 0).permute(1, 2, 0).chunk(4, 1)
        for layer, dilation, held in zip(stack.layers, stack.dilations, conditions, strict=True):
            weight = torch.stack([layer.before, layer.now], 2) * scale[:, None, None]
            padded = F.pad(here, (dilation, 0))
            a, b = (F.conv1d(padded, weight, dilation=dilation) + held * scale[:, None]).chunk(2, 1)
            z = a.tanh() * b.sigmoid()
            found.append(z)
            here = here if layer.out is None else here + F.conv1d(z, layer.out.weight[..., None])
        return F.conv1d(torch.cat(found, 1), stack.skip.weight[..., None], stack.skip.bias).permute(2, 0, 1)

    made, expected = stack(x, condition), plain()
    assert torch.allclose(made, expected, atol=1e-12)
    weights = torch.randn(made.shape, dtype=torch.float64)
    given = [x, condition, *stack.parameters()]
    found, wanted = (torch.autograd.grad((each * weights).sum(), given) for each in (made, expected))
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(found, wanted, strict=True))


def test_half_precision_is_near() -> None:
    """In bfloat16, as in training, what comes out differs by a hundredth."""
    net, input = network(channels=32), sounds(2, 64)
    exact = net(input)["logits"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = net(input)["logits"].float()
    assert float((rough - exact).detach().norm() / exact.detach().norm()) < 0.02


def test_dilations_beyond_the_sound() -> None:
    assert network(longest=64)(sounds(2, 16))["logits"].isfinite().all()


def test_conditions_are_heard() -> None:
    net, input = network(), sounds(2, 40)
    before = net(input)["logits"]
    for name in ("class", "speaker"):
        assert not torch.equal(net({**input, name: input[name] + 1})["logits"], before)
    local = input["local"].clone()
    local[:, 2] += 1  # samples 16 to 23
    found = net({**input, "local": local})["logits"]
    assert torch.equal(found[:, :16], before[:, :16])
    assert not torch.equal(found[:, 16], before[:, 16])


def test_it_keeps_the_contract() -> None:
    batch = {"row": torch.arange(2), "input": sounds(2, 24)}
    batch["input"]["class"], batch["input"]["speaker"] = torch.tensor([1, 2]), torch.tensor([1, 2])
    check_model(WaveNet(8, 16, 8, 1), INPUTS, {"logits": 256}, batch)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="power of two"):
        WaveNet(longest=100)
    with pytest.raises(ConfigError, match="text-to-audio"):
        WaveNet().build(Tokens(50, 16, pooled=False, causal=True), {"logits": 50})


@pytest.mark.parametrize("settings", [SoundSampling(), SoundSampling(0), SoundSampling(1.0, top_p=0.5)])
def test_queues_make_what_recomputing_everything_makes(settings: SoundSampling) -> None:
    net, input, length = network(), sounds(3, 96), 90
    told = {name: each for name, each in input.items() if name != "codes"}
    told["local"] = told["local"][:, :12]
    made = go_on(net, told, length, settings, 128)
    chance = np.stack([np.random.default_rng([0, row]).random(length) for row in range(3)], 1)
    codes = np.full((3, 1), 128)
    for time in range(length):
        so_far = {**told, "codes": torch.from_numpy(codes), "local": told["local"][:, : time // 8 + 1]}
        with torch.inference_mode():
            logits = net(so_far)["logits"][:, -1].numpy()
        codes = np.concatenate([codes, draw(logits, chance[time], settings)[:, None]], 1)
    assert (codes[:, 1:] == made).all()


def test_a_sound_does_not_depend_on_those_beside_it() -> None:
    net, input = network(), sounds(3, 64)
    told = {name: each for name, each in input.items() if name != "codes"}
    together = go_on(net, told, 64, SoundSampling(), 128)
    alone = go_on(net, {name: each[1:2] for name, each in told.items()}, 64, SoundSampling(), 128, [1])
    assert (together[1] == alone[0]).all()
    assert (go_on(net, told, 64, SoundSampling(seed=1), 128) != together).any()


def test_draws_by_hand() -> None:
    logits = np.log(np.float32([[0.5, 0.3, 0.2]]))
    drawn = [int(draw(logits, np.array([u]), SoundSampling(1.0))[0]) for u in (0.0, 0.49, 0.51, 0.79, 0.81, 0.999)]
    assert drawn == [0, 0, 1, 1, 2, 2]
    # The likeliest that together have 0.6 are the first two, which then share 0.8.
    narrow = [int(draw(logits, np.array([u]), SoundSampling(1.0, top_p=0.6))[0]) for u in (0.6, 0.65, 0.999)]
    assert narrow == [0, 1, 1]
