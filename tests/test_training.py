"""Whole runs on small pictures: stopping, resuming, time limits, early stopping, what is logged and saved."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

import pervade
from pervade import api
from pervade.core import files
from pervade.core.errors import ConfigError, ResourceError
from pervade.domains.image import Image
from pervade.engine import checkpoint, predictor
from pervade.models.resnet import ResNet
from pervade.nn.trial import require_training_size
from pervade.run import training
from pervade.run.stopping import Stopped, stopping_at_once
from pervade.run.training import Options

SMALL = ("domain.size=16", "model.width=16", "batch_size=8")


def fit(data: Path, runs: Path, name: str, *settings: str, options: Options | None = None, **flags) -> api.Run:
    torch.set_num_threads(1)
    flags = {"settings": [*SMALL, *settings], "epochs": 3, "lr": 0.02, "ladder": ["trained"], **flags}
    return pervade.fit(data, name=name, runs=runs, options=options or Options(), **flags)


def weights(run: api.Run, checkpoint: str = "last") -> dict:
    return safetensors.torch.load_file(run.directory.checkpoint(checkpoint) / "model.safetensors")


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def steps(run: api.Run) -> list[dict]:
    """The log, without what the clock decides."""
    return [{k: v for k, v in e.items() if k not in ("elapsed", "rows_per_second")} for e in run.directory.read_log()]


def test_same_seed_same_result_whatever_the_workers(shapes: Path, tmp_path: Path) -> None:
    first, second = fit(shapes, tmp_path, "a"), fit(shapes, tmp_path, "b", workers=3)
    assert same(weights(first), weights(second))
    assert steps(first) == steps(second)
    assert not same(weights(first), weights(fit(shapes, tmp_path, "c", seed=1)))


def command(*arguments: str | Path) -> subprocess.Popen:
    code = "import torch; torch.set_num_threads(1); from pervade.cli import main; main()"
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    "number", [*(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGINT, signal.SIGTERM)), signal.SIGKILL]
)
def test_stopped_and_resumed_is_as_if_never_stopped(shapes: Path, tmp_path: Path, number: int) -> None:
    """Ctrl-C and SIGTERM save and say how to go on (without a process of its own: tests/cli/test_stopping.py); after a
    kill the last save counts. It takes more than 5 s, because a process starts and trains long enough to be hit.
    """
    small = ("domain.size=16", "model=reference-mlp", "optimizer=momentum", "batch_size=8", "early_stopping.every=10")
    whole = fit(shapes, tmp_path, "whole", settings=small, epochs=60)
    options = [part for setting in small for part in ("-o", setting)]
    run = tmp_path / "stopped"
    process = command(
        *("train", shapes, "--name", "stopped", "--runs", tmp_path, "--epochs", "60", "--lr", "0.02"),
        *("--save-every", "0.1", *options),
    )
    while process.poll() is None and not (run / "state").exists():
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert process.returncode == -9
    else:
        assert process.returncode == 128 + number
        assert f"pervade resume {run}" in errors
        assert "Traceback" not in errors
    assert not (run / "checkpoints" / "last").exists()
    resumed = pervade.resume(run, options=Options())
    assert same(weights(whole), weights(resumed))
    assert same(weights(whole, "best"), weights(resumed, "best"))
    assert steps(whole) == steps(resumed)
    # resuming what is complete changes nothing
    before = (run / "state" / "state.safetensors").stat().st_mtime_ns
    pervade.resume(run, options=Options())
    assert (run / "state" / "state.safetensors").stat().st_mtime_ns == before


def test_stop_from_python(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal that came is told, and a second one would have ended the process at once."""
    take = training.Learner._take_step

    def interrupted(self, batch):
        if self.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return take(self, batch)

    monkeypatch.setattr(training.Learner, "_take_step", interrupted)
    with pytest.raises(Stopped) as stopped:
        fit(shapes, tmp_path, "a")
    assert stopped.value.number == signal.SIGTERM
    assert files.read_json(tmp_path / "a" / "state" / "state.json")["state"]["learner"]["step"] == 4


