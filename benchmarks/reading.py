"""How long it takes to see what DATA is and to read it, now and at an older commit, in turns.

.venv/bin/python benchmarks/reading.py 9e36b32             # a csv of 1,000,000 rows x 4 columns, 50,000 files
.venv/bin/python benchmarks/reading.py 9e36b32 --small     # a tenth of both
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOUNS = ("chair", "valve", "panel", "brush", "kettle", "lamp", "drill", "clock")
TIMED = """
import sys, time
from pervade import recipes
recipes.tasks()
start = time.perf_counter()
_, recipe = recipes.choose(sys.argv[1], None, None, "random")
chosen = time.perf_counter()
rows, _ = recipe.domain.read(sys.argv[1])
print(len(rows), chosen - start, time.perf_counter() - chosen)
"""


def table(path: Path, rows: int) -> Path:
    with path.open("w", encoding="utf-8") as file:
        file.write("id,text,label,user\n")
        for i in range(rows):
            noun = NOUNS[i % 8]
            file.write(
                f'{i},"the {noun} was {("weak", "quick")[i % 2]}, after {i} days of use",{i % 2},user{i % 997}\n'
            )
    return path


def folder(path: Path, files: int) -> Path:
    for i in range(files):
        file = path / ("bad", "good")[i % 2] / f"{i}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"the {NOUNS[i % 8]} was {('weak', 'quick')[i % 2]}")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    part = 10 if given.small else 1
    with tempfile.TemporaryDirectory() as place:
        old = Path(place) / "old"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(old), given.commit], check=True)
        try:
            data = {
                "csv": table(Path(place) / "table.csv", 1_000_000 // part),
                "folder": folder(Path(place) / "folder", 50_000 // part),
            }
            for name, path in data.items():
                found: dict[str, list[float]] = {"old": [], "new": []}
                for _ in range(given.rounds):
                    for which, source in (("old", old), ("new", ROOT)):
                        inside = {**os.environ, "PYTHONPATH": str(source / "src"), "PERVADE_OFFLINE": "1"}
                        command = [sys.executable, "-c", TIMED, str(path)]
                        said = subprocess.run(command, env=inside, capture_output=True, text=True, check=True).stdout
                        rows, chosen, read = map(float, said.split())
                        found[which].append(chosen + read)
                        print(
                            f"{name} {which}: {rows:,.0f} rows, seen in {chosen:.2f} s, read in {read:.2f} s",
                            flush=True,
                        )
                middle = {which: statistics.median(each) for which, each in found.items()}
                print(json.dumps({"data": name, **middle, "ratio": middle["new"] / middle["old"]}), flush=True)
        finally:
            subprocess.run([*git, "remove", "--force", str(old)], check=True)


if __name__ == "__main__":
    main()
