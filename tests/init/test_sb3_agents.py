"""Agents of Stable-Baselines3: made by hand in its layout, and held to what its own layers would compute."""

from __future__ import annotations

import io
import json
import pickle
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pervade
from pervade.core.errors import CheckpointError, ConfigError
from pervade.models.perceptron import Perceptron
from pervade.models.policy import Policy
from pervade.nn.policy import PolicyNetwork, responder
from pervade.recipes import rl
from pervade.weights import sb3

CARTPOLE, PENDULUM, PONG = "gym://CartPole-v1", "gym://Pendulum-v1", "gym://ALE/Pong-v5"


class Bomb:
    def __reduce__(self) -> Any:
        return print, ("code of the file ran",)


def save(path: Path, weights: dict[str, Any], **settings: Any) -> Path:
    """As Stable-Baselines3 2.9 does: objects among the settings are base64 of a pickle beside a description."""
    harmful = pickle.dumps(Bomb()).hex()
    told = {
        "policy_class": {":type:": "<class 'abc.ABCMeta'>", ":serialized:": harmful}
        | {"__module__": "stable_baselines3.common.policies"},
        "observation_space": {":type:": "<class 'gymnasium.spaces.box.Box'>", ":serialized:": harmful},
        "policy_kwargs": {},
        "num_timesteps": 30_000,
        "use_sde": False,
        **settings,
    }
    content = io.BytesIO()
    torch.save(weights, content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", json.dumps(told))
        archive.writestr("pytorch_variables.pth", b"")
        archive.writestr("policy.pth", content.getvalue())
        archive.writestr("_stable_baselines3_version", "2.9.2")
    return path


def mlp(inputs: int, units: tuple[int, ...], activation: type[nn.Module], outputs: int | None = None) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in units:
        layers += [nn.Linear(inputs, size), activation()]
        inputs = size
    return nn.Sequential(*layers, *([nn.Linear(inputs, outputs)] if outputs is not None else []))


class ActorCritic(nn.Module):
    def __init__(
        self, inputs: int, actions: int, continuous: bool, units: tuple[int, ...] = (8, 8), activation: Any = nn.Tanh
    ) -> None:
        super().__init__()
        if continuous:
            self.log_std = nn.Parameter(torch.randn(actions) / 4)
        self.mlp_extractor = nn.Module()
        self.mlp_extractor.policy_net = mlp(inputs, units, activation)
        self.mlp_extractor.value_net = mlp(inputs, units, activation)
        self.action_net = nn.Linear(units[-1], actions)
        self.value_net = nn.Linear(units[-1], 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        net = self.mlp_extractor
        return self.action_net(net.policy_net(x)), self.value_net(net.value_net(x))


class Nature(nn.Module):
    def __init__(self, depth: int, features: int) -> None:
        super().__init__()
        self.cnn = nn.Sequential(
            *(nn.Conv2d(depth, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU()),
            *(nn.Conv2d(64, 64, 3, 1), nn.ReLU(), nn.Flatten()),
        )
        self.linear = nn.Sequential(nn.Linear(64 * 7 * 7, features), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.cnn(x / 255))


def begun(path: Path, address: str) -> tuple[PolicyNetwork, str]:
    """The network that a run from this agent begins with, and what was said of it."""
    recipe = rl.recipe(init=str(path), source=address)
    domain: Any = recipe.domain
    domain = domain.fit(None)
    network: Any = recipe.model.build(domain.inputs(), recipe.task.outputs(domain))
    return network, recipe.init.apply(network, recipe.model, domain).summary


class TestTheSameAnswers:
    """What learns, what acts, and the agent's own layers agree."""

    @pytest.mark.parametrize("units", [(8, 8), (5,), (9, 4, 7)])
    @pytest.mark.parametrize(("address", "inputs", "actions"), [(CARTPOLE, 4, 2), (PENDULUM, 3, 1)])
    def test_ppo(self, tmp_path: Path, address: str, inputs: int, actions: int, units: tuple[int, ...]) -> None:
        agent = ActorCritic(inputs, actions, address == PENDULUM, units)
        network, _ = begun(save(tmp_path / "agent.zip", agent.state_dict()), address)
        x = torch.randn(7, inputs) * 3
        name = "mean" if address == PENDULUM else "logits"
        expected = dict(zip((name, "value"), agent(x), strict=True))
        acting = responder(network)(x.numpy(), (name, "value"))
        for each, theirs in expected.items():
            torch.testing.assert_close(network(x)[each], theirs, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(acting[each], theirs.detach().numpy(), rtol=1e-5, atol=1e-6)
        if address == PENDULUM:
            assert torch.equal(network(x)["log_deviation"][0], agent.log_std)

    @pytest.mark.parametrize(("kind", "kwargs"), [(nn.ReLU, {}), (nn.Tanh, {"activation_fn": f"{nn.Tanh}"})])
    def test_dqn(self, tmp_path: Path, kind: type[nn.Module], kwargs: dict[str, Any]) -> None:
        agent, target = mlp(4, (6, 5), kind, 2), mlp(4, (6, 5), kind, 2)
        weights = {f"q_net.q_net.{name}": value for name, value in agent.state_dict().items()}
        weights |= {f"q_net_target.q_net.{name}": value for name, value in target.state_dict().items()}
        network, said = begun(save(tmp_path / "agent.zip", weights, policy_kwargs=kwargs), CARTPOLE)
        x = torch.randn(7, 4)
        torch.testing.assert_close(network(x)["value"], agent(x))
        assert "all 6 weights from" in said
        assert "Stable-Baselines3 2.9.2 (DQN, trained for 30,000 steps)" in said
        assert "behind VecNormalize" in said

    def test_ppo_of_pictures(self, tmp_path: Path) -> None:
        """One extractor for policy and value, which the file holds three times."""
        extractor, act, value = Nature(4, 12), nn.Linear(12, 6), nn.Linear(12, 1)
        weights: dict[str, Tensor] = {}
        for prefix in ("features_extractor", "pi_features_extractor", "vf_features_extractor"):
            weights |= {f"{prefix}.{name}": each for name, each in extractor.state_dict().items()}
        for prefix, layer in (("action_net", act), ("value_net", value)):
            weights |= {f"{prefix}.{name}": each for name, each in layer.state_dict().items()}
        network, _ = begun(save(tmp_path / "agent.zip", weights), PONG)
        x = torch.randint(0, 256, (3, 4, 84, 84), dtype=torch.uint8)
        features = extractor(x.float())
        torch.testing.assert_close(network(x)["logits"], act(features))
        torch.testing.assert_close(network(x)["value"], value(features))

    def test_dqn_of_pictures(self, tmp_path: Path) -> None:
        extractor, last = Nature(4, 12), nn.Linear(12, 6)
        weights = {f"q_net.features_extractor.{name}": each for name, each in extractor.state_dict().items()}
        weights |= {f"q_net.q_net.0.{name}": each for name, each in last.state_dict().items()}
        network, _ = begun(save(tmp_path / "agent.zip", weights), PONG)
        x = torch.randint(0, 256, (3, 4, 84, 84), dtype=torch.uint8)
        torch.testing.assert_close(network(x)["value"], last(extractor(x.float())))


class TestWhatARunBecomes:
    def test_everything_in_its_own_units(self, tmp_path: Path) -> None:
        agent = ActorCritic(3, 1, True, activation=nn.ReLU, units=(8, 8))
        kwargs = {"activation_fn": f"{nn.ReLU}", "net_arch": "{'pi': [8, 8]}"}
        recipe: Any = rl.recipe(
            init=save(tmp_path / "agent.zip", agent.state_dict(), policy_kwargs=kwargs), source=PENDULUM
        )
        assert recipe.model == Policy(Perceptron((8, 8), "relu"), normalise=False)
        assert recipe.domain.scale_actions is False
        assert recipe.source.scale_rewards is False

    def test_it_goes_on_learning(self, tmp_path: Path) -> None:
        path = save(tmp_path / "agent.zip", ActorCritic(4, 2, False, (8, 8)).state_dict())
        settings = ["domain.episodes=2", "source.steps=8", "source.epochs=1"]
        run = pervade.fit(CARTPOLE, init=path, runs=tmp_path / "runs", name="on", epochs=2, settings=settings)
        assert run.evaluate()
        assert not torch.equal(
            run.load().network.state_dict()["network.bias.0"], sb3.described(path).weights["network.bias.0"]
        )

    def test_it_is_measured_as_it_is(self, tmp_path: Path) -> None:
        path = save(tmp_path / "agent.zip", ActorCritic(4, 2, False, (8, 8)).state_dict())
        run = pervade.fit(CARTPOLE, init=path, runs=tmp_path / "runs", steps=0, settings=["domain.episodes=2"])
        state = run.load().network.state_dict()
        assert all(torch.equal(state[name], value) for name, value in sb3.described(path).weights.items())

    def test_another_algorithm_is_refused(self, tmp_path: Path) -> None:
        path = save(tmp_path / "agent.zip", ActorCritic(4, 2, False, (8, 8)).state_dict())
        with pytest.raises(ConfigError, match=r"--algorithm dqn cannot go on from .*PPO.*leave --algorithm out"):
            rl.recipe(init=path, source=CARTPOLE, algorithm="dqn")
        assert rl.recipe(init=path, source=CARTPOLE, algorithm="ppo").task == rl.ppo().task

    def test_another_network_is_refused(self, tmp_path: Path) -> None:
        path = save(tmp_path / "agent.zip", ActorCritic(4, 2, False, (8, 8)).state_dict())
        with pytest.raises(ConfigError, match="brings its own network; leave --model out"):
            rl.recipe("perceptron", init=path, source=CARTPOLE)

    @pytest.mark.parametrize("address", [PENDULUM, "gym://Acrobot-v1", PONG])
    def test_another_environment_is_refused(self, tmp_path: Path, address: str) -> None:
        path = save(tmp_path / "agent.zip", ActorCritic(4, 2, False, (8, 8)).state_dict())
        with pytest.raises(CheckpointError, match=r"does not fit .*the environment it was trained in"):
            begun(path, address)


def of(**more: Tensor) -> dict[str, Tensor]:
    return {**ActorCritic(4, 2, False, (8, 8)).state_dict(), **more}


ONE = torch.zeros(1)
KWARGS = {":type:": "<class 'dict'>"}


class TestRefusals:
    @pytest.mark.parametrize(
        ("weights", "settings", "words"),
        [
            (of(log_std=torch.zeros(8, 2)), {}, "gSDE"),
            (of(), {"use_sde": True}, "gSDE"),
            (of(**{"mlp_extractor.shared_net.0.weight": ONE}), {}, "layers that policy and value share"),
            (of(**{"mlp_extractor.policy_net.1.weight": ONE}), {}, "other layers between those of mlp_extractor"),
            (of(**{"lstm_actor.weight_ih_l0": ONE}), {}, "layers of its own (lstm_actor.weight_ih_l0, 1)"),
            (of(**{"action_net.bias": torch.zeros(3)}), {}, "a layer action_net that is none"),
            (of(**{"features_extractor.net.0.weight": ONE}), {}, "other convolutions than those of Mnih"),
            ({"actor.mu.weight": ONE}, {}, "another algorithm or policy (such as actor.mu.weight)"),
            ({"q_net.q_net.0.weight": torch.zeros(2, 4), "q_net.q_net.0.bias": torch.zeros(2)}, {}, "no hidden layers"),
            (of(), {"policy_kwargs": {**KWARGS, "activation_fn": f"{nn.GELU}"}}, "the activation GELU"),
            (of(), {"policy_kwargs": {**KWARGS, "features_extractor_class": "<class 'mine.Mine'>"}}, "extractor Mine"),
            (of(), {"policy_class": {"__module__": "sb3_contrib.common.maskable.policies"}}, "a policy of its own"),
            (of(), {"observation_space": {":type:": "<class 'gymnasium.spaces.dict.Dict'>"}}, "several things at once"),
        ],
    )
    def test_other_agents(self, tmp_path: Path, weights: Any, settings: Any, words: str) -> None:
        with pytest.raises(CheckpointError) as refused:
            sb3.described(save(tmp_path / "agent.zip", weights, **settings))
        assert words in str(refused.value)
        assert "what loads is an agent of PPO, A2C or DQN" in str(refused.value)

    def test_bodies_of_other_widths(self, tmp_path: Path) -> None:
        agent = ActorCritic(4, 2, False, (8, 8))
        agent.mlp_extractor.value_net, agent.value_net = mlp(4, (8, 5), nn.Tanh), nn.Linear(5, 1)
        with pytest.raises(CheckpointError, match=r"other widths for policy and value \(\[8, 8\] and \[8, 5\]\)"):
            sb3.described(save(tmp_path / "agent.zip", agent.state_dict()))

    def test_code_is_not_run(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Settings hold pickles in every agent; in the weights they have no business."""
        sb3.described(save(tmp_path / "agent.zip", of()))
        with pytest.raises(CheckpointError, match=r"policy.pth holds an object of .*would run code"):
            sb3.described(save(tmp_path / "agent.zip", {**of(), "more": Bomb()}))
        assert capsys.readouterr().out == ""

    def test_what_is_no_agent(self, tmp_path: Path) -> None:
        path = tmp_path / "agent.zip"
        with pytest.raises(CheckpointError, match="is not there"):
            sb3.described(path)
        path.write_bytes(b"PK no zip")
        with pytest.raises(CheckpointError, match="is damaged"):
            sb3.described(path)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("photo.jpg", b"")
        with pytest.raises(CheckpointError, match=r"no agent of Stable-Baselines3.*holds photo\.jpg"):
            sb3.described(path)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data", "[]")
            archive.writestr("policy.pth", b"")
        with pytest.raises(CheckpointError, match="is damaged"):
            sb3.described(path)

    @pytest.mark.parametrize("name", ["data", "policy.pth"])
    def test_what_unpacks_to_gigabytes(self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "agent.zip"
        monkeypatch.setitem(sb3.LARGEST, name, 1 << 20)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for each in ("data", "policy.pth"):
                archive.writestr(each, b" " * (2 << 20) if each == name else b"{}")
        assert path.stat().st_size < 10_000
        with pytest.raises(CheckpointError, match=rf"{name} unpacks to 2,097,152 bytes, and no agent's is larger"):
            sb3.described(path)

    def test_names_of_any_length(self, tmp_path: Path) -> None:
        """They were searched in a time that grew with the square of their length: minutes for these."""
        began = time.process_time()
        for settings in (
            {"observation_space": {":type:": "a" * 200_000 + " "}},
            {"policy_kwargs": {"features_extractor_class": "." * 200_000 + " "}},
            {"policy_kwargs": {"activation_fn": "b" * 200_000 + "!"}},
            {"policy_class": {"__module__": "c" * 200_000}},
        ):
            try:
                sb3.described(save(tmp_path / "agent.zip", of(), **settings))
            except CheckpointError as error:
                assert len(str(error)) < 500
        assert time.process_time() - began < 2

    @pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
    def test_cut_off(self, tmp_path: Path, share: float) -> None:
        whole = save(tmp_path / "whole.zip", of()).read_bytes()
        (tmp_path / "agent.zip").write_bytes(whole[: int(len(whole) * share)])
        # The weights are a zip inside the zip, whose end may be the last that is found.
        with pytest.raises(CheckpointError, match=r"is damaged|is no agent"):
            sb3.described(tmp_path / "agent.zip")

    def test_a_byte_changed(self, tmp_path: Path) -> None:
        path = save(tmp_path / "agent.zip", of())
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="is damaged"):
            sb3.described(path)

    def test_numbers_that_are_none(self, tmp_path: Path) -> None:
        path = save(tmp_path / "agent.zip", of(**{"value_net.bias": torch.tensor([float("nan")])}))
        with pytest.raises(CheckpointError, match="not finite"):
            begun(path, CARTPOLE)

    def test_for_pictures_to_classify(self, tmp_path: Path, shapes: Path) -> None:
        path = save(tmp_path / "agent.zip", of())
        with pytest.raises(CheckpointError, match="does not fit reference-cnn"):
            pervade.fit(shapes, model="reference-cnn", init=path, runs=tmp_path / "runs")
        assert not list((tmp_path / "runs").glob("*/recipe.yaml"))
