"""The few things that several processes of one training (torchrun) must agree on. With one process each is free.

Gradients are summed by hand after backward, not by DistributedDataParallel, because a step may have several players,
companions with parameters, and a divisor that is known only when all ranks have counted their units.
"""

from __future__ import annotations

import atexit
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Module, Parameter

from pervade.core import errors
from pervade.core.errors import PervadeError
from pervade.nn.stages import stages
from pervade.nn.tables import HasTables

T = TypeVar("T")


def start(device: str) -> torch.device:
    """Joins the process group where torchrun started this process, and returns this rank's device."""
    if "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        if device == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
        atexit.register(finish)
    if device == "cuda":
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device(device)


def finish() -> None:
    """Leaves the process group. The threads of gloo may still hold tensors of the last sum, and ask Python to let go of
    them: where Python is already ending, such a thread takes the process with it (SIGABRT). So they get a moment."""
    if dist.is_initialized():
        dist.destroy_process_group()
        time.sleep(0.1)


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def wait() -> None:
    """Returns when every rank has come here."""
    if world() > 1:
        dist.barrier()


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")


def sum_numbers(*values: float) -> list[float]:
    if world() == 1:
        return list(values)
    total = torch.tensor(values, dtype=torch.float64, device=_device())
    dist.all_reduce(total)
    return [float(value) for value in total]


def first(value: float) -> float:
    """The first rank's number on every rank, so that what hangs on it is decided alike."""
    return sum_numbers(value if rank() == 0 else 0.0)[0]


def largest(*values: float) -> list[float]:
    """The largest of each value over all ranks."""
    if world() == 1:
        return list(values)
    most = torch.tensor(values, dtype=torch.float64, device=_device())
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return [float(value) for value in most]


def sum_floats(values: dict[str, float]) -> dict[str, float]:
    """Sums each named number; every rank must have the same names."""
    return dict(zip(values, sum_numbers(*values.values()), strict=True))


def any_true(value: bool) -> bool:
    return value if world() == 1 else sum_numbers(float(value))[0] > 0


def sum_gradients(parameters: Sequence[Parameter]) -> list[Tensor]:
    """Sums `.grad` over all ranks, and returns the gradients. One that some ranks lack counts as zeros there; one that
    all lack stays missing, so that an optimiser passes that weight by, as it would with one rank (a stage that has not
    begun to learn)."""
    there = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8, device=_device())
    dist.all_reduce(there, dist.ReduceOp.MAX)
    for parameter, somewhere in zip(parameters, there.tolist(), strict=True):
        if somewhere and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    apart = [gradient for gradient in gradients if not _sharded(gradient)]  # of shards backward has summed them
    if apart:
        flat = torch.cat([gradient.flatten() for gradient in apart])
        dist.all_reduce(flat)
        for gradient, piece in zip(apart, flat.split([g.numel() for g in apart]), strict=True):
            gradient.copy_(piece.view_as(gradient))
    return gradients


def same_text(text: str, source: int = 0) -> str:
    """The text of one rank, the first, on every rank."""
    if world() == 1:
        return text
    length = int(sum_numbers(len(text.encode()) if rank() == source else 0)[0])
    letters = torch.zeros(length, dtype=torch.uint8, device=_device())
    if rank() == source:
        letters.copy_(torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8))
    dist.broadcast(letters, source)
    return bytes(letters.cpu().tolist()).decode()


def together(make: Callable[[], T]) -> T:
    """What `make` gives, in which no rank needs another. Where it fails in one, it fails in all, once all are there:
    each raises its own PervadeError, or the first such rank's."""
    if world() == 1:
        return make()
    fault: PervadeError | None = None
    made: list[T] = []
    try:
        made.append(make())
    except PervadeError as error:
        fault = error
    failed = int(-largest(-float(rank() if fault is not None else world()))[0])
    if failed < world():
        name, _, text = same_text(f"{_kind(fault)} {fault}", failed).partition(" ")
        raise fault or getattr(errors, name)(text)
    return made[0]


def _kind(fault: PervadeError | None) -> str:
    """The nearest kind of error that another rank can make of its text alone; of none, nothing."""
    ours = (kind for kind in type(fault).__mro__ if kind.__module__ == errors.__name__)
    return next((kind.__name__ for kind in ours if kind is not errors.SizeError), "")


def by_first(make: Callable[[], None]) -> None:
    """Does in the first rank alone what all wait for, and what fails in all where it fails there."""
    together(lambda: make() if rank() == 0 else None)


@torch.no_grad()
def same_everywhere(tensors: Sequence[Tensor]) -> None:
    """Gives every rank the first rank's values (weights after building, so that all start alike)."""
    if world() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def same_network(network: Module) -> None:
    """Gives every rank the first rank's weights and tables, whose length the others need not know."""
    if world() == 1:
        return
    own = network.state_dict()
    sizes = json.loads(same_text(json.dumps({name: list(value.shape) for name, value in own.items()})))
    same = {name: value if rank() == 0 else value.new_empty(sizes[name]) for name, value in own.items()}
    same_everywhere(list(same.values()))
    load(network, same)


# weights of which each rank holds a share


def shard(network: Module) -> Module:
    """Leaves to each rank its share of every weight (FSDP2; Zhao et al. 2023, arXiv:2304.11277), in place. From then on
    all ranks must enter every forward pass and `whole`. Such a network cannot be copied: no averaged weights."""
    from torch.distributed.fsdp import FSDPModule, fully_shard

    network.to(memory_format=torch.contiguous_format)  # FSDP2 takes no other
    own = {module for module in network.modules() if type(module).forward is not Module.forward} - {network}
    for part in (*(stage for stage in stages(network) if stage in own), network):
        fully_shard(part, reshard_after_forward=True)
    for part in network.modules():
        if isinstance(part, FSDPModule):
            part.set_gradient_divide_factor(1.0)  # the sum, as of whole weights; and a sum is all that gloo can do
            part.set_force_sum_reduction_for_comms(True)
            part.unshard()  # once before all else: where a prediction came first, it would make tensors that cannot
            part.reshard()  # be trained (inference mode)
    return network


def sharded(network: Module) -> bool:
    return any(_sharded(parameter) for parameter in network.parameters())


def _sharded(value: Any) -> bool:
    return hasattr(value, "full_tensor")


def whole(state: Any) -> Any:
    """A state (dicts and lists) with every shard in it put together. All ranks must ask; the first, which writes, gets
    it, on its processor, and the others get nothing of what is sharded."""
    if world() == 1:
        return state
    if isinstance(state, Mapping):
        return {name: whole(value) for name, value in state.items()}
    if isinstance(state, list):
        return [whole(value) for value in state]
    if not _sharded(state):
        return state
    tensor = state.full_tensor()
    return tensor.cpu() if rank() == 0 else tensor.new_empty(0)


def share(value: Tensor, like: Tensor) -> Tensor:
    """This rank's share of a tensor that every rank has whole, where `like` is sharded."""
    if _sharded(value) or not _sharded(like):
        return value
    from torch.distributed.tensor import distribute_tensor

    place: Any = like
    return distribute_tensor(value.to(like.device), place.device_mesh, place.placements, src_data_rank=None)


def load(network: Module, weights: Mapping[str, Tensor]) -> None:
    """As `network.load_state_dict`, of whole weights."""
    if isinstance(network, HasTables):
        network.make_room(weights)
    own = network.state_dict()
    network.load_state_dict({name: share(value, own.get(name, value)) for name, value in weights.items()})
