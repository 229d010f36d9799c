"""Photographs on the page: brought, shown small, painted on, removed."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from restore.album.job import read_mask
from restore.errors import RestoreError
from restore.hints import hints_to_json
from restore.passes.look import NO_HINTS
from restore.scan.photo import Photo
from restore.scan.pictures import write_picture
from restore.web.desk import Entry, open_photo
from restore.web.edits import base_path, normalise_marks, paint_marks, read_edits
from restore.web.jobs import write_marks
from restore.web.preview import Subject
from restore.web.shared import (
    Server,
    attachment,
    in_thread,
    read_form,
    read_hint_file,
    server_of,
    take_file,
)
from restore.web.uploads import check_name, save_photo

_THUMB_PX = 320


async def add_photo(request: Request) -> Response:
    """POST /api/photos: open a photograph."""
    server = server_of(request)
    async with read_form(request) as form:
        upload = take_file(form, "photo")
        name = check_name(upload.filename)
        photo_id, folder = server.desk.folder_for_upload()
        try:
            path = await in_thread(save_photo, upload.file, name, folder / "photo")
            size = await in_thread(open_photo, path, server.desk.max_pixels)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    entry = server.desk.add_upload(photo_id, path)
    entry.size = size
    return JSONResponse(server.describe(entry), 201)


async def photo(request: Request) -> Response:
    """GET or DELETE /api/photos/ID."""
    server = server_of(request)
    entry = server.entry(request)
    if request.method == "DELETE":
        server.desk.remove(entry.id)
        server.worker.soon(functools.partial(server.previewer.forget, entry.id))
        return JSONResponse({"removed": entry.id})
    await server.measure_size(entry)
    return JSONResponse(server.describe(entry))


async def thumb(request: Request) -> Response:
    """GET /api/photos/ID/thumb."""
    server = server_of(request)
    entry = server.entry(request)
    path = entry.folder / "thumb.jpg"
    async with server.thumbs:  # one at a time: the restoration needs the cores
        if not path.exists():
            await in_thread(open_photo, entry.path, server.desk.max_pixels)
            await in_thread(_write_thumb, entry.path, path)
    return FileResponse(path, headers={"cache-control": "private, max-age=3600"})


async def edits(request: Request) -> Response:
    """PUT /api/photos/ID/edits: every stroke and hint."""
    server = server_of(request)
    entry = server.entry(request)
    edits = await in_thread(read_edits, await request.body())
    if edits.hints and not server.restorer.network.takes_hints:
        raise RestoreError(NO_HINTS.format(server.restorer.name))
    entry.edits = edits
    entry.revision += 1
    return JSONResponse({"revision": entry.revision})


async def marks(request: Request) -> Response:
    """GET or POST /api/photos/ID/marks: save them, or load some."""
    server = server_of(request)
    entry, subject = server.entry(request), await server.subject(request)
    if request.method == "POST":
        async with read_form(request) as form:
            marks = await in_thread(_read_marks, server, take_file(form, "marks"), entry)
        number, entry.num_bases = entry.num_bases, entry.num_bases + 1
        await in_thread(write_marks, base_path(entry.folder, number), marks)
        return JSONResponse({"number": number}, 201)
    assert entry.size is not None
    path = entry.folder / "saved-marks.png"
    await in_thread(_save_marks, subject, entry.size, path)
    return attachment(path, f"{entry.path.stem}.marks.png")


async def hints(request: Request) -> Response:
    """GET or POST /api/photos/ID/hints: save them, or load some."""
    server = server_of(request)
    entry = server.entry(request)
    await server.subject(request)
    assert entry.size is not None
    width, height = entry.size
    if request.method == "POST":
        async with read_form(request) as form:
            hints = await in_thread(read_hint_file, take_file(form, "hints"), entry)
        placed = [hint.to_percent(width, height) for hint in hints]
        return JSONResponse(
            {
                "hints": [
                    {
                        "x_px": round(hint.x_px * width / 100, 2),
                        "y_px": round(hint.y_px * height / 100, 2),
                        "color": hint.hex_color,
                    }
                    for hint in placed
                ]
            },
            201,
        )
    path = entry.folder / "saved-hints.json"
    path.write_text(hints_to_json(entry.edits.hints), encoding="utf-8")
    return attachment(path, f"{entry.path.stem}.hints.json")


def _read_marks(server: Server, upload: UploadFile, entry: Entry) -> NDArray[np.uint8]:
    (entry.folder / "loaded").mkdir(exist_ok=True)
    shutil.rmtree(entry.folder / "loaded")
    (entry.folder / "loaded").mkdir()
    path = save_photo(upload.file, check_name(upload.filename), entry.folder / "loaded")
    open_photo(path, server.desk.max_pixels)
    return normalise_marks(read_mask(path))


def _write_thumb(photo_path: Path, path: Path) -> None:
    with Photo(photo_path) as photo:
        scale = min(1.0, _THUMB_PX / max(photo.width, photo.height))
        height, width = max(1, round(photo.height * scale)), max(1, round(photo.width * scale))
        small = photo.space.to_srgb(photo.reduced(height, width)).clip(0, 1)
    picture = np.rint(255 * small[..., ::-1]).astype(np.uint8)
    part = path.with_name("part.jpg")
    write_picture(part, picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    part.replace(path)


def _save_marks(subject: Subject, size: tuple[int, int], path: Path) -> None:
    width, height = size
    marks = paint_marks(subject.edits, height, width, subject.folder, of=(height, width))
    if marks is None:
        marks = np.full((height, width), 128, np.uint8)
    write_marks(path, marks)
