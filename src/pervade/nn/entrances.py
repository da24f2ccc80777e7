"""What stands before a network in an exported graph: from tensors as people have them to a batch's "input" and "mask".

Axis letters: n rows, t tokens or samples, k places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def of_views(values: Tensor, batch: dict[str, Any]) -> Tensor:
    """(n, …), the mean over the views of each row, which come one after another; what there is one of as it is."""
    views = batch.get("views", 1)
    return values if views == 1 else values.unflatten(0, (-1, views)).mean(1)


class TokensEntrance(nn.Module):
    """Tokens (n, t), 1 at tokens and 0 at padding (n, t); then what else a batch holds, by `more`: numbers as they are,
    and what is bool in a batch as 1 and 0."""

    def __init__(self, **more: type) -> None:
        super().__init__()
        self.more = more

    def forward(self, tokens: Tensor, mask: Tensor, *others: Tensor) -> dict[str, Tensor]:
        batch = {"input": tokens, "mask": mask != 0}
        for (name, kind), other in zip(self.more.items(), others, strict=True):
            batch[name] = other != 0 if kind is bool else other
        return batch


class RecordingEntrance(nn.Module):
    """Waveforms (n, t) of -1..1, filled up at the end, and the samples (n,) of each; of several `views` (n, views, t)
    and (n, views). With a `window` of so many samples the middle of each stands in the middle of one, with silence
    around it where it is shorter; without, a mask says what is filled up."""

    def __init__(self, window: int | None = None, views: int = 1) -> None:
        super().__init__()
        self.window, self.views = window, views

    def forward(self, waveform: Tensor, lengths: Tensor) -> dict[str, Any]:
        if self.views > 1:
            waveform, lengths = waveform.flatten(0, 1), lengths.flatten(0, 1)
        return {**self._heard(waveform, lengths), "views": self.views}

    def _heard(self, waveform: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        places = torch.arange(waveform.shape[1] if self.window is None else self.window)[None]
        if self.window is None:
            return {"input": waveform[:, None], "mask": places < lengths[:, None], "size": lengths}
        # Python's rounding, half to even, as data/sound/sound_augment.py has it.
        before = ((self.window - lengths) * 0.5).round().long()
        places = places - before[:, None]
        heard = (places >= 0) & (places < lengths[:, None])
        placed = waveform.gather(1, places.clamp(min=0).minimum((lengths - 1).clamp(min=0)[:, None]))
        return {"input": (placed * heard)[:, None]}


class SparseEntrance(nn.Module):
    """Places (n, t) and values (n, t) of the numbers of a long row that are not 0."""

    def forward(self, places: Tensor, values: Tensor) -> dict[str, Any]:
        return {"input": {"places": places, "values": values}}


class PlainEntrance(nn.Module):
    """What the network takes as it is."""

    def forward(self, input: Tensor) -> dict[str, Tensor]:
        return {"input": input}


class SeveralEntrance(nn.Module):
    """Entrances by name, each of the tensors at its `places`: what models/blend.py is given of rows in several ways."""

    def __init__(self, parts: Mapping[str, nn.Module], places: Mapping[str, Sequence[int]]) -> None:
        super().__init__()
        self.parts, self.places = nn.ModuleDict(parts), dict(places)

    def forward(self, *given: Tensor) -> dict[str, Any]:
        inputs: dict[str, Any] = {}
        for name, part in self.parts.items():
            batch = part(*(given[place] for place in self.places[name]))
            views = batch.get("views", 1)
            own = {key: _apart(batch[key], views) for key in ("input", "mask") if key in batch}
            inputs[name] = {**own, "weight": torch.full((given[0].shape[0], views), 1 / views)}
        return {"input": inputs}


def _apart(value: Any, views: int) -> Any:
    """(n x views, …) as (n, views, …), of a tensor or of several by name."""
    if isinstance(value, Tensor):
        return value.unflatten(0, (-1, views))
    return {name: _apart(part, views) for name, part in value.items()}
