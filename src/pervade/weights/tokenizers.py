"""Where a tokenizer is taken from: a model of the Hugging Face Hub, its folder, or a checkpoint of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pervade.core import files
from pervade.core.errors import CheckpointError
from pervade.data.text import vocabulary
from pervade.data.text.chat import PLAIN, Chat
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


def chat(source: str) -> Chat:
    """The chat template that belongs to a tokenizer, and what its first and last tokens are called; the plain template
    of ours where it has none. Raises CheckpointError where it cannot be read."""
    folder = Path(source)
    if not folder.is_dir():
        folder = HubRepository(source).tokenizer_folder()
    own = locate.own_checkpoint(folder)
    if own is not None:
        domain = files.read_json(own / "preprocess.json", "domain")["domain"]
        if domain.get("template"):
            return Chat(domain["template"], domain["bos"], domain["eos"])
        end = _end(vocabulary.keep(read(source)))
        return Chat(PLAIN, end, end)
    path = folder / "tokenizer_config.json"
    settings = locate.read_config(path) if path.is_file() else {}
    end = _name(settings.get("eos_token")) or _end(vocabulary.keep(read(source)))
    alone = folder / "chat_template.jinja"
    template = files.read_text(alone) if alone.exists() else settings.get("chat_template")
    if isinstance(template, list):  # several by name
        named = [entry for entry in template if isinstance(entry, dict)]
        template = next((entry.get("template") for entry in named if entry.get("name") == "default"), None)
    if template is None:
        return Chat(PLAIN, end, end)
    if not isinstance(template, str):
        raise CheckpointError(f"{path}: chat_template is {json.dumps(template)[:60]}, not a text; mend it")
    return Chat(template, _name(settings.get("bos_token")), end)


def _name(token: Any) -> str:
    """A special token's name, which stands there alone or among its properties."""
    return str(token.get("content") or "") if isinstance(token, dict) else str(token or "")


def _end(digest: str) -> str:
    return str(vocabulary.tokenizer(digest).id_to_token(vocabulary.require(digest, vocabulary.END, "writing text")))
