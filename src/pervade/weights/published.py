"""Weights that others have published for a network: which, where they lie, what belongs to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pervade.core import download
from pervade.weights.checkpoint import Checkpoint
from pervade.weights.torch_file import read_weights


@dataclass(frozen=True)
class Published:
    """One file at an address. `sha256` is its digest or the beginning of it."""

    name: str  # in words, for messages
    url: str
    sha256: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    labels: tuple[str, ...]
    side: int  # pixels of the pictures they were made with

    @property
    def host(self) -> str:
        return self.url.split("/")[2]

    @property
    def path(self) -> Path:
        """Where it lies once downloaded: torch's own cache, so that other programs' downloads are used too."""
        import torch

        return Path(torch.hub.get_dir()) / "checkpoints" / self.url.rpartition("/")[2]

    def read(self) -> Checkpoint:
        """Downloads, saying so, unless it is here. Raises CheckpointError where that is forbidden or fails."""
        path = download.fetch(self.url, self.path, self.name, self.sha256)
        return Checkpoint(self.name, read_weights(path), self.mean, self.deviation, self.labels)


def torchvision_weights(
    network: str, mean: tuple[float, ...] | None = None, deviation: tuple[float, ...] | None = None
) -> Published:
    """The weights that torchvision takes for a network unless told otherwise, of its enum `<network>_Weights`. Their
    file's name ends in its digest's beginning.

    `mean` and `deviation` where the network normalises again by itself, and the enum does not say so.
    """
    from torchvision import models  # late: it takes more than a second

    weights = getattr(models, f"{network}_Weights").DEFAULT
    transform = weights.transforms()
    return Published(
        f"torchvision's {weights}",
        weights.url,
        weights.url.rpartition("-")[2].partition(".")[0],
        mean or tuple(transform.mean),
        deviation or tuple(transform.std),
        tuple(weights.meta["categories"]),
        transform.crop_size[0],
    )
