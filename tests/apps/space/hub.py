"""A hub on this machine: it takes commits as Hugging Face's does, and really starts what it was sent."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

TOKEN = "hf_right"
LFS_SUFFIXES = (".wiggly", ".wasm", ".onnx")
HIDDEN = ("torch", "torchvision", "timm", "cv2", "sklearn", "matplotlib")


@dataclass
class Space:
    """What the hub knows of one."""

    sdk: str
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[dict[str, Any]] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    host: str = ""

    @property
    def sha(self) -> str:
        """Of the newest commit."""
        return self.commits[-1]["oid"] if self.commits else "0" * 40


class Hub:
    """The server.

    Attributes:
        spaces: By name.
        script: Stages that are told one after the other before the true one.
        final: The stage that is told instead of the true one.
        log: Of building and running.
        tamper: Changes the files that are started.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.spaces = folder, dict[str, Space]()
        self.blobs: dict[str, bytes] = {}
        self.script: list[str] = ["BUILDING", "APP_STARTING"]
        self.final: str | None = None
        self.log: list[str] = []
        self.tamper: Any = None
        self.says_sha = True
        self.asked: list[str] = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, self))
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.static: list[http.server.ThreadingHTTPServer] = []

    def stop(self) -> None:
        """Everything that was started ends."""
        for space in self.spaces.values():
            _end(space)
        for server in [self.server, *self.static]:
            server.shutdown()
            server.server_close()

    # ---- what a hub does ----

    def commit(self, name: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
        space = self.spaces[name]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                space.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                space.files[value["path"]] = self.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del space.files[value["path"]]
        oid = hashlib.sha1(json.dumps(lines, sort_keys=True).encode()).hexdigest()
        space.commits.append({"oid": oid, "lines": lines})
        if self.final is None:
            self.start(name, space)
        url = f"{self.address}/spaces/{name}/commit/{oid}"
        return {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""}

    def start(self, name: str, space: Space) -> None:
        """Runs what was sent."""
        _end(space)
        place = self.folder / name.replace("/", "_") / space.sha[:8]
        files = self.tamper(dict(space.files)) if self.tamper else space.files
        for path, content in files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(content)
        settings = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
        if settings["sdk"] == "static":
            handler = functools.partial(_Quiet, directory=str(place))
            self.static.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
            threading.Thread(target=self.static[-1].serve_forever, daemon=True).start()
            space.host = f"http://127.0.0.1:{self.static[-1].server_port}"
            return
        space.process, space.host = started(place, place / settings["app_file"], self.folder)

    def runtime(self, space: Space) -> dict[str, Any]:
        """What the hub says of it now."""
        stage = self.final or "RUNNING"
        if self.script:
            stage = self.script.pop(0)
        elif self.final is None and space.process is not None:
            try:
                urllib.request.urlopen(f"{space.host}/readyz", timeout=5).close()
            except OSError:
                stage = "APP_STARTING" if space.process.poll() is None else "RUNTIME_ERROR"
        raw = {"stage": stage, "hardware": {"current": "cpu-basic", "requested": "cpu-basic"}}
        if stage.endswith("ERROR"):
            raw["errorMessage"] = "it broke"
        return {**raw, "sha": space.sha} if self.says_sha else raw


def started(
    place: Path, program: Path, folder: Path, python: str | Path = sys.executable
) -> tuple[subprocess.Popen[str], str]:
    """A Space's program in a process that cannot import torch; and its address."""
    hidden = folder / "hidden"
    hidden.mkdir(exist_ok=True)
    for name in HIDDEN:
        (hidden / f"{name}.py").write_text(f"raise ImportError('no {name} here')\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [str(python), str(program)],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **{k: v for k, v in os.environ.items() if k != "GRADIO_TEMP_DIR"},
            "PYTHONPATH": str(hidden),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_WAIT_POLICY": "passive",
            "CPU_CORES": "1",
            "SYSTEM": "spaces",
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_SERVER_PORT": str(port),
        },
    )
    return process, f"http://127.0.0.1:{port}"


def _end(space: Space) -> None:
    if space.process is not None:
        space.process.terminate()
        space.process.communicate(timeout=60)
        space.process = None


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


