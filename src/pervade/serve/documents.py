"""/docs: what can be asked, from /openapi.json, on a page without script that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from pervade.serve.answered import Server
from pervade.serve.guard import POLICY

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "code,pre{font-family:ui-monospace,monospace;font-size:.9em}pre{overflow:auto}summary{cursor:pointer}"
    "details{border-top:1px solid #8888;padding:.5rem 0}dt{font-family:ui-monospace,monospace}"
)
OWN = POLICY.replace(
    "style-src 'self'", f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style>
<main><h1>{title}</h1><p>{summary} The same for programs: <a href="/openapi.json">/openapi.json</a>.</p>
<h2>Models</h2><ul>{models}</ul><h2>Addresses</h2>{operations}</main></html>
"""


def routes(server: Server) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/docs", response_class=HTMLResponse)
    async def docs(request: Request) -> Response:
        about = request.app.openapi()
        paths = [(path, *one) for path, methods in about["paths"].items() for one in methods.items()]
        operations = [_operation(method, path, told) for path, method, told in paths]
        models = "".join(
            f"<li><code>{escape(one.name)}</code> ({escape(one.task)}): {escape(one.reads)}, as "
            f"{escape(', '.join(field.name for field in one.takes))}; version <code>{escape(one.version)}</code></li>"
            for one in ([] if server.settings.token_file else server.shelf.abouts())
        )
        said = {"title": escape(about["info"]["title"]), "summary": escape(about["info"].get("summary", ""))}
        page = PAGE.format(style=STYLE, models=models, operations="".join(operations), **said)
        return HTMLResponse(page, headers={"Content-Security-Policy": OWN})

    return router


def _operation(method: str, path: str, told: dict[str, Any]) -> str:
    content = told.get("requestBody", {}).get("content", {})
    bodies = "".join(
        f"<p>Body, {escape(kind)}:</p><pre>{escape(json.dumps(body.get('schema', {}), indent=2))}</pre>"
        for kind, body in content.items()
    )
    statuses = "".join(
        f"<dt>{escape(status)}</dt><dd>{escape(one.get('description', ''))}</dd>"
        for status, one in told.get("responses", {}).items()
    )
    return (
        f"<details><summary><code>{method.upper()} {escape(path)}</code> {escape(told.get('summary', ''))}</summary>"
        f"<p>{escape(told.get('description', ''))}</p>{bodies}<dl>{statuses}</dl></details>"
    )
