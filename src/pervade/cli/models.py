"""pervade models: the networks there are."""

from __future__ import annotations

import typer


def add_to(app: typer.Typer) -> None:
    app.command()(models)


def models() -> None:
    """List the networks, one a line, with what each is."""
    from pervade.core import registry

    for name in registry.names("model"):
        cls, fields = registry.find("model", name)
        module = __import__(cls.__module__, fromlist=["__doc__"])
        first = (module.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
        shown = " ".join(f"{key}={value}" for key, value in fields.items())
        typer.echo(f"{name:16}{f'({shown}) ' if shown else ''}{first}")
