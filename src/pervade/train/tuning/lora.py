"""Low-rank adapters beside the body's weights, which stay as they are (Hu et al. 2021, arXiv:2106.09685), through peft.

A layer with weight W gives W x + (alpha / rank) B A x; A and B learn, B begins at zero, and the head learns whole.
Adapted are convolutions and linear layers; of a transformer on torch's own attention these are the layers between its
attentions, where adapters do at least as well (He et al. 2022, arXiv:2110.04366).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import nn
from torch.nn import Module, Parameter
from torch.nn.modules.batchnorm import _BatchNorm

from pervade.core.bounds import Part
from pervade.core.contracts import Mergeable, ParameterGroup, Tuning
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.nn import backbone


@register("tuning")
@register("change")
@dataclass(frozen=True)
class Lora(Tuning, Mergeable):
    rank: Annotated[int, Field(ge=1, le=4096)] = 8
    alpha: Annotated[int, Field(ge=1, le=65536)] = 16  # the adapters' output is scaled by alpha / rank
    dropout: Part = 0.0  # of the adapters' input
    alone: bool = False  # whether they are saved alone where the weights beside them were published, which are then
    # needed whenever the model is used; off: a checkpoint holds everything

    def apply(self, network: Module) -> Module:
        """Raises ConfigError where the body has no layer that an adapter fits."""
        # Imported here, since peft takes seconds to import, and few runs need it.
        from peft import LoraConfig, inject_adapter_in_model

        body = backbone.known(network, "--lora").body
        targets = adaptable(body)
        if not targets:
            raise ConfigError(
                f"--lora: {type(body).__name__} has no convolution or linear layer to adapt; use --freeze"
            )
        config = LoraConfig(r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=targets)
        with warnings.catch_warnings():
            # GPT-2's layers hold their weights the other way round, and peft says that it has seen so.
            warnings.filterwarnings("ignore", "fan_in_fan_out is set to False")
            inject_adapter_in_model(config, body)
        return network

    def groups(self, network: Module, parameters: Sequence[Parameter]) -> list[ParameterGroup]:
        adapters = {id(p) for name, p in network.named_parameters() if ".lora_" in name}
        body = {id(p) for p in backbone.known(network, "--lora").body.parameters()}
        return [ParameterGroup([p for p in parameters if id(p) in adapters or id(p) not in body])]

    def frozen(self, network: Module, progress: float) -> list[Module]:
        """Batch normalisation keeps the running statistics that belong to the weights beside it."""
        body = backbone.known(network, "--lora").body
        return [module for module in body.modules() if isinstance(module, _BatchNorm)]

    def kept(self, network: Module) -> set[str]:
        """The body, but for the adapters, where these are saved alone."""
        if not self.alone:
            return set()
        body = backbone.known(network, "--lora").body
        return {f"body.{name}" for name in body.state_dict() if ".lora_" not in name}

    def merge(self, network: Module) -> Module:
        """W + (alpha / rank) B A in the place of W."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        for parent in list(network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, BaseTunerLayer):
                    child.merge()
                    setattr(parent, name, child.get_base_layer())
        return network


def adaptable(body: Module) -> list[str]:
    """Names of the layers that an adapter fits: linear ones and ungrouped convolutions that are called as layers, but
    for a language model's last, which is tied to its embedding and as large.

    torch's attention calls none of its own, but reads their weights. To adapt it peft would add to those weights before
    every step and subtract afterwards, and by rounding the weights that are to stay would drift.
    """
    attention = [f"{name}." for name, module in body.named_modules() if isinstance(module, nn.MultiheadAttention)]
    outputs = getattr(body, "outputs", ())
    return [
        name
        for name, module in body.named_modules()
        if isinstance(module, nn.Linear)
        or _transposed(module)
        or (isinstance(module, nn.Conv2d) and module.groups == 1)
        if name and name not in outputs and not name.startswith(tuple(attention))
    ]


def _transposed(module: Module) -> bool:
    """GPT-2's own linear layer, under a misleading name; it is looked for by name, since an import would load the
    library."""
    return type(module).__name__ == "Conv1D" and type(module).__module__ == "transformers.pytorch_utils"
