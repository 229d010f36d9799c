"""How long `restore` takes, how much memory, and how far tiles differ from the whole.

    python -m benchmarks.speed.restoring [--model FILE] [--large] [--threads 2]

Every measurement runs in a process of its own, on photographs drawn here: TIFF, 16 bits a
channel. Memory is the process's peak resident set, everything included. Printed beside the bars of
the design; kept as JSON with the machine's description under `benchmarks/results/`.

The command is timed as a whole, too, and the network beside the same one in PyTorch, in single
precision and in bfloat16, alternately.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.shared.machine import RESULTS, call_module, describe_machine
from restore.engine.model_file import default_model_path, read_metadata

BARS = {
    0.25: "start <= 0.8 s",
    1: "<= 1.5 s, 800 MB",
    100: "< 2500 MB, linear",
}
SIDES = {0.25: (500, 500), 1: (1000, 1000), 12: (3000, 4000), 100: (10_000, 10_000)}


def draw(path: Path, height: int, width: int) -> None:
    """A 16-bit TIFF with smooth areas, edges, grain and scratches, drawn in strips."""
    import pyvips

    rng = np.random.default_rng(0)
    raw = path.with_suffix(".raw")
    columns = np.arange(width, dtype=np.float32)
    with raw.open("wb") as file:
        for y0 in range(0, height, 500):
            rows = np.arange(y0, min(y0 + 500, height), dtype=np.float32)[:, None]
            tone = 0.5 + 0.3 * np.sin(rows / 173) * np.cos(columns / 211)
            tone = tone + 0.15 * ((rows // 97 + columns // 131) % 2) - 0.1
            tone = tone + 0.06 * rng.standard_normal(tone.shape, dtype=np.float32)
            tone[:, rng.integers(0, width, max(1, width // 400))] = 0.95
            photo = np.stack([tone, tone * 0.93, tone * 0.8], axis=-1).clip(0, 1)
            file.write(np.rint(photo * 65535).astype(np.uint16).data)
    image = pyvips.Image.rawload(
        str(raw), width, height, 3, format="ushort", interpretation="rgb16"
    )
    image.tiffsave(str(path), compression="none")
    raw.unlink()


def measure_photo(model: Path, photo: Path, threads: int) -> dict[str, Any]:
    """In this process: start-up, then one photograph from file to file."""
    import resource

    started, cpu_started = time.perf_counter(), time.process_time()
    from restore import Restorer, RestoreSettings

    restorer = Restorer.load(model, "cpu", num_threads=threads)
    startup_seconds = time.perf_counter() - started
    startup_cpu_seconds = time.process_time() - cpu_started
    from restore.album.job import run_job
    from restore.album.plan import Job

    started, cpu_started = time.perf_counter(), time.process_time()
    for _ in run_job(restorer, Job(photo, photo.with_suffix(".out.tif")), RestoreSettings()):
        pass
    scale = 1024 if platform.system() == "Linux" else 1  # KiB on Linux, bytes on macOS
    return {
        "startup_seconds": startup_seconds,
        "startup_cpu_seconds": startup_cpu_seconds,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu_started,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale,
    }


def measure_tiles(model: Path, photo: Path, threads: int) -> dict[str, Any]:
    """In this process: the largest difference between tiles and one run over the whole."""
    import pyvips

    from restore import Restorer

    image = pyvips.Image.new_from_file(str(photo))
    samples = (image.numpy() >> 8).astype(np.uint8)
    whole = Restorer.load(model, "cpu", tile_px=8192, num_threads=threads).restore(samples)
    report: dict[str, Any] = {}
    for tile_px in (256, 512):
        tiled = Restorer.load(model, "cpu", tile_px=tile_px, num_threads=threads).restore(samples)
        difference = np.abs(tiled.restored.astype(int) - whole.restored)
        report[f"tile_{tile_px}"] = {
            "max_255ths": int(difference.max()),
            "differing_frac": float((difference > 0).mean()),
            "restoration_max_255ths": int(np.abs(whole.restored.astype(int) - samples).max()),
        }
    return report


def measure_engines(model: Path, photo: Path, threads: int) -> dict[str, Any]:
    """In this process: seconds of one run over 1,024 px, both engines in turn; how far apart.

    Needs the packages for training; empty without them.
    """
    try:
        import torch

        from train.network.checkpoint import load_generator
    except ImportError:
        return {}
    from restore.engine import Network

    torch.set_num_threads(threads)
    generator, _ = load_generator(model)
    network = Network.load(model, "cpu", num_threads=threads)
    side = 1024
    window = np.random.default_rng(0).random((side, side, 3), dtype=np.float32)
    grid, place = np.zeros((12, 1, 1), np.float32), (np.ones((side, 1), np.float32),) * 2
    pixels = torch.from_numpy(window).permute(2, 0, 1)[None]
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    seconds: dict[str, list[float]] = {"onnxruntime": [], "torch fp32": [], "torch bf16": []}
    found: dict[str, NDArray[np.float32]] = {}
    for _ in range(4):
        for engine, taken in seconds.items():
            started = time.perf_counter()
            if engine == "onnxruntime":
                restored, _ = network.repair(window, grid, place)
            else:
                half = engine.endswith("bf16")
                with (
                    torch.inference_mode(),
                    torch.autocast("cpu", torch.bfloat16, enabled=half),
                ):
                    output, _ = generator.restore_locally(pixels, None, pixels)
                restored = output[0].float().permute(1, 2, 0).numpy()
            taken.append(time.perf_counter() - started)
            found[engine] = restored.clip(0, 1)
    return {
        engine: {
            "seconds": min(taken[1:]),  # the first run of each prepares
            "max_255ths": float(np.abs(found[engine] - found["torch fp32"]).max() * 255),
            "mean_255ths": float(np.abs(found[engine] - found["torch fp32"]).mean() * 255),
        }
        for engine, taken in seconds.items()
    }


def time_command(photo: Path, model: Path) -> float:
    """Seconds of the whole command, Python's start included."""
    output = photo.with_name("command.tif")
    started = time.perf_counter()
    options = ["-o", str(output), "--force", "--model", str(model)]
    command = [sys.executable, "-m", "restore", str(photo), *options]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


