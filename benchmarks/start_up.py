"""How long `pervade --help` takes, and one answer of a small run, beside `import torch`: alternating, in processes of
their own.

python benchmarks/start_up.py        about two minutes
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 10
PERVADE = str(Path(sys.executable).with_name("pervade"))
COMMANDS = {
    "`pervade --help`": [PERVADE, "--help"],
    '`python -c "import torch"`': [sys.executable, "-c", "import torch"],
    '`python -c ""`': [sys.executable, "-c", ""],
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def trained(folder: Path) -> list[str]:
    """A command that asks a small network for pictures, trained for a moment, about one of them."""
    from PIL import Image

    for shade in range(40):
        place = folder / "data" / ("dark" if shade < 20 else "light")
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (6 * shade,) * 3).save(place / f"{shade}.png")
    small = ["--model", "resnet10", "--init", "random", "--epochs", "1", "-o", "domain.size=16", "--name", "small"]
    runs = ["--runs", str(folder / "runs")]
    subprocess.run([PERVADE, "train", str(folder / "data"), *small, *runs], check=True, capture_output=True)
    return [PERVADE, "predict", "small", str(folder / "data" / "dark" / "1.png"), *runs]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        COMMANDS["`pervade predict`, one picture"] = trained(Path(folder))
        measure()


def measure() -> None:
    for command in COMMANDS.values():
        seconds(command)  # once, so that files are in the system's cache
    times = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    print("| command | median, s | fastest | slowest |\n|---|---|---|---|")
    for name, each in times.items():
        print(f"| {name} | {statistics.median(each):.3f} | {min(each):.3f} | {max(each):.3f} |")
    own, torch = (statistics.median(times[name]) for name in list(COMMANDS)[:2])
    met = own <= 0.3 and own <= torch / 5
    print(f"\nAsked: at most 0.3 s and at most a fifth of torch ({torch / 5:.3f} s). {'Met' if met else 'MISSED'}.")


if __name__ == "__main__":
    main()
