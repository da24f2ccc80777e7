"""How a piece of the page is made: a jinja2 template that escapes every value it is given.

A section's template stands in its own file, beside the function that fills it. Class names and file names are data of
strangers: they reach the page through `{{ … }}` alone, and only what this module or a chart made is `Markup`.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pervade.report import wording
from pervade.report.record import Figure

POLICY = (
    "default-src 'none'; style-src 'sha256-{}'; style-src-attr 'unsafe-inline'; "
    "img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Section:
    """One part of the page. `name` is its anchor."""

    name: str
    title: str
    body: Markup


@cache
def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("pervade", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    made.filters |= {
        "count": wording.count,
        "percent": wording.percent,
        "figure": wording.figure,
        "interval": wording.interval,
        "direction": wording.direction,
        "label": label,
        "line": wording.label,  # the same for attributes, which hold no marks
        "measured": _measured,
    }
    made.globals["track"] = track
    return made


@cache
def _compiled(template: str) -> Any:
    return environment().from_string(template)


def render(template: str, **values: Any) -> Markup:
    """The template's text with these values, each escaped unless it is Markup."""
    return Markup(_compiled(template).render(**values))


def render_file(file: str, **values: Any) -> Markup:
    return Markup(environment().get_template(file).render(**values))


def page(file: str, **values: Any) -> str:
    """A whole page, with a policy that forbids it to load or run anything: its own style is known by its hash,
    attributes may place marks, and pictures, films and sounds lie inside it."""
    style = resources.files("pervade.report").joinpath("style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    made = str(render_file(file, style=Markup(style), policy=Markup(POLICY.format(digest)), **values))
    return made.replace("TF-IDF", "TF\u2011IDF")  # by a hyphen at which no line ends


def label(text: object, most: int = 60) -> Markup:
    """A name of the user's own, kept from turning the reading direction of what stands around it."""
    return Markup("<bdi>{}</bdi>").format(wording.label(text, most))


def _measured(figure: Figure) -> Markup:
    """The value, and small beside it its interval."""
    return Markup("<b>{}</b> <small>{}</small>").format(wording.figure(figure), wording.interval(figure))


TRACK = """\
<span class="track {{ kind }}" role="img" aria-label="{{ words }}" title="{{ words }}">
{%- if low is not none -%}
<span class="span" style="left:{{ low }}%;width:{{ width }}%"></span>
{%- endif -%}
{% if beside is not none %}<span class="beside-it" style="left:{{ beside }}%"></span>{% endif %}
<span class="dot" style="left:{{ at }}%"></span></span>"""


def track(
    figure: Figure | None, kind: str = "", scale: tuple[float, float] = (0.0, 1.0), beside: float | None = None
) -> Markup:
    """A value on a line from one end of the scale to the other: a dot, and its interval as a bar; `beside` is marked on
    the line as well. HTML and not SVG, so that it takes whatever width there is without its text growing or shrinking.
    """
    if figure is None or figure.value is None:
        return Markup("")

    def place(value: float) -> float:
        return min(max(100 * (value - scale[0]) / (scale[1] - scale[0]), 0.0), 100.0)

    low, high = None, 0.0
    if figure.low is not None and figure.high is not None:
        low, high = sorted((place(figure.low), place(figure.high)))  # a scale may begin with its largest value
    return render(
        TRACK,
        kind=kind,
        words=f"{wording.measured(figure)}, n = {wording.count(figure.n)}",
        at=f"{place(figure.value):.2f}",
        low=None if low is None else f"{low:.2f}",
        width="" if low is None else f"{high - low:.2f}",
        beside=None if beside is None else f"{place(beside):.2f}",
    )
