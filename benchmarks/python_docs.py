"""gpt-tiny from nothing on Python's own documentation, against xz that has seen the same text.

    python benchmarks/python_docs.py [--minutes 20] [--seed 0]        20 minutes

The text: the language reference of `pydoc_data.topics`, and the docstrings of every module of the standard library that
can be imported here, a document a module. A tenth of the modules is held out, by seed, and another twentieth chooses
the checkpoint; the reference always trains. xz -9e needs what the held-out documents add to the compressed size of the
training text. The time is that of the whole command.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import io
import pydoc_data.topics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import pervade

REFERENCE = "pydoc_data.topics"
LEFT_OUT = ("antigravity", "this", "idlelib", "turtledemo", "test", "lib2to3", "__phello__")


def docstrings(module: Any) -> list[str]:
    """Of a module and what it defines, each once."""
    found = [inspect.getdoc(module)]
    for name in sorted(vars(module)):
        value = vars(module)[name]
        if getattr(value, "__module__", None) != module.__name__:
            continue
        found.append(_titled(name, value))
        if inspect.isclass(value):
            found += [_titled(f"{name}.{inner}", each) for inner, each in sorted(vars(value).items()) if callable(each)]
    return [each for each in dict.fromkeys(found) if each]


def _titled(name: str, value: Any) -> str | None:
    text = getattr(value, "__doc__", None)
    return f"{name}\n\n{inspect.cleandoc(text)}" if isinstance(text, str) and text.strip() else None


def documents() -> dict[str, str]:
    found = {REFERENCE: "\n\n".join(pydoc_data.topics.topics.values())}
    for name in sorted(sys.stdlib_module_names):
        if name.startswith("_") or name in LEFT_OUT:
            continue
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            try:
                module = importlib.import_module(name)
            except Exception as error:  # a module for another system, or without a library it needs
                print(f"left out: {name} ({type(error).__name__})", file=sys.stderr)
                continue
        text = "\n\n".join(docstrings(module))
        if len(text) > 200:
            found[name] = text
    return found


def splits(found: dict[str, str], seed: int) -> dict[str, str]:
    modules = sorted(name for name in found if name != REFERENCE)
    drawn = [modules[i] for i in np.random.default_rng(seed).permutation(len(modules))]
    tenth, twentieth = len(drawn) // 10, len(drawn) // 20
    named = dict.fromkeys(drawn[:tenth], "test") | dict.fromkeys(drawn[tenth : tenth + twentieth], "validation")
    return {name: named.get(name, "train") for name in found}


def main(minutes: float, seed: int, settings: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "docs"
        found = documents()
        for name, split in splits(found, seed).items():
            (folder / split).mkdir(parents=True, exist_ok=True)
            (folder / split / f"{name}.txt").write_text(found[name], encoding="utf-8", errors="replace")
        print(f"{len(found)} documents, {sum(map(len, found.values())) / 1e6:.2f} million letters", flush=True)
        began = time.monotonic()
        run = pervade.fit(
            folder,
            model="gpt-tiny",
            name="written",
            runs=place,
            seed=seed,
            epochs=200,
            settings=["domain.length=1024", "batch_size=4", f"time_limit={60 * minutes}", *settings],
        )
        result = run.evaluate()
        taken = time.monotonic() - began
        own, baseline = result["metrics"]["bits_per_byte"], result["details"]["baseline"]
        apart = baseline["differences"]["bits_per_byte"]
        print("| | bits a byte | 95% interval | documents held out |\n|---|---|---|---|")
        print(f"| gpt-tiny | {own['value']:.3f} | {own['low']:.3f} to {own['high']:.3f} | {own['n']} |")
        print(f"| {baseline['name']} | {baseline['metrics']['bits_per_byte']['value']:.3f} | | {own['n']} |")
        print(f"| difference | {apart['difference']:+.3f} | {apart['low']:+.3f} to {apart['high']:+.3f} | |")
        print(f"\n{taken / 60:.1f} minutes; passes: {run.directory.plan().get('best_pass')} (best)")
        for each in result["details"]["samples"][:2]:
            print(f"\nseed {each['seed']}, {each['copied']:.0%} copied:\n{each['text'][:400]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", dest="settings", action="append", default=[])
    arguments = parser.parse_args()
    main(arguments.minutes, arguments.seed, arguments.settings)
