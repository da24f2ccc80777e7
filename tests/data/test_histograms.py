"""Pictures as histograms: values worked by hand, and a domain that gives the same of a picture wherever it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from pervade.data import kinds
from pervade.data.image import histograms
from pervade.data.image.histograms import COLOURS, DIRECTIONS, FIELDS, GREYS, PATTERNS, SIDE
from pervade.domains.histograms import Histograms
from pervade.domains.image import Image
from pervade.testing import check_domain
from tests.data.drawing import class_folders, encoded

BLACK, WHITE = COLOURS - GREYS, COLOURS - 1


def plain(*colour: int) -> np.ndarray:
    return np.full((SIDE, SIDE, len(colour)), colour, np.uint8)


def halves() -> np.ndarray:
    """Black on the left, white on the right."""
    picture = plain(0, 0, 0)
    picture[:, SIDE // 2 :] = 255
    return picture


def test_each_kind_is_as_long_as_it_says() -> None:
    found = histograms.of(halves())
    assert [len(kind) for kind in found] == list(histograms.SIZES.values())
    assert histograms.WIDTH == 1322


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (96, 3), (250, 3)])
def test_a_graph_counts_the_same(size: int, channels: Literal[1, 3]) -> None:
    """Of noise, a plain and a coarse picture, which are enlarged, scaled down, and reduced first."""
    domain = Histograms(size=size, margin=1.0, channels=channels, framing="squash", deviations=(0.1, 0.2, 0.3, 0.4))
    noise = np.random.default_rng(0).integers(0, 256, (size, size, channels)).astype(np.uint8)
    rows = [noise, noise // 32 * 32, np.full_like(noise, 9), np.sort(noise, 1)]
    wanted = domain.collate([domain.transform({"id": "a", "pixels": pixels}, None)[0] for pixels in rows])["input"]
    given = domain.entrance()(torch.from_numpy(np.stack(rows)))["input"]
    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-5)


def test_how_much_there_is_of_each_colour() -> None:
    whole, *quarters = histograms.of(halves())[0].reshape(-1, COLOURS)
    assert whole[BLACK] == whole[WHITE] == pytest.approx(np.sqrt(0.5))
    assert np.count_nonzero(whole) == 2
    for quarter, colour in zip(quarters, (BLACK, WHITE, BLACK, WHITE), strict=True):
        assert quarter[colour] == 1
        assert np.count_nonzero(quarter) == 1


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((255, 0, 0), 3),  # strong and light, of the first hue
        ((255, 0, 20), 3),  # just before it on the circle of hues
        ((100, 0, 0), 2),  # strong and dark
        ((200, 150, 150), 1),  # pale and light
        ((0, 0, 255), 23),  # 240 degrees of 360: the sixth of eight hues
        ((120, 120, 130), BLACK + 7),  # too little of a colour: a grey, in the middle
    ],
)
def test_what_a_colour_is_called(colour: tuple[int, int, int], name: int) -> None:
    assert np.flatnonzero(histograms.of(plain(*colour))[0][:COLOURS]).tolist() == [name]


def test_which_way_an_edge_looks() -> None:
    """It is all that is in the middle fields, so each has the most that one direction may have."""
    for picture, direction in ((halves(), 0), (halves()[:, ::-1], 6), (halves().transpose(1, 0, 2), 3)):
        edges = histograms.of(np.ascontiguousarray(picture))[1].reshape(FIELDS, FIELDS, DIRECTIONS)
        fields = edges[:, 2] if direction != 3 else edges[2]
        assert fields[:, direction] == pytest.approx(0.2)
        assert edges.sum() == pytest.approx(0.2 * FIELDS)


def test_edges_do_not_hang_on_how_strong_the_light_is() -> None:
    picture = np.random.default_rng(0).integers(0, 100, (SIDE, SIDE, 1), dtype=np.uint8)
    np.testing.assert_allclose(histograms.of(picture)[1], histograms.of(2 * picture)[1], atol=1e-4)


def test_which_neighbours_are_brighter() -> None:
    """Of 78 columns that have neighbours the last black one has brighter ones, on its right: 00011100."""
    whole = histograms.of(halves())[2][:PATTERNS]
    assert np.flatnonzero(whole).tolist() == [0, 13]  # thirteen uniform patterns are smaller numbers than 28
    assert whole[13] == pytest.approx(np.sqrt(1 / 78))
    assert histograms.of(plain(9, 9, 9))[2][0] == 1


def test_a_grey_picture_is_the_same_in_one_channel_and_in_three() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (50, 60, 1), dtype=np.uint8)
    for one, three in zip(histograms.of(grey), histograms.of(grey.repeat(3, 2)), strict=True):
        np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 1, 1), (2, 3, 3), (300, 4, 3), (5, 900, 1)])
def test_any_picture_has_them(shape: tuple[int, int, int]) -> None:
    found = np.concatenate(histograms.of(np.full(shape, 77, np.uint8)))
    assert found.shape == (histograms.WIDTH,)
    assert np.isfinite(found).all()


def test_every_kind_counts_by_how_many_numbers_it_has() -> None:
    """Numbers of deviations 3 and 4 have 12.5 for their mean variance; what stands still stays as it is."""
    rows = [[np.array([0.0, 8.0]), np.array([5.0])], [np.array([6.0, 0.0]), np.array([5.0])]]
    deviations = kinds.deviations(rows)
    assert deviations == (pytest.approx(np.sqrt(12.5), rel=1e-5), 1.0)
    assert kinds.joined(rows[0], deviations).tolist() == pytest.approx([0, 8 / np.sqrt(12.5), 5], rel=1e-5)


def test_the_domain(tmp_path: Path) -> None:
    fitted, rows = check_domain(Histograms.of(Image(size=16)), class_folders(tmp_path / "data"))
    assert fitted.inputs().shape == (histograms.WIDTH,)
    assert fitted.repeats
    examples = [fitted.transform(row, None)[0] for row in rows]
    together, alone = fitted.collate(examples)["input"], fitted.collate(examples[3:4])["input"]
    assert (together[3] == alone[0]).all()


def test_pictures_of_numbers(tmp_path: Path) -> None:
    """16 bits: black to white is what was learnt of the training split."""
    folder = tmp_path / "data"
    for name, low in (("a", 1000), ("b", 3000)):
        (folder / name).mkdir(parents=True)
        for each in range(3):
            (folder / name / f"{each}.png").write_bytes(encoded(np.full((9, 9), low + each, np.uint16)))
    fitted, rows = check_domain(Histograms.of(Image(size=8, channels=1)), folder)
    darkest = fitted.transform(rows[0], None)[0]["input"] * fitted.deviations[0]
    assert np.flatnonzero(darkest[:COLOURS]).tolist() == [BLACK]
