"""A run's words (core/words.py), from words.json; of a run made before there was one, from its domain and task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pervade.core import contents, files, plain_yaml, spec, words
from pervade.core.contracts import Domain, Task
from pervade.core.errors import PervadeError
from pervade.core.run import RunDirectory
from pervade.core.words import Words
from pervade.engine.checkpoint import read_domain


def write(run: RunDirectory, domain: Domain, task: Task) -> None:
    files.write_json(run.words, spec.encode(words.describe(domain, task)))


def read(run: RunDirectory) -> Words:
    """Of a run of runs those of its first. What is not registered here has none of its own. Raises CheckpointError
    where words.json, or recipe.yaml, is damaged."""
    places = [run, *map(RunDirectory, sorted((run.path / "members").glob("*")))]
    if (there := next((place.words for place in places if place.words.exists()), None)) is not None:
        with contents.understood(str(there), "remove it: what is not said there is said as usual"):
            return words.understood(files.read_json(there))
    recipe = plain_yaml.read(run.recipe)
    folders = [folder for place in places for folder in (place.path, *map(place.checkpoint, place.checkpoints()))]
    fitted = next((path for folder in folders if (path := folder / "preprocess.json").exists()), None)
    domain = None if fitted is None else _known(lambda: read_domain(fitted))
    domain = domain or _known(lambda: spec.decode(recipe.get("domain"), Domain))
    task = _known(lambda: spec.decode(recipe.get("task"), Task))
    if domain is not None and task is not None:
        return words.describe(domain, task)
    named = recipe.get("task")
    own = Words(name=str(named.get("use") or "") if isinstance(named, dict) else "")
    return own if task is None else Words(task=task.wording(domain or Domain), name=own.name)


def _known(read_it: Callable[[], Any]) -> Any:
    try:
        return read_it()
    except PervadeError:  # not registered here, or damaged, which whoever needs it says
        return None
