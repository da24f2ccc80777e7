"""What only some domains have, and a task, a source or an initialiser asks for. A domain has a capability by having its
members, which `isinstance` tells, fitted or not; `able` is for where one is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.random import Generator

from pervade.core.contracts.deployment import TensorSpec
from pervade.core.contracts.domain import Domain
from pervade.core.errors import ConfigError
from pervade.core.types import Batch, Example, Rows

if TYPE_CHECKING:
    from torch.nn import Module

C = TypeVar("C")


# what a row's target is


@runtime_checkable
class Labelled(Protocol):
    @property
    def labels(self) -> tuple[str, ...]:
        """Of the training split, in their order."""
        ...


@runtime_checkable
class Counted(Labelled, Protocol):
    @property
    def target(self) -> str:
        """What a row's target is (`data.read.targets.Kind`)."""
        ...

    @property
    def counts(self) -> tuple[int, ...]:
        """The training split's rows of each label."""
        ...

    @property
    def rows(self) -> int:
        """All its rows."""
        ...


@runtime_checkable
class Scaled(Protocol):
    @property
    def scale(self) -> tuple[float, float]:
        """Mean and deviation of the training split's targets, which are numbers."""
        ...


@runtime_checkable
class Answerable(Protocol):
    """Questions about texts."""

    @property
    def unanswerable(self) -> bool:
        """Whether some have no answer."""
        ...

    @property
    def by_character(self) -> bool:
        """Whether the texts part no words."""
        ...


# what it is made of


@runtime_checkable
class Normalised(Protocol):
    """Numbers in `channels`, whose mean and deviation a network's first layer takes off."""

    @property
    def channels(self) -> int: ...

    @property
    def mean(self) -> tuple[float, ...]: ...

    @property
    def deviation(self) -> tuple[float, ...]: ...


@runtime_checkable
class Encoded(Protocol):
    @property
    def encoding(self) -> str:
        """Of files of text (data/read/encodings.py)."""
        ...


@runtime_checkable
class Tokenised(Protocol):
    @property
    def tokenizer(self) -> str:
        """SHA-256 of the tokenizer, an asset."""
        ...

    @property
    def tokenizer_from(self) -> str:
        """The model, folder or run whose tokenizer is taken; empty: one is learnt."""
        ...

    @property
    def length(self) -> int:
        """Tokens that are read at once, at most."""
        ...


@runtime_checkable
class FilledUp(Protocol):
    """Rows of several lengths answer together with the digits that they have alone, once they are filled up."""

    def shape(self, examples: Sequence[Example]) -> tuple[Any, ...]:
        """What a row's examples are filled up to, by what they are alone; rows of one shape go together."""
        ...

    def filled(self, batch: Batch, shape: tuple[Any, ...]) -> Batch:
        """A collated batch of such rows, as long as their shape says."""
        ...


@runtime_checkable
class Streamed(Tokenised, Protocol):
    """Running text."""

    def tokens(self, rows: Rows) -> Any:
        """`data.text.corpus.Tokens`: all rows as one stream."""
        ...

    def asks(self, windows: np.ndarray, rng: Generator) -> Batch:
        """What is asked of windows (n, t + 1) of the stream."""
        ...


@runtime_checkable
class Written(Tokenised, Protocol):
    """Text that is written token after token."""

    @property
    def begins(self) -> tuple[int, ...]:
        """Tokens in front of every text."""
        ...

    @property
    def ends(self) -> tuple[int, ...]:
        """Tokens that end a text, where these are not the tokenizer's own; the first stands between two."""
        ...

    def tokens(self, rows: Rows) -> Any:
        """`data.text.corpus.Tokens`: what was learnt, as one stream."""
        ...


@runtime_checkable
class Conversational(Protocol):
    """Messages, of which the last of a row is an answer."""

    def held_out(self, row: dict[str, Any]) -> tuple[list[dict[str, str]], str]:
        """What is asked in a row, and its answer."""
        ...


