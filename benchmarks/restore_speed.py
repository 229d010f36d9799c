"""How long `restore` takes, how much memory, and how far tiles differ from the whole.

    python -m benchmarks.restore_speed [--model FILE] [--large] [--threads 2]

Every measurement runs in a process of its own, on photographs drawn here: TIFF, 16 bits a
channel. Memory is the process's peak resident set, everything included. Without weights a random
network of the default size is measured, which takes as long as a trained one. Printed beside the
bars of the design; kept as JSON with the machine's description under `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import RESULTS, call_module, describe_machine

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


def save_random_weights(path: Path) -> None:
    """A generator of the default size that changes a photograph."""
    import torch

    from restore.network.checkpoint import ModelMetadata, save_generator
    from restore.network.generator import Generator

    torch.manual_seed(0)
    generator = Generator()
    with torch.no_grad():
        for parameter in generator.parameters():
            if parameter.ndim == 4 and not parameter.any():
                parameter.normal_(std=0.5 / parameter[0].numel() ** 0.5)
        generator.paint_out.weight.mul_(0.2)
        generator.tone_out.weight.mul_(0.1)
    save_generator(path, generator, ModelMetadata(name="random"))


def measure_photo(model: Path, photo: Path, threads: int) -> dict[str, Any]:
    """In this process: start-up, then one photograph from file to file."""
    import resource

    started, cpu_started = time.perf_counter(), time.process_time()
    import torch

    from restore import Restorer, RestoreSettings

    torch.set_num_threads(threads)
    restorer = Restorer.load(model, "cpu")
    startup_seconds = time.perf_counter() - started
    startup_cpu_seconds = time.process_time() - cpu_started
    from restore.job import run_job
    from restore.plan import Job

    started, cpu_started = time.perf_counter(), time.process_time()
    run_job(restorer, Job(photo, photo.with_suffix(".restored.tif")), RestoreSettings())
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
    import torch

    from restore import Restorer

    torch.set_num_threads(threads)
    image = pyvips.Image.new_from_file(str(photo))
    samples = (image.numpy() >> 8).astype(np.uint8)
    whole = Restorer.load(model, "cpu", tile_px=8192).restore(samples)
    report: dict[str, Any] = {}
    for tile_px in (256, 512):
        tiled = Restorer.load(model, "cpu", tile_px=tile_px).restore(samples)
        difference = np.abs(tiled.restored.astype(int) - whole.restored)
        report[f"tile_{tile_px}"] = {
            "max_255ths": int(difference.max()),
            "differing_frac": float((difference > 0).mean()),
            "restoration_max_255ths": int(np.abs(whole.restored.astype(int) - samples).max()),
        }
    return report


def _child(task: str, model: Path, photo: Path, threads: int) -> dict[str, Any]:
    lines = call_module(
        "benchmarks.restore_speed", "--task", task, "--photo", photo, "--model", model,
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
    parser.add_argument("--task", choices=["photo", "tiles"], help=argparse.SUPPRESS)
    parser.add_argument("--photo", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        measure = measure_photo if options.task == "photo" else measure_tiles
        print(json.dumps(measure(options.model, options.photo, options.threads)))
        return
    machine = describe_machine(options.threads, "torch", "numpy")
    report: dict[str, Any] = {"machine": machine, "photos": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = options.model
        if model is None:
            model = folder / "random.safetensors"
            save_random_weights(model)
        report["model"] = options.model.name if options.model else "random, default size"
        print(f"{'MP':>6} {'start s':>8} {'s':>8} {'CPU s':>8} {'s/MP':>6} {'peak MB':>8}  bar")
        for megapixels, (height, width) in SIDES.items():
            if megapixels > 12 and not options.large:
                continue
            photo = folder / "photo.tif"
            draw(photo, height, width)
            row = _child("photo", model, photo, options.threads)
            report["photos"][str(megapixels)] = row
            bar = {1: "<= 3 s, 1500 MB, start <= 4 s", 100: "< 3000 MB, linear"}.get(megapixels, "")
            print(
                f"{megapixels:6} {row['startup_seconds']:8.2f} {row['seconds']:8.2f} "
                f"{row['cpu_seconds']:8.2f} {row['seconds'] / megapixels:6.2f} "
                f"{row['peak_bytes'] / 1e6:8.0f}  {bar}"
            )
        photo = folder / "photo.tif"
        draw(photo, 1100, 900)
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
