"""The weights of several runs, each for one member of a network of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch.nn import Module

from pervade.core.contracts import Domain, Initializer, Model, Started
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.run import RunDirectory
from pervade.domains.composite import Composite
from pervade.engine.checkpoint import load_checkpoint, read_domain


@register("init")
@dataclass(frozen=True)
class Members(Initializer):
    runs: Mapping[str, str] = field(default_factory=dict)  # by the member's name

    def adapt(self, domain: Domain, model: Model) -> Domain:
        """Each part as its run has fitted it."""
        if not isinstance(domain, Composite) or domain.parts.keys() != self.runs.keys():
            raise ConfigError(
                f"init members is for a composite domain of the parts {list(self.runs)}; take random or pretrained"
            )
        fitted = {name: read_domain(self._run(name).preprocess) for name in domain.parts}
        return replace(domain, parts=fitted)

    def apply(self, network: Module, model: Model, domain: Domain) -> Started:
        for name in self.runs:
            run = self._run(name)
            member = load_checkpoint(run, run.require_checkpoint(None)).network
            network.get_submodule(f"members.{name}").load_state_dict(member.state_dict())
        return Started(f"the weights of {', '.join(self.runs)}", tuple(network.state_dict()))

    def _run(self, name: str) -> RunDirectory:
        return RunDirectory(Path(self.runs[name]))
