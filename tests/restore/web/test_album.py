"""Works: they go on without a page, stop within a tile, name what failed, and overwrite nothing."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from photo_zoo import MODELS, draw_photo, load_restorer, write_pillow
from PIL import Image
from running import Client, running_server
from still_network import LumaPainter

from restore import Restorer
from restore.cli import main
from restore.web.app import Limits
from restore.web.worker import Worker


def _png(height: int = 46, width: int = 71) -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw_photo(height, width)).save(file, "PNG")
    return file.getvalue()


def _ids(client: Client) -> dict[str, str]:
    photos = client.get("/api/state?rescan=1").json["photos"]
    return {photo["name"]: photo["id"] for photo in photos}


def _start(client: Client, names: list[str], **more: object) -> list[str]:
    known = _ids(client)
    request = {"kind": "album", "photos": [known[name] for name in names], **more}
    answer = client.send_json("POST", "/api/jobs", request)
    assert answer.status == 202, answer.body
    return [job["id"] for job in answer.json["jobs"]]


def test_album_gives_what_the_command_gives(tmp_path: Path) -> None:
    """The same files of the same settings, in every format, from page, folder and API."""
    page, folder = tmp_path / "page", tmp_path / "folder"
    for place in (page, folder):
        place.mkdir()
        for name in ("a.jpg", "b.png", "c.tif", "d.gif", "e.webp"):
            write_pillow("P" if name.endswith("gif") else "RGB")(place / name)
    arguments = [str(folder), "--model", str(MODELS / "tiny.zip"), "--tile", "256"]
    options = ["--strength", "0.7", "--no-provenance"]
    assert CliRunner().invoke(main, [*arguments, *options]).exit_code == 0
    with running_server(page) as client:
        settings = {"strength": "0.7", "no-provenance": "1"}
        for job_id in _start(client, list(_ids(client)), settings=settings):
            assert client.finish(job_id)["state"] == "done"
        state = client.get("/api/state?rescan=1").json
        assert all(photo["restored"] for photo in state["photos"])
    names = sorted(path.name for path in folder.iterdir())
    assert sorted(path.name for path in page.iterdir()) == names
    for name in names:
        assert (page / name).read_bytes() == (folder / name).read_bytes(), name


def test_bad_photograph_stops_no_other(tmp_path: Path) -> None:
    """The rest finish; the bad one is named, in the command's words."""
    for name in ("a.png", "c.png"):
        write_pillow("RGB")(tmp_path / name)
    (tmp_path / "b.png").write_bytes(_png()[:500])
    with running_server(tmp_path) as client:
        jobs = [client.finish(job) for job in _start(client, ["a.png", "b.png", "c.png"])]
    assert [job["state"] for job in jobs] == ["done", "failed", "done"]
    assert jobs[1]["error"].startswith("b.png: damaged or not readable")
    assert str(tmp_path) not in jobs[1]["error"]


def test_done_photographs_are_skipped_unless_wanted_again(tmp_path: Path) -> None:
    """A result that is there stays; "again" makes it anew; the original never changes."""
    write_pillow("RGB")(tmp_path / "a.png")
    original = (tmp_path / "a.png").read_bytes()
    with running_server(tmp_path) as client:
        (job,) = _start(client, ["a.png"])
        client.finish(job)
        first = (tmp_path / "a.restored.png").read_bytes()
        assert _start(client, ["a.png"], settings={"strength": "0.2"}) == []
        (job,) = _start(client, ["a.png"], settings={"strength": "0.2"}, again=True)
        client.finish(job)
        assert (tmp_path / "a.restored.png").read_bytes() != first
        assert list(_ids(client)) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == original
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "a.restored.png"]


def test_two_photographs_for_one_place_are_not_mixed(tmp_path: Path) -> None:
    """a.gif and a.png would both become a.restored.png: the first stays."""
    write_pillow("P")(tmp_path / "a.gif")
    write_pillow("RGB")(tmp_path / "a.png")
    with running_server(tmp_path) as client:
        states = [client.finish(job)["state"] for job in _start(client, ["a.gif", "a.png"])]
    assert sorted(states) == ["done", "failed"]


def test_second_photograph_for_a_place_is_not_called_restored(tmp_path: Path) -> None:
    """It fails by itself, and says whose result that is."""
    write_pillow("P")(tmp_path / "a.gif")
    write_pillow("RGB")(tmp_path / "a.png")
    with running_server(tmp_path) as client:
        (job,) = _start(client, ["a.gif"])
        client.finish(job)
        photos = {p["name"]: p["restored"] for p in client.get("/api/state").json["photos"]}
        assert photos == {"a.gif": True, "a.png": False}
        (job,) = _start(client, ["a.png"])
        ended = client.finish(job)
    assert ended["error"].startswith("a.png: a.restored.png is the result of a.gif")


