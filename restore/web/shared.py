"""What the routes share: the server's parts, and how forms, files and settings are read."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from restore.errors import RestoreError
from restore.hints import Hint, read_hints
from restore.report.faithfulness import Faithfulness
from restore.restorer import Restorer
from restore.scan.output import output_format
from restore.web.desk import Desk, Entry, open_photo
from restore.web.edits import write_edits
from restore.web.fields import FieldError, Wanted, read_fields
from restore.web.preview import Previewer, Subject
from restore.web.uploads import BadName, check_name
from restore.web.worker import Worker

_T = TypeVar("_T")
_WINDOWS_PATH = re.compile(r'filename\*?="?(?:[^\']*\'[^\']*\')?(?:[A-Za-z]:|\\)')


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


class Server:
    """The parts of a server.

    Attributes:
        restorer: The loaded network.
        limits: What it takes.
        worker: Does the heavy work.
        desk: Photographs and works.
        previewer: Used in the worker's thread only.
        measured: The last report, by what it is of.
        thumbs: Held while a thumbnail is made.
    """

    def __init__(
        self, restorer: Restorer, album: Path | None, recursive: bool, limits: Limits
    ) -> None:
        """Start the worker, sweep, and look into the album."""
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

    def close(self) -> None:
        """End the work under way, and remove everything private."""
        self.worker.stop()
        self.desk.close()

    async def soon(self, task: Callable[[], _T]) -> _T:
        """Do something in the worker's thread, between two tiles."""
        return await asyncio.wrap_future(self.worker.soon(task))

    def entry(self, request: Request) -> Entry:
        """The photograph that a path names.

        Raises:
            NotThere: If there is none.
        """
        return self.desk.entry(request.path_params["id"])

    async def subject(self, request: Request) -> Subject:
        """The photograph that a path names, opened once and as the worker needs it."""
        entry = self.entry(request)
        await self.measure_size(entry)
        return entry.subject

    async def measure_size(self, entry: Entry) -> tuple[int, int]:
        """Width and height of a photograph, px.

        Raises:
            RestoreError: If it can't be read.
        """
        if entry.size is None:
            entry.size = await in_thread(open_photo, entry.path, self.desk.max_pixels)
        return entry.size

    def describe(self, entry: Entry) -> dict[str, Any]:
        """A photograph and its edits."""
        return {**self.desk.describe_entry(entry), "edits": write_edits(entry.edits)}


def server_of(request: Request) -> Server:
    """The server that a request came to."""
    server: Server = request.app.state.server
    return server


async def in_thread(task: Callable[..., _T], *arguments: Any) -> _T:
    """Do something that waits for the disk, beside the event loop."""
    return await run_in_threadpool(task, *arguments)


def read_form(request: Request) -> Any:
    """A form with files, to be used in `async with`.

    Raises:
        FieldError: If it is none.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise FieldError("expected multipart/form-data with a file named photo")
    return request.form(max_files=4, max_fields=40, max_part_size=1 << 16)


def take_file(form: FormData, name: str) -> UploadFile:
    """A file of a form.

    Raises:
        FieldError: If it is missing.
        BadName: If its name is a path.
    """
    value = form.get(name)
    if not isinstance(value, UploadFile):
        raise FieldError(f"{name}: a file is missing")
    # The parser of forms cuts such paths to their last part; we refuse them, as all others.
    sent = value.headers.get("content-disposition", "")
    if _WINDOWS_PATH.search(sent):
        raise BadName(f"{name}: its name is a path; rename the file")
    return value


def read_query(request: Request, *others: str) -> Wanted:
    """Settings that an address ends in; `others` are not settings, and left aside.

    Raises:
        FieldError: Naming the field.
    """
    fields = dict(request.query_params)
    for name in ("v", *others):  # v changes the address when marks or hints changed
        fields.pop(name, None)
    return read_fields(fields)


def check_output(wanted: Wanted) -> Wanted:
    """See that an output's name, or a suffix alone, can be written.

    Raises:
        RestoreError: If it is none that can be written.
    """
    if wanted.output is None:
        return wanted
    name = check_name(wanted.output if "." in wanted.output else f"x.{wanted.output}")
    output_format(Path(name))
    return replace(wanted, output=name if "." in wanted.output else wanted.output)


def read_hint_file(upload: UploadFile, entry: Entry) -> tuple[Hint, ...]:
    """Hints that were sent as a file.

    Raises:
        RestoreError: If they are something else.
    """
    suffix = ".png" if upload.file.read(4) == b"\x89PNG" else ".json"
    upload.file.seek(0)
    path = entry.folder / f"hints{suffix}"
    with path.open("wb") as file:
        shutil.copyfileobj(upload.file, file)
    try:
        return read_hints(path)
    except RestoreError as error:
        raise RestoreError(str(error).replace(str(path), "hints")) from error


def attachment(path: Path, name: str) -> Response:
    """A file to be saved under its name, whatever its script."""
    try:
        name.encode("latin-1")
        plain = "".join(c if c.isalnum() or c in "._- " else "_" for c in name)
        plain = plain.encode("ascii", "replace").decode().replace("?", "_")
    except UnicodeEncodeError:
        plain = f"restored{Path(name).suffix}"
    header = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    return FileResponse(path, headers={"content-disposition": header})
