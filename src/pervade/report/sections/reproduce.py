"""The command that makes this run again."""

from __future__ import annotations

from pervade.report import wording
from pervade.report.html import Section, render
from pervade.report.record import Record, used

TEMPLATE = """\
{% if not direct %}
<p>The run was started from Python. This makes it again, from its recipe:</p>
{% endif %}
<pre tabindex="0"><code>{{ command }}</code></pre>
<p class="note">{% if limited %}A time limit was set, so how many steps are made, and with them the weights, hang on how
fast the machine is; the seed {{ seed }} fixes the rest.{% else %}With the same data, versions, kind of machine and
number of threads{% if threads %} ({{ threads }}){% endif %}, the seed {{ seed }} gives the same weights; elsewhere
expect small differences.{% endif %}{% if added %} Added to the command that was given: <code>{{ added }}</code>, which
it chose by what it found on the machine.{% endif %}</p>
"""


def section(record: Record) -> Section:
    direct, added = command(record), pinned(record)
    seed = record.recipe.get("seed", "–")
    body = render(
        TEMPLATE,
        direct=direct is not None,
        command=direct or from_recipe(record),
        seed=seed,
        threads=_threads(record),
        added=wording.command(*added) if direct is not None else "",
        limited=record.recipe.get("time_limit") is not None,
    )
    return Section("reproduce", "Make it again", body)


def command(record: Record) -> str | None:
    """The command line that began the run, with what it left to the machine; None where it was not `pervade`."""
    words = [str(word) for word in record.about.get("command") or []]
    if words[:1] != ["pervade"]:
        return None
    for number, word in enumerate(words):  # a recipe elsewhere may have changed since
        if word == "--recipe" and number + 1 < len(words):
            words[number + 1] = str(record.run.recipe)
        elif word.startswith("--recipe="):
            words[number] = f"--recipe={record.run.recipe}"
    return wording.command(*words, *pinned(record))


def pinned(record: Record) -> list[str]:
    """What `pervade train` chose by what it found on the machine, as options: where the first weights come from, unless
    the command or its recipe names it, and the number of threads, by which sums are rounded."""
    words = [str(word) for word in record.about.get("command") or []]
    if words[1:2] != ["train"]:
        return []
    named = {word.partition("=")[0] for word in words if word.startswith("--")}
    set_by = [word.removeprefix("-o") for word in words]
    if "--recipe" in named:
        return []
    added: list[str] = []
    init, model = record.part("init"), record.part("model")
    if "--init" not in named and not any(setting.startswith("init") for setting in set_by):
        if init.get("because"):  # published weights that were wanted could not be had
            added += ["--init", "random"]
        elif used(init) == "pretrained" and not init.get("source"):
            if "--model" not in named and used(model) == "hf":
                added += ["--model", f"hf:{model.get('name')}"]
            added += ["--init", "pretrained"]
    threads = _threads(record)
    if threads and "--threads" not in named and not any(setting.startswith("threads=") for setting in set_by):
        added += ["--threads", str(threads)]
    return added


def _threads(record: Record) -> int | None:
    threads = record.recipe.get("threads")
    return threads if isinstance(threads, int) else None


def from_recipe(record: Record) -> str:
    source = str(record.data.get("source", "DATA"))
    return wording.command("pervade", "train", source, "--recipe", str(record.run.recipe))
