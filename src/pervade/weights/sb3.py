"""Agents that Stable-Baselines3 saved (agent.zip): those of PPO, A2C and DQN with its MlpPolicy and CnnPolicy.

The zip holds weights (policy.pth) and settings (data). Weights are read without running code. Settings are JSON in
which objects stand as base64 of their pickle beside a description in plain text: the text is read, the pickle never.

Its layers are named and laid out as here in the end (nn/stacked_perceptrons.py keeps policy and value stacked):

    mlp_extractor.policy_net.0, value_net.0, …    network.weight.0, bias.0, …     m bodies, u units, d inputs
    action_net, value_net                         network.head.logits (or mean), network.head.value
    q_net.q_net.0, … and the last of them         network.weight.0, …, network.head.value
    features_extractor.cnn.0, .2, .4, linear.0    network.body.convolutions.0, …, network.body.dense
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pervade.core.errors import CheckpointError
from pervade.core.words import counted
from pervade.weights.checkpoint import Checkpoint, shape_text
from pervade.weights.torch_file import read_torch

SUFFIX = ".zip"
KNOWN = (
    "what loads is an agent of PPO, A2C or DQN with MlpPolicy or CnnPolicy, without gSDE, and without layers, "
    "extractors or policies of one's own"
)
ACTIVATIONS = ("tanh", "relu", "elu")  # models/perceptron.py
EXTRACTORS = ("FlattenExtractor", "NatureCNN")
KERNELS = (8, 4, 3)  # models/nature_cnn.py
# Bytes at most of what the zip holds, unpacked: settings are kilobytes, or a few MB where they hold pictures.
LARGEST = {"data": 64 << 20, "policy.pth": 1 << 30}
SHOWN = 60  # letters of a name from the file in a message

Layer = tuple[Tensor, Tensor]  # weight (out, in, …) and bias (out,)


@dataclass(frozen=True)
class Agent:
    """One that was saved: `units` of its hidden layers, and `channels` of its convolutions where it sees pictures."""

    where: str
    algorithm: str  # "ppo" or "dqn": what can go on learning
    called: str  # what it was trained by, in words
    units: tuple[int, ...]
    activation: str
    channels: tuple[int, ...]
    weights: Mapping[str, Tensor]  # by the names of our networks

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(
            self.where,
            self.weights,
            remedy="an agent goes on in the environment it was trained in, or one with the same observations and "
            "actions; leave --model and -o model.… out",
            remark=f"an agent of {self.called}; observations are taken as they are: if it was trained behind "
            "VecNormalize, whose statistics lie in a file of their own that is not read, it will do badly",
        )


def is_agent(path: Path) -> bool:
    return path.suffix.lower() == SUFFIX


def described(path: Path) -> Agent:
    """The agent in a zip. Raises CheckpointError where there is none, or one that cannot be had here."""
    where = str(path)
    settings, weights, version = _open(path)
    _check_settings(where, settings)
    asked = _plain(settings.get("policy_kwargs"))
    dqn = any(name.startswith("q_net.") for name in weights)
    if not dqn and not {"action_net.weight", "value_net.weight"} <= set(weights):
        raise _refused(where, f"has weights of another algorithm or policy (such as {next(iter(weights), 'none')})")
    activation = _class_name(asked.get("activation_fn")) or ("relu" if dqn else "tanh")
    left = _Unread(where, weights)
    ours, units, channels = _of_dqn(left) if dqn else _of_ppo(left)
    left.require_none()
    if channels and asked.get("normalize_images") is False:
        raise _refused(where, "was given pictures as they are (normalize_images=False), and here they become 0-1")
    if not channels and activation.lower() not in ACTIVATIONS:
        raise _refused(where, f"has the activation {activation}, and there are {', '.join(ACTIVATIONS)}")
    steps = settings.get("num_timesteps")
    trained = f", trained for {counted(steps, 'step')}" if isinstance(steps, int) else ""
    called = f"Stable-Baselines3 {version}".strip() + f" ({'DQN' if dqn else 'PPO or A2C'}{trained})"
    return Agent(where, "dqn" if dqn else "ppo", called, units, activation.lower(), channels, ours)


# the file


def _open(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], str]:
    """Settings, weights by name, and the version that saved them."""
    if not path.is_file():
        raise CheckpointError(f"{path} is not there; name an agent that Stable-Baselines3 saved (model.save)")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if not {"data", "policy.pth"} <= set(names):
                shown = ", ".join(name[:SHOWN] for name in names[:5]) or "nothing"
                raise CheckpointError(
                    f"{path} is no agent of Stable-Baselines3: it should hold data and policy.pth, and holds {shown}; "
                    "unpack other files of weights and name one"
                )
            settings = json.loads(_member(path, archive, "data"))
            content = _member(path, archive, "policy.pth")
            mark = "_stable_baselines3_version"
            version = archive.open(mark).read(20).decode(errors="replace").strip() if mark in names else ""
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise CheckpointError(f"{path} is damaged ({error}); copy or download it again") from None
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path} is damaged: its data are no settings; copy or download it again")
    return settings, read_torch(io.BytesIO(content), f"{path}: policy.pth"), version


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """What the zip holds under this name. Raises CheckpointError where that would be larger than any agent's."""
    most = LARGEST[name]
    with archive.open(name) as file:  # which reads no more than the zip says that there is
        if archive.getinfo(name).file_size > most:
            raise CheckpointError(
                f"{path}: {name} unpacks to {archive.getinfo(name).file_size:,} bytes, and no agent's is larger than "
                f"{most:,}; take another file"
            )
        return file.read()