TASKS = {"photo": measure_photo, "tiles": measure_tiles, "engines": measure_engines}


def _child(task: str, model: Path, photo: Path, threads: int) -> dict[str, Any]:
    lines = call_module(
        "benchmarks.speed.restoring", "--task", task, "--photo", photo, "--model", model,
        "--threads", threads, capture=True,
    )  # fmt: skip
    report: dict[str, Any] = json.loads(lines[-1])
    return report


def main() -> None:
    """Measure all sizes and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--large", action="store_true", help="100 megapixels, too (minutes)")
    parser.add_argument("--task", choices=list(TASKS), help=argparse.SUPPRESS)
    parser.add_argument("--photo", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        measure = TASKS[options.task]
        print(json.dumps(measure(options.model, options.photo, options.threads)))
        return
    machine = describe_machine(options.threads, "onnxruntime", "numpy")
    report: dict[str, Any] = {"machine": machine, "photos": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = options.model or default_model_path()
        report["model"] = read_metadata(model).name
        print(f"{'MP':>6} {'start s':>8} {'s':>8} {'CPU s':>8} {'s/MP':>6} {'peak MB':>8}  bar")
        for megapixels, (height, width) in SIDES.items():
            if megapixels > 12 and not options.large:
                continue
            photo = folder / "photo.tif"
            draw(photo, height, width)
            row = _child("photo", model, photo, options.threads)
            if megapixels < 1:
                row["command_seconds"] = min(time_command(photo, model) for _ in range(3))
            report["photos"][str(megapixels)] = row
            bar = BARS.get(megapixels, "")
            print(
                f"{megapixels:6} {row['startup_seconds']:8.2f} {row['seconds']:8.2f} "
                f"{row['cpu_seconds']:8.2f} {row['seconds'] / megapixels:6.2f} "
                f"{row['peak_bytes'] / 1e6:8.0f}  {bar}"
            )
        command_s = report["photos"]["0.25"]["command_seconds"]
        print(f"the whole command, 0.25 MP: {command_s:.2f} s (bar: 2 s)")
        photo = folder / "photo.tif"
        draw(photo, 1100, 900)
        report["engines"] = _child("engines", model, photo, options.threads)
        for engine, row in report["engines"].items():
            print(f"{engine}: {row['seconds']:.2f} s, within {row['max_255ths']:.2f}/255 of fp32")
        report["tiles"] = _child("tiles", model, photo, options.threads)
        for tile, row in report["tiles"].items():
            print(
                f"{tile} against whole: at most {row['max_255ths']}/255 (bar: 2/255), where the "
                f"restoration changes up to {row['restoration_max_255ths']}/255"
            )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "restore-speed.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
