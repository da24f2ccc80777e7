"""What tests of agents share: sources opened on an environment, networks whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pervade.core.contracts import Context, Opening, SourceSpec
from pervade.core.contracts.abilities import HasCompanions
from pervade.domains.environment import Environment


def fitted(name: str, **settings: Any) -> Environment:
    """The domain once it has looked at the environment; `stack` is what Atari alone has by itself."""
    stack = settings.pop("stack", 1)
    domain = Environment(name=name, **settings).fit(None)  # type: ignore[arg-type]
    if stack == 1:
        return domain
    return replace(
        domain, stack=stack, observation={**domain.observation, "shape": [stack, *domain.inputs().shape[1:]]}
    )


def source_of(
    spec: SourceSpec, domain: Environment, task: Any, model: nn.Module, batch_size: int = 32, **rest: Any
) -> Any:
    rows = domain.read(f"gym://{domain.name}")[0].where("split", "train")
    companions = task.companions(model, domain) if isinstance(task, HasCompanions) else None
    opening = Opening(rows, task, model, Context(domain, companions), batch_size, rest.pop("seed", 0), 0, **rest)
    return spec.open(opening)


class Constant(nn.Module):
    """Every choice as likely as any; every observation worth the same."""

    def __init__(self, value: float = 1.0, choices: int = 2) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))
        self.choices = choices

    def forward(self, input: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        n = len(input)
        return {"logits": torch.zeros(n, self.choices), "value": self.value.expand(n, 1)}


class Sum(Constant):
    """An observation is worth the sum of its numbers."""

    def forward(self, input: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        return {**super().forward(input), "value": input.float().flatten(1).sum(1, keepdim=True) * self.value}
