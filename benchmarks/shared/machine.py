"""What all benchmarks share: the machine's description, and calling each other in a new process.

The benchmarks lie beside the packages and aren't installed. They import each other as
`benchmarks.ROOM.NAME`, so Python must look for modules in the folder above `benchmarks`. It does
with `python -m benchmarks.ROOM.NAME` called from there; with `python benchmarks/ROOM/NAME.py` it
does where the project is installed editable, as CONTRIBUTING.md says.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_BENCHMARKS = Path(__file__).resolve().parent.parent
RESULTS = _BENCHMARKS / "results"


def describe_machine(threads: int, *distributions: str) -> dict[str, Any]:
    """What the numbers were measured on, as JSON values.

    Args:
        threads: How many the measured code may use.
        distributions: Installed packages whose versions matter.
    """
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = lines[0].split(":")[1].strip() if lines else model
    return {
        "processor": model,
        "num_cores": os.cpu_count(),
        "threads": threads,
        "load_before": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in distributions},
        "date": datetime.now(UTC).date().isoformat(),
    }


def call_module(
    module: str, *arguments: object, capture: bool = False, **variables: str
) -> list[str]:
    """Run a module in a process of its own, and wait for it.

    Args:
        module: Its name, `benchmarks.picture.quality` for instance.
        arguments: Of its command line.
        capture: Whether to return what it prints instead of passing it on.
        variables: Further environment variables.

    Returns:
        The lines that it printed on stdout, if captured; what it writes to stderr is passed on.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    paths = [str(_BENCHMARKS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables}
    # -P: not the current folder, in which anything may lie.
    command = [sys.executable, "-P", "-m", module, *map(str, arguments)]
    stdout = subprocess.PIPE if capture else None
    done = subprocess.run(command, env=environment, check=True, stdout=stdout, text=True)
    return done.stdout.splitlines() if capture else []


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Keep what was measured; the folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
