"""What is changed of pictures by DiffAugment, and that gradients flow through it."""

from __future__ import annotations

import pytest
import torch

from pervade.nn.diff_augment import CHANGES, colour, cutout, diff_augment, translation


def test_a_picture_is_moved_and_nothing_else() -> None:
    """Every row of a batch of one picture is that picture, moved by up to an eighth of the side, grey where nothing
    was."""
    torch.manual_seed(0)
    picture = torch.rand(1, 2, 16, 24) + 1
    moved = translation(picture.expand(64, -1, -1, -1))
    padded = torch.nn.functional.pad(picture[0], (3, 3, 2, 2))
    places = {(y, x): padded[:, y : y + 16, x : x + 24] for y in range(5) for x in range(7)}
    seen = [next(place for place, there in places.items() if torch.equal(there, one)) for one in moved]
    assert len(set(seen)) > 20
    assert {y for y, _ in seen} == set(range(5))
    assert {x for _, x in seen} == set(range(7))


def test_a_hole_has_half_the_side_where_it_lies_inside() -> None:
    torch.manual_seed(0)
    holes = cutout(torch.ones(200, 3, 8, 8)) == 0
    assert torch.equal(holes[:, 0], holes[:, 2])
    heights, widths = holes[:, 0].any(2).sum(1), holes[:, 0].any(1).sum(1)
    assert torch.equal(heights * widths, holes[:, 0].sum((1, 2)))  # a rectangle
    assert (heights.max(), heights.min()) == (4, 2)  # from the middle at a border: half of it lies outside


def test_colours_by_hand() -> None:
    """The same draws, written out."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 4)
    torch.manual_seed(1)
    changed = colour(x)
    torch.manual_seed(1)
    brightness, saturation, contrast = torch.rand(3, 2).tolist()
    for i in range(2):
        expected = x[i] + brightness[i] - 0.5
        grey = (expected[0] + expected[1] + expected[2]) / 3
        expected = torch.stack([grey + 2 * saturation[i] * (channel - grey) for channel in expected])
        mean = expected.mean()
        torch.testing.assert_close(changed[i], mean + (contrast[i] + 0.5) * (expected - mean))


@pytest.mark.parametrize("change", CHANGES)
def test_gradients_flow_back_to_what_was_changed(change: str) -> None:
    """As finite differences have them, in double precision."""
    torch.manual_seed(0)
    x = torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)

    def changed(pictures: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(2)
        return diff_augment(pictures, [change])

    assert torch.autograd.gradcheck(changed, x)


def test_each_picture_is_changed_by_itself_and_the_same_seed_repeats_it() -> None:
    policy = ("colour", "translation", "cutout")
    pictures = torch.rand(1, 3, 8, 8).expand(4, -1, -1, -1)
    torch.manual_seed(3)
    once = diff_augment(pictures, policy)
    torch.manual_seed(3)
    assert torch.equal(diff_augment(pictures, policy), once)
    assert len({one.numpy().tobytes() for one in once}) == 4
    assert diff_augment(pictures, ()) is pictures
