"""The API for programs: one photograph in, the restored one out, as the command makes it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
import tempfile
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from restore.errors import RestoreError
from restore.hints import Hint
from restore.passes.look import NO_HINTS
from restore.web.desk import Entry, open_photo
from restore.web.edits import Edits
from restore.web.fields import FieldError, read_fields
from restore.web.jobs import WebJob
from restore.web.preview import Subject
from restore.web.shared import (
    Server,
    attachment,
    check_output,
    in_thread,
    read_form,
    read_hint_file,
    server_of,
    take_file,
)
from restore.web.uploads import check_name, save_photo
from restore.web.worker import QueueFull


async def health(request: Request) -> Response:
    """GET /api/health."""
    server = server_of(request)
    return JSONResponse(
        {"status": "ok", "model": server.restorer.name, "waiting": server.worker.num_waiting}
    )


async def restore(request: Request) -> Response:
    """POST /api/restore."""
    server = server_of(request)
    if server.worker.num_waiting >= server.limits.max_waiting:
        raise QueueFull("too many photographs wait already; try again later")
    folder = Path(tempfile.mkdtemp(prefix="api-", dir=server.desk.own.path))
    try:
        job = await _read_job(server, request, folder)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        job.finished = functools.partial(loop.call_soon_threadsafe, ended.set)
        server.desk.add_api_job(job)
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), 0.5)
            if not ended.is_set() and await request.is_disconnected():
                job.cancelled = True
        if job.result is None:
            raise RestoreError(job.error or "cancelled")
        task = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
        response = attachment(job.result, job.result.name)
        response.background = task
        return response
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


async def _read_job(server: Server, request: Request, folder: Path) -> WebJob:
    async with read_form(request) as form:
        fields = {name: str(v) for name, v in form.multi_items() if isinstance(v, str)}
        files = {name: v for name, v in form.multi_items() if isinstance(v, UploadFile)}
        unknown = set(files) - {"photo", "marks", "hints"}
        if unknown:
            raise FieldError(f"{min(unknown)}: there is no such file; photo, marks and hints are")
        upload = take_file(form, "photo")
        name = check_name(upload.filename)
        (folder / "photo").mkdir()
        path = await in_thread(save_photo, upload.file, name, folder / "photo")
        size = await in_thread(open_photo, path, server.desk.max_pixels)
        entry = Entry("api", path, folder, in_album=False, size=size)
        hints: tuple[Hint, ...] = ()
        marks_in = None
        if "hints" in files:
            hints = await in_thread(read_hint_file, files["hints"], entry)
        if "marks" in files:
            (folder / "marks").mkdir()
            marks_name = check_name(take_file(form, "marks").filename)
            marks_in = await in_thread(
                save_photo, files["marks"].file, marks_name, folder / "marks"
            )
            await in_thread(open_photo, marks_in, server.desk.max_pixels)
    if hints and not server.restorer.network.takes_hints:
        raise RestoreError(NO_HINTS.format(server.restorer.name))
    wanted = check_output(read_fields(fields, hints=hints))
    return WebJob(
        subject=Subject("api", path, folder, Edits()),
        kind="api",
        wanted=wanted,
        restorer=server.restorer,
        scratch=folder,
        num_pixels=size[0] * size[1],
        marks_in=marks_in,
    )
