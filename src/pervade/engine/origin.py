"""origin.json: by what a run was trained: recipe, rows and splits, fitted domain, as they stood at the first step.

What goes on from a state goes on by the same: else the run would be half of each, and its report tell of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pervade.core import files, spec
from pervade.core.contracts import Recipe
from pervade.core.errors import ConfigError
from pervade.core.run import RunDirectory
from pervade.engine import checkpoint

FREE = ("device", "workers")  # where and how fast it is computed: a run may go on elsewhere
SHOWN = 3


def write(run: RunDirectory, recipe: Recipe) -> None:
    """To be called before the first step, and again when a run goes on: what is free may have changed."""
    files.write_json(run.origin, {"recipe": spec.encode(recipe), "files": _digests(run)})


def check(run: RunDirectory, recipe: Recipe) -> list[str]:
    """A line for each free setting that changed since. An older run, which has no such file, can be anything.

    Raises ConfigError naming the first other settings that did, or the file of rows or of the domain.
    """
    if not run.origin.exists():
        return []
    known = files.read_json(run.origin, "recipe", "files")
    apart = list(differences(checkpoint.as_today(known["recipe"]), spec.encode(recipe)))
    apart = [change for change in apart if change[:2] != ("threads", "auto")]  # which was settled since
    fixed = [f"{path} was {was!r} and is {now!r}" for path, was, now in apart if path not in FREE]
    there = _digests(run)
    fixed += [f"{name} is another or gone" for name, digest in known["files"].items() if there.get(name) != digest]
    if fixed:
        more = f" and {len(fixed) - SHOWN} more" if len(fixed) > SHOWN else ""
        raise ConfigError(
            f"{run.path} is not what its training began with: {', '.join(fixed[:SHOWN])}{more}; put that back, or "
            f"begin a new run from what it has learnt with --init {run.path}"
        )
    return [f"going on with {path} {now!r}, which was {was!r}" for path, was, now in apart]


def differences(was: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two settings differ: the path, what was there and what is, each None where nothing was or is."""
    if isinstance(was, dict) and isinstance(now, dict) and was.get("use") == now.get("use"):
        for name in dict.fromkeys([*was, *now]):
            yield from differences(was.get(name), now.get(name), f"{path}.{name}" if path else name)
    elif was != now:
        yield path, _short(was), _short(now)


def _short(value: Any) -> Any:
    value = value.get("use", value) if isinstance(value, dict) else value
    return value if len(repr(value)) < 100 else f"{str(value)[:80]}…"


def _digests(run: RunDirectory) -> dict[str, str]:
    return {path.name: files.sha256(path) for path in (run.data, run.preprocess) if path.exists()}
