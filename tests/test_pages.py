"""The commands that the README and its pages show can be given: verbs and flags are there, and links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from pervade import cli

ROOT = Path(__file__).parents[1]
MOVED = ("acting", "data", "settings", "sound", "weights")
PAGES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in MOVED)]


def commands() -> list[str]:
    lines = [line.strip() for page in PAGES for line in page.read_text(encoding="utf-8").splitlines()]
    return [line.partition(" | ")[0] for line in lines if line.startswith("pervade ")]


@pytest.mark.parametrize("command", commands())
def test_commands_can_be_given(command: str) -> None:
    cli._register()
    _, verb, *arguments = shlex.split(command, comments=True)
    known = typer.main.get_command(cli.app).commands
    known[verb].make_context(verb, arguments)  # raises where a flag is unknown, or an argument is missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists() or link.startswith("https://"), link


def test_every_page_can_be_reached() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"docs/{page.name}" not in text] == []
    assert len(text.splitlines()) <= 200
