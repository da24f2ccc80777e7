"""Drives the command line with bad inputs, odd settings, damaged runs and hostile files, and looks for faults.

    python benchmarks/fuzz.py                    all cases: about 12 minutes on two cores
    python benchmarks/fuzz.py --small            about 40 of them, as `make test` does
    python benchmarks/fuzz.py --list
    python benchmarks/fuzz.py --case NAME        one of them; what it wrote stays, and is said aloud
    python benchmarks/fuzz.py --match PATTERN    those whose name holds the regular expression

Every case is made from --seed and its own name alone, so it can be repeated by itself. A fault is: a traceback or a
panic; an error that only the net in `main` caught; 20 seconds of a processor, or of waiting; an end by a signal;
no word beside a status that is not 0; code that a file brought, a command, a connection, or a file outside the case's
folder; a checkpoint or state that is gone or another. Leaves with status 1 where there is any.

What a lack of permission does is not tried: whoever runs this as root has them all.
"""

from __future__ import annotations

import os

os.environ |= {  # before anything reads them; one thread, so that a loaded process can be forked
    "PERVADE_OFFLINE": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TERM": "dumb",
}

import argparse
import collections
import gc
import importlib
import pkgutil
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from fuzzing import bad_folders, bad_inputs, bad_settings, damaged_runs, hostile_files
from fuzzing.bases import made
from fuzzing.sandbox import SECONDS, Case, Outcome, run

from pervade.core import runtime

FAMILIES = (bad_inputs, bad_folders, bad_settings, damaged_runs, hostile_files)
SMALL = 40
HEAVY = ("torch", "torchvision", "transformers", "datasets", "peft", "gymnasium", "optuna", "sklearn.linear_model")
HEAVY += ("sklearn.feature_extraction.text", "scipy.stats", "pyarrow.parquet", "soundfile", "soxr", "jiwer", "jinja2")


def load(scratch: Path) -> None:
    """All code, before the first fork. Nothing is computed yet, so there are no threads that a fork would lose."""
    os.environ["HF_HOME"] = str(scratch / "hub")
    import pervade

    runtime.prepare()
    gc.disable()
    sys.path[:] = [each for each in sys.path if Path(each or ".").resolve() != Path(__file__).parent]
    for name in HEAVY:
        importlib.import_module(name)
    for each in pkgutil.walk_packages(pervade.__path__, "pervade."):
        if not each.name.endswith("__main__"):
            importlib.import_module(each.name)
    gc.freeze()  # what is loaded stays: to look through it in every fork would copy all of it
    gc.enable()


def selected(arguments: argparse.Namespace) -> list[Case]:
    cases = [case for family in FAMILIES for case in family.cases(arguments.seed)]
    names = collections.Counter(case.name for case in cases)
    assert max(names.values()) == 1, names.most_common(3)
    if arguments.case:
        return [case for case in cases if case.name == arguments.case]
    if arguments.match:
        return [case for case in cases if re.search(arguments.match, case.name)]
    if arguments.small:  # of every family, none that needs a trained run or a new interpreter
        quick = [case for case in cases if not case.base and not case.alone]
        return quick[:: max(len(quick) // SMALL, 1)][:SMALL]
    return cases


def table(outcomes: list[Outcome]) -> str:
    """A line for each group of cases."""
    groups: dict[str, list[Outcome]] = collections.defaultdict(list)
    for each in outcomes:
        groups[each.case.name.partition("/")[0]].append(each)
    lines = [f"{'':18}{'cases':>6}{'went on':>9}{'refused':>9}{'faults':>8}{'longest s':>11}{'most MB':>9}"]
    for name, members in [*groups.items(), ("all", outcomes)]:
        went = sum(each.status == 0 for each in members)
        wrong = sum(bool(each.faults) for each in members)
        longest = max(each.processor for each in members)
        most = max(each.memory for each in members) >> 20
        lines.append(f"{name:18}{len(members):6}{went:9}{len(members) - went:9}{wrong:8}{longest:11.1f}{most:9}")
    kinds = collections.Counter(fault for each in outcomes for fault in each.faults)
    return "\n".join([*lines, "", "faults: " + (", ".join(f"{k} {n}" for k, n in kinds.most_common()) or "none")])


def described(outcome: Outcome, lines: int = 4) -> str:
    command = " ".join(("pervade", *outcome.arguments)).encode("utf-8", "backslashreplace").decode()[:300]
    said = "\n".join(f"      {line[:240]}" for line in outcome.last[-lines:])
    head = f"  {outcome.case.name}: {', '.join(outcome.faults) or 'no fault'}; status {outcome.status}"
    return f"{head}, {outcome.processor:.1f} s\n    {command!r}\n{said}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "pervade-fuzz")
    parser.add_argument("--case")
    parser.add_argument("--match")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--slowest", type=int, default=0, help="Show so many of those that took longest.")
    arguments = parser.parse_args()
    cases = selected(arguments)
    if arguments.list:
        print("\n".join(case.name for case in cases))
        return
    if not cases:
        raise SystemExit("no such case; --list names them")
    scratch = arguments.scratch.resolve()
    load(scratch)
    began = time.monotonic()
    bases = made(scratch, arguments.seed, arguments.workers) if any(case.base for case in cases) else scratch
    outcomes = []
    place = scratch / f"cases-{os.getpid()}"
    for outcome in run(cases, place, bases, arguments.seed, arguments.workers, SECONDS, keep=bool(arguments.case)):
        outcomes.append(outcome)
        if outcome.faults or arguments.case:
            print(described(outcome, 12 if arguments.case else 4), flush=True)
    for outcome in sorted(outcomes, key=lambda each: -each.processor)[: arguments.slowest]:
        print(f"  {outcome.processor:6.1f} s  {outcome.memory >> 20:6} MB  {outcome.case.name}")
    print(table(outcomes))
    print(f"{time.monotonic() - began:.0f} s, seed {arguments.seed}")
    if arguments.case:
        print(f"what it wrote lies in {place}")
    else:
        shutil.rmtree(place, ignore_errors=True)
    sys.exit(any(each.faults for each in outcomes))


if __name__ == "__main__":
    main()
