"""Whether `threads: auto` takes the better number: rate of training beside 0, 2 and 5 busy processes.

    python benchmarks/threads.py [--cells resnet18 minilm gpt-tiny sound] [--busy 0 2 5] [--spin 1000]

Steps with one thread, with two and with what auto chose alternate in blocks; each cell is a line in
measured/threads.jsonl, and a stopped script goes on. Goal: auto at least 0.9 of the better. `--spin` sets the variable
GOMP_SPINCOUNT for the steps, in cells of their own, since it is read once, when torch loads. 15 minutes whole.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from busy import beside, lines, note

NAME = "threads.jsonl"
CELLS = ("resnet18", "minilm", "gpt-tiny", "sound")
ROUNDS = 6  # blocks of each number
BLOCK = 1.0  # seconds
STEPS = 2000  # that the training is said to have, by which measuring is bounded
GOAL = 0.9


def network(name: str) -> Callable[[], int]:
    """A step forward and backward on random examples, which returns its rows."""
    import torch
    from torch.nn import functional as F

    torch.manual_seed(0)
    if name == "resnet18":
        import torchvision

        net = torchvision.models.resnet18().to(memory_format=torch.channels_last)
        pixels = torch.rand(32, 3, 96, 96).to(memory_format=torch.channels_last)
        return lambda: _back(F.cross_entropy(net(pixels), torch.arange(32) % 2), 32)
    if name == "minilm":
        from transformers import BertConfig, BertModel

        bert = BertModel(
            BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
        )
        tokens = torch.randint(0, 30_000, (16, 64))
        return lambda: _back(bert(tokens).last_hidden_state.square().mean(), 16)
    from pervade.models.gpt import GPT
    from pervade.models.sound_cnn import SoundCNN

    if name == "gpt-tiny":
        from pervade.core import registry

        cls, preset = registry.find("model", "gpt-tiny")
        gpt = cls(**preset).build({"vocabulary": 4096, "length": 256}, {"logits": 4096})
        assert issubclass(cls, GPT)
        text = torch.randint(0, 4096, (8, 256))
        return lambda: _back(F.cross_entropy(gpt(text)["logits"].flatten(0, 1), text.flatten()), 8)
    from pervade.domains.sound import Sound

    inputs = Sound(rate=8000, labels=tuple("0123456789")).inputs()
    sound = SoundCNN().build(inputs, {"logits": 10})
    waves = torch.rand(32, 1, 8000) - 0.5
    return lambda: _back(F.cross_entropy(sound(waves)["logits"], torch.arange(32) % 10), 32)


def _back(loss, rows: int) -> int:
    loss.backward()
    return rows


def measure(name: str) -> dict:
    import torch

    from pervade.engine.threads import fastest

    step, most = network(name), torch.get_num_threads()
    start = time.monotonic()
    chosen = fastest(step, STEPS, most)
    measuring = time.monotonic() - start
    rates: dict[int, list[float]] = {1: [], most: []}
    for turn in range(2 * ROUNDS):
        number = (1, most)[(turn + turn // 2) % 2]
        torch.set_num_threads(number)
        start, rows = time.monotonic(), 0
        while time.monotonic() - start < BLOCK:
            rows += step()
        rates[number].append(rows / (time.monotonic() - start))
    return {"chosen": chosen.number, "measuring": round(measuring, 2), "rates": {str(n): v for n, v in rates.items()}}


def show() -> None:
    print(f"{'network':>10} {'busy':>5} {'spin':>8} {'one':>16} {'all':>16} {'auto':>5} {'of better':>10}")
    for cell in lines(NAME):
        middles = {number: statistics.median(rates) for number, rates in cell["rates"].items()}
        spread = {number: f"{min(rates):.3g}-{max(rates):.3g}" for number, rates in cell["rates"].items()}
        shown = [f"{middles[number]:.3g} ({spread[number]})" for number in cell["rates"]]
        share = middles[str(cell["chosen"])] / max(middles.values())
        print(
            f"{cell['cell']:>10} {cell['busy']:>5} {cell['spin'] or '-':>8} {shown[0]:>16} {shown[-1]:>16} "
            f"{cell['chosen']:>5} {share:>10.2f}{'' if share >= GOAL else '  MISSED'}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=CELLS)
    parser.add_argument("--busy", nargs="+", type=int, default=[0, 2, 5])
    parser.add_argument("--spin", default="", help="GOMP_SPINCOUNT of the steps")
    parser.add_argument("--again", action="store_true", help="Measure cells that are there already once more.")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        from pervade.core import runtime

        runtime.prepare()
        print(json.dumps(measure(options.one)))
        return
    there = {(cell["cell"], cell["busy"], cell["spin"]) for cell in lines(NAME)}
    for busy in options.busy:
        for name in options.cells:
            if (name, busy, options.spin) in there and not options.again:
                continue
            environment = {**os.environ, **({"GOMP_SPINCOUNT": options.spin} if options.spin else {})}
            with beside(busy, 300):
                asked = [sys.executable, __file__, "--one", name]
                done = subprocess.run(asked, capture_output=True, text=True, env=environment, timeout=280)
            if done.returncode:
                sys.exit(done.stderr)
            found = json.loads(done.stdout.splitlines()[-1])
            note(NAME, {"cell": name, "busy": busy, "spin": options.spin, **found})
    show()


if __name__ == "__main__":
    main()
