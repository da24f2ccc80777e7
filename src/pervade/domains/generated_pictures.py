"""Pictures to learn to make others like them: read, scaled and cut as those that are judged (domains/image.py), with
their class where they are made by class, and the number by which the one beside each is made.

A folder of pictures without classes is enough; classes that are there are kept, so that a judge can learn them.
Training sees a picture cut as it is measured, and mirrored where that makes no difference: what is made looks like what
was seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.random import Generator
from PIL import Image as Pillow
from pydantic import Field

from pervade.core.contracts import Canvas, asking
from pervade.core.errors import ConfigError, DataError, nearest
from pervade.core.registry import register
from pervade.core.types import Batch, Example, LeftOut, Rows
from pervade.data.image import pictures
from pervade.data.read import account, label_names, listing
from pervade.data.rows import split as splits
from pervade.domains.image import Image, contents

LARGEST_SEED = 2**31 - 1  # as of `pervade predict --seed`
WITHOUT = "to make pictures like these of no class, leave out --condition label"


@register("domain")
@dataclass(frozen=True)
class GeneratedPictures(Image):
    reads: ClassVar[str] = "pictures to be made"
    graphless: ClassVar[str] = (
        "pictures are made of noise or codes, in steps that a graph does not hold; take --format diffusers for a "
        "network that takes noise away, or use `pervade predict`"
    )
    given: ClassVar[str] = "--number 64 -o FOLDER"
    size: Annotated[int, Field(ge=4, le=4096)] = 32  # height and width of what is made, pixels
    margin: Annotated[float, Field(ge=1.0, le=2.0)] = 1.0
    crop_area: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    flip: bool | None = None
    condition: Literal["none", "label"] = "none"  # what is said of a picture when it is made: nothing, or its class
    # None: grey where all training pictures are, else colours
    channels: Literal[1, 3] | None = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        asked = {"target": self.target != "class", "views (--tta)": self.views > 1}
        asked |= {"fit=tiles": self.framing == "tiles", "train_scale": self.train_scale != 1.0}
        if wrong := [name for name, differs in asked.items() if differs]:
            raise ConfigError(
                f"{', '.join(wrong)}: a picture that is made is whole, of one size and one class at most; leave it out"
            )

    # reading

    def read(self, source: Any) -> tuple[Rows, list[LeftOut]]:
        """A folder or table, with labels or without. Raises DataError where there are none by which to make."""
        by_label = self.condition == "label"
        wanted = replace(self.wanted, unlabelled=not by_label, without_classes=WITHOUT)
        rows, left_out = listing.read(source, contents(self.file_column), wanted)
        rows, left_out = self._of_one_kind(rows, left_out) if "path" in rows else (rows, left_out)
        # Of two classes none is the one that is looked for, as with people.
        rows = label_names.settle(rows, "identity", self.join_spellings, known=self.labels)
        kept, single = splits.without_single(rows)
        if by_label:
            classes = set(kept.column("target"))
            if len(classes) < 2:
                there = f"{next(iter(classes))!r} is the only one that has" if classes else "none has"
                raise DataError(
                    f"{source}: --condition label makes pictures by class, of two classes with two pictures each at "
                    f"least, and {there} as many; leave it out, or sort the pictures into class folders"
                )
            return kept, left_out + single
        if single or ("target" in rows and len(set(rows.column("target"))) < 2):
            account.note("labels: not kept, as these tell no two classes of two pictures and more apart")
            rows = splits.without(rows, "target")
        return rows, left_out

    def prepare(
        self, rows: Rows, progress: Callable[[int, int], None], keep: bool = True
    ) -> tuple[Rows, list[LeftOut]]:
        """In colours until it is known that there are none. Pictures that are to be made need nothing."""
        if "path" not in rows:
            return rows, []
        if self.channels is None:
            return replace(self, channels=3).prepare(rows, progress, keep)
        return super().prepare(rows, progress, keep)

    def asked(self, given: str, number: int = 1) -> Iterable[dict[str, Any] | LeftOut]:
        """A picture to be made, of the label `given`, or of any where it is empty, by the number of those before it."""
        why = self._unknown(given) if given else None
        if why is not None:
            return [LeftOut(given, why)]
        return [{"id": given or f"picture {number}", "target": given or None, "seed": number - 1}]

    def fields(self) -> tuple[asking.Field, ...]:
        """A label, which may be empty, and a seed."""
        return (asking.Field("input", "label", "Label"), asking.Field("seed", "seed", "Seed"))

    def sent(self, given: Mapping[str, Any], name: str, number: int = 1) -> dict[str, Any] | LeftOut:
        seed = given["seed"]
        if not seed.isdecimal() or len(seed) > 10 or int(seed) > LARGEST_SEED:
            return LeftOut(seed, f"a seed is a whole number from 0 to {LARGEST_SEED}")
        return next(iter(self.asked(given["input"], int(seed) + 1)))

    def unasked(self, number: int, labels: Sequence[str]) -> Iterator[str]:
        """What `asked` is to be given for so many pictures: the `labels` in turn, or all that it makes pictures of.
        Raises ConfigError where it makes none of a label."""
        for label in labels:
            if (why := self._unknown(label)) is not None:
                raise ConfigError(why)
        return itertools.islice(itertools.cycle(labels or self.classes or ("",)), number)

    def _unknown(self, label: str) -> str | None:
        """Why it cannot make this, None where it can."""
        if self.condition == "none":
            return f"it makes pictures of no label ({label!r} is asked for); train by class with --condition label"
        if label not in self.labels:
            return f"it learnt no label {label!r}; {nearest(label, self.labels)}"
        return None

    # learning from the training split

    @property
    def classes(self) -> tuple[str, ...]:
        """By which pictures are made; none where nothing is said of them."""
        return self.labels if self.condition == "label" else ()

    def describe(self, train: Rows) -> None:
        settled = replace(self, channels=self._colours(train))
        super(GeneratedPictures, settled).describe(_with_target(train))
        if self.channels is None:
            how = "grey, as all training pictures are" if settled.channels == 1 else "in colours"
            account.note(f"pictures are made {how}", "-o domain.channels=1|3")

    def fit(self, train: Rows) -> GeneratedPictures:
        settled = replace(self, channels=self._colours(train))
        fitted: Any = super(GeneratedPictures, settled).fit(_with_target(train))
        return fitted if "target" in train else replace(fitted, labels=(), counts=())

    def _colours(self, train: Rows) -> Literal[1, 3]:
        if self.channels is not None:
            return self.channels
        coloured = replace(self, channels=3)
        return 1 if all(_is_grey(coloured._stored(row)) for row in train) else 3

    def inputs(self) -> Canvas:  # type: ignore[override]
        return Canvas((self.channels or 3, self.size, self.size), len(self.classes))

    # examples

    def _pixels(self, row: dict[str, Any]) -> np.ndarray:
        """(h, w, channels) uint8; what was stored before it was known to be grey has three, all alike or not."""
        pixels = super()._pixels(row)
        if pixels.shape[-1] == self.channels:
            return pixels
        return np.asarray(Pillow.fromarray(pixels).convert("L"))[:, :, None]

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        """Input (size, size, c) uint8, "class" and "seed", its number; of a row that is to be made the latter alone."""
        if "path" not in row:
            return [self._target_of(row)]
        return super().transform(row, rng)

    def _target_of(self, row: dict[str, Any]) -> Example:
        """ "class" is 1 for the first label, 0 where nothing is said of it."""
        label, seed = row.get("target"), int(row.get("seed", row["row"]))
        if not self.classes or label is None:
            return {"class": 0, "seed": seed}
        return {"class": 1 + super()._target_of(row)["target"], "seed": seed}

    def _augmented(self, pixels: np.ndarray, rng: Generator) -> np.ndarray:
        """Cut as it is measured, unless pieces are asked for."""
        return super()._augmented(self._seen(pixels) if self.crop_area == 1.0 else pixels, rng)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """ "input": {"pixels" (n, c, h, w) in 0-1, "class" (n,)}, without pixels where these are to be made, and "seed"
        (n,)."""
        given = {"class": torch.tensor([example["class"] for example in examples])}
        if "input" in examples[0]:
            given["pixels"] = super().collate(examples)["input"]
        return {"input": given, "seed": torch.tensor([example["seed"] for example in examples])}

    def input_space(self) -> None:  # type: ignore[override]
        return None


def _with_target(rows: Rows) -> Rows:
    """Rows as those of a single class, where they have none."""
    return rows if "target" in rows else rows.with_columns(target=["picture"] * len(rows))


def _is_grey(stored: np.ndarray) -> bool:
    if stored.shape[-1] in (1, pictures.PACKED):
        return True
    red, green, blue = np.moveaxis(stored, -1, 0)
    return bool((red == green).all() and (green == blue).all())
