"""MODEL_CARD.md: the same facts for whoever meets the model on its own, with the Hugging Face Hub's metadata in front.

The front matter follows https://huggingface.co/docs/hub/model-cards: `model-index` holds the measured values. Paths of
the machine are left out, since a card is published and a report is not.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pervade.core.terminal import visible
from pervade.report import agents, calibration, cautions, verdict, wording
from pervade.report.record import Figure, Record, Result, used
from pervade.report.sections import networks, recipe, reproduce

MOST_CLASSES = 300  # in the table

OF_HUB = re.compile(
    r"hf://(?:datasets/)?(?P<name>(?!\.{0,2}/)[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/@]+))?(?:/(?P<config>[^/]+))?"
)

NOT_MEASURED = {
    "attack": "robustness: how it answers inputs that were changed to mislead it",
    "explain": "reasons: what in an input its answers rest on",
    "privacy": "privacy: whether its weights give away what it learnt from",
}


def build(record: Record) -> str:
    front = yaml.safe_dump(_on_one_line(metadata(record)), sort_keys=False, allow_unicode=True, width=1000)
    result = record.main
    beside = result.baseline.values() if result else ()
    environment = Environment(
        loader=PackageLoader("pervade", "report"),
        # The text is Markdown, not HTML: every value goes through `escape` instead.
        autoescape=False,
        finalize=lambda value: value if isinstance(value, Markup) else escape(str(value)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    body = environment.get_template("model_card.jinja").render(
        name=record.name,
        verdict=verdict.of(record),
        cautions=cautions.of(record),
        result=result,
        figures=_lines(list(result.overall.values())) if result else [],
        baseline=_lines([figure for figure in beside if not figure.name.endswith("]")]),
        classes=_classes(result) if result else [],
        more_classes=max(len(result.by_class) - MOST_CLASSES, 0) if result else 0,
        judgement=calibration.judge(result),
        many=wording.noun(record),
        seeds=len(record.together["members"]) if record.together.get("kind") == "seeds" else 0,
        acts=record.acts,
        purpose=record.words.fill(record.words.task.purpose),
        elsewhere=record.words.domain.elsewhere,
        splits=[f"{wording.count(number)} {name}" for name, number in record.split_counts.items()],
        episodes=agents.episodes(record) if record.acts else "",
        synthetic=wording.join(
            [f"{wording.count(made['kept'])} synthetic ones of {label}" for label, made in record.synthetic.items()]
        ),
        source=_public(str(record.data.get("source", "not recorded"))),
        left_out=len(record.left_out),
        recipe=recipe.summary(record),
        weights=_weights(record),
        networks=[networks.sentence(name, own) for name, own in record.inside.items()],
        command=_command(record),
        packages=(record.about.get("environment") or {}).get("packages") or {},
        not_measured=[words for meter, words in NOT_MEASURED.items() if not _was_measured(record, meter)],
    )
    for path in {str(record.run.path), escape(str(record.run.path))}:
        body = body.replace(path, escape(record.name))
    return f"---\n{front}---\n\n{body}"


def _on_one_line(value: Any) -> Any:
    """The metadata with nothing in its texts that could end a line of the front matter."""
    if isinstance(value, dict):
        return {key: _on_one_line(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_on_one_line(part) for part in value]
    return visible(value) if isinstance(value, str) else value


def metadata(record: Record) -> dict[str, Any]:
    """The front matter. Entries that the run cannot fill, such as the licence, are left to whoever publishes it."""
    pipeline = record.words.pipeline
    model = used(record.part("model"))
    source = str(record.data.get("source", ""))
    front: dict[str, Any] = {"library_name": "pervade"}
    if pipeline:
        front["pipeline_tag"] = pipeline
    # By convention an agent is found by its environment and its algorithm.
    agent = (wording.environment(record), record.words.name) if record.acts else ()
    front["tags"] = [str(tag) for tag in ("pervade", pipeline, model, *agent) if tag]
    if there := of_hub(source):
        front["datasets"] = [there["name"]]
    result = record.main
    if result is not None:
        front["metrics"] = list(dict.fromkeys(_hub_metric(figure)["type"] for figure in _with_value(result)))
    # The Hub refuses an entry without results.
    if result is not None and _with_value(result):
        front["model-index"] = [{"name": record.name, "results": [_hub_result(record, result, pipeline)]}]
    return front


def _hub_result(record: Record, result: Result, pipeline: str) -> dict[str, Any]:
    source = str(record.data.get("source", "not recorded"))
    task = pipeline or record.words.name or "other"
    there = of_hub(source)
    more = {key: there[key] for key in ("config", "revision") if there.get(key)}
    return {
        "task": {"type": task, "name": (task[:1].upper() + task[1:]).replace("-", " ")},
        "dataset": {
            "type": _public(source) if record.acts else there.get("name", "private"),
            "name": _public(source),
            "split": result.split,
            **more,
        },
        "metrics": [_hub_metric(figure) for figure in _with_value(result)],
    }


def of_hub(source: str) -> dict[str, str | None]:
    """The "name" (owner/name), "revision" and "config" of data on the Hub; empty where the data are from elsewhere.

    >>> of_hub("hf://ylecun/mnist@abc/mnist")
    {'name': 'ylecun/mnist', 'revision': 'abc', 'config': 'mnist'}
    >>> of_hub("hf:///home/ann/mnist"), of_hub("photos")
    ({}, {})
    """
    match = OF_HUB.fullmatch(source)
    return match.groupdict() if match else {}


def _with_value(result: Result) -> list[Figure]:
    return [figure for figure in result.overall.values() if figure.value is not None]


def _hub_metric(figure: Figure) -> dict[str, Any]:
    words = figure.words
    name = f"{words.title}, n = {figure.n}"
    if figure.has_interval:
        name += f", {round(100 * figure.level)}% interval {wording.interval(figure)}"
    entry: dict[str, Any] = {"type": words.hub or figure.name, "value": figure.value, "name": name}
    return entry | ({"args": dict(words.hub_arguments)} if words.hub_arguments else {})


# the text


def escape(text: str) -> str:
    """Text that Markdown takes as text: one line, no markup, no HTML, no link, no table's bar."""
    line = visible(re.sub(r"\s+", " ", text).strip())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*_{}\[\]|~$@])", r"\\\1", line)
    line = re.sub(r"(?i)\b(https?|ftp)(:)(?=//)|\b(www)(\.)", _unlinked, line)
    # What begins a heading, a list, or turns the line above into a heading.
    return re.sub(r"^(#{1,6}(?=\s|$)|[-+](?=\s|$)|[-=]+$|\d{1,9}(?=[.)](\s|$)))", _literal, line)


