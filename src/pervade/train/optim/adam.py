"""Adam (Kingma and Ba 2014, arXiv:1412.6980)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch.nn import Parameter

from pervade.core.bounds import LearningRate, Part, WeightDecay
from pervade.core.contracts import Optimizer
from pervade.core.registry import register


@register("optimizer")
@dataclass(frozen=True)
class Adam(Optimizer):
    elementwise: ClassVar[bool] = True  # each weight for itself, whatever tensor it is in

    lr: LearningRate = 1e-3
    beta1: Part = 0.9
    beta2: Part = 0.999
    epsilon: Annotated[float, Field(ge=1e-30, le=1)] = 1e-8
    weight_decay: WeightDecay = 0.0  # added to the gradient (L2); AdamW is the decoupled kind

    def build(self, parameters: Iterable[Parameter] | Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        # One fused pass over memory: on a processor Adam is bound by it.
        return _Adam(parameters, self.lr, (self.beta1, self.beta2), self.epsilon, self.weight_decay, fused=True)


class _Adam(torch.optim.Adam):
    """torch's, which for the vector of a small network (engine/flat.py) goes straight to the kernel: profilers, hooks
    and lists take torch's own step six times as long as the 5,000 weights do."""

    def step(self, closure: Any = None) -> Any:
        group = self.param_groups[0]
        parameter = group["params"][0]
        gradient, state = parameter.grad, self.state.get(parameter)
        alone = len(self.param_groups) == 1 and len(group["params"]) == 1 and closure is None
        if not alone or not state or gradient is None or parameter.device.type != "cpu":
            return self._whole_step(closure)
        with torch.no_grad():
            state["step"] += 1
            torch._fused_adam_(
                [parameter],
                [gradient],
                [state["exp_avg"]],
                [state["exp_avg_sq"]],
                [],
                [state["step"]],
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )
        return None

    # torch puts its profiler around every class's step that does not say that it is there already.
    step.hooked = True  # type: ignore[attr-defined]
    _whole_step = torch.optim.Adam.step
