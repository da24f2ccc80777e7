"""Every number of every spec is bounded: an odd one is refused in one line that names it, or what it asks for works."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from pervade.core import memory, registry, spec
from pervade.core.contracts import Canvas, Codes, EarlyStopping, Inputs, Model, Pixels, Recipe, Tokens, Waveform
from pervade.core.errors import ConfigError, ResourceError
from pervade.engine import building
from pervade.nn.queues import SoundSampling
from pervade.nn.sampling import Sampling
from pervade.recipes import image

ODD: list[Any] = [-1, 0, 1, 2, 3, 7, 0.3, 17.5, 10**4, 10**7, 2**40, 2**70, -(2**70), 1e-300, 1e300]
ODD += [
    float("nan"),
    float("inf"),
    float("-inf"),
    True,
    None,
    "7",
    "x",
    [],
    [1],
    [1, 2, 3],
    [-1.0] * 2,
    [7] * 10_000,
    {},
]
CLASSES = [
    cls
    for kind in registry.PACKAGES
    for cls in (registry.find(kind, name)[0] for name in registry.names(kind, variants=False))
    if cls.__module__.startswith("pervade.")
]
OTHERS: list[type] = [Recipe, EarlyStopping, Sampling, SoundSampling]


def numbers(cls: type) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its fields that hold numbers, and what the JSON schema says of each of these."""
    for field in dataclasses.fields(cls):
        hint = spec._hints(cls)[field.name]
        if not field.init or "contracts" in str(hint) or dataclasses.is_dataclass(hint):
            continue
        found = list(leaves(spec._adapter(hint).json_schema()))
        if found:
            yield field.name, found


