"""Cost of planning a build of millions: time, memory, disk, and the size of the manifest.

    nice python -m benchmarks.speed.plan NUM [--folder /tmp] [--keep-source]

It makes an LMDB of NUM keys as LSUN's are (40 hexadecimal digits) with values of 16 bytes, plans a
build of it as `degrade build` does, in a process of its own, and writes the manifest that such a
build would have. Nothing is rendered. Results go to benchmarks/results/plan.json, by NUM.

Tiny values leave out the disk: a real source has its values on pages of their own, and the glimpse
at each photograph touches one or two of them.
"""

import hashlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import click
import lmdb
import numpy as np

from benchmarks.shared.machine import RESULTS
from degrade.build.options import BuildOptions, make_settings
from degrade.build.plan import Plan, make_plan
from degrade.build.sources import open_source
from degrade.profile import load_profile
from degrade.progress import follow
from degrade.store.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    Manifest,
    ShardInfo,
    SourceInfo,
    read_manifest,
    write_record,
)
from degrade.textures.pack import Textures

KEPT = RESULTS / "plan.json"


def make_source(folder: Path, num_photos: int) -> None:
    """Write the LMDB, in key order."""
    heads = np.unique(np.random.default_rng(1).integers(0, 2**64, num_photos, np.uint64))
    with lmdb.open(str(folder), map_size=1 << 36, lock=False, sync=False) as env:
        for start in range(0, len(heads), 1 << 18):
            with env.begin(write=True) as transaction:
                for head in heads[start : start + (1 << 18)].tolist():
                    rest = hashlib.blake2b(head.to_bytes(8, "little"), digest_size=12).hexdigest()
                    key = f"{head:016x}{rest}".encode()
                    assert transaction.put(key, key[:16], append=True)


def count_bytes(folder: Path) -> int:
    """Of all files of a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def watch_memory(peaks: list[int]) -> None:
    """Note the most memory of this process's own, mapped files aside, in kB."""
    while True:
        status = Path("/proc/self/status").read_text()
        own = next(line for line in status.splitlines() if line.startswith("RssAnon"))
        peaks[0] = max(peaks[0], int(own.split()[1]))
        time.sleep(0.05)


def measure(source_path: Path, folder: Path) -> dict[str, float]:
    """Plan a build in this process."""
    options = BuildOptions(source=source_path, out=folder, seed=1)
    peaks = [0]
    threading.Thread(target=watch_memory, args=(peaks,), daemon=True).start()
    source = open_source(source_path)
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    wall, cpu = time.perf_counter(), time.process_time()
    info = follow(make_plan(source, folder, limit=None, val_frac=0.05, variants=1, shard_size=None))
    found = {
        "num_photos": info.num_photos,
        "plan_cpu_s": round(time.process_time() - cpu, 1),
        "plan_wall_s": round(time.perf_counter() - wall, 1),
        "plan_disk_mb": round(count_bytes(folder) / 1e6, 1),
    }
    found["peak_mb_mapped_and_own"] = round(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mb, 1
    )
    found["peak_mb_own"] = round(peaks[0] / 1024, 1)
    cpu = time.process_time()
    with Plan(folder, info, 1) as plan:
        shards = list(plan.list_shards())
        ends = {
            shard.name: [plan.key(plan.positions(shard)[at]) for at in (0, -1)] for shard in shards
        }
    found["num_shards"] = len(shards)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        settings=make_settings(options, load_profile("family-album"), Textures.load()),
        source=SourceInfo(
            kind="lsun", path="lsun", num_photos=info.num_photos, fingerprint=info.fingerprint
        ),
        num_train=info.num_train,
        num_val=info.num_val,
        num_rejected={},
        digest=info.fingerprint,
        shards=[
            ShardInfo(
                name=shard.name,
                split=shard.split,
                first_number=shard.first_number,
                num_pairs=shard.stop - shard.start,
                digest=hashlib.blake2b(shard.name.encode(), digest_size=32).hexdigest(),
                num_bytes=40_000_000,
                first_key=ends[shard.name][0],
                last_key=ends[shard.name][1],
            )
            for shard in shards
        ],
    )
    write_record(folder / MANIFEST_NAME, manifest)
    found["manifest_mb"] = round((folder / MANIFEST_NAME).stat().st_size / 1e6, 2)
    found["manifest_write_cpu_s"] = round(time.process_time() - cpu, 2)
    cpu = time.process_time()
    assert len(read_manifest(folder).shards) == len(shards)
    found["manifest_read_cpu_s"] = round(time.process_time() - cpu, 3)
    return found


def describe_machine() -> str:
    """Processor, cores and Python, in a line."""
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, Python " + (
        platform.python_version()
    )


@click.command()
@click.argument("num_photos", type=click.IntRange(min=1))
@click.option("--folder", type=click.Path(path_type=Path), default=Path(tempfile.gettempdir()))
@click.option("--planning", type=click.Path(path_type=Path), hidden=True)
def main(num_photos: int, folder: Path, planning: Path | None) -> None:
    """Plan a build of NUM_PHOTOS photographs and keep what it cost."""
    if planning is not None:
        (planning / "plan").mkdir()
        print(json.dumps(measure(planning / "source", planning / "plan")))
        return
    place = Path(tempfile.mkdtemp(prefix="plan-", dir=folder))
    try:
        (place / "source").mkdir()
        began = time.perf_counter()
        make_source(place / "source", num_photos)
        print(f"source made in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        command = [
            sys.executable,
            "-m",
            "benchmarks.speed.plan",
            str(num_photos),
            "--planning",
            str(place),
        ]
        # A process of its own, so that its peak of memory is the plan's.
        found = json.loads(subprocess.check_output(command, text=True))
        found["source_mb"] = round(count_bytes(place / "source") / 1e6, 1)
        found["load_average"] = [round(load, 1) for load in os.getloadavg()]
    finally:
        shutil.rmtree(place)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    kept["machine"] = describe_machine()
    kept[str(num_photos)] = found
    KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
