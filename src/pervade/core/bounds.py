"""Ranges that numbers of many specs share, each said once. What lies outside is refused when a spec is read, before
anything is built from it: a received file may ask for ten million layers. Every numeric field has a lower and an upper
bound, here or beside it (tests/core/test_ranges.py); the upper ones are far beyond what is of use.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

MOST = 2**53  # the largest count that JSON, and so a file of ours, keeps exactly

Count = Annotated[int, Field(ge=0, le=MOST)]  # of what was seen
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(ge=0, lt=1)]  # a share that leaves something: what dropout hides, a decay
Finite = Annotated[float, Field(ge=-1e30, le=1e30)]  # a number of a table, or what is learnt of them
Weight = Annotated[float, Field(ge=0, le=1e6)]  # of one part of a loss beside others
Positive = Annotated[float, Field(ge=1e-6, le=1e6)]
Deviation = Annotated[float, Field(ge=1e-30, le=1e30)]
Token = Annotated[int, Field(ge=0, lt=2**31)]  # its number in a vocabulary
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Decibels = Annotated[float, Field(ge=-200, le=200)]

Width = Annotated[int, Field(ge=16, le=16_384)]  # numbers of each position in a transformer
Blocks = Annotated[int, Field(ge=1, le=200)]
Heads = Annotated[int, Field(ge=1, le=256)]
Filters = Annotated[int, Field(ge=1, le=8192)]
Units = Annotated[int, Field(ge=1, le=65_536)]  # of a dense layer
Layers = Annotated[tuple[Units, ...], Field(min_length=1, max_length=64)]

LearningRate = Annotated[float, Field(gt=0, le=1000)]
WeightDecay = Annotated[float, Field(ge=0, le=1000)]

Passes = Annotated[int, Field(ge=0, le=10**9)]
BatchRows = Annotated[int, Field(ge=1, le=10**6)]  # rows
Duration = Annotated[float, Field(gt=0, le=10**8)]  # seconds; three years
Seed = Annotated[int, Field(ge=0, lt=2**62)]  # what every generator takes, and ranks add to
# What is drawn from: logits are divided by the temperature, and of a smaller one than this 32 bits overflow.
Temperature = Annotated[float, Field(ge=0.001, le=10)] | Literal[0]
Nucleus = Annotated[float, Field(ge=1e-6, le=1)]
Threads = Annotated[int, Field(ge=1, le=512)] | Literal["auto"] | None  # that compute
