"""Puts the weights of a checkpoint into a network, as far as they fit, and says what became of each.

The body must fit for at least one half; a head of classes is taken where these are the network's, and stays new where
they are others; a head of anything else (an embedding's dimensions, a number) is taken where it is as large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pervade.core.contracts import Started
from pervade.core.errors import CheckpointError
from pervade.nn.backbone import Backbone
from pervade.weights.checkpoint import Checkpoint, shape_text
from pervade.weights.mapping import UNIMPORTANT, Match, match, match_in_order

LEAST = 0.5  # share of the body's weights that must fit


@dataclass
class _Assignment:
    """What becomes of each weight, while it is settled."""

    values: dict[str, Tensor] = field(default_factory=dict)  # own name to what goes there
    used: set[str] = field(default_factory=set)  # foreign names
    notes: dict[str, str] = field(default_factory=dict)  # own name: why it is new; foreign name: why it is left out
    said: list[str] = field(default_factory=list)


def transplant(network: nn.Module, checkpoint: Checkpoint, labels: Sequence[str] = (), model: str = "") -> Started:
    """`labels` are the classes of the network's "logits", in order; `model` its name, for messages.

    Raises CheckpointError, without having changed the network, where less than half of its body would be filled (or
    not all, where the checkpoint is taken whole), where the pictures have other channels, or where a weight is not
    finite.
    """
    if checkpoint.remedy:
        return _whole(network, checkpoint, model)
    own = {n: v for n, v in network.state_dict().items() if not n.startswith("normalise.")}
    weights = checkpoint.weights
    heads = head_names(network)
    body = {name: tuple(value.shape) for name, value in own.items() if name not in heads}
    foreign = {name: tuple(value.shape) for name, value in weights.items()}
    matched = match(body, foreign)
    if _share(body, matched.pairs) < LEAST:
        matched = match_in_order(body, foreign) or matched
    _check_channels(own, foreign, matched, checkpoint.where)
    account = _Assignment()
    for name, other in matched.pairs.items():
        account.values[name] = weights[other]
    for name, other in matched.reshaped.items():
        positions = _stretched(name, weights[other], own[name])
        if positions is not None:
            account.values[name] = positions
            account.said.append(f"{name} stretched from {_grid(weights[other])} to {_grid(own[name])} places")
            matched.pairs[name] = other
        else:
            shapes = f"{shape_text(foreign[other])} there, {shape_text(body[name])} here"
            account.notes[name] = account.notes[other] = f"another shape: {shapes}"
    if _share(body, matched.pairs) < LEAST:
        raise CheckpointError(_misfit(body, foreign, matched, checkpoint.where, model))
    account.used = set(matched.pairs.values())
    _settle_heads(own, weights, heads, class_heads(network, heads), checkpoint, labels, account)
    _check_finite(account.values, checkpoint.where)
    with torch.no_grad():
        for name, value in account.values.items():
            own[name].copy_(value)  # a state dict's tensors are the network's own
    return _started(body, own, foreign, matched, checkpoint, account)


def _whole(network: nn.Module, checkpoint: Checkpoint, model: str) -> Started:
    """Each weight into the one of its name, all of them or none; buffers are the network's own."""
    own, weights = dict(network.named_parameters()), checkpoint.weights
    faults = [f"it has no {name}" for name in own if name not in weights]
    faults += [f"{name} has no place here" for name in weights if name not in own]
    faults += [
        f"{name} is {shape_text(tuple(value.shape))} there and {shape_text(tuple(own[name].shape))} here"
        for name, value in weights.items()
        if name in own and value.shape != own[name].shape
    ]
    if faults:
        raise CheckpointError(
            f"{checkpoint.where} does not fit {model or 'this network'}: {', '.join(faults[:3])}; {checkpoint.remedy}"
        )
    _check_finite(weights, checkpoint.where)
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(value)
    said = f"all {len(weights)} weights from {checkpoint.where}"
    return Started(f"{said}; {checkpoint.remark}" if checkpoint.remark else said, tuple(weights))


