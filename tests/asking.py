"""What a domain makes of inputs of `predict`."""

from __future__ import annotations

from typing import Any

from pervade.core.contracts import Domain
from pervade.core.types import LeftOut, Rows
from pervade.data.read import division, inputs


def asked(domain: Domain, given: Any) -> tuple[Rows, list[LeftOut]]:
    """The rows, and apart from them what cannot be used."""
    found = list(inputs.entries(domain, given))
    return (
        division.rows([each for each in found if not isinstance(each, LeftOut)]),
        [each for each in found if isinstance(each, LeftOut)],
    )
