"""Features of a frozen body: computed once for each row, kept, and given to the head instead of pictures or
texts.

The cache's key is all that an entry depends on: the body's weights, the domain, the content of the rows, their targets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from numpy.random import Generator
from safetensors.torch import load_file
from torch import Tensor

from pervade.core import memory, spec
from pervade.core.contracts import Domain
from pervade.core.errors import ResourceError
from pervade.core.types import Batch, Example, Rows
from pervade.data.rows import cache
from pervade.data.rows.loader import Loader
from pervade.engine import packing
from pervade.engine.batches import cut, to_device
from pervade.nn.backbone import Backbone
from pervade.nn.modes import evaluating

FILE = "features.safetensors"
BATCH = 64  # rows at once
MOST = 640  # of their parts: ten views of each are computed together, many tiles of each are not


class Features:
    """A domain whose examples are the features that `domain`'s examples have; all else it leaves to `domain`."""

    def __init__(self, domain: Domain, tensors: dict[str, Tensor]) -> None:
        self.domain, self.input, self.target = domain, tensors["input"], tensors.get("target")
        self.places: dict[int, list[int]] = {}  # of a row's examples, of which there may be several
        for place, number in enumerate(tensors["row"].tolist()):
            self.places.setdefault(number, []).append(place)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.domain, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """So that `isinstance` tells of the domain's capabilities."""
        return type(self.domain)

    def transform(self, row: dict[str, Any], rng: Generator | None) -> list[Example]:
        return [{"place": place} for place in self.places[row["row"]]]

    def collate(self, examples: Sequence[Example]) -> Batch:
        places = torch.tensor([example["place"] for example in examples])
        batch: Batch = {"input": self.input[places]}
        return batch if self.target is None else {**batch, "target": self.target[places]}


@memory.during("features were computed once for all rows", "train without --freeze, or free some memory")
def compute(
    network: Backbone, domain: Domain, rows: Rows, workers: int, progress: Callable[[int, int], None]
) -> Domain:
    """The features of all `rows`, in fp32, from the cache where they are there as this number of threads rounds them.
    The network is left as it was."""
    place = _place(_key(network, domain, rows), torch.get_num_threads())
    made: dict[str, Tensor] = {}

    def tensors() -> dict[str, Tensor]:
        made.update(made or _run(network, domain, rows, workers, progress))
        return made

    try:
        features = cache.entry(place, lambda there: load_file(there / FILE), lambda work: _build(work, tensors()))
    except (OSError, ResourceError) as error:
        if cache.limit():
            cache.warn(
                f"the next run computes features anew, because the cache cannot be used: {error}; set PERVADE_CACHE"
            )
        features = tensors()
    return cast(Domain, Features(domain, features))


def _build(work: Path, tensors: dict[str, Tensor]) -> None:
    needed, room = sum(tensor.nbytes for tensor in tensors.values()), cache.room(cache.folder())
    if needed > room:
        raise ResourceError(
            f"they take {needed / 1e9:.1f} GB, and it may take {room / 1e9:.1f} GB; raise PERVADE_CACHE_GB or free "
            f"some space in {cache.features().parent}"
        )
    packing.write_tensors(work / FILE, tensors)


def known(network: Backbone, domain: Domain, rows: Rows, numbers: Sequence[int]) -> int | None:
    """The first of these numbers of threads by which the features were computed already."""
    key = _key(network, domain, rows)
    return next((number for number in numbers if _place(key, number).is_dir()), None)


@contextmanager
def trying(network: Backbone, domain: Domain, rows: Rows, workers: int) -> Iterator[Callable[[], int]]:
    """Gives what computes the features of one batch and returns its rows, to see how long it takes."""

    def forever() -> Iterator[dict[str, Tensor]]:
        while True:
            yield from _batches(network, domain, rows, workers)

    batches = forever()
    yield lambda: len(next(batches)["row"])


def _place(key: str, threads: int) -> Path:
    return cache.features() / f"{key}-{threads}"


def _run(
    network: Backbone, domain: Domain, rows: Rows, workers: int, progress: Callable[[int, int], None]
) -> dict[str, Tensor]:
    collected: dict[str, list[Tensor]] = {"input": [], "row": [], "target": []}
    seen: set[int] = set()  # rows: one may have several examples
    for part in _batches(network, domain, rows, workers):
        for name, values in part.items():
            collected[name].append(values)
        seen.update(part["row"].tolist())
        progress(len(seen), len(rows))
    return {name: torch.cat(parts) for name, parts in collected.items() if parts}


def _batches(network: Backbone, domain: Domain, rows: Rows, workers: int) -> Iterator[dict[str, Tensor]]:
    device = next(network.parameters()).device
    with evaluating(network):
        loader = Loader(rows, domain, BATCH, seed=0, training=False, workers=workers)
        for batch in (piece for whole in loader for piece in cut(whole, MOST)):
            with torch.inference_mode():
                batch = to_device(batch, device)
                features = network.features(batch["input"], batch.get("mask")).cpu()
            # Copied, because tensors of inference mode may not take part in training.
            part = {"input": features.clone(), "row": batch["row"].cpu()}
            yield {**part, "target": batch["target"].cpu()} if "target" in batch else part


def _key(network: Backbone, domain: Domain, rows: Rows) -> str:
    digest = hashlib.sha256(json.dumps(spec.encode(domain), sort_keys=True).encode())
    for name, value in network.state_dict().items():
        if not name.startswith("head."):
            digest.update(
                name.encode() + value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
            )
    # Targets are kept beside the features, and a label may be mended while every picture stays as it is.
    targets = list(rows.column("target")) if "target" in rows else None
    digest.update(json.dumps([list(rows.column("hash")), list(map(int, rows.number)), targets]).encode())
    digest.update(type(network.body).__qualname__.encode() + repr(network.body).encode())
    return digest.hexdigest()
