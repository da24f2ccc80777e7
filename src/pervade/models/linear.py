"""A linear layer an output, on numbers that are given: the simplest network there is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from pervade.core.contracts import Inputs, Model, Observations, Pixels, Sparse
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Linear as Weights
from pervade.core.types import Output
from pervade.nn.backbone import Backbone


@register("model")
@dataclass(frozen=True)
class Linear(Model):
    reads: ClassVar[str] = "simple features of any data"

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        match inputs:
            case Sparse(size):
                return SparseLinear(size, outputs)
            case Observations((width,)):
                return Backbone(inputs, outputs, nn.Identity(), width)
            case Pixels(shape):
                return Backbone(inputs, outputs, nn.Flatten(), math.prod(shape))
        raise ConfigError(f"linear reads rows of numbers, not {inputs.called}; take another of `pervade models`")


class SparseLinear(nn.Module):
    """Of rows that are mostly 0: only the weights of what is there are read."""

    def __init__(self, size: int, outputs: Mapping[str, int]) -> None:
        super().__init__()
        self.size = size
        self.weight = nn.ModuleDict({name: nn.EmbeddingBag(size, width, mode="sum") for name, width in outputs.items()})
        self.bias = nn.ParameterDict({name: nn.Parameter(torch.zeros(width)) for name, width in outputs.items()})
        for weight in self.weight.parameters():
            nn.init.zeros_(weight)

    def forward(self, input: Mapping[str, Tensor], mask: Tensor | None = None) -> Output:
        places, values = input["places"], input["values"]
        return {name: layer(places, per_sample_weights=values) + self.bias[name] for name, layer in self.weight.items()}

    def linear_features(self, input: Mapping[str, Tensor], mask: Tensor | None = None) -> Any:
        from scipy.sparse import csr_matrix

        places, values = input["places"].cpu().numpy(), input["values"].cpu().numpy().astype(np.float64)
        starts = np.arange(len(places) + 1) * places.shape[1]
        matrix = csr_matrix((values.ravel(), places.ravel(), starts), (len(places), self.size))
        matrix.eliminate_zeros()
        return matrix

    @torch.no_grad()
    def set_head(self, name: str, fitted: Weights) -> None:
        self.weight[name].load_state_dict({"weight": torch.from_numpy(fitted.weight.T)})
        self.bias[name].copy_(torch.from_numpy(fitted.bias))
