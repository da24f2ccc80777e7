"""The reference CNN at 224x224, batch 32: Pervade against Keras/TensorFlow, alternating in one run.

    python benchmarks/keras_comparison.py [--rounds 6] [--steps 5]

Keras gets an environment of its own under .bench/keras, made on the first run (one minute, 1.5 GB), and runs as two
worker processes, for fp32 and for mixed_bfloat16. All sides start from the same weights, see the same batches (in
memory, so no reading is measured) in the same order, use the same Adam and all cores, and never run at the same time.
Each side takes a round in turn; a ratio is taken within a round and the median over rounds is reported, so that what
else the machine does weighs on all sides alike.

Keras is run at its fastest: its own compiled step (`tf.function`), with and without XLA, whichever a trial shows to be
quicker. `train_on_batch` came out the same or slower, `fit` slower. Pervade is run as `pervade train` runs it: the
engine's Learner, the registered Adam, channels last, precision "auto" (and fp32, where that is another one); for
inference in fp32, as `predict` does.

Wanted: training at least 1.8 times Keras fp32, not slower than Keras mixed_bfloat16, at equal loss after equal steps.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

HERE = Path(__file__).resolve().parent
PLACE = HERE.parent / ".bench" / "keras"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
BATCHES = 4  # different ones, gone through in turn
LEARNING_RATE, EPSILON, BETA2 = 1e-3, 1e-8, 0.999  # the registered Adam's, and torch's epsilon
MEAN, DEVIATION = 0.5, 0.25  # of the made-up pixels, the same on both sides
WANTED_RATIO, EQUAL_LOSS = 1.8, 0.02


class Side(Protocol):
    def train(self, steps: int) -> tuple[list[float], list[float]]:
        """Seconds and loss of each step."""
        ...

    def infer(self, steps: int) -> list[float]:
        """Seconds of each batch."""
        ...


@dataclass
class Row:
    """One line of the result: a side, and what was measured of it, a list a round."""

    name: str
    precision: str
    side: Side
    train: list[list[float]] = field(default_factory=list)
    infer: list[list[float]] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)


def make_batches(size: int, batch: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Noise (batch, size, size, 3) in 0-1 with faint stripes, upright or level by class. A tenth of the labels is
    wrong, so that the loss stays away from zero, where all sides would agree."""
    generator = np.random.default_rng(0)
    stripes = 0.15 * np.sin(np.arange(size) * (2 * np.pi / 16)).astype(np.float32)
    found = []
    for _ in range(BATCHES):
        target = generator.integers(0, 2, batch)
        pixels = generator.normal(MEAN, DEVIATION, (batch, size, size, 3)).astype(np.float32)
        level = target[:, None, None] == 1
        pixels += np.where(level, stripes[None, :, None], stripes[None, None, :])[..., None]
        flipped = generator.random(batch) < 0.1
        found.append((pixels.clip(0, 1), np.where(flipped, 1 - target, target).astype(np.int64)))
    return found


# Pervade


class PervadeSide:
    """The project's own training and inference path on batches in memory."""

    def __init__(self, network: Any, batches: list[tuple[np.ndarray, np.ndarray]], precision: str) -> None:
        import torch

        from pervade.core.contracts import Context
        from pervade.engine.fit import Learner
        from pervade.tasks.classify import Classify
        from pervade.train.optim.adam import Adam
        from pervade.train.schedule.constant import Constant

        self.network = network.to(memory_format=torch.channels_last)
        # (n, h, w, c) in memory, seen as (n, c, h, w): channels last without a copy
        self.batches = [
            {
                "row": torch.arange(len(y)),
                "input": torch.from_numpy(x).permute(0, 3, 1, 2),
                "target": torch.from_numpy(y),
            }
            for x, y in batches
        ]
        context: Any = Context(None)  # type: ignore[arg-type]  # Classify asks nothing of a domain in training
        self.learner = Learner(
            Classify(), self.network, context, Adam(lr=LEARNING_RATE), Constant(), 1, precision=precision
        )
        self.moments = self.learner.fit(self, passes=sys.maxsize)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)

    def feedback(self, batch: Any, parts: Any) -> bool:
        return False

    def train(self, steps: int) -> tuple[list[float], list[float]]:
        self.network.train()
        seconds, losses = [], []
        while len(seconds) < steps:
            start = time.perf_counter()
            if next(self.moments).kind == "step":
                losses.append(self.learner.averages()["loss"])
                seconds.append(time.perf_counter() - start)
        return seconds, losses

    def infer(self, steps: int) -> list[float]:
        import torch

        self.network.eval()
        seconds = []
        with torch.inference_mode():
            for step in range(steps):
                start = time.perf_counter()
                self.network(self.batches[step % BATCHES]["input"])["logits"].numpy()
                seconds.append(time.perf_counter() - start)
        return seconds


def build_network(size: int) -> Any:
    import torch

    from pervade.models.reference_cnn import ReferenceCNN

    torch.manual_seed(0)
    inputs = {"shape": [3, size, size], "mean": [MEAN] * 3, "deviation": [DEVIATION] * 3}
    return ReferenceCNN().build(inputs=inputs, outputs={"logits": 2})


