"""How many resamples intervals of figures take in tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pervade.metrics import baseline, estimate, paired

AS_USERS_GET = 1000


@contextmanager
def of(number: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for resampling in (estimate.estimate, estimate.bootstrap, paired.differences, baseline.beside):
            patch.setitem(resampling.__kwdefaults__, "resamples", number)
        yield
