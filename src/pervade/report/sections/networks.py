"""Networks that learnt inside the run to serve it: what they do, how large they are, how long they learnt."""

from __future__ import annotations

from pervade.report import cautions, verdict, wording
from pervade.report.html import Section, render
from pervade.report.record import Record, used
from pervade.report.sections import learning

THEN = "then"  # what learns after the run's own

TEMPLATE = """\
<p>Besides its own network this run holds {{ "others" if networks|length > 1 else "another" }}, which learnt for it.</p>
{% for text, charts in networks %}
<p>{{ text }}</p>
{% if charts %}<details><summary>How its training went</summary>{{ charts }}</details>{% endif %}
{% endfor %}
"""


def section(record: Record) -> Section | None:
    networks = []
    for name, own in record.inside.items():
        learnt = learning.section(own) if own.log else None
        networks.append((sentence(name, own), learnt.body if learnt else ""))
    return Section("networks", "Other networks in it", render(TEMPLATE, networks=networks)) if networks else None


def sentence(name: str, own: Record) -> str:
    """What a network does, and how it came to be, in one go."""
    does = verdict.of(own).does.replace("This model", f"The network {wording.quoted(name)}", 1)
    when = (
        "after the run's own, from what that one says of the training split" if name == THEN else "before the run's own"
    )
    planned, model = own.recipe.get("epochs"), used(own.part("model"))
    weights = next((about["parameters"] for about in own.checkpoints.values() if about.get("parameters")), None)
    facts = [f"model {model}" if model else "", f"{wording.count(weights)} weights" if weights else ""]
    facts.append(f"{own.done:g} of {planned} {wording.passes(own)}" if planned else f"{own.done:g} passes")
    ended = ", which a time limit ended" if cautions.time_limit(own) else ""
    return f"{does} It learnt {when}: {', '.join(fact for fact in facts if fact)}{ended}."
