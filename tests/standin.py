"""A local stand-in for the Hugging Face hub's HTTP API: what `huggingface_hub` asks of it, and faults to switch on.

The answers have the headers and redirects of the real one: small files come from the hub itself after a redirect,
weights from another host, which must not see the visitor's token."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

PART = 64 * 1024  # bytes written at once


@dataclass
class Repository:
    """A repository at one commit. `gated` asks for a token, as a gated one does; `private` hides it without one."""

    files: dict[str, bytes]
    gated: bool = False
    private: bool = False
    revisions: tuple[str, ...] = ("main",)

    @property
    def commit(self) -> str:
        return hashlib.sha1(b"".join(name.encode() + self.files[name] for name in sorted(self.files))).hexdigest()

    def entry(self, name: str) -> dict[str, Any]:
        """A line of the listing; weights are kept by their SHA-256 (LFS), other files by git's SHA-1."""
        data = self.files[name]
        if not _large(name):
            return {"type": "file", "path": name, "size": len(data), "oid": git_id(data)}
        digest = hashlib.sha256(data).hexdigest()
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (digest.encode(), len(data))
        lfs = {"oid": digest, "size": len(data), "pointerSize": len(pointer)}
        return {"type": "file", "path": name, "size": len(data), "oid": git_id(pointer), "lfs": lfs}

    def etag(self, name: str) -> str:
        entry = self.entry(name)
        return str(entry["lfs"]["oid"] if "lfs" in entry else entry["oid"])


@dataclass
class Hub:
    """The stand-in, and the faults that it has at the moment."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    url: str = ""
    seen: list[str] = field(default_factory=list)  # "GET /path", in order
    leaked: list[str] = field(default_factory=list)  # tokens that the host of the weights was shown
    status: int = 0  # the API answers so
    expired: str = ""  # a token that is no longer valid
    weights_status: int = 0  # the host of the weights answers so
    damaged: int = 0  # so many downloads of weights have a wrong byte
    lose_after: int = -1  # connections break after so many bytes of weights, and every later one at once
    hold_after: int = -1  # downloads of weights stop after so many bytes until `go` is set
    held: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def add(self, name: str, folder: Path, **settings: Any) -> Repository:
        """Serves a folder under a hub name."""
        paths = [path for path in folder.rglob("*") if path.is_file()]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        self.repositories[name] = Repository(files, **settings)
        return self.repositories[name]

    def fetched(self, suffix: str) -> int:
        """How many times a file whose path ends so was sent."""
        return sum(line.startswith("GET") and line.endswith(suffix) for line in self.seen)


def git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextlib.contextmanager
def running() -> Iterator[Hub]:
    """The stand-in on a free port."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield hub
    finally:
        hub.go.set()
        server.shutdown()
        server.server_close()


def _large(name: str) -> bool:
    return name.endswith(".safetensors")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.seen.append(f"{self.command} {self.path}")
        path = urlsplit(self.path).path
        if path.startswith("/weights/"):
            self._weights(path.split("/")[2])
        elif self.hub.status:
            self._answer(self.hub.status, {"error": "the hub's own words"})
        elif self.hub.expired and self._token() == self.hub.expired:
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif path.startswith("/api/models/"):
            self._api(path.removeprefix("/api/models/"))
        elif path.startswith("/api/resolve-cache/models/"):
            organisation, name, commit, file = path.removeprefix("/api/resolve-cache/models/").split("/", 3)
            self._small(self.hub.repositories[f"{organisation}/{name}"], commit, unquote(file))
        elif "/resolve/" in path:
            self._resolve(path.removeprefix("/"))
        else:
            self._refuse(404, "", "Not Found")

    def _api(self, path: str) -> None:
        organisation, name, *rest = path.split("/", 3)
        repository = self._repository(f"{organisation}/{name}")
        if repository is None:
            return
        kind, revision = [*rest, "revision", "main"][:2] if rest else ("revision", "main")
        if unquote(revision) not in (*repository.revisions, repository.commit):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif kind == "tree":
            folders = {str(Path(file).parent) for file in repository.files if "/" in file}
            folder = [{"type": "directory", "path": one, "size": 0, "oid": git_id(one.encode())} for one in folders]
            self._answer(200, folder + [repository.entry(file) for file in repository.files])
        else:
            siblings = [{"rfilename": file} for file in repository.files]
            self._answer(200, {"id": f"{organisation}/{name}", "sha": repository.commit, "siblings": siblings})

    def _resolve(self, path: str) -> None:
        """`organisation/name/resolve/revision/file`: the metadata, and a redirect to the bytes."""
        organisation, name, _, _, file = path.split("/", 4)
        file = unquote(file)
        repository = self._repository(f"{organisation}/{name}")
        if repository is None:
            return
        if repository.gated and not self._token():
            self._refuse(401, "GatedRepo", "Access to this model is restricted and you are not in the authorized list")
        elif file not in repository.files:
            self._refuse(404, "EntryNotFound", "Entry not found")
        elif _large(file):
            etag, size = repository.etag(file), len(repository.files[file])
            headers = {"X-Repo-Commit": repository.commit, "X-Linked-Size": str(size), "X-Linked-ETag": f'"{etag}"'}
            other = self.hub.url.replace("127.0.0.1", "localhost")
            self._answer(302, None, **headers, Location=f"{other}/weights/{etag}/{quote(file)}")
        else:
            where = f"/api/resolve-cache/models/{organisation}/{name}/{repository.commit}/{quote(file)}"
            headers = {"X-Repo-Commit": repository.commit, "X-Linked-ETag": f'"{repository.etag(file)}"'}
            self._answer(307, None, **headers, Location=where)

    def _small(self, repository: Repository, commit: str, file: str) -> None:
        data = repository.files[file]
        self._send(200, data, {"ETag": f'"{repository.etag(file)}"', "X-Repo-Commit": commit})

    def _weights(self, digest: str) -> None:
        """The host of the weights: bytes by their checksum, from where the client asks for."""
        hub = self.hub
        if token := self._token():
            hub.leaked.append(token)
        if hub.weights_status:
            return self._answer(hub.weights_status, None)
        files = [data for one in hub.repositories.values() for name, data in one.files.items() if _large(name)]
        data = next(data for data in files if hashlib.sha256(data).hexdigest() == digest)
        if hub.damaged > 0:
            hub.damaged -= 1
            data = bytes([data[0] ^ 1]) + data[1:]
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        headers = {"ETag": f'"{digest[::-1]}"', "Accept-Ranges": "bytes"}  # of its own, as on the real one
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(206 if start else 200, data[start:], headers, faulty=True)

    def _send(self, status: int, data: bytes, headers: dict[str, str], faulty: bool = False) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        hub = self.hub
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(data), PART):
                if faulty and 0 <= hub.lose_after <= start:
                    hub.lose_after = 0
                    self.close_connection = True
                    return
                if faulty and 0 <= hub.hold_after <= start:
                    hub.held.set()
                    hub.go.wait(60)
                self.wfile.write(data[start : start + PART])

    def _repository(self, name: str) -> Repository | None:
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self._token()):
            self._refuse(401 if not self._token() else 404, "RepoNotFound", "Repository not found")
            return None
        return repository

    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._answer(status, {"error": message}, **{"X-Error-Code": code, "X-Error-Message": message})

    def _answer(self, status: int, content: Any, **headers: str) -> None:
        data = b"" if content is None else json.dumps(content).encode()
        self._send(status, data, {"Content-Type": "application/json", **headers})
