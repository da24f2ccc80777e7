"""pervade doctor: is this machine ready, and what will it use?"""

from __future__ import annotations

import shutil
from pathlib import Path

import typer

from pervade.core.terminal import echo, tell


def add_to(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor() -> None:
    """Check the installation, the devices, the memory and the disk. Exit status 1 if something needs mending."""
    import tempfile

    import psutil

    from pervade.core import environment, runtime
    from pervade.data.rows import cache

    about = environment.describe()
    lines = [
        ("system", f"{about['system']}, Python {about['python']}"),
        ("processor", f"{about['processor']}, {about['cores']} cores, {about['threads']} threads used"),
        ("memory", f"{psutil.virtual_memory().available / 1e9:.1f} of {about['memory_gb']} GB free"),
        ("gpu", ", ".join(about["gpus"]) or "none; the processor is used"),
        ("device", runtime.pick_device("auto")),
        ("training in", runtime.training_precision(runtime.pick_device("auto"))),
        *((f"  {name}", version) for name, version in about["packages"].items()),
    ]
    problems = []
    folder = cache.folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        lines.append(("cache", f"{folder}, at most {cache.limit() / 1e9:g} GB"))
    except OSError as error:
        problems.append(f"the cache folder {folder} cannot be written ({error.strerror}); set PERVADE_CACHE to another")
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    lines.append(("disk", f"{free:.1f} GB free here"))
    if free < 2:
        problems.append(f"only {free:.1f} GB are free here; a run needs about 1 GB, and so does the cache")
    for name, text in lines:
        echo(f"{name:18}{text}")
    for problem in problems:
        tell(f"problem: {problem}")
    if problems:
        raise typer.Exit(1)
    echo("ready")
