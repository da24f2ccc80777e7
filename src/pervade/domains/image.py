"""Pictures: read from folders or tables, scaled, cropped, flipped.

The one path from a file to a model's input, for training's end as for prediction: decode (data/image/pictures.py),
scale the shorter side to `stored_side`, make numbers of more than 8 bits grey by one `range`, cut the middle `size` x
`size` (or several `views`, whose answers are averaged), or take in all of it, as `fit` says. Training cuts elsewhere,
flips and distorts (data/image/distort.py). Normalisation is the model's first layer (nn/normalise.py), so the input
stays in pixels of 0-1.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.random import Generator
from PIL import Image as Pillow
from pydantic import Field

from pervade.core.bounds import Count, Deviation, Finite
from pervade.core.contracts import Domain, InputSpace, Pixels, TensorSpec, asking
from pervade.core.contracts.deployment import ROWS
from pervade.core.errors import ConfigError, DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Example, LeftOut, Media, Rows
from pervade.core.words import DomainWords
from pervade.data.image import distort, mirrored, pictures
from pervade.data.read import account, embedded, inputs, label_names, listing, tables, targets
from pervade.data.read.targets import Kind
from pervade.data.rows import cache

if TYPE_CHECKING:
    from torch import nn

    from pervade.nn.framing import Framing

# Where a quarter of the pictures are longer than so many times their width, the middle square says too little of them:
# photographs are 4:3 or 3:2, films 16:9 and wider.
FAR = 5 / 3
WAYS = {
    "crop": "the middle square",
    "pad": "padded to a square",
    "squash": "made square",
    "tiles": "squares side by side",
}
BEYOND = 0.01  # of a picture's pixels: where more lie outside the range that was learnt, that is said
FILE_COLUMNS = (
    *("image", "file_name", "file", "img", "path", "filename", "filepath", "picture", "image_path", "image_id"),
    *("img_id", "image_name", "img_name", "image_file", "image_filename", "img_path", "file_path", "photo", "fname"),
    "id",  # where its values are the names of pictures that are there
)


def contents(file_column: str | None = None) -> tables.Files:
    """What a data set of pictures holds; `file_column` of a table names them, unless it is found."""
    return tables.Files("picture", tuple(pictures.SUFFIXES), FILE_COLUMNS, file_column)


@register("domain")
@dataclass(frozen=True)
class Image(Domain):
    reads: ClassVar[str] = "pictures"
    wording: ClassVar[DomainWords] = DomainWords(
        ("picture", "pictures"), modality="image", whole={"fit": ("pad", "squash", "tiles"), "crop_area": ("1.0",)}
    )
    size: Annotated[int, Field(ge=4, le=4096)] = 96  # height and width that the model sees, pixels
    # Training may see a smaller picture: what it cuts out looks larger than in a whole picture, so a network that was
    # trained on 64 pixels reads 80 better than 64, at two thirds of the cost of training on 80 (Touvron et al. 2019,
    # arXiv:1906.06423). A share of `size`; only for networks that take any size.
    train_scale: Annotated[float, Field(ge=0.25, le=1.0)] = 1.0
    margin: Annotated[float, Field(ge=1.0, le=2.0)] = 8 / 7  # the shorter side is scaled to size x margin: 224 from 256
    # What is seen of a picture that is not square: the middle square; all of it, in the middle of a square; all of it,
    # made square; squares side by side, whose answers are averaged. A file and -o call it "fit", as a method is called
    # here. None: pad where the training split is FAR from square, else crop
    framing: Literal["crop", "pad", "squash", "tiles"] | None = field(default=None, metadata={"name": "fit"})
    channels: Literal[1, 3] = 3  # 3 colours or 1 grey
    # Of pictures of numbers (more than 8 bits), what is black and what white; None: learnt from the training split
    range: tuple[Finite, Finite] | None = None
    crop_area: Annotated[float, Field(gt=0.0, le=1.0)] = 0.35  # smallest share of the picture that training cuts out;
    # 1: pieces of the full scale, moved only
    crop_ratio: Annotated[float, Field(ge=1.0, le=4.0)] = 4 / 3  # longest side of that by its shortest, at most
    # Training moves a picture by up to so many pixels across and down; what is missing at its edge is mirrored there.
    shift: Annotated[int, Field(ge=0, le=64)] = 0
    # Training mirrors every second picture; off where left and right differ (digits, letters). None: as the training
    # split says (data/image/mirrored.py).
    flip: bool | None = True
    augment: bool = True  # off: training sees what evaluation sees, all its views
    brightness: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0  # training multiplies by up to 1 +- this
    contrast: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0  # likewise, the distance from the mean grey
    saturation: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0  # likewise, the distance from the pixel's grey
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0  # turned by up to +- this, of a full circle of colours
    grey: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0  # probability of taking the colours away
    rand_augment: Annotated[int, Field(ge=0, le=14)] = 0  # random operations, one after another (data/image/distort.py)
    rand_magnitude: Annotated[int, Field(ge=0, le=30)] = 9  # their strength
    erase: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0  # probability of covering a rectangle with the mean colour
    views: Literal[1, 2, 5, 10] = 1  # evaluation and prediction average over: the middle; and mirrored; the corners and
    # the middle; and those mirrored (unless flip is off). They take that many times as long, validation among them, and
    # training where it is not augmented
    target: Kind = "class"  # what a row's target is (data/read/targets.py): class, labels, number or identity
    label_column: str | None = None  # of a table; None: found by name
    file_column: str | None = None  # likewise
    suffix: str | None = None  # how the names of the files that are learnt from end, where others (masks) lie beside
    separator: str | None = None  # what parts the labels of one cell of a table; None: found by looking
    join_spellings: bool = (
        False  # labels that differ in case, width and blanks alone are one (data/read/label_names.py)
    )
    positive: str | None = None  # of two classes the one that is looked for; None: the last in their order
    label_pattern: str | None = None  # what of a file's name is its label (data/read/patterns.py); None: its folder
    group_pattern: str | None = None  # likewise, what pictures that belong together have in common
    group_column: str | None = None  # or the column of a table that says so; None: found by name
    split_column: str | None = None  # or the column of a table that says which split a row is in; "none" for none
    labels: tuple[str, ...] = ()  # learnt from the training split
    counts: tuple[Count, ...] = ()  # its rows of each label
    rows: Count = 0  # all its rows
    scale: tuple[Finite, Deviation] = (0.0, 1.0)  # mean and deviation of its targets, where these are numbers
    mean: tuple[Finite, ...] = ()  # of the training pixels, by channel, 0-1
    deviation: tuple[Deviation, ...] = ()

    def __post_init__(self) -> None:
        if self.range and self.range[0] > self.range[1]:
            low, high = self.range
            raise ConfigError(f"range goes from {low:g} down to {high:g}; give what is black first, then what is white")

    @property
    def stored_side(self) -> int:
        return round(self.size * self.margin)

    @property
    def _training_side(self) -> int:
        return round(self.size * self.train_scale)

    @property
    def repeats(self) -> bool:
        return not self.augment

    # reading

    def read(self, source: Any) -> tuple[Rows, list[LeftOut]]:
        """A folder or table with labels."""
        rows, left_out = listing.read(source, contents(self.file_column), self.wanted)
        rows, left_out = self._of_one_kind(rows, left_out) if "path" in rows else (rows, left_out)
        return label_names.settle(rows, self.target, self.join_spellings, self.positive, self.labels), left_out

    def _of_one_kind(self, rows: Rows, left_out: list[LeftOut]) -> tuple[Rows, list[LeftOut]]:
        """Those whose names end in `suffix`; where none is asked for it is said that pictures stand beside others of
        the same name."""
        if self.suffix is None:
            doubles = pictures.twins(rows.column("path"))
            if doubles:
                first, *others = next(iter(doubles.values()))[0]
                folders = [listing.shown(Path(Path(folder).name)) for folder in sorted(doubles)]
                where = ", ".join(folders[:5]) + (" …" if len(folders) > 5 else "")
                account.note(
                    f"{sum(map(len, doubles.values())):,} pictures (in {where}) stand beside others of the same name "
                    f"({first} and {', '.join(others)}: masks or copies?), and all are learnt from",
                    f"-o domain.suffix={first}",
                )
            names = pictures.stems(map(str, rows.column("path")))
            if "bundle" not in rows and len(set(names)) < len(set(rows.column("path"))):
                account.note("groups: pictures of the same name and another ending stay in one split")
                rows = rows.with_columns(bundle=names)
            return rows, left_out
        end = "." + self.suffix.lower().lstrip(".")
        asked = [str(path).lower().endswith(end) for path in rows.column("path")]
        lost = [LeftOut(str(rows.column("id")[i]), f"not one of {end}") for i, wanted in enumerate(asked) if not wanted]
        if len(lost) == len(rows):
            raise DataError(f"no picture's name ends in {end}, as domain.suffix asks; the first is {lost[0].source}")
        return rows.select([i for i, wanted in enumerate(asked) if wanted]), left_out + lost

    def asked(self, given: str, number: int = 1) -> Iterable[tables.Record | LeftOut]:
        """A file, a table or a folder."""
        return inputs.files(given, contents(self.file_column))

    def fields(self) -> tuple[asking.Field, ...]:
        return (asking.Field("input", "picture", "Picture", tuple(sorted(pictures.SUFFIXES))),)

    def sent(self, given: Mapping[str, Any], name: str, number: int = 1) -> dict[str, Any] | LeftOut:
        return {"id": name, "path": given["input"]}

    @property
    def wanted(self) -> tables.Wanted:
        """What is to be read from a table."""
        patterns = self.label_pattern, self.group_pattern, self.group_column, self.split_column
        return tables.Wanted(self.target, self.label_column, self.separator, *patterns)

    def prepare(
        self, rows: Rows, progress: Callable[[int, int], None], keep: bool = True
    ) -> tuple[Rows, list[LeftOut]]:
        """Adds "pixels" (from the cache where `keep`), their "shape", and "hash"; leaves out what cannot be decoded."""
        if not keep:
            made = [cache.tried(path, self._decode, pictures.PictureFault) for path in rows.column("path")]
            good = [i for i, entry in enumerate(made) if not isinstance(entry, str)]
            left_out = [LeftOut(str(rows.column("id")[i]), e) for i, e in enumerate(made) if isinstance(e, str)]
            rows = rows.select(good).with_columns(pixels=[made[i] for i in good])
            self._warn_of_values(rows)
            return rows, left_out
        total = 2 * len(rows)
        paths = list(rows.column("path"))
        hashes = cache.hash_files(paths, lambda done, _: progress(done, total))
        readable = [i for i, digest in enumerate(hashes) if digest is not None]
        left_out = [
            LeftOut(str(rows.column("id")[i]), "the file cannot be opened; look at its permissions")
            for i, digest in enumerate(hashes)
            if digest is None
        ]
        digests = [str(hashes[i]) for i in readable]
        transform = {
            "side": self.stored_side,
            "channels": self.channels,
            "longest": self._longest,
            "decoder": pictures.decoder(),
        }
        pixels, reasons, shapes = cache.decoded(
            [paths[i] for i in readable],
            digests,
            lambda path: cache.tried(path, self._decode, pictures.PictureFault, again=True),
            transform,
            lambda done, of: progress(len(rows) + done * len(rows) // max(of, 1), total),
        )
        good = [k for k, reason in enumerate(reasons) if reason is None]
        left_out += [
            LeftOut(str(rows.column("id")[readable[k]]), reason)
            for k, reason in enumerate(reasons)
            if reason is not None
        ]
        if not good:
            raise DataError(f"no picture can be read; the first, {left_out[0].source}: {left_out[0].reason}")
        kept = rows.select([readable[k] for k in good])
        columns: dict[str, Sequence[Any]] = {"hash": [digests[k] for k in good], "shape": [shapes[k] for k in good]}
        if all(pixels[k] is not None for k in good):
            columns["pixels"] = [pixels[k] for k in good]
        return kept.with_columns(**columns), left_out

    def _decode(self, path: str) -> np.ndarray:
        """(h, w, channels) uint8, as the cache keeps it; of pictures of numbers (h, w, PACKED), their bytes."""
        made = pictures.decode(embedded.read(path), self.stored_side, self.channels, self._longest)
        return made if made.dtype == np.uint8 else made.view(np.uint8)

    @property
    def _longest(self) -> int:
        return pictures.TILES if self.framing == "tiles" else pictures.LONGEST

    def _warn_of_values(self, rows: Rows) -> None:
        """Of new pictures: that numbers lie outside of what was learnt from."""
        outside = []
        for name, pixels in zip(rows.column("id"), rows.column("pixels"), strict=True):
            if pixels.shape[-1] == pictures.PACKED:
                values = pixels.view(np.float32)
                low, high = self.range or (np.inf, -np.inf)
                if ((values < low) | (values > high)).mean() > BEYOND:
                    outside.append(f"{name}, has {values.min():g} to {values.max():g}")
        known = (
            "{:g} to {:g} is known, and what lies beyond is clipped".format(*self.range)
            if self.range
            else (
                "the model has learnt from pictures of 8 bits alone, and takes 0 for black, and 1 or 65,535 for white"
            )
        )
        if outside:
            many = f"{len(outside):,} of {len(rows):,} pictures"
            cache.warn(f"other numbers than were learnt from are in {many}: {known} (the first, {outside[0]})")

    # learning from the training split

    def describe(self, train: Rows) -> None:
        """What pictures of numbers become, and how much is seen of those that are not square."""
        shapes = self._shapes(train)
        numbers = sum(shape[-1] == pictures.PACKED for shape in shapes)
        if numbers:
            low, high = self._range(train, shapes) or (0.0, 0.0)
            becomes = f"{low:g} and less becomes black, {high:g} and more white"
            becomes = becomes if low < high else f"all of these are {low:g}, and black"
            others = len(shapes) - numbers
            rest = f"; {others:,} others have 8 bits and stay as they are" if others else ""
            account.note(
                f"{numbers:,} of {len(shapes):,} training pictures hold numbers of more than 8 bits: {becomes}{rest}",
                "-o domain.range=[LOW,HIGH]",
            )
        if self.flip is None:
            mirrors = self._settled(train, shapes).flip
            how_many, like = ("every second picture", "like") if mirrors else ("no picture", "unlike")
            of_class = " of their class" if len(set(map(str, train.column("target")))) > 1 else ""
            account.note(
                f"training mirrors {how_many}: mirrored ones look {like} the others{of_class}",
                "-o domain.flip=true|false",
            )
        if shapes:
            how = self._framing(shapes)
            seen = [self._share_seen(max(shape[:2]) / min(shape[:2]), how) for shape in shapes]
            usual, least = np.median(seen), min(seen)
            worst = f" (of the one of which least is seen {least:.0%})" if least < usual else ""
            account.note(
                f"seen of a picture when it is judged: {usual:.0%}{worst}, {WAYS[how]}",
                "-o domain.fit=crop|pad|squash|tiles",
            )

    def fit(self, train: Rows) -> Image:
        """What targets have to be known by, how pictures are framed, the range of those of numbers, and the mean and
        deviation of the pixels (of all pictures; of 2,000 and more only every second, third and so on, so that 1,000
        to 1,999 are looked at)."""
        learnt = targets.learn(self.target, train.column("target"), self.positive)
        shapes = self._shapes(train)
        known = self._settled(train, shapes)
        step = max(len(train) // 1000, 1)
        count, total, squares = 0, np.zeros(self.channels), np.zeros(self.channels)
        for position in range(0, len(train), step):
            pixels = known._pixels(train[position]).reshape(-1, self.channels)
            # Integer sums of each of the 256 levels are exact, so they do not depend on the order of adding.
            levels = np.arange(256, dtype=np.float64)
            for channel in range(self.channels):
                histogram = np.bincount(pixels[:, channel], minlength=256)
                total[channel] += histogram @ levels
                squares[channel] += histogram @ levels**2
            count += len(pixels)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 1.0))  # at least one level: all-black pictures exist
        return replace(
            known,
            **vars(learnt),
            mean=tuple(float(round(value / 255, 6)) for value in mean),
            deviation=tuple(float(round(value / 255, 6)) for value in deviation),
        )

    def _shapes(self, train: Rows) -> list[tuple[int, ...]]:
        """Of each picture as it is stored."""
        return list(train.column("shape")) if "shape" in train else [self._stored(row).shape for row in train]

    def _framing(self, shapes: Sequence[tuple[int, ...]]) -> Literal["crop", "pad", "squash", "tiles"]:
        far = np.quantile([max(shape[:2]) / min(shape[:2]) for shape in shapes], 0.75) > FAR
        return self.framing or ("pad" if far else "crop")

    def _range(self, train: Rows, shapes: Sequence[tuple[int, ...]]) -> tuple[float, float] | None:
        """Of 2,000 pictures of numbers and more only every second, third and so on are looked at."""
        numbers = [position for position, shape in enumerate(shapes) if shape[-1] == pictures.PACKED]
        if self.range or not numbers:
            return self.range
        some = (self._stored(train[position]).view(np.float32) for position in numbers[:: max(len(numbers) // 1000, 1)])
        return pictures.spread([(float(values.min()), float(values.max())) for values in some])

    def _settled(self, train: Rows, shapes: Sequence[tuple[int, ...]]) -> Image:
        """With what is left open learnt from the training split. To know whether to mirror, of 2,000 pictures and more
        only every second, third and so on are looked at, each as 16 x 16 pixels."""
        settled = replace(self, framing=self._framing(shapes), range=self._range(train, shapes))
        if self.flip is not None:
            return settled
        some = train.select(range(0, len(train), max(len(train) // 1000, 1)))
        small = [self._picture(settled._seen(settled._pixels(row))).resize((16, 16)) for row in some]
        classes = [str(target) if self.target == "class" else "" for target in some.column("target")]
        return replace(settled, flip=mirrored.alike(np.stack([self._array(picture) for picture in small]), classes))

    def _share_seen(self, ratio: float, how: str) -> float:
        """Of a picture so many times as long as wide."""
        if how == "tiles":
            return min(pictures.TILES / ratio, 1.0)
        if how != "crop":
            return 1.0
        part = self.size / self.stored_side
        if self.views < 5:
            return part * part / ratio
        # Of five views the corners' meet in the middle of the shorter side; the one in the middle lies between them.
        return min((2 * part + part * min(max(ratio - 2 * part, 0.0), part)) / ratio, 1.0)

    def inputs(self) -> Pixels:
        side = self._training_side
        training = (self.channels, side, side) if self.augment and side != self.size else None
        return Pixels((self.channels, self.size, self.size), self.mean, self.deviation, training)

    def preprocessor(self) -> dict[str, Any]:
        """As CLIP's. A picture that is scaled already comes out bit for bit, another within the rounding of scaling."""
        lacking = [f"{self.views} views, whose answers are averaged"] if self.views > 1 else []
        lacking += ["grey pictures"] if self.channels == 1 else []
        lacking += [f"pictures that are {WAYS[self.framing]}"] if self.framing in ("pad", "tiles") else []
        if lacking:
            raise ConfigError(f"preprocessors of transformers do not know {', '.join(lacking)}; take --format onnx")
        side = {"height": self.size, "width": self.size}
        whole = self.framing == "squash"
        return {
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "size": side if whole else {"shortest_edge": self.stored_side},
            "resample": int(Pillow.Resampling.BILINEAR),
            "do_center_crop": not whole,
            "crop_size": side,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.deviation),
        }

    # examples

    def _stored(self, row: dict[str, Any]) -> np.ndarray:
        pixels = row.get("pixels")
        return self._decode(row["path"]) if pixels is None else pixels

    def _pixels(self, row: dict[str, Any]) -> np.ndarray:
        """(h, w, channels) uint8."""
        stored = self._stored(row)
        if stored.shape[-1] != pictures.PACKED:
            return stored
        return pictures.grey(stored.view(np.float32), self.range, self.channels)

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """Input (size, size, c) uint8; `collate` makes it pixels of 0-1. Raises DataError at a picture gone bad."""
        pixels = self._opened(row)
        cuts = self._views(pixels) if rng is None or not self.augment else [self._augmented(pixels, rng)]
        known = self._target_of(row)
        return [{"input": cut, **known} for cut in cuts]

    def _opened(self, row: dict[str, Any]) -> np.ndarray:
        try:
            return self._pixels(row)
        except (pictures.PictureFault, OSError) as fault:
            raise DataError(f"{row['id']} cannot be read any more: {fault}; put the data back") from None

    def _target_of(self, row: dict[str, Any]) -> Example:
        """ "target" as examples hold it; nothing where the row has none."""
        if "target" not in row:
            return {}
        learnt = targets.Learnt(self.labels, self.counts, self.rows, self.scale)
        return {"target": targets.encode(self.target, row["target"], learnt, row["id"])}

    def _cut(self, pixels: np.ndarray, top: int, left: int, side: int | None = None) -> np.ndarray:
        side = side or self.size
        return pixels[top : top + side, left : left + side]

    def _middle(self, pixels: np.ndarray) -> np.ndarray:
        return self._cut(pixels, (pixels.shape[0] - self.size) // 2, (pixels.shape[1] - self.size) // 2)

    def _all_of_it(self, pixels: np.ndarray, side: int) -> np.ndarray:
        fill = [round(255 * value) for value in self.mean] or [128] * self.channels
        return self._array(pictures.fitted(self._picture(pixels), str(self.framing), side, fill))

    def _canvas(self, pixels: np.ndarray) -> np.ndarray:
        """What training, and views that are not the middle, cut from: its shorter side is at least `stored_side`."""
        if self.framing in ("pad", "squash"):
            return self._all_of_it(pixels, self.stored_side)
        long, short = max(pixels.shape[:2]), min(pixels.shape[:2])
        if long <= self._longest * short and short >= self.size:
            return pixels
        return self._array(pictures.shorter(self._picture(pixels), self.stored_side, self._longest))

    def _seen(self, pixels: np.ndarray) -> np.ndarray:
        """What a model sees of it: `size` x `size`, where it is in tiles as many of these side by side as it takes."""
        if self.framing in (None, "crop"):
            return self._middle(self._canvas(pixels))
        return self._all_of_it(pixels, self.size)

    def _tiles(self, whole: np.ndarray) -> list[np.ndarray]:
        """Squares that overlap by half, or by less where that takes more than TILES."""
        height, width, _ = whole.shape
        beyond = max(height, width) - self.size
        count = min(1 + -(-beyond // max(self.size // 2, 1)), pictures.TILES)
        starts = np.linspace(0, beyond, count).round().astype(int)
        return [self._cut(whole, *((start, 0) if height > width else (0, start))) for start in starts]

    def _views(self, pixels: np.ndarray) -> list[np.ndarray]:
        """What is averaged when evaluating: the middle first; ten as in Krizhevsky et al. 2012."""
        cuts = [self._seen(pixels)]
        if self.framing == "tiles":
            cuts = self._tiles(cuts[0])
        elif self.views >= 5:
            pixels = self._canvas(pixels)
            bottom, right = pixels.shape[0] - self.size, pixels.shape[1] - self.size
            cuts += [self._cut(pixels, top, left) for top in (0, bottom) for left in (0, right)]
        return cuts + [cut[:, ::-1] for cut in cuts] if self.views in (2, 10) and self.flip else cuts

    def _augmented(self, pixels: np.ndarray, rng: Generator) -> np.ndarray:
        pixels = self._moved(self._canvas(pixels), rng)
        picture = self._random_crop(pixels, rng)
        if self.flip and rng.random() < 0.5:
            picture = picture.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
        fill = [round(255 * value) for value in self.mean] or [128] * self.channels
        if self.rand_augment:
            picture = distort.rand_augment(picture, rng, self.rand_augment, self.rand_magnitude, fill)
        if self.brightness or self.contrast or self.saturation or self.hue:
            picture = distort.jitter(picture, rng, self.brightness, self.contrast, self.saturation, self.hue)
        if self.grey:
            picture = distort.grey(picture, rng, self.grey)
        if self.erase:
            picture = distort.erase(picture, rng, self.erase, fill)
        return self._array(picture)

    def _moved(self, pixels: np.ndarray, rng: Generator) -> np.ndarray:
        if not self.shift:
            return pixels
        for axis in (0, 1):
            length = pixels.shape[axis]
            places = np.arange(length) + rng.integers(-self.shift, self.shift + 1)
            pixels = pixels.take(length - 1 - np.abs(length - 1 - np.abs(places)), axis, mode="clip")
        return pixels

    def _random_crop(self, pixels: np.ndarray, rng: Generator) -> Pillow.Image:
        height, width, _ = pixels.shape
        side = self._training_side
        if self.crop_area == 1.0:
            top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
            return self._picture(self._cut(pixels, top, left, side))
        # Szegedy et al. 2014: a share of the area, a ratio of 3:4 to 4:3, scaled to the size of the input.
        short = min(height, width)
        area = rng.uniform(self.crop_area, 1.0) * short * short
        ratio = np.exp(rng.uniform(-np.log(self.crop_ratio), np.log(self.crop_ratio)))
        box_width, box_height = min(np.sqrt(area * ratio), width), min(np.sqrt(area / ratio), height)
        left, top = rng.uniform(0, width - box_width), rng.uniform(0, height - box_height)
        box = (left, top, left + box_width, top + box_height)
        return self._picture(pixels).resize((side, side), Pillow.Resampling.BILINEAR, box=box)

    def _picture(self, pixels: np.ndarray) -> Pillow.Image:
        return Pillow.fromarray(pixels if self.channels == 3 else pixels[:, :, 0])

    def _array(self, picture: Pillow.Image) -> np.ndarray:
        return np.asarray(picture).reshape(picture.height, picture.width, self.channels)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """ "input" (n, c, h, w) in 0-1, laid out channels last as convolutions on a processor like it."""
        import torch

        stacked = np.stack([example["input"] for example in examples])
        pixels = torch.from_numpy(stacked).permute(0, 3, 1, 2).to(torch.float32).div_(255.0)
        return {"input": pixels, **self._targets(examples)}

    def _targets(self, examples: Sequence[Example]) -> Batch:
        if "target" not in examples[0]:
            return {}
        return {"target": targets.stack(self.target, [example["target"] for example in examples])}

    # where it leaves this project

    def takes(self) -> tuple[TensorSpec, ...]:
        """One picture, of any size: what comes before the network is in the graph."""
        self._require_few_views()
        colours = "red, green, blue" if self.channels == 3 else "grey"
        said = f"pictures of any size, upright, {colours} of 0-255; of other sizes, one at a time"
        return (TensorSpec("pixels", "uint8", (ROWS, "height", "width", self.channels), said),)

    def _require_few_views(self) -> None:
        if self.framing == "tiles" or self.views > 2:
            several = "fit=tiles" if self.framing == "tiles" else f"views={self.views}"
            raise ConfigError(
                f"a picture is answered by several cuts of it ({several}), and a graph holds one and its mirror image; "
                "train with -o domain.fit=crop and -o domain.views=2, or use `pervade predict`"
            )

    def entrance(self) -> nn.Module:
        return self._framing_module()

    def fed_alike(self, other: Domain) -> bool:
        """The same picture, decoded and scaled alike."""
        told = ("size", "margin", "framing", "channels", "range", "mean")
        return isinstance(other, Image) and all(getattr(self, name) == getattr(other, name) for name in told)

    def _framing_module(self) -> Framing:
        from pervade.nn.framing import Framing  # registers an operator, for a tenth of a second

        how, fill = self.framing or "crop", [round(255 * value) for value in self.mean]
        mirrored = self.views == 2 and bool(self.flip)
        return Framing(how, self.stored_side, self.size, pictures.LONGEST, fill, mirrored)

    def feeds(self, row: dict[str, Any]) -> list[dict[str, np.ndarray]]:
        """The picture decoded and scaled: what its middle is cut from, or what is seen of it."""
        pixels = self._opened(row)
        return [{"pixels": (self._canvas(pixels) if self.framing in (None, "crop") else self._seen(pixels))[None]}]

    def specimen(self) -> dict[str, np.ndarray]:
        height, width = self.stored_side + 8, self.stored_side + 24
        return {"pixels": np.full((2, height, width, self.channels), 128, np.uint8)}

    # looking inside

    def input_space(self) -> InputSpace:
        return InputSpace(0.0, 1.0, "pixel, 0-255", 255.0)

    def show(self, row: dict[str, Any], prediction: dict[str, Any] | None) -> list[Media]:
        """What the model sees of the picture, as a PNG."""
        buffer = io.BytesIO()
        self._picture(self._seen(self._pixels(row))).save(buffer, format="PNG")
        return [Media("png", buffer.getvalue(), str(row["id"]))]
