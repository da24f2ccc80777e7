"""Foreign files of weights: what is read, and what is refused in words."""

from __future__ import annotations

import argparse
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from pervade.core.errors import CheckpointError
from pervade.weights import locate
from pervade.weights.torch_file import read_weights

WEIGHTS = {"conv.weight": torch.rand(2, 3, 1, 1), "conv.bias": torch.rand(2)}


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".th", ".bin", ".tar"])
def test_plain_files_of_torch(tmp_path: Path, suffix: str) -> None:
    torch.save(WEIGHTS, tmp_path / f"w{suffix}")
    assert torch.equal(read_weights(tmp_path / f"w{suffix}")["conv.bias"], WEIGHTS["conv.bias"])


def test_safetensors(tmp_path: Path) -> None:
    safetensors.torch.save_file(WEIGHTS, tmp_path / "w.safetensors")
    assert set(read_weights(tmp_path / "w.safetensors")) == set(WEIGHTS)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict", "net", "ema"])
def test_what_training_scripts_wrap_around(tmp_path: Path, wrapper: str) -> None:
    """Beside the weights stand the epoch, arguments, a numpy number and the optimiser's state."""
    network = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    network(torch.rand(1, 2)).sum().backward()
    optimizer.step()
    saved = {
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1),
        "best": np.float64(0.5),
        "optimizer": optimizer.state_dict(),
        wrapper: WEIGHTS,
    }
    torch.save(saved, tmp_path / "w.pth")
    assert set(read_weights(tmp_path / "w.pth")) == set(WEIGHTS)


def test_wrapped_twice(tmp_path: Path) -> None:
    torch.save({"model": {"state_dict": WEIGHTS, "version": 1}}, tmp_path / "w.pth")
    assert set(read_weights(tmp_path / "w.pth")) == set(WEIGHTS)


def test_wrapped_in_itself(tmp_path: Path) -> None:
    saved: dict = {"epoch": 1, "args": 2}
    torch.save(saved | {"model": saved}, tmp_path / "fine.pth")
    saved["model"] = saved
    torch.save(saved, tmp_path / "w.pth")
    for name in ("fine.pth", "w.pth"):
        with pytest.raises(CheckpointError, match="holds no weights by name"):
            read_weights(tmp_path / name)


