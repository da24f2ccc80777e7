"""What training does to pixels: each operation against torchvision's, and against what the words promise."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from pervade.core import spec
from pervade.core.contracts import Domain
from pervade.core.errors import ConfigError
from pervade.data.image import distort
from pervade.domains.image import Image

FILL = [120, 110, 90]
AMOUNTS = {
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
    "grey": 0.5,
    "rand_augment": 2,
    "erase": 1.0,
}


def picture(mode: str = "RGB", side: int = 32, seed: int = 0) -> Pillow.Image:
    """Smooth and colourful, dark to bright."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Pillow.fromarray(noise).resize((side, side + 4), Pillow.Resampling.BICUBIC).convert(mode)


@dataclass(frozen=True)
class Holder:
    """As a recipe holds a domain."""

    domain: Domain


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def apart(one: Pillow.Image, other: Pillow.Image) -> int:
    """Most grey levels that two pictures differ by."""
    assert one.mode == other.mode and one.size == other.size
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other)).max())


def domain(**settings) -> Image:
    return Image(size=16, labels=("a", "b"), mean=(0.5, 0.4, 0.3), deviation=(0.2,) * 3, **settings)


def row(seed: int = 0) -> dict:
    pixels = np.asarray(picture(side=20, seed=seed))
    pixels.flags.writeable = False
    return {"id": "x", "row": 0, "pixels": pixels, "target": "b"}


def example(domain: Image, seed: int = 0) -> np.ndarray:
    (only,) = domain.transform(row(), rng(seed))
    assert only["target"] == 1 and only["input"].shape == (16, 16, domain.channels)
    return only["input"]


class TestTone:
    @pytest.mark.parametrize("mode", ["RGB", "L"])
    @pytest.mark.parametrize("by", [0.0, 0.3, 0.9, 1.0, 1.4, 2.0])
    def test_each_alone(self, mode: str, by: float) -> None:
        before = picture(mode)
        assert apart(distort.tone(before, brightness=by), F.adjust_brightness(before, by)) <= 1
        assert apart(distort.tone(before, contrast=by), F.adjust_contrast(before, by)) <= 1
        if mode == "RGB":
            assert apart(distort.tone(before, saturation=by), F.adjust_saturation(before, by)) <= 1

    @pytest.mark.parametrize("seed", range(20))
    def test_all_at_once_in_any_order(self, seed: int) -> None:
        """Torchvision one after another, in floats and in a middle range, where it cuts nothing off in between."""
        flat = np.asarray(picture(seed=seed)) // 4 + 80
        factors = dict(
            zip(("brightness", "contrast", "saturation"), rng(seed).uniform(0.6, 1.4, 3).tolist(), strict=True)
        )
        ours = F.pil_to_tensor(distort.tone(Pillow.fromarray(flat), **factors))
        for order in itertools.permutations(factors):
            theirs = torch.from_numpy(flat).permute(2, 0, 1) / 255
            for name in order:
                theirs = getattr(F, f"adjust_{name}")(theirs, factors[name])
            assert (ours - 255 * theirs).abs().max() < 0.7

    def test_cut_off_once(self) -> None:
        """Twice as bright and half as far from the mean of 100: 180 becomes 2 * (0.5 * 180 + 50) = 280, cut to 255."""
        pixels = np.full((4, 4), 100, dtype=np.uint8)
        pixels[0, :2] = 20, 180
        changed = np.asarray(distort.tone(Pillow.fromarray(pixels), brightness=2.0, contrast=0.5))
        assert changed[0].tolist() == [120, 255, 200, 200]


