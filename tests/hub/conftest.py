"""A hub on loopback, small and whole: the real client of the hub talks to it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml

TOKEN = "hf_secretsecretsecret"


@dataclass
class Repository:
    """What the hub has of one model."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=lambda: {"main": ""})
    sizes: dict[str, int | None] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Add files to a branch; returns the commit."""
        kept = {**self.commits.get(self.branches.get(branch, ""), {}), **files}
        state = json.dumps({name: hashlib.sha1(data).hexdigest() for name, data in kept.items()})
        sha = hashlib.sha1((state + str(len(self.commits))).encode()).hexdigest()
        self.commits[sha] = kept
        self.branches[branch] = sha
        return sha

    def files(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """(commit, files) of a branch or commit."""
        sha = self.branches.get(revision, revision)
        return (sha, self.commits.get(sha, {})) if sha in self.commits or sha == "" else None


@dataclass
class Hub:
    """The state of the server, and what it was asked."""

    endpoint: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    broken: int | None = None  # a status for every request
    full: int | None = None  # a status for every large file
    babble: bool = False  # a page of somebody else in place of every answer


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Quietly."""

        def _send(self, status: int, value: object = None, **headers: str) -> None:
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            given = {"Content-Type": "application/json", "Content-Length": str(len(data))}
            for name, text in {**given, **headers}.items():
                self.send_header(name.replace("_", "-"), text)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else b""
            address = urlsplit(self.path)
            path = address.path
            hub.asked.append((self.command, path))
            sent = self.headers.get("Authorization")
            hub.tokens.add(sent)
            if hub.babble:
                self._send(200, b"<html>Log in to this network</html>", Content_Type="text/html")
            elif hub.broken is not None:
                self._send(hub.broken, {"error": "broken"})
            else:
                self._route(path, parse_qs(address.query), body, sent == f"Bearer {TOKEN}")

        do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815

        def _route(self, path: str, query: dict[str, list[str]], body: bytes, known: bool) -> None:
            if path.startswith("/blobs/"):
                hub.blobs[path.removeprefix("/blobs/")] = body
                self._send(hub.full or 200, {})
            elif path == "/api/repos/create":
                self._create(json.loads(body), known)
            elif path == "/api/validate-yaml":
                head = json.loads(body)["content"].split("---\n")[1]
                fine = isinstance(yaml.safe_load(head), dict)
                self._send(200, {"errors": [] if fine else [{"message": "no"}], "warnings": []})
            elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
                self._info(found[1], unquote(found[2] or "main"), known, "blobs" in query)
            elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
                self._send(200, {"files": [_mode(file) for file in json.loads(body)["files"]]})
            elif found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
                wanted = json.loads(body)["objects"]
                self._send(200, {"objects": [_action(hub.endpoint, one) for one in wanted]})
            elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
                self._commit(found[1], body, known)
            elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self._resolve(*map(unquote, found.groups()), known)
            else:
                self._send(404, {"error": path})

        def _create(self, given: dict[str, object], known: bool) -> None:
            name = f"{given['organization']}/{given['name']}"
            if not known:
                self._send(401, {"error": "Invalid username or password."})
            elif given["organization"] == "others":
                self._send(403, {"error": "You don't have the rights"})
            elif name in hub.repositories:
                self._send(409, {"error": "exists", "url": f"{hub.endpoint}/{name}"})
            else:
                private = bool(given.get("private")) or given.get("visibility") == "private"
                hub.repositories[name] = Repository(private=private)
                hub.repositories[name].commit({".gitattributes": b""})
                self._send(200, {"url": f"{hub.endpoint}/{name}", "name": name})

        def _found(
            self, name: str, revision: str, known: bool
        ) -> tuple[Repository, str, dict[str, bytes]] | None:
            there = hub.repositories.get(name)
            if there is None or (there.private and not known):
                self._send(401, {"error": "none"}, X_Error_Code="RepoNotFound")
            elif there.gated and not known:
                self._send(401, {"error": "gated"}, X_Error_Code="GatedRepo")
            elif (files := there.files(revision)) is None:
                self._send(404, {"error": "none"}, X_Error_Code="RevisionNotFound")
            else:
                return (there, *files)
            return None

        def _info(self, name: str, revision: str, known: bool, blobs: bool) -> None:
            found = self._found(name, revision, known)
            if found is None:
                return
            there, sha, files = found
            siblings = [
                {"rfilename": file} | ({"size": there.sizes.get(file, len(data))} if blobs else {})
                for file, data in files.items()
            ]
            value = {"id": name, "sha": sha, "private": there.private, "siblings": siblings}
            self._send(200, value)

        def _commit(self, name: str, body: bytes, known: bool) -> None:
            found = self._found(name, "main", known)
            if found is None:
                return
            files = {}
            for line in body.decode().splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    files[value["path"]] = hub.blobs[value["oid"]]
            sha = found[0].commit(files)
            url = f"{hub.endpoint}/{name}/commit/{sha}"
            self._send(200, {"commitUrl": url, "commitOid": sha, "success": True})

        def _resolve(self, name: str, revision: str, file: str, known: bool) -> None:
            found = self._found(name, revision, known)
            if found is None:
                return
            _, sha, files = found
            if file not in files:
                self._send(404, {}, X_Error_Code="EntryNotFound")
                return
            etag = f'"{hashlib.sha1(files[file]).hexdigest()}"'
            self._send(200, files[file], X_Repo_Commit=sha, ETag=etag)

    return Handler


def _mode(file: dict[str, object]) -> dict[str, object]:
    large = str(file["path"]).endswith((".safetensors", ".onnx", ".png"))
    mode = "lfs" if large else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}


def _action(endpoint: str, wanted: dict[str, object]) -> dict[str, object]:
    oid = wanted["oid"]
    return {
        "oid": oid,
        "size": wanted["size"],
        "actions": {"upload": {"href": f"{endpoint}/blobs/{oid}"}},
    }


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A running hub, which the client of this process talks to, logged in."""
    from huggingface_hub import constants

    state = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    server.daemon_threads = True
    state.endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", state.endpoint)
    template = state.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its servers are elsewhere
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()
