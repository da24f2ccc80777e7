"""A run's model as one module, from what a person has to what is answered: what the exporters write.

takes (domain) -> entrance -> network -> deployed (task) -> deployed (promises) -> gives (task)
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import Module

from pervade.core import registry
from pervade.core.contracts import Context, Signature, TensorSpec
from pervade.core.contracts.abilities import Deployable
from pervade.core.contracts.capabilities import Portable, labels_of
from pervade.core.contracts.deployment import Approximated, Graphless
from pervade.core.contracts.promises import KeptInGraph
from pervade.core.errors import ConfigError
from pervade.engine import promises
from pervade.engine.checkpoint import Loaded

PREDICT = "`pervade predict` and `pervade.load` answer by it here"


class Deployed(Module):
    """`network`, in evaluation mode, behind its domain's entrance and before its task's answers: tensors as
    `signature.inputs` says in their order, to those of `signature.outputs` in theirs.

    Raises ConfigError where there is no such form of the run, with the reason and what to take instead.
    """

    def __init__(self, loaded: Loaded) -> None:
        super().__init__()
        self.domain, self.task = loaded.domain, loaded.task
        self.signature = signature(loaded)
        assert isinstance(loaded.domain, Portable), "as `signature` asks"
        self.entrance, self.network = loaded.domain.entrance(), loaded.network
        self.context = Context(loaded.domain, decision=loaded.decision, targets=False, members=loaded.members)
        self.kept = [one for one, added in _promised(loaded) if added is not None]

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        batch = self.entrance(*given)
        assert isinstance(self.task, Deployable), "as `signature` asks"
        answers = self.task.deployed(self.network, batch, self.context)
        for one in self.kept:
            assert isinstance(one.promise, KeptInGraph)
            answers = one.promise.deployed(answers, one.settled, self.domain)
        return tuple(answers[spec.name] for spec in self.signature.outputs)


def signature(loaded: Loaded) -> Signature:
    """Raises ConfigError as `Deployed` does."""
    domain, task = loaded.domain, loaded.task
    for part in (domain, task):
        if isinstance(part, Graphless):
            raise ConfigError(part.graphless)
    if not isinstance(domain, Portable):
        raise ConfigError(f"{domain.reads} cannot be given to an exported graph; {PREDICT}")
    if not isinstance(task, Deployable):
        name = registry.full_name(task)
        raise ConfigError(f"what the task {name} answers cannot be computed in an exported graph; {PREDICT}")
    promised = _promised(loaded)
    specs = [*task.gives(domain), *(spec for _, added in promised for spec in added or ())]
    left_out = [change.apart for change in loaded.changes if isinstance(change, Approximated) and change.apart]
    left_out += [
        f"{one.promise.asked} is not kept by the graph, and is by `pervade predict`"
        for one, added in promised
        if added is None
    ]
    outputs = {spec.name: spec for spec in specs}  # what a promise says anew stands where the task has it
    return Signature(domain.takes(), tuple(outputs.values()), tuple(labels_of(domain)), tuple(left_out))


def _promised(loaded: Loaded) -> list[tuple[promises.Settled, tuple[TensorSpec, ...] | None]]:
    """Each promise that is kept with the outputs that it adds to the graph, None where the graph cannot keep it."""
    assert isinstance(loaded.task, Deployable), "as `signature` asks"
    gives = {spec.name for spec in loaded.task.gives(loaded.domain)}
    made = []
    for one in promises.kept(loaded.decision):
        with one.reading():
            promise = one.promise
            made.append(
                (one, promise.adds(one.settled, gives, loaded.domain) if isinstance(promise, KeptInGraph) else None)
            )
    return made
