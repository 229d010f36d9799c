"""Pictures of a photograph: before and after, whole and in part, and what was invented."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from restore.passes.windows import Tile
from restore.report.faithfulness import Faithfulness
from restore.web.desk import Entry, NotThere
from restore.web.fields import FieldError
from restore.web.overlays import KINDS, draw_overlay, explain, measure_shown
from restore.web.preview import MAX_PART_PIXELS, encode_png
from restore.web.shared import Server, in_thread, read_query, server_of

_PLACE = ("x", "y", "w", "h")


async def preview(request: Request) -> Response:
    """GET /api/photos/ID/preview/before, after or marks."""
    server = server_of(request)
    subject, which = await server.subject(request), request.path_params["which"]
    if which == "before":
        picture = await server.soon(lambda: encode_png(server.previewer.before(subject)))
        return Response(picture, media_type="image/png")
    if which not in ("after", "marks"):
        raise NotThere("there is no such picture")
    settings = read_query(request).settings

    def show() -> bytes:
        return encode_png(getattr(server.previewer.show(subject, settings), which))

    return Response(await server.soon(show), media_type="image/png")


async def part(request: Request) -> Response:
    """GET /api/photos/ID/part/before or after: at native resolution."""
    server = server_of(request)
    entry, subject = server.entry(request), await server.subject(request)
    which = request.path_params["which"]
    if which not in ("before", "after"):
        raise NotThere("there is no such picture")
    inner = _read_tile({name: request.query_params.get(name, "") for name in _PLACE}, entry)
    if which == "before":
        return Response(
            await server.soon(lambda: encode_png(server.previewer.before_part(subject, inner))),
            media_type="image/png",
        )
    settings = read_query(request, *_PLACE).settings
    picture = await server.soon(
        lambda: encode_png(server.previewer.show_part(subject, settings, inner))
    )
    return Response(picture, media_type="image/png")


async def report(request: Request) -> Response:
    """GET /api/photos/ID/report: numbers and sentences."""
    server = server_of(request)
    measured = await _measure(server, request)
    return JSONResponse(explain(measured))


async def overlay(request: Request) -> Response:
    """GET /api/photos/ID/overlay/KIND."""
    server = server_of(request)
    kind = request.path_params["kind"]
    if kind not in KINDS:
        raise NotThere(f"there is no such overlay; there are {', '.join(KINDS)}")
    measured = await _measure(server, request)
    picture = await in_thread(lambda: encode_png(draw_overlay(measured, kind)))
    return Response(picture, media_type="image/png")


async def _measure(server: Server, request: Request) -> Faithfulness:
    entry, subject = server.entry(request), await server.subject(request)
    settings = read_query(request).settings
    key = (subject.key, settings)
    assert entry.size is not None
    size = entry.size

    def measure() -> Faithfulness:
        if key not in server.measured:
            shown = server.previewer.show(subject, settings)
            server.measured.clear()
            server.measured[key] = measure_shown(shown, photo_size=size)
        return server.measured[key]

    return await server.soon(measure)


def _read_tile(values: dict[str, str], entry: Entry) -> Tile:
    assert entry.size is not None
    width, height = entry.size
    if not all(value.isascii() and value.isdigit() and len(value) < 8 for value in values.values()):
        raise FieldError("x, y, w and h are whole numbers of pixels")
    x, y, w, h = (int(values[name]) for name in _PLACE)
    tile = Tile(y, min(y + h, height), x, min(x + w, width))
    if tile.y0 >= tile.y1 or tile.x0 >= tile.x1:
        raise FieldError("this part lies outside the photograph")
    if tile.area_px > MAX_PART_PIXELS:
        raise FieldError(f"a part may have {MAX_PART_PIXELS} px")
    return tile
