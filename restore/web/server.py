"""Run the page's server on 127.0.0.1 until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path

import uvicorn

from restore.errors import RestoreError
from restore.restorer import Restorer
from restore.web.app import Limits, create_app

HOST = "127.0.0.1"


def run_server(
    restorer: Restorer,
    *,
    album: Path | None,
    recursive: bool,
    port: int,
    limits: Limits,
    say: Callable[[str], object],
    open_browser: bool,
) -> None:
    """Serve until interrupted.

    Args:
        restorer: The loaded network.
        album: A folder whose photographs are shown.
        recursive: Whether its folders are, too.
        port: 0 takes any that is free.
        limits: What is taken.
        say: Prints a line.
        open_browser: Whether to.

    Raises:
        RestoreError: If the port is taken.
    """
    listening = listen(port)
    address = f"http://{HOST}:{listening.getsockname()[1]}/"
    app = create_app(restorer, album=album, recursive=recursive, limits=limits)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="critical",  # `create_app` prints what is our fault itself
            server_header=False,
            ws="none",
            http="h11",
            lifespan="on",
            timeout_graceful_shutdown=1,
        )
    )

    async def run() -> None:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            say(address)
            if open_browser:
                webbrowser.open(address)
        await serving

    asyncio.run(run())


def listen(port: int) -> socket.socket:
    """A socket for this machine only.

    Raises:
        RestoreError: If the port is taken.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # On Windows SO_REUSEADDR would share a port that another program listens on.
    alone = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
    listening.setsockopt(socket.SOL_SOCKET, alone, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise RestoreError(
            f"port {port} can't be used ({error.strerror}); choose another with --port, or --port 0"
        ) from error
    return listening
