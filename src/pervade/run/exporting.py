"""A run's model in a form that others open: written, opened again by itself, compared, and only then put in its place.

    export/onnx/  model.onnx      what comes before the network and what is decided after it inside
                  signature.json  what it takes and gives, labels, what is decided inside, licence, SHA-256 of the files
                  parity.json     how far its answers are from the run's, on test rows
                  run.py          answers files by it, without Pervade and torch; tokenizer.json, where it reads texts
                  pervade/        how files are read, for `pervade predict export/onnx/model.onnx FILE`

A part of the Python face (api.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

from pervade.core import files, memory, registry, spec
from pervade.core.contracts import Exporter, Signature
from pervade.core.contracts.abilities import Deployable
from pervade.core.contracts.capabilities import Portable, Tokenised
from pervade.core.contracts.deployment import Graphless
from pervade.core.errors import ConfigError
from pervade.core.run import READING, SIGNATURE, RunDirectory
from pervade.core.types import Json
from pervade.data.text import vocabulary
from pervade.engine import checkpoint as checkpoints
from pervade.engine.checkpoint import Loaded, load_checkpoint
from pervade.engine.deployment import signature as signature_of
from pervade.export.onnx import Onnx
from pervade.run import imbalance, parity, reopening, standalone
from pervade.run.exported import EXPORT, require

ROWS = 1000  # that are compared
PARITY, SCRIPT = "parity.json", "run.py"
PACKAGES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("onnx", "onnxscript"), "gguf": ("gguf",)}


@dataclass(frozen=True)
class Exported:
    path: Path  # the main file
    parity: dict[str, Any]  # as parity.json


def exporter_of(name: str) -> Exporter:
    """Raises ConfigError where there is none of this name, or what it needs is not installed."""
    made: Exporter = spec.decode({"use": name}, Exporter)
    require(name, *PACKAGES.get(name, ()))
    return made


def place_of(run: RunDirectory, name: str, checkpoint: str | None) -> Path:
    """Where a form of a checkpoint lies unless it is said."""
    return run.path / EXPORT / (name if checkpoint is None else f"{name}-{checkpoint}")


def of_run(
    run: RunDirectory,
    load: Callable[[str | None], Loaded],
    form: str,
    checkpoint: str | None,
    say: Callable[[str], None],
    folder: str | Path | None = None,
    **asked: Any,
) -> Exported:
    """As `export`, of a checkpoint by its name, into the run unless a folder is named."""
    exporter, place = exporter_of(form), Path(folder or place_of(run, form, checkpoint))
    loaded = load(checkpoint)
    try:
        return export(run, loaded, exporter, place, say=say, **asked)
    except ConfigError as error:
        if told := _another_rung(run, loaded):
            why = str(error).partition("; ")[0]
            raise ConfigError(f"{why}; {told}") from None
        raise


def _another_rung(run: RunDirectory, loaded: Loaded) -> str:
    """Which rung of a ladder, the best by its validation figure, can be exported where what it delivers cannot."""
    if not (run.path / "ladder.json").exists() or not _refusal(loaded):
        return ""
    ladder = files.read_json(run.path / "ladder.json", "rungs", "taken")
    can: dict[str, tuple[float, str]] = {}
    for rung in ladder["rungs"]:
        member = run.member(rung["name"])
        if rung["state"] != "complete" or rung["value"] is None or rung["name"] == ladder["taken"]:
            continue
        if not member.checkpoints() or _refusal(own := load_checkpoint(member, member.require_checkpoint(None))):
            continue
        _, metric = imbalance.headline(checkpoints.read_recipe(member.recipe), own.domain)
        sign = -1.0 if metric.higher_is_better is False else 1.0
        figure = f"{metric.words.inside} {metric.words.written(rung['value'])} on the validation rows"
        can[rung["name"]] = (sign * rung["value"], f"{figure}: `pervade export {member.path} --format onnx`")
    if not can:
        return ""
    best = max(can, key=lambda name: can[name][0])
    return f"this is its rung {ladder['taken']}; its rung {best} can be exported, {can[best][1]}"


def _refusal(loaded: Loaded) -> str:
    """Why there is no graph of it; empty where there is one."""
    try:
        signature_of(loaded)
    except ConfigError as error:
        return str(error)
    return ""


@memory.during("the model was exported", "free some memory, or take a smaller --model")
def export(
    run: RunDirectory,
    loaded: Loaded,
    exporter: Exporter,
    folder: Path,
    tolerance: float | None = None,
    say: Callable[[str], None] = lambda line: None,
    *,
    rows: int = ROWS,
) -> Exported:
    """Writes the checkpoint into `folder`, which is replaced as a whole, once it was compared on at most `rows` test
    rows; None: the tolerance of what it is (run/parity.py). Raises ConfigError where there is no such form, or it
    answers otherwise; then what was in the folder before is still there."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / SIGNATURE).exists()):
        raise ConfigError(
            f"{folder} holds other things than an export, which are not replaced; name another folder with -o"
        )
    with files.replacing_folder(folder) as work:
        say(f"writing {registry.full_name(exporter)}")
        main = exporter(loaded, work)
        if isinstance(exporter, Onnx):
            signature = signature_of(loaded)
            _write_beside(work, loaded, signature, main.name)
            about = described(run, loaded, signature, work, main.name)
            files.write_json(work / SIGNATURE, about)
            bound = parity.bound_of(loaded, tolerance)
            compared = parity.measure(run, loaded, signature, main, bound, rows, say)
            for line in signature.left_out:
                say(f"left out: {line}")
        else:
            files.write_json(work / SIGNATURE, described(run, loaded, None, work, main.name))
            compared = reopening.measure(run, loaded, exporter, main, tolerance, rows)
            say(f"compared: {compared['compared']}")
        files.write_json(work / PARITY, compared)
    return Exported(folder / main.name, compared)


