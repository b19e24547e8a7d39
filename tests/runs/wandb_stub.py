"""A W&B server on the loopback interface, just enough of it to record what the client sends; and one that never answers."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Stub(ThreadingHTTPServer):
    """`runs`: id -> variables of its creation; `lines`: id -> file -> lines; `unknown`: operations it had no answer to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, dict[str, Any]] = {}
        self.lines: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        self.unknown: list[str] = []
        self.requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        made = given.get("input", given)
        if operation == "Viewer":
            return {"viewer": {"id": "u", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}
        if operation == "UpsertBucket":
            return self._upsert(given)
        if operation == "RunResumeStatus":
            return {"model": {"id": "p", "name": "p", "entity": {"id": "e", "name": "me"}, "bucket": None}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/put/{name}"} for name in given["files"]]
            return {"createRunFiles": {"runID": given.get("run"), "uploadHeaders": [], "files": files}}
        if operation == "CreateArtifact":
            sequence = {"id": "s", "latestArtifact": None}
            return {"createArtifact": {"artifact": {"id": "a", "state": "PENDING", "artifactSequence": sequence}}}
        if operation in ("CreateArtifactManifest", "UpdateArtifactManifest"):
            file = {
                "id": "f",
                "name": "m",
                "displayName": "m",
                "uploadUrl": f"{self.url}/put/manifest",
                "uploadHeaders": [],
            }
            return {f"{operation[0].lower()}{operation[1:]}": {"artifactManifest": {"id": "m", "file": file}}}
        if operation == "CreateArtifactFiles":
            edges = [{"node": self._artifact_file(file)} for file in made["artifactFiles"]]
            return {"createArtifactFiles": {"files": {"edges": edges}}}
        if operation == "CommitArtifact":
            return {"commitArtifact": {"artifact": {"id": "a", "digest": "x"}}}
        if operation == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if operation == "ArtifactType":
            return {"project": {"artifact": None}}
        if operation == "OrganizationCoreWeaveOrganizationID":
            return {"entity": {"organization": {"coreWeaveOrganizationId": None}}}
        self.unknown.append(operation)
        return {}

    def _upsert(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given.get("name") or given["id"]
        new = name not in self.runs
        self.runs.setdefault(name, {}).update({key: value for key, value in given.items() if value is not None})
        project = {"id": "p", "name": given.get("project") or "p", "entity": {"id": "e", "name": "me"}}
        bucket = {"id": name, "name": name, "displayName": name, "description": "", "config": given.get("config") or "{}",
                  "sweepName": None, "project": project, "historyLineCount": 0}  # fmt: skip
        return {"upsertBucket": {"bucket": bucket, "inserted": new}}

    def _artifact_file(self, file: dict[str, Any]) -> dict[str, Any]:
        return {"id": "f", "name": file["name"], "displayName": file["name"], "uploadUrl": f"{self.url}/put/{file['name']}",
                "uploadHeaders": [], "storagePath": "x", "uploadMultipartUrls": None, "artifact": {"id": "a"}}  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stub

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _body(self) -> bytes:
        content = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().strip(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content

    def _reply(self, value: Any) -> None:
        self.server.requests += 1
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self._reply({})

    def do_PUT(self) -> None:
        self._body()
        self._reply({})

    def do_POST(self) -> None:
        content = self._body()
        if "/file_stream" in self.path:
            lines = self.server.lines[self.path.split("/")[-2]]
            for name, part in json.loads(content).get("files", {}).items():
                lines[name][part["offset"] :] = part["content"]
            return self._reply({"limits": {}})
        if self.path != "/graphql":
            return self._reply({})
        query = json.loads(content)
        found = re.search(r"(?:query|mutation)\s+(\w+)", query["query"])
        operation = found.group(1) if found else query["query"][:40]
        return self._reply({"data": self.server.answer(operation, query.get("variables") or {})})


@contextmanager
def serve() -> Iterator[Stub]:
    stub = Stub()
    threading.Thread(target=stub.serve_forever, daemon=True).start()
    yield stub
    stub.shutdown()
    stub.server_close()


@contextmanager
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
