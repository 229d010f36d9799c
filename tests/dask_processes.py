"""A Dask scheduler and its workers as processes of this machine, for the tests of the cluster."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil


class DaskProcesses:
    """A scheduler on 127.0.0.1, and workers that come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.scheduler_file = folder / "scheduler.json"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", 0, "--dashboard-address", "127.0.0.1:0"
        )
        deadline = time.monotonic() + 60
        while not self.scheduler_file.exists():
            assert time.monotonic() < deadline
            assert self.scheduler.poll() is None
            time.sleep(0.02)

    def start_worker(self, preload: str | None = None, nanny: bool = True) -> "WorkerProcess":
        """Start a worker; its processes run some lines of Python first."""
        paths = [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
        if preload is not None:
            site = Path(tempfile.mkdtemp(prefix="site-", dir=self.folder))
            (site / "sitecustomize.py").write_text(preload)
            paths.insert(0, str(site))
        process = self._start(
            "worker", "--host", "127.0.0.1", "--nthreads", 1, "--dashboard-address", "127.0.0.1:0",
            "--memory-limit", 0, "--death-timeout", 30, "--local-directory", self.folder,
            "--nanny" if nanny else "--no-nanny",
            PYTHONPATH=os.pathsep.join(paths),
        )  # fmt: skip
        return WorkerProcess(process, nanny)

    def stop_workers(self) -> None:
        """End all workers at once."""
        for process in self._processes[1:]:
            _kill_group(process)
        del self._processes[1:]

    def close(self) -> None:
        """End everything."""
        self.stop_workers()
        _kill_group(self.scheduler)

    def _start(self, *words: object, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *words, "--scheduler-file", self.scheduler_file]
        with (self.folder / f"log-{len(self._processes)}.txt").open("wb") as log:
            process = subprocess.Popen(
                list(map(str, command)),
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **environment},
            )
        self._processes.append(process)
        return process


class WorkerProcess:
    """A worker, with or without a nanny that starts it again when it dies."""

    def __init__(self, process: subprocess.Popen[bytes], has_nanny: bool) -> None:
        self.process = process
        self.has_nanny = has_nanny

    def kill(self) -> bool:
        """Kill -9 the process that renders; tell whether there was one."""
        if not self.has_nanny:
            self.process.kill()
            return True
        killed = False
        for child in psutil.Process(self.process.pid).children():
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
                killed = True
        return killed


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