def _write_beside(work: Path, loaded: Loaded, signature: Signature, main: str) -> None:
    domain = loaded.domain
    files.write_text(work / SCRIPT, standalone.script(domain, signature, main))
    if isinstance(domain, Tokenised):
        files.write_text(work / "tokenizer.json", vocabulary.text_of(domain.tokenizer))
    (work / READING).mkdir()
    checkpoints.write_domain(work / READING / "preprocess.json", domain)
    files.write_json(work / READING / "decision.json", {**loaded.decision})


def described(run: RunDirectory, loaded: Loaded, signature: Signature | None, work: Path, main: str) -> dict[str, Json]:
    """signature.json."""
    written = sorted(path for path in work.rglob("*") if path.is_file())
    about: dict[str, Any] = {
        "graph": main,
        "checkpoint": loaded.name,
        "weights": loaded.architecture.get("sha256"),
        "task": spec.encode(loaded.task),
        "decided": {name: value for name, value in loaded.decision.items() if name not in ("format", "tried")},
        "licence": licence(run),
        "files": {path.relative_to(work).as_posix(): files.sha256(path) for path in written},
    }
    if signature is not None:
        inputs, outputs = ([asdict(one) for one in specs] for specs in (signature.inputs, signature.outputs))
        labels, left_out = list(signature.labels), list(signature.left_out)
        about |= {"inputs": inputs, "outputs": outputs, "labels": labels, "left_out": left_out}
    return about


def licence(run: RunDirectory) -> str:
    """What is known of the terms on which the model can be passed on."""
    about = files.read_json(run.environment) if run.environment.exists() else {}
    given = about.get("source")
    named = given if isinstance(given, str) else ""
    data = named if named.startswith("hf://") else PurePath(named).name or "its data"
    began = files.read_json(run.init) if run.init.exists() else {}
    if said := began.get("licence"):
        return f"of the weights that it began from, {said}; the terms of {data} hold for this model, too"
    begun = began.get("init")
    source = begun.get("source") if isinstance(begun, dict) else None
    weights = f" and of the weights that it began from ({PurePath(str(source)).name})" if source else ""
    return f"not recorded by the run; the terms of {data}{weights} hold for this model, too"


def table() -> list[list[str]]:
    """A row for every task, a column for every form: "yes", "some" where the library has to know the network, "no"."""
    forms = registry.names("export", variants=False)
    graphs, rows = exportable()["tasks"], [["task", *forms]]
    for task in registry.names("task", variants=False):
        cells = []
        for form in forms:
            own = getattr(registry.find("export", form)[0], "tasks", None)
            cells.append(("yes" if task in graphs else "no") if own is None else "some" if task in own else "no")
        rows.append([task, *cells])
    return rows


def exportable() -> dict[str, list[str]]:
    """By form, of what models it can be: tasks for graphs, which `gives` their answers; what each domain reads."""
    tasks = {name: registry.find("task", name)[0] for name in registry.names("task", variants=False)}
    domains = {name: registry.find("domain", name)[0] for name in registry.names("domain", variants=False)}
    gives = [name for name, task in tasks.items() if issubclass(task, Deployable) and not isinstance(task, Graphless)]
    takes = [name for name, of in domains.items() if issubclass(of, Portable) and not isinstance(of, Graphless)]
    return {
        "tasks": gives,
        "other tasks": [name for name in tasks if name not in gives],
        "domains": takes,
        "other domains": [name for name in domains if name not in takes],
    }
