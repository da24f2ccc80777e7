"""What a run knows, on disk: `state/` to go on training exactly, `checkpoints/<name>/` to use the model.

    checkpoints/<name>/   model.safetensors   weights (tied ones once), without those of a base (engine/base.py)
                          architecture.json   the model's spec, what it takes and gives, what was done to it, its base
                          recipe.yaml  preprocess.json  decision.json
    state/                state.safetensors  state.json
    ranks/<rank>/<step>/  the same for what every further rank has of its own, when there are several

Each folder appears whole or not at all (core/files.py), and its JSON holds the SHA-256 of its tensors.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
import yaml
from torch import Tensor
from torch.nn import Module

from pervade.core import contents, files, memory, plain_yaml, spec
from pervade.core.bounds import Threads
from pervade.core.contracts import Change, Domain, Model, Recipe, Task, inputs
from pervade.core.contracts.abilities import HasMembers
from pervade.core.errors import CheckpointError, ConfigError, PervadeError
from pervade.core.run import RunDirectory
from pervade.core.seed import restore_rng, rng_state
from pervade.engine import base as bases
from pervade.engine import building, packing, promises, ranks
from pervade.engine.base import Base
from pervade.engine.fit import Learner
from pervade.engine.loaded import Loaded, decoded, read_domain
from pervade.nn.tables import HasTables

ANOTHER = "its checkpoints can still be used; to go on training from one, begin a new run with --init"
UNDECIDED = "undecided"  # predictions of the validation split before temperature and thresholds: so the file is called
MERGED = "merged"  # the checkpoint whose adapters were worked into its weights


# training state


@memory.during("the state was saved", "free some memory, then resume")
def save_state(
    run: RunDirectory,
    learner: Learner,
    source: dict[str, Any],
    extra: dict[str, Any],
    base: Base | None = None,
    pieces: Mapping[str, Callable[[], Mapping[str, Any]] | None] | None = None,
) -> None:
    """Saves everything the next step depends on, but for the `base`. `extra` is the caller's own (JSON and tensors);
    `pieces` are the source's (core/contracts/source.py: Source.pieces)."""
    own = {"source": source, "rng": rng_state(learner.device)}
    state = learner.state_dict()  # which all ranks enter
    if ranks.world() > 1:
        with files.replacing_folder(_rank_folder(run, ranks.rank(), learner.step)) as folder:
            _write_packed(folder, own)
        ranks.wait()
    if ranks.rank() == 0:
        with files.replacing_folder(run.state) as folder:
            if base is not None:
                state |= {part: base.beside(state[part]) for part in ("network", "average")}
            digests = _write_pieces(run.state, folder, pieces or {})
            _write_packed(folder, {"learner": state, "world": ranks.world(), "extra": extra, "pieces": digests, **own})
    if ranks.world() > 1:
        ranks.wait()
        _remove_other_steps(run, learner.step)