def head_names(network: nn.Module) -> set[str]:
    """The weights that turn features into outputs: `head` where there is one, else the last dense layer. None where the
    body has its outputs itself (a language model's tokens are not classes that may be others)."""
    if isinstance(network, Backbone) and not network.head:
        return set()
    names = network.state_dict().keys()
    # An auxiliary classifier is found by its names, as the body is; only its last layer counts classes.
    head = {name for name in names if name.startswith("head.") and not name.startswith("head.auxiliary.")}
    head |= {name for name in names if name.startswith("head.auxiliary.fc.")}
    if head:
        return head
    dense = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return {f"{dense[-1]}.{part}" for part in ("weight", "bias") if f"{dense[-1]}.{part}" in names} if dense else set()


def class_heads(network: nn.Module, heads: set[str]) -> set[str]:
    """Those of the heads whose rows are classes: of the output "logits", and of the auxiliary classifier beside it. The
    rows of others ("embedding", "value") are dimensions, which have no names, whatever the domain's labels are."""
    outputs = {name.split(".")[1] for name in heads if name.startswith("head.")}
    if not outputs:  # the last dense layer of a network from Python, which knows what it was asked for
        return heads if "logits" in getattr(network, "names", ("logits",)) else set()
    other = tuple(f"head.{output}." for output in outputs if output not in ("logits", "auxiliary"))
    return {name for name in heads if "logits" in outputs and not name.startswith(other)}


def _share(body: Mapping[str, tuple[int, ...]], pairs: Mapping[str, str]) -> float:
    names = [name for name in body if not name.endswith(UNIMPORTANT)]
    return sum(name in pairs for name in names) / max(len(names), 1)


def _check_channels(
    own: Mapping[str, Tensor], foreign: Mapping[str, tuple[int, ...]], match: Match, where: str
) -> None:
    """The first convolution says how many channels the pictures have."""
    first = next((name for name, value in own.items() if value.ndim == 4), None)
    if first is None or first not in match.reshaped:
        return
    mine, theirs = tuple(own[first].shape), foreign[match.reshaped[first]]
    if len(theirs) == 4 and mine[0] == theirs[0] and {mine[1], theirs[1]} == {1, 3}:
        kinds = {1: "grey pictures (1 channel)", 3: "colour pictures (3 channels)"}
        raise CheckpointError(
            f"{where} was trained on {kinds[theirs[1]]}, and the network is for {kinds[mine[1]]}: {first} is "
            f"{shape_text(theirs)} there and {shape_text(mine)} here; set -o domain.channels={theirs[1]}"
        )


# heads


def _settle_heads(
    own: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    heads: set[str],
    of_classes: set[str],
    checkpoint: Checkpoint,
    labels: Sequence[str],
    account: _Assignment,
) -> None:
    for name in (n for n in own if n in heads and n.endswith("weight")):
        bias = f"{name.removesuffix('weight')}bias"
        other = _head_of(name, own[name], weights, account)
        if other is None:
            account.notes[name] = account.notes[bias] = "the checkpoint has no such head"
            continue
        other_bias = f"{other.removesuffix('weight')}bias"
        there, here = len(weights[other]), len(own[name])
        named = name in of_classes
        order = _order(checkpoint.labels if named else None, labels, there, here)
        if order is None:
            what = "classes" if named else "outputs"
            why = f"{there:,} {what} there, {here:,} here" if there != here else "other classes there"
            account.said.append(f"the head is new ({why})")
            for key in (name, bias, other, other_bias):
                account.notes[key] = f"the head: {why}"
            continue
        if named and checkpoint.labels is None:
            account.said.append(f"the head's {len(order)} classes have no names there and are taken in their order")
        for mine, theirs in ((name, other), (bias, other_bias)):
            if mine in own and theirs in weights:
                account.values[mine] = weights[theirs][order]
                account.used.add(theirs)


def _head_of(name: str, value: Tensor, weights: Mapping[str, Tensor], account: _Assignment) -> str | None:
    """The foreign weight that is this head: of the same name, else the only dense layer left that reads the same
    features."""
    left = [n for n, v in weights.items() if n not in account.used and v.ndim == 2 and v.shape[1] == value.shape[1]]
    if name in left:
        return name
    left = [key for key in left if not key.startswith("body.")]  # which is known not to be a head
    return left[-1] if name.startswith("head.logits.") and left else None


