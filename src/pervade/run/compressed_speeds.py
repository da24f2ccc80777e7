"""How large, fast and hungry a compressed checkpoint is beside where it came from: both as graphs by ONNX Runtime,
and the original in eager torch as well, from what a person has to what is answered. And whether the compressed graph
answers as the network does in torch, where whole numbers are simulated."""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pervade.core import runtime
from pervade.core.contracts.capabilities import Portable
from pervade.core.errors import ConfigError, ResourceError
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.engine.checkpoint import load_checkpoint
from pervade.engine.deployment import signature as signature_of
from pervade.export.onnx import Onnx
from pervade.run import parity, timing
from pervade.run.progress import Screen

AGREED = 200  # test rows at most, of which a graph's answers are compared with the network's
EAGER, GRAPH, MADE = "eager", "graph", "compressed"  # the sides, as results call them
TOLD = ("weights", "speeds", "threads", "batch", "processor", "untimed")  # what `of` gives, or some of it


def default_threads() -> int:
    return min(timing.THREADS, os.cpu_count() or 1)


def of(run: RunDirectory, original: str, name: str, rows: Rows, threads: int, screen: Screen) -> dict[str, Any]:
    """For the result: "weights" (bytes of each one's model.safetensors); "agreement" of the graph with the network
    (run/parity.py: compare); and "speeds" by side with "threads", "batch" and "processor"; or "untimed", why there are
    none, which is said."""
    told: dict[str, Any] = {"weights": [_bytes(run.checkpoint(one)) for one in (original, name)]}
    screen.say(f"timing {name} beside {original}")
    try:
        return told | _timed(run, original, name, rows, threads, screen)
    except (ConfigError, ResourceError) as error:
        screen.say(f"no speed is told: {error}")
        return told | {"untimed": str(error)}


def _timed(run: RunDirectory, original: str, name: str, rows: Rows, threads: int, screen: Screen) -> dict[str, Any]:
    if lacking := [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]:
        raise ConfigError(f"the package {lacking[0]} is not installed; pip install 'pervade[deploy]'")
    with tempfile.TemporaryDirectory(prefix="pervade-graphs-") as folder:
        graphs = {}
        for side, one in ((GRAPH, original), (MADE, name)):
            loaded, place = load_checkpoint(run, one), Path(folder, side)
            place.mkdir()
            graphs[side] = Onnx()(loaded, place)
        bound, signature = parity.bound_of(loaded, None), signature_of(loaded)
        with runtime.threads(threads):
            agreement = parity.agreement(run, loaded, signature, graphs[MADE], bound, AGREED)
        if agreement["first"] is not None:
            screen.say(f"the graph of {name} answers otherwise than its network, first {agreement['first']}")
        domain = loaded.domain
        assert isinstance(domain, Portable), "as the graph asks"
        test = rows.where("split", "test")
        feeds = [feed for row in test.select(range(min(len(test), timing.ROWS))) for feed in domain.feeds(row)]
        eager = {"run": str(run.path.absolute()), "checkpoint": original}
        sides = [timing.Side(EAGER, eager, _bytes(run.checkpoint(original)))]
        sides += [timing.Side(side, {"graph": str(path)}, _bytes(path.parent)) for side, path in graphs.items()]
        about = {"agreement": agreement, "threads": threads, "batch": timing.BATCH, "processor": timing.processor()}
        return {"speeds": timing.measure(sides, feeds, threads), **about}


def _bytes(folder: Path) -> int:
    """Of the weights in a checkpoint, or of all of an exported graph."""
    weights = folder / "model.safetensors"
    return sum(file.stat().st_size for file in ([weights] if weights.exists() else folder.iterdir()))
