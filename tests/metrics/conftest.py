"""What tests of figures differ in from all others."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _few_resamples() -> None:
    """As many as users get: in place of the fixture of all tests."""
