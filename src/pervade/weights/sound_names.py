"""The published weights of sound models under the names that our networks have.

A classifier of two layers with nothing between them, as Wav2Vec2's kin have, is one layer: mean and dense layers may
change places.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

# What only pre-training used, targets and codes, and Whisper's output weights, which are those of its tokens.
OTHERS = ("quantizer.", "project_q.", "project_hid.", "proj_out.", "label_embeddings_concat", "final_proj.")
HEADS = {
    "lm_head.": "head.logits.",
    "classifier.dense.": "head.logits.",
    "classifier.layernorm.": "body.norm.",
    "classifier.": "head.logits.",
    "layer_weights": "body.layer_weights",
}


def ours(network: Mapping[str, Tensor], beside: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`network` are the encoder's weights, as transformers names them today, `beside` what else the file holds."""
    weights = {f"body.network.{name}": value for name, value in network.items()}
    more = dict(beside)
    if {"projector.weight", "projector.bias", "classifier.weight", "classifier.bias"} <= more.keys():
        first, shift = more.pop("projector.weight").double(), more.pop("projector.bias").double()
        # In double precision: a sum of floats depends on how they lie in memory, and the same file must give one head.
        last = more["classifier.weight"].double()
        more["classifier.bias"] = (last @ shift + more["classifier.bias"]).float()
        more["classifier.weight"] = (last @ first).float()
    for name, value in more.items():
        if not name.startswith(OTHERS):
            weights[renamed(name)] = value
    return weights


def of_whisper(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of all of Whisper, or of a classifier on its encoder."""
    plain = {name.removeprefix("model."): value for name, value in weights.items()}
    heard = {name.removeprefix("encoder."): v for name, v in plain.items() if name.startswith("encoder.")}
    written = {f"body.{name}": v for name, v in plain.items() if name.startswith("decoder.")}
    return {**ours(heard, {n: v for n, v in plain.items() if not n.startswith(("encoder.", "decoder."))}), **written}


def renamed(name: str) -> str:
    """
    >>> renamed("classifier.dense.weight"), renamed("lm_head.bias"), renamed("something.else")
    ('head.logits.weight', 'head.logits.bias', 'something.else')
    """
    for theirs, mine in HEADS.items():
        if name.startswith(theirs):
            return mine + name.removeprefix(theirs)
    return name
