"""What `restore serve` costs: memory over many photographs, times beside the command's.

    python -m benchmarks.speed.page [--photos 100] [--model FILE] [--scale 1] [--no-times]

The server runs in a process of its own; photographs are drawn here. Each is opened on the page,
previewed with two strengths, removed, and restored by the API. Memory is the server's resident set
after each photograph. Times: preview of 12 megapixels, a strength, the API beside the command.
Printed, and kept as JSON with the machine's description under `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.shared.machine import RESULTS

KEPT = RESULTS / "page.json"


def draw_jpeg(height: int, width: int, seed: int) -> bytes:
    """A grey photograph with edges, grain and scratches."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    tone = 0.5 + 0.3 * np.sin(y / 93 + seed) * np.cos(x / 71) + 0.1 * ((y // 57 + x // 81) % 2)
    tone = tone + 0.05 * rng.standard_normal(tone.shape, dtype=np.float32)
    tone[:, rng.integers(0, width, 4)] = 0.95
    photo = np.rint(tone.clip(0, 1) * 255).astype(np.uint8)
    done, encoded = cv2.imencode(".jpg", photo)
    assert done
    return encoded.tobytes()


class Server:
    """`restore serve` in a process of its own."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "restore", "serve", "--port", "0", "--no-browser"]
        self._process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip().rstrip("/")

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        """Send a request; its answer's body."""
        headers = {"Content-Type": kind} if kind else {}
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return bytes(answer.read())

    def send(self, path: str, name: str, content: bytes) -> bytes:
        """Send a photograph."""
        mark = uuid.uuid4().hex
        head = (
            f'--{mark}\r\nContent-Disposition: form-data; name="photo"; filename="{name}"\r\n\r\n'
        )
        body = head.encode() + content + f"\r\n--{mark}--\r\n".encode()
        return self.ask("POST", path, body, f"multipart/form-data; boundary={mark}")

    @property
    def memory_mb(self) -> float:
        """Resident set now."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


def measure_memory(server: Server, num_photos: int, scale: float) -> list[float]:
    """Resident set after each photograph, MB."""
    sizes = [(420, 560), (560, 420), (500, 500), (380, 640)]
    found = []
    for i in range(num_photos):
        height, width = (round(scale * side) for side in sizes[i % len(sizes)])
        content = draw_jpeg(height, width, i)
        photo = json.loads(server.send("/api/photos", f"{i}.jpg", content))
        for strength in ("1", "0.5"):
            server.ask("GET", f"/api/photos/{photo['id']}/preview/after?strength={strength}")
        server.ask("DELETE", f"/api/photos/{photo['id']}")
        server.send("/api/restore", f"{i}.jpg", content)
        found.append(round(server.memory_mb, 1))
        if (i + 1) % 10 == 0:
            print(f"{i + 1:4} photographs: {found[-1]:7.1f} MB", flush=True)
    return found


def measure_times(server: Server, options: list[str]) -> dict[str, float]:
    """Seconds."""
    times = {}
    large = draw_jpeg(3000, 4000, 1)
    photo = json.loads(server.send("/api/photos", "large.jpg", large))
    place = f"/api/photos/{photo['id']}"
    times["preview_12_mp_s"] = _time(lambda: server.ask("GET", f"{place}/preview/after"))
    strengths = iter(f"0.{i}" for i in range(10, 99))
    ask = lambda: server.ask("GET", f"{place}/preview/after?tone={next(strengths)}")  # noqa: E731
    times["strength_s"] = statistics.median(_time(ask) for _ in range(7))
    part = "x=1024&y=1024&w=1024&h=768"
    times["part_1024_x_768_s"] = _time(lambda: server.ask("GET", f"{place}/part/after?{part}"))
    ask = lambda: server.ask("GET", f"{place}/part/after?{part}&tone={next(strengths)}")  # noqa: E731
    times["strength_of_part_s"] = statistics.median(_time(ask) for _ in range(3))
    server.ask("DELETE", place)
    content = draw_jpeg(1000, 1000, 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jpg")
        path.write_bytes(content)
        command = [sys.executable, "-m", "restore", str(path), "--force", *options]
        api, cli = [], []
        for _ in range(3):  # by turns: the machine may be shared
            api.append(_time(lambda: server.send("/api/restore", "a.jpg", content)))
            cli.append(_time(lambda: subprocess.run(command, check=True, capture_output=True)))
    times["api_1_mp_s"], times["command_1_mp_s"] = statistics.median(api), statistics.median(cli)
    return {name: round(value, 3) for name, value in times.items()}


def _read_times() -> dict[str, float]:
    """As an earlier run kept them."""
    kept: dict[str, float] = json.loads(KEPT.read_text())["times"] if KEPT.exists() else {}
    return kept


def _time(task: Any) -> float:
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="of the photographs' sides")
    parser.add_argument("--no-times", action="store_true")
    arguments = parser.parse_args()
    options = [] if arguments.model is None else ["--model", str(arguments.model)]
    server = Server(*options)
    try:
        times = _read_times() if arguments.no_times else measure_times(server, options)
        for name, value in times.items():
            print(f"{name:22} {value:8.3f}")
        memory = measure_memory(server, arguments.photos, arguments.scale)
    finally:
        server.stop()
    tenth = memory[min(9, len(memory) - 1)]
    print(f"after the last / after the tenth: {memory[-1] / tenth:.3f} (bar: 1.1)")
    document = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "load_1_min": round(os.getloadavg()[0], 1),
            "python": platform.python_version(),
        },
        "options": {name: str(value) for name, value in vars(arguments).items()},
        "times": times,
        "memory_mb": memory,
        "last_to_tenth": round(memory[-1] / tenth, 4),
    }
    KEPT.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
