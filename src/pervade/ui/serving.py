"""`pervade ui`, started: the application behind its guard, at an address of this machine alone."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from pathlib import Path

from pervade.core.errors import DataError, ResourceError
from pervade.serve import exposure
from pervade.serve.settings import Settings

HOST = "127.0.0.1"  # who is elsewhere comes by ssh -L
MAX_BODY = 1 << 20  # bytes of a request: a form


def serve(
    runs: Path, port: int, admin_token_file: Path | None, say: Callable[[str], None], check: bool = False
) -> None:
    """Serves until it is asked to stop; trainings that were started go on. `say` is told the address, with the token in
    its fragment where it was made now. A `check` ends when the page could be served.

    Raises DataError where `runs` is no folder, ConfigError where a package is missing, ResourceError where
    the port is taken.
    """
    if not runs.is_dir():
        raise DataError(f"there is no folder {runs}; give the folder that holds the runs, or train one first")
    exposure.require_installed()
    import uvicorn

    from pervade.serve import connections
    from pervade.serve.guard import Guard
    from pervade.ui.app import DOORS, application
    from pervade.ui.trainings import Trainings

    settings = Settings(host=HOST, port=port, max_body=MAX_BODY, admin_token_file=admin_token_file)
    exposure.require_safe(settings)
    tokens, admin, made = exposure.tokens(settings)
    runs = runs.absolute()
    app = Guard(application(runs, Trainings(runs)), settings, tokens, admin, DOORS, log=lambda seen: None)
    with _bound(port) as listening:
        if check:
            say(f"{runs} can be served at {HOST} port {listening.getsockname()[1]}")
            return
        address = f"http://{HOST}:{listening.getsockname()[1]}/"
        say(f"{address}#token={made}" if made else address)
        uvicorn.Server(connections.configured(app, settings)).run([listening])


def _bound(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        why = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror
        raise ResourceError(f"port {port} cannot be taken ({why}); give another with --port, or 0 for any") from None
    return listening