class _Handler(http.server.BaseHTTPRequestHandler):
    """The addresses of the hub that a push needs."""

    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, *given: Any) -> None:
        self.hub = hub
        super().__init__(*given)

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._take("GET")

    def do_HEAD(self) -> None:
        self._take("HEAD")

    def do_POST(self) -> None:
        self._take("POST")

    def do_PUT(self) -> None:
        self._take("PUT")

    def _take(self, method: str) -> None:
        body = self._body()
        path = self.path.partition("?")[0]
        self.hub.asked.append(f"{method} {path}")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}" and not path.startswith("/lfs/"):
            return self._say(
                401, {"error": "Invalid credentials"}, {"X-Error-Message": "Invalid credentials"}
            )
        for pattern, answer in ROUTES:
            found = re.fullmatch(pattern, f"{method} {path}")
            if found:
                return answer(self, body, *found.groups())
        return self._say(404, {"error": f"no {method} {path}"})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts: list[bytes] = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _say(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # ---- one method for each address ----

    def yaml_checked(self, body: bytes) -> None:
        text = json.loads(body)["content"].split("---\n")[1]
        settings = yaml.safe_load(text)
        wrong = [key for key in ("title", "sdk") if not isinstance(settings.get(key), str)]
        errors = [{"message": f'"{key}" must be a string'} for key in wrong]
        self._say(200 if not errors else 400, {"errors": errors, "warnings": []})

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        if asked["organization"] != "ada":
            text = (
                f'You don\'t have the rights to create a space under the namespace "{asked["organization"]}"'
            )
            return self._say(403, {"error": text}, {"X-Error-Message": text.replace('"', "'")})
        name = f"{asked['organization']}/{asked['name']}"
        url = f"{self.hub.address}/spaces/{name}"
        if name in self.hub.spaces:
            return self._say(409, {"error": "You already created this space repo", "url": url})
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.spaces[name] = Space(asked["sdk"], bool(private), {".gitattributes": b""})
        return self._say(200, {"url": url, "name": name, "id": "1"})

    def info(self, body: bytes, name: str) -> None:
        space = self.hub.spaces.get(name)
        if space is None:
            return self._say(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        told = {"id": name, "private": space.private, "sha": space.sha, "host": space.host, "sdk": space.sdk}
        siblings = [{"rfilename": path} for path in space.files]
        return self._say(200, {**told, "siblings": siblings, "tags": [], "likes": 0, "author": "ada"})

    def preupload(self, body: bytes, name: str) -> None:
        files = json.loads(body)["files"]
        modes = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["path"].endswith(LFS_SUFFIXES) else "regular",
                "shouldIgnore": False,
            }
            for one in files
        ]
        self._say(200, {"files": modes})

    def batch(self, body: bytes, name: str) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.hub.address}/lfs/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]
        self._say(200, {"transfer": "basic", "objects": objects})

    def put(self, body: bytes, oid: str) -> None:
        right = hashlib.sha256(body).hexdigest() == oid
        self.hub.blobs[oid] = body
        self._say(200 if right else 422, {})

    def commit(self, body: bytes, name: str) -> None:
        self._say(200, self.hub.commit(name, [json.loads(line) for line in body.splitlines() if line]))

    def tell_runtime(self, body: bytes, name: str) -> None:
        self._say(200, self.hub.runtime(self.hub.spaces[name]))

    def tell_log(self, body: bytes, name: str, kind: str) -> None:
        events = [
            f"data: {json.dumps({'data': line, 'timestamp': '2024-05-06T07:08:09.000Z'})}\n\n"
            for line in self.hub.log
        ]
        self._say(200, "".join(events).encode(), {"Content-Type": "text/event-stream"})

    def resolve(self, body: bytes, name: str, path: str) -> None:
        space = self.hub.spaces[name]
        content = space.files[path]
        tags = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": space.sha}
        self._say(200, content, tags)


SPACE = r"([\w.-]+/[\w.-]+)"
ROUTES: list[tuple[str, Any]] = [
    (r"POST /api/validate-yaml", _Handler.yaml_checked),
    (r"POST /api/repos/create", _Handler.create),
    (rf"GET /api/spaces/{SPACE}", _Handler.info),
    (rf"POST /api/spaces/{SPACE}/preupload/main", _Handler.preupload),
    (rf"POST /spaces/{SPACE}\.git/info/lfs/objects/batch", _Handler.batch),
    (r"PUT /lfs/(\w+)", _Handler.put),
    (rf"POST /api/spaces/{SPACE}/commit/main", _Handler.commit),
    (rf"GET /api/spaces/{SPACE}/runtime", _Handler.tell_runtime),
    (rf"GET /api/spaces/{SPACE}/logs/(\w+)", _Handler.tell_log),
    (rf"(?:GET|HEAD) /spaces/{SPACE}/resolve/main/(.+)", _Handler.resolve),
]
