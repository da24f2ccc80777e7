"""The machine and the versions that the run depended on."""

from __future__ import annotations

from typing import Any

from pervade.report.html import Section, render
from pervade.report.record import Record

TEMPLATE = """\
<div class="scroll"><table class="facts"><tbody>
{% for name, value in rows %}<tr><th>{{ name }}</th><td>{{ value }}</td></tr>{% endfor %}
</tbody></table></div>
"""

TITLES = {"memory_gb": "Memory", "gpus": "GPU", "cores": "Processor cores", "threads": "Threads used"}


def section(record: Record) -> Section | None:
    about = record.about.get("environment")
    if not isinstance(about, dict):
        return None
    threads = record.recipe.get("threads")
    if isinstance(threads, int):  # the recipe's, by which it was trained, and not what there was when it began
        about = {**about, "threads": threads}
    rows = [(_title(name), _text(name, value)) for name, value in about.items() if name != "packages"]
    rows += [(str(name), str(version)) for name, version in (about.get("packages") or {}).items()]
    title = "Machine and versions" if record.acts else "Environment"  # an agent has another one
    return Section("environment", title, render(TEMPLATE, rows=rows))


def _title(name: str) -> str:
    return TITLES.get(name) or (name[:1].upper() + name[1:]).replace("_", " ")


def _text(name: str, value: Any) -> str:
    if name == "memory_gb":
        return f"{value} GB"
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_text(key, part)}" for key, part in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
