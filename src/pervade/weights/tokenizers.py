"""Where a tokenizer is taken from: a model of the Hugging Face Hub, its folder, or a checkpoint of ours."""

from __future__ import annotations

from pathlib import Path

from pervade.core import files
from pervade.core.errors import CheckpointError
from pervade.data import vocabulary
from pervade.weights import locate
from pervade.weights.hub import HubRepository


def read(source: str) -> str:
    """A tokenizer.json. Raises CheckpointError where there is none, or it can be neither found nor downloaded."""
    folder = Path(source)
    if not folder.is_dir():
        return vocabulary.of_folder(HubRepository(source).tokenizer_folder())
    own = locate.own_checkpoint(folder)
    if own is None:
        return vocabulary.of_folder(folder)
    digest = files.read_json(own / "preprocess.json", "domain")["domain"].get("tokenizer")
    if not digest:
        raise CheckpointError(f"{own} holds no tokenizer: it was not trained on texts; name another with --init")
    vocabulary.attach(own, digest)
    return vocabulary.text_of(digest)
