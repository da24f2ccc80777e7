"""The contracts. Everything that is learned, and every method, is an object of one of these shapes.

What is said here about arguments is not said again where a contract is met. Shapes use the letters of core/types.py.
Specs (Domain, Task, Model, SourceSpec, Optimizer, Schedule, Initializer, Attack …) are frozen dataclasses: config,
method, command line flag and JSON record in one (core/spec.py). Whatever changes while learning lives in modules
(model, companions) and in sources, which is what a checkpoint saves.
"""

from pervade.core.contracts.abilities import (
    ABILITIES,
    Acts,
    ComparesSeeds,
    CouplesRows,
    Explores,
    FindsGradient,
    HasCompanions,
    HasPlainModel,
    HasPlayers,
    MakesSamples,
    RepliesToRows,
    SelectsRows,
)
from pervade.core.contracts.domain import Domain, PlainFeatures
from pervade.core.contracts.methods import Attack, Compressor, Explainer, Exporter, InputSpace, Probe
from pervade.core.contracts.source import Opening, Sampler, Source, SourceSpec
from pervade.core.contracts.task import Context, Phase, Plain, Task
from pervade.core.contracts.training import (
    Augment,
    EarlyStopping,
    Gradient,
    Initializer,
    Model,
    Optimizer,
    ParameterGroup,
    Recipe,
    Schedule,
    Started,
    Tuning,
)
from pervade.core.contracts.wrapping import Wrapping, members

__all__ = [
    "ABILITIES",
    "Acts",
    "Attack",
    "Augment",
    "ComparesSeeds",
    "Compressor",
    "Context",
    "CouplesRows",
    "Domain",
    "EarlyStopping",
    "Explainer",
    "Explores",
    "Exporter",
    "FindsGradient",
    "Gradient",
    "HasCompanions",
    "HasPlainModel",
    "HasPlayers",
    "Initializer",
    "InputSpace",
    "MakesSamples",
    "Model",
    "Opening",
    "Optimizer",
    "ParameterGroup",
    "Phase",
    "Plain",
    "PlainFeatures",
    "Probe",
    "Recipe",
    "RepliesToRows",
    "Sampler",
    "Schedule",
    "SelectsRows",
    "Source",
    "SourceSpec",
    "Started",
    "Task",
    "Tuning",
    "Wrapping",
    "members",
]
