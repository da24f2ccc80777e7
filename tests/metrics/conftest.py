"""What tests of figures differ in from all others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import resamples


@pytest.fixture(scope="module", autouse=True)
def _many_resamples() -> Iterator[None]:
    with resamples.of(resamples.AS_USERS_GET):
        yield