class TestJitter:
    def test_no_amount_is_the_picture_itself(self) -> None:
        before = picture()
        assert distort.jitter(before, rng()) is before

    @pytest.mark.parametrize("seed", range(5))
    def test_factors_come_from_the_generator(self, seed: int) -> None:
        before, draw = picture(seed=seed), rng(seed)
        toned = distort.tone(before, draw.uniform(0.7, 1.3), draw.uniform(0.6, 1.4), draw.uniform(0.5, 1.5))
        assert apart(distort.jitter(before, rng(seed), 0.3, 0.4, 0.5), toned) == 0
        turned = F.adjust_hue(toned, draw.uniform(-0.2, 0.2))
        assert apart(distort.jitter(before, rng(seed), 0.3, 0.4, 0.5, hue=0.2), turned) == 0

    def test_an_amount_fills_its_range(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found: list[float] = []
        monkeypatch.setattr(distort, "tone", lambda p, b, c, s: found.append(c) or p)
        draw = rng()
        for _ in range(1000):
            distort.jitter(picture(), draw, contrast=0.4)
        assert 0.6 <= min(found) < 0.61 and 1.39 < max(found) <= 1.4
        assert abs(np.mean(found) - 1) < 0.03

    def test_a_grey_picture_has_no_colours_to_change(self) -> None:
        assert apart(distort.jitter(picture("L"), rng(), saturation=0.9, hue=0.5), picture("L")) == 0

    def test_grey(self) -> None:
        assert apart(distort.grey(picture(), rng(), 1.0), F.rgb_to_grayscale(picture(), num_output_channels=3)) <= 1
        assert apart(distort.grey(picture(), rng(), 0.0), picture()) == 0
        changed = [apart(distort.grey(picture(), rng(seed), 0.3), picture()) > 0 for seed in range(200)]
        assert 40 < sum(changed) < 80


TORCHVISION = {
    "identity": "Identity",
    "shear-x": "ShearX",
    "shear-y": "ShearY",
    "translate-x": "TranslateX",
    "translate-y": "TranslateY",
    "rotate": "Rotate",
    "brightness": "Brightness",
    "saturation": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterize": "Posterize",
    "solarize": "Solarize",
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
}


class TestRandAugment:
    @pytest.mark.parametrize("mode", ["RGB", "L"])
    @pytest.mark.parametrize("name", distort.OPERATIONS)
    def test_every_operation_is_torchvisions(self, name: str, mode: str) -> None:
        reference, before = v2.RandAugment(), picture(mode)
        fill = FILL if mode == "RGB" else FILL[:1]
        strengths, signed = reference._AUGMENTATION_SPACE[TORCHVISION[name]]
        for magnitude in (0, 9, 17, 30):
            table = strengths(31, before.height, before.width)
            for sign in (1, -1) if signed else (1,):
                amount = 0.0 if table is None else sign * float(table[magnitude])
                wanted = reference._apply_image_or_video_transform(
                    before, TORCHVISION[name], amount, v2.InterpolationMode.NEAREST, {type(before): fill}
                )
                assert apart(distort.operate(before, name, magnitude, sign < 0, fill), wanted) == 0

    def test_the_list_is_torchvisions(self) -> None:
        assert set(TORCHVISION.values()) == set(v2.RandAugment._AUGMENTATION_SPACE)
        assert set(TORCHVISION) == set(distort.OPERATIONS)
        signed = {name for name, (_, _, signed) in distort.OPERATIONS.items() if signed}
        assert signed == {n for n, theirs in TORCHVISION.items() if v2.RandAugment._AUGMENTATION_SPACE[theirs][1]}

    def test_none_changes_nothing(self) -> None:
        before = picture()
        assert distort.rand_augment(before, rng(), 0, 30, FILL) is before

    def test_every_operation_comes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[tuple[str, bool]] = []
        monkeypatch.setattr(distort, "operate", lambda p, name, m, negative, f: seen.append((name, negative)) or p)
        distort.rand_augment(picture(), rng(), 1000, 9, FILL)
        assert {(name, sign) for name in distort.OPERATIONS for sign in (True, False)} == set(seen)


class TestErase:
    def test_the_rectangle_has_the_fill(self) -> None:
        """The same as torchvision's erase with our rectangle."""
        for seed in range(20):
            before, draw = picture(), rng(seed)
            draw.random()
            left, top, right, bottom = distort.rectangle(before.width, before.height, draw)
            colour = torch.tensor(FILL, dtype=torch.uint8)[:, None, None]
            wanted = F.erase(F.pil_to_tensor(before), top, left, bottom - top, right - left, colour)
            erased = distort.erase(before, rng(seed), 1.0, FILL)
            assert torch.equal(F.pil_to_tensor(erased), wanted)
            assert 0.01 < (right - left) * (bottom - top) / (before.width * before.height) < 0.36

    def test_grey(self) -> None:
        assert (
            np.asarray(distort.erase(picture("L"), rng(), 1.0, [7])).tolist().count(7) == 0
        )  # rows, not single pixels
        assert (np.asarray(distort.erase(picture("L"), rng(), 1.0, [7])) == 7).sum() > 20

    def test_probability(self) -> None:
        erased = [distort.erase(picture(), rng(seed), 0.25, FILL) != picture() for seed in range(200)]
        assert 30 < sum(erased) < 70

    def test_too_narrow_for_any(self) -> None:
        narrow = Pillow.new("RGB", (1, 40))
        assert apart(distort.erase(narrow, rng(), 1.0, FILL), narrow) == 0


class TestTheDomain:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("name", AMOUNTS)
    def test_each_setting_acts_alone_and_repeats(self, name: str, channels: int) -> None:
        grey = np.asarray(picture("L", side=20))[:, :, None]
        plain = Image(size=16, labels=("a", "b"), mean=(0.5,) * channels, channels=channels)
        given = {**row(), **({"pixels": grey} if channels == 1 else {})}
        with_it = replace(plain, **{name: AMOUNTS[name]})
        pairs = [
            [each.transform(given, rng(seed))[0]["input"] for each in (with_it, with_it, plain)] for seed in range(20)
        ]
        assert all(np.array_equal(once, twice) for once, twice, _ in pairs)
        colours_only = channels == 1 and name in ("saturation", "hue", "grey")
        assert any(not np.array_equal(once, without) for once, _, without in pairs) != colours_only
        assert np.array_equal(with_it.transform(given, None)[0]["input"], plain.transform(given, None)[0]["input"])

    def test_all_at_once(self) -> None:
        everything = domain(**AMOUNTS)
        assert len({example(everything, seed).tobytes() for seed in range(10)}) == 10
        assert np.array_equal(example(everything, 3), example(everything, 3))

    def test_no_amount_leaves_crop_and_flip(self) -> None:
        """The same draws in the same order as without these settings: a seed keeps its meaning."""
        plain = domain()
        for seed in range(10):
            draw = rng(seed)
            cut = plain._random_crop(row()["pixels"], draw)
            flipped = np.asarray(cut)[:, ::-1] if draw.random() < 0.5 else np.asarray(cut)
            assert np.array_equal(example(plain, seed), flipped)

    def test_torchs_generator_is_left_alone(self) -> None:
        before = torch.get_rng_state()
        example(domain(**AMOUNTS))
        assert torch.equal(torch.get_rng_state(), before)

    def test_off(self) -> None:
        still = domain(augment=False, **AMOUNTS)
        assert np.array_equal(example(still), still.transform(row(), None)[0]["input"])

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("brightness", -0.1),
            ("contrast", 1.1),
            ("saturation", "much"),
            ("hue", 0.6),
            ("grey", 2),
            ("rand_augment", 15),
            ("rand_augment", 1.5),
            ("rand_magnitude", 31),
            ("erase", -1),
            ("views", 3),
        ],
    )
    def test_bad_values_are_refused(self, name: str, value: object) -> None:
        with pytest.raises(ConfigError, match=f"domain.{name}.*{value}"):
            spec.decode({"domain": {"use": "image", name: value}}, Holder)


