"""pervade models: the networks there are."""

from __future__ import annotations

import typer


def add_to(app: typer.Typer) -> None:
    app.command()(models)


def models() -> None:
    """List the networks, one a line, with what each is. Without --model a narrow resnet (width 32) is trained."""
    from pervade.core import registry, spec

    for name in registry.names("model"):
        cls, fields = registry.find("model", name)
        module = __import__(cls.__module__, fromlist=["__doc__"])
        first = (module.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
        settings = {key: value for key, value in spec.encode(cls(**fields)).items() if key != "use"}
        shown = " ".join(f"{key}={value}" for key, value in settings.items())
        typer.echo(f"{name:16}{first} ({shown})")