def leaves(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    items = [schema["items"]] if "items" in schema else []
    for inner in (*schema.get("anyOf", ()), *schema.get("prefixItems", ()), *items):
        yield from leaves(inner)
    if schema.get("type") in ("integer", "number") and "enum" not in schema and "const" not in schema:
        yield schema


@pytest.mark.parametrize("cls", [*CLASSES, *OTHERS], ids=lambda cls: cls.__name__)
def test_every_number_has_a_lower_and_an_upper_bound(cls: type) -> None:
    for name, found in numbers(cls):
        for each in found:
            assert {"minimum", "exclusiveMinimum"} & each.keys(), f"{name} has no lower bound"
            assert {"maximum", "exclusiveMaximum"} & each.keys(), f"{name} has no upper bound"


def settled(cls: type) -> Iterator[tuple[str, Any, Any]]:
    """Each numeric field with each odd value: the spec that is read with it, or the fault that it is refused with."""
    for name, _ in numbers(cls):
        for value in ODD:
            try:
                yield name, value, spec.decode({**spec.encode(_plain(cls)), name: value}, _read_as(cls))
            except ConfigError as error:
                yield name, value, error


def _plain(cls: type) -> Any:
    return image.default() if cls is Recipe else cls()


def _read_as(cls: type) -> Any:
    return next((base for base in cls.__mro__ if getattr(base, "_is_protocol", False)), cls)


@pytest.mark.parametrize("cls", [*CLASSES, *OTHERS], ids=lambda cls: cls.__name__)
def test_an_odd_number_is_read_or_refused_by_name(cls: type) -> None:
    for name, value, made in settled(cls):
        if isinstance(made, ConfigError):
            assert len(made.problems) == 1
            assert name in str(made)
            assert len(str(made)) < 400, f"{name} {str(value)[:40]}"
        elif isinstance(value, float):
            assert value == value, f"{name} takes what is no number"


# What networks are built for: pictures, texts, sounds, sounds as codes, and pictures to be made.
PICTURES = Pixels((3, 32, 32), (0.5,) * 3, (0.25,) * 3)
INPUTS: dict[str, Inputs] = {
    "gpt": Tokens(50, 16),
    "transformer": Tokens(50, 16),
    "text-cnn": Tokens(50, 16),
    **{name: Waveform(8000, 8000, True) for name in ("sound-cnn", "conformer")},
    "wavenet": Codes(8000, 256, 80, 3, 2, 11),
    "vq-vae": Canvas((3, 64, 64), 2),
    **{name: replace(PICTURES, shape=(3, 80, 80)) for name in ("alexnet", "inception", "nature-cnn", "policy")},
}
OUTPUTS = {"gpt": {"logits": 50}, "wavenet": {"logits": 256}, "vq-vae": {"picture": 64}}
MODELS = [cls for cls in CLASSES if getattr(cls, "kind", "") == "model" and registry.name_of(cls) not in ("hf", "timm")]


def batch(name: str, inputs: Inputs) -> Any:
    if name == "wavenet":
        codes = {"codes": torch.zeros(2, 160, dtype=torch.int64), "local": torch.zeros(2, 2, 11)}
        return {**codes, **dict.fromkeys(("class", "speaker"), torch.zeros(2, dtype=torch.int64))}
    if isinstance(inputs, Canvas):
        return {"pixels": torch.rand(2, *inputs.shape), "class": torch.zeros(2, dtype=torch.int64)}
    if isinstance(inputs, Tokens):
        return torch.ones(2, 9, dtype=torch.int64)
    return torch.rand(2, 1, 8000) if isinstance(inputs, Waveform) else torch.rand(2, *inputs.shape)


@pytest.mark.slow
@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: str(registry.name_of(cls)))
def test_what_is_read_is_built_and_runs_or_is_refused(cls: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a gigabyte free, so that what is larger is refused by its weights."""
    name = str(registry.name_of(cls))
    inputs, outputs = INPUTS.get(name, PICTURES), OUTPUTS.get(name, {"logits": 5})
    monkeypatch.setattr(memory, "available", lambda: 10**9)
    built = refused = 0
    for field, value, made in settled(cls):
        if isinstance(made, ConfigError):
            continue
        start, where = time.monotonic(), f"{field}={str(value)[:40]}"
        try:
            network = building.build(made, inputs, outputs).eval()
        except (ConfigError, ResourceError) as error:
            refused += 1
            assert "\n" not in str(error), where
        else:
            with torch.no_grad():
                output = network(batch(name, inputs))[next(iter(outputs))]
            assert torch.isfinite(output).all(), where
            built += 1
        assert time.monotonic() - start < 60, where
    assert built


class TestRoom:
    def test_ten_million_layers_are_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"model.depth: 10000000 does not fit; it must be a whole number from 1"):
            spec.decode({**spec.encode(image.default()), "model": {"use": "gpt", "depth": 10**7}}, Recipe)

    def test_weights_are_counted_before_they_are_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A layer of the largest transformer that may be asked for has 4 x 16,384^2 x 3 weights of 4 bytes: 12.9 GB."""
        monkeypatch.setattr(memory, "available", lambda: 10**9)
        model = spec.decode({"use": "gpt", "width": 16_384, "depth": 200, "heads": 256}, Model)
        start = time.monotonic()
        with pytest.raises(ResourceError, match=r"the weights of gpt take more than 1 GB, and 1 GB are free"):
            building.build(model, INPUTS["gpt"], {"logits": 50})
        assert time.monotonic() - start < 5

    def test_the_same_weights_as_without_a_count(self) -> None:
        model = spec.decode("resnet10", Model)
        made = []
        for build in (building.build, lambda *given: given[0].build(*given[1:])):
            torch.manual_seed(3)
            made.append(build(model, PICTURES, {"logits": 5}).state_dict())
        assert all(torch.equal(value, made[1][name]) for name, value in made[0].items())

    def test_no_more_than_the_file_holds(self) -> None:
        model = spec.decode("resnet18", Model)
        with pytest.raises(ResourceError, match="the file that holds them has 4,000 bytes; they do not"):
            building.build(model, PICTURES, {"logits": 5}, held=4000)
        assert building.build(model, PICTURES, {"logits": 5}, held=4 * 11_000_000)
