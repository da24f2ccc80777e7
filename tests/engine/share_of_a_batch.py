"""What one rank of two does for test_ranks.py: normalises its share of every batch, forward and backward, and trains,
with whole weights and with sharded ones.

python share_of_a_batch.py FOLDER RANK     reads FOLDER/cases.pt and pictures/, writes FOLDER/RANK.pt
"""

from __future__ import annotations

import copy
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from pervade.core.contracts import Context, Tokens
from pervade.core.errors import DataError
from pervade.core.run import RunDirectory
from pervade.data.text import kneser_ney
from pervade.domains.image import Image
from pervade.engine import ranks
from pervade.engine.fit import Learner
from pervade.models.ngram import NGram
from pervade.models.resnet import ResNet
from pervade.nn.backbone import Backbone
from pervade.nn.batch_norm import over_ranks
from pervade.nn.quantiser import Quantiser
from pervade.run import training, workflow
from pervade.tasks.adversarial_generation import Watch
from pervade.tasks.classify import Classify
from pervade.train.optim.adam import Adam
from pervade.train.optim.sgd import SGD
from pervade.train.schedule.constant import Constant
from pervade.train.tuning.full import Full
from tests.small_run import recipe

SHARES = (5, 2)  # of 7 rows
PICTURES = "pictures"  # in the folder


class Fused(nn.BatchNorm2d):
    """A class derived from batch normalisation that does more, as timm's do."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return torch.relu(super().forward(input))


def layers() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Layers by name, and the shape of a whole batch for each."""
    picture = (7, 3, 4, 5)
    return {
        "1d": (nn.BatchNorm1d(6), (7, 6)),
        "sequence": (nn.BatchNorm1d(6), (7, 6, 3)),
        "2d": (nn.BatchNorm2d(3), picture),
        "channels last": (nn.BatchNorm2d(3), picture),
        "not affine": (nn.BatchNorm2d(3, affine=False), picture),
        "cumulative": (nn.BatchNorm2d(3, momentum=None), picture),
        "no statistics kept": (nn.BatchNorm2d(3, track_running_stats=False), picture),
        "derived": (Fused(3), picture),
        "frozen": (nn.BatchNorm2d(3).eval(), picture),
        "bf16": (nn.BatchNorm2d(3), picture),
    }


def work(layer: nn.Module, inputs: list[torch.Tensor], loss_weights: list[torch.Tensor]) -> dict[str, Any]:
    """Two batches one after the other: outputs, gradients, and what the layer remembers; one more in evaluation."""
    found: dict[str, Any] = {"outputs": [], "gradients": []}
    for input, weight in zip(inputs, loss_weights, strict=True):
        input = input.clone(memory_format=torch.preserve_format).requires_grad_()
        output = layer(input)
        (output * weight).sum().backward()
        found["outputs"].append(output.detach())
        found["gradients"].append(input.grad)
    found["parameters"] = {name: parameter.grad for name, parameter in layer.named_parameters()}
    found["state"] = {name: value.clone() for name, value in layer.state_dict().items()}
    found["evaluated"] = layer.eval()(inputs[0]).detach()
    return found


def trained(rank: int) -> dict[str, torch.Tensor]:
    """The weights after a step on a share of 5 or 4 rows, which is 3 or 2 micro-batches of at most 2 rows."""
    torch.manual_seed(0)
    domain = Image(size=8, channels=1, labels=("a", "b"), mean=(0.5,), deviation=(0.25,))
    network = over_ranks(ResNet(width=16).build(domain.inputs(), {"logits": 2}))
    learner = Learner(Classify(), network, Context(domain), SGD(lr=0.1), Constant(), 1, micro_batch=2)
    batch = {"row": torch.arange(9), "input": torch.rand(9, 1, 8, 8), "target": torch.arange(9) % 2}
    learner._take_step({name: values[rank::2] for name, values in batch.items()})
    return network.state_dict()


def gradual(rank: int, world: int) -> list[dict[str, torch.Tensor]]:
    """The weights before and after each of 4 steps of gradual unfreezing, one of whose three groups begins with the
    third step and one with the fifth, under everything that moves a weight whose gradient is zero."""
    torch.manual_seed(0)
    domain = Image(size=8, channels=1, labels=("a", "b"), mean=(0.5,), deviation=(0.25,))
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Linear(6, 4))
    network = Backbone(domain.inputs(), {"logits": 2}, body, 4)
    settings = {"tuning": Full(unfreeze=0.8), "l1": 0.01, "l2": 0.1}
    optimizer = Adam(lr=0.01, weight_decay=0.1)
    learner = Learner(Classify(), network, Context(domain), optimizer, Constant(), 5, **settings)
    batch = {"row": torch.arange(9), "input": torch.rand(9, 1, 8, 8), "target": torch.arange(9) % 2}
    found = [copy.deepcopy(network.state_dict())]
    for _ in range(4):
        learner._take_step({name: values[rank::world] for name, values in batch.items()})
        found.append(copy.deepcopy(network.state_dict()))
    return found


