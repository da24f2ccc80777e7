"""How much of its codebook a quantiser uses."""

from __future__ import annotations

from typing import Any

from pervade.core.words import SHARE
from pervade.report.html import Section, render
from pervade.report.record import Figure, Record, Result

TEMPLATE = """\
<p>Of {{ codes|count }} codes the measured rows use {{ used|count }}. As some are frequent and others rare, that is
worth {{ "%.0f"|format(perplexity) }} which were all used alike (their perplexity).</p>
<p>Used: <b>{{ share|figure }}</b>{{ track(share, "first") }}</p>
<p>Worth, were they used alike: <b>{{ alike|figure }}</b>{{ track(alike, "second") }}</p>
"""


def section(detail: dict[str, Any], result: Result, record: Record) -> Section | None:
    codes, used, perplexity = int(detail["codes"]), int(detail["used"]), float(detail["perplexity"])
    if codes <= 0:
        return None
    share, alike = (Figure("used", n / codes, None, None, codes, known=SHARE) for n in (used, perplexity))
    body = render(TEMPLATE, codes=codes, used=used, perplexity=perplexity, share=share, alike=alike)
    return Section("codebook", "How much of its codebook it uses", body)
