"""`python -m pervade.cli`: the command, where it is started by another program that knows its own Python alone."""

from __future__ import annotations

from pervade.cli import run

run()