def _order(theirs: Sequence[str] | None, mine: Sequence[str], there: int, here: int) -> list[int] | None:
    """For each of the network's classes its place in the checkpoint's head; None where they are others."""
    if there != here:
        return None
    if theirs is None or not mine or tuple(theirs) == tuple(mine):  # pieces of an alphabet may spell the same
        return list(range(here))
    return [list(theirs).index(label) for label in mine] if set(theirs) == set(mine) else None


# position embeddings


def _stretched(name: str, there: Tensor, here: Tensor) -> Tensor | None:
    """Position embeddings (1, t, d) of a square of patches, for a square of another size; None where they are none.

    Bicubic, as in Dosovitskiy et al. 2021 (arXiv:2010.11929, section 3.2). Class tokens at the front stay.
    """
    if "pos" not in name or there.ndim != 3 or here.ndim != 3 or there.shape[::2] != here.shape[::2]:
        return None
    for extra in (1, 0, 2):
        old, new = math.isqrt(there.shape[1] - extra), math.isqrt(here.shape[1] - extra)
        if old * old + extra == there.shape[1] and new * new + extra == here.shape[1]:
            tokens, grid = there[:, :extra].float(), there[:, extra:].float()
            grid = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2)
            grid = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
            return torch.cat([tokens, grid.flatten(2).transpose(1, 2)], 1)
    return None


def _grid(positions: Tensor) -> str:
    side = math.isqrt(positions.shape[1])
    return f"{side} x {side}"


def _check_finite(values: Mapping[str, Tensor], where: str) -> None:
    for name, value in values.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise CheckpointError(f"{where} holds values that are not finite ({name}); its training went wrong")


# what to say


def _misfit(
    body: Mapping[str, tuple[int, ...]], foreign: Mapping[str, tuple[int, ...]], match: Match, where: str, model: str
) -> str:
    names = [name for name in body if not name.endswith(UNIMPORTANT)]
    fits = [name for name in names if name in match.pairs]
    shapes = [name for name in names if name in match.reshaped]
    missing = [name for name in names if name not in match.pairs and name not in match.reshaped]
    parts = [f"{len(fits)} of the body's {len(names)} weights fit"]
    if shapes:
        first, other = shapes[0], match.reshaped[shapes[0]]
        parts.append(
            f"{len(shapes)} have another shape ({first} is {shape_text(body[first])} here, "
            f"{shape_text(foreign[other])} there)"
        )
    if missing:
        theirs = next((n for n in foreign if n not in match.pairs.values() and n not in match.reshaped.values()), None)
        there = f"; it has for example {theirs}" if theirs else ""
        parts.append(f"{len(missing)} are not in it (the first: {missing[0]}{there})")
    return (
        f"{where} is of another network than {model or 'this one'}: {', '.join(parts)}; "
        "name the network it was made for with --model and its settings with -o model.…, or start with --init random"
    )


def _started(
    body: Mapping[str, tuple[int, ...]],
    own: Mapping[str, Tensor],
    foreign: Mapping[str, tuple[int, ...]],
    match: Match,
    checkpoint: Checkpoint,
    account: _Assignment,
) -> Started:
    counted = [name for name in body if not name.endswith(UNIMPORTANT)]
    loaded = sum(name in account.values for name in counted)
    said = [f"{loaded} of the body's {len(counted)} weights from {checkpoint.where}"]
    said += [match.how] if match.how else []
    said += account.said
    new = [name for name in own if name not in account.values and not name.endswith(UNIMPORTANT)]
    left = [name for name in foreign if name not in account.used]
    return Started(
        "; ".join(said),
        tuple(account.values),
        tuple(f"{name}: {account.notes.get(name, 'the network has no place for it')}" for name in left),
        tuple(f"{name}: {account.notes.get(name, 'not in the checkpoint')}" for name in new),
    )