def load_state(
    run: RunDirectory, learner: Learner, base: Base | None = None
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Puts the learner and torch's random state where they were; returns the source's state and `extra`. The learner's
    network holds the `base` already.

    None where nothing was saved yet. Raises CheckpointError where the state is damaged or was made by another number
    of processes.
    """
    files.settle(run.state)
    if not run.state.exists():
        return None
    with contents.understood(str(run.state), ANOTHER):
        return _put_back(run, learner, base)


def _put_back(run: RunDirectory, learner: Learner, base: Base | None) -> tuple[dict[str, Any], dict[str, Any]]:
    state = _read_packed(run.state)
    if state["world"] != ranks.world():
        raise CheckpointError(
            f"{run.path} was trained by {state['world']} processes and is resumed by {ranks.world()}; "
            f"start it with torchrun --nproc-per-node {state['world']}"
        )
    own = state
    if ranks.world() > 1:
        own = _read_packed(_rank_folder(run, ranks.rank(), state["learner"]["step"]))
        _remove_other_steps(run, state["learner"]["step"])
    if base is not None:
        parts = [part for part in ("network", "average") if state["learner"][part]]
        state["learner"] |= {part: _with_base(learner.network, base) | state["learner"][part] for part in parts}
    _require_finite(state["learner"]["network"], run.state)
    learner.load_state_dict(state["learner"])
    restore_rng(own["rng"], learner.device)
    return own["source"], state["extra"]


def load_network(run: RunDirectory, network: Module, base: Base | None = None) -> None:
    """Gives the network the weights of the saved state, where there is one; it holds the `base` already."""
    files.settle(run.state)
    if run.state.exists():
        with contents.understood(str(run.state), ANOTHER):
            ranks.load(network, _with_base(network, base) | _read_packed(run.state)["learner"]["network"])


def _write_pieces(
    state: Path, folder: Path, pieces: Mapping[str, Callable[[], Mapping[str, Any]] | None]
) -> dict[str, str]:
    """Each piece as a file of its own in `folder`: what is new is written, what lies in `state` already gets a second
    name there. Returns the SHA-256 of each by name."""
    known = (
        files.read_json(state / "state.json", "state", most=files.ROWS)["state"]["pieces"]
        if None in pieces.values()
        else {}
    )
    digests: dict[str, str] = {}
    for name, get in pieces.items():
        place = folder / f"{name}.safetensors"
        if get is None:
            try:
                os.link(state / place.name, place)
            except OSError:  # a file system without second names
                shutil.copyfile(state / place.name, place)
            digests[name] = known[name]
        else:
            arrays = {key: torch.from_numpy(value) for key, value in get().items()}
            digests[name] = _write_tensors(place, arrays)
    return digests


def read_piece(run: RunDirectory, name: str) -> dict[str, Any]:
    """The arrays of a source's piece. Raises CheckpointError where it is missing or damaged."""
    digests = files.read_json(run.state / "state.json", "state", most=files.ROWS)["state"].get("pieces") or {}
    tensors = _read_tensors(run.state / f"{name}.safetensors", digests.get(name, ""))
    return {key: tensor.numpy() for key, tensor in tensors.items()}


def _with_base(network: Module, base: Base | None) -> dict[str, Tensor]:
    """The base as it stands in the network."""
    there = network.state_dict()
    return {} if base is None else {name: there[name] for name in base.names}


def _rank_folder(run: RunDirectory, rank: int, step: int) -> Path:
    return run.path / "ranks" / str(rank) / str(step)


def _remove_other_steps(run: RunDirectory, step: int) -> None:
    """What this rank saved for the state before, or for one that a kill kept from being written."""
    for other in _rank_folder(run, ranks.rank(), 0).parent.iterdir():
        if other.name != str(step):
            shutil.rmtree(other, ignore_errors=True)


def _write_packed(folder: Path, state: dict[str, Any]) -> None:
    data, tensors = packing.pack(state)
    digest = _write_tensors(folder / "state.safetensors", tensors)
    files.write_json(folder / "state.json", {"sha256": digest, "state": data}, indent=None)


def _read_packed(folder: Path) -> dict[str, Any]:
    data = files.read_json(folder / "state.json", "sha256", "state", most=files.ROWS)
    tensors = _read_tensors(folder / "state.safetensors", data["sha256"])
    with contents.understood(str(folder / "state.json"), ANOTHER):
        return dict(packing.unpack(data["state"], tensors))


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> str:
    packing.write_tensors(path, tensors)
    return files.sha256(path)


def _read_tensors(path: Path, digest: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; the folder is not a complete checkpoint")
    if files.sha256(path) != digest:
        raise CheckpointError(f"{path} is damaged: its contents changed since it was written; use another checkpoint")
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); use another checkpoint or train again") from None


# checkpoints for use


@memory.during("a checkpoint was saved", "free some memory, then resume")
def save_checkpoint(
    run: RunDirectory,
    name: str,
    network: Module,
    recipe: Recipe,
    domain: Domain,
    note: dict[str, Any],
    decision: Mapping[str, Any] | None = None,
    base: Base | None = None,
    changes: Sequence[Change] | None = None,
) -> None:
    """Writes checkpoints/<name>/, in the first rank; all must call it. `note` says where it comes from: step, passes,
    the metric that chose it; `decision` is what `Task.decide` said of the validation split. The `base` is left out as
    long as it stands in the network bit for bit. `changes` are all that were made to the network, in order; None: those
    that training makes."""
    weights = ranks.whole({key: value.detach() for key, value in network.state_dict().items()})
    if ranks.rank() != 0:
        return
    if base is not None and not base.stands_in(weights):
        base = None
    if base is not None:
        weights = base.beside(weights)
    packed, tensors = packing.pack(weights)
    tied = {key: place["$tensor"] for key, place in packed.items() if place["$tensor"] != key}
    with files.replacing_folder(run.checkpoint(name)) as folder:
        digest = _write_tensors(folder / "model.safetensors", tensors)
        architecture = {
            "model": spec.encode(recipe.model),
            "inputs": inputs.to_json(domain.inputs()),
            "outputs": recipe.task.outputs(domain),
            "changes": spec.encode(building.changes_of(recipe) if changes is None else changes),
            "tied": tied,
            "sha256": digest,
            "parameters": sum(p.numel() for p in network.parameters()),
            **({"base": {"place": base.place, "sha256": base.sha256}} if base is not None else {}),
            **note,
        }
        files.write_json(folder / "architecture.json", architecture)
        write_domain(folder / "preprocess.json", domain)
        files.write_json(folder / "decision.json", dict(decision or {}))
        write_recipe(folder / "recipe.yaml", recipe)
    forget_measured(run, name)


def forget_measured(run: RunDirectory, name: str, kept: Path | None = None) -> None:
    """Removes what was measured of the weights that this checkpoint held before, but for the file `kept`."""
    for old in measured_of(run, name):
        if old != kept:
            files.remove(old)  # an evaluation may take its own away at the same moment


def measured_of(run: RunDirectory, name: str) -> list[Path]:
    """What was measured of a checkpoint: results, predictions, and what was made for them."""
    name = glob.escape(name)
    patterns = f"results/*@{name}.json", f"predictions/{name}@*.parquet", f"samples/{name}@*"
    return [path for pattern in patterns for path in run.path.glob(pattern)]


def settle(run: RunDirectory, name: str, decision: Mapping[str, Any]) -> None:
    """Puts another decision into a checkpoint, and removes what was measured by the one before. What it says without a
    decision stays (`UNDECIDED`), and so do promises that it says nothing of, where all by which they were settled
    does."""
    known, new = run.of_checkpoint(name, "decision.json"), {**decision, "format": files.FORMAT}
    if known not in (new, {promises.ENTRY: known.get(promises.ENTRY), **new}):
        files.write_json(run.checkpoint(name) / "decision.json", dict(decision))
        forget_measured(run, name, run.predictions(name, UNDECIDED))


@memory.during("a checkpoint was loaded", "free some memory")
def load_checkpoint(run: RunDirectory, name: str, recipe: Recipe | None = None) -> Loaded:
    """Raises CheckpointError where it is damaged, does not fit its own architecture, or is from a newer version.

    `recipe` stands in for the stored one where its parts are not registered. The domain is the stored, fitted one,
    unless it is not registered either.
    """
    folder = run.checkpoint(name)
    loaded = files.steady(folder, lambda: _load(folder, name, recipe))
    return replace(loaded, members=load_members(run, loaded.task)) if isinstance(loaded.task, HasMembers) else loaded


def load_members(run: RunDirectory, task: Task) -> dict[str, Loaded]:
    """Of the runs inside this one that the task needs, each one's checkpoint, as far as there is one."""
    needed = task.needs if isinstance(task, HasMembers) else ()
    there = {name: member for name in needed if (member := run.member(name)).checkpoints()}
    return {name: load_checkpoint(member, member.require_checkpoint(None)) for name, member in there.items()}


def _load(folder: Path, name: str, recipe: Recipe | None) -> Loaded:
    architecture = files.read_json(folder / "architecture.json", "inputs", "outputs", "changes", "sha256", "tied")
    decision = files.read_json(folder / "decision.json")
    with contents.understood(str(folder / "architecture.json"), "use another checkpoint", ConfigError):
        taken = inputs.from_json(architecture["inputs"])
    domain = None
    if recipe is None or spec.readable(recipe.domain):
        domain = read_domain(folder / "preprocess.json")
    stored = read_recipe(folder / "recipe.yaml") if recipe is None else _as_settled(recipe, folder / "recipe.yaml")
    weights = _read_tensors(folder / "model.safetensors", architecture["sha256"])
    if lost := sorted(set(architecture["tied"].values()) - weights.keys()):
        raise CheckpointError(f"{folder} is damaged: there is no weight {lost[0]!r}; use another checkpoint")
    weights |= {key: weights[of] for key, of in architecture["tied"].items()}
    if domain is not None:
        for what, asked in (("inputs", domain.inputs()), ("outputs", stored.task.outputs(domain))):
            if asked != (there := taken if what == "inputs" else architecture[what]):
                raise CheckpointError(
                    f"{folder} is damaged: the {what} of its architecture are {there!r}, and those of its task and "
                    f"domain {asked!r}; use another checkpoint"
                )
    changes, based = _changes(folder, stored, "merged_from" in architecture), "base" in architecture
    # What changes leave of a network may be far smaller than what its model builds.
    held = None if based or changes else sum(weight.nbytes for weight in weights.values())
    made = stored.changes if based else changes  # beside a base the tuning's follow once the base is there
    drawn = based or bool(changes)  # what is done to a network may compute by its weights
    network = building.build(stored.model, taken, architecture["outputs"], held, made, drawn)
    if based:
        network = bases.again(folder, architecture["base"], stored, domain or stored.domain, network)
        weights = {**network.state_dict(), **weights}
    load_weights(network, weights, str(folder))
    _require_finite(network.state_dict(), folder)
    network.eval()
    return Loaded(name, network, domain or stored.domain, stored.task, changes, architecture, decision)


def _as_settled(recipe: Recipe, path: Path) -> Recipe:
    """A recipe from Python with the task that was settled once the rows were known, as the checkpoint has it."""
    if recipe.imbalance is None or not spec.readable(recipe.task):
        return recipe
    return replace(recipe, task=decoded(path, as_today(plain_yaml.read(path)).get("task"), Task))


def _changes(folder: Path, recipe: Recipe, merged: bool) -> tuple[Change, ...]:
    """What was done to the network. Older checkpoints list no adapters, which their recipe knows of unless they were
    merged."""
    trained, listed = building.changes_of(recipe), listed_changes(folder)
    if listed == spec.encode(trained) or not (listed or merged):
        return trained  # parts of a recipe from Python need not be registered
    changes: tuple[Change, ...] = decoded(folder / "architecture.json", listed, tuple[Change, ...])
    return changes


def listed_changes(folder: Path) -> list[Any]:
    """What a checkpoint says was done to its network, as JSON. Older ones say "merged" of adapters that are no more."""
    return [c for c in files.read_json(folder / "architecture.json", "changes")["changes"] if c != MERGED]


def _require_finite(weights: Mapping[str, Tensor], folder: Path) -> None:
    """None of our networks keeps an infinity, a mask for example, among its weights."""
    for key, value in weights.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise CheckpointError(
                f"{folder}: the weight {key!r} holds values that are no numbers, or infinite; use another checkpoint"
            )


def load_weights(network: Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Raises CheckpointError naming the first misfits where names or shapes differ."""
    if isinstance(network, HasTables):
        network.make_room(weights)
    own = network.state_dict()
    missing, extra = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    shapes = [key for key in own.keys() & weights.keys() if own[key].shape != weights[key].shape]
    if missing or extra or shapes:
        faults = [f"{len(missing)} missing (first: {missing[0]})"] if missing else []
        faults += [f"{len(extra)} unknown (first: {extra[0]})"] if extra else []
        faults += [f"{len(shapes)} of another shape (first: {shapes[0]})"] if shapes else []
        raise CheckpointError(f"{where} does not fit its architecture: weights {', '.join(faults)}")
    with torch.no_grad():
        network.load_state_dict(dict(weights))


def write_domain(path: Path, domain: Domain) -> None:
    """preprocess.json, and what lies beside it."""
    for name, text in domain.assets().items():
        files.write_text(path.with_name(name), text)
    files.write_json(path, {"domain": spec.encode(domain)})


def write_recipe(path: Path, recipe: Recipe) -> None:
    """With the account of how the data were read, where it is known, as comments before it."""
    data = {"format": files.FORMAT, **spec.encode(recipe)}
    remarks = path.parent / "remarks.json"
    account = files.read_json(remarks).get("account", []) if remarks.exists() else []
    comments = "".join(f"# {' '.join(line.split())}\n" for line in account)
    files.write_text(path, comments + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110))


def read_recipe(path: Path, model: Model | None = None, error: type[PervadeError] = CheckpointError) -> Recipe:
    """Raises `error` where the file is damaged or newer, ConfigError where a part is not registered.

    `model` takes the place of the stored one, which no file can hold where it came from Python.
    """
    data = as_today(plain_yaml.read(path, error))
    if model is None:
        return decoded(path, data, Recipe)
    recipe: Recipe = decoded(path, {**data, "model": "reference-mlp"}, Recipe)
    return replace(recipe, model=model)


def as_today(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe's JSON as it is written now: once it listed no changes or promises, how rows are drawn was said by the
    task, and answers of weighed classes were as in training."""
    recipe = {"changes": [], "promises": [], **recipe}
    if isinstance(recipe.get("then"), dict):
        recipe["then"] = as_today(recipe["then"])
    task, source = recipe.get("task"), recipe.get("source")
    if isinstance(task, dict):
        task = recipe["task"] = _answering_as_learnt(task)
    if not (isinstance(task, dict) and task.get("use") == "contrast" and "pictures" in task):
        return recipe
    sampler = {"use": "people-by-pictures", "pictures": task["pictures"]}
    if source in ("dataset", {"use": "dataset"}):
        source = {"use": "dataset", "sampler": sampler}
    return {**recipe, "task": {name: task[name] for name in task if name != "pictures"}, "source": source}


def _answering_as_learnt(task: dict[str, Any]) -> dict[str, Any]:
    """A task's JSON, or that of one around it."""
    if isinstance(task.get("task"), dict):
        return {**task, "task": _answering_as_learnt(task["task"])}
    weighed = task.get("use") == "classify" and task.get("class_weights") == "balanced"
    return {"answers": "balanced", **task} if weighed else task


def settled(run: RunDirectory, recipe: Recipe) -> Recipe:
    """The recipe with the number of threads that the run settled on, where it leaves that open and there is one."""
    if recipe.threads != "auto" or not run.recipe.exists():
        return recipe
    return replace(recipe, threads=decoded(run.recipe, plain_yaml.read(run.recipe).get("threads"), Threads))
