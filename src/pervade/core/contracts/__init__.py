"""The contracts. Everything that is learned, and every method, is an object of one of these shapes.

What is said here about arguments is not said again where a contract is met. Shapes use the letters of core/types.py.
Specs (Domain, Task, Model, SourceSpec, Optimizer, Schedule, Initializer, Attack …) are frozen dataclasses: config,
method, command line flag and JSON record in one (core/spec.py). Whatever changes while learning lives in modules
(model, companions) and in sources, which is what a checkpoint saves.
"""

from pervade.core.contracts.deployment import Signature as Signature
from pervade.core.contracts.deployment import TensorSpec as TensorSpec
from pervade.core.contracts.domain import Domain as Domain
from pervade.core.contracts.domain import Opened as Opened
from pervade.core.contracts.domain import PlainFeatures as PlainFeatures
from pervade.core.contracts.inputs import Canvas as Canvas
from pervade.core.contracts.inputs import Codes as Codes
from pervade.core.contracts.inputs import Inputs as Inputs
from pervade.core.contracts.inputs import InputSpace as InputSpace
from pervade.core.contracts.inputs import Observations as Observations
from pervade.core.contracts.inputs import Pixels as Pixels
from pervade.core.contracts.inputs import Several as Several
from pervade.core.contracts.inputs import Sparse as Sparse
from pervade.core.contracts.inputs import Tokens as Tokens
from pervade.core.contracts.inputs import Waveform as Waveform
from pervade.core.contracts.inputs import require as require
from pervade.core.contracts.methods import AskedOtherwise as AskedOtherwise
from pervade.core.contracts.methods import Attack as Attack
from pervade.core.contracts.methods import Change as Change
from pervade.core.contracts.methods import Compressed as Compressed
from pervade.core.contracts.methods import Compressor as Compressor
from pervade.core.contracts.methods import Explainer as Explainer
from pervade.core.contracts.methods import Exporter as Exporter
from pervade.core.contracts.methods import Foreseeing as Foreseeing
from pervade.core.contracts.methods import Mergeable as Mergeable
from pervade.core.contracts.methods import Probe as Probe
from pervade.core.contracts.methods import Reopens as Reopens
from pervade.core.contracts.methods import Subject as Subject
from pervade.core.contracts.promises import Imbalance as Imbalance
from pervade.core.contracts.promises import MakesRows as MakesRows
from pervade.core.contracts.promises import Promise as Promise
from pervade.core.contracts.promises import Told as Told
from pervade.core.contracts.promises import TriesWeights as TriesWeights
from pervade.core.contracts.source import Augment as Augment
from pervade.core.contracts.source import Opening as Opening
from pervade.core.contracts.source import Sampler as Sampler
from pervade.core.contracts.source import Sampling as Sampling
from pervade.core.contracts.source import Source as Source
from pervade.core.contracts.source import SourceSpec as SourceSpec
from pervade.core.contracts.task import Context as Context
from pervade.core.contracts.task import Phase as Phase
from pervade.core.contracts.task import Plain as Plain
from pervade.core.contracts.task import Task as Task
from pervade.core.contracts.training import EarlyStopping as EarlyStopping
from pervade.core.contracts.training import Gradient as Gradient
from pervade.core.contracts.training import Initializer as Initializer
from pervade.core.contracts.training import Model as Model
from pervade.core.contracts.training import Optimizer as Optimizer
from pervade.core.contracts.training import ParameterGroup as ParameterGroup
from pervade.core.contracts.training import Recipe as Recipe
from pervade.core.contracts.training import Schedule as Schedule
from pervade.core.contracts.training import Solver as Solver
from pervade.core.contracts.training import Started as Started
from pervade.core.contracts.training import Tuning as Tuning
from pervade.core.contracts.wrapping import Wrapping as Wrapping
from pervade.core.contracts.wrapping import members as members
