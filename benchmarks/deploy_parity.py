"""Whether exported graphs answer as their runs do: six tasks by 1,000 test rows each, and mnist by 10,000.

    python benchmarks/deploy_parity.py [--shared ../shared/data] [--cells pictures texts …] [--rows 1000]
        [--time-limit 60]

Each cell trains with a time limit, exports to ONNX, and is a line in measured/deploy_parity.jsonl: what parity.json
says of decoded rows and of files, or why there is no export. Wanted: no changed decision and 1e-5 of decoded rows; of
files at most 1 changed decision in 1,000.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from busy import lines, note
from time_limit import SHARED, command

NAME = "deploy_parity.jsonl"
ONE = ["--ladder", "trained", "--init", "random"]
CELLS: dict[str, tuple[str, list[str]]] = {
    "mnist": ("mnist", ONE),
    "pictures": ("cats_dogs", ONE),
    "faces": ("orl_faces", ["--task", "image-feature-extraction", "--init", "random"]),
    "texts": ("sms_spam/SMSSpamCollection.tsv", ONE),
    "sounds": ("fsdd", ["--label-pattern", r"^(\d)_", "--group-pattern", r"_(?P<speaker>.+)_", *ONE]),
    "spoken": ("read_speech", ["--init", "random"]),
    "acting": ("gym://CartPole-v1", []),
}


def measure(cell: str, shared: Path, rows: int, limit: float) -> dict[str, Any]:
    data, more = CELLS[cell]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = data if "://" in data else str(shared / data)
        command(source, folder, cell, [*more, "--time-limit", f"{limit:g}"], 3 * limit + 60)
        pervade = str(Path(sys.executable).with_name("pervade"))
        asked = [pervade, "export", cell, "--runs", str(folder), "--rows", str(rows)]
        done = subprocess.run(asked, capture_output=True, text=True)
        if done.returncode:
            return {"cell": cell, "asked": rows, "refused": done.stderr.strip().splitlines()[-1]}
        told = json.loads(Path(done.stdout.strip()).with_name("parity.json").read_text())
        return {"cell": cell, "asked": rows, "decoded": told["decoded"], "files": told.get("files")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--rows", type=int, help="1,000, and 10,000 of mnist, unless given.")
    parser.add_argument("--time-limit", type=float, default=60.0, help="Seconds of each training.")
    options = parser.parse_args()
    there = {(cell["cell"], cell["asked"]) for cell in lines(NAME)}
    for cell in options.cells:
        rows = options.rows or (10_000 if cell == "mnist" else 1_000)
        if (cell, rows) not in there:
            note(NAME, measure(cell, options.shared, rows, options.time_limit))
    for cell in lines(NAME):
        print(f"{cell['cell']:>10}", cell.get("refused") or f"decoded {cell['decoded']}, files {cell['files']}")


if __name__ == "__main__":
    main()
