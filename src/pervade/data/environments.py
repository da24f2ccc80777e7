"""Environments to act in: made by name, looked at before anything is learnt, faults explained.

    gym://CartPole-v1          any name that Gymnasium knows, gym://ALE/Pong-v5 among them
    gym://my_module:MyClass    a class of one's own, which Gymnasium's own checker looks at first
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from pervade.core.errors import ConfigError, DataError, nearest
from pervade.data import spaces

ADDRESS = "gym://"
TRIED = 20  # steps that an environment is looked at before it is used
RATING = 8  # of the faults of one's own environment, how many are shown


def is_address(source: Any) -> bool:
    return isinstance(source, str) and source.startswith(ADDRESS)


def name_of(source: str) -> str:
    return source.removeprefix(ADDRESS)


def own(name: str) -> bool:
    """Whether it names a class (module:Class) and not something that Gymnasium has registered."""
    return ":" in name


@dataclass(frozen=True)
class About:
    """What is known of an environment once it has been tried."""

    observation: dict[str, Any]
    action: dict[str, Any]
    longest: int | None  # steps after which it ends an episode by itself; None: it says nothing of a limit
    stack: int = 1


def gymnasium() -> Any:
    """The library. Raises ConfigError where it is not installed."""
    try:
        import gymnasium as library
    except ImportError:
        raise ConfigError("reinforcement learning needs the package gymnasium; pip install 'pervade[rl]'") from None
    return library


def make(name: str, arguments: dict[str, Any] | None = None, training: bool = False, render: bool = False) -> Any:
    """A new environment. Raises DataError where there is none of that name, it needs a package that is missing, or it
    cannot be made with these arguments."""
    library = gymnasium()
    given = dict(arguments or {})
    # Where there is no display nothing opens a window, and its library keeps its greeting to itself.
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if name.startswith("ALE/"):
        try:
            import ale_py
        except ImportError:
            raise DataError(f"{name} needs the package ale-py; pip install 'pervade[rl]'") from None
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        library.register_envs(ale_py)
    try:
        # What a library says of its own names and future is no news of the user's.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if own(name):
                return _own_class(name)(**given, **({"render_mode": "rgb_array"} if render else {}))
            if name.startswith("ALE/"):
                from pervade.data import atari

                return atari.make(name, training, render, given)
            mode = {"render_mode": "rgb_array"} if render else {}
            return library.make(name, disable_env_checker=True, **mode, **given)
    except library.error.DependencyNotInstalled as error:
        raise DataError(f"{name} needs a package that is not installed: {_first(error)}; {_remedy(error)}") from None
    except library.error.Error as error:
        raise _unknown(library, name, error) from None
    except ModuleNotFoundError as error:
        raise DataError(f"{name} needs the package {error.name!r}, which is not installed; {_remedy(error)}") from None
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{name} cannot be made: {type(error).__name__}: {_first(error)}") from error


def _remedy(error: Exception) -> str:
    found = re.search(r"pip install [\"'`]?([\w\-\[\],.]+)", str(error))
    return f"pip install '{found[1]}'" if found else "install it, or take another environment"


def _first(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def _unknown(library: Any, name: str, error: Exception) -> DataError:
    if name in library.registry:
        return DataError(f"{name} cannot be made: {_first(error)}")
    known = sorted(library.registry)
    base = name.rpartition("-v")[0]
    versions = [each for each in known if base and each.rpartition("-v")[0] == base]
    found = f"there is {versions[-1]}" if versions else nearest(name, known)
    hint = found if len(found) < 200 else "see https://gymnasium.farama.org for the names there are"
    return DataError(f"Gymnasium knows no environment {name!r}; {hint} (a class of your own: gym://module:Class)")


def _own_class(name: str) -> Any:
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` would: one's own module usually lies in the current folder
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0] and error.name != module:
            raise
        raise DataError(
            f"there is no module {module!r} for {name}; write gym://module:Class, the module in the current folder or "
            "installed"
        ) from None
    if found is None:
        there = [each for each in dir(sys.modules[module]) if isinstance(getattr(sys.modules[module], each), type)]
        raise DataError(f"the module {module!r} has no class {attribute!r}; {nearest(attribute, there)}")
    return found


def look(name: str, arguments: dict[str, Any] | None = None) -> About:
    """Makes the environment and tries it: a class of one's own by Gymnasium's `check_env`, any by a few random steps.

    Raises DataError with what is wrong.
    """
    env = make(name, arguments)
    try:
        if not hasattr(env, "observation_space") or not hasattr(env, "action_space"):
            raise DataError(f"{name} has no observation_space or no action_space; derive it from gymnasium.Env")
        if own(name):
            _check_own(name, env)
        observation, action = spaces.observation(env.observation_space, name), spaces.action(env.action_space, name)
        _try(name, env)
        limit = getattr(env.spec, "max_episode_steps", None) if getattr(env, "spec", None) is not None else None
        stack = 1
        if name.startswith("ALE/"):
            from pervade.data import atari

            limit, stack = atari.LONGEST, atari.STACK
            observation = {**observation, "shape": [stack, *observation["shape"][1:]]}  # type: ignore[misc]
        return About(observation, action, limit, stack)
    finally:
        env.close()


def _check_own(name: str, env: Any) -> None:
    """What Gymnasium's checker says of it, which raises at faults and warns of what is unwise."""
    from gymnasium.utils.env_checker import check_env

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_env(env, skip_render_check=True, skip_close_check=True)
    except (AssertionError, TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        raise DataError(f"{name} is not a sound environment: {_explained(error)}") from None
    except Exception as error:
        raise DataError(f"{name} raised {type(error).__name__} when it was tried: {_first(error)}") from None


# What Gymnasium's checker says, in part, and what to do about it.
ADVICE = {
    "not deterministic": "after reset(seed=…) everything random must come from self.np_random",
    "NaN": "look for a division by zero, or a state that runs away",
    "does not match": "mend the space, or what the environment returns",
    "dtype": "return np.asarray(observation, dtype=self.observation_space.dtype)",
    "shape": "mend the shape in observation_space, or what the environment returns",
    "not contained": "mend the bounds in observation_space, or what the environment returns",
    "5 elements": "step must return (observation, reward, terminated, truncated, info)",
    "tuple": "reset must return (observation, info), step (observation, reward, terminated, truncated, info)",
    "seed": "reset must take seed= and options=, and call super().reset(seed=seed)",
    "unpack": "reset must return (observation, info), step (observation, reward, terminated, truncated, info)",
}


def _explained(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    advice = next((each for key, each in ADVICE.items() if key.lower() in text.lower()), "")
    return f"{text[:400].rstrip('.')}{f'; {advice}' if advice else ''}"


def _try(name: str, env: Any) -> None:
    """A few random steps, what comes back compared with what the environment says of itself."""
    try:
        env.action_space.seed(0)
        seen, _ = env.reset(seed=0)
        require(name, env.observation_space, seen, "reset")
        for number in range(1, TRIED + 1):
            seen, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            require(name, env.observation_space, seen, f"step {number}")
            require_reward(name, reward, f"step {number}")
            if terminated or truncated:
                seen, _ = env.reset(seed=number)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{name} raised {type(error).__name__} when it was tried: {_explained(error)}") from None


def require(name: str, space: Any, seen: Any, when: str) -> None:
    """Raises DataError where an observation is not of its space: shape, dtype, numbers that are none."""
    shape, dtype = getattr(space, "shape", None), getattr(space, "dtype", None)
    box = type(space).__name__ == "Box"
    if box and not isinstance(seen, np.ndarray):
        raise DataError(
            f"{name}: {when} gave an observation of type {type(seen).__name__}, where observation_space says an array "
            f"{shape} of {dtype}; return np.asarray(observation, dtype=self.observation_space.dtype)"
        )
    if box and seen.shape != shape:
        raise DataError(
            f"{name}: {when} gave an observation of shape {seen.shape}, where observation_space says {shape}; "
            "mend one of the two"
        )
    if box and seen.dtype != dtype:
        raise DataError(
            f"{name}: {when} gave an observation of dtype {seen.dtype}, where observation_space says {dtype}; "
            "return np.asarray(observation, dtype=self.observation_space.dtype)"
        )
    if box and seen.dtype.kind == "f" and not np.isfinite(seen).all():
        raise DataError(not_finite(name, "observation", seen, when))


def require_reward(name: str, reward: Any, when: str) -> None:
    try:
        value = float(reward)
    except (TypeError, ValueError):
        raise DataError(
            f"{name}: {when} gave the reward {reward!r}, which is no number; step returns (observation, reward, "
            "terminated, truncated, info)"
        ) from None
    if not np.isfinite(value):
        raise DataError(not_finite(name, "reward", value, when))


def not_finite(name: str, what: str, value: Any, when: str) -> str:
    shown = value if np.ndim(value) == 0 else np.asarray(value).reshape(-1)[~np.isfinite(np.asarray(value).reshape(-1))][0]
    return (
        f"{name}: {when} gave the {what} {shown}; nothing can be learnt from that: look in the environment for a "
        "division by zero, or a state that runs away"
    )
