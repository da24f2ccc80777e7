"""Options that several verbs share, and how their texts are read."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated

import typer


def finite(value: float | None) -> float | None:
    """Of an option that takes a number: nan is above no bound and below none, so ranges let it pass."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number")
    return value


RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run: its folder, or its name inside --runs.")]
SaveEveryOption = Annotated[
    float,
    typer.Option(
        "--save-every", min=0, max=10**8, callback=finite, metavar="SECONDS", help="How often the state is saved."
    ),
]
RunsOption = Annotated[Path, typer.Option("--runs", help="The folder that holds the runs.")]
CheckpointOption = Annotated[
    str | None, typer.Option("--checkpoint", help="Which checkpoint; best if there is one, else last.")
]


def _trust(yes: bool) -> None:
    from pervade.core import trust

    trust.allow(yes)


TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        callback=_trust,
        help="Run code that comes with a model (auto_map in its config.json), or that a run names (an environment, "
        "module:Class), this once. It is said which; read it first: it can do anything that you can.",
    ),
]
TextColumnOption = Annotated[
    str | None,
    typer.Option(
        help="Tables of texts, or of recordings and what is said in them: which column holds the text (a,b for pairs, "
        "a+b for one text out of both)."
    ),
]
FileColumnOption = Annotated[
    str | None, typer.Option(help="Tables of pictures or recordings: which column names the files.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]

LONGEST = 1e8  # seconds; three years
LONGEST_WAIT = 86_400.0  # seconds
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def rate(text: str | None) -> float | str | None:
    """A learning rate, or "find". Raises ConfigError."""
    from pervade.core.errors import ConfigError

    if text is None or text == "find":
        return text
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--lr {text!r} is no number; write for example 0.01, or find") from None


def seconds(text: str | None) -> float | None:
    """A duration such as 90, 90s, 10m or 1.5h in seconds. Raises ConfigError."""
    from pervade.core.errors import ConfigError

    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text)
    if match is None or match[2] not in UNITS or not 0 < float(match[1]) * UNITS[match[2]] <= LONGEST:
        raise ConfigError(
            f"--time-limit {text!r} is not a duration; write for example 90s, 10m or 1.5h, 27,777h at most"
        )
    return float(match[1]) * UNITS[match[2]]


def waiting(flag: str, text: str) -> float:
    """How long a server waits for something, such as 5ms or 30s, in seconds. Raises ConfigError.

    >>> waiting("--max-wait", "5ms")
    0.005
    """
    from pervade.core.errors import ConfigError

    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text)
    units = {**UNITS, "ms": 0.001}
    if match is None or match[2] not in units or float(match[1]) * units[match[2]] > LONGEST_WAIT:
        raise ConfigError(f"{flag} {text!r} is not a duration; write for example 5ms, 0.5s or 2m, 24h at most")
    return float(match[1]) * units[match[2]]


def folds_of(text: str | None) -> int | str | None:
    """A number of folds, or "group" or "column". Raises ConfigError."""
    from pervade.core.errors import ConfigError

    if text in (None, "group", "column"):
        return text
    if not re.fullmatch(r"-?\d{1,9}", text):
        raise ConfigError(f"--folds {text!r} is neither a number nor 'group' nor 'column'; write for example 5")
    return int(text)


def shares_of(flag: str, texts: list[str] | None) -> dict[str, float] | None:
    """Shares by class, of NAME=0.95 or, by no name, of 0.95. Raises ConfigError.

    >>> shares_of("--min-recall", ["a=b, c=0.95", "0.9"])
    {'a=b, c': 0.95, '': 0.9}
    """
    from pervade.core.errors import ConfigError

    shares: dict[str, float] = {}
    for text in texts or ():
        name, equals, number = text.rpartition("=")
        try:
            share = float(number)
        except ValueError:
            share = math.nan
        if math.isnan(share) or bool(equals) != bool(name):
            raise ConfigError(f"{flag} {text!r} is no share; write NAME=0.95, or 0.95 for the positive class of two")
        if name in shares:
            raise ConfigError(f"{flag} is given twice for {name or 'the positive class'!r}; leave one out")
        shares[name] = share
    return shares or None
