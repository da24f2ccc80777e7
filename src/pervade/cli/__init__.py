"""The command line: one file a verb, each thin. Nothing heavy is imported until a verb runs: --help is instant."""

from __future__ import annotations

import atexit
import errno
import functools
import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from pervade.core import memory
from pervade.core.errors import ConfigError, PervadeError
from pervade.core.terminal import echo, leave, open_streams, tell

app = typer.Typer(
    name="pervade",
    help="Take a large model into your own field: from a folder of data to a trained, measured model.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from pervade import __version__

        echo(__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    from pervade.core import runtime

    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
    runtime.prepare()


@functools.cache  # once, however often `main` is called in one process
def _register() -> None:
    from pervade.cli import (
        compare,
        compress,
        demo,
        doctor,
        evaluate,
        export,
        merge,
        models,
        predict,
        pull,
        push,
        report,
        resume,
        serve,
        tasks,
        train,
        tune,
        ui,
    )

    verbs = (demo, train, tune, resume, evaluate, predict, compare, compress, export, serve, merge)
    for verb in (*verbs, push, pull, report, ui, models, tasks, doctor):
        verb.add_to(app)


# What typer raises at unknown flags, missing arguments and the like; it has no public name in every version of typer.
UsageError: Any = typer.BadParameter.__bases__[0]
# Faults of the machine, not of the program, wherever they come from.
MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE)

SETTING = (
    "train",
    "tune",
    "compress",
)  # verbs whose -o sets a field, of the recipe or of a step; elsewhere it names where output goes
NET = "this is a fault of Pervade itself"  # begins the line about an error that nothing foresaw; tests look for it


def main() -> None:
    """Runs the command line. Errors that a person can mend are one line and an exit status, never a traceback."""
    open_streams()
    _register()
    try:
        status = app(prog_name="pervade", standalone_mode=False)
    except UsageError as error:
        command = error.ctx.command_path if error.ctx else "pervade"
        _fail([f"{error.format_message().rstrip('.')}; see `{command} --help`"], 2)
    except ConfigError as error:
        _fail(error.problems, error.exit_status)
    except PervadeError as error:
        _fail([str(error)], error.exit_status)
    except (KeyboardInterrupt, typer.Abort):
        _fail(["stopped"], 130)
    except SystemExit:
        raise
    except BaseException as error:  # a panic in a library that is written in Rust is no Exception
        if isinstance(error, OSError) and error.errno in (*MACHINE, errno.ENAMETOOLONG):
            where = f" {error.filename}" if error.filename else ""
            remedy = "free some space or mend its permissions"
            if error.errno == errno.ENAMETOOLONG:  # whatever was given: every place that takes a path looks for it
                where, remedy = f"{where[:80]}…", "give a shorter name"
            _fail([f"cannot write or read{where}: {error.strerror}; {remedy}"], 2)
        if memory.ran_out(error):  # before any stage could say what it was doing
            _fail([f"memory ran out ({' '.join(str(error).split()) or type(error).__name__}); free some memory"], 2)
        _fail([_unforeseen(error)], 1)
    finally:
        leave()
    if status == 130:  # what newer versions of typer make of Ctrl-C
        _fail(["stopped"], 130)
    # A number where a verb ended early on purpose (typer.Exit), else what the verb returned: nothing.
    sys.exit(status)


def run() -> NoReturn:
    """The command `pervade`: `main`, and then out of the process at once. Python would first take apart every module
    that torch and its like have loaded: a second on a quiet machine, which whoever waits, and a time limit, would have
    to pay. What libraries registered for the end is done, and what was printed is out."""
    status = 1
    try:
        main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:  # whatever else comes through is a signal that was answered, or what `main` could not print
        atexit._run_exitfuncs()
        leave()
        os._exit(status)


def _unforeseen(error: BaseException) -> str:
    """The line about what nothing else caught; the traceback goes into a file, or is printed where none can be made."""
    import tempfile
    import traceback

    details = f"{sys.argv}\nPython {sys.version}\n\n{''.join(traceback.format_exception(error))}"
    try:
        descriptor, name = tempfile.mkstemp(".txt", "pervade-fault-")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123
            file.write(details)
        place = f"the details lie in {name}"
    except OSError as fault:
        for line in details.splitlines():
            tell(line)
        place = f"the details stand above, since no file could be made ({fault.strerror})"
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return f"{NET} ({said[:200]}); {place}. What was saved before is as it was. Report it with these details"


def _fail(lines: Sequence[str], status: int) -> NoReturn:
    for line in lines:
        tell(f"pervade: {with_owners(line)}")
    sys.exit(status)


def with_owners(line: str) -> str:
    """A message with the command that has the flags in it which the one that was given has not."""
    commands = getattr(typer.main.get_command(app), "commands", {})
    flags = {
        name: {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
        for name, command in commands.items()
    }
    given = next((word for word in sys.argv[1:] if word in flags), None)
    told = dict.fromkeys(re.findall(r"(?<![\w-])--[a-z][a-z-]+", line))
    told |= {"-o": None} if given not in SETTING and re.search(r"(?<![\w-])-o [a-z_.]+=", line) else {}
    foreign = [flag for flag in told if given is not None and (flag not in flags[given] or flag == "-o")]
    owner = next((name for name, own in flags.items() if foreign and own.issuperset(foreign)), None)
    return line if owner is None or f"pervade {owner}" in line else f"{line} ({', '.join(foreign)}: pervade {owner})"
