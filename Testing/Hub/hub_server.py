"""A server on this machine that answers as the Hugging Face hub does, from a folder of repositories."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

# What the hub keeps in Git LFS, and answers with a redirect to its storage.
_LARGE = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".onnx", ".ckpt")


@dataclass
class HubServer:
    """A running server.

    Attributes
    ----------
    endpoint
        Its address, for ``HF_ENDPOINT`` or `models.public.hub.Hub`.
    folder
        The repositories: ``OWNER/NAME/<files>``; what stands in the front matter of ``README.md`` is the card's data. A
        pull request number 1 is a folder ``OWNER/NAME.pr1``, of the author of the hub's conversions.
    asked
        What it was asked, in order: ``"GET /OWNER/NAME/resolve/main/model.safetensors 0-"``, the range where there is
        one.
    break_after
        Bytes after which every answer with a file breaks off; None for never.
    wrong_byte
        Paths of files, ``OWNER/NAME/file``, of which one byte is sent wrong.
    token
        Without it nothing is given; empty for a public hub.
    lies
        What the list of files says of each otherwise than it is: ``{"size": 1}``.
    page
        A page that stands before everything, as that of a network's login does; empty for none.
    logins
        What was shown as a login, by the begin of the path.
    """

    endpoint: str
    folder: Path
    asked: list[str] = field(default_factory=list)
    break_after: int | None = None
    wrong_byte: set[str] = field(default_factory=set)
    token: str = ""
    lies: dict[str, object] = field(default_factory=dict)
    page: str = ""
    logins: dict[str, set[str]] = field(default_factory=dict)


@contextmanager
def serve_hub(folder: Path) -> Iterator[HubServer]:
    """Serve the repositories of a folder until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.hub = HubServer(f"http://127.0.0.1:{server.server_address[1]}", folder)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.hub  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def commit_of(repository: Path) -> str:
    """Return the commit of a repository as this server states it: another for other content."""
    digest = hashlib.sha1()
    for path in _files(repository):
        digest.update(f"{path.relative_to(repository).as_posix()} {_sums(path)[1]}\n".encode())
    return digest.hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def end_headers(self) -> None:
        self.send_header("Connection", "close")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass

    @property
    def hub(self) -> HubServer:
        return self.server.hub  # type: ignore[attr-defined]

    def _answer(self) -> None:
        # A connection that is kept would be answered after the server's end.
        self.close_connection = True
        path = unquote(urlsplit(self.path).path)
        wanted = self.headers.get("Range", "").removeprefix("bytes=")
        self.hub.asked.append(f"{self.command} {path} {wanted}".rstrip())
        login = self.headers.get("Authorization", "")
        self.hub.logins.setdefault("/" + path.split("/")[1], set()).add(login)
        if self.hub.page:
            self._send(self.hub.page.encode(), "text/html")
            return
        if path.startswith("/storage/"):
            # As on the hub's storage, whose addresses are signed.
            self._send_file(self.hub.folder / path.removeprefix("/storage/"), wanted)
            return
        if self.hub.token and login != f"Bearer {self.hub.token}":
            self._fail(401, "GatedRepo", "Access to this repository is restricted.")
            return
        if path.startswith("/api/models/"):
            self._say_what_is_there(path.removeprefix("/api/models/"))
            return
        parts = path.strip("/").split("/")
        if len(parts) < 5 or parts[2] != "resolve":
            self._fail(404, "", "Not found")
            return
        revision, rest = _revision(parts[3:])
        self._resolve("/".join(parts[:2]), revision, "/".join(rest))

    def _say_what_is_there(self, path: str) -> None:
        parts = path.split("/")
        name, rest = "/".join(parts[:2]), parts[2:]
        if rest[:1] == ["discussions"]:
            self._send_json(_discussions(self.hub.folder / name))
            return
        repository = self._find(name, "/".join(rest[1:]) or "main")
        if repository is None:
            return
        card = _card(repository)
        self._send_json(
            {
                "id": name,
                "modelId": name,
                "sha": commit_of(repository),
                "private": False,
                "gated": False,
                "tags": [f"license:{card['license']}"] if "license" in card else [],
                "cardData": card,
                "siblings": [_sibling(file, repository) | self.hub.lies for file in _files(repository)],
            }
        )

    def _resolve(self, name: str, revision: str, file: str) -> None:
        repository = self._find(name, revision)
        if repository is None:
            return
        path = repository / file
        commit = {"X-Repo-Commit": commit_of(repository)}
        if not path.is_file():
            self._fail(404, "EntryNotFound", "Entry not found", commit)
            return
        sha256, git = _sums(path)
        if path.suffix not in _LARGE:
            self._send_file(path, self.headers.get("Range", "").removeprefix("bytes="), commit | {"ETag": f'"{git}"'})
            return
        place = path.relative_to(self.hub.folder).as_posix()
        self.send_response(302)
        for header, value in commit.items():
            self.send_header(header, value)
        self.send_header("X-Linked-Size", str(path.stat().st_size))
        self.send_header("X-Linked-ETag", f'"{sha256}"')
        # Another host, as the hub's storage is one.
        port = self.server.server_address[1]
        self.send_header("Location", f"http://localhost:{port}/storage/{place}?Signature=secret")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _find(self, name: str, revision: str) -> Path | None:
        repository = self.hub.folder / name
        if not repository.is_dir():
            self._fail(404, "RepoNotFound", "Repository not found")
            return None
        for place, known in ((repository, "main"), *_pull_requests(repository)):
            if revision == known or (len(revision) >= 7 and commit_of(place).startswith(revision)):
                return place
        self._fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return None

    def _send_file(self, path: Path, wanted: str, headers: dict[str, str] | None = None) -> None:
        data = path.read_bytes()
        if path.relative_to(self.hub.folder).as_posix() in self.hub.wrong_byte:
            data = data[:-1] + bytes([data[-1] ^ 1])
        size, start = len(data), int(wanted.partition("-")[0] or 0) if wanted else 0
        if start >= size > 0:
            self._fail(416, "", "Range not satisfiable")
            return
        self.send_response(206 if wanted else 200)
        for header, value in (headers or {}).items():
            self.send_header(header, value)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.hub.break_after is not None and size - start > self.hub.break_after:
            self.wfile.write(data[start : start + self.hub.break_after])
            self.wfile.flush()
            return
        self.wfile.write(data[start:])

    def _send_json(self, data: object) -> None:
        self._send(json.dumps(data).encode(), "application/json")

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _fail(self, status: int, code: str, text: str, headers: dict[str, str] | None = None) -> None:
        content = json.dumps({"error": text}).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", text)
        for header, value in (headers or {}).items():
            self.send_header(header, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _revision(parts: list[str]) -> tuple[str, list[str]]:
    """Return the revision at the begin of a path, and what is behind it."""
    return ("/".join(parts[:3]), parts[3:]) if parts[0] == "refs" else (parts[0], parts[1:])


def _files(repository: Path) -> list[Path]:
    return sorted(path for path in repository.rglob("*") if path.is_file())


def _pull_requests(repository: Path) -> list[tuple[Path, str]]:
    found = sorted(repository.parent.glob(f"{repository.name}.pr*"))
    return [(path, f"refs/pr/{path.suffix.removeprefix('.pr')}") for path in found]


def _discussions(repository: Path) -> dict[str, object]:
    requests = [
        {
            "num": int(name.rpartition("/")[2]),
            "title": "Adding `safetensors` variant of this model",
            "author": {"name": "SFconvertbot"},
            "isPullRequest": True,
            "status": "open",
            "createdAt": "2024-01-01T00:00:00.000Z",
            "repo": {"name": repository.name, "type": "model"},
            "repoOwner": {"name": "someone"},
        }
        for _, name in _pull_requests(repository)
    ]
    return {"discussions": requests, "count": len(requests), "start": 0}


def _card(repository: Path) -> dict[str, object]:
    readme = repository / "README.md"
    parts = readme.read_text(encoding="utf-8").split("---\n") if readme.is_file() else []
    return yaml.safe_load(parts[1]) if len(parts) > 2 else {}


def _sibling(path: Path, repository: Path) -> dict[str, object]:
    sha256, git = _sums(path)
    size = path.stat().st_size
    about = {"rfilename": path.relative_to(repository).as_posix(), "size": size, "blobId": git}
    if path.suffix in _LARGE:
        about["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 134}
    return about


def _sums(path: Path) -> tuple[str, str]:
    facts = path.stat()
    return _sums_of(path, facts.st_size, facts.st_mtime_ns)


@cache
def _sums_of(path: Path, size: int, _: int) -> tuple[str, str]:
    """Return the SHA-256 of a file and what Git calls it."""
    data = path.read_bytes()
    return hashlib.sha256(data).hexdigest(), hashlib.sha1(b"blob %d\0" % size + data).hexdigest()
