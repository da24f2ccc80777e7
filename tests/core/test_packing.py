"""State goes to safetensors and JSON and comes back as it was."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pervade.engine.packing import pack, unpack


def through_files(value: Any, folder: Path) -> Any:
    data, tensors = pack(value)
    safetensors.torch.save_file(tensors, folder / "state.safetensors")
    text = json.dumps(data, allow_nan=False)
    return unpack(json.loads(text), safetensors.torch.load_file(folder / "state.safetensors"))


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


DTYPES = ["float32", "float64", "int64", "int32", "uint8", "bool"]
shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
tensors = st.tuples(shapes, st.sampled_from(DTYPES)).map(
    lambda each: torch.ones(each[0], dtype=getattr(torch, each[1]))
)
arrays = st.tuples(shapes, st.sampled_from(DTYPES)).map(lambda each: np.ones(each[0], dtype=each[1]))
keys = st.one_of(
    st.text("ab.$_", max_size=4), st.sampled_from(["__metadata__", "$tensor", "$items"]), st.integers(0, 9)
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4))
states = st.recursive(
    st.one_of(scalars, tensors, arrays),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.dictionaries(st.tuples(keys, st.booleans()), inner, max_size=2),
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=200)
@given(states)
def test_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, state: Any) -> None:
    folder = tmp_path_factory.getbasetemp()
    assert same(through_files(state, folder), state)


def test_names_that_meet(tmp_path: Path) -> None:
    state = {"a": {"b": torch.tensor(1)}, "a.b": torch.tensor(2), 3: torch.tensor(3), "3": torch.tensor(4)}
    assert same(through_files(state, tmp_path), state)


def test_tied_tensors_are_kept_once(tmp_path: Path) -> None:
    weight = torch.randn(3, 4)
    data, tensors = pack({"one": weight, "other": weight})
    assert list(tensors) == ["one"]
    back = unpack(data, tensors)
    assert back["one"] is back["other"]


@pytest.mark.parametrize(
    "views",
    [
        lambda w: [w, w.T],
        lambda w: [w, w.reshape(-1)],
        lambda w: [w[0], w[1], w],
        lambda w: [w[:2], w[1:]],
        lambda w: [w, w.view(torch.int32)],
        lambda w: [w.expand(2, 3, 4), w[:, ::2]],
    ],
)
def test_views_of_one_storage(views, tmp_path: Path) -> None:
    """safetensors refuses tensors that share memory; each is kept as it is read."""
    state = views(torch.randn(3, 4))
    assert same(through_files(state, tmp_path), state)


def test_channels_last(tmp_path: Path) -> None:
    weight = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    assert same(through_files(weight, tmp_path), weight)


def test_numbers_of_numpy_become_plain(tmp_path: Path) -> None:
    assert through_files([np.int64(3), np.float64(0.1), np.bool_(True), np.float64("inf")], tmp_path) == [
        3,
        0.1,
        True,
        math.inf,
    ]
    assert same(through_files(np.arange(6).reshape(2, 3).T[::-1], tmp_path), np.arange(6).reshape(2, 3).T[::-1])
    assert through_files(np.array([1, 2], dtype=">i4"), tmp_path).tolist() == [1, 2]


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", np.array(["text"]), np.array([None])])
def test_anything_else_is_refused_by_its_place(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^a\.0: a state may hold"):
        pack({"a": [value]})
