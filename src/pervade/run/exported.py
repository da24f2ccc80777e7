"""`pervade predict export/onnx/model.onnx FILE`: an exported graph asked about files as its run would be, by no torch.

Files are read as the run reads them (pervade/ beside the graph), the graph answers, and its answers are told by the
same path as the run's own (engine/answering.py).
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, cast

import numpy as np

from pervade.core import files
from pervade.core import run as runs
from pervade.core.contracts import Task, TensorSpec
from pervade.core.contracts.abilities import ChoosesClass
from pervade.core.contracts.capabilities import Portable
from pervade.core.errors import CheckpointError, ConfigError, DataError
from pervade.core.run import GRAPH, READING, SIGNATURE
from pervade.core.types import Display, Rows, Table
from pervade.engine import answering, promises
from pervade.engine.loaded import Loaded, decoded, read_domain

EXPORT = "export"  # the folder of a run in which `pervade export` writes


def is_artefact(given: str) -> bool:
    """Whether what is asked to predict is what was exported, or its folder, and not a run."""
    return given.endswith(".onnx") or runs.is_export(given) or os.path.isfile(os.path.join(given, GRAPH))  # noqa: PTH113, PTH118


def read_signature(given: str) -> tuple[Path, dict[str, Any]]:
    """The graph and signature.json of an exported folder. Raises CheckpointError where it is missing, damaged, or was
    not written by `pervade export`, ConfigError where it is of another form than a graph."""
    path = Path(given)
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise CheckpointError(f"{path} is not there; write it with `pervade export RUN`")
    files.settle(folder)
    if not (folder / SIGNATURE).is_file():
        raise CheckpointError(
            f"{path} was not written by `pervade export` (no {SIGNATURE} beside it); give the folder that it wrote"
        )
    again = "export it again"
    about = files.read_json(folder / SIGNATURE, "graph", "files", "task", remedy=again)
    if not about["graph"].endswith(".onnx"):
        raise ConfigError(
            f"{folder} holds {about['graph']}, and predict takes the form onnx; write that with `pervade export RUN`, "
            "or use `pervade predict RUN`"
        )
    about = files.read_json(folder / SIGNATURE, "inputs", "outputs", remedy=again)
    if not path.is_dir() and path.name != about["graph"]:
        raise CheckpointError(f"{path} is not the graph of {folder} ({about['graph']}); give that one")
    for name, digest in about["files"].items():
        place = folder / PurePath(name)
        if not place.is_file() or files.sha256(place) != digest:
            raise CheckpointError(f"{place} is missing or damaged (another SHA-256 than in {SIGNATURE}); {again}")
    return folder / about["graph"], about


def name_of(graph: Path) -> str:
    """What a graph is called where it is served: as its run, where it lies in RUN/export/FORMAT, else as its folder."""
    folder = graph.parent.resolve()
    return folder.parent.parent.name if folder.parent.name == EXPORT else folder.name


def require(name: str, *packages: str) -> None:
    """Raises ConfigError, saying how to install them, where packages that a form needs are missing."""
    if missing := [package for package in packages if importlib.util.find_spec(package) is None]:
        raise ConfigError(
            f"the form {name} needs what is not installed: {', '.join(missing)}; pip install 'pervade[deploy]'"
        )


@dataclass(frozen=True)
class Artefact:
    """An exported graph with what stands around it; `session` is ONNX Runtime's."""

    graph: Path
    loaded: Loaded  # its domain, task and decision; no network, for which the graph stands
    session: Any
    takes: tuple[TensorSpec, ...]
    gives: tuple[TensorSpec, ...]
    weights: str | None  # SHA-256 of those that it was made of

    def display(self) -> Callable[[Mapping[str, Any]], Display]:
        return promises.display(self.loaded.task, self.loaded.decision)

    @property
    def cuts(self) -> bool:
        return self.loaded.domain.cuts

    def stream(self, inputs: Any, top: int, say: Callable[[str], None], **asked: Any) -> Iterator[dict[str, Any]]:
        """As `Run.stream`: an answer for each input."""
        loaded = replace(self.loaded, domain=answering.reading(self.loaded.domain, **asked))
        return answering.answers(loaded, inputs, top, "cpu", None, no_gallery, say, self.table)

    def computed(self, feeds: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """What the graph gives of its own tensors, of types and shapes as `takes` has them. Raises DataError where it
        cannot."""
        names = [output.name for output in self.session.get_outputs()]
        try:
            return dict(zip(names, self.session.run(names, dict(feeds)), strict=True))
        except Exception as error:  # classes of its own, one for each status
            raise DataError(f"the graph cannot be computed of these tensors ({str(error)[:200]})") from None

    def table(self, rows: Rows) -> Table:
        """What the predict loop's table holds of such rows. Raises DataError where one is read in several parts, which
        the run alone puts together."""
        domain = self.loaded.domain
        assert isinstance(domain, Portable), "as `opened` asks"
        names, made = [output.name for output in self.session.get_outputs()], []
        for row in rows:
            feeds = domain.feeds(row)
            if len(feeds) > 1:
                raise DataError(
                    f"{row['id']} is read in {len(feeds)} parts, which a graph does not put together; use "
                    "`pervade predict RUN`"
                )
            made.append(dict(zip(names, self.session.run(names, feeds[0]), strict=True)))
        table: Table = {name: np.concatenate([one[name] for one in made]) for name in names}
        table["row"] = np.asarray(rows.number)
        if isinstance(self.loaded.task, ChoosesClass):
            prior = self.loaded.task.prior(self.loaded.decision, domain)
            if prior is not None:
                table["prior"] = np.tile(prior, (len(rows), 1))
            table = promises.answered(table, np.asarray(table["prediction"]), domain)
        return promises.keep(table, self.loaded.decision, domain)


def opened(given: str) -> Artefact:
    """An exported graph by its path, or its folder's. Raises CheckpointError as `read_signature`, ConfigError where its
    answers take more than the graph."""
    graph, about = read_signature(given)
    require("onnx", "onnxruntime")
    import onnxruntime

    own = graph.parent / READING
    domain = read_domain(own / "preprocess.json")
    task: Task = decoded(graph.parent / SIGNATURE, about["task"], Task)
    names = [output["name"] for output in about["outputs"]]
    if "prediction" not in names or not isinstance(domain, Portable):
        raise ConfigError(
            f"{graph} gives {', '.join(names)}, from which the run makes its answers; use `pervade predict RUN`, or "
            f"{graph.with_name('run.py')} for these as they are"
        )
    try:
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    except Exception as error:  # classes of its own, one for each status; whatever it is, the graph cannot be opened
        raise CheckpointError(
            f"{graph} is no graph that ONNX Runtime opens ({str(error)[:200]}); export it again"
        ) from None
    decision = files.read_json(own / "decision.json")
    loaded = Loaded(about.get("checkpoint", "exported"), cast(Any, None), domain, task, (), {}, decision)
    takes, gives = (
        tuple(TensorSpec(one["name"], one["type"], tuple(one["shape"]), one["meaning"]) for one in about[key])
        for key in ("inputs", "outputs")
    )
    return Artefact(graph, loaded, session, takes, gives, about.get("weights"))


def no_gallery() -> Any:
    raise ConfigError("an exported graph has no rows of its own to look for neighbours in; use `pervade predict RUN`")
