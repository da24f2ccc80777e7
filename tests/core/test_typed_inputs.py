"""What models are given, as JSON, now and as older versions wrote it; and the one line where a model reads another."""

from __future__ import annotations

import json

import pytest

from pervade.core import registry
from pervade.core.contracts import Codes, Inputs, Observations, Pixels, Several, Tokens, Waveform, inputs, require
from pervade.core.errors import ConfigError

PICTURES = Pixels((3, 8, 8), (0.5, 0.4, 0.3), (0.25, 0.2, 0.1), (3, 6, 6))
ALL: list[Inputs] = [
    PICTURES,
    Waveform(8000, 4000),
    Waveform(16_000, None, False, 51_865),
    Tokens(50, 16, 1, 3),
    Tokens(50, 16, pooled=False, causal=True),
    Codes(8000, 256, 80, 3, 2, 11),
    Observations((4,)),
    Several({"sight": PICTURES, "sound": Waveform(8000)}),
]
# architecture.json of runs before kinds had names.
OLDER = [
    ({"shape": [3, 8, 8], "mean": [0.5] * 3, "deviation": [0.25] * 3}, Pixels((3, 8, 8), (0.5,) * 3, (0.25,) * 3)),
    (
        {"shape": [1, 8, 8], "mean": [0.5], "deviation": [0.25], "training_shape": [1, 6, 6]},
        Pixels((1, 8, 8), (0.5,), (0.25,), (1, 6, 6)),
    ),
    ({"shape": [4]}, Observations((4,))),
    ({"rate": 8000, "samples": 4000, "pooled": True}, Waveform(8000, 4000)),
    ({"rate": 8000, "samples": None, "pooled": False}, Waveform(8000, pooled=False)),
    ({"rate": 8000, "samples": None, "pooled": False, "vocabulary": 60}, Waveform(8000, None, False, 60)),
    ({"vocabulary": 50, "length": 16}, Tokens(50, 16, pooled=False, causal=True)),
    ({"vocabulary": 50, "length": 16, "padding": 1, "separator": None, "pooled": True}, Tokens(50, 16, 1)),
    ({"vocabulary": 50, "length": 16, "padding": 0, "separator": 3, "pooled": False}, Tokens(50, 16, 0, 3, False)),
    (
        {"rate": 8000, "codes": 256, "hop": 80, "classes": 3, "speakers": 2, "local": 11},
        Codes(8000, 256, 80, 3, 2, 11),
    ),
]


@pytest.mark.parametrize("given", ALL, ids=str)
def test_what_is_written_is_read_back(given: Inputs) -> None:
    assert inputs.from_json(json.loads(json.dumps(inputs.to_json(given)))) == given


@pytest.mark.parametrize(("record", "expected"), OLDER, ids=str)
def test_older_runs_are_read(record: dict, expected: Inputs) -> None:
    assert inputs.from_json(record) == expected


@pytest.mark.parametrize("record", [{}, {"smell": {"shape": [3]}}, {"pixels": {"shape": [3]}}, {"shape": "large"}])
def test_what_is_none_is_refused(record: dict) -> None:
    with pytest.raises(ConfigError):
        inputs.from_json(record)


def test_another_kind_is_refused_in_one_line() -> None:
    message = "resnet reads pictures, not text; take another of `pervade models`"
    with pytest.raises(ConfigError, match=f"^{message}$"):
        require(Tokens(50, 16), Pixels, "resnet")


@pytest.mark.parametrize(
    "name", [name for name in registry.names("model", variants=False) if name not in ("hf", "timm")]
)
@pytest.mark.parametrize("given", ALL, ids=lambda given: type(given).__name__)
def test_no_model_stumbles_over_what_it_does_not_read(name: str, given: Inputs) -> None:
    """It is built, or refuses in one line."""
    cls, fields = registry.find("model", name)
    try:
        cls(**fields).build(given, {"logits": 5})
    except ConfigError as error:
        assert "\n" not in str(error)
