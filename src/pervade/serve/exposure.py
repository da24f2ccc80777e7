"""Whether a server can be had here, and may be reached from where its settings let it be reached from."""

from __future__ import annotations

import importlib.util
import ssl

from pervade.core.errors import ConfigError
from pervade.serve.callers import is_loopback
from pervade.serve.settings import Settings
from pervade.serve.tokens import Tokens

NEEDED = ("fastapi", "httptools", "prometheus_client", "python_multipart", "uvicorn")  # of the extra "serve"


def require_installed() -> None:
    """Raises ConfigError, with all that are missing, where a server's packages are not installed."""
    if missing := [package for package in NEEDED if importlib.util.find_spec(package) is None]:
        raise ConfigError(f"a server needs what is not installed: {', '.join(missing)}; pip install 'pervade[serve]'")


def require_safe(settings: Settings) -> None:
    """Raises ConfigError, with all faults at once, where others could ask without a token, or could read what is asked
    on its way."""
    problems = []
    away = not is_loopback(settings.host)
    tls = settings.tls_cert is not None or settings.tls_key is not None
    if away and settings.token_file is None:
        problems.append(
            f"--host {settings.host} can be reached from other machines, which takes tokens; write one a line into a "
            "file (`openssl rand -hex 32 > tokens.txt`) and give --token-file tokens.txt, or leave --host out"
        )
    if away and not tls and not settings.behind_tls:
        problems.append(
            f"--host {settings.host} can be reached from other machines, and tokens and inputs could be read on their "
            "way; give --tls-cert and --tls-key, or --behind-tls where a proxy or an ingress speaks TLS for this server"
        )
    if tls:
        problems += _of_certificate(settings)
    if problems:
        raise ConfigError(*problems)


def _of_certificate(settings: Settings) -> list[str]:
    cert, key = settings.tls_cert, settings.tls_key
    if cert is None or key is None:
        return ["--tls-cert and --tls-key go together; give both"]
    for flag, path in (("--tls-cert", cert), ("--tls-key", key)):
        if not path.is_file():
            return [f"{flag} {path} is no file; give one in PEM form"]
    try:
        # A key that is encrypted would be asked for at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ValueError) as error:
        return [
            f"--tls-cert {cert} with --tls-key {key} cannot be used ({error}); give a pair in PEM form, unencrypted"
        ]
    return []


def tokens(settings: Settings) -> tuple[Tokens | None, Tokens, str | None]:
    """Whom the server answers (None: anybody on this machine), who may change it, and, where that is a token which was
    made now, what it is. Raises ConfigError where a file holds none."""
    ordinary = None if settings.token_file is None else Tokens(settings.token_file)
    if settings.admin_token_file is not None:
        return ordinary, Tokens(settings.admin_token_file), None
    admin, made = Tokens.drawn()
    return ordinary, admin, made
