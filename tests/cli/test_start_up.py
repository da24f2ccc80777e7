"""What a command loads before it begins: nothing that takes long and is not needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Each takes from half a second to several.
SLOW = (
    "torch._dynamo",
    "torchvision",
    "timm",
    "transformers",
    "datasets",
    "sklearn",
    "scipy.stats",
    "peft",
    "gymnasium",
)
COMMAND = f"""
import sys
from pervade.cli import main
try: main()
except SystemExit: print([name for name in {SLOW} if name in sys.modules])
"""
# What a network weighs is counted when it is built.
BUILDING = f"""
from pervade.core import registry
from pervade.core.contracts import Observations, Pixels
from pervade.engine import building
pictures, numbers = Pixels((3, 16, 16), (0.5,) * 3, (0.2,) * 3), Observations((4,))
for name, inputs in (('resnet50', pictures), ('mobilenet-v1', pictures), ('perceptron', numbers)):
    cls, fields = registry.find('model', name)
    building.build(cls(**fields), inputs, {{'logits': 2}})
print([name for name in {SLOW} if name in sys.modules])
"""


def loaded(*arguments: object, then: str = "") -> str:
    command = [sys.executable, "-c", COMMAND + then, *map(str, arguments)]
    told = subprocess.run(command, capture_output=True, text=True)
    return told.stdout.splitlines()[-1] if told.stdout else told.stderr


def test_a_prediction_and_counting_weights_load_nothing_slow(run: Path, photos: Path) -> None:
    assert loaded("predict", run, photos, then=BUILDING) == "[]"


@pytest.mark.slow  # processes of their own
@pytest.mark.parametrize("model", ["resnet10", "mobilenet-v1-0.25"])
def test_a_training_and_its_evaluation_load_nothing_slow(photos: Path, model: str) -> None:
    settings = ("--init", "random", "--epochs", "1", "--workers", "0", "-o", "domain.size=16", "--name", "small")
    # torch's optimisers import its compiler, whatever is asked of them.
    assert loaded("train", photos, "--model", model, *settings) == "['torch._dynamo']"
    assert loaded("evaluate", "small") == "[]"