@pytest.mark.parametrize("at", [1, 2, 3])
def test_stopped_while_it_is_judged(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """A validation may take hours: it ends after the batch, and is made anew. So it is in the last pass."""
    whole = fit(shapes, tmp_path, "whole", "early_stopping.every=1")
    pieces, count = predictor._pieces, 0

    def interrupted(batch, rows, painted):
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return pieces(batch, rows, painted)

    monkeypatch.setattr(predictor, "_pieces", interrupted)
    with pytest.raises(Stopped):
        fit(shapes, tmp_path, "stopped", "early_stopping.every=1")
    run = tmp_path / "stopped"
    learner = files.read_json(run / "state" / "state.json")["state"]["learner"]
    assert (count, learner["passes"], learner["pass_over"]) == (at, at - 1, True)
    resumed = pervade.resume(run, options=Options())
    assert count == 4
    assert same(weights(whole), weights(resumed)) and same(weights(whole, "best"), weights(resumed, "best"))
    assert steps(whole) == steps(resumed)


def test_stopped_after_the_last_step(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left to train, but it is not taken for never asked."""
    finish = training.Training._finish

    def interrupted(self, moment):
        os.kill(os.getpid(), signal.SIGTERM)
        finish(self, moment)

    monkeypatch.setattr(training.Training, "_finish", interrupted)
    with pytest.raises(Stopped):
        fit(shapes, tmp_path, "a")
    assert (tmp_path / "a" / "checkpoints" / "last").exists()
    assert pervade.resume(tmp_path / "a", options=Options()).evaluate()["n"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_at_once(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stopped, stopping_at_once(tmp_path):
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except Exception:
            pytest.fail("taken for a fault")
    assert (stopped.value.number, stopped.value.path) == (number, tmp_path)
    assert signal.getsignal(number) is before
    with pytest.raises(Stopped) as stopped, stopping_at_once(tmp_path):
        raise Stopped(number, tmp_path / "members" / "seed-1")
    assert (stopped.value.number, stopped.value.path) == (number, tmp_path)


def test_early_stopping(shapes: Path, tmp_path: Path) -> None:
    """With a learning rate of almost nothing no pass is better than the first."""
    run = fit(shapes, tmp_path, "a", "early_stopping.patience=2", "early_stopping.every=1", lr=1e-12, epochs=50)
    passes = [entry for entry in run.directory.read_log() if entry["event"] == "pass"]
    assert len(passes) == 3
    assert any("stopped early" in entry.get("text", "") for entry in run.directory.read_log())
    assert files.read_json(run.directory.checkpoint("best") / "architecture.json")["passes"] == 1


def test_unknown_metric_is_named(shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="accuracy"):
        fit(shapes, tmp_path, "a", "early_stopping.metric=acuracy")


def test_one_process_at_a_time(shapes: Path, tmp_path: Path) -> None:
    run = fit(shapes, tmp_path, "a")
    with run.directory.lock(), pytest.raises(ResourceError, match="another process"):
        pervade.resume(run.path, options=Options())


def test_changed_data_is_noticed(shapes: Path, tmp_path: Path) -> None:
    import shutil

    from pervade.core.errors import DataError

    data = shutil.copytree(shapes, tmp_path / "data")
    run = fit(data, tmp_path, "a")
    shutil.copy(data / "left" / "00.png", data / "left" / "02.png")
    with pytest.raises(DataError, match=r"02\.png changed"):
        run.evaluate()
    (data / "left" / "02.png").unlink()
    with pytest.raises(DataError, match="not there any more"):
        run.evaluate()


def test_tensorboard(shapes: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = fit(shapes, tmp_path, "a", options=Options(tensorboard=True))
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    logged = [entry["loss"] for entry in run.directory.read_log() if entry["event"] == "step"]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(logged)


def test_a_failed_start_leaves_no_run(tmp_path: Path) -> None:
    from pervade.core.errors import DataError

    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError):
        fit(tmp_path / "nothing", tmp_path / "runs", "a")
    assert not list((tmp_path / "runs").glob("*"))


def test_bf16_training_is_recorded_and_evaluated_in_fp32(shapes: Path, tmp_path: Path) -> None:
    run = fit(shapes, tmp_path, "a", precision="bf16", epochs=1)
    assert files.read_json(run.directory.checkpoint("last") / "architecture.json")["precision"] == "bf16"
    assert all(value.dtype != torch.bfloat16 for value in weights(run).values())
    assert run.evaluate()["precision"] == "fp32"


@pytest.mark.parametrize("model", ["vit-tiny", "reference-mlp", "reference-cnn"])
def test_a_network_of_one_size_is_not_trained_on_another(model: str, shapes: Path, tmp_path: Path) -> None:
    """A recipe may train on smaller pictures than it is used on, which not every network takes."""
    settings = ["domain.size=80", f"model={model}", "domain.train_scale=0.8", "workers=0"]
    words = r"is for pictures of 80 x 80 pixels and does not take the 64 x 64 .*; set -o domain.train_scale=1"
    with pytest.raises(ConfigError, match=words):
        pervade.fit(shapes, init="random", runs=tmp_path, settings=settings, options=Options())
    assert list(tmp_path.iterdir()) == []


def test_a_network_of_any_size_is_left_as_it_was() -> None:
    domain = Image(size=40, train_scale=0.8, mean=(0.5,) * 3, deviation=(0.2,) * 3)
    assert domain.inputs().training_shape == (3, 32, 32)
    assert replace(domain, augment=False).inputs().training_shape is None
    network = ResNet(depth=10, width=8).build(domain.inputs(), {"logits": 2})
    before = {name: value.clone() for name, value in network.state_dict().items()}
    require_training_size(network, domain.inputs())
    assert all(module.training for module in network.modules())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "model",
    [
        "model=reference-mlp",
        pytest.param("model={use: resnet, depth: 10, width: 16}", marks=pytest.mark.slow),  # two processes again
    ],
)
def test_two_processes_make_one_run(model: str, shapes: Path, tmp_path: Path) -> None:
    """torchrun in front of the command line: one run, one report, and the loss of one process at the same batch, with
    batch normalisation too. Not at a high learning rate, which multiplies rounding differences.
    """
    settings = ["domain.size=16", "batch_size=8", "init=random", "precision=fp32", model]
    settings.append("optimizer={use: momentum, lr: 0.002}")
    arguments = ["train", str(shapes), "--runs", str(tmp_path), "--epochs", "2", "--lr", "0.002"]
    arguments += [each for setting in settings for each in ("-o", setting)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = str(Path(sys.executable).with_name("pervade"))
    done = subprocess.run(
        [*torchrun, script, *arguments, "--name", "two"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report ") == 1
    one = fit(shapes, tmp_path, "one", epochs=2, lr=0.002, settings=settings)
    two = pervade.load(tmp_path / "two")
    losses = [[entry["loss"] for entry in run.directory.read_log() if entry["event"] == "step"] for run in (one, two)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    figures = [two.results(), one.evaluate()]
    assert figures[0]["n"] == figures[1]["n"]
    for name, value in figures[1]["metrics"].items():
        assert figures[0]["metrics"][name]["value"] == pytest.approx(value["value"], abs=1e-4)


def test_a_measurement_of_other_weights_is_none_of_these(shapes: Path, tmp_path: Path) -> None:
    run = fit(shapes, tmp_path, "a", epochs=1)
    loaded, name = run.load(), run.evaluate()["checkpoint"]
    measured = run.directory.result("evaluate", name), run.directory.predictions(name, "test")
    assert all(each.exists() for each in measured)
    checkpoint.save_checkpoint(run.directory, name, loaded.network, run.recipe(), loaded.domain, {})
    assert not any(each.exists() for each in measured)
