"""The command that makes this run again."""

from __future__ import annotations

from pervade.report import wording
from pervade.report.html import Section, render
from pervade.report.record import Record

TEMPLATE = """\
{% if not direct %}
<p>The run was started from Python. This makes it again, from its recipe:</p>
{% endif %}
<pre tabindex="0"><code>{{ command }}</code></pre>
<p class="note">{% if limited %}A time limit was set, so how many steps are made, and with them the weights, hang on how
fast the machine is; the seed {{ seed }} fixes the rest.{% else %}With the same data, versions and kind of machine, the
seed {{ seed }} gives the same weights; elsewhere expect small differences.{% endif %}</p>
"""


def section(record: Record) -> Section:
    direct = command(record)
    seed = record.recipe.get("seed", "–")
    body = render(
        TEMPLATE,
        direct=direct is not None,
        command=direct or from_recipe(record),
        seed=seed,
        limited=record.recipe.get("time_limit") is not None,
    )
    return Section("reproduce", "Make it again", body)


def command(record: Record) -> str | None:
    """The command line that began the run; None where it was not `pervade`."""
    words = [str(word) for word in record.about.get("command") or []]
    return wording.command(*words) if words[:1] == ["pervade"] else None


def from_recipe(record: Record) -> str:
    source = record.about.get("source", record.data.get("source"))
    return wording.command("pervade", "train", str(source), "--recipe", str(record.run.recipe))
