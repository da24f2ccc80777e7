"""What a model is given, by its kind: a domain says which, once fitted, and models match on it.

JSON (a checkpoint's architecture.json) is the kind's name over its fields: {"pixels": {"shape": [3, 64, 64], …}}.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

from pervade.core import spec
from pervade.core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

Size: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class Pixels:
    """(n, c, h, w) of 0-1, which a network normalises by the mean and deviation of each channel."""

    called: ClassVar[str] = "pictures"
    shape: Size  # c, h, w
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    training_shape: Size | None = None  # where training sees pictures of another size


@dataclass(frozen=True)
class Waveform:
    """(n, 1, t) of -1..1, and a mask (n, t) where recordings differ in length."""

    called: ClassVar[str] = "sound"
    rate: int  # samples a second
    samples: int | None = None  # that each has; None: any number
    pooled: bool = True  # features of the whole are asked for; False: of every moment
    vocabulary: int | None = None  # of the tokens before each, which a network that writes what it hears is given too


@dataclass(frozen=True)
class Tokens:
    """(n, t) whole numbers, and a mask (n, t) of those that are no padding."""

    called: ClassVar[str] = "text"
    vocabulary: int
    length: int  # at most
    padding: int = 0
    separator: int | None = None  # what parts the texts of a pair, for networks that tell the two apart
    pooled: bool = True  # features of the whole are asked for; False: of every token
    causal: bool = False  # of every token, from those before it alone


@dataclass(frozen=True)
class Codes:
    """{"codes" (n, t), "class" (n,), "speaker" (n,), "local" (n, f, k)}: a sound as whole numbers, and what it is."""

    called: ClassVar[str] = "sound as codes"
    rate: int  # samples a second
    codes: int  # how many there are
    hop: int  # samples of a frame
    classes: int = 0
    speakers: int = 0
    local: int = 0  # numbers that are known of each frame


@dataclass(frozen=True)
class Canvas:
    """{"pixels" (n, c, h, w) of 0-1, "class" (n,)}: pictures to learn to make, and what each is of, 1 to `classes`, 0
    where that is not said. Of pictures that are to be made there are no "pixels"."""

    called: ClassVar[str] = "pictures to be made"
    shape: Size  # c, h, w
    classes: int = 0  # 0: pictures are made without saying what of


@dataclass(frozen=True)
class Observations:
    """(n, *shape): numbers in units of their own, as an environment shows them. Its pictures are `Pixels`."""

    called: ClassVar[str] = "observations that are numbers"
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Sparse:
    """{"places" (n, t), "values" (n, t)}: the numbers of a long row that are not 0, and where in it they stand; what is
    filled up has the value 0."""

    called: ClassVar[str] = "long rows of few numbers"
    size: int


@dataclass(frozen=True)
class Several:
    """Inputs of several kinds, by name."""

    called: ClassVar[str] = "inputs of several kinds"
    parts: Mapping[str, Inputs]


@dataclass(frozen=True)
class InputSpace:
    """Where a model's input may lie, in words of what a person sees, which is `factor` times the input."""

    low: float
    high: float
    unit: str  # "pixel, 0-255"
    factor: float = 1.0

    def project(self, x: Tensor) -> Tensor:
        return x.clamp(self.low, self.high)

    def shown(self, x: Tensor) -> Tensor:
        return x * self.factor

    def meant(self, shown: Tensor) -> Tensor:
        return shown / self.factor


Inputs: TypeAlias = Pixels | Waveform | Tokens | Codes | Canvas | Observations | Sparse | Several
I = TypeVar("I", Pixels, Waveform, Tokens, Codes, Canvas, Observations, Sparse, Several)  # noqa: E741

KINDS: dict[str, type[Inputs]] = {
    kind.__name__.lower(): kind for kind in (Pixels, Waveform, Tokens, Codes, Canvas, Observations, Sparse, Several)
}


def require(inputs: Inputs, kind: type[I], name: str, instead: str = "take another of `pervade models`") -> I:
    """The inputs, if they are of the kind that the model reads. Raises ConfigError where they are of another."""
    if isinstance(inputs, kind):
        return inputs
    raise ConfigError(f"{name} reads {kind.called}, not {inputs.called}; {instead}")


def to_json(inputs: Inputs) -> dict[str, Any]:
    if isinstance(inputs, Several):
        return {"several": {name: to_json(part) for name, part in inputs.parts.items()}}
    return {type(inputs).__name__.lower(): spec.encode(inputs)}


def from_json(record: Mapping[str, Any]) -> Inputs:
    """What `to_json` made, or an older version, which left out the kind. Raises ConfigError where it is neither."""
    match dict(record):
        case {"several": parts}:
            return Several({name: from_json(part) for name, part in parts.items()})
        case {"codes": int()}:
            return spec.decode(record, Codes)
        case {"rate": _}:
            return spec.decode(record, Waveform)
        case {"vocabulary": _, "length": _}:
            causal = "pooled" not in record
            return spec.decode({"pooled": not causal, "causal": causal, **record}, Tokens)
        case {"shape": _, "mean": _}:
            return spec.decode(record, Pixels)
        case {"shape": _}:
            return spec.decode(record, Observations)
    name = next(iter(record), "")
    if name not in KINDS:
        raise ConfigError(f"{name!r} is no kind of input; there are {', '.join(KINDS)}")
    return spec.decode(record[name], KINDS[name])