def test_more_than_the_file_is_long(tmp_path: Path) -> None:
    """A zip that was packed again, and a view that repeats one number: kilobytes that would fill the memory."""
    torch.save({"w": torch.zeros(4 << 20)}, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as old, zipfile.ZipFile(tmp_path / "w.pth", "w", 8) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert (tmp_path / "w.pth").stat().st_size < 100_000
    with pytest.raises(CheckpointError, match=r"bytes long and unpacks to 16,\d+,\d+, which torch never writes"):
        read_weights(tmp_path / "w.pth")
    torch.save({"w": torch.zeros(1).expand(1 << 40)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="w is larger than its numbers"):
        read_weights(tmp_path / "w.pth")


class Harmful:
    def __reduce__(self):
        return print, ("code of the file ran",)


class TestRefusals:
    def test_code_is_not_run(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        torch.save({"state_dict": WEIGHTS, "more": Harmful()}, tmp_path / "w.pth")
        with pytest.raises(CheckpointError, match=r"reading it would run code from the file; .* as safetensors"):
            read_weights(tmp_path / "w.pth")
        assert capsys.readouterr().out == ""

    def test_a_whole_network(self, tmp_path: Path) -> None:
        torch.save(nn.Linear(2, 2), tmp_path / "w.pth")
        with pytest.raises(CheckpointError, match=r"holds an object of torch.nn.modules.linear.Linear"):
            read_weights(tmp_path / "w.pth")

    @pytest.mark.parametrize("content", [b"no weights at all", b"PK\x03\x04 cut off", b"\x80\x02}q\x00."[:3]])
    def test_damaged(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"w.pth (is damaged|holds an object)"):
            read_weights(tmp_path / "w.pth")

    def test_cut_off(self, tmp_path: Path) -> None:
        torch.save({"a": torch.rand(1000)}, tmp_path / "w.pth")
        safetensors.torch.save_file({"a": torch.rand(1000)}, tmp_path / "w.safetensors")
        for name in ("w.pth", "w.safetensors"):
            whole = (tmp_path / name).read_bytes()
            (tmp_path / name).write_bytes(whole[: len(whole) // 2])
            with pytest.raises(CheckpointError, match=f"{name} is damaged .*copy or download it again"):
                read_weights(tmp_path / name)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a pointer of Git LFS, .* `git lfs pull`"),
            (b"<!DOCTYPE html><html>404", "is a web page, not weights"),
        ],
    )
    def test_no_weights_at_all(self, tmp_path: Path, content: bytes, message: str) -> None:
        (tmp_path / "w.safetensors").write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            read_weights(tmp_path / "w.safetensors")

    @pytest.mark.parametrize("value", [torch.rand(3), [torch.rand(3)], {"epoch": 1}, {"model": {"lr": 0.1}}])
    def test_nothing_by_name(self, tmp_path: Path, value: object) -> None:
        torch.save(value, tmp_path / "w.pth")
        with pytest.raises(CheckpointError, match=r"holds no weights by name; save the network's state_dict\(\)"):
            read_weights(tmp_path / "w.pth")

    def test_missing_with_the_nearest_name(self, tmp_path: Path) -> None:
        torch.save(WEIGHTS, tmp_path / "resnet.pth")
        with pytest.raises(CheckpointError, match=r"did you mean 'resnet.pth'"):
            read_weights(tmp_path / "resnt.pth")

    def test_another_kind_of_file(self, tmp_path: Path) -> None:
        (tmp_path / "w.onnx").write_bytes(b"x")
        with pytest.raises(CheckpointError, match=r"read from files ending in .safetensors, .pth"):
            read_weights(tmp_path / "w.onnx")


class TestFolders:
    def test_of_the_hub(self, tmp_path: Path) -> None:
        safetensors.torch.save_file(WEIGHTS, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "cat", "1": "dog"}}))
        (tmp_path / "preprocessor_config.json").write_text(
            json.dumps({"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1]})
        )
        found = locate.read(tmp_path)
        assert (found.labels, found.mean, found.deviation) == (("cat", "dog"), (0.1, 0.2, 0.3), (1.0, 1.0, 1.0))

    def test_of_timm(self, tmp_path: Path) -> None:
        torch.save(WEIGHTS, tmp_path / "pytorch_model.bin")
        config = {"architecture": "resnet18", "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.4] * 3}}
        (tmp_path / "config.json").write_text(json.dumps({**config, "label_names": ["a", "b"]}))
        found = locate.read(tmp_path)
        assert (found.labels, found.mean, found.deviation) == (("a", "b"), (0.5,) * 3, (0.4,) * 3)

    def test_in_parts(self, tmp_path: Path) -> None:
        index = {"weight_map": {"conv.weight": "one.safetensors", "conv.bias": "two.safetensors"}}
        for name, file in index["weight_map"].items():
            safetensors.torch.save_file({name: WEIGHTS[name]}, tmp_path / file)
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        (tmp_path / "config.json").write_text("{}")
        assert set(locate.read(tmp_path).weights) == set(WEIGHTS)

    def test_parts_stay_inside_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../b.safetensors"}}))
        (tmp_path / "config.json").write_text("{}")
        with pytest.raises(CheckpointError, match="names files outside its folder"):
            locate.read(tmp_path)

    def test_pixels_that_are_not_normalised(self, tmp_path: Path) -> None:
        safetensors.torch.save_file(WEIGHTS, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
        assert locate.read(tmp_path).mean == (0.0, 0.0, 0.0)

    def test_names_that_nobody_gave_are_none(self, tmp_path: Path) -> None:
        safetensors.torch.save_file(WEIGHTS, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}))
        assert locate.read(tmp_path).labels is None

    def test_without_weights(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("{}")
        with pytest.raises(CheckpointError, match=r"no weights: model.safetensors or pytorch_model.bin"):
            locate.read(tmp_path)

    def test_neither_run_nor_hub(self, tmp_path: Path) -> None:
        torch.save(WEIGHTS, tmp_path / "w.pth")
        with pytest.raises(CheckpointError, match=r"neither a run nor .* take one of its files, such as .*w.pth"):
            locate.read(tmp_path)

    def test_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="is not there; --init takes random, pretrained, a file"):
            locate.read(tmp_path / "nothing")
