"""Letting a WaveNet go on, sample after sample, at the cost of one pass over its layers for each.

What a layer of dilation d needs beside its input is its input d samples ago, so each keeps a queue of that length
(Paine et al. 2016, "Fast Wavenet Generation Algorithm", arXiv:1611.09482); to compute the receptive field anew for
every sample takes thousands of times as many products. Many sounds go on side by side, each with randomness of its own,
so that what becomes of one does not depend on the others.

The products are small, so calls cost more than arithmetic, and NumPy's cost less than torch's: seven calls a layer.

- The two products of a layer are one, [x(t), x(t - d)] times [V; W]. Both stand in one slot of the queue: what is new
  overwrites the half that is two steps old, so nothing is moved, and the weights stand there in both orders.
- sigmoid(b) = (tanh(b / 2) + 1) / 2, so one tanh over [a, b / 2] is all there is; the factors stand in the weights.

Axis letters: n sounds, t samples, f frames, c channels, l layers, v codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from pervade.core.bounds import Nucleus, Seed, Temperature


@dataclass(frozen=True)
class SoundSampling:
    """How codes are drawn."""

    temperature: Temperature = 0.8  # logits are divided by this; 0: always the likeliest
    top_p: Nucleus = 1.0  # among the likeliest that together have this probability
    length: Annotated[int, Field(ge=1, le=10**8)] | None = None  # samples at most; None: as the label's recordings
    seed: Seed = 0


class Queues:
    """A WaveNetwork's weights as arrays, and the state of n sounds. `conditions` (f, n, hidden) is what the network's
    method of that name gives."""

    def __init__(self, network: Any, conditions: np.ndarray) -> None:
        stack, head = network.stack, network.head
        layers = list(stack.layers)
        channels = int(layers[0].now.shape[1])
        self.hop, self.rows, self.time = int(network.hop), conditions.shape[1], 0
        self.embedding = _array(network.embedding.weight)
        # The network's first half stands for -2 a, its second for b.
        scale = np.repeat(np.array([-0.5, 0.5], np.float32), channels)
        self.dilations = stack.dilations
        self.gates = []
        for layer in layers:
            now, before = _array(layer.now).T * scale, _array(layer.before).T * scale
            both = (
                np.concatenate([before, now]),
                np.concatenate([now, before]),
            )  # the newer in the second half, or first
            self.gates.append(tuple(np.ascontiguousarray(matrix) for matrix in both))
        self.outs = [np.ascontiguousarray(_array(layer.out.weight).T / 2) for layer in layers[:-1]]
        self.skip = np.ascontiguousarray(_array(stack.skip.weight).T / 2), _array(stack.skip.bias)
        self.head = [(np.ascontiguousarray(_array(head[i].weight).T), _array(head[i].bias)) for i in (1, 3)]
        told = conditions @ _array(stack.condition.weight).T + _array(stack.condition.bias)
        told = told.reshape(*told.shape[:2], len(layers), 2 * channels) * scale
        self.conditions = np.ascontiguousarray(told.transpose(0, 2, 1, 3))  # (f, l, n, 2c)
        self.slots = [np.zeros((dilation, self.rows, 2 * channels), np.float32) for dilation in self.dilations]
        self.z = np.zeros((len(layers), self.rows, channels), np.float32)
        self.gate = np.empty((self.rows, 2 * channels), np.float32)
        self.added = np.empty((self.rows, channels), np.float32)

    def step(self, codes: np.ndarray) -> np.ndarray:
        """The codes (n,) that come now -> logits (n, v) of those after them."""
        channels = self.added.shape[1]
        told = self.conditions[self.time // self.hop]
        gate, added = self.gate, self.added
        a, b = gate[:, :channels], gate[:, channels:]
        x = self.embedding[codes]
        for number, dilation in enumerate(self.dilations):
            turn, place = divmod(self.time, dilation)
            slot, newest = self.slots[number][place], turn % 2  # 1: the first half is overwritten
            half = slot[:, :channels] if newest else slot[:, channels:]
            half[...] = x
            np.matmul(slot, self.gates[number][newest], out=gate)
            np.add(gate, told[number], out=gate)
            np.tanh(gate, out=gate)
            z = self.z[number]
            np.multiply(a, b, out=z)
            np.add(z, a, out=z)
            if number < len(self.outs):
                np.matmul(z, self.outs[number], out=added)
                np.add(x, added, out=x)
        self.time += 1
        skipped = self.z.transpose(1, 0, 2).reshape(self.rows, -1) @ self.skip[0] + self.skip[1]
        for weight, bias in self.head:
            skipped = np.maximum(skipped, 0) @ weight + bias
        return skipped


def go_on(
    network: Any,
    input: dict[str, Any],
    length: int,
    sampling: SoundSampling,
    first: int,
    rows: Sequence[int] | None = None,
) -> np.ndarray:
    """Codes (n, length) uint8 of sounds that begin after the code `first`. `input` holds what is known of them, as
    the network takes it. `rows` number them, for each its own randomness; None: 0, 1 …"""
    count = len(input["class"])
    told = {**input, "codes": torch.zeros(count, length, dtype=torch.int64)}
    with torch.inference_mode():
        conditions = network.conditions(told).float().cpu().numpy()
    queues = Queues(network, conditions)
    chance = np.stack(
        [
            np.random.default_rng([sampling.seed, row]).random(length)
            for row in (range(count) if rows is None else rows)
        ],
        1,
    )
    codes = np.full(count, first)
    drawn = np.empty((length, count), np.uint8)
    for time in range(length):
        codes = draw(queues.step(codes), chance[time], sampling)
        drawn[time] = codes
    return drawn.T


def draw(logits: np.ndarray, chance: np.ndarray, sampling: SoundSampling) -> np.ndarray:
    """Codes (n,) from logits (n, v) and a number in 0-1 for each: where it falls in the cumulated probabilities."""
    if sampling.temperature == 0:
        return logits.argmax(1)
    shifted = (logits - logits.max(1, keepdims=True)).astype(np.float64) / sampling.temperature
    weights = np.exp(shifted)
    if sampling.top_p < 1:
        ordered = np.sort(weights, 1)[:, ::-1]
        beyond = ordered.cumsum(1) - ordered >= sampling.top_p * weights.sum(1, keepdims=True)
        least = np.where(beyond, np.inf, ordered).min(1, keepdims=True)
        weights = np.where(weights >= least, weights, 0.0)
    total = weights.cumsum(1)
    codes: np.ndarray = np.minimum((total <= chance[:, None] * total[:, -1:]).sum(1), logits.shape[1] - 1)
    return codes


def _array(weight: Any) -> np.ndarray:
    array: np.ndarray = weight.detach().float().cpu().numpy()
    return array
