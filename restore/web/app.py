"""The server's routes: the page, what it asks for, and the API for programs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
import tempfile
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import cv2
import numpy as np
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from restore.errors import RestoreError
from restore.hints import hints_to_json, read_hints
from restore.job import read_mask
from restore.passes.look import NO_HINTS
from restore.passes.windows import Tile
from restore.report.faithfulness import Faithfulness
from restore.restorer import Restorer
from restore.scan.output import output_format
from restore.scan.photo import Photo
from restore.web.desk import Desk, Entry, NotThere, TooManyPixels, open_photo
from restore.web.edits import (
    BadEdits,
    Edits,
    base_path,
    normalise_marks,
    paint_marks,
    read_edits,
    write_edits,
)
from restore.web.fields import FieldError, Wanted, read_fields
from restore.web.guard import BodyTooLarge, Guard
from restore.web.jobs import WebJob, write_marks
from restore.web.overlays import KINDS, draw_overlay, explain, measure_shown
from restore.web.preview import MAX_PART_PIXELS, Previewer, Subject, encode_png
from restore.web.uploads import BadName, UnknownFormat, check_name, save_photo
from restore.web.worker import QueueFull, Worker

STATIC = Path(__file__).with_name("static")
_THUMB_PX = 320
_STATUS: dict[type[Exception], int] = {
    NotThere: 404,
    BadName: 400,
    FieldError: 400,
    BadEdits: 400,
    BodyTooLarge: 413,
    TooManyPixels: 413,
    UnknownFormat: 415,
    QueueFull: 429,
    RestoreError: 422,
}
_T = TypeVar("_T")


@dataclass(frozen=True)
class Limits:
    """What the server takes.

    Attributes:
        max_upload_mb: Size of a request.
        max_megapixels: Of a photograph.
        max_waiting: Photographs in the queue.
    """

    max_upload_mb: int = 512
    max_megapixels: float = 500.0
    max_waiting: int = 1000


def create_app(
    restorer: Restorer,
    *,
    album: Path | None = None,
    recursive: bool = False,
    limits: Limits | None = None,
) -> ASGIApp:
    """The application.

    Args:
        restorer: The loaded network.
        album: A folder whose photographs are shown.
        recursive: Whether its folders are, too.
        limits: What it takes.
    """
    limits = limits or Limits()
    server = _Server(restorer, album, recursive, limits)
    routes = [
        Route("/", server.page),
        Route("/api/health", server.health),
        Route("/api/state", server.state),
        Route("/api/restore", server.restore, methods=["POST"]),
        Route("/api/photos", server.add_photo, methods=["POST"]),
        Route("/api/photos/{id}", server.photo, methods=["GET", "DELETE"]),
        Route("/api/photos/{id}/thumb", server.thumb),
        Route("/api/photos/{id}/preview/{which}", server.preview),
        Route("/api/photos/{id}/part/{which}", server.part),
        Route("/api/photos/{id}/report", server.report),
        Route("/api/photos/{id}/overlay/{kind}", server.overlay),
        Route("/api/photos/{id}/edits", server.edits, methods=["PUT"]),
        Route("/api/photos/{id}/marks", server.marks, methods=["GET", "POST"]),
        Route("/api/photos/{id}/hints", server.hints, methods=["GET", "POST"]),
        Route("/api/jobs", server.jobs, methods=["POST", "DELETE"]),
        Route("/api/jobs/{id}", server.job, methods=["GET", "DELETE"]),
        Route("/api/jobs/{id}/file", server.job_file),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    handlers: dict[Any, Any] = dict.fromkeys(_STATUS, server.explain_error)
    handlers[HTTPException] = _explain_http
    handlers[ClientDisconnect] = _explain_http
    handlers[Exception] = _explain_fault
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=server.lifespan)
    return Guard(app, max_body_bytes=limits.max_upload_mb << 20)


class _Server:
    """What the routes share."""

    def __init__(
        self, restorer: Restorer, album: Path | None, recursive: bool, limits: Limits
    ) -> None:
        self.restorer, self.limits = restorer, limits
        self.worker = Worker(max_waiting=limits.max_waiting)
        self.desk = Desk(
            restorer,
            self.worker,
            album=album,
            recursive=recursive,
            max_pixels=int(limits.max_megapixels * 1e6),
        )
        self.previewer = Previewer(restorer)
        self.measured: dict[Any, Faithfulness] = {}
        self.thumbs = asyncio.Semaphore(1)

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self.worker.stop()
            self.desk.close()

    async def explain_error(self, _: Request, error: Exception) -> Response:
        status = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
        headers = {"retry-after": "10"} if status == 429 else {}
        headers |= {"connection": "close"} if status == 413 else {}
        return JSONResponse({"error": self.desk.hide_paths(str(error))}, status, headers)

    async def page(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def health(self, _: Request) -> Response:
        return JSONResponse(
            {"status": "ok", "model": self.restorer.name, "waiting": self.worker.num_waiting}
        )

    async def state(self, request: Request) -> Response:
        if "rescan" in request.query_params:
            self.desk.look_into_album()
        takes_hints = self.restorer.network.takes_hints
        return JSONResponse(
            {
                **self.desk.describe(),
                "model": self.restorer.name,
                "version": version("old-pictures-restoration"),
                "no_hints": "" if takes_hints else NO_HINTS.format(self.restorer.name),
                "max_upload_mb": self.limits.max_upload_mb,
            }
        )

    async def add_photo(self, request: Request) -> Response:
        async with _form(request) as form:
            upload = _file(form, "photo")
            name = check_name(upload.filename)
            photo_id, folder = self.desk.folder_for_upload()
            try:
                path = await _in_thread(save_photo, upload.file, name, folder / "photo")
                size = await _in_thread(open_photo, path, self.desk.max_pixels)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        entry = self.desk.add_upload(photo_id, path)
        entry.size = size
        return JSONResponse(self._describe(entry), 201)

    async def photo(self, request: Request) -> Response:
        entry = self._entry(request)
        if request.method == "DELETE":
            self.desk.remove(entry.id)
            self.worker.soon(functools.partial(self.previewer.forget, entry.id))
            return JSONResponse({"removed": entry.id})
        if entry.size is None:
            entry.size = await _in_thread(open_photo, entry.path, self.desk.max_pixels)
        return JSONResponse(self._describe(entry))

    async def thumb(self, request: Request) -> Response:
        entry = self._entry(request)
        path = entry.folder / "thumb.jpg"
        async with self.thumbs:  # one at a time: the restoration needs the cores
            if not path.exists():
                await _in_thread(open_photo, entry.path, self.desk.max_pixels)
                await _in_thread(_write_thumb, entry.path, path)
        return FileResponse(path, headers={"cache-control": "private, max-age=3600"})

    async def preview(self, request: Request) -> Response:
        subject, which = await self._subject(request), request.path_params["which"]
        if which == "before":
            picture = await self._soon(lambda: encode_png(self.previewer.before(subject)))
            return Response(picture, media_type="image/png")
        if which not in ("after", "marks"):
            raise NotThere("there is no such picture")
        settings = _query(request).settings

        def show() -> bytes:
            return encode_png(getattr(self.previewer.show(subject, settings), which))

        return Response(await self._soon(show), media_type="image/png")

    async def part(self, request: Request) -> Response:
        entry, subject = self._entry(request), await self._subject(request)
        which = request.path_params["which"]
        if which not in ("before", "after"):
            raise NotThere("there is no such picture")
        fields = dict(request.query_params)
        inner = _read_tile({name: fields.pop(name, "") for name in ("x", "y", "w", "h")}, entry)
        if which == "before":
            return Response(
                await self._soon(lambda: encode_png(self.previewer.before_part(subject, inner))),
                media_type="image/png",
            )
        settings = _read_query(fields).settings
        picture = await self._soon(
            lambda: encode_png(self.previewer.show_part(subject, settings, inner))
        )
        return Response(picture, media_type="image/png")

    async def report(self, request: Request) -> Response:
        measured = await self._measure(request)
        return JSONResponse(explain(measured))

    async def overlay(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in KINDS:
            raise NotThere(f"there is no such overlay; there are {', '.join(KINDS)}")
        measured = await self._measure(request)
        picture = await _in_thread(lambda: encode_png(draw_overlay(measured, kind)))
        return Response(picture, media_type="image/png")

    async def edits(self, request: Request) -> Response:
        entry = self._entry(request)
        edits = read_edits(await request.body())
        if edits.hints and not self.restorer.network.takes_hints:
            raise RestoreError(NO_HINTS.format(self.restorer.name))
        entry.edits = edits
        entry.revision += 1
        return JSONResponse({"revision": entry.revision})

    async def marks(self, request: Request) -> Response:
        entry, subject = self._entry(request), await self._subject(request)
        if request.method == "POST":
            async with _form(request) as form:
                marks = await _in_thread(self._read_marks, _file(form, "marks"), entry)
            number, entry.num_bases = entry.num_bases, entry.num_bases + 1
            await _in_thread(write_marks, base_path(entry.folder, number), marks)
            return JSONResponse({"number": number}, 201)
        assert entry.size is not None
        path = entry.folder / "saved-marks.png"
        await _in_thread(_save_marks, subject, entry.size, path)
        return _attachment(path, f"{entry.path.stem}.marks.png")

    async def hints(self, request: Request) -> Response:
        entry = self._entry(request)
        await self._subject(request)
        assert entry.size is not None
        width, height = entry.size
        if request.method == "POST":
            async with _form(request) as form:
                hints = await _in_thread(self._read_hints, _file(form, "hints"), entry)
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
        return _attachment(path, f"{entry.path.stem}.hints.json")

    async def jobs(self, request: Request) -> Response:
        if request.method == "DELETE":
            for job in self.desk.jobs.values():
                job.cancelled = True
            return JSONResponse({"cancelled": True})
        try:
            document = await request.json()
            ids, kind = list(map(str, document["photos"])), document["kind"]
            fields = {str(k): str(v) for k, v in dict(document.get("settings", {})).items()}
            again = bool(document.get("again", False))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise FieldError("expected {photos: [...], kind: ..., settings: {...}}") from None
        if kind not in ("download", "album"):
            raise FieldError('kind: "download" or "album"')
        wanted = read_fields(fields)
        entries = [self.desk.entry(photo_id) for photo_id in dict.fromkeys(ids)]
        for entry in entries:
            with contextlib.suppress(RestoreError):  # the job itself says what is wrong
                if entry.size is None:
                    entry.size = await _in_thread(open_photo, entry.path, self.desk.max_pixels)
        wanted = _name_output(wanted, entries[0].path.stem if entries else "")
        jobs = self.desk.add_jobs(entries, kind, wanted, again=again)
        return JSONResponse({"jobs": [job.describe() for job in jobs]}, 202)

    async def job(self, request: Request) -> Response:
        job = self.desk.job(request.path_params["id"])
        if request.method == "DELETE":
            job.cancelled = True
        return JSONResponse(job.describe())

    async def job_file(self, request: Request) -> Response:
        job = self.desk.job(request.path_params["id"])
        if job.state != "done" or job.result is None or not job.result.is_file():
            raise NotThere("this photograph isn't finished")
        return _attachment(job.result, job.result.name)

    async def restore(self, request: Request) -> Response:
        if self.worker.num_waiting >= self.limits.max_waiting:
            raise QueueFull("too many photographs wait already; try again later")
        folder = Path(tempfile.mkdtemp(prefix="api-", dir=self.desk.own.path))
        try:
            job = await self._read_api_job(request, folder)
            ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            job.finished = functools.partial(loop.call_soon_threadsafe, ended.set)
            self.desk.add_api_job(job)
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), 0.5)
                if not ended.is_set() and await request.is_disconnected():
                    job.cancelled = True
            if job.result is None:
                raise RestoreError(job.error or "cancelled")
            task = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
            response = _attachment(job.result, job.result.name)
            response.background = task
            return response
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    async def _read_api_job(self, request: Request, folder: Path) -> WebJob:
        async with _form(request) as form:
            fields = {name: str(v) for name, v in form.multi_items() if isinstance(v, str)}
            files = {name: v for name, v in form.multi_items() if isinstance(v, UploadFile)}
            unknown = set(files) - {"photo", "marks", "hints"}
            if unknown:
                raise FieldError(
                    f"{min(unknown)}: there is no such file; photo, marks and hints are"
                )
            upload = _file(form, "photo")
            name = check_name(upload.filename)
            (folder / "photo").mkdir()
            path = await _in_thread(save_photo, upload.file, name, folder / "photo")
            size = await _in_thread(open_photo, path, self.desk.max_pixels)
            entry = Entry("api", path, folder, in_album=False, size=size)
            hints = ()
            marks_in = None
            if "hints" in files:
                hints = await _in_thread(self._read_hints, files["hints"], entry)
            if "marks" in files:
                (folder / "marks").mkdir()
                marks_name = check_name(files["marks"].filename)
                marks_in = await _in_thread(
                    save_photo, files["marks"].file, marks_name, folder / "marks"
                )
                await _in_thread(open_photo, marks_in, self.desk.max_pixels)
        if hints and not self.restorer.network.takes_hints:
            raise RestoreError(NO_HINTS.format(self.restorer.name))
        wanted = _name_output(read_fields(fields, hints=hints), path.stem)
        return WebJob(
            subject=Subject("api", path, folder, Edits()),
            kind="api",
            wanted=wanted,
            restorer=self.restorer,
            scratch=folder,
            num_pixels=size[0] * size[1],
            marks_in=marks_in,
        )

    def _read_hints(self, upload: UploadFile, entry: Entry) -> Any:
        path = self._save_small(upload, entry, "hints")
        try:
            return read_hints(path)
        except RestoreError as error:
            raise RestoreError(str(error).replace(str(path), "hints")) from error

    def _read_marks(self, upload: UploadFile, entry: Entry) -> Any:
        (entry.folder / "loaded").mkdir(exist_ok=True)
        shutil.rmtree(entry.folder / "loaded")
        (entry.folder / "loaded").mkdir()
        path = save_photo(upload.file, check_name(upload.filename), entry.folder / "loaded")
        open_photo(path, self.desk.max_pixels)
        return normalise_marks(read_mask(path))

    def _save_small(self, upload: UploadFile, entry: Entry, name: str) -> Path:
        suffix = ".png" if upload.file.read(4) == b"\x89PNG" else ".json"
        upload.file.seek(0)
        path = entry.folder / f"{name}{suffix}"
        with path.open("wb") as file:
            shutil.copyfileobj(upload.file, file)
        return path

    async def _measure(self, request: Request) -> Faithfulness:
        entry, subject = self._entry(request), await self._subject(request)
        settings = _query(request).settings
        key = (subject.key, settings)
        assert entry.size is not None
        size = entry.size

        def measure() -> Faithfulness:
            if key not in self.measured:
                shown = self.previewer.show(subject, settings)
                self.measured.clear()
                self.measured[key] = measure_shown(shown, photo_size=size)
            return self.measured[key]

        return await self._soon(measure)

    async def _soon(self, task: Callable[[], _T]) -> _T:
        return await asyncio.wrap_future(self.worker.soon(task))

    async def _subject(self, request: Request) -> Subject:
        entry = self._entry(request)
        if entry.size is None:
            entry.size = await _in_thread(open_photo, entry.path, self.desk.max_pixels)
        return entry.subject

    def _entry(self, request: Request) -> Entry:
        return self.desk.entry(request.path_params["id"])

    def _describe(self, entry: Entry) -> dict[str, Any]:
        return {**self.desk.describe_entry(entry), "edits": write_edits(entry.edits)}


def _form(request: Request) -> Any:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise FieldError("expected multipart/form-data with a file named photo")
    return request.form(max_files=4, max_fields=40, max_part_size=1 << 16)


def _file(form: FormData, name: str) -> UploadFile:
    value = form.get(name)
    if not isinstance(value, UploadFile):
        raise FieldError(f"{name}: a file is missing")
    return value


def _query(request: Request) -> Wanted:
    return _read_query(dict(request.query_params))


def _read_query(fields: dict[str, str]) -> Wanted:
    fields.pop("v", None)  # changes the address when marks or hints changed
    return read_fields(fields)


def _name_output(wanted: Wanted, stem: str) -> Wanted:
    """Only the suffix counts of a name that is wanted, as the page's folder decides the rest."""
    if wanted.output is None:
        return wanted
    name = check_name(wanted.output if "." in wanted.output else f"x.{wanted.output}")
    output_format(Path(name))
    if "." not in wanted.output:
        name = f"{stem}.restored{Path(name).suffix}"
    return Wanted(wanted.settings, name, wanted.add_provenance, wanted.quality)


