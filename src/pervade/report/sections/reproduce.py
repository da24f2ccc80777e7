"""The command that makes this run again."""

from __future__ import annotations

from pervade.report import wording
from pervade.report.html import Section, render
from pervade.report.record import Record

TEMPLATE = """\
{% if command %}
<pre tabindex="0"><code>{{ command }}</code></pre>
{% else %}
<p>The run was started from Python. This makes it again, from its recipe:</p>
<pre tabindex="0"><code>{{ python }}</code></pre>
{% endif %}
<p class="note">With the same data, versions and kind of machine, the seed {{ seed }} gives the same weights; elsewhere
expect small differences.</p>
"""


def section(record: Record) -> Section:
    body = render(TEMPLATE, command=command(record), python=python(record), seed=record.recipe.get("seed", "–"))
    return Section("reproduce", "Make it again", body)


def command(record: Record) -> str | None:
    """The command line that began the run; None where it was not `pervade`."""
    words = [str(word) for word in record.about.get("command") or []]
    return wording.command(*words) if words[:1] == ["pervade"] else None


def python(record: Record) -> str:
    source = record.about.get("source", record.data.get("source"))
    return (
        "import pathlib\n\nimport pervade\nfrom pervade.engine.checkpoint import read_recipe\n\n"
        f"recipe = read_recipe(pathlib.Path({str(record.run.recipe)!r}))\n"
        f"pervade.fit({source!r}, recipe=recipe).evaluate()"
    )