def test_sidecar_comes_along_into_the_album(tmp_path: Path) -> None:
    """As with the command, and never over another."""
    for name in ("a", "b"):
        write_pillow("RGB")(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.xmp").write_text("<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    (tmp_path / "b.restored.xmp").write_text("mine")
    with running_server(tmp_path) as client:
        states = [client.finish(job)["state"] for job in _start(client, ["a.png", "b.png"])]
    assert states == ["done", "failed"]
    assert (tmp_path / "a.restored.xmp").exists()
    assert (tmp_path / "b.restored.xmp").read_text() == "mine"
    assert not (tmp_path / "b.restored.png").exists()


def test_downloads_of_another_format_keep_their_names(tmp_path: Path) -> None:
    """Each is named after its own photograph."""
    for name in ("a", "b"):
        write_pillow("RGB")(tmp_path / f"{name}.jpg")
    with running_server() as client:
        ids = [client.upload(f"{n}.jpg", (tmp_path / f"{n}.jpg").read_bytes())["id"] for n in "ab"]
        wanted = {"photos": ids, "kind": "download", "settings": {"output": "png"}}
        jobs = client.send_json("POST", "/api/jobs", wanted).json["jobs"]
        assert [client.finish(job["id"])["name"] for job in jobs] == [
            "a.restored.png",
            "b.restored.png",
        ]


def test_stem_is_kept_and_like_names_do_not_collide(tmp_path: Path) -> None:
    """a.jpg and a.png have results of their own."""
    write_pillow("RGB")(tmp_path / "a.jpg")
    write_pillow("RGB")(tmp_path / "a.png")
    with running_server(tmp_path) as client:
        for job in _start(client, ["a.jpg", "a.png"]):
            client.finish(job)
    assert {p.name for p in tmp_path.iterdir()} == {
        *("a.jpg", "a.png", "a.restored.jpg", "a.restored.png")
    }


@pytest.mark.slow
def test_cancel_acts_within_a_tile_and_keeps_what_is_finished(tmp_path: Path) -> None:
    """All that waits is dropped, the one under way ends, finished files stay."""
    write_pillow("RGB")(tmp_path / "a.png")
    for name in ("b.png", "c.png"):
        (tmp_path / name).write_bytes(_png(1500, 2000))
    with running_server(tmp_path, restorer=load_restorer("tiny", tile_px=128)) as client:
        jobs = _start(client, ["a.png", "b.png", "c.png"])
        assert client.finish(jobs[0])["state"] == "done"
        while not client.get(f"/api/jobs/{jobs[1]}").json["done_frac"]:
            time.sleep(0.01)
        client.delete("/api/jobs")
        started = client.get(f"/api/jobs/{jobs[1]}").json["done_frac"]
        assert client.finish(jobs[1])["state"] == "cancelled"
        ended = client.get(f"/api/jobs/{jobs[1]}").json["done_frac"]
        assert ended - started < 0.2
        assert client.finish(jobs[2])["state"] == "cancelled"
        names = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
        assert names == {"a.png", "b.png", "c.png", "a.restored.png"}
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.slow
def test_preview_comes_between_the_tiles_of_a_long_work(tmp_path: Path) -> None:
    """A large photograph under way doesn't keep a preview waiting until its end."""
    (tmp_path / "large.png").write_bytes(_png(2000, 3000))
    write_pillow("RGB")(tmp_path / "small.png")
    with running_server(tmp_path, restorer=load_restorer("tiny", tile_px=128)) as client:
        (job,) = _start(client, ["large.png"])
        photo_id = _ids(client)["small.png"]
        assert client.get(f"/api/photos/{photo_id}/preview/after").status == 200
        assert client.get(f"/api/jobs/{job}").json["state"] in ("queued", "running")
        client.delete(f"/api/jobs/{job}")


def test_time_left_is_told(tmp_path: Path) -> None:
    """While works wait or run; nothing afterwards."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(_png(400, 500))
    with running_server(tmp_path) as client:
        jobs = _start(client, ["a.png", "b.png"])
        assert client.get("/api/state").json["seconds_left"] > 0
        for job in jobs:
            client.finish(job)
        assert client.get("/api/state").json["seconds_left"] is None


def test_edits_are_kept_saved_and_given_to_the_command(tmp_path: Path) -> None:
    """What was painted on the page does on the command line what it did there."""
    photo = _png(300, 400)
    steps = [
        {"kind": "stroke", "mode": "add", "size_px": 9, "points": [[50, 60], [200, 80]]},
        {"kind": "stroke", "mode": "erase", "size_px": 30, "points": [[120, 70]]},
        {"kind": "stroke", "mode": "add", "size_px": 1, "points": [[399.9, 299.9]]},
    ]
    with running_server() as client:
        entry = client.upload("a.png", photo)
        place = f"/api/photos/{entry['id']}"
        assert client.send_json("PUT", f"{place}/edits", {"steps": steps}).status == 200
        assert client.get(place).json["edits"]["steps"] == steps
        saved = client.get(f"{place}/marks").body
        request = {"kind": "download", "photos": [entry["id"]], "settings": {"no-provenance": "1"}}
        (job,) = client.send_json("POST", "/api/jobs", request).json["jobs"]
        client.finish(job["id"])
        mine = client.get(f"/api/jobs/{job['id']}/file").body
    marks = np.asarray(Image.open(io.BytesIO(saved)))
    assert marks[299, 399] == 255
    assert (marks[:, 380:399] == 128).all()
    assert marks[70, 120] == 0
    (tmp_path / "a.png").write_bytes(photo)
    (tmp_path / "m.png").write_bytes(saved)
    options = ["--marks-in", str(tmp_path / "m.png"), "--marks-mode", "edit", "--no-provenance"]
    arguments = [str(tmp_path / "a.png"), "--model", str(MODELS / "tiny.zip"), "--tile", "256"]
    assert CliRunner().invoke(main, [*arguments, *options]).exit_code == 0
    assert (tmp_path / "a.restored.png").read_bytes() == mine


@pytest.mark.parametrize("size_px", [1, 2, 3, 4, 7, 10, 31])
def test_pen_is_as_wide_as_it_says(size_px: int) -> None:
    """Down to one pixel of the source, on its own pixel."""
    step = {"kind": "stroke", "mode": "add", "size_px": size_px, "points": [[60.4, 50.7]]}
    with running_server() as client:
        entry = client.upload("a.png", _png(100, 120))
        client.send_json("PUT", f"/api/photos/{entry['id']}/edits", {"steps": [step]})
        marks = client.get(f"/api/photos/{entry['id']}/marks").body
    painted = np.argwhere(np.asarray(Image.open(io.BytesIO(marks))) == 255)
    size = painted.max(axis=0) - painted.min(axis=0) + 1
    assert np.abs(size - size_px).max() <= (1 if size_px > 1 else 0)
    assert np.abs(painted.mean(axis=0) - (50, 60)).max() <= 1


def test_found_marks_load_as_additions() -> None:
    """What --marks-out wrote has no say where it is black."""
    found = np.zeros((46, 71), np.uint8)
    found[10:14] = 255
    file = io.BytesIO()
    Image.fromarray(found).save(file, "PNG")
    with running_server() as client:
        entry = client.upload("a.png", _png())
        place = f"/api/photos/{entry['id']}"
        answer = client.post(f"{place}/marks", {"marks": ("m.png", file.getvalue())})
        steps = [{"kind": "base", "number": answer.json["number"]}]
        client.send_json("PUT", f"{place}/edits", {"steps": steps})
        marks = np.asarray(Image.open(io.BytesIO(client.get(f"{place}/marks").body)))
    assert (marks[10:14] == 255).all()
    assert (marks[20:] == 128).all()


@pytest.mark.slow
def test_parts_are_the_whole_at_native_resolution() -> None:
    """What is seen at 1:1 is what the download has there."""
    photo = _png(1100, 1300)
    with running_server() as client:
        entry = client.upload("a.png", photo)
        place = f"/api/photos/{entry['id']}"
        whole = np.asarray(
            Image.open(io.BytesIO(client.post("/api/restore", {"photo": ("a.png", photo)}).body))
        ).astype(int)
        for x, y, w, h in ((0, 0, 200, 150), (700, 500, 128, 128), (1200, 1000, 400, 400)):
            query = f"x={x}&y={y}&w={w}&h={h}"
            part = Image.open(io.BytesIO(client.get(f"{place}/part/after?{query}").body))
            wanted = whole[y : y + h, x : x + w]
            assert np.abs(np.asarray(part).astype(int) - wanted).max() <= 2
            before = Image.open(io.BytesIO(client.get(f"{place}/part/before?{query}").body))
            assert (np.asarray(before) == draw_photo(1100, 1300)[y : y + h, x : x + w]).all()
        for query in ("x=0&y=0&w=50000000&h=5", "x=1300&y=0&w=5&h=5", "x=a&y=0&w=1&h=1", "x=0"):
            assert client.get(f"{place}/part/after?{query}").status == 400


def test_parts_have_the_colours_of_the_whole() -> None:
    """Of a small photograph, whose colours are looked for in what the local pass made."""
    grey = np.full((700, 900, 1), 100, np.uint8).repeat(3, axis=2)
    grey[:, 448:451] = 255
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "png")
    photo = file.getvalue()
    with running_server(restorer=Restorer(LumaPainter())) as client:  # type: ignore[arg-type]
        entry = client.upload("a.png", photo)
        whole = client.post("/api/restore", {"photo": ("a.png", photo)}).body
        query = "x=400&y=300&w=100&h=100"
        part = client.get(f"/api/photos/{entry['id']}/part/after?{query}").body
    wanted, found = (np.asarray(Image.open(io.BytesIO(png))).astype(int) for png in (whole, part))
    assert np.ptp(wanted, axis=2).max() > 10
    assert np.abs(found - wanted[300:400, 400:500]).max() <= 2


def test_mask_is_the_same_after_other_work() -> None:
    """Its hash survives previews, strengths and reports."""
    step = {"kind": "stroke", "mode": "add", "size_px": 5, "points": [[20, 20], [50, 30]]}
    with running_server() as client:
        entry = client.upload("a.png", _png(120, 160))
        place = f"/api/photos/{entry['id']}"
        client.send_json("PUT", f"{place}/edits", {"steps": [step]})
        hashes = set()
        for path in ("preview/after", "preview/after?tone=0.3", "report", "overlay/guessed"):
            assert client.get(f"{place}/{path}").status == 200
            marks = client.get(f"{place}/marks").body
            hashes.add(hashlib.sha256(marks).hexdigest())
    assert len(hashes) == 1


def test_report_speaks_plainly() -> None:
    """Numbers, places, and three sentences."""
    with running_server() as client:
        entry = client.upload("a.png", _png(300, 400))
        report = client.get(f"/api/photos/{entry['id']}/report").json
        assert 0 <= report["score"] <= 1
        assert [s.split(":")[0] for s in report["sentences"]][:2] == ["Repaired", "Guessed"]
        small = client.upload("s.png", _png(20, 30))
        answer = client.get(f"/api/photos/{small['id']}/report")
        assert answer.status == 422
        assert "too small" in answer.error


def test_worker_goes_on_after_a_fault() -> None:
    """A bug in one work is printed, and the next one is done."""

    class Faulty:
        cancelled = False

        def steps(self):  # type: ignore[no-untyped-def]
            yield
            raise RuntimeError("a bug")

    worker = Worker(max_waiting=3)
    worker.add(Faulty())
    assert worker.soon(lambda: 7).result(timeout=10) == 7
    with pytest.raises(ZeroDivisionError):
        worker.soon(lambda: 1 // 0).result(timeout=10)
    worker.stop()


@pytest.mark.slow
def test_client_that_leaves_ends_its_work(tmp_path: Path) -> None:
    """An API call whose caller is gone is cancelled, and its files are removed."""
    import socket

    from running import encode_form

    limits = Limits(max_waiting=5)
    restorer = load_restorer("tiny", tile_px=128)
    with running_server(restorer=restorer, limits=limits) as client:
        body, kind = encode_form({"photo": ("a.png", _png(3000, 3000))}, {})
        port = int(client.address.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as raw:
            head = (
                f"POST /api/restore HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            raw.sendall(head.encode() + body)
            time.sleep(0.5)
        started = time.monotonic()
        done = threading.Event()

        def ask() -> None:
            client.post("/api/restore", {"photo": ("b.png", _png())})
            done.set()

        threading.Thread(target=ask).start()
        assert done.wait(30)
        assert time.monotonic() - started < 20


def test_api_document_is_json() -> None:
    """Errors of routes that aren't there, too."""
    with running_server() as client:
        for path in ("/api/nothing", "/api/photos/x", "/api/jobs/x/file"):
            answer = client.get(path)
            assert answer.status == 404
            assert json.loads(answer.body)["error"]
        assert client.send("POST", "/api/health", b"", {}).status == 405