@runtime_checkable
class Transcribed(Protocol):
    """Recordings of speech, and what is said in them."""

    @property
    def rate(self) -> int: ...

    @property
    def alphabet(self) -> tuple[str, ...]:
        """What each number of a model's answer spells."""
        ...

    @property
    def words(self) -> str:
        """SHA-256 of what is known of which words follow which, an asset; empty where nothing is."""
        ...

    @property
    def normalise(self) -> str:
        """How transcripts are spelt before they are compared (data/sound/alphabet.py)."""
        ...

    @property
    def chunk_samples(self) -> int:
        """That are heard at once, at most."""
        ...

    @property
    def overlap_samples(self) -> int:
        """That two chunks of one recording share."""
        ...

    def spelling(self, text: str) -> str: ...

    def frames_needed(self, text: str) -> int:
        """Of a recording, so that the text can be learnt from it."""
        ...


@runtime_checkable
class Dictated(Transcribed, Protocol):
    """Transcripts as tokens: `prompt` begins each, `end` ends it; `never` and `not_first` are not written at all, or at
    the beginning."""

    @property
    def prompt(self) -> tuple[int, ...]: ...

    @property
    def end(self) -> int: ...

    @property
    def never(self) -> tuple[int, ...]: ...

    @property
    def not_first(self) -> tuple[int, ...]: ...

    def text(self, tokens: list[int]) -> str: ...


@runtime_checkable
class Voiced(Labelled, Protocol):
    """Sounds to be made, by label and speaker."""

    @property
    def rate(self) -> int: ...

    @property
    def speakers(self) -> tuple[str, ...]: ...

    @property
    def local(self) -> str:
        """What is known of each frame: "mel" where a sound is made of another's."""
        ...


@runtime_checkable
class MadeUp(Protocol):
    """Rows that need nothing given: what is made is asked for by number."""

    def unasked(self, number: int, labels: Sequence[str]) -> Iterator[str]:
        """What `Domain.asked` is to be given for so many rows, of the `labels` in turn. Raises ConfigError where there
        are no such."""
        ...


@runtime_checkable
class Composed(Protocol):
    """Reads the same rows in several ways, by name."""

    @property
    def first(self) -> Domain:
        """The part that is asked about rows, labels and words."""
        ...

    def with_parts(self, change: Callable[[Domain], Domain]) -> Domain:
        """With every part changed."""
        ...


@runtime_checkable
class Acting(Protocol):
    """An environment to act in."""

    @property
    def name(self) -> str: ...

    @property
    def observation(self) -> Mapping[str, Any]:
        """ "shape", "picture" and "dtype"."""
        ...

    @property
    def action(self) -> dict[str, Any]:
        """The space of actions as JSON (`agents.spaces.unpacked`)."""
        ...

    @property
    def stack(self) -> int:
        """Pictures that are seen together."""
        ...

    @property
    def environments(self) -> int:
        """Copies that training acts in at once."""
        ...

    def plan(self, **settings: Any) -> Any:
        """`agents.worlds.Plan`: what is opened. `settings` are fields of it."""
        ...


# where it leaves this project


@runtime_checkable
class Portable(Protocol):
    """What a model is given can be given to an exported graph, which does itself what comes before the model."""

    def takes(self) -> tuple[TensorSpec, ...]:
        """Its inputs, in their order. Raises ConfigError where there is no graph of how this domain reads its rows,
        with the reason and what to take instead."""
        ...

    def entrance(self) -> Module:
        """From these tensors, in this order, to the "input" of a batch, and its "mask" where there is one, as
        `collate` would have them. In plain torch, or `Translated`."""
        ...

    def feeds(self, row: dict[str, Any]) -> list[dict[str, np.ndarray]]:
        """What a graph is fed for a prepared row, by the names of `takes`: one feed, of one row, for each of the
        examples of `transform` without randomness."""
        ...

    def specimen(self) -> dict[str, np.ndarray]:
        """Two rows of a feed as wide as they come, whose numbers mean nothing: a network is traced by them."""
        ...


@runtime_checkable
class Preprocessed(Protocol):
    """transformers can prepare files as it does."""

    def preprocessor(self) -> dict[str, Any]:
        """preprocessor_config.json. Raises ConfigError where the library has no such way, with the reason and what to
        take instead."""
        ...


def able(domain: Domain, capability: type[C]) -> C:
    """The domain, which must have the capability. Raises ConfigError where it has not."""
    if isinstance(domain, capability):
        return domain
    raise ConfigError(
        f"{domain.reads} are not {capability.__name__.lower()}, which is needed here; name another --task, or take "
        "the recipe's own domain"
    )


def labels_of(domain: Domain) -> Sequence[str]:
    """Empty where it has none."""
    return domain.labels if isinstance(domain, Labelled) else ()
