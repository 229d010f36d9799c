"""Who is answered: this machine's own browser and programs, and no other site through them."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SAFE_METHODS = ("GET", "HEAD")
# What a client still sends of a body that is refused is read for so long, and thrown away: were
# the connection closed at once, it would hear of a broken connection instead of the reason.
_LINGER_S = 10.0
_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
        "form-action 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Guard:
    """Refuses foreign hosts and origins, bounds bodies, and adds headers to every answer."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        """Wrap an application."""
        self._app, self._max_body_bytes = app, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        body, is_refused = _Body(receive), False

        async def send_guarded(message: Message) -> None:
            nonlocal is_refused
            if message["type"] == "http.response.start":
                is_refused = message["status"] == 413
                given = {name for name, _ in message["headers"]}
                extra = [(n.encode(), v.encode()) for n, v in _HEADERS.items()]
                extra = [(name, value) for name, value in extra if name not in given]
                if b"cache-control" not in given:
                    extra.append((b"cache-control", b"no-store"))
                message["headers"] = [*message["headers"], *extra]
            elif is_refused and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await body.throw_away()
                message = {"type": "http.response.body"}
            await send(message)

        problem = self._find_problem(scope)
        if problem is not None:
            await _refuse(send_guarded, *problem)
            return

        async def receive_bounded() -> Message:
            message = await body.receive()
            if body.num_bytes > self._max_body_bytes:
                raise BodyTooLarge(self._too_large())
            return message

        await self._app(scope, receive_bounded, send_guarded)

    def _find_problem(self, scope: Scope) -> tuple[int, str] | None:
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, []).append(value)
        hosts, origins = headers.get(b"host", []), headers.get(b"origin", [])
        if len(hosts) != 1 or _host_port(f"http://{_text(hosts[0])}") is None:
            return 403, "this page is served to this machine only, as http://127.0.0.1"
        if scope["method"] not in _SAFE_METHODS and origins:
            own = _host_port(f"http://{_text(hosts[0])}")
            if len(origins) != 1 or _host_port(_text(origins[0])) != own:
                return 403, "requests from other sites are refused"
        lengths = headers.get(b"content-length", [b"0"])
        if not lengths[0].isdigit() or int(lengths[0][:20]) > self._max_body_bytes:
            return 413, self._too_large()
        return None

    def _too_large(self) -> str:
        return (
            f"more than {self._max_body_bytes >> 20} MB; `restore serve --max-upload-mb` sets the "
            "limit"
        )


class _Body:
    """The body of a request, as it comes in.

    Attributes:
        num_bytes: Received so far.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_over = False
        self.num_bytes = 0

    async def receive(self) -> Message:
        """The next part of it, or that the client is gone."""
        message = await self._receive()
        self.num_bytes += len(message.get("body", b""))
        self._is_over = not message.get("more_body", False)
        return message

    async def throw_away(self) -> None:
        """Read what is left of it, for a while."""
        try:
            async with asyncio.timeout(_LINGER_S):
                while not self._is_over:
                    await self.receive()
        except TimeoutError:
            pass


class BodyTooLarge(Exception):
    """A request's body is larger than the server takes."""


def _host_port(url: str) -> tuple[str, int] | None:
    """A loopback address and its port, all names of this machine being one; None if it is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    odd = parts.username or parts.password or parts.path or parts.query or parts.fragment
    if parts.scheme != "http" or host not in _LOOPBACK or odd:
        return None
    return "127.0.0.1", 80 if port is None else port


def _text(value: bytes) -> str:
    return value.decode("latin-1")


async def _refuse(send: Send, status: int, problem: str) -> None:
    body = json.dumps({"error": problem}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