def _read_tile(values: dict[str, str], entry: Entry) -> Tile:
    assert entry.size is not None
    width, height = entry.size
    if not all(value.isascii() and value.isdigit() and len(value) < 8 for value in values.values()):
        raise FieldError("x, y, w and h are whole numbers of pixels")
    x, y, w, h = (int(values[name]) for name in ("x", "y", "w", "h"))
    tile = Tile(y, min(y + h, height), x, min(x + w, width))
    if tile.y0 >= tile.y1 or tile.x0 >= tile.x1:
        raise FieldError("this part lies outside the photograph")
    if tile.area_px > MAX_PART_PIXELS:
        raise FieldError(f"a part may have {MAX_PART_PIXELS} px")
    return tile


def _write_thumb(photo_path: Path, path: Path) -> None:
    with Photo(photo_path) as photo:
        scale = min(1.0, _THUMB_PX / max(photo.width, photo.height))
        height, width = max(1, round(photo.height * scale)), max(1, round(photo.width * scale))
        small = photo.space.to_srgb(photo.reduced(height, width)).clip(0, 1)
    picture = np.rint(255 * small[..., ::-1]).astype(np.uint8)
    part = path.with_name("part.jpg")
    cv2.imwrite(str(part), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    part.replace(path)


def _save_marks(subject: Subject, size: tuple[int, int], path: Path) -> None:
    width, height = size
    marks = paint_marks(subject.edits, height, width, subject.folder, of=(height, width))
    if marks is None:
        marks = np.full((height, width), 128, np.uint8)
    write_marks(path, marks)


def _attachment(path: Path, name: str) -> Response:
    try:
        name.encode("latin-1")
        plain = "".join(c if c.isalnum() or c in "._- " else "_" for c in name)
        plain = plain.encode("ascii", "replace").decode().replace("?", "_")
    except UnicodeEncodeError:
        plain = f"restored{Path(name).suffix}"
    header = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    return FileResponse(path, headers={"content-disposition": header})


async def _in_thread(task: Callable[..., _T], *arguments: Any) -> _T:
    return await run_in_threadpool(task, *arguments)


async def _explain_fault(_: Request, error: Exception) -> Response:
    traceback.print_exception(error)
    return JSONResponse({"error": "this is our fault; see what the server printed"}, 500)


async def _explain_http(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)
    return JSONResponse({"error": "the connection was closed"}, 400)
