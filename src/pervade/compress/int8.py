"""Eight bits in the place of 32: about a quarter of the size, and several times as fast on processors with VNNI or AMX.

Convolutional networks get ranges of activations that are measured on training rows (static), transformers find theirs
when they run (dynamic). Of ranges, the whole one and one without the outermost numbers are tried, and the better on
validation rows is taken. Where too much is lost, layers are ranked by what each alone does to the output, and the
worst are kept in float until little enough is lost. `aware` trains the rounded network a little (Jacob et al. 2017,
arXiv:1712.05877), with the float one as its teacher where the task knows how. The arithmetic is nn/int8.py's.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Module

from pervade.core.bounds import Finite, LearningRate, Passes, Seconds, Share
from pervade.core.contracts import Change, Compressed, Compressor, Subject, Wrapping
from pervade.core.contracts.abilities import CanTeach
from pervade.core.errors import ConfigError, UnfitError
from pervade.core.registry import register
from pervade.core.types import Batch
from pervade.engine import building
from pervade.engine.recovery import recovery
from pervade.nn import int8
from pervade.nn.constant_folding import fold
from pervade.nn.int8 import How, Observer, Plan
from pervade.tasks.distil import Distil

SAMPLED = 100_000  # numbers of a tensor by which its tails are told
BY_BATCH = (
    "a range of numbers for each row: rows that are given to the graph together share one, padding among them, and are "
    "answered a little otherwise than one by one, as which parity.json compares them"
)
OVERFLOWS = (
    "weights of eight bits, whose sums overflow on x86 processors without VNNI and AMX: for these make it with "
    "-o int8.bits=7"
)
NAMED = 3  # layers that a summary names


@register("change", name="quantised")
@dataclass(frozen=True)
class Quantised(Change):
    """The network computes in whole numbers (nn/int8.py: Plan); its weights stay as they are, in float."""

    how: How = "dynamic"
    ranges: Mapping[str, tuple[Finite, Finite]] = field(default_factory=dict)
    norms: Mapping[str, str] = field(default_factory=dict)
    clamped: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    bits: Literal[4, 7, 8] = 8
    block: Literal[16, 32, 64, 128] = 32

    @property
    def plan(self) -> Plan:
        return Plan(
            self.how, self.ranges, self.norms, frozenset(self.clamped), frozenset(self.kept), self.bits, self.block
        )

    def apply(self, network: Module) -> Module:
        """Raises ConfigError where the network lacks a layer that the change names."""
        known = {name for name, _ in network.named_parameters(remove_duplicate=False)}
        modules = {name for name, _ in network.named_modules()}
        named = {name.rstrip("+>") for name in (*self.ranges, *self.norms, *self.clamped, *self.kept)}
        if strange := sorted((named - known) | (set(self.norms.values()) - modules)):
            raise ConfigError(f"quantised: {strange[0]!r} is no layer of {type(network).__name__}; they do not fit")
        return int8.simulate(network, self.plan)

    @property
    def apart(self) -> str:
        told = [BY_BATCH] if self.how == "dynamic" else []
        return "; ".join([*told, OVERFLOWS] if self.how != "weights" and self.bits == 8 else told)

    def finish(self, model: Any) -> Any:
        """The ONNX graph (onnx.ModelProto) with its weights stored in eight bits or fewer."""
        return fold(model)


@register("compress")
@dataclass(frozen=True)
class Int8(Compressor):
    rounds: ClassVar[bool] = True
    mode: Literal["auto", "static", "dynamic", "aware"] = "auto"
    bits: Literal["auto", 7, 8] = (
        "auto"  # of weights; auto: 7, which any processor multiplies, where this one has neither
    )
    # VNNI nor AMX (nn/int8.py)
    batches: Annotated[int, Field(ge=1, le=100_000)] = 16  # of training rows, by which ranges are measured
    tails: Annotated[float, Field(ge=0, le=0.1)] = 0.0001  # share of a tensor's numbers, on either side, that the
    # narrower of the two ranges leaves out
    loss: Share = 0.002  # of the headline figure on validation rows (of one without two bounds, of what it was), up to
    # which no layer is kept in float
    seconds: Seconds = 120.0  # that looking for sensitive layers may take
    epochs: Passes = 1  # aware: of the training
    lr: LearningRate = 1e-5  # aware: of that training

    def __call__(self, subject: Subject) -> Compressed:
        require_float(subject)
        network, changes = building.merged(subject.loaded.network, subject.loaded.changes)
        observed, plans = self._plans(network, islice(subject.batches(), self.batches))
        layers = observed.layers
        before = subject.judge(network)
        figures = [_judged(subject, network, plan) for plan in plans]
        best = max(range(len(plans)), key=lambda number: figures[number])
        plan, figure = plans[best], figures[best]
        if subject.loss(before, figure) > self.loss and self.mode != "aware":
            plan, figure = self._without_sensitive(subject, network, plan, layers, before, figure)
        change = _change(plan)
        made = (*changes, change)
        learns = recovery(subject, made, self.epochs, self.lr) if self.mode == "aware" else None
        if learns is not None and isinstance(learns.task, CanTeach) and not isinstance(learns.task, Wrapping):
            learns = replace(learns, task=Distil(learns.task, str(subject.place)))
        return Compressed(change.apply(network), made, _summary(plan, observed, before, figure), learns, True)

    def _plans(self, network: Module, batches: Iterator[Batch]) -> tuple[Observed, list[Plan]]:
        """What layers there are, and ways to compute them in whole numbers."""
        observed = observe(network, batches, self.tails)
        layers, weights = observed.layers, dict(network.named_parameters(remove_duplicate=False))
        sizes = {
            kind: sum(weights[name].numel() for name, own in layers.items() if own == kind)
            for kind in ("convolution", "linear")
        }
        if not any(sizes.values()):
            raise UnfitError(
                f"int8: {type(network).__name__} has no convolution or linear layer that computes in eight bits"
            )
        how: How = "static" if sizes["convolution"] >= sizes["linear"] else "dynamic"
        how = self.mode if self.mode in ("static", "dynamic") else how
        bits = (7 if int8.adds_in_16_bits() else 8) if self.bits == "auto" else self.bits
        if how == "dynamic":
            if not sizes["linear"]:
                raise ConfigError(
                    "int8: convolutions have no kernel that finds its range when it runs; set -o int8.mode=static"
                )
            return observed, [Plan("dynamic", bits=bits)]
        whole = Plan("static", observed.ranges(whole=True), observed.norms, observed.clamped, bits=bits)
        if self.tails == 0:
            return observed, [whole]
        return observed, [whole, replace(whole, ranges=observed.ranges(whole=False))]

    def _without_sensitive(
        self, subject: Subject, network: Module, plan: Plan, layers: dict[str, str], before: float, figure: float
    ) -> tuple[Plan, float]:
        """The plan with the fewest layers in float of 1, 2, 4, … that loses little enough, or else the best seen."""
        end = time.monotonic() + self.seconds
        order = _ranked(network, plan, quantised(plan, layers), next(subject.batches()), end)
        best, number = (plan, figure), 1
        while number <= len(order) // 2 and subject.loss(before, best[1]) > self.loss and time.monotonic() < end:
            tried = replace(plan, kept=frozenset(order[:number]))
            figure = _judged(subject, network, tried)
            best = max(best, (tried, figure), key=lambda pair: pair[1])
            number *= 2
        if subject.loss(before, best[1]) > self.loss:
            subject.say(
                f"int8 loses {before - best[1]:.4f} of {before:.4f} on validation rows with {len(best[0].kept)} layers "
                "in float; -o int8.mode=aware trains it a little"
            )
        return best


def require_float(subject: Subject) -> None:
    """Raises ConfigError where the network computes in whole numbers already."""
    if any(isinstance(change, Quantised) for change in subject.loaded.changes):
        raise ConfigError(
            f"{subject.loaded.name} computes in whole numbers already; give --checkpoint one that does not"
        )


@dataclass
class Observed:
    layers: dict[str, str]
    norms: dict[str, str]
    clamped: frozenset[str]
    ends: dict[str, list[tuple[float, ...]]]  # of each batch: least, most, and both without tails
    tied: frozenset[str] = frozenset()  # weights that are looked up, and multiply as well

    def ranges(self, whole: bool) -> dict[str, tuple[float, float]]:
        if whole:
            return {name: (min(e[0] for e in ends), max(e[1] for e in ends)) for name, ends in self.ends.items()}
        return {
            name: (sum(e[2] for e in ends) / len(ends), sum(e[3] for e in ends) / len(ends))
            for name, ends in self.ends.items()
        }


@torch.no_grad()
def observe(network: Module, batches: Iterator[Batch], tails: float) -> Observed:
    """What goes into and comes out of each layer. Raises ConfigError where there are no rows to measure it on."""
    seen, rows = Observed({}, {}, frozenset(), {}), 0
    for batch in batches:
        rows += len(batch["input"])
        with Observer(network, lambda tensor: _ends(tensor, tails)) as observer:
            network(batch["input"], mask=batch.get("mask"))
        for name, ends in observer.seen.items():
            seen.ends.setdefault(name, []).append(ends)
        seen.layers |= observer.layers
        seen.norms |= observer.norms
        seen.clamped |= observer.clamped
        seen.tied |= {name for name in observer.looked_up if observer.layers[name] == "linear"}
    if not rows:
        raise ConfigError(
            "int8: there are no training rows to measure the ranges of activations on; put the data "
            "where they were when the run was trained"
        )
    return seen


def _ends(tensor: Tensor, tails: float) -> tuple[float, float, float, float]:
    x = tensor.detach().flatten().float()
    low, high = (float(end) for end in x.aminmax())
    if tails == 0:
        return low, high, low, high
    part = x[:: max(1, len(x) // SAMPLED)]
    number = max(1, round(tails * len(part)))
    inner_low = float(part.kthvalue(number).values)
    inner_high = float(part.kthvalue(len(part) - number + 1).values)
    return low, high, inner_low, inner_high


@contextmanager
def _simulated(network: Module, plan: Plan) -> Iterator[Module]:
    try:
        yield int8.simulate(network, plan)
    finally:
        int8.float_again(network)


def _judged(subject: Subject, network: Module, plan: Plan) -> float:
    with _simulated(network, plan) as rounded:
        return subject.judge(rounded)


def quantised(plan: Plan, layers: Mapping[str, str]) -> list[str]:
    """Names of the layers that the plan computes in whole numbers, or, of embeddings, stores so."""
    kinds = ("convolution", "linear", "embedding") if plan.how == "static" else ("linear", "embedding")
    return [name for name, kind in layers.items() if kind in kinds and name not in plan.kept]


@torch.no_grad()
def _ranked(network: Module, plan: Plan, names: list[str], batch: Batch, end: float) -> list[str]:
    """The layers by how much each alone, in whole numbers, moves the output, the worst first; those that there was no
    time for come last."""
    right = _outputs(network, batch)
    harm: dict[str, float] = {}
    for name in names:
        if time.monotonic() > end:
            break
        with _simulated(network, replace(plan, kept=frozenset(names) - {name})) as rounded:
            harm[name] = sum(
                float((one - other).square().mean())
                for one, other in zip(_outputs(rounded, batch), right, strict=True)
                if one.shape == other.shape
            )
    return sorted(names, key=lambda name: -harm.get(name, -1.0))


def _outputs(network: Module, batch: Batch) -> list[Tensor]:
    made = network(batch["input"], mask=batch.get("mask"))
    parts = made.values() if isinstance(made, Mapping) else [made]
    return [part.float() for part in parts if isinstance(part, Tensor) and part.is_floating_point()]


def _change(plan: Plan) -> Quantised:
    ranges = {name: ends for name, ends in plan.ranges.items() if name not in plan.kept}
    return Quantised(plan.how, ranges, plan.norms, tuple(sorted(plan.clamped)), tuple(sorted(plan.kept)), plan.bits)  # type: ignore[arg-type]


def summary(plan: Plan, layers: Mapping[str, str]) -> str:
    """How many layers compute in whole numbers, and which do not."""
    done = quantised(plan, layers)
    left = [name for name in layers if name not in done]
    named = ", ".join(name.removesuffix(".weight") for name in left[:NAMED])
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    inside = sum(layers[name] == "attention" for name in left)
    why = f" ({inside} inside torch's MultiheadAttention)" if inside else ""
    return f"{len(done)} of {len(layers)} layers" + (f"; in float: {named}{more}{why}" if left else "")


def stored_twice(plan: Plan, tied: Iterable[str]) -> str:
    """Which tied weights a graph holds twice, in other bits to multiply than to be looked up; empty where none."""
    names = ", ".join(sorted(name.removesuffix(".weight") for name in tied if name not in plan.kept))
    return (
        f"; {names} stored twice, in 8 bits to look up, in {plan.bits} to multiply" if names and plan.bits < 8 else ""
    )


def _summary(plan: Plan, observed: Observed, before: float, figure: float) -> str:
    fewer = f" (weights of {plan.bits} bits, for processors without VNNI)" if plan.bits < 8 else ""
    twice = stored_twice(plan, observed.tied)
    of = summary(plan, observed.layers)
    return f"{plan.how} int8 of {of}{fewer}{twice}; on validation rows {before:.4f}, then {figure:.4f}"
