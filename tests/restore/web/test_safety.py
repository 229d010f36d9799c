"""Nothing of this machine is readable or driven through the server but what its user opened."""

from __future__ import annotations

import io
import mimetypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from photo_zoo import MODELS, draw_photo, write_pillow
from PIL import Image
from running import Client, encode_form, running_server

from restore.web.app import Limits
from restore.web.desk import PREFIX


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with running_server(limits=Limits(max_upload_mb=1, max_megapixels=1)) as client:
        yield client


def _photo(height: int = 46, width: int = 71) -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw_photo(height, width)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "127.0.0.1@evil"]
)
@pytest.mark.parametrize("path", ["/", "/api/health", "/api/state", "/static/page.css"])
def test_foreign_host_is_refused(client: Client, host: str, path: str) -> None:
    """Names that lead here by a trick (DNS rebinding) get 403."""
    answer = client.get(path, Host=host)
    assert answer.status == 403
    assert "this machine only" in answer.error


@pytest.mark.parametrize("host", ["localhost", "[::1]", "127.0.0.1"])
def test_names_of_this_machine_are_one(client: Client, host: str) -> None:
    """As host and as origin, whichever of them."""
    port = client.address.rsplit(":", 1)[1]
    for other in ("localhost", "[::1]", "127.0.0.1"):
        headers = {"Host": f"{host}:{port}", "Origin": f"http://{other}:{port}"}
        assert client.post("/api/photos", {"photo": ("a.png", _photo())}, headers).status == 201


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        "http://localhost:1",
        "https://127.0.0.1",
        "file://",
        "http://",
    ],
)
def test_foreign_origin_may_change_nothing(client: Client, origin: str) -> None:
    """POST, PUT and DELETE get 403; plain links still open the page."""
    headers = {"Origin": origin}
    for path in ("/api/restore", "/api/photos"):
        answer = client.post(path, {"photo": ("a.png", _photo())}, headers)
        assert answer.status == 403
        assert "other sites" in answer.error
    assert client.send("DELETE", "/api/jobs", None, headers).status == 403
    assert client.send_json("PUT", "/api/photos/x/edits", {}, **headers).status == 403
    assert client.get("/", **headers).status == 200


def test_no_origin_is_served(client: Client) -> None:
    """As from curl."""
    assert client.post("/api/restore", {"photo": ("a.png", _photo())}).status == 200


@pytest.mark.parametrize(
    "name",
    [
        *("../../etc/evil.png", "..\\..\\evil.png", "/etc/passwd", "C:evil.png", "..", "."),
        *("C:\\evil.png", "\\\\host\\share\\evil.png"),
        *("a/b.png", ".hidden.png", "a\0b.png", "a\x1bb.png", "x" * 300 + ".png", "\u202egnp.exe"),
    ],
)
def test_crafted_name_is_refused(client: Client, name: str) -> None:
    """Paths, drives, control signs: 400, and nothing is written anywhere."""
    for path in ("/api/photos", "/api/restore"):
        answer = client.post(path, {"photo": (name, _photo())})
        assert answer.status == 400, (name, answer.body)
        assert "\n" not in answer.error


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/static/../app.py",
            "/static/%2e%2e/app.py",
            "/static/..%2fapp.py",
            "/static//etc/passwd",
        ),
        *("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/api/photos/../../app.py"),
        *("/api/photos/..%2f..%2fetc%2fpasswd/thumb", "/api/jobs/..%2f..%2fx/file", "/static/"),
        *("/api/photos/%00/thumb", "/static/page.css%00", "/static/..\\app.py", "/etc/passwd"),
    ],
)
def test_no_path_is_readable(client: Client, path: str) -> None:
    """Ids, not paths: whatever looks like one is not there."""
    port = int(client.address.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
        raw.sendall(request.encode())
        said = b"".join(iter(lambda: raw.recv(65536), b""))
    assert said.split(b" ")[1] in (b"404", b"405", b"400"), said[:200]
    assert b"root:" not in said
    assert b"import" not in said


def test_link_out_of_the_album_is_not_followed(tmp_path: Path) -> None:
    """Neither to a file nor to a folder."""
    (tmp_path / "album").mkdir()
    (tmp_path / "private").mkdir()
    write_pillow("RGB")(tmp_path / "private" / "secret.png")
    write_pillow("RGB")(tmp_path / "album" / "mine.png")
    (tmp_path / "album" / "link.png").symlink_to(tmp_path / "private" / "secret.png")
    (tmp_path / "album" / "folder").symlink_to(tmp_path / "private")
    with running_server(tmp_path / "album", recursive=True) as client:
        names = [photo["name"] for photo in client.get("/api/state").json["photos"]]
    assert names == ["mine.png"]


def test_too_large_an_upload_is_refused(client: Client) -> None:
    """By its announced length, and by counting where none is announced.

    What sends all of it before it listens, as many clients do, is told why, too.
    """
    too_much = _photo() + bytes(24 << 20)
    answer = client.post("/api/photos", {"photo": ("a.png", too_much)})
    assert answer.status == 413
    assert "--max-upload-mb" in answer.error
    port = int(client.address.rsplit(":", 1)[1])
    body, kind = encode_form({"photo": ("a.png", too_much)}, {})
    with socket.create_connection(("127.0.0.1", port)) as raw:
        head = (
            f"POST /api/photos HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        raw.sendall(head.encode())
        for start in range(0, len(body), 65536):
            piece = body[start : start + 65536]
            raw.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        raw.sendall(b"0\r\n\r\n")
        said = raw.recv(65536)
    assert b" 413 " in said.split(b"\r\n")[0]


def test_too_many_pixels_are_refused_by_the_header(client: Client) -> None:
    """413, naming the option."""
    answer = client.post("/api/photos", {"photo": ("a.png", _photo(1100, 1000))})
    assert answer.status == 413
    assert "a.png: 1000 x 1100 px" in answer.error
    assert "--max-megapixels" in answer.error


def test_queue_is_bounded() -> None:
    """429 beyond it, with a time to come again."""
    with running_server(limits=Limits(max_waiting=2)) as client:
        photos = [client.upload(f"{i}.png", _photo(700, 900))["id"] for i in range(4)]
        request = {"kind": "download", "photos": photos}
        answer = client.send_json("POST", "/api/jobs", request)
        assert answer.status == 429
        assert answer.headers["Retry-After"]
        assert client.get("/api/state").json["jobs"] == []
        assert (
            client.send_json("POST", "/api/jobs", {**request, "photos": photos[:1]}).status == 202
        )


@pytest.mark.parametrize("path", ["/", "/static/page.css", "/api/state", "/api/health", "/nothing"])
def test_every_answer_forbids_what_is_foreign(client: Client, path: str) -> None:
    """A content security policy of 'self', no guessing of types, no referrer, no frames."""
    headers = client.get(path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Access-Control-Allow-Origin"] is None
    assert headers["Server"] is None


def test_static_files_name_no_other_host() -> None:
    """Nothing is loaded from elsewhere."""
    from restore.web.app import STATIC

    for file in STATIC.iterdir():
        if file.suffix in (".html", ".css", ".js"):
            text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
            assert "http:" not in text, file
            assert "https:" not in text, file
            assert "//cdn" not in text, file


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b'{"photos": 3}', b'{"photos": ["x"], "kind": "download"}'),
        *(b'{"photos": [], "kind": "format c:"}', b"[" * 10_000),
    ],
)
def test_nonsense_is_answered_with_4xx(client: Client, body: bytes) -> None:
    """Never a traceback, always one line."""
    for method, path in (("POST", "/api/jobs"), ("PUT", "/api/photos/x/edits"),
                         ("POST", "/api/restore"), ("POST", "/api/photos")):  # fmt: skip
        answer = client.send(method, path, body, {"Content-Type": "application/json"})
        assert 400 <= answer.status < 500, (method, path, answer.status)
        assert "\n" not in answer.error


