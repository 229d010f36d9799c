"""Works of the page: photographs restored at full size, for download or into the album."""

from __future__ import annotations

import contextlib

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from restore.errors import RestoreError
from restore.web.desk import NotThere
from restore.web.fields import FieldError, read_fields
from restore.web.shared import attachment, check_output, server_of


async def jobs(request: Request) -> Response:
    """POST /api/jobs: restore; DELETE: cancel all."""
    server = server_of(request)
    if request.method == "DELETE":
        for job in server.desk.jobs.values():
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
    wanted = check_output(read_fields(fields))
    entries = [server.desk.entry(photo_id) for photo_id in dict.fromkeys(ids)]
    for entry in entries:
        with contextlib.suppress(RestoreError):  # the job itself says what is wrong
            await server.measure_size(entry)
    jobs = server.desk.add_jobs(entries, kind, wanted, again=again)
    return JSONResponse({"jobs": [job.describe() for job in jobs]}, 202)


async def job(request: Request) -> Response:
    """GET or DELETE /api/jobs/ID: how far it is, or cancel it."""
    server = server_of(request)
    job = server.desk.job(request.path_params["id"])
    if request.method == "DELETE":
        job.cancelled = True
    return JSONResponse(job.describe())


async def job_file(request: Request) -> Response:
    """GET /api/jobs/ID/file: the result."""
    server = server_of(request)
    job = server.desk.job(request.path_params["id"])
    if job.state != "done" or job.result is None or not job.result.is_file():
        raise NotThere("this photograph isn't finished")
    return attachment(job.result, job.result.name)
