"""Networks that are asked about every frame of a recording: which sound stands there (CTC), who speaks.

waveform (n, 1, t), mask (n, t) -> body -> features (n, f, d) and the frames that count (n, f) -> a head an output
"""

from __future__ import annotations

import torch
from torch import Tensor

from pervade.core.types import Output
from pervade.nn.backbone import Backbone


class FrameBackbone(Backbone):
    """`body(wave, mask)` gives features of every frame and the frames that count, (n, f) bool, or None where all do.
    The output "frames" is that mask, whole."""

    def features(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        found: Tensor = self.body(input, mask)[0]
        return found

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Output:
        features, frames = self.body(input, mask)
        if frames is None:
            frames = torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
        features = self.dropout(features)
        return {**{name: head(features) for name, head in self.head.items()}, "frames": frames}