def save_start(network: Any, batches: list[tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """Batches and initial weights as Keras lays them out: kernels (h, w, in, out), dense (in, out), channels last."""
    import torch

    arrays: dict[str, np.ndarray] = {}
    layers = [m for m in network.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    for number, layer in enumerate(layers):
        weight = layer.weight.detach()
        arrays[f"kernel{number}"] = (weight.permute(2, 3, 1, 0) if weight.ndim == 4 else weight.T).numpy()
        arrays[f"bias{number}"] = layer.bias.detach().numpy()
    for number, (pixels, target) in enumerate(batches):
        arrays |= {f"pixels{number}": pixels, f"target{number}": target}
    arrays["padded"] = np.array(layers[0].padding != (0, 0))
    np.savez(path, **arrays)


# Keras


class KerasSide:
    """A worker process under Keras' own Python; one line of JSON each way."""

    def __init__(self, python: Path, start: Path, precision: str) -> None:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": ""}
        # What prepare() set is for torch; Keras runs as its users run it.
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "THP_MEM_ALLOC_ENABLE"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [python, __file__, "--worker", precision, start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(PLACE / f"worker-{precision}.log").open("w"),
            text=True,
            env=environment,
        )
        self.about: dict[str, Any] = self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the Keras worker ended; see {PLACE}/worker-*.log")
        return json.loads(line)

    def ask(self, what: str, steps: int) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([what, steps]) + "\n")
        self.process.stdin.flush()
        return self._read()

    def train(self, steps: int) -> tuple[list[float], list[float]]:
        seconds, losses = self.ask("train", steps)
        return seconds, losses

    def infer(self, steps: int) -> list[float]:
        seconds: list[float] = self.ask("infer", steps)
        return seconds

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def keras_environment() -> Path:
    """Python of .bench/keras, with TensorFlow's build for processors where there is one (not on macOS)."""
    folder, done = PLACE / "venv", PLACE / "installed"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (done.exists() and python.exists()):
        PLACE.mkdir(parents=True, exist_ok=True)
        venv.create(folder, clear=True, with_pip=True)
        package = "tensorflow-cpu" if sys.platform.startswith("linux") else "tensorflow"
        subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=True)
        done.touch()
    return python


def keras_worker(precision: str, start: Path) -> None:
    """Runs in Keras' environment. Answers on what was stdout; whatever TensorFlow prints goes to the log."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(CORES)
    keras.mixed_precision.set_global_policy({"fp32": "float32", "bf16": "mixed_bfloat16"}[precision])
    data, layers = np.load(start), keras.layers
    padding = "same" if data["padded"] else "valid"
    convolution: Callable[[int], Any] = lambda n: layers.Conv2D(n, 3, padding=padding, activation="relu")  # noqa: E731
    model = keras.Sequential(
        [
            keras.Input(data["pixels0"].shape[1:]),
            layers.Rescaling(1 / DEVIATION, -MEAN / DEVIATION),
            *(convolution(32), layers.MaxPooling2D(), convolution(64), layers.MaxPooling2D(), convolution(128)),
            *(layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(2, dtype="float32")),
        ]
    )
    # Keras adds epsilon before the correction of bias, torch after it. With 51 M weights of tiny gradients that is
    # another optimiser (loss at step 2: 32.466 and 32.491), so Keras' epsilon is set to what torch's amounts to.
    optimizer = keras.optimizers.Adam(LEARNING_RATE, beta_2=BETA2)
    optimizer.epsilon = tf.Variable(EPSILON)
    optimizer.build(model.trainable_variables)
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    batches = [(tf.constant(data[f"pixels{i}"]), tf.constant(data[f"target{i}"])) for i in range(BATCHES)]
    weights = [data[f"{kind}{i}"] for i in range(len(model.trainable_variables) // 2) for kind in ("kernel", "bias")]

    def step(pixels: Any, target: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = entropy(target, model(pixels, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables))
        return loss

    def forward(pixels: Any) -> Any:
        return model(pixels, training=False)

    def fastest(function: Callable[..., Any], *arguments: Any) -> tuple[Callable[..., Any], bool]:
        """The function compiled without or with XLA: the quicker of the two, and which it was."""
        trials = []
        for xla in (False, True):
            compiled = tf.function(function, jit_compile=xla)
            times = [clock(lambda run=compiled: run(*arguments).numpy())[0] for _ in range(5)]
            trials.append((min(times[1:]), xla, compiled))  # the first one compiles
        _, xla, compiled = min(trials, key=lambda trial: trial[0])
        return compiled, xla

    training, training_xla = fastest(step, *batches[0])
    inference, inference_xla = fastest(forward, batches[0][0])
    model.set_weights(weights)  # the trials moved them
    for variable in optimizer.variables:
        if variable is not optimizer.learning_rate:
            variable.assign(np.zeros(variable.shape))
    versions = f"Keras {keras.__version__}, TensorFlow {tf.__version__}"
    print(json.dumps({"versions": versions, "xla": [training_xla, inference_xla]}), file=answers, flush=True)
    taken = 0
    for line in sys.stdin:
        what, steps = json.loads(line)
        if what == "train":
            found = []
            for _ in range(steps):
                optimizer.epsilon.assign(EPSILON * (1 - BETA2 ** (taken + 1)) ** 0.5)
                found.append(clock(lambda i=taken: float(training(*batches[i % BATCHES]))))
                taken += 1
            answer: Any = list(zip(*found, strict=True))
        else:
            answer = [clock(lambda i=i: inference(batches[i % BATCHES][0]).numpy())[0] for i in range(steps)]
        print(json.dumps(answer), file=answers, flush=True)


def clock(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    value = function()
    return time.perf_counter() - start, value


# the comparison


def measure(rows: list[Row], rounds: int, steps: int) -> None:
    """Round 0 warms up: its steps count towards the loss, its times do not."""
    for number in range(rounds + 1):
        order = rows if number % 2 == 0 else rows[::-1]  # no side always follows the same other
        for row in order:
            seconds, losses = row.side.train(steps)
            row.loss += losses
            batches = row.side.infer(steps)
            if number:
                row.train.append(seconds)
                row.infer.append(batches)


def rate(rounds: list[list[float]], batch: int) -> str:
    """Median images/s and the quartiles, over all steps."""
    low, middle, high = statistics.quantiles([batch / s for each in rounds for s in each], n=4)
    return f"{middle:.1f} ({low:.1f}-{high:.1f})"


def ratio(ours: list[list[float]], theirs: list[list[float]]) -> tuple[float, float, float]:
    """How many times faster ours is: median, least and most over the rounds."""
    found = [statistics.median(t) / statistics.median(o) for o, t in zip(ours, theirs, strict=True)]
    return statistics.median(found), min(found), max(found)


def report(rows: list[Row], batch: int) -> None:
    steps = len(rows[0].loss)
    print("| side | precision, training / inference | train images/s | inference images/s | loss, first step |", end="")
    print(f" loss, mean of steps {steps - 2 * BATCHES + 1}-{steps} |\n|---|---|---|---|---|---|")
    for row in rows:
        last = statistics.mean(row.loss[-2 * BATCHES :])
        print(f"| {row.name} | {row.precision} | {rate(row.train, batch)} | {rate(row.infer, batch)} |", end="")
        print(f" {row.loss[0]:.5f} | {last:.4f} |")
    print("\n| training, Pervade against Keras | times as fast (least-most of the rounds) | inference | wanted | |")
    print("|---|---|---|---|---|")
    for ours in (row for row in rows if isinstance(row.side, PervadeSide)):
        for theirs in (row for row in rows if isinstance(row.side, KerasSide)):
            middle, low, high = ratio(ours.train, theirs.train)
            wanted = WANTED_RATIO if theirs.precision.startswith("fp32") else 1.0
            names = f"{ours.precision} against {theirs.precision}"
            verdict = "met" if middle >= wanted else "NOT met"
            inference = ratio(ours.infer, theirs.infer)[0]
            print(f"| {names} | {middle:.2f} ({low:.2f}-{high:.2f}) | {inference:.2f} | {wanted} | {verdict} |")
    apart = max(abs(statistics.mean(row.loss) - statistics.mean(rows[0].loss)) for row in rows)
    print(f"\nMean loss over all {steps} steps: at most {apart:.4f} apart (equal means under {EQUAL_LOSS}).")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("rounds", 6), ("steps", 5), ("size", 224), ("batch", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    python = keras_environment()

    from pervade.core import runtime

    set_up = runtime.prepare(threads=CORES)  # before torch is imported
    import torch

    batches = make_batches(arguments.size, arguments.batch)
    start = PLACE / "start.npz"
    save_start(build_network(arguments.size), batches, start)
    automatic = runtime.training_precision("cpu")
    keras = {precision: KerasSide(python, start, precision) for precision in ("fp32", "bf16")}
    rows = [Row("Pervade", "fp32 / fp32", PervadeSide(build_network(arguments.size), batches, "fp32"))]
    if automatic != "fp32":
        side = PervadeSide(build_network(arguments.size), batches, automatic)
        rows.append(Row("Pervade", f"{automatic} autocast / fp32", side))
    for precision, worker in keras.items():
        name = "mixed_bfloat16 / mixed_bfloat16" if precision == "bf16" else "fp32 / fp32"
        training_xla, inference_xla = worker.about["xla"]
        used = [what for what, xla in (("training", training_xla), ("inference", inference_xla)) if xla]
        rows.append(Row(f"Keras, XLA for {' and '.join(used) or 'neither'}", name, worker))
    try:
        measure(rows, arguments.rounds, arguments.steps)
    finally:
        for worker in keras.values():
            worker.close()
    print(f"Reference CNN, {arguments.size}x{arguments.size}, batch {arguments.batch}, {CORES} threads,", end=" ")
    print(f"torch {torch.__version__}, {keras['fp32'].about['versions']}; `auto` precision is {automatic} here.")
    print(f"Set up: {json.dumps(set_up)}.")
    print(f"{arguments.rounds} rounds of {arguments.steps} steps; quartiles in brackets.\n")
    report(rows, arguments.batch)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        keras_worker(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