def _unlinked(match: re.Match[str]) -> str:
    return f"{match[1] or match[3]}\\{match[2] or match[4]}"


def _literal(match: re.Match[str]) -> str:
    return f"{match[1]}\\" if match[1].isdigit() else f"\\{match[1]}"


def _lines(figures: list[Figure]) -> list[tuple[str, str, str, str]]:
    known = [figure for figure in figures if figure.value is not None]
    return [
        (", ".join(part for part in (figure.words.title, wording.direction(figure)) if part), *_cells(figure))
        for figure in known
    ]


def _cells(figure: Figure | None) -> tuple[str, str, str]:
    if figure is None:
        return "–", "–", "–"
    return wording.figure(figure), wording.interval(figure), wording.count(figure.n)


def _classes(result: Result) -> list[tuple[str, ...]]:
    return [
        (wording.label(name, 40), *_cells(figures.get("recall")), *_cells(figures.get("precision")))
        for name, figures in list(result.by_class.items())[:MOST_CLASSES]
    ]


def _public(text: str) -> str:
    """A path without the folders it lies in, which are nobody's business; a name on the Hub, or an environment's, as it
    is."""
    if text.startswith("gym://"):
        return text.removeprefix("gym://")
    return text if text.startswith("hf://") else PurePath(text).name or text


def _weights(record: Record) -> str:
    if record.together:
        return f"Each of its {wording.count(len(record.together['members']))} models has a checkpoint of its own"
    name = record.main.checkpoint if record.main else next(iter(record.checkpoints), "")
    parameters = record.checkpoints.get(name, {}).get("parameters")
    return f"{wording.count(parameters)} weights in the checkpoint “{name}”" if parameters else "no checkpoint yet"


def _command(record: Record) -> Markup:
    """As a code block, where nothing is escaped: so it may not end the block."""
    words = [str(word) for word in record.about.get("command") or []]
    if words[:1] == ["pervade"]:
        words += reproduce.pinned(record)
        text = wording.command(*(_public(word) if PurePath(word).is_absolute() else word for word in words))
    else:
        source = _public(str(record.data.get("source", "DATA")))
        text = wording.command("pervade", "train", source, "--recipe", "recipe.yaml")
    return Markup(text.replace("```", "'''"))


def _was_measured(record: Record, meter: str) -> bool:
    return any(result.meter.startswith(meter) for result in record.results)
