"""A network that answers for every frame of a recording, and says which frames count.

waveform (n, 1, t), mask (n, t) -> body -> features (n, f, d), frames (n, f) -> one head an output (n, f, k)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pervade.core.types import Output
from pervade.nn.backbone import Backbone
from pervade.nn.modes import evaluating


class EveryFrame(Backbone):
    """`body` maps a waveform and its mask to features and the frames that count."""

    def features(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        features: Tensor = self.body(input, mask)[0]
        return features

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Output:
        features, frames = self.body(input, mask)
        features = self.dropout(features)
        return {**{name: head(features) for name, head in self.head.items()}, "frames": frames}


def frames_of(network: nn.Module, samples: int) -> int:
    """Into how many frames the network divides a recording of so many samples: it is tried on silence."""
    like = next(network.parameters())
    with evaluating(network), torch.inference_mode():
        output: Output = network(torch.zeros(1, 1, samples, device=like.device))
    return int(output["frames"].sum())
