"""Recipes for acting in an environment.

pervade train gym://CartPole-v1                      PPO: ppo()
pervade train gym://CartPole-v1 --algorithm dqn      DQN: dqn()
pervade train gym://ALE/Pong-v5 --time-limit 60m     pictures: a convolutional network, two worker processes
pervade train gym://module:MyClass --steps 200000    an environment of one's own
pervade train gym://CartPole-v1 --init agent.zip     goes on from an agent of Stable-Baselines3, or from a run
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from pervade.agents import environments
from pervade.agents.sources.replay import Replay
from pervade.agents.sources.rollouts import Rollouts
from pervade.core import spec
from pervade.core.contracts import EarlyStopping, Initializer, Model, Recipe
from pervade.core.errors import ConfigError, nearest
from pervade.domains.environment import Environment
from pervade.init.pretrained import starting_from
from pervade.init.random import Random
from pervade.models.nature_cnn import NatureCNN
from pervade.models.perceptron import Perceptron
from pervade.models.policy import Policy
from pervade.run.search_space import Choice, Range
from pervade.tasks.dqn import DQN
from pervade.tasks.ppo import PPO
from pervade.train.optim.adam import Adam
from pervade.train.schedule.constant import Constant
from pervade.train.schedule.linear import Linear
from pervade.weights import sb3
from pervade.weights.sb3 import Agent

NAME = "reinforcement-learning"
TASKS = {NAME: "acts in an environment; gym://NAME of Gymnasium (Atari's gym://ALE/Pong-v5 too), or gym://module:Class"}
ALGORITHMS = ("ppo", "dqn")
STEPS = 100_000  # of the environment, unless --steps says otherwise
LONG_STEPS = 1_000_000
PICTURE_STEPS = 2_000_000
LONG = 1_000  # steps of an episode


def recognises(source: Any, label_column: str | None = None, text_column: str | None = None) -> str | None:
    return NAME if environments.is_address(source) else None


def recipe(
    model: str | Model | None = None,
    task: str = NAME,
    init: str | Initializer | None = None,
    source: Any = None,
    algorithm: str | None = None,
    settings: Sequence[str] = (),
) -> Recipe:
    """PPO unless `algorithm` says otherwise. Of `settings` those are looked at that the environment cannot be made
    without (domain.arguments). Raises ConfigError where there is no such algorithm, DataError where the
    environment cannot be used."""
    starting = None if init is None else starting_from(init)
    agent = _agent(starting)
    chosen = algorithm or ("ppo" if agent is None else agent.algorithm)
    if chosen not in ALGORITHMS:
        raise ConfigError(f"--algorithm {chosen!r} is unknown; {nearest(chosen, ALGORITHMS)}")
    name = environments.name_of(source) if environments.is_address(source) else ""
    wanted = [setting for setting in settings if setting.startswith("domain.arguments")]
    arguments = spec.change({"domain": {"arguments": {}}}, wanted)["domain"]["arguments"]
    if not isinstance(arguments, dict):
        raise ConfigError(f"domain.arguments: {arguments!r} is no set of arguments; write {{name: value}}")
    about = environments.look(name, arguments) if name else None
    kind = "" if about is None else "pictures" if about.observation["picture"] else "long" if is_long(about) else ""
    made = RECIPES[chosen, kind]()
    changed = replace(made, domain=replace(cast(Environment, made.domain), name=name))
    if model is not None:
        changed = replace(changed, model=_policy(spec.decode(model, Model) if isinstance(model, str) else model))
    if agent is not None:
        changed = _going_on(changed, agent, chosen, model)
    return changed if starting is None else replace(changed, init=starting)


def _agent(init: Initializer | None) -> Agent | None:
    """What Stable-Baselines3 saved, where that is what a run starts from."""
    path = Path(getattr(init, "source", ""))
    return sb3.described(path) if sb3.is_agent(path) else None


def _going_on(recipe: Recipe, agent: Agent, algorithm: str, model: str | Model | None) -> Recipe:
    """The recipe for such an agent: its network, which has seen observations, rewards and actions in their own units.
    Raises ConfigError where another algorithm or network was asked for."""
    if algorithm != agent.algorithm:
        raise ConfigError(
            f"--algorithm {algorithm} cannot go on from {agent.where}, an agent of {agent.called}; leave --algorithm "
            f"out, or say {agent.algorithm}"
        )
    if model is not None:
        raise ConfigError(f"{agent.where} brings its own network; leave --model out")
    network: Model = Perceptron(agent.units, cast(Any, agent.activation))
    if agent.channels:
        network = NatureCNN(cast(Any, agent.channels), agent.units[0])
    source = recipe.source
    if isinstance(source, Rollouts):
        source = replace(source, scale_rewards=False)
    domain = replace(cast(Environment, recipe.domain), scale_actions=False)
    return replace(recipe, domain=domain, source=source, model=Policy(network, normalise=False))


def _policy(network: Model) -> Policy:
    return network if isinstance(network, Policy) else Policy(network)


def ppo() -> Recipe:
    """Observations of a few numbers."""
    return Recipe(
        domain=Environment(environments=8),
        task=PPO(entropy_weight=0.0),
        model=Policy(Perceptron()),
        optimizer=Adam(lr=1e-3, epsilon=1e-5),
        schedule=Linear(),
        init=Random(),
        source=Rollouts(steps=128, epochs=10),
        early_stopping=EarlyStopping(),
        epochs=math.ceil(STEPS / 1024),
        batch_size=128,
        clip_norm=0.5,
        validation=0.0,
        test=0.0,
        precision="fp32",  # such layers are too small for anything else
        workers=0,
        threads=1,  # starting a second one takes longer than the work
    )


def is_long(about: environments.About) -> bool:
    """Whether what an action leads to may show only hundreds of steps later."""
    return about.longest is not None and about.longest >= LONG


def ppo_long() -> Recipe:
    """Episodes of a thousand steps and more: what is far away counts, and more is seen before each lesson.

    pervade train gym://LunarLander-v3 --seeds 3      a mean return of about 280 within a million steps
    """
    return replace(
        ppo(),
        domain=Environment(environments=16),
        task=PPO(entropy_weight=0.01),
        source=Rollouts(steps=256, epochs=4, discount=0.999, trace=0.98),
        epochs=math.ceil(LONG_STEPS / 4096),
    )


def ppo_pictures() -> Recipe:
    """Observations that are pictures: Schulman et al. 2017, table 5, with twice the environments and steps."""
    return replace(
        ppo(),
        domain=Environment(environments=16, processes=2, episodes=20),
        task=PPO(clip=0.2, entropy_weight=0.01),
        # A third of the arithmetic of Mnih et al. 2015, which on a processor is what the time goes into.
        model=Policy(NatureCNN((16, 32, 32), 256)),
        optimizer=Adam(lr=5e-4, epsilon=1e-5),
        source=Rollouts(steps=128, epochs=4, scale_rewards=False),
        epochs=math.ceil(PICTURE_STEPS / 2048),
        batch_size=256,
        precision="auto",
        threads="auto",
    )


def dqn() -> Recipe:
    """Observations of a few numbers."""
    return replace(
        ppo(),
        domain=Environment(environments=1),
        # A copy that follows slowly: one that jumps let values run away on half of the seeds (Lillicrap et al. 2016).
        task=DQN(target_every=1, target_rate=0.005),
        # Not normalised: what was seen by chance at the beginning tells little of where a good policy goes.
        model=Policy(Perceptron((128, 128), "relu"), normalise=False),
        optimizer=Adam(lr=1e-3),
        source=Replay(every=64, lessons=32, steps=1024, ahead=3),
        epochs=(STEPS - 1000) // 1024,
        batch_size=64,
        average=0.995,  # a policy by values changes its mind from step to step; its mean does not
        clip_norm=10.0,
    )


def dqn_long() -> Recipe:
    """As `dqn`, with more steps."""
    return replace(dqn(), epochs=(LONG_STEPS - 1000) // 1024)


def dqn_pictures() -> Recipe:
    """Observations that are pictures: Mnih et al. 2015, in a tenth of its memory."""
    return replace(
        ppo_pictures(),
        domain=Environment(environments=8, processes=2, episodes=20),
        task=DQN(target_every=1000),
        optimizer=Adam(lr=1e-4),
        schedule=Constant(),
        source=Replay(size=100_000, begin=10_000, steps=5000, every=8, lessons=2, explore=0.1, last_epsilon=0.01),
        epochs=PICTURE_STEPS // 5000 - 2,
        batch_size=32,
        clip_norm=10.0,
        threads=1,  # batches of 32 small pictures are no work for two
    )


# By algorithm, and by what the environment is like.
RECIPES: dict[tuple[str, str], Callable[[], Recipe]] = {
    ("ppo", ""): ppo,
    ("ppo", "long"): ppo_long,
    ("ppo", "pictures"): ppo_pictures,
    ("dqn", ""): dqn,
    ("dqn", "long"): dqn_long,
    ("dqn", "pictures"): dqn_pictures,
}


def for_steps(recipe: Recipe, steps: int) -> Recipe:
    """The recipe with as many passes as `steps` of the environment take, rounded down where there is one at least; 0
    steps measure the first weights as they are.

    Raises ConfigError where its source does not act, or the steps do not even suffice to begin.
    """
    source, domain = recipe.source, recipe.domain
    if not isinstance(source, (Rollouts, Replay)) or not isinstance(domain, Environment):
        raise ConfigError("--steps counts steps of an environment, and this recipe has none; take --epochs")
    size = source.steps_per_pass(domain.environments)
    left = steps - (source.begin if isinstance(source, Replay) else 0)
    if steps == 0:
        return replace(recipe, epochs=0)
    if left < size:
        raise ConfigError(
            f"--steps {steps:,} are fewer than the first lesson takes ({steps - left + size:,}); give more, or make it "
            "smaller with -o source.steps"
        )
    return replace(recipe, epochs=left // size)


def search_space(recipe: Recipe) -> dict[str, Range | Choice]:
    """What `pervade tune` varies."""
    if not isinstance(recipe.domain, Environment):
        return {}
    lr = recipe.one_optimizer.lr
    space: dict[str, Range | Choice] = {"optimizer.lr": Range(lr / 10, lr * 10, log=True)}
    if isinstance(recipe.source, Rollouts):
        space["task.entropy_weight"] = Choice((0.0, 0.01, 0.03))
    return {**space, "source.discount": Choice((0.95, 0.99, 0.995, 0.999))}
