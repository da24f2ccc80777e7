"""What became of promises, in sentences: the same ones for the page and the card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pervade.report import wording


def sentence(promise: Mapping[str, Any]) -> str:
    """Of one entry of "promises" among a result's details, in the promise's own words (core/contracts/promises.py)."""
    text = wording.label(promise["sentence"] if promise["kept"] else promise["why"], most=600).rstrip(".")
    if not promise["kept"]:
        return f"NOT kept: {text}."
    return f"NOT kept on these rows: {text}." if promise.get("broken") else f"{text[:1].upper()}{text[1:]}."


def sentences(result: Mapping[str, Any]) -> list[str]:
    """Each with the flag that asked for it; `result` is as evaluate writes it."""
    told = []
    for promise in (result.get("details") or {}).get("promises") or []:
        text, flag = sentence(promise).removesuffix("."), wording.label(promise["flag"], most=200)
        told.append(f"{text}." if flag in text else f"{text} (promised by {flag}).")
    return told
