"""Any network in pieces, from the input to the output: what freezing and layer-wise learning rates count in.

A network says nowhere where its stages begin, but its modules do: the walk goes down to where the parameters lie side
by side (the four layers of a residual network, the blocks of a transformer) and takes what lies there as the pieces.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

# A child with this share of all parameters is the network itself in a wrapper.
WRAPPED = 0.9


def stages(body: nn.Module) -> Sequence[nn.Module]:
    """The pieces in the order of their declaration; every parameter of `body` is in exactly one of them.

    A piece that is not one module of the network is a new `nn.Module` around the same parameters and modules. What
    comes before the first block (first convolution, its normalisation, position embeddings) is one piece, what comes
    after the last belongs to the last.
    """
    stem, blocks, tail = _walk(body)
    if not blocks:  # leaves only: each is a stage
        blocks, stem = stem, []
    if stem:
        blocks = [stem[0] if len(stem) == 1 else nn.ModuleList(stem), *blocks]
    if tail and blocks:
        blocks = [*blocks[:-1], nn.ModuleList([blocks[-1], *tail])]
    return blocks or [body]


def _walk(module: nn.Module) -> tuple[list[nn.Module], list[nn.Module], list[nn.Module]]:
    """(before the blocks, blocks, after the blocks) of one module."""
    own = nn.Module()
    for name, parameter in module.named_parameters(recurse=False):
        own.register_parameter(name, parameter)
    children = [child for child in module.children() if _size(child)]
    first = [own] if _size(own) else []
    main = _main(children)
    if main is not None:
        at = children.index(main)
        stem, blocks, tail = _walk(main)
        if not blocks:
            blocks, stem = stem, []
        return [*first, *children[:at], *stem], blocks, [*tail, *children[at + 1 :]]
    composite = [i for i, child in enumerate(children) if any(True for _ in child.children())]
    if not composite:
        return [*first, *children], [], []
    start, end = composite[0], composite[-1]
    return [*first, *children[:start]], children[start : end + 1], children[end + 1 :]


def _main(children: Sequence[nn.Module]) -> nn.Module | None:
    """The child that holds the blocks: nearly all parameters, or most of them in the only list of composite modules."""
    total = sum(map(_size, children))
    largest = max(children, key=_size, default=None)
    if largest is None or not any(True for _ in largest.children()):
        return None
    lists = [child for child in children if _lists_blocks(child)]
    share = _size(largest) / total
    return largest if share >= WRAPPED or (lists == [largest] and share >= 0.5) else None


def _lists_blocks(module: nn.Module) -> bool:
    children = [child for child in module.children() if _size(child)]
    composite = [child for child in children if any(True for _ in child.children())]
    return isinstance(module, (nn.Sequential, nn.ModuleList)) and len(composite) > 1


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
