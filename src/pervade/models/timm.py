"""Every network of the library timm, as timm:NAME (timm:resnet50, timm:vit_small_patch16_224, …); its weights too."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from pervade.core.bounds import Part
from pervade.core.contracts import Inputs, Model, Pixels, require
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.nn.backbone import Backbone
from pervade.nn.trial import features
from pervade.weights.hub import HubRepository


@register("model")
@dataclass(frozen=True)
class Timm(Model):
    """Images of any size where the network can; a vision transformer is built for the size that is asked."""

    reads: ClassVar[str] = "pictures"
    rest: ClassVar[str] = "name"

    name: str = ""  # timm's name, with or without the tag of its weights: resnet50.a1_in1k
    dropout: Part = 0.0  # before the head

    def build(self, inputs: Inputs, outputs: Mapping[str, int]) -> nn.Module:
        """Raises ConfigError where there is no such network, with the nearest names, or it does not fit."""
        settings, name = self._settings(), f"timm:{self.name}"
        seen = require(inputs, Pixels, name)
        body, width = features(name, lambda side: self._body(seen.shape[0], side, settings), seen)
        return Backbone(inputs, outputs, body, width, self.dropout)

    def _body(self, channels: int, side: int, settings: Any) -> nn.Module:
        import timm

        # Position embeddings and windows are made for one size, so it must be known.
        fixed: dict[str, Any] = {"img_size": side} if settings.fixed_input_size else {}
        body: nn.Module = timm.create_model(self.name, pretrained=False, num_classes=0, in_chans=channels, **fixed)
        return body

    def _settings(self) -> Any:
        """timm's record of the network. Raises ConfigError where there is none."""
        import timm

        if not self.name:
            raise ConfigError("timm takes a network's name: --model timm:resnet50")
        architecture = self.name.partition(".")[0]
        if not timm.is_model(architecture):
            near = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(f'timm:{name}' for name in near)}?" if near else "see timm.list_models()"
            raise ConfigError(f"timm has no network {self.name!r}; {hint}")
        try:
            return timm.get_pretrained_cfg(self.name)
        except RuntimeError:
            tags = ", ".join(f"timm:{tag}" for tag in timm.list_pretrained(f"{architecture}.*")) or "none"
            raise ConfigError(f"timm has no weights {self.name!r}; for {architecture} there are: {tags}") from None

    @property
    def side(self) -> int:
        """Pixels of the pictures its weights were made with."""
        return int(self._settings().input_size[-1])

    def published(self) -> HubRepository | None:
        settings = self._settings()
        return HubRepository(settings.hf_hub_id) if settings.hf_hub_id else None
