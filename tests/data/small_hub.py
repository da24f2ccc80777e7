"""A Hub of one data set on this machine, for test_hub.py: the few answers of its HTTP interface that are asked for."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" * 6 + "c0ff"


@contextmanager
def serving(folder: Path, name: str) -> Iterator[str]:
    """Serves `folder` as the data set `name`, and gives the address. "locked/set" is gated; no other is known."""

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            pass

        def answer(self, status: int, data: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            if "locked/set" in path:
                self.answer(403, X_Error_Code="GatedRepo", X_Error_Message="Access to dataset locked/set is restricted")
            elif name not in path:
                self.answer(401, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
            elif found := re.fullmatch(rf"/datasets/{name}/resolve/([^/]+)/(.+)", path):
                self.file(found[1], folder / found[2])
            elif path.startswith("/api/"):
                self.about(path, body)
            else:
                self.answer(404)

        def file(self, revision: str, file: Path) -> None:
            if revision not in ("main", COMMIT):
                self.answer(404, X_Error_Code="RevisionNotFound")
            elif not file.is_file():
                self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            else:
                data = file.read_bytes()
                digest = hashlib.sha1(data).hexdigest()
                self.answer(200, data, ETag=f'"{digest}"', X_Repo_Commit=COMMIT, Accept_Ranges="bytes")

        def about(self, path: str, body: bytes) -> None:
            files = [each for each in sorted(folder.rglob("*")) if each.is_file()]
            entries = [
                {
                    "type": "file",
                    "path": str(each.relative_to(folder)),
                    "size": each.stat().st_size,
                    "oid": hashlib.sha1(each.read_bytes()).hexdigest(),
                }
                for each in files
            ]
            folders = sorted({str(each.parent.relative_to(folder)) for each in files} - {"."})
            entries += [{"type": "directory", "path": each, "size": 0, "oid": "0" * 40} for each in folders]
            found: Any
            if "/tree/" in path:
                under = path.partition(f"/tree/{COMMIT}")[2].strip("/")
                found = [each for each in entries if str(each["path"]).startswith(under)]
            elif "/paths-info/" in path:
                asked = (
                    json.loads(body)["paths"] if body.startswith(b"{") else re.findall(r"paths=([^&]+)", body.decode())
                )
                found = [each for each in entries if each["path"] in [unquote(one) for one in asked]]
            else:
                names = [{"rfilename": str(each["path"])} for each in entries if each["type"] == "file"]
                found = {"id": name, "sha": COMMIT, "siblings": names, "private": False, "gated": False, "tags": []}
            self.answer(200, json.dumps(found).encode(), Content_Type="application/json")

        do_GET = do_HEAD = do_POST = respond

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
