"""A server in another thread, with tiny weights, for tests."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from photo_zoo import load_restorer

from restore import Restorer
from restore.web.app import Limits, create_app
from restore.web.server import listen


class Answer:
    """What a server said."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The error's one line."""
        return str(self.json["error"])


class Client:
    """Asks a server on this machine, as curl would."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **headers: str) -> Answer:
        """GET."""
        return self.send("GET", path, None, headers)

    def delete(self, path: str) -> Answer:
        """DELETE."""
        return self.send("DELETE", path, None, {})

    def send_json(self, method: str, path: str, value: Any, **headers: str) -> Answer:
        """POST or PUT a JSON value."""
        headers = {"Content-Type": "application/json", **headers}
        return self.send(method, path, json.dumps(value).encode(), headers)

    def post(
        self, path: str, files: dict[str, tuple[str, bytes]], headers: Any = None, **fields: Any
    ) -> Answer:
        """POST a form with files."""
        body, kind = encode_form(files, fields)
        return self.send("POST", path, body, {"Content-Type": kind, **(headers or {})})

    def send(self, method: str, path: str, body: bytes | None, headers: Any) -> Answer:
        """Any request."""
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Open a photograph on the page."""
        answer = self.post("/api/photos", {"photo": (name, content)})
        assert answer.status == 201, answer.body
        return dict(answer.json)

    def finish(self, job_id: str) -> dict[str, Any]:
        """Wait for a job's end."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            job = dict(self.get(f"/api/jobs/{job_id}").json)
            if job["state"] not in ("queued", "running"):
                return job
            time.sleep(0.05)
        raise AssertionError("the job doesn't end")


def encode_form(files: dict[str, tuple[str, bytes]], fields: dict[str, Any]) -> tuple[bytes, str]:
    """multipart/form-data, and its content type."""
    boundary = uuid.uuid4().hex
    parts = []
    for name, value in fields.items():
        name = name.replace("_", "-")
        parts.append(f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode())
    for name, (filename, content) in files.items():
        quoted = filename.replace('"', "%22")
        head = f'Content-Disposition: form-data; name="{name}"; filename="{quoted}"\r\n\r\n'
        parts.append(head.encode() + content)
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


@contextmanager
def running_server(
    album: Path | None = None,
    *,
    restorer: Restorer | None = None,
    recursive: bool = False,
    limits: Limits | None = None,
) -> Iterator[Client]:
    """A server that runs until the end of the block."""
    restorer = restorer or load_restorer("tiny", tile_px=256)
    listening = listen(0)
    app = create_app(restorer, album=album, recursive=recursive, limits=limits)
    config = uvicorn.Config(
        app, log_level="error", server_header=False, ws="none", http="h11", lifespan="on",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield Client(f"http://127.0.0.1:{listening.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