def test_uploads_are_private_and_removed_at_the_end(tmp_path: Path, monkeypatch) -> None:
    """A folder that only this user can enter, emptied per request and gone with the server."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with running_server() as client:
        (own,) = tmp_path.glob(f"{PREFIX}*")
        assert own.stat().st_mode & 0o777 == 0o700
        before = sorted(own.rglob("*"))
        assert client.post("/api/restore", {"photo": ("a.png", _photo())}).status == 200
        assert client.post("/api/restore", {"photo": ("a.png", b"bad")}).status == 415
        time.sleep(0.2)
        assert sorted(own.rglob("*")) == before
        photo = client.upload("a.png", _photo())
        assert client.delete(f"/api/photos/{photo['id']}").status == 200
        assert sorted(own.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


def test_page_is_served_as_scripts_and_styles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the system's registry says of their suffixes."""
    monkeypatch.setattr(mimetypes, "_db", mimetypes.MimeTypes())
    for suffix in (".js", ".css", ".svg"):
        mimetypes.add_type("text/plain", suffix)
    with running_server() as client:
        names = ("page.js", "page.css", "icon.svg")
        kinds = [client.get(f"/static/{name}").headers["content-type"] for name in names]
    expected = ("text/javascript", "text/css", "image/svg+xml")
    assert all(kind.startswith(e) for kind, e in zip(kinds, expected, strict=True)), kinds


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_server_leaves_nothing_half_written(tmp_path: Path) -> None:
    """Killed in the middle of a photograph: no result, and the next server sweeps."""
    album, temporary = tmp_path / "album", tmp_path / "tmp"
    album.mkdir()
    temporary.mkdir()
    (album / "a.png").write_bytes(_photo(2000, 2600))
    env = {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "restore", "serve", str(album), "--port", "0", "--no-browser"]
    command += ["--model", str(MODELS / "tiny.zip")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    client = Client(process.stdout.readline().strip().rstrip("/"))
    (photo,) = client.get("/api/state").json["photos"]
    client.send_json("POST", "/api/jobs", {"photos": [photo["id"]], "kind": "album"})
    until = time.monotonic() + 60
    while not client.get("/api/state").json["jobs"][0]["done_frac"] and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert [p.name for p in album.iterdir() if not p.name.startswith(".")] == ["a.png"]
    assert list(album.glob(f".{PREFIX}*"))
    assert list(temporary.glob(f"{PREFIX}*"))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    process.stdout.readline()
    assert [p.name for p in album.iterdir()] == ["a.png"]
    assert len(list(temporary.glob(f"{PREFIX}*"))) == 1
    process.send_signal(signal.SIGTERM)
    process.wait()
    process.stdout.close()
    assert list(temporary.glob(f"{PREFIX}*")) == []
