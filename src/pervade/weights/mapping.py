"""Which weight of a foreign checkpoint belongs to which of a network, by names and shapes.

Names of the same network differ by what was put around it: `module.` (data parallel), `_orig_mod.` (compiled),
`model.`, `backbone.`, `encoder.`; ours begin with `body.`. So one prefix is taken off and one put on: the pair by which
most weights find one of their name and shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

# Counters of batch normalisation, which older files do not have and nothing depends on.
UNIMPORTANT = "num_batches_tracked"


@dataclass(frozen=True)
class Match:
    """`pairs` are own names to foreign ones where name and shape agree, `reshaped` where the name alone does."""

    pairs: dict[str, str]
    reshaped: dict[str, str] = field(default_factory=dict)
    how: str = ""  # what was done to the names, in words; empty where they agree as they are


def match(own: Shapes, foreign: Shapes) -> Match:
    """Fits `foreign` names to `own` ones. Further prefixes are looked for among what the first pair leaves over."""
    pairs: dict[str, str] = {}
    reshaped: dict[str, str] = {}
    how: list[str] = []
    rest_own, rest_foreign = dict(own), dict(foreign)
    while rest_own and rest_foreign:
        taken, added = _best_prefixes(rest_own, rest_foreign)
        named = {
            added + name[len(taken) :]: name
            for name in rest_foreign
            if name.startswith(taken) and added + name[len(taken) :] in rest_own
        }
        fitting = {mine: name for mine, name in named.items() if rest_own[mine] == rest_foreign[name]}
        # After the first round only what fits as a group counts: a lone "weight" would find a partner anywhere.
        if not named or (pairs and (len(fitting) < 2 or len(fitting) * 2 < len(named))):
            break
        pairs |= fitting
        reshaped |= {mine: name for mine, name in named.items() if mine not in fitting}
        if fitting and (words := _words(taken, added.removeprefix("body."))):
            how.append(words)
        rest_own = {name: shape for name, shape in rest_own.items() if name not in named}
        used = set(named.values())
        rest_foreign = {name: shape for name, shape in rest_foreign.items() if name not in used}
        if not fitting:
            break
    return Match(pairs, reshaped, ", ".join(how))


def match_in_order(own: Shapes, foreign: Shapes, spare: int = 4) -> Match | None:
    """By place alone: only where kinds and shapes of all weights, in order, are exactly the same. Up to `spare` weights
    at the end of `foreign` may be over: the head."""
    mine = [name for name in own if not name.endswith(UNIMPORTANT)]
    theirs = [name for name in foreign if not name.endswith(UNIMPORTANT)]
    if not 0 <= len(theirs) - len(mine) <= spare or not mine:
        return None
    theirs = theirs[: len(mine)]
    if any(
        own[a] != foreign[b] or a.rpartition(".")[2] != b.rpartition(".")[2] for a, b in zip(mine, theirs, strict=True)
    ):
        return None
    return Match(dict(zip(mine, theirs, strict=True)), how="by their order, since names differ and all shapes agree")


def _best_prefixes(own: Shapes, foreign: Shapes) -> tuple[str, str]:
    """What to take off foreign names and to put in front of them. The shorter pair wins where two do as well."""
    best, score = ("", ""), (-1, 0)
    for taken in _prefixes(foreign):
        inside = [(name[len(taken) :], shape) for name, shape in foreign.items() if name.startswith(taken)]
        for added in _prefixes(own):
            shapes = [(own.get(added + rest), shape) for rest, shape in inside]
            named = sum(there is not None for there, _ in shapes)
            fitting = sum(there == shape for there, shape in shapes)
            new = (2 * fitting + named, -len(taken) - len(added))
            if new > score:
                best, score = (taken, added), new
    return best


def _prefixes(names: Iterable[str], deepest: int = 5) -> list[str]:
    """Beginnings of names, whole segments, that several names share; "" first."""
    counts: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")[:-1][:deepest]
        counts.update(".".join(parts[: depth + 1]) + "." for depth in range(len(parts)))
    total = max(counts.values(), default=0)
    return ["", *(prefix for prefix, count in counts.items() if count >= 2 and count * 10 >= total)]


def _words(taken: str, added: str) -> str:
    if taken == added:
        return ""
    if not taken:
        return f"names with {added!r} in front"
    if not added:
        return f"names without {taken!r}"
    return f"names with {added!r} for {taken!r}"
