"""Environments to act in: made by name, looked at before anything is learnt, faults explained.

gym://CartPole-v1          any name that Gymnasium knows, gym://ALE/Pong-v5 among them
gym://my_module:MyClass    a class of one's own, which Gymnasium's own checker looks at first

A class of one's own is code. It runs where this process was told its name, and not because a file names it
(core/trust.py).
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import traceback
import warnings
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from pervade.agents import spaces
from pervade.core import download, trust
from pervade.core.errors import ConfigError, DataError, nearest

ADDRESS = "gym://"
TRIED = 20  # steps that an environment is looked at before it is used
OLD_GYM = ("GymV21Environment-v0", "GymV26Environment-v0")  # which make what their argument env_id names, module:NAME

_said: set[str] = set()


@runtime_checkable
class HasLives(Protocol):
    anew: bool  # whether the last reset began a new game, and not just the next life of the same


def is_address(source: Any) -> bool:
    return isinstance(source, str) and source.startswith(ADDRESS)


def name_of(source: str) -> str:
    return source.removeprefix(ADDRESS)


def own(name: str) -> bool:
    """Whether it names a class (module:Class) and not something that Gymnasium has registered."""
    return ":" in name


def check_trust(name: str) -> None:
    """Raises ConfigError where the name is of code that this process was not told to run; else says once what runs."""
    if not own(name) and name not in OLD_GYM:
        return
    if not (trust.allowed() or trust.named(name)):
        raise ConfigError(
            f"{name} is a class of somebody's own{_place(name)}, named by a file and not by you, and no code runs from "
            "a file unless you say so: read it, and where you trust it add --trust-remote-code "
            "(pervade.trust_remote_code() in Python)"
        )
    if name not in _said:
        _said.add(name)
        download.announce(f"running code that is not ours: {name}{_place(name)}")


def _place(name: str) -> str:
    """In words, the module that a name would import, and its file, found without running anything."""
    module = name.partition(":")[0]
    if not own(name):
        return ""
    parts = module.split(".")
    path: Any = [str(Path.cwd()), *sys.path]
    for depth in range(len(parts)):
        module_spec = PathFinder.find_spec(".".join(parts[: depth + 1]), path) if path else None
        path = module_spec.submodule_search_locations if module_spec is not None else None
    file = module_spec.origin if module_spec is not None and module_spec.origin else "whose file is not found"
    return f" (module {module}, {file})"


@dataclass(frozen=True)
class About:
    """What is known of an environment once it has been tried."""

    observation: dict[str, Any]
    action: dict[str, Any]
    longest: int | None  # steps after which it ends an episode by itself; None: it says nothing of a limit
    stack: int = 1
    repeats: bool = True  # the same seed and actions give the same episode


def gymnasium() -> Any:
    """The library. Raises ConfigError where it is not installed."""
    try:
        import gymnasium as library
    except ImportError:
        raise ConfigError("reinforcement learning needs the package gymnasium; pip install 'pervade[rl]'") from None
    return library


def make(name: str, arguments: dict[str, Any] | None = None, training: bool = False, render: bool = False) -> Any:
    """A new environment. Raises DataError where there is none of that name, it needs a package that is missing, or it
    cannot be made with these arguments; ConfigError where it is code that this process was not told to run."""
    check_trust(name)
    library = gymnasium()
    if not name:
        raise DataError(f"{ADDRESS} names no environment; write for example {ADDRESS}CartPole-v1")
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
                from pervade.agents import atari

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
    except TypeError as error:  # an argument too few or too many
        raise DataError(
            f"{name} cannot be made: {_first(error)}; what it is made with is set by "
            "-o 'domain.arguments={\"NAME\": VALUE}'"
        ) from error
    except Exception as error:
        raise DataError(f"{name} cannot be made: {fault(error)}") from error


def _remedy(error: Exception) -> str:
    match = re.search(r"pip install [\"'`]?([\w\-\[\],.]+)", str(error))
    return f"pip install '{match[1]}'" if match else "install it, or take another environment"


def _first(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def _unknown(library: Any, name: str, error: Exception) -> DataError:
    if name in library.registry:
        return DataError(f"{name} cannot be made: {_first(error)}")
    with contextlib.suppress(ImportError):  # whose games are known by name once it was asked for
        import ale_py

        library.register_envs(ale_py)
    known = sorted(library.registry)
    base = name.rpartition("-v")[0]
    versions = [version for version in known if base and version.rpartition("-v")[0] == base]
    if f"ALE/{name}" in known:
        versions = [f"ALE/{name}"]
    alternative = f"there is {versions[-1]}" if versions else nearest(name, known)
    hint = alternative if len(alternative) < 200 else "see https://gymnasium.farama.org for the names there are"
    return DataError(f"Gymnasium knows no environment {name!r}; {hint} (a class of your own: gym://module:Class)")


def _own_class(name: str) -> Any:
    """The class, its module imported, which `check_trust` has allowed."""
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` would: one's own module usually lies in the current folder
    try:
        cls = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0] and error.name != module:
            raise
        raise DataError(
            f"there is no module {module!r} for {name}; write gym://module:Class, the module in the current folder or "
            "installed"
        ) from None
    kind = gymnasium().Env
    if cls is None:
        owned = vars(sys.modules[module]).items()
        there = sorted(key for key, cls in owned if isinstance(cls, type) and issubclass(cls, kind))
        raise DataError(f"the module {module!r} has no class {attribute!r}; {nearest(attribute, there)}")
    if not (isinstance(cls, type) and issubclass(cls, kind)):
        raise DataError(f"{name} is no gymnasium.Env; derive a class from gymnasium.Env, and name that one")
    return cls


def look(name: str, arguments: dict[str, Any] | None = None) -> About:
    """Makes the environment and tries it by a few random steps; a class of one's own by Gymnasium's `check_env` too.

    Raises DataError with what is wrong.
    """
    env = make(name, arguments)
    try:
        missing = [attribute for attribute in ("observation_space", "action_space") if not hasattr(env, attribute)]
        if missing:
            lacks = f"has no {' and no '.join(missing)}"
            raise DataError(f"{name} {lacks}; derive it from gymnasium.Env and set observation_space and action_space")
        observation, action = spaces.observation(env.observation_space, name), spaces.action(env.action_space, name)
        _try(name, env)
        repeats = _check_own(name, env) if own(name) else True
        limit = getattr(env.spec, "max_episode_steps", None) if getattr(env, "spec", None) is not None else None
        stack = 1
        if name.startswith("ALE/"):
            from pervade.agents import atari

            limit, stack = atari.LONGEST, atari.STACK
            observation = {**observation, "shape": [stack, *observation["shape"][1:]]}
        return About(observation, action, limit, stack, repeats)
    finally:
        with contextlib.suppress(Exception):  # what cannot even be closed was told of before
            env.close()


def _check_own(name: str, env: Any) -> bool:
    """What Gymnasium's checker says of it, which raises at faults and warns of what is unwise. False where all that it
    finds is that the environment does not repeat itself by its seed, as a machine in the world does not."""
    from gymnasium.utils import env_checker

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            env_checker.check_env(env, skip_render_check=True, skip_close_check=True)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if isinstance(error, AssertionError) and any("determinism" in frame.name for frame in frames):
            return False
        if Path(frames[-1].filename).is_relative_to(Path(env_checker.__file__).parent):
            raise DataError(f"{name} is not a sound environment: {_explained(error)}") from None
        raise DataError(f"{name} raised an error when it was tried: {fault(error)}") from None
    return True


def fault(error: Exception) -> str:
    """What somebody else's code raised, and where."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {_first(error) or 'no message'} ({last.filename}, line {last.lineno})"


