"""A small student that learns what the network says (tasks/distil.py), on the same rows.

Without a name the student is the network itself with fewer layers, where these are blocks of one shape: it begins with
the network's own weights, which is far better than random ones (DistilBERT, Sanh et al. 2019, arXiv:1910.01108). Where
they are not, it is a network of the same family half as wide, which has a quarter of the weights. After other steps
it is what these made, and learns from the network that they began with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch.nn import Module, ModuleList

from pervade.core import files, registry, spec
from pervade.core.bounds import LearningRate, Passes, Weight
from pervade.core.contracts import (
    Augment,
    Change,
    Compressed,
    Compressor,
    Domain,
    Initializer,
    Model,
    Optimizer,
    Recipe,
    Schedule,
    Solver,
    SourceSpec,
    Subject,
    Tokens,
    Wrapping,
)
from pervade.core.contracts.abilities import CanTeach
from pervade.core.contracts.capabilities import Tokenised
from pervade.core.errors import ConfigError, UnfitError
from pervade.core.registry import full_name, name_of, register
from pervade.engine import building
from pervade.models.perceptron import Perceptron
from pervade.models.policy import Policy
from pervade.tasks import distil
from pervade.tasks.language_model import LanguageModel

LONGER, LONGER_WARM = 3, 2  # times as many passes as the teacher's, from random weights and from others
FROM_RANDOM = 1e-3  # learning rate of AdamW
# Times the rate that finetuned the teacher, for a student with fewer layers: one of MiniLM's six was right on 80.6% of
# 3,792 rows of sst2 so, and on 79.0% by the teacher's own rate.
FEWER = 3.0
NAMED = 6  # students that a message names
FILTERS = 8  # by which numbers of filters can be divided


@register("change", name="layers-kept")
@dataclass(frozen=True)
class LayersKept(Change):
    """Of lists of blocks only some stay, under the names that they have."""

    kept: Mapping[str, tuple[Annotated[int, Field(ge=0, le=10_000)], ...]] = field(default_factory=dict)  # by the list

    def apply(self, network: Module) -> Module:
        """Raises ConfigError where there is no such list, or not so many blocks in it."""
        modules = dict(network.named_modules())
        for name, places in self.kept.items():
            layers = modules.get(name)
            if not isinstance(layers, ModuleList) or not places or max(places) >= len(layers):
                what = f"has {len(layers)} blocks" if isinstance(layers, ModuleList) else "is no list of blocks"
                raise ConfigError(f"layers-kept: {name!r} {what}, and {list(places)} of it are to stay")
            network.set_submodule(name, Blocks({place: layers[place] for place in places}))
        return network


class Blocks(ModuleList):
    """A list whose blocks have names that need not follow one another, so that each finds its weights by its own."""

    def __init__(self, blocks: Mapping[int, Module]) -> None:
        super().__init__()
        for place, block in blocks.items():
            self.add_module(str(place), block)

    def __getitem__(self, index: Any) -> Any:
        """By place in the list, as in any other."""
        named = list(self._modules.items())
        if isinstance(index, slice):
            return Blocks({int(name): block for name, block in named[index] if block is not None})
        return named[index][1]


@register("compress")
@dataclass(frozen=True)
class Distil(Compressor):
    by_rows: ClassVar[bool] = False
    on_rounded: ClassVar[bool] = True
    student: str = "auto"  # a model's name
    layers: Annotated[int, Field(ge=1, le=1000)] | None = None  # that stay, where these are what the student has fewer
    # of; None: one in three
    temperature: Annotated[float, Field(gt=0, le=100)] = 2.0
    share: Annotated[float, Field(ge=0, le=1)] = 0.1  # of the true targets in what is learnt
    features: Weight = 0.0  # of how far features are from the teacher's, where both networks have heads
    augment: bool = True  # whether both read fragments of the texts, too, where texts are judged as a whole
    written: Annotated[float, Field(ge=0, le=100)] = 0.0  # how much text the teacher writes for its student to learn
    # from beside the real ones, as a share of these; of language models
    epochs: Passes | None = None  # None: as the teacher's, and so often again as its first weights are worse
    lr: LearningRate | None = None  # None: as the teacher's; more where that finetuned, and the student
    # has fewer layers or worse first weights

    def check(self, subject: Subject) -> None:
        """Raises UnfitError where nobody can imitate the task, ConfigError where the student named does not fit."""
        self._require_taught(subject)
        if self.student != "auto":
            model = self._model(subject)
            _require_smaller(self._built(model, subject), full_name(model), _weights(subject.loaded.network), subject)

    def __call__(self, subject: Subject) -> Compressed:
        recipe, network = subject.recipe, subject.loaded.network
        self._require_taught(subject)
        teacher = _uncompressed(subject)
        if self.student == "auto" and teacher != subject.place:
            init: Initializer = spec.decode({"use": "pretrained", "source": str(subject.place)}, Initializer)
            begun = replace(recipe, changes=subject.loaded.changes, init=init)
            learns = self._learning(begun, subject, teacher)
            summary = f"what was made so far learns from what {teacher.name} said"
            return Compressed(network, subject.loaded.changes, summary, learns, writes=self.written)
        before = _weights(network)
        lists = blocks_of(network) if self.student == "auto" else {}
        if lists:
            kept = {name: evenly(count, self.layers or max(count // 3, 1)) for name, count in lists.items()}
            student, left = building.merged(network, subject.loaded.changes)
            changes: tuple[Change, ...] = (*left, LayersKept(kept))
            student = changes[-1].apply(student)
            said = ", ".join(f"{len(places)} of {lists[name]} layers" for name, places in kept.items())
            init = spec.decode({"use": "pretrained", "source": str(subject.place)}, Initializer)
            learns = replace(recipe, changes=changes, init=init)
        else:
            model = self._model(subject)
            student, changes, said = self._built(model, subject), (), full_name(model)
            said += " half as wide" if self.student == "auto" else ""
            learns = replace(recipe, model=model, changes=(), init=_first_weights(model))
        _require_smaller(student, said, before, subject)
        summary = f"{said}, {before:,} weights to {_weights(student):,}, learnt from what the network said"
        learns = self._learning(learns, subject, teacher)
        return Compressed(student, changes, summary, learns, writes=self.written)

    def _require_taught(self, subject: Subject) -> None:
        """Raises UnfitError where nobody can imitate the task, ConfigError where a teacher is to write that cannot."""
        task = subject.recipe.task
        named = name_of(type(task)) or type(task).__name__
        if not isinstance(task, CanTeach):
            raise UnfitError(f"distil: no student can learn {named} from another's answers")
        own = task.task if isinstance(task, Wrapping) else task
        if self.written and not (isinstance(own, LanguageModel) and isinstance(subject.loaded.domain, Tokenised)):
            raise ConfigError(f"distil.written: only a language model writes texts, and this is {named}; leave it away")

    def _model(self, subject: Subject) -> Model:
        """The student that is named, or one half as wide. What an agent has seen of observations stays around it."""
        own = subject.recipe.model
        if self.student != "auto":
            named: Model = spec.decode(self.student, Model)
            return replace(own, network=named) if isinstance(own, Policy) and not isinstance(named, Policy) else named
        model = _half(own)
        if model is None:
            raise UnfitError(f"distil: of {full_name(own)} no smaller one is known; {_others(subject)}")
        return model

    def _built(self, model: Model, subject: Subject) -> Module:
        domain = subject.loaded.domain
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(subject.recipe.seed)
                network = building.build(model, domain.inputs(), subject.recipe.task.outputs(domain))
        except ConfigError as error:
            raise ConfigError(f"distil: the student does not fit: {error}; {_others(subject)}") from None
        return network.eval()

    def _learning(self, recipe: Recipe, subject: Subject, teacher: Path) -> Recipe:
        """As the teacher learnt, but for what belongs to its own first weights. Every weight learns."""
        own = subject.recipe
        warm, began_warm = (name_of(type(one.init)) != "random" for one in (recipe, own))
        parts = own.optimizer.values() if isinstance(own.optimizer, Mapping) else (own.optimizer,)
        at_once = any(isinstance(optimizer, Solver) for optimizer in parts)
        if at_once or began_warm > warm:  # rates that finetune are too low for random weights
            adamw = {"use": "adamw", "lr": FROM_RANDOM, "weight_decay": 0.05}
            optimizer: Optimizer = spec.decode(adamw, Optimizer)
            recipe = replace(recipe, optimizer=optimizer, schedule=spec.decode("cosine", Schedule))
        if at_once:
            recipe = replace(recipe, source=spec.decode("dataset", SourceSpec))
        lr, fewer = self.lr, any(isinstance(change, LayersKept) for change in recipe.changes)
        if lr is None and warm and began_warm and fewer and not at_once and not isinstance(own.optimizer, Mapping):
            lr = FEWER * own.optimizer.lr
        if lr is not None:
            recipe = replace(recipe, optimizer=replace(recipe.one_optimizer, lr=lr))  # type: ignore[type-var]
        if self.augment and _judged_whole(subject.loaded.domain):
            recipe = replace(recipe, augment=(*recipe.augment, spec.decode("fragments", Augment)))
        return replace(
            recipe,
            task=distil.Distil(own.task, str(teacher), self.temperature, self.share, self.features),
            epochs=own.epochs * (LONGER_WARM if warm else LONGER) if self.epochs is None else self.epochs,
            tuning=None,
            imbalance=None,  # stands in the task, settled
            promises=(),  # are settled again of what has learnt
            then=None,
            time_limit=None,
        )


def _half(model: Model) -> Model | None:
    """One of its kind half as wide; None where none is known."""
    if isinstance(model, Policy):
        inner = None if model.network is None else _half(model.network)
        return None if inner is None else replace(model, network=inner)
    if isinstance(model, Perceptron):
        return replace(model, units=tuple(max(count // 2, 1) for count in model.units))
    width = getattr(model, "width", None)
    if not isinstance(width, (int, float)) or (isinstance(width, int) and width < 2 * FILTERS):
        return None
    # A number of filters, in steps of eight, or a factor of such numbers.
    half = width // (2 * FILTERS) * FILTERS if isinstance(width, int) else width / 2
    return spec.decode({**spec.encode(model), "width": half}, Model)


def evenly(count: int, kept: int) -> tuple[int, ...]:
    """
    >>> evenly(12, 3), evenly(6, 1), evenly(4, 9)
    ((0, 6, 11), (0,), (0, 1, 2, 3))
    """
    kept = min(kept, count)
    return tuple(round(place * (count - 1) / max(kept - 1, 1)) for place in range(kept))


def blocks_of(network: Module) -> dict[str, int]:
    """Lists of blocks of one kind and shape, each of which could be left out, with their lengths."""
    lists: dict[str, int] = {}
    for name, module in network.named_modules():
        if not isinstance(module, ModuleList) or any(name.startswith(f"{outer}.") for outer in lists):
            continue
        shapes = {(type(block), *((key, value.shape) for key, value in block.state_dict().items())) for block in module}
        if len(module) > 1 and len(shapes) == 1 and any(True for _ in module.parameters()):
            lists[name] = len(module)
    return lists


def _uncompressed(subject: Subject) -> Path:
    """The checkpoint that steps before this one began from; the subject's own where it is the first."""
    places, name = [subject.place], subject.loaded.architecture.get("compressed_from")
    while isinstance(name, str) and (place := subject.place.parent / name) not in places:
        places.append(place)
        name = files.read_json(place / "architecture.json").get("compressed_from")
    return places[-1]


