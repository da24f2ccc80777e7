"""What a run says of itself to whoever meets it on a page: the report's own sentences, and how far a confidence can be
believed, from what lies in the run directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pervade.core.errors import CheckpointError
from pervade.core.run import RunDirectory
from pervade.report import promised, record, verdict
from pervade.serve.served import Introduction, Sureness


def introduction(run: RunDirectory, checkpoint: str) -> Introduction:
    """Of this checkpoint, as far as it was measured; an empty one of a folder whose recipe cannot be read."""
    try:
        whole = record.read(run)
    except CheckpointError:
        return Introduction()
    own = replace(whole, results=[result for result in whole.results if result.checkpoint == checkpoint])
    said = verdict.of(own)
    if own.main is None:
        return Introduction(does=said.does)
    details = own.main.details
    return Introduction(
        does=said.does,
        measured=said.measured,
        promises=tuple(promised.sentences(own.main.stored)),
        sureness=tuple(_sureness(bar) for bar in details.get("reliability") or [] if bar.get("count")),
        threshold=own.settled.get(checkpoint, {}).get("threshold"),
    )


def _sureness(bar: Mapping[str, Any]) -> Sureness:
    right, low, high = (float(bar[name]) for name in ("accuracy", "accuracy_low", "accuracy_high"))
    return Sureness(float(bar["low"]), float(bar["high"]), right, low, high, int(bar["count"]))
