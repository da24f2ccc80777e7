"""Weights that were trained before: those published for the network, a file, a folder of the Hugging Face Hub, a run.

pervade train DATA --init pretrained    what was published for --model, downloaded once, announced before
pervade train DATA --init weights.pth   a file of weights; names are fitted, the head is replaced where classes differ
pervade train DATA --init runs/mine     what one of our own runs has learnt
pervade train gym://… --init agent.zip  an agent that Stable-Baselines3 saved
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch.nn import Module

from pervade.core import download, files, registry, spec
from pervade.core.bounds import Deviation, Finite
from pervade.core.contracts import Canvas, Change, Domain, Initializer, Mergeable, Model, Started, Task
from pervade.core.contracts.capabilities import Normalised, Transcribed, labels_of
from pervade.core.errors import ConfigError, nearest
from pervade.core.registry import register
from pervade.core.run import RunDirectory
from pervade.engine import building
from pervade.engine.checkpoint import decoded, listed_changes, load_checkpoint, read_recipe
from pervade.weights import licence, locate
from pervade.weights.checkpoint import IMAGENET_DEVIATION, IMAGENET_MEAN, Checkpoint
from pervade.weights.transplant import transplant

NOT_TYPED = ("given", "members")  # initialisers for networks from Python, and for those that a ladder puts together


@register("init")
@dataclass(frozen=True)
class Pretrained(Initializer):
    """Normalisation is the checkpoint's own, since its first layer has learnt from pixels normalised so."""

    source: str = ""  # a file or folder; empty: what was published for the model
    mean: tuple[Finite, ...] = ()  # by channel, of pixels of 0-1; empty: what belongs to the checkpoint
    deviation: tuple[Deviation, ...] = ()

    def made_with(self) -> tuple[Model | None, Domain | None]:
        """The network and the domain (not fitted) that the source was made with, as far as it says so."""
        path = Path(self.source)
        if not self.source or not path.is_dir():
            return None, None
        own = locate.own_checkpoint(path)
        if own is not None:
            recipe = read_recipe(own / "recipe.yaml")
            return recipe.model, recipe.domain
        if not (path / "config.json").is_file():
            return None, None
        architecture = locate.read_config(path / "config.json").get("architecture")  # as timm writes it
        name = f"timm:{architecture}" if isinstance(architecture, str) else f"hf:{path.absolute()}"
        return spec.decode(name, Model), None

    def task(self) -> Task | None:
        """What a run of ours was asked for; None where the source is no such run."""
        own = locate.own_checkpoint(Path(self.source)) if self.source else None
        return None if own is None else read_recipe(own / "recipe.yaml").task

    def changes(self) -> tuple[Change, ...]:
        """What stays changed of the network whose weights these are: of a run of ours, all but what is merged."""
        own = locate.own_checkpoint(Path(self.source)) if self.source else None
        listed = listed_changes(own) if own is not None else []
        changes: tuple[Change, ...] = decoded(Path(self.source), listed, tuple[Change, ...])
        return tuple(change for change in changes if not isinstance(change, Mergeable))

    def fetch(self, model: Model) -> None:
        self._read(model)

    def adapt(self, domain: Domain, model: Model) -> Domain:
        """Raises CheckpointError where the weights cannot be read, ConfigError where the statistics do not fit."""
        if not isinstance(domain, Normalised) or _learns_to_make(domain):
            return domain
        mean, deviation, _ = self._statistics(self._read(model), domain)
        return replace(domain, mean=mean, deviation=deviation)  # type: ignore[type-var]

    def apply(self, network: Module, model: Model, domain: Domain) -> Started:
        """Raises CheckpointError where less than half of the network's body would be filled."""
        checkpoint = self._read(model)
        labels = domain.alphabet if isinstance(domain, Transcribed) else labels_of(domain)
        started = transplant(network, checkpoint, labels, _described(model))
        started = replace(started, licence=self._licence(model))
        if not isinstance(domain, Normalised) or _learns_to_make(domain):
            return started
        _, _, words = self._statistics(checkpoint, domain)
        return replace(started, summary=f"{started.summary}; pixels normalised by {words}")

    def place(self, model: Model) -> str | None:
        """What was published, and folders as the Hub lays them out. A run of ours goes on and changes; a file that lies
        alone has no other who keeps it."""
        if not self.source:
            checkpoint = published(model)
            if checkpoint is None:
                return None
            name = getattr(checkpoint, "name", "") or str(checkpoint.path)
            return f"{name} of {checkpoint.host}" if checkpoint.host else str(checkpoint.path)
        path = Path(self.source)
        return str(path) if (path / "config.json").is_file() and not _own(path) else None

    def _read(self, model: Model) -> Checkpoint:
        checkpoint = _from_place(Path(self.source)) if self.source else _published(model)
        translate = getattr(model, "translate", None)  # where a library changed its names over time
        return translate(checkpoint) if translate is not None else checkpoint

    def _licence(self, model: Model) -> str:
        """With the name of what has it; of a run of ours, that of the weights which it began from itself."""
        if not self.source:
            there = published(model)
            name, folder = getattr(there, "name", ""), getattr(there, "card", None)
        else:
            path = Path(self.source)
            own = locate.own_checkpoint(path) if path.is_dir() else None
            if own is not None:
                began = RunDirectory(own.parents[1]).init
                return str(files.read_json(began).get("licence") or "") if began.is_file() else ""
            name, folder = path.name, path if path.is_dir() else None
        said = licence.beside(folder) if folder is not None else ""
        return f"{name}: {said}" if said else ""

    def _statistics(
        self, checkpoint: Checkpoint, domain: Normalised
    ) -> tuple[tuple[float, ...], tuple[float, ...], str]:
        """Mean, deviation, and where they are from in words."""
        channels = domain.channels
        mean, deviation, words = checkpoint.mean, checkpoint.deviation, "the checkpoint's own mean and deviation"
        # What a checkpoint for other pictures says is no help; that it is one, the weights themselves say best.
        if mean is None or deviation is None or not len(mean) == len(deviation) == channels:
            if channels == 3:
                mean, deviation = IMAGENET_MEAN, IMAGENET_DEVIATION
                words = "ImageNet's mean and deviation, which is assumed (-o init.mean and init.deviation change it)"
            else:
                mean, deviation = domain.mean, domain.deviation
                words = "the training split's mean and deviation, since the checkpoint has none"
        if self.mean or self.deviation:
            words = "the mean and deviation that were set"
        mean, deviation = self.mean or mean, self.deviation or deviation
        for name, values in (("mean", mean), ("deviation", deviation)):
            if len(values) != channels:
                raise ConfigError(f"init.{name} has {len(values)} numbers, but the pictures have {channels} channels")
        if min(deviation) <= 0:
            raise ConfigError(f"init.deviation {list(deviation)} must be above 0")
        return mean, deviation, words


