"""Chromium, headless, without a network but this machine's; tests skip where there is none."""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from PIL import Image

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for path in map(shutil.which, _NAMES) if path), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium isn't installed")
_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # Whatever isn't this machine has no address: the network is cut.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
SHOTS = os.environ.get("RESTORE_SHOTS")
"""A folder for screenshots; without it none are kept."""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Page:
    """A page with what the tests look at, and what it asked of whom."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        options = {"viewport": {"width": 1280, "height": 820}, **options}
        self.context = browser.new_context(accept_downloads=True, **options)
        self.context.set_default_timeout(90_000)  # the machine may be busy
        self.page = self.context.new_page()
        self.address = address
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on(
            "console",
            lambda said: (
                self.errors.append(said.text)
                if said.type == "error" and "status of 4" not in said.text
                else None
            ),
        )

    def open(self, fragment: str = "") -> None:
        """Load the page, and wait until its script has run."""
        self.page.goto(f"{self.address}/{fragment}")
        self.page.wait_for_selector("html[data-ready=yes]")

    def choose(self, name: str, content: bytes) -> None:
        """Choose a photograph and wait until it is shown restored."""
        self.page.set_input_files("#files", {"name": name, "mimeType": "", "buffer": content})
        self.shown(name)

    def shown(self, name: str) -> None:
        """Wait until a photograph is shown restored."""
        self.page.wait_for_selector(f"#photo-name:has-text('{name}')")
        self.page.wait_for_selector("#picture[data-shown]:not([aria-busy])")
        self.idle()

    def idle(self) -> None:
        """Wait until nothing is under way."""
        until, quiet = time.monotonic() + 90, 0
        while quiet < 3:
            assert time.monotonic() < until, self.page.text_content("#busy")
            busy = self.page.text_content("#busy") or self.page.query_selector("[aria-busy]")
            quiet = 0 if busy else quiet + 1
            self.page.wait_for_timeout(60)

    def pixels(self) -> np.ndarray:
        """(h, w, 3) what the canvas shows, in its own pixels."""
        shot = self.page.locator("#canvas").screenshot()
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the photograph lies on the screen, CSS px, as the page says."""
        box = self.page.locator("#canvas").bounding_box()
        view = self.page.evaluate("window.view()")
        return box["x"] + view["x"] + x * view["scale"], box["y"] + view["y"] + y * view["scale"]

    def shoot(self, name: str, **options: Any) -> None:
        """Keep a screenshot, if they are wanted."""
        if SHOTS:
            self.page.screenshot(path=f"{SHOTS}/{name}.png", **options)

    def close(self) -> None:
        """Close it; it must have had no errors and have asked no other host."""
        self.context.close()
        assert self.errors == []
        foreign = [
            url for url in self.requests if not url.startswith((self.address, "data:", "blob:"))
        ]
        assert foreign == []
