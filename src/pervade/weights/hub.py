"""Repositories of the Hugging Face Hub: from its cache where they lie there, else from an installed package that
carries them (weights/packages.py), else downloaded and said so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pervade.core import download, files
from pervade.core.errors import CheckpointError
from pervade.weights import locate, packages
from pervade.weights.checkpoint import Checkpoint
from pervade.weights.licence import CARD

# Of a tokenizer: tokenizer.json says it all, the others are what older models have.
TOKENIZER = (
    *("tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "vocab.json"),
    *("merges.txt", "sentencepiece.bpe.model", "spiece.model", "spm.model", "spm_char.model", "added_tokens.json"),
    "chat_template.jinja",
)
GENERATION = "generation_config.json"  # of a model that writes: the tokens that end a text, among others
SOUND = (
    "preprocessor_config.json",
    "processor_config.json",
)  # of what a sound model is fed; newer files have the second
SMALL = ("config.json", CARD, *SOUND, GENERATION, *TOKENIZER)  # what is read beside the weights
INDEX = tuple(f"{name}.index.json" for name in locate.HUB_WEIGHTS)


@dataclass(frozen=True)
class HubRepository:
    """`name` as "owner/name"."""

    name: str

    @property
    def host(self) -> str:
        from huggingface_hub import constants

        return constants.ENDPOINT.split("/")[2]

    @property
    def path(self) -> Path:
        """A file that lies beside the weights in the cache, or the weights of a package; one that is not there where
        neither has them."""
        folder, package = self._whole(), packages.carrying(self.name)
        if folder is not None:
            return folder / "config.json"
        if package is not None:
            return package.path
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE) / f"models--{self.name.replace('/', '--')}"

    def _whole(self) -> Path | None:
        """The folder in the cache that holds config and weights."""
        folder = self._cached("config.json")
        there = folder is not None and any((folder / name).is_file() for name in (*locate.HUB_WEIGHTS, *INDEX))
        return folder if there else None

    def config(self) -> dict[str, Any]:
        """config.json. Raises CheckpointError where it is not here and cannot be downloaded."""
        folder = self._here("config.json") or self._download(["config.json"])
        return locate.read_network(folder)

    def generation(self) -> dict[str, Any]:
        """generation_config.json; empty where it has none, or that is neither here nor to be had: it adds to what
        config.json says, and is nothing that a network needs."""
        folder = self._here(GENERATION)
        if folder is None and download.offline() is None and download.reachable(self.host):
            try:
                folder = self._download([GENERATION])
            except CheckpointError:
                return {}
        return locate.read_config(folder / GENERATION) if folder is not None else {}

    def preprocessor(self) -> dict[str, Any]:
        """What preprocessor_config.json says a sound model is fed; empty where it has none, or that is neither here nor
        to be had: then what all such models have in common holds."""
        folder = next((path for path in map(self._here, SOUND) if path is not None), None)
        if folder is None and download.offline() is None and download.reachable(self.host):
            try:
                folder = self._download(SOUND)
            except CheckpointError:
                return {}
        return preprocessor(folder) if folder is not None else {}

    def read(self) -> Checkpoint:
        """Raises CheckpointError where the weights are not here and cannot be downloaded."""
        folder, package = self._whole(), packages.carrying(self.name)
        if folder is None and package is not None:
            return replace(package.read(), where=f"hf:{self.name} in the installed package {package.package.name}")
        folder = folder or self._download()
        return replace(locate.read(folder), where=f"hf:{self.name}")  # and not the cache's own name for it

    def tokenizer_folder(self) -> Path:
        """Where the tokenizer's files lie. Raises CheckpointError where they are not here and cannot be downloaded."""
        for name in TOKENIZER[:2]:
            folder = self._here(name)
            if folder is not None:
                return folder
        return self._download(TOKENIZER)

    @property
    def card(self) -> Path | None:
        """The folder that holds its card, where that lies here."""
        return self._here(CARD)

    def _here(self, file: str) -> Path | None:
        """The folder that holds the file, in the cache or in a package."""
        folder, package = self._cached(file), packages.carrying(self.name)
        if folder is None and package is not None and package.path.with_name(file).is_file():
            return package.path.parent
        return folder

    def _cached(self, file: str) -> Path | None:
        """The folder in the cache that holds the file."""
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            cached = try_to_load_from_cache(self.name, file)
        except HFValidationError:
            raise CheckpointError(
                f"{self.name!r} is neither a folder that is there nor a name on the Hugging Face Hub (owner/name)"
            ) from None
        return Path(cached).parent if isinstance(cached, str) else None

    def _download(self, wanted: Sequence[str] | None = None) -> Path:
        """These files, or weights and what belongs to them; the folder they then lie in."""
        forbidden = download.offline()
        address = f"https://{self.host}/{self.name}"
        if forbidden:
            raise CheckpointError(
                f"{self.name} is not in the Hugging Face Hub's cache, and {forbidden} forbids downloads; "
                f"{_remedies(address, wanted)}"
            )
        from huggingface_hub import HfApi, hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HTTPError

        try:
            info = HfApi().model_info(self.name, files_metadata=True, timeout=download.PATIENCE)
            there = {file.rfilename: file for file in info.siblings or []}
            names = [name for name in wanted if name in there] if wanted else _needed(list(there))
            if not names:
                raise CheckpointError(f"{address} has no {' or '.join(wanted or locate.HUB_WEIGHTS)}")
            size = sum(there[name].size or 0 for name in names)
            download.announce(f"downloading {', '.join(names)}: {download.megabytes(size)} from {address}")
            paths = [Path(hf_hub_download(self.name, name, revision=info.sha)) for name in names]
        except (HfHubHTTPError, HTTPError, OSError, ValueError) as error:
            first = str(error).strip().split("\n")[0]
            raise CheckpointError(f"{address} cannot be downloaded ({first}); {_remedies(address, wanted)}") from None
        for name, path in zip(names, paths, strict=True):
            published = there[name].lfs
            if published is not None and files.sha256(path) != published.sha256:
                raise CheckpointError(f"{path} is not what was published (SHA-256 differs); remove it and try again")
        return paths[0].parent


def preprocessor(folder: Path) -> dict[str, Any]:
    """Of a folder in the Hub's layout, what a sound model is fed; empty where it does not say."""
    alone, together = (folder / name for name in SOUND)
    if alone.is_file():
        return locate.read_config(alone)
    settings = locate.read_config(together).get("feature_extractor") if together.is_file() else None
    return dict(settings) if isinstance(settings, dict) else {}


def _remedies(address: str, wanted: Sequence[str] | None) -> str:
    if wanted is None:
        return download.remedies(address)
    return f"copy {address} into a folder and name it hf:FOLDER, or set https_proxy, HF_ENDPOINT or HF_HOME"


def _needed(there: Sequence[str]) -> list[str]:
    """Config, preprocessing, and the weights in the first form there is, whole or in parts."""
    small = [name for name in SMALL if name in there]
    for name in locate.HUB_WEIGHTS:
        if name in there:
            return [*small, name]
        stem, _, ending = name.rpartition(".")
        parts = [file for file in there if re.fullmatch(rf"{re.escape(stem)}-\d+-of-\d+\.{ending}", file)]
        if f"{name}.index.json" in there and parts:
            return [*small, f"{name}.index.json", *parts]
    return []
