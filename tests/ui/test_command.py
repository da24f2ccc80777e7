"""`pervade ui` on the command line."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pervade.core.errors import ConfigError, DataError, ResourceError
from pervade.ui import serving


def refused(error: type[Exception], words: str, *given: object) -> None:
    told: list[str] = []
    with pytest.raises(error, match=words):
        serving.serve(*given, told.append)  # type: ignore[arg-type]
    assert told == []


def test_what_it_cannot_serve_is_one_line(tmp_path: Path) -> None:
    refused(DataError, "there is no folder", tmp_path / "nothing", 0, None)
    refused(ConfigError, "is no file; write one token a line", tmp_path, 0, tmp_path / "nothing")
    (tmp_path / "tokens").write_text("short\n")
    refused(ConfigError, "line 1, is no token", tmp_path, 0, tmp_path / "tokens")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(ResourceError, f"port {port} cannot be taken .another program listens there", tmp_path, port, None)
