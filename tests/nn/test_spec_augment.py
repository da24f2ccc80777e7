"""SpecAugment: nothing in evaluation, no more than asked in training, and the recording's ends where they were."""

from __future__ import annotations

import torch

from pervade.nn.spec_augment import SpecAugment, bent, spans, warped


def test_evaluation_passes_everything_on() -> None:
    x = torch.rand(3, 20, 50)
    assert SpecAugment(time_warp=0.1, band_warp=0.1).eval()(x) is x


def test_hides_stretches_and_puts_the_mean_there() -> None:
    torch.manual_seed(0)
    x = torch.rand(64, 20, 50)
    made = SpecAugment(1, 0.2, 0, 0.0)(x)
    changed = (made != x).all(1)
    assert changed.any()
    assert int(changed.sum(1).max()) <= 10
    for row in changed:
        places = row.nonzero()[:, 0]
        assert len(places) == 0 or int(places[-1] - places[0]) == len(places) - 1
    where = changed[:, None].expand_as(x)
    assert torch.allclose(made[where], x.mean((1, 2))[:, None, None].expand_as(x)[where])
    assert torch.equal(made[~where], x[~where])


def test_widths_are_even_up_to_the_largest() -> None:
    torch.manual_seed(0)
    widths = spans(torch.full((20_000, 1), 40.0), 40, 1, 0.1).sum(1)
    shares = torch.bincount(widths, minlength=5) / len(widths)
    assert len(shares) == 5
    assert torch.allclose(shares, torch.full((5,), 0.2), atol=0.015)


def test_bands_are_hidden_too() -> None:
    torch.manual_seed(0)
    x = torch.rand(64, 20, 50)
    changed = (SpecAugment(0, 0.0, 2, 0.2)(x) != x).all(2)
    assert 0 < int(changed.sum(1).max()) <= 8


def test_what_is_beyond_the_recording_stays_and_counts_for_nothing() -> None:
    torch.manual_seed(0)
    counted = torch.arange(50)[None] < torch.tensor([[50], [20]])
    x = torch.rand(2, 20, 50) * counted[:, None]
    layer = SpecAugment(2, 0.3, 2, 0.3, 0.1, 0.1)
    for _ in range(20):
        made = layer(x, counted)
        assert torch.equal(made[1, :, 20:], torch.zeros(20, 30))
        assert torch.isfinite(made).all()


def test_the_same_generator_gives_the_same() -> None:
    x = torch.rand(4, 20, 50)
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(SpecAugment(time_warp=0.1, band_warp=0.1)(x))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_bent_by_hand() -> None:
    """Of 0..10 the middle comes from place 4: the first half is read at 4/5 of the pace, the second at 6/5."""
    at = torch.arange(13.0)
    place, source = torch.full((1, 1), 0.5), torch.full((1, 1), 0.4)
    read = bent(at, torch.full((1, 1), 10.0), place, source)[0]
    expected = [0, 0.8, 1.6, 2.4, 3.2, 4, 5.2, 6.4, 7.6, 8.8, 10, 11, 12]
    assert torch.allclose(read, torch.tensor(expected), atol=1e-5)


def test_warping_moves_what_is_inside_and_keeps_the_ends() -> None:
    torch.manual_seed(0)
    x = torch.arange(20.0)[None, :, None] * torch.ones(64, 1, 50)
    made = warped(x, 0.0, 0.1)
    assert torch.allclose(made[:, 0], x[:, 0], atol=1e-3)
    assert torch.allclose(made[:, -1], x[:, -1], atol=1e-3)
    assert (made[:, 10, 0] / 10).amax() < 1.1 + 1e-3
    assert (made[:, 10, 0] / 10).amin() > 0.9 - 1e-3
    assert (made[:, 10, 0] / 10).std() > 0.03
    x = torch.arange(50.0)[None, None] * torch.ones(64, 20, 1)
    made = warped(x, 0.1, 0.0)
    assert torch.allclose(made[:, :, [0, -1]], x[:, :, [0, -1]], atol=1e-3)
    assert made[:, 0, 25].std() > 1
    assert (made.diff(dim=2) > 0).all()
