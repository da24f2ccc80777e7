"""Several networks as one: the weighted sum of what they say.

For classes that is the geometric mean of their probabilities, which the softmax normalises; for labels the same of the
odds; for numbers the mean. A weight may hold the inverse of a temperature, by which a member's answers are as sure as
they ought to be before they are put together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import numpy as np
from torch import Tensor, nn

from pervade.core.bounds import Finite
from pervade.core.contracts import Inputs, Model, Several, require
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Output
from pervade.nn.backbone import ShowsFeatures


@register("model")
@dataclass(frozen=True)
class Blend(Model):
    reads: ClassVar[str] = "the same rows in several ways"
    models: Mapping[str, Model] = field(default_factory=dict)
    weights: Mapping[str, Finite] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.models.keys() != self.weights.keys():
            raise ConfigError(f"blend: weights are of {list(self.weights)}, and models of {list(self.models)}")

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        parts = require(inputs, Several, "blend").parts
        if not self.models or parts.keys() != self.models.keys():
            raise ConfigError(f"blend: models are {list(self.models)}, and inputs {list(parts)}; name one for each")
        return Blended({name: model.build(parts[name], outputs) for name, model in self.models.items()}, self.weights)


class Blended(nn.Module):
    def __init__(self, members: Mapping[str, nn.Module], weights: Mapping[str, float]) -> None:
        super().__init__()
        self.members, self.weights = nn.ModuleDict(members), dict(weights)

    @property
    def strongest(self) -> str:
        """The member that weighs most, of those that show features."""
        shown = [name for name, member in self.members.items() if isinstance(member, ShowsFeatures)]
        return max(shown, key=lambda name: abs(self.weights[name]), default="")

    def linear_features(self, input: Mapping[str, Any], mask: Tensor | None = None) -> Any:
        """Those of the `strongest` member, (n, d): the mean over a row's examples (n, v, …)."""
        from scipy.sparse import csr_matrix

        given, member = input[self.strongest], cast(ShowsFeatures, self.members[self.strongest])
        flat = {name: _flat(value) for name, value in given.items() if name != "weight"}
        rows, examples = given["weight"].shape
        starts = np.arange(rows + 1) * examples
        mean = csr_matrix((given["weight"].cpu().numpy().ravel(), np.arange(rows * examples), starts))
        return mean @ member.linear_features(flat["input"], flat.get("mask"))

    def forward(self, input: Mapping[str, Any], mask: Tensor | None = None) -> Output:
        whole: Output = {}
        for name, member in self.members.items():
            for output, value in _answer(member, input[name]).items():
                weighted = self.weights[name] * value
                whole[output] = whole[output] + weighted if output in whole else weighted
        return whole


def _answer(member: nn.Module, given: Mapping[str, Any]) -> Output:
    """The mean over a row's examples (n, v, …) of what the member says of each."""
    weight = given["weight"]
    flat = {name: _flat(value) for name, value in given.items() if name != "weight"}
    output = member(flat["input"], mask=flat.get("mask"))
    return {
        name: (value.unflatten(0, weight.shape) * weight[..., None].to(value.dtype)).sum(1)
        for name, value in output.items()
    }


def _flat(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.flatten(0, 1)
    return {name: _flat(part) for name, part in value.items()}
