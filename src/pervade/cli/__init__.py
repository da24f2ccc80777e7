"""The command line: one file a verb, each thin. Nothing heavy is imported until a verb runs: --help is instant."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pervade.core.errors import ConfigError, PervadeError

app = typer.Typer(
    name="pervade",
    help="Take a large model into your own field: from a folder of data to a trained, measured model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from pervade import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    from pervade.core import runtime

    runtime.prepare()


def _register() -> None:
    from pervade.cli import demo, doctor, evaluate, models, predict, report, resume, tasks, train

    for verb in (demo, train, resume, evaluate, predict, report, models, tasks, doctor):
        verb.add_to(app)


def main() -> None:
    """Runs the command line. Errors that a person can mend are one line and an exit status, never a traceback."""
    _register()
    try:
        app()
    except ConfigError as error:
        _fail(error.problems, error.exit_status)
    except PervadeError as error:
        _fail([str(error)], error.exit_status)
    except KeyboardInterrupt:
        _fail(["stopped"], 130)
    except BrokenPipeError:
        # Whoever read our output has gone (`pervade predict … | head`); there is nobody to tell.
        sys.stderr.close()
        sys.exit(141)


def _fail(lines: list[str] | tuple[str, ...], status: int) -> None:
    for line in lines:
        typer.echo("pervade: " + line.replace("\n", "\\n"), err=True)
    sys.exit(status)