def _learns_to_make(domain: Domain) -> bool:
    """Pictures that are to be made are not normalised."""
    return isinstance(domain.inputs(), Canvas)


def _own(path: Path) -> bool:
    return any((path / name).is_file() for name in ("architecture.json", "recipe.yaml"))


def _from_place(path: Path) -> Checkpoint:
    checkpoint = locate.read(path)
    own = locate.own_checkpoint(path)
    # Older checkpoints with adapters list no changes.
    if own is None or not (listed_changes(own) or any(".lora_" in name for name in checkpoint.weights)):
        return checkpoint
    loaded = load_checkpoint(RunDirectory(own.parents[1]), own.name)
    weights = building.merged(loaded.network, loaded.changes)[0].state_dict()
    return replace(checkpoint, weights={name: v for name, v in weights.items() if not name.startswith("normalise.")})


def starting_from(init: str | Path | Initializer) -> Initializer:
    """What `--init` means: an initialiser's name, or where weights lie (kept as a whole path, so that a run can be
    resumed from elsewhere). Raises ConfigError where it is neither."""
    if isinstance(init, Initializer):
        return init
    names = [name for name in registry.names("init") if name not in NOT_TYPED]
    if str(init) in (*names, *NOT_TYPED):
        return spec.decode(str(init), Initializer)
    path = Path(init)
    if not path.exists():
        raise ConfigError(
            f"--init {str(init)!r} is neither a way to start ({', '.join(names)}) nor a file, folder or run that is "
            f"there; {nearest(str(init), names)}"
        )
    if not (path.is_dir() or path.is_file()):  # a pipe or a device, which may never end
        raise ConfigError(f"--init {str(init)!r} is no regular file; give a file of weights, a folder or a run")
    return Pretrained(str(path.absolute()))


def out_of_reach(model: Any) -> str | None:
    """Why the weights published for the model can neither be taken from the cache nor be downloaded; None: they can."""
    return beyond(published(model))


def beyond(there: Any) -> str | None:
    """As `out_of_reach`, of what was published (`published`)."""
    if there.path.is_file():
        return None
    if not there.host:
        return f"{there.path} is not there"
    forbidden = download.offline()
    if forbidden:
        return f"{there.name} is not in the cache, and {forbidden} forbids downloads"
    if not download.reachable(there.host):
        return f"{there.name} is not in the cache, and {there.host} does not answer"
    return None


def published(model: Model) -> Any:
    """What others have published for the model: "name", "path" (a file where it lies here already), "host" (that it
    comes from; empty: only from here) and "read". None where nobody has."""
    find = getattr(model, "published", None)
    return find() if find is not None else None


def _published(model: Model) -> Checkpoint:
    source = published(model)
    if source is None:
        raise ConfigError(
            f"no weights were published for {_described(model)}; name a file with --init PATH, take --init random, "
            "or a model that has some (--model resnet18)"
        )
    checkpoint: Checkpoint = source.read()
    return checkpoint


def _described(model: Model) -> str:
    """
    >>> from pervade.models.resnet import ResNet
    >>> _described(ResNet(width=32))
    'resnet (depth=18 width=32 stem=auto dropout=0.0)'
    """
    fields = spec.encode(model)
    name = fields.pop("use", None) or type(model).__name__
    shown = " ".join(f"{key}={value}" for key, value in fields.items() if isinstance(value, (str, int, float)))
    return f"{name} ({shown})"