def _weights(network: Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _judged_whole(domain: Domain) -> bool:
    """Whether its rows are texts of which something is said as a whole."""
    reads = domain.inputs()
    return isinstance(reads, Tokens) and reads.pooled and not reads.causal


def _require_smaller(student: Module, said: str, before: int, subject: Subject) -> None:
    """Raises ConfigError where it has no fewer weights than its teacher had."""
    after = _weights(student)
    if after >= before:
        raise ConfigError(f"distil: {said} has {after:,} weights, and its teacher {before:,}; {_others(subject)}")


def _first_weights(model: Model) -> Initializer:
    """What was published for it, where that lies here."""
    find = getattr(model, "published", None)
    there = find() if find is not None else None
    return spec.decode("pretrained" if there is not None and there.path.is_file() else "random", Initializer)


def _others(subject: Subject) -> str:
    """Names of networks that read the same and have fewer weights than the subject's, as they come."""
    own, rows = subject.recipe.model.reads, subject.loaded.domain.reads
    models = {name: registry.find("model", name)[0] for name in registry.names("model", variants=False)}
    reads = {name: getattr(model, "reads", Model.reads) for name, model in models.items()}
    fitting = [
        name
        for name, model in models.items()
        if not hasattr(model, "rest")  # of a library
        and (reads[name] == own or (reads[name] in own and reads[name] in rows))  # the network is of one
    ]
    takes, gives = subject.loaded.domain.inputs(), subject.recipe.task.outputs(subject.loaded.domain)
    sizes = {name: building.weights_of(spec.decode(name, Model), takes, gives) for name in fitting}
    before = _weights(subject.loaded.network)
    smaller = sorted((size, name) for name, size in sizes.items() if size is not None and size < before)
    if not smaller:
        return "of those that `pervade models` lists none is smaller as it comes"
    return f"--student takes a smaller network: {', '.join(f'{name} ({size:,})' for size, name in smaller[:NAMED])}"