# What Gymnasium's checker says, in part, and what to do about it.
ADVICE = {
    "NaN": "look for a division by zero, or a state that runs away",
    "does not match": "mend the space, or what the environment returns",
    "dtype": "return np.asarray(observation, dtype=self.observation_space.dtype)",
    "shape": "mend the shape in observation_space, or what the environment returns",
    "not within": "mend the bounds in observation_space, or what the environment returns",
    "share an object": "return a copy of the array",
    "seed": "reset must take seed= and options=, and call super().reset(seed=seed)",
    "options": "reset must take seed= and options=, and call super().reset(seed=seed)",
}


def _explained(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    advice = next((hint for key, hint in ADVICE.items() if key.lower() in text.lower()), "")
    return f"{text[:400].rstrip('.')}{f'; {advice}' if advice else ''}"


def _try(name: str, env: Any) -> None:
    """A few random steps, what comes back compared with what the environment says of itself."""
    try:
        env.action_space.seed(0)
        seen, _ = _two(name, env.reset(seed=0))
        require(name, env.observation_space, seen, "reset")
        for at in range(1, TRIED + 1):
            seen, reward, terminated, truncated, _ = _five(name, env.step(env.action_space.sample()))
            require(name, env.observation_space, seen, f"step {at}")
            if not np.isfinite(value := number(name, reward, f"step {at}")):
                raise DataError(not_finite(name, "reward", value, f"step {at}"))
            if terminated or truncated:
                seen, _ = _two(name, env.reset(seed=at))
    except DataError:
        raise
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise DataError(f"{name} raised an error when it was tried: {fault(error)}") from None
        raise DataError(f"{name} is not a sound environment: {_explained(error)}") from None
    except Exception as error:
        raise DataError(f"{name} raised an error when it was tried: {fault(error)}") from None


def _two(name: str, given: Any) -> Any:
    if isinstance(given, tuple) and len(given) == 2:
        return given
    raise DataError(f"{name}: reset gave {_values(given)}, and must give two: return observation, info")


def _five(name: str, given: Any) -> Any:
    if isinstance(given, tuple) and len(given) == 5:
        return given
    raise DataError(
        f"{name}: step gave {_values(given)}, and must give five: return observation, reward, terminated, truncated, "
        "info"
    )


def _values(given: Any) -> str:
    if not isinstance(given, tuple):
        return f"one value of type {type(given).__name__}"
    return f"{len(given)} value{'s' if len(given) > 1 else ''}"


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


def number(name: str, reward: Any, when: str) -> float:
    """A reward as a number; an array of one is one. Raises DataError at anything else."""
    try:
        array = np.asarray(reward)
        if array.dtype.kind in "biuf" and array.size == 1:
            return float(array.reshape(-1)[0])
    except (TypeError, ValueError):
        pass
    raise DataError(
        f"{name}: {when} gave the reward {reward!r}, which is no number; step returns (observation, reward, "
        "terminated, truncated, info)"
    )


def not_finite(name: str, what: str, value: Any, when: str) -> str:
    shown = (
        value if np.ndim(value) == 0 else np.asarray(value).reshape(-1)[~np.isfinite(np.asarray(value).reshape(-1))][0]
    )
    return (
        f"{name}: {when} gave the {what} {shown}; nothing can be learnt from that: look in the environment for a "
        "division by zero, or a state that runs away"
    )
