"""A Hub of models on this machine: the answers of its HTTP interface that pushing and pulling ask for."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of-ann"
COMMIT = "c0ffee" * 6 + "c0ff"


@dataclass
class StandIn:
    """`repositories` by name: their files. `broken` are paths that are listed, and not given."""

    address: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    public: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[StandIn]:
    """ "ann" has a token, and may write what is hers alone."""
    hub = StandIn()

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            pass

        def answer(self, status: int, data: Any = b"", **headers: str) -> None:
            body = data if isinstance(data, bytes) else json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def body(self) -> bytes:
            """Sent whole, or in pieces with their lengths before them."""
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            pieces = []
            while length := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(length))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)

        def respond(self) -> None:
            body = self.body()
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path}")
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            if path == "/api/whoami-v2":
                self.answer(200, {"name": "ann", "type": "user"}) if known else self.answer(401, {"error": "no"})
            elif path == "/api/validate-yaml":
                self.answer(200, {"errors": [], "warnings": []})
            elif path.startswith("/lfs/"):
                hub.objects[path.removeprefix("/lfs/")] = body
                self.answer(200)
            elif path == "/api/repos/create":
                self.create(json.loads(body), known)
            elif match := re.fullmatch(r"/(?:api/models/)?([\w-]+/[\w-]+)(?:\.git)?(?:/(.+))?", path):
                name, rest = match[1], match[2] or ""
                if name not in hub.repositories or not (known or name in hub.public):
                    self.answer(404, {"error": "not there"}, X_Error_Code="RepoNotFound")
                else:
                    self.of(name, rest, body)
            else:
                self.answer(404)

        def create(self, asked: dict[str, Any], known: bool) -> None:
            name = f"{asked.get('organization') or 'ann'}/{asked['name']}"
            if not known or not name.startswith("ann/"):
                self.answer(403, {"error": f"You don't have the rights to create {name} with {TOKEN}"})
            elif name in hub.repositories:
                self.answer(409, {"url": f"{hub.address}/{name}", "error": "already there"})
            else:
                hub.repositories[name] = {".gitattributes": b""}
                if asked.get("visibility") != "private" and not asked.get("private"):
                    hub.public.add(name)
                self.answer(200, {"url": f"{hub.address}/{name}"})

        def of(self, name: str, rest: str, body: bytes) -> None:
            there = hub.repositories[name]
            if rest.startswith("preupload/"):
                large = {True: "lfs", False: "regular"}
                modes = [
                    {"path": f["path"], "uploadMode": large[f["path"].endswith(".safetensors")], "shouldIgnore": False}
                    for f in json.loads(body)["files"]
                ]
                self.answer(200, {"files": modes})
            elif rest == "info/lfs/objects/batch":
                objects = [
                    {**o, "actions": {"upload": {"href": f"{hub.address}/lfs/{o['oid']}"}}}
                    for o in json.loads(body)["objects"]
                ]
                self.answer(200, {"transfer": "basic", "objects": objects})
            elif rest.startswith("commit/"):
                for line in map(json.loads, body.splitlines()):
                    value = line["value"]
                    if line["key"] == "file":
                        there[value["path"]] = base64.b64decode(value["content"])
                    elif line["key"] == "lfsFile":
                        there[value["path"]] = hub.objects[value["oid"]]
                self.answer(200, {"commitUrl": f"{hub.address}/{name}/commit/{COMMIT}", "commitOid": COMMIT})
            elif match := re.fullmatch(r"resolve/[^/]+/(.+)", rest):
                self.file(match[1], there)
            elif not rest or rest.startswith("revision/"):
                siblings = [{"rfilename": path, "size": len(data)} for path, data in sorted(there.items())]
                private = name not in hub.public
                self.answer(200, {"id": name, "sha": COMMIT, "private": private, "siblings": siblings})
            else:
                self.answer(404)

        def file(self, path: str, there: dict[str, bytes]) -> None:
            if path not in there:
                self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            elif path in hub.broken and self.command == "GET":
                self.answer(410, {"error": "gone"})  # others the client asks for again, for half a minute
            else:
                tag = hashlib.sha1(there[path]).hexdigest()
                self.answer(200, there[path], ETag=f'"{tag}"', X_Repo_Commit=COMMIT)

        do_GET = do_HEAD = do_POST = do_PUT = respond

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
