"""How long `pervade --help` takes, beside `import torch`: alternating, in processes of their own.

python benchmarks/start_up.py        about 30 s
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 10
COMMANDS = {
    "`pervade --help`": [str(Path(sys.executable).with_name("pervade")), "--help"],
    '`python -c "import torch"`': [sys.executable, "-c", "import torch"],
    '`python -c ""`': [sys.executable, "-c", ""],
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
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
