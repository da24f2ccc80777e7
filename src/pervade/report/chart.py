"""Line charts as inline SVG. Colours are classes of style.css, so that a chart follows the page into dark mode.

The drawing is 420 units wide and meant to be shown at 330 to 520 pixels: text of 13 units stays readable on a phone,
where the page is one column, and beside a second chart on a desk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pervade.report import wording
from pervade.report.html import render

WIDTH, HEIGHT = 420, 264
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 14, 42  # margins around the plot
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MOST_POINTS = 300  # of a line; more would only make the file larger


@dataclass(frozen=True)
class Axis:
    """A range of values laid over a range of the drawing, `start` to `stop` (y runs downwards)."""

    title: str
    low: float
    high: float
    start: float
    stop: float
    share: bool = False

    def place(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places and texts, at round numbers, in units of `power`."""
        step, unit = self._step, 10.0**self.power
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(self.place(i * step), self._text(i * step / unit, step / unit)) for i in range(first, last + 1)]

    @property
    def _step(self) -> float:
        return _round_step((self.high - self.low) / 4)

    @property
    def power(self) -> int:
        """Of ten, that the texts are in units of, so that those of small numbers stay short."""
        largest = max(abs(self.low), abs(self.high))
        return math.floor(math.log10(largest)) if self._step < 0.001 and largest < 0.01 and not self.share else 0

    @property
    def caption(self) -> str:
        return f"{self.title} (× 10{str(self.power).translate(RAISED)})" if self.power else self.title

    def text(self, value: float) -> str:
        """A value on it, as words of a dot have it."""
        return wording.percent(value) if self.share else f"{value:.4g}"

    def _text(self, value: float, step: float) -> str:
        if self.share:
            return wording.percent(value, 0 if step >= 0.0099 else 1)
        if step >= 100_000:
            return f"{value / 1e6:g} M" if value else "0"
        if step >= 1000 and max(abs(self.low), abs(self.high)) >= 20_000:
            return f"{value / 1e3:,.0f}k" if value else "0"
        return f"{value:,.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def _round_step(wanted: float) -> float:
    """1, 2 or 5 times a power of ten: the smallest that makes at most about seven steps where `wanted` makes four."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.6 * wanted)


def room(low: float, high: float) -> float:
    """What to leave free above and below values; around a single one as much as suits its size."""
    return 0.05 * (high - low) or 0.05 * abs(high) or 0.05


def axis_x(title: str, low: float, high: float, share: bool = False) -> Axis:
    return Axis(title, low, high if high > low else low + 1, LEFT, WIDTH - RIGHT, share)


def axis_y(title: str, low: float, high: float, share: bool = False, foot: float = HEIGHT - BOTTOM) -> Axis:
    """`foot` is where the lowest value stands."""
    return Axis(title, low, high if high > low else low + 1, foot, TOP, share)


@dataclass(frozen=True)
class Line:
    """`look` is a class of style.css: first to sixth, faint or not."""

    name: str
    points: Sequence[tuple[float, float]]
    look: str
    dots: bool = False
    marked: float | None = None  # the x of a dot that is ringed
    over: str = "pass"  # what x is, where the words of a dot name it

    @property
    def key(self) -> str:
        """The look beside its name: a single point is a dot."""
        return f"{self.look} point" if len(self.points) == 1 else self.look


@dataclass(frozen=True)
class Band:
    """What lies between two curves over x, such as an interval: points are (x, low, high)."""

    name: str
    points: Sequence[tuple[float, float, float]]
    look: str


@dataclass(frozen=True)
class Mark:
    """Something that happened at x, told below the chart under its sign."""

    x: float
    sign: str


FRAME = """\
{% for place, text in y.ticks %}
<line class="grid" x1="{{ x.start }}" x2="{{ x.stop }}" y1="{{ place }}" y2="{{ place }}"/>
<text x="{{ x.start - 7 }}" y="{{ place + 4.5 }}" text-anchor="end">{{ text }}</text>
{% endfor %}
{% for place, text in x.ticks %}
<line class="tick" x1="{{ place }}" x2="{{ place }}" y1="{{ base }}" y2="{{ base + 4 }}"/>
<text x="{{ place }}" y="{{ base + 18 }}" text-anchor="middle">{{ text }}</text>
{% endfor %}
<line class="axis" x1="{{ x.start }}" x2="{{ x.stop }}" y1="{{ base }}" y2="{{ base }}"/>
<text class="name" x="{{ (x.start + x.stop) / 2 }}" y="{{ base + 36 }}" text-anchor="middle">{{ x.caption }}</text>
"""

LINES = """\
<figure class="chart">
<figcaption><b>{{ y.caption }}</b>
{% for line in lines if line.name %}<span class="key {{ line.key }}">{{ line.name }}</span> {% endfor %}
{% for band in bands %}<span class="key band {{ band.look }}">{{ band.name }}</span>{% endfor %}
</figcaption>
<svg viewBox="0 0 {{ width }} {{ height }}" role="img" aria-label="{{ summary }}">
<title>{{ summary }}</title>
{{ frame }}
{% for place, sign, beside, anchor in marks %}
<line class="mark" x1="{{ place }}" x2="{{ place }}" y1="{{ top }}" y2="{{ y.start }}"/>
<text class="sign" x="{{ beside }}" y="{{ top + 10 }}" text-anchor="{{ anchor }}">{{ sign }}</text>
{% endfor %}
{% for look, path in areas %}
<polygon class="band {{ look }}" points="{{ path }}"/>
{% endfor %}
{% for line, path, dots in drawn %}
<polyline class="line {{ line.look }}" points="{{ path }}"/>
{% for at_x, at_y, ringed, words in dots %}
{% if ringed %}<circle class="ring {{ line.look }}" cx="{{ at_x }}" cy="{{ at_y }}" r="8"/>{% endif %}
<circle class="dot {{ line.look }}" cx="{{ at_x }}" cy="{{ at_y }}" r="3.2"><title>{{ words }}</title></circle>
{% endfor %}
{% endfor %}
</svg>
</figure>"""


def frame(x: Axis, y: Axis, base: float | None = None) -> Markup:
    """Grid, ticks and texts; the x axis lies at `base`, or at the foot of y."""
    return render(FRAME, x=x, y=y, base=y.start if base is None else base)


def lines(
    x: Axis, y: Axis, shown: Sequence[Line], summary: str, marks: Sequence[Mark] = (), bands: Sequence[Band] = ()
) -> Markup:
    """A chart of lines; `summary` says in a sentence what it shows, for those who cannot see it."""
    drawn = []
    for line in shown:
        path = " ".join(f"{x.place(a)},{y.place(b)}" for a, b in thin(line.points))
        dots = [
            (x.place(a), y.place(b), a == line.marked, _words(line, x, a, y, b))
            for a, b in (
                line.points if (line.dots and len(line.points) <= MOST_POINTS) or len(line.points) == 1 else []
            )
        ]
        drawn.append((line, path, dots))
    places = [_sign(x, mark) for mark in marks]
    return render(
        LINES,
        x=x,
        y=y,
        lines=shown,
        drawn=drawn,
        marks=places,
        bands=bands,
        areas=[(band.look, _outline(x, y, band)) for band in bands],
        frame=frame(x, y),
        summary=summary,
        width=WIDTH,
        height=HEIGHT,
        top=TOP,
    )


def _sign(x: Axis, mark: Mark) -> tuple[float, str, float, str]:
    """Where a mark's line and its sign stand: the sign to the left, or to the right where the axis leaves no room."""
    at = x.place(mark.x)
    return (at, mark.sign, at + 4, "start") if at - x.start < 14 else (at, mark.sign, at - 4, "end")


def _outline(x: Axis, y: Axis, band: Band) -> str:
    """Along its upper edge and back along the lower one."""
    edge = [(a, high) for a, _, high in band.points] + [(a, low) for a, low, _ in reversed(band.points)]
    return " ".join(f"{x.place(a)},{y.place(b)}" for a, b in edge)


def _words(line: Line, x: Axis, at: float, y: Axis, value: float) -> str:
    return f"{line.name}, {line.over} {x.text(at) if x.share else f'{at:g}'}: {y.text(value)}"


def thin(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """At most `most` points, each the mean of as many neighbours."""
    if len(points) <= most:
        return list(points)
    width = math.ceil(len(points) / most)
    groups = [points[i : i + width] for i in range(0, len(points), width)]
    return [(sum(a for a, _ in group) / len(group), sum(b for _, b in group) / len(group)) for group in groups]


def smooth(points: Sequence[tuple[float, float]], reach: int) -> list[tuple[float, float]]:
    """Each value the mean of those up to `reach` places away on both sides, or of as many as there are."""
    smoothed = []
    for i, (at, _) in enumerate(points):
        window = points[max(i - reach, 0) : i + reach + 1]
        smoothed.append((at, sum(value for _, value in window) / len(window)))
    return smoothed
