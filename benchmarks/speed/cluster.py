"""Builds on Dask against builds with processes, on this machine.

    nice -n 5 python -m benchmarks.speed.cluster [--num 2500] [--variants 4] [--repeat 3]

Photographs are painted by code. Both engines build the same pairs by turns; Dask's scheduler and
workers are started beforehand, and their start is left out. Wall time is that of the rendering, as
runs.jsonl has it; processor time is that of all processes of an engine. All builds must have the
same digest. A second part builds shards of one small pair each, to find what a shard costs beside
its rendering. All is kept in benchmarks/results/cluster.json, with the load of the machine.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import cv2
import numpy as np
import psutil

from benchmarks.shared.machine import RESULTS

KEPT = RESULTS / "cluster.json"


def paint_photos(folder: Path, num_photos: int) -> None:
    """Colourful JPEGs of 416 x 312."""
    folder.mkdir()
    for number in range(num_photos):
        rng = np.random.default_rng(number)
        photo = cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), (416, 312))
        for _ in range(20):
            centre = int(rng.integers(416)), int(rng.integers(312))
            color = tuple(int(c) for c in rng.integers(0, 256, 3))
            cv2.circle(photo, centre, int(rng.integers(3, 40)), color, -1)
        noise = rng.integers(-6, 7, photo.shape)
        photo = np.clip(photo + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:06d}.jpg"), photo, [cv2.IMWRITE_JPEG_QUALITY, 90])


@contextlib.contextmanager
def start_dask(folder: Path, num_workers: int) -> Iterator[tuple[Path, list[psutil.Process]]]:
    """A scheduler and workers as processes of this machine, ready for work."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    common = ["--scheduler-file", str(file), "--host", "127.0.0.1"]
    common += ["--dashboard-address", "127.0.0.1:0"]
    worker = ["--nthreads", "1", "--no-nanny", "--memory-limit", "0", "--local-directory", folder]
    commands = [["scheduler", "--port", "0"], *([["worker", *map(str, worker)]] * num_workers)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [
        subprocess.Popen([sys.executable, "-m", "dask", *words, *common], **quiet)  # type: ignore[call-overload]
        for words in commands
    ]
    try:
        from distributed import Client

        while not file.exists():
            time.sleep(0.1)
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(num_workers, timeout=120)
        yield file, [psutil.Process(process.pid) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def count_cpu(processes: list[psutil.Process]) -> float:
    """Processor seconds of processes that are running, and of their children that have ended."""
    return sum(sum(process.cpu_times()[:4]) for process in processes)


def build(out: Path, photos: Path, *options: object) -> dict[str, float | str]:
    """One build: seconds of rendering, processor seconds of its process and children, digest."""
    shutil.rmtree(out, ignore_errors=True)
    before = os.times()
    command = [sys.executable, "-m", "degrade", "build", photos, out, "--seed", 1, *options]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    after = os.times()
    run = json.loads((out / "runs.jsonl").read_text().splitlines()[-1])
    return {
        "render_s": run["seconds"],
        "cpu_s": round(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system,
            2,
        ),
        "digest": json.loads((out / "manifest.json").read_text())["digest"],
        "num_shards": run["num_shards"],
        "load": round(os.getloadavg()[0], 1),
    }


def compare(
    place: Path, photos: Path, num_workers: int, repeat: int, *options: object
) -> dict[str, object]:
    """Both engines by turns."""
    found: dict[str, list[dict[str, float | str]]] = {"processes": [], "dask": []}
    with start_dask(place, num_workers) as (file, processes):
        for turn in range(repeat):
            for engine in ("processes", "dask") if turn % 2 == 0 else ("dask", "processes"):
                busy = count_cpu(processes)
                words = ("--workers", num_workers) if engine == "processes" else (
                    "--scheduler", file,
                )  # fmt: skip
                one = build(place / "out", photos, *words, *options)
                if engine == "dask":
                    # What a child has used counts once it has ended.
                    assert not any(process.children() for process in processes)
                    one["cpu_s"] = round(float(one["cpu_s"]) + count_cpu(processes) - busy, 2)
                found[engine].append(one)
                print(num_workers, engine, one, file=sys.stderr)
    assert len({str(one["digest"]) for runs in found.values() for one in runs}) == 1
    ratios = {
        key: [
            round(float(d[key]) / float(p[key]), 3)
            for d, p in zip(found["dask"], found["processes"], strict=True)
        ]
        for key in ("render_s", "cpu_s")
    }
    medians = {key: statistics.median(values) for key, values in ratios.items()}
    return {**found, "ratios": ratios, "median_ratios": medians}


@click.command()
@click.option("--num", "num_photos", default=2500, show_default=True)
@click.option("--variants", default=4, show_default=True)
@click.option("--repeat", default=3, show_default=True)
@click.option("--workers", multiple=True, type=int, default=(2,), show_default=True)
@click.option("--num-small", default=400, show_default=True, help="Shards of one pair of 48 px.")
def main(
    num_photos: int, variants: int, repeat: int, workers: tuple[int, ...], num_small: int
) -> None:
    """Measure and keep."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        place = Path(folder)
        paint_photos(place / "photos", num_photos)
        paint_photos(place / "few", num_small)
        for num_workers in workers:
            options = ("--variants", variants)
            pairs = compare(place, place / "photos", num_workers, repeat, *options)
            small = compare(place, place / "few", num_workers, 1, "--size", 48, "--shard-size", 1)
            kept[f"{num_workers} workers"] = {"num_pairs": num_photos * variants, **pairs}
            kept[f"{num_workers} workers, shards of 1"] = small
            KEPT.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
