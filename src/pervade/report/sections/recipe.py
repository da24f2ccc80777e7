"""Every setting of the training, as it lies in recipe.yaml."""

from __future__ import annotations

import yaml

from pervade.report import wording
from pervade.report.html import Section, render
from pervade.report.record import Record, used

TEMPLATE = """\
<p>{{ summary }}</p>
<details><summary>recipe.yaml, every setting</summary><pre tabindex="0"><code>{{ text }}</code></pre></details>
"""

PARTS = ("model", "domain", "task", "optimizer", "schedule", "init", "source")


def section(record: Record) -> Section:
    text = yaml.safe_dump(record.recipe, sort_keys=False, allow_unicode=True, width=90)
    return Section("recipe", "Recipe", render(TEMPLATE, summary=summary(record), text=text))


def summary(record: Record) -> str:
    named = [f"{part} {_name(record.part(part))}" for part in PARTS if record.part(part)]
    plain = [
        f"{words} {record.recipe[name]}"
        for name, words in (("epochs", wording.passes(record)), ("batch_size", "batch size"), ("seed", "seed"))
        if record.recipe.get(name) is not None
    ]
    return ", ".join([*named, *plain]) + "."


def _name(part: dict[str, object]) -> str:
    """Of several by name (optimisers of players): "adam (critic) and sgd (generator)"."""
    own = used(part) or part.get("unregistered")
    several = [f"{_name(value)} ({name})" for name, value in part.items() if isinstance(value, dict)]
    return str(own or " and ".join(several) or "not named")