def _plain(given: Any) -> dict[str, Any]:
    return given if isinstance(given, dict) else {}


def _class_name(given: Any) -> str:
    """The last part of what Python calls a class.

    >>> _class_name("<class 'torch.nn.modules.activation.Tanh'>")
    'Tanh'
    """
    return str(given or "")[-200:].removesuffix(">").removesuffix("'").rpartition(".")[2][-SHOWN:]


def _check_settings(where: str, settings: Mapping[str, Any]) -> None:
    """What weights do not tell."""
    if settings.get("use_sde"):
        raise _refused(where, "explores by gSDE (use_sde=True), whose noise is part of its policy")
    module = _plain(settings.get("policy_class")).get("__module__", "stable_baselines3")
    if str(module).partition(".")[0] != "stable_baselines3":
        raise _refused(where, f"has a policy of its own ({str(module)[:SHOWN]})")
    space = _class_name(_plain(settings.get("observation_space")).get(":type:"))
    if space in ("Dict", "Tuple"):
        raise _refused(where, f"sees several things at once (observations are a {space})")
    extractor = _class_name(_plain(settings.get("policy_kwargs")).get("features_extractor_class"))
    if extractor and extractor not in EXTRACTORS:
        raise _refused(where, f"has the features extractor {extractor}")


def _refused(where: str, why: str) -> CheckpointError:
    return CheckpointError(f"{where} {why}; {KNOWN}")


# the weights


class _Unread:
    """Weights that were not asked for yet."""

    def __init__(self, where: str, weights: Mapping[str, Tensor]) -> None:
        self.where, self.weights = where, dict(weights)

    def layer(self, name: str) -> Layer:
        try:
            weight, bias = self.weights.pop(f"{name}.weight"), self.weights.pop(f"{name}.bias")
        except KeyError as missing:
            raise _refused(self.where, f"has no {missing.args[0]}") from None
        if weight.ndim not in (2, 4) or bias.shape != weight.shape[:1]:
            raise _refused(self.where, f"has a layer {name} that is none ({shape_text(tuple(weight.shape))})")
        return weight.float(), bias.float()

    def layers(self, prefix: str) -> list[Layer]:
        """Those at the even places of a sequence, each of which an activation follows."""
        inside = [name.removeprefix(f"{prefix}.") for name in self.weights if name.startswith(f"{prefix}.")]
        numbers = [name.partition(".")[0] for name in inside]
        places = sorted({int(number) for number in numbers if number.isdecimal()})
        if places != list(range(0, 2 * len(places), 2)):
            raise _refused(self.where, f"has other layers between those of {prefix}")
        return [self.layer(f"{prefix}.{place}") for place in places]

    def drop(self, prefix: str) -> dict[str, Tensor]:
        """Takes out all that begin so; the rest of their names to them."""
        names = [name for name in self.weights if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.weights.pop(name) for name in names}

    def require_none(self) -> None:
        if self.weights:
            name, value = next(iter(self.weights.items()))
            raise _refused(self.where, f"has layers of its own ({name}, {shape_text(tuple(value.shape))})")


