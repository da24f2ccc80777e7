"""The mistakes that the model was surest of, from the predictions file, each with its picture, sound or text."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from markupsafe import Markup

from pervade.core.contracts import Domain
from pervade.core.errors import CheckpointError, PervadeError
from pervade.core.types import Media
from pervade.data.read import embedded
from pervade.engine.predictions import read_columns
from pervade.report import preprocessing, sound, wording
from pervade.report.html import Section, render
from pervade.report.record import Record

MOST = 12
SIDE = 176  # pixels of a thumbnail's longer side: sharp at 88 on a phone's dense screen
MOST_BYTES = 60_000  # of one thumbnail; so the page stays far below 1.5 MB (of sounds see report/sound.py)

TEMPLATE = """\
<p>{{ wrong|count }} of {{ n|count }} {{ many }} got a wrong answer{% if shown %}. These are the {{ shown|length }} that
the model was surest about. Some may be mislabelled: look at them before you blame the model{% endif %}.</p>
{% if shown %}<div class="gallery">
{% for mistake in shown %}
<figure>{{ mistake.media }}
<figcaption>said <b>{{ mistake.said|label(40) }}</b>, {{ mistake.confidence|percent }} sure<br>
is <b>{{ mistake.true|label(40) }}</b><small class="block file">{{ mistake.id|label(80) }}</small></figcaption></figure>
{% endfor %}
</div>{% endif %}
{% if silent %}<p class="note">{{ silent }}</p>{% endif %}
"""


def section(record: Record) -> Section | None:
    result = record.main
    if result is None or not result.labels:
        return None
    path = record.run.predictions(result.checkpoint, result.split)
    title = "Mistakes it was surest of"
    if not path.exists() and record.together:  # of several models on the same rows; each has a page of its own
        return None
    if not path.exists():
        return Section("mistakes", title, render("<p>The predictions file is not there, so no row can be shown.</p>"))
    try:
        table = read_columns(path)
    except CheckpointError as error:
        return Section("mistakes", title, render("<p>{{ why }}</p>", why=str(error)))
    if not {"row", "target", "prediction", "probabilities"} <= table.keys() or table["target"].ndim != 1:
        return None
    wrong = np.flatnonzero(table["target"] != table["prediction"])
    confidence = table["probabilities"][np.arange(len(table["row"])), table["prediction"]]
    # Equal confidences keep the order of the rows, so that the page is the same each time.
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST]
    domain, room = preprocessing.domain(record, result.checkpoint), sound.ByteBudget()
    shown = []
    for index in surest.tolist():
        row, sure = row_of(record, table, index), float(confidence[index])
        said, true = result.labels[table["prediction"][index]], result.labels[table["target"][index]]
        picture = media(domain, row, {"label": said, "confidence": sure}, room)
        shown.append({"media": picture, "said": said, "true": true, "confidence": sure, "id": row["id"]})
    n = len(table["row"])
    many = wording.noun(record, n)
    body = render(TEMPLATE, wrong=len(wrong), n=n, shown=shown, many=many, silent=room.sentence())
    return Section("mistakes", title, body)


def predictions(record: Record, columns: set[str]) -> dict[str, Any] | None:
    """The predictions file of the main result, if it can be read and has these columns."""
    path = record.run.predictions(record.main.checkpoint, record.main.split) if record.main else None
    if path is None or not path.exists():
        return None
    try:
        table = read_columns(path)
    except CheckpointError:  # `section` says so
        return None
    return table if columns <= table.keys() else None


def row_of(record: Record, table: dict[str, Any], index: int) -> dict[str, Any]:
    """What data.json holds of a line of the predictions file."""
    number = int(table["row"][index])
    row = {name: values[number] for name, values in record.columns.items() if number < len(values)}
    name = table["id"][index] if "id" in table else row.get("id", number)
    return {**row, "row": number, "id": str(name)}


def media(
    domain: Domain | None, row: dict[str, Any], prediction: dict[str, Any], room: sound.ByteBudget | None = None
) -> Markup:
    """The row as its domain shows it, or why it cannot be shown. A data set that was moved must not cost the report.
    `room` is what the sounds of a section may take."""
    reason = gone(row)
    if reason is None and domain is not None:
        try:
            made = [_element(part, row, room) for part in domain.show(row, prediction)]
        except (PervadeError, OSError, ValueError, LookupError, TypeError) as error:
            reason = str(error)
        else:
            return Markup("").join(made)
    return render('<div class="missing">{{ why }}</div>', why=wording.label(reason or "cannot be shown here", most=120))


def gone(row: dict[str, Any]) -> str | None:
    """Why a row's file is not to be opened: it is not what was read when the run began. None where it is that."""
    path = row.get("path")
    if path is None:
        return None
    if embedded.missing([path]):
        return "the file is not there any more"
    if not row.get("hash"):  # it may be any file of whoever opens a run of somebody else's
        return "what the file held is not known"
    try:
        same = embedded.sha256(path) == str(row["hash"]).partition("#")[0]  # behind it, which piece of a recording
    except OSError:  # a table that was written anew
        same = False
    return None if same else "the file has changed since"


def _element(media: Media, row: dict[str, Any], room: sound.ByteBudget | None) -> Markup:
    if media.kind == "text":
        return render('<blockquote dir="auto">{{ text }}</blockquote>', text=str(media.data)[:600])
    data = media.data if isinstance(media.data, bytes) else media.data.encode()
    if media.kind == "wav":
        seconds = row.get("seconds")
        length = float(seconds) if isinstance(seconds, (int, float)) else None
        return sound.element(data, media.caption or str(row["id"]), room, length)
    kind = {"png": "image/png", "gif": "image/gif"}.get(media.kind)
    small = False
    if media.kind == "png":
        kind, data, small = thumbnail(data)
    if kind is None or len(data) > MOST_BYTES:
        return render('<div class="missing">too large to be shown here</div>')
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return render(
        '<img src="{{ source }}" alt="{{ alt }}"{% if small %} class="pixels"{% endif %}>',
        source=source,
        alt=wording.label(media.caption),
        small=small,
    )


def thumbnail(data: bytes) -> tuple[str, bytes, bool]:
    """Type, bytes, and whether its pixels are so few that they should be shown as squares.

    Photographs are several times smaller as JPEG and drawings as PNG: the smaller one is taken.
    """
    from PIL import Image

    with Image.open(io.BytesIO(data)) as opened:
        picture = opened.convert("L" if opened.mode == "L" else "RGB")
    small = max(picture.size) <= 48
    picture.thumbnail((SIDE, SIDE))
    png, jpeg = io.BytesIO(), io.BytesIO()
    picture.save(png, "PNG", optimize=True)
    if small:
        return "image/png", png.getvalue(), True
    picture.save(jpeg, "JPEG", quality=85, optimize=True)
    if len(png.getvalue()) <= len(jpeg.getvalue()):
        return "image/png", png.getvalue(), False
    return "image/jpeg", jpeg.getvalue(), False
