"""The small network for sound: loudness, silence and padding change nothing, and a toy is solved."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from pervade.core.contracts import Inputs, Pixels, Waveform
from pervade.core.errors import ConfigError
from pervade.models.sound_cnn import SoundCNN
from pervade.nn.backbone import Backbone
from pervade.nn.mel import LogMel

INPUTS = Waveform(8000, 4000, True)
SMALL = SoundCNN(bands=16, width=8, features=16, dropout=0.0)


def network(spec: SoundCNN = SMALL, inputs: Inputs = INPUTS) -> Backbone:
    torch.manual_seed(0)
    return spec.build(inputs, {"logits": 3})


def waves(samples: int = 4000, rows: int = 3) -> torch.Tensor:
    torch.manual_seed(1)
    return 0.1 * torch.randn(rows, 1, samples)


def moved(net: nn.Module) -> nn.Module:
    """With statistics and offsets that are not those of a new network."""
    torch.manual_seed(2)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.bias, 0, 0.3)
    return net.eval()


@pytest.mark.parametrize("samples", [1000, 2450, 2500, 2613, 3999])
@pytest.mark.parametrize("normalise", ["level", "bands", "mean", "none"])
def test_padding_changes_nothing(samples: int, normalise: str) -> None:
    net = moved(network(SoundCNN(bands=15, width=8, features=16, normalise=normalise)))
    x = waves()
    mask = torch.arange(4000)[None].expand(3, 4000) < torch.tensor([[4000], [samples], [700]])
    with torch.no_grad():
        padded, alone = net(x, mask=mask)["logits"][1], net(x[1:2, :, :samples])["logits"][0]
    assert torch.allclose(padded, alone, atol=1e-5)


def test_rows_of_a_batch_do_not_matter_to_one_another() -> None:
    net, x = moved(network()), waves()
    with torch.no_grad():
        whole, alone = net(x)["logits"], torch.cat([net(row[None])["logits"] for row in x])
    assert torch.allclose(whole, alone, atol=1e-6)


def test_level_does_not_hear_how_loud_a_recording_is_or_how_quiet_the_room() -> None:
    layer = LogMel(8000, 16, normalise="level")
    x = torch.zeros(1, 1, 4000)
    x[0, 0, 1000:3000] = 0.3 * torch.sin(torch.arange(2000.0) * 0.8)
    plain, louder, noisy = (layer(each)[0] for each in (x, 2 * x, x + 1e-6 * torch.randn(x.shape)))
    assert torch.allclose(plain, louder, atol=1e-3)
    assert torch.allclose(plain, noisy, atol=1e-2)
    assert torch.equal(layer(torch.zeros(1, 1, 4000))[0], torch.zeros(1, 16, 50))


def test_level_keeps_the_spectrum_of_the_whole() -> None:
    """What "bands" takes away: whether a steady tone is high or low."""
    tones = torch.sin(torch.arange(4000.0) * torch.tensor([[0.3], [1.5]]))[:, None]
    level = LogMel(8000, 16, normalise="level")(tones)[0].mean(2)
    assert (level[0] - level[1]).abs().max() > 1


def test_hides_in_training_only() -> None:
    net, x = network(), waves()
    net.eval()
    assert torch.equal(net(x)["logits"], net(x)["logits"])
    net.body.hide.train()
    assert not torch.equal(net(x)["logits"], net(x)["logits"])


def test_stages() -> None:
    net = network(SoundCNN(bands=16, width=8, stages=3, depth=2))
    found = net.stages()
    assert len(found) == 7  # stem, six blocks; what comes after them belongs to the last
    seen = [id(p) for stage in found for p in stage.parameters()]
    assert sorted(seen) == sorted(id(p) for p in net.body.parameters())


@pytest.mark.parametrize(
    ("spec", "inputs", "message"),
    [
        (
            SMALL,
            Pixels((3, 32, 32), (0.5,) * 3, (0.25,) * 3),
            "sound-cnn reads sound, not pictures; for pictures take resnet18",
        ),
        (SoundCNN(low=300.0, high=200.0), INPUTS, "model.high 200 Hz must be above model.low 300 Hz"),
        (
            SoundCNN(low=600.0),
            replace(INPUTS, rate=1000),
            r"model.low 600 Hz must be below half of domain.rate \(500 Hz",
        ),
    ],
)
def test_what_it_cannot_read(spec: SoundCNN, inputs: Inputs, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        spec.build(inputs, {"logits": 2})


@pytest.mark.parametrize("rate", [1000, 8000, 48_000])
@pytest.mark.parametrize("samples", [2, 500, 48_000])
def test_any_rate_and_length(rate: int, samples: int) -> None:
    net = network(SMALL, Waveform(rate, samples, True)).eval()
    assert torch.isfinite(net(waves(samples))["logits"]).all()


def test_learns_whether_a_tone_rises_or_falls() -> None:
    """At any height, loudness and place: only the way matters."""
    torch.manual_seed(0)
    time = torch.arange(2000) / 8000

    def draw(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        target = torch.randint(0, 2, (rows,))
        start, way = 600 + 1200 * torch.rand(rows, 1), (2 * target[:, None] - 1) * 1600
        wave = torch.sin(2 * torch.pi * (start * time + way * time.square() / 2))
        x = torch.zeros(rows, 1, 4000)
        for row, at in enumerate(torch.randint(0, 2000, (rows,)).tolist()):
            x[row, 0, at : at + 2000] = wave[row] * float(torch.rand(()) + 0.05)
        return x + 0.01 * torch.randn(rows, 1, 4000), target

    net = SMALL.build(INPUTS, {"logits": 2})
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    for _ in range(60):
        x, target = draw(32)
        loss = nn.functional.cross_entropy(net(x)["logits"], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, target = draw(200)
    with torch.no_grad():
        assert (net.eval()(x)["logits"].argmax(1) == target).float().mean() > 0.95