def in_shards(folder: Path, rank: int) -> dict[str, torch.Tensor]:
    """Trains the reference MLP with whole weights, with sharded ones, and with sharded ones that go on after a SIGTERM,
    which one rank alone got in the validation after the first pass. What the last ones say of the validation split."""
    build, watch, predict = training.build, training.Training._watch, training.Training._predict_validation
    said: dict[str, torch.Tensor] = {}

    def built(*arguments: Any) -> Any:
        network, base = build(*arguments)
        return ranks.shard(network), base

    def stop(self: training.Training) -> None:
        if rank == 1 and self.learner.passes == 1:
            signal.raise_signal(signal.SIGTERM)
        watch(self)

    def kept(self: training.Training, *arguments: Any) -> dict[str, Any]:
        columns = predict(self, *arguments)
        said.update({name: torch.from_numpy(columns[name]) for name in ("probabilities", "row")})
        return columns

    train(folder / "whole")
    training.build, training.Training._predict_validation = built, kept
    said["stopped"] = torch.tensor([train(folder / "stopped", stop), train(folder / "stopped")])
    train(folder / "sharded")
    return said


def train(place: Path, watch: Any = training.Training._watch) -> bool:
    """Two passes, or what is left of them, under a time limit, so that prices are asked for as well. True: it was
    stopped."""
    run = RunDirectory(place)
    if ranks.rank() == 0 and not run.recipe.exists():
        place.mkdir()
        asked = recipe(epochs=2, clip_norm=1.0, threads=1, time_limit=36_000.0)
        workflow.begin(run, asked, workflow.Request(PICTURES))
    ranks.wait()
    training.Training._watch = watch
    try:
        workflow.train(run, workflow.requested(run))
    except training.Stopped:
        return True
    return False


def failing_in(failed: int, rank: int) -> str:
    """What every rank is told where one fails in what all do."""

    def make() -> int:
        if rank == failed:
            raise DataError(f"rank {failed} has no rows")
        return rank

    try:
        return str(ranks.together(make))
    except DataError as fault:
        return str(fault)


def counted(rank: int) -> dict[str, torch.Tensor]:
    """An n-gram model's tables, of which the first rank alone knows how long they are."""
    network = NGram(3).build(Tokens(4, 16, pooled=False, causal=True), {"logits": 4})
    text = np.array([3, 0, 1, 0, 1, 0, 2, 3])
    if rank == 0:
        network.set_counts(kneser_ney.learn(kneser_ney.joined([(text[:-1], text[1:])], 3), 3, 4, 100)[0])
    ranks.same_network(network)
    return network.state_dict()


def quantised(rank: int, world: int, restart: float) -> dict[str, torch.Tensor]:
    """A codebook after two steps, of shares of 20 vectors."""
    torch.manual_seed(0)
    made = Quantiser(4, 3, decay=0.5, restart=restart).train()
    made.started.fill_(True)
    steps = torch.randn(2, 20, 3)
    torch.manual_seed(rank)
    for vectors in steps:
        made(vectors[rank::world])
        made.update()
    return made.state_dict()


def watched(rank: int, world: int) -> dict[str, torch.Tensor]:
    """What is remembered of two players after two steps, of shares of 7 rows."""
    watch, random = Watch(2), torch.Generator().manual_seed(0)
    for number in torch.tensor([[1, 2, 2, 0, 1, 1, 2], [2, 2, 2, 2, 2, 2, 1]]):
        parts = {name: torch.rand(7, generator=random)[rank::world] for name in ("told_apart", "diversity")}
        watch.see(parts, number[rank::world], judges=True)
    return watch.state_dict()


def begun(rank: int) -> dict[str, torch.Tensor]:
    """A codebook after its first batch."""
    torch.manual_seed(rank)
    made = Quantiser(4, 3).train()
    made(torch.randn(20, 3))
    return made.state_dict()


def main() -> None:
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    cases = torch.load(folder / "cases.pt", weights_only=True)
    found = {}
    for name, (layer, _) in layers().items():
        case = cases[name]
        layer.load_state_dict(case["state"])
        shares = [[each.split(SHARES)[rank] for each in case[kind]] for kind in ("inputs", "weights")]
        found[name] = work(over_ranks(layer), *shares)
    found["trained"] = trained(rank)
    found["gradual"] = gradual(rank, 2)
    found["together"] = [failing_in(failed, rank) for failed in range(3)]
    found["counted"] = counted(rank)
    found["quantised"] = [quantised(rank, 2, restart) for restart in (0.0, 0.9)] + [begun(rank)]
    found["watched"] = watched(rank, 2)
    os.chdir(folder)
    found["in shards"] = in_shards(folder, rank)
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
