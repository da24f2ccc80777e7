"""Names of plug-ins: a file is one, variants are second names, and only what is registered is found."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from pervade.core import registry
from pervade.core.errors import ConfigError
from pervade.models.resnet import ResNet


def test_file_name_is_the_name() -> None:
    cls, fields = registry.find("model", "reference-cnn")
    assert (cls.__name__, fields) == ("ReferenceCNN", {})
    assert registry.name_of(cls) == "reference-cnn"


def test_variant_is_a_class_with_fields_set() -> None:
    assert registry.find("model", "resnet18") == (ResNet, {"depth": 18})
    assert registry.name_of(ResNet) == "resnet"
    assert "resnet18" in registry.names("model")
    assert "resnet18" not in registry.names("model", variants=False)


@pytest.mark.parametrize("name", ["", "os", "os.system", "../resnet", "resnet.py", "__init__", "pervade.models.resnet"])
def test_only_registered_names(name: str) -> None:
    with pytest.raises(ConfigError, match="unknown model"):
        registry.find("model", name)


def test_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown model 'resnet81'; did you mean 'resnet18'\?"):
        registry.find("model", "resnet81")
    with pytest.raises(ConfigError, match=r"unknown schedule 'zzz'; allowed: constant, cosine, linear, one-cycle"):
        registry.find("schedule", "zzz")


def test_name_is_taken() -> None:
    def register(name: str):
        @registry.register("model", name=name)
        @dataclass(frozen=True)
        class Other:
            pass

        return Other

    with pytest.raises(ValueError, match="'resnet' is registered already, by pervade"):
        register("resnet")


def test_finding_one_imports_one() -> None:
    """`--model resnet18` must not load every architecture there is."""
    import subprocess

    code = (
        "import sys; from pervade.core import registry; registry.find('model', 'reference-mlp'); "
        "print([name for name in sys.modules if name.startswith('pervade.models.')])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "['pervade.models.reference_mlp']"