class TestViews:
    def test_where_they_look(self) -> None:
        """A picture of 20 x 24 looked at through 16 x 16; a pixel is 10 * its row + its column."""
        numbers = (np.arange(24)[:, None] * 10 + np.arange(20)).astype(np.uint8)
        given = {"id": "x", "row": 0, "pixels": np.stack([numbers] * 3, axis=2)}

        def corners(views: int) -> list[tuple[int, int]]:
            return [tuple(each["input"][0, [0, -1], 0].tolist()) for each in domain(views=views).transform(given, None)]

        top = [(y, x) for y, x in [(4, 2), (0, 0), (0, 4), (8, 0), (8, 4)]]
        plain = [((10 * y + x) % 256, (10 * y + x + 15) % 256) for y, x in top]
        assert corners(1) == plain[:1]
        assert corners(2) == [plain[0], plain[0][::-1]]
        assert corners(5) == plain
        assert corners(10) == plain + [each[::-1] for each in plain]

    def test_five_and_ten_are_torchvisions(self) -> None:
        before = picture(side=20)
        given = {"id": "x", "row": 0, "pixels": np.asarray(before)}
        for views, crops in ((5, v2.FiveCrop(16)), (10, v2.TenCrop(16))):
            ours = {each["input"].tobytes() for each in domain(views=views).transform(given, None)}
            assert ours == {np.asarray(each).tobytes() for each in crops(before)}

    def test_training_has_one_where_it_augments(self) -> None:
        assert len(domain(views=10).transform(row(), rng())) == 1
        plain = domain(views=10, augment=False)  # training sees what evaluation sees
        seen, wanted = plain.transform(row(), rng()), plain.transform(row(), None)
        assert len(seen) == len(wanted) == 10
        assert all(np.array_equal(one["input"], other["input"]) for one, other in zip(seen, wanted, strict=True))

    @pytest.mark.parametrize(("views", "left"), [(1, 1), (2, 1), (5, 5), (10, 5)])
    def test_no_mirror_where_left_and_right_differ(self, views: int, left: int) -> None:
        assert len(domain(views=views, flip=False).transform(row(), None)) == left