def _of_dqn(left: _Unread) -> tuple[dict[str, Tensor], tuple[int, ...], tuple[int, ...]]:
    left.drop("q_net_target.")  # training begins with a copy of the network
    pictures = any(name.startswith("q_net.features_extractor.") for name in left.weights)
    body, units, channels = _convolutions(left, "q_net.features_extractor") if pictures else ({}, (), ())
    *hidden, last = left.layers("q_net.q_net") or [left.layer("q_net.q_net.0")]
    if pictures and hidden:
        raise _refused(left.where, "has further layers behind its convolutions")
    if not pictures:
        body, units = _stacked(left.where, [hidden])
    return {**body, **_head("value", last)}, units, channels


def _of_ppo(left: _Unread) -> tuple[dict[str, Tensor], tuple[int, ...], tuple[int, ...]]:
    if any(name.startswith("mlp_extractor.shared_net.") for name in left.weights):
        raise _refused(left.where, "has layers that policy and value share, as Stable-Baselines3 had until 1.7")
    common = left.drop("pi_features_extractor.")
    if any(not _same(value, common.get(name)) for name, value in left.drop("vf_features_extractor.").items()):
        raise _refused(left.where, "has an extractor each for policy and value (share_features_extractor=False)")
    pictures = any(name.startswith("features_extractor.") for name in left.weights)
    body, units, channels = _convolutions(left, "features_extractor") if pictures else ({}, (), ())
    policy, value = left.layers("mlp_extractor.policy_net"), left.layers("mlp_extractor.value_net")
    if pictures and (policy or value):
        raise _refused(left.where, "has further layers behind its convolutions")
    if not pictures:
        body, units = _stacked(left.where, [policy, value])
    deviation = left.weights.pop("log_std", None)
    if deviation is not None and deviation.ndim != 1:
        raise _refused(left.where, "explores by gSDE, whose noise is part of its policy")
    name = "logits" if deviation is None else "mean"
    heads = {**_head(name, left.layer("action_net")), **_head("value", left.layer("value_net"))}
    return {**body, **heads, **({} if deviation is None else {"log_deviation": deviation.float()})}, units, channels


def _same(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and torch.equal(one, other)


def _stacked(where: str, bodies: Sequence[Sequence[Layer]]) -> tuple[dict[str, Tensor], tuple[int, ...]]:
    """Bodies side by side as nn/stacked_perceptrons.py keeps them: first weight (m u, d), others (m, u, u) and the
    other way round."""
    units = [tuple(len(bias) for _, bias in body) for body in bodies]
    if not units[0]:
        raise _refused(where, "has no hidden layers")
    if len(set(units)) > 1:
        sizes = " and ".join(str(list(size)) for size in units)
        raise _refused(where, f"has layers of other widths for policy and value ({sizes})")
    stacked = {
        "network.weight.0": torch.cat([body[0][0] for body in bodies]),
        "network.bias.0": torch.cat([body[0][1] for body in bodies]),
    }
    for level in range(1, len(units[0])):
        stacked[f"network.weight.{level}"] = torch.stack([body[level][0].T for body in bodies])
        stacked[f"network.bias.{level}"] = torch.stack([body[level][1][None] for body in bodies])
    return stacked, units[0]


def _convolutions(left: _Unread, prefix: str) -> tuple[dict[str, Tensor], tuple[int, ...], tuple[int, ...]]:
    layers = left.layers(f"{prefix}.cnn")
    if tuple(weight.shape[-1] for weight, _ in layers if weight.ndim == 4) != KERNELS or len(layers) != len(KERNELS):
        raise _refused(left.where, "has other convolutions than those of Mnih et al. 2015")
    dense = left.layer(f"{prefix}.linear.0")
    ours = {"network.body.dense.weight": dense[0], "network.body.dense.bias": dense[1]}
    for number, (weight, bias) in enumerate(layers):
        ours[f"network.body.convolutions.{2 * number}.weight"] = weight
        ours[f"network.body.convolutions.{2 * number}.bias"] = bias
    return ours, (len(dense[1]),), tuple(len(bias) for _, bias in layers)


def _head(name: str, layer: Layer) -> dict[str, Tensor]:
    return {f"network.head.{name}.weight": layer[0], f"network.head.{name}.bias": layer[1]}
