"""Small texts, a tiny encoder in the Hub's layout, and a recipe that trains in a moment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pervade.core.contracts import Recipe
from pervade.core.types import Rows
from pervade.data.text import vocabulary
from pervade.domains.text import Text
from pervade.models.transformer import Transformer
from pervade.recipes import text

GOOD, BAD = ("fine", "lovely", "superb", "warm"), ("dull", "awful", "bland", "cold")
FILLING = ("the", "film", "was", "and", "story", "plot", "so", "very", "a", "actor")


def reviews(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Texts and labels: one word of each tells which."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        label = ("bad", "good")[number % 2]
        words = rng.choice(FILLING, int(rng.integers(3, 12))).tolist()
        words.insert(int(rng.integers(0, len(words))), str(rng.choice((BAD, GOOD)[number % 2])))
        rows.append((f"{' '.join(words)} {number}", label))
    return rows


def write(path: Path, rows: list[Any], head: str = "text\tlabel\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + "".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def recipe(**fields: Any) -> Recipe:
    torch.set_num_threads(1)
    small = replace(
        text.scratch(Transformer(width=32, depth=1, heads=2, dropout=0.0)),
        domain=Text(length=16, num_tokens=400),
        epochs=4,
        batch_size=16,
        workers=0,
    )
    return replace(small, **fields)


def fitted(folder: Path, **fields: Any) -> Text:
    """Fitted to small reviews, with the tokenizer that lies in the folder."""
    rows = reviews(8)
    train = Rows({"id": list("abcdefgh"), "text": [t for t, _ in rows], "target": [label for _, label in rows]})
    return replace(Text(tokenizer_from=str(folder)), **fields).fit(train)


def encoder_folder(folder: Path, kind: str = "bert", layers: int = 2) -> Path:
    """As `save_pretrained` writes it: random weights, and a tokenizer learnt from the reviews."""
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    made = vocabulary.learn([each for each, _ in reviews(200)], "wordpiece", 400)
    (folder / "tokenizer.json").write_text(made, encoding="utf-8")
    size = vocabulary.tokenizer(vocabulary.keep(made)).get_vocab_size()
    settings = {"vocab_size": size, "max_position_embeddings": 40, "pad_token_id": 0}
    if kind == "distilbert":
        settings |= {"dim": 16, "n_heads": 2, "n_layers": layers, "hidden_dim": 32}
    else:
        settings |= {"hidden_size": 16, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 32}
    if kind == "electra":
        settings["embedding_size"] = 16
    if kind == "modernbert":
        settings |= {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    torch.manual_seed(1)
    config = transformers.AutoConfig.for_model(kind, **settings)
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    return folder


def writer_folder(folder: Path, kind: str = "gpt2", positions: int = 48, layers: int = 2) -> Path:
    """A causal language model as `save_pretrained` writes it: random weights, and a tokenizer learnt from the reviews
    under whose names nothing can be guessed: the token that ends a text is called "<over>"."""
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    made = vocabulary.learn([each for each, _ in reviews(200)], "bpe", 400).replace("[END]", "<over>")
    (folder / "tokenizer.json").write_text(made, encoding="utf-8")
    digest = vocabulary.keep(made)
    end = vocabulary.tokenizer(digest).token_to_id("<over>")
    settings: dict[str, Any] = {"vocab_size": vocabulary.size(digest) + 7, "eos_token_id": end, "bos_token_id": end}
    if kind == "gpt2":
        settings |= {"n_embd": 32, "n_head": 2, "n_layer": layers, "n_positions": positions}
    else:
        settings |= {"hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 48}
        settings |= {"num_key_value_heads": 1, "max_position_embeddings": positions}
    torch.manual_seed(1)
    config = transformers.AutoConfig.for_model(kind, **settings)
    network = transformers.AutoModelForCausalLM.from_config(config)
    network.generation_config.eos_token_id = [end, 7]
    with torch.no_grad():
        for each in network.parameters():  # wide apart, so that what is likeliest hangs on what came before
            each.mul_(6.0) if each.ndim > 1 else None
    network.save_pretrained(folder)
    return folder
