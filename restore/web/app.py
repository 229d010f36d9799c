"""The server's routes, and what it answers when something is wrong."""

from __future__ import annotations

import contextlib
import mimetypes
import traceback
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from restore.errors import RestoreError
from restore.passes.look import NO_HINTS
from restore.restorer import Restorer
from restore.web import api, photos, pictures, works
from restore.web.desk import NotThere, TooManyPixels
from restore.web.edits import BadEdits
from restore.web.fields import FieldError
from restore.web.guard import BodyTooLarge, Guard
from restore.web.shared import Limits, Server, server_of
from restore.web.uploads import BadName, UnknownFormat
from restore.web.worker import QueueFull

__all__ = ["Limits", "create_app"]

STATIC = Path(__file__).with_name("static")
# Windows' registry may call scripts plain text, which browsers then refuse.
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
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
    server = Server(restorer, album, recursive, limits)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            server.close()

    routes = [
        Route("/", _page),
        Route("/api/health", api.health),
        Route("/api/state", _state),
        Route("/api/restore", api.restore, methods=["POST"]),
        Route("/api/photos", photos.add_photo, methods=["POST"]),
        Route("/api/photos/{id}", photos.photo, methods=["GET", "DELETE"]),
        Route("/api/photos/{id}/thumb", photos.thumb),
        Route("/api/photos/{id}/preview/{which}", pictures.preview),
        Route("/api/photos/{id}/part/{which}", pictures.part),
        Route("/api/photos/{id}/report", pictures.report),
        Route("/api/photos/{id}/overlay/{kind}", pictures.overlay),
        Route("/api/photos/{id}/edits", photos.edits, methods=["PUT"]),
        Route("/api/photos/{id}/marks", photos.marks, methods=["GET", "POST"]),
        Route("/api/photos/{id}/hints", photos.hints, methods=["GET", "POST"]),
        Route("/api/jobs", works.jobs, methods=["POST", "DELETE"]),
        Route("/api/jobs/{id}", works.job, methods=["GET", "DELETE"]),
        Route("/api/jobs/{id}/file", works.job_file),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    handlers: dict[Any, Any] = dict.fromkeys(_STATUS, _explain_error)
    handlers[HTTPException] = _explain_http
    handlers[ClientDisconnect] = _explain_http
    handlers[Exception] = _explain_fault
    for suffix, kind in _TYPES.items():
        mimetypes.add_type(kind, suffix)
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    app.state.server = server
    return Guard(app, max_body_bytes=limits.max_upload_mb << 20)


async def _page(_: Request) -> Response:
    """GET /: the page."""
    return FileResponse(STATIC / "index.html")


async def _state(request: Request) -> Response:
    """GET /api/state: everything that the page shows."""
    server = server_of(request)
    if "rescan" in request.query_params:
        server.desk.look_into_album()
    takes_hints = server.restorer.network.takes_hints
    return JSONResponse(
        {
            **server.desk.describe(),
            "model": server.restorer.name,
            "version": version("old-pictures-restoration"),
            "no_hints": "" if takes_hints else NO_HINTS.format(server.restorer.name),
            "max_upload_mb": server.limits.max_upload_mb,
        }
    )


async def _explain_error(request: Request, error: Exception) -> Response:
    status = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    headers = {"retry-after": "10"} if status == 429 else {}
    headers |= {"connection": "close"} if status == 413 else {}
    return JSONResponse({"error": server_of(request).desk.hide_paths(str(error))}, status, headers)


async def _explain_fault(_: Request, error: Exception) -> Response:
    traceback.print_exception(error)
    return JSONResponse({"error": "this is our fault; see what the server printed"}, 500)


async def _explain_http(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)
    return JSONResponse({"error": "the connection was closed"}, 400)
