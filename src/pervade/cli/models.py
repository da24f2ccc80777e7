"""pervade models: the networks there are."""

from __future__ import annotations

import typer

from pervade.core.terminal import echo


def add_to(app: typer.Typer) -> None:
    app.command()(models)


def models() -> None:
    """List the networks by what they read, one a line, with what each is. A name with ':' opens a whole library."""
    from pervade.core import registry, spec
    from pervade.core.contracts import Model

    classes = {name: registry.find("model", name) for name in registry.names("model")}
    reads = {name: getattr(cls, "reads", Model.reads) for name, (cls, _) in classes.items()}
    before = None
    # Variants right after what they are variants of.
    for name in sorted(classes, key=lambda name: (reads[name], registry.name_of(classes[name][0]) or "", name)):
        cls, fields = classes[name]
        if reads[name] != before:
            before = reads[name]
            echo(f"for {before}:")
        rest = getattr(cls, "rest", None)
        if name == registry.name_of(cls):
            module = __import__(cls.__module__, fromlist=["__doc__"])
            text = (module.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
            fields = spec.encode(cls())
            settings = {key: value for key, value in fields.items() if key not in ("use", rest) and value != {}}
        else:
            own = registry.name_of(cls)
            text, settings = f"{own} with these" if fields else f"another name of {own}", fields
        shown = " ".join(f"{key}={value}" for key, value in settings.items())
        echo(f"  {name + ':NAME' if rest else name:20}{text}{f' ({shown})' if shown else ''}")
    echo(
        "Without --init: with published weights where there are any and they can be had, else from random ones. "
        "Without --model too: what suits the data, which is said before training (--dry-run).\n"
        "Any field in brackets is set with -o model.FIELD=VALUE."
    )
