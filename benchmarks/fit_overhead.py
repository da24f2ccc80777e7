"""What `fit` costs a step beyond a bare PyTorch loop that does the same: forward, loss, backward, Adam, the schedule,
and a running mean of loss and accuracy.

    python benchmarks/fit_overhead.py        about 20 s

A tiny network, so that the step itself is cheap and the difference is not lost in it; one thread; the two alternate.
"""

from __future__ import annotations

import statistics
import time

from pervade.core import runtime

runtime.prepare()

import torch
from torch.nn import functional as F

from pervade.core.contracts import Context
from pervade.domains.image import Image
from pervade.engine.fit import Learner
from pervade.models.reference_mlp import ReferenceMLP
from pervade.tasks.classify import Classify
from pervade.train.optim.adam import Adam
from pervade.train.schedule.one_cycle import OneCycle

ROUNDS, STEPS = 30, 300
LIMIT = 100.0  # microseconds


class InMemory:
    """A source of `STEPS` equal batches."""

    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return STEPS

    def __iter__(self):
        for _ in range(STEPS):
            yield self.batch

    def feedback(self, batch, parts):
        return False


def prepared():
    torch.manual_seed(0)
    domain = Image(size=8, channels=1, labels=("a", "b"), mean=(0.5,), deviation=(0.25,))
    network = ReferenceMLP((32,)).build(domain.inputs(), {"logits": 2})
    batch = {"row": torch.arange(32), "input": torch.rand(32, 1, 8, 8), "target": torch.arange(32) % 2}
    return domain, network, batch


def bare() -> float:
    """Seconds a step."""
    _, network, batch = prepared()
    optimizer = Adam().build(network.parameters())
    schedule, peak = OneCycle(), 1e-3
    network.train()
    loss_sum, right = torch.zeros(()), torch.zeros(())
    start = time.perf_counter()
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = peak * schedule.factor(step / STEPS)
        optimizer.zero_grad(set_to_none=True)
        logits = network(batch["input"])["logits"]
        loss = F.cross_entropy(logits, batch["target"])
        loss.backward()
        optimizer.step()
        loss_sum = loss_sum + loss.detach()
        right = right + (logits.detach().argmax(1) == batch["target"]).float().sum()
    return (time.perf_counter() - start) / STEPS


def fit() -> float:
    """Seconds a step."""
    domain, network, batch = prepared()
    learner = Learner(Classify(), network, Context(domain), Adam(), OneCycle(), STEPS)
    start = time.perf_counter()
    for moment in learner.fit(InMemory(batch), 1):
        if moment.kind == "step" and moment.step % 50 == 0:
            learner.averages()
    return (time.perf_counter() - start) / STEPS


def main() -> float:
    torch.set_num_threads(1)
    bare(), fit()
    pairs = [(bare(), fit()) for _ in range(ROUNDS)]
    differences = sorted((b - a) * 1e6 for a, b in pairs)
    low, high = differences[ROUNDS // 4], differences[-ROUNDS // 4 - 1]
    print("| loop | median, microseconds a step |\n|---|---|")
    print(f"| bare PyTorch | {statistics.median(a for a, _ in pairs) * 1e6:.0f} |")
    print(f"| `fit` | {statistics.median(b for _, b in pairs) * 1e6:.0f} |")
    middle = statistics.median(differences)
    print(f"| difference, paired (middle half of {ROUNDS} rounds) | **{middle:.0f}** ({low:.0f} to {high:.0f}) |")
    print(f"\nAsked: at most {LIMIT:.0f}. {'Met' if middle <= LIMIT else 'MISSED'}.")
    return middle


if __name__ == "__main__":
    main()
