"""What goes wrong inside the application, as a fault of one sentence: FastAPI's own refusals, and errors of ours."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pervade.core import files, memory
from pervade.core.errors import CheckpointError, ConfigError, DataError, OutOfMemoryError, PervadeError, ResourceError
from pervade.serve import faults
from pervade.serve.faults import Fault

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

FULL = "the disk of this server is full, so nothing can be uploaded; send less, or tell whoever runs it"
DEAR = "this server has no memory left for the request; send less, or ask again in a moment"
UNFORESEEN = "this is a fault of the server, not foreseen; tell whoever runs it the id of this request (X-Request-Id)"
FIELDS = 3  # at fault, that a sentence names


def of(error: BaseException) -> Fault:
    """The fault that a client is told for an error. It names nothing of this machine: where an error was not foreseen
    the sentence says no more than that."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, OutOfMemoryError) or memory.ran_out(error):
        return Fault(503, DEAR, headers={"Retry-After": "5"})
    cause = error.__cause__ if isinstance(error, ResourceError) else error
    if isinstance(cause, OSError) and cause.errno in files.FULL:
        return Fault(507, FULL)
    if isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE):
        return Fault(503, "this server has too many files open; ask again in a moment", headers={"Retry-After": "5"})
    if isinstance(error, DataError | ConfigError):
        return Fault(422, str(error))
    if isinstance(error, CheckpointError):
        return Fault(503, "this model cannot be read any more; tell whoever runs the server")
    if isinstance(error, PervadeError):
        return Fault(500, str(error))
    return Fault(500, UNFORESEEN)


def install(app: FastAPI) -> None:
    """Has every refusal of the application be a `Fault` in the shape of its path. Errors of other kinds are raised once
    more behind their answer, so that serve/guard.py can say what went wrong to whoever runs the server."""
    from fastapi import Response
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    def told(request: Request, fault: Fault) -> Response:
        body, kind = faults.body(fault, request.url.path)
        return Response(body, fault.status, dict(fault.headers), kind)

    async def refused(request: Request, error: Exception) -> Response:
        return told(request, of(error))

    async def not_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return told(request, _of_http(error, request.method))

    async def not_valid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        status = 400 if faults.is_protocol(request.url.path) else 422
        return told(request, _of_fields(error.errors(), request.headers.get("content-type", ""), status))

    app.add_exception_handler(Fault, refused)
    app.add_exception_handler(HTTPException, not_http)
    app.add_exception_handler(RequestValidationError, not_valid)
    app.add_exception_handler(Exception, refused)


def _of_http(error: Any, method: str) -> Fault:
    """Of Starlette's HTTPException; FastAPI hides behind one whatever went wrong while a body was read."""
    headers = dict(error.headers or {})
    cause = error.__cause__ or error.__context__
    if error.status_code == 404 and error.detail == "Not Found":
        return Fault(404, "there is nothing at this address; /docs lists what there is")
    if error.status_code == 405:
        allowed = headers.get("Allow", "")
        return Fault(
            405, f"this address does not take {method}" + (f"; it takes {allowed}" * bool(allowed)), "", "", headers
        )
    if error.status_code == 400 and isinstance(cause, Exception) and not isinstance(cause, type(error)):
        if isinstance(cause, RecursionError):
            return Fault(400, "the JSON of the body is nested too deeply; send a flatter one")
        known = of(cause)
        return (
            known if known.status in (503, 507) else Fault(400, "the body cannot be read as what its Content-Type says")
        )
    return Fault(error.status_code, str(error.detail), headers=headers)


def _of_fields(errors: Sequence[Mapping[str, Any]], kind: str, status: int) -> Fault:
    """Of what FastAPI says of fields that are missing or wrong."""
    first = errors[0]
    if first.get("type") == "json_invalid":
        return Fault(status, f"the body is no JSON ({first.get('ctx', {}).get('error', first['msg'])})")
    place = [str(part) for part in first["loc"]]
    if place == ["body"] and "json" not in kind and not kind.startswith("multipart/form-data"):
        return Fault(415, "the body is JSON here; send it with Content-Type: application/json")
    named = [f"{'.'.join(map(str, one['loc'][1:])) or one['loc'][0]}: {one['msg']}" for one in errors[:FIELDS]]
    more = f", and {len(errors) - FIELDS:,} more" if len(errors) > FIELDS else ""
    return Fault(status, "; ".join(named) + more, parameter=".".join(place[1:]))
