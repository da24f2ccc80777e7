"""What a client is told where it gets no answer: one sentence, in the shape of the protocol that it speaks.

elsewhere   application/problem+json (RFC 9457)
OPENAI      {"error": {"message": …, "type": …, "param": …, "code": …}}
/v2         {"error": …}, as the Open Inference Protocol has it
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

OPENAI = ("/v1/chat/", "/v1/completions", "/v1/embeddings", "/v1/audio/")  # and GET /v1/models
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


@dataclass
class Fault(Exception):
    status: int  # 400 to 599
    sentence: str  # names the value, what is allowed, the remedy
    code: str = ""  # a name for programs, such as context_length_exceeded
    parameter: str = ""  # the field of the request that is at fault
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.sentence


def body(fault: Fault, path: str) -> tuple[bytes, str]:
    """What is sent for a request of this path, and its content type."""
    if _is_v2(path):
        return _json({"error": fault.sentence}), "application/json"
    if _is_openai(path):
        kind = TYPES.get(fault.status, "invalid_request_error" if fault.status < 500 else "server_error")
        error = {"message": fault.sentence, "type": kind, "param": fault.parameter or None, "code": fault.code or None}
        return _json({"error": error}), "application/json"
    told = {"title": HTTPStatus(fault.status).phrase, "status": fault.status, "detail": fault.sentence}
    return _json(told | ({"code": fault.code} if fault.code else {})), "application/problem+json"


def is_protocol(path: str) -> bool:
    """Whether it belongs to a protocol that others wrote; a request that is not valid is a 400 in both."""
    return _is_v2(path) or _is_openai(path)


def _is_v2(path: str) -> bool:
    return path == "/v2" or path.startswith("/v2/")


def _is_openai(path: str) -> bool:
    return path.startswith(OPENAI) or path.rstrip("/") == "/v1/models"


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
