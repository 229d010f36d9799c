"""Fuzz the reader for as long as wanted: `python tests/restore/fuzz_photo.py --seconds 600`.

Photographs in every format are damaged at random (bytes changed, cut, doubled, swapped with another
format's) and restored from file to file by a network that changes nothing. A child process does
the work, so that a crash or a hang is seen from outside and its seed named. Every case must end in
a whole restored file or in one `PhotoError`, and leave nothing else behind.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

HANG_SECONDS = 60


def damage(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """One to eight faults."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        place = (
            rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(len(data), 256))
        )
        length = min(int(rng.paretovariate(1)), 64)
        match rng.randrange(6):
            case 0:
                data[place : place + length] = rng.randbytes(length)
            case 1:
                data[place : place + 4] = rng.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"])
            case 2:
                data[place] ^= 1 << rng.randrange(8)
            case 3:
                data[place:place] = data[place : place + length]
            case 4:
                other = rng.choice(others)
                start = rng.randrange(len(other))
                data[place : place + length] = other[start : start + length]
            case 5 if rng.random() < 0.2:
                del data[place:]
        data = data or bytearray(b"\0")
    return bytes(data)


def tell_busy(done_frac: float) -> None:
    """A damaged header may ask for much work, which is no hang."""
    print(f"busy {done_frac:.3f}", flush=True)


def watch(
    child: subprocess.Popen[str], heard: list[float], deadline: float, reasons: list[str]
) -> None:
    """Kill a child that says nothing, or whose time is over."""
    while child.poll() is None:
        if time.monotonic() > deadline:
            reasons.append("time is over")
        elif time.monotonic() - heard[0] > HANG_SECONDS:
            reasons.append("hang")
        if reasons:
            child.kill()
            return
        time.sleep(0.5)


def work(first_seed: int) -> None:
    """Restore damaged photographs for ever, saying each seed and how it ended."""
    from photo_zoo import ZOO, load_restorer

    from restore.errors import PhotoError
    from restore.events import Progress
    from restore.job import run_job
    from restore.plan import Job
    from restore.settings import RestoreSettings

    restorer = load_restorer("identity", tile_px=128)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for zoo_name, entry in ZOO.items():
            entry[0](folder / zoo_name)
        contents = {zoo_name: (folder / zoo_name).read_bytes() for zoo_name in ZOO}
        place = folder / "case"
        place.mkdir()
        seed = first_seed
        while True:
            rng = random.Random(seed)
            zoo_name = rng.choice(sorted(contents))
            print(f"seed {seed}", flush=True)
            photo = place / zoo_name
            photo.write_bytes(damage(contents[zoo_name], list(contents.values()), rng))
            output = place / f"out{rng.choice(['.png', '.jpg', '.tif', '.webp'])}"
            try:
                job = Job(photo, output, version="0")
                for event in run_job(restorer, job, RestoreSettings()):
                    if isinstance(event, Progress):
                        tell_busy(event.done_frac)
                expected = {photo, output}
                print("end restored", flush=True)
            except PhotoError as error:
                expected = {photo}
                print("end refused" if "\n" not in str(error) else "end wrong", flush=True)
            left = set(place.iterdir())
            assert left == expected, left
            for path in left:
                path.unlink()
            seed += 1


def main() -> int:
    """Run children until the time is over; returns how many cases went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.seed)
    deadline = time.monotonic() + options.seconds
    seed, counts = options.seed, Counter[str]()
    while time.monotonic() < deadline:
        child = subprocess.Popen(
            [sys.executable, __file__, "--work", "--seed", str(seed)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        last, heard = seed, [time.monotonic() + 60]
        reasons: list[str] = []

        errors: list[str] = []
        assert child.stdout is not None
        assert child.stderr is not None
        threading.Thread(target=watch, args=(child, heard, deadline, reasons), daemon=True).start()
        threading.Thread(target=errors.extend, args=(child.stderr,), daemon=True).start()
        for line in child.stdout:
            heard[0] = time.monotonic()
            kind, value = line.split(maxsplit=1)
            if kind == "seed":
                last = int(value)
            elif kind == "end":
                counts[value.strip()] += 1
        child.wait()
        if reasons != ["time is over"]:
            reason = reasons[0] if reasons else f"exit status {child.returncode}"
            counts["wrong"] += 1
            print(f"seed {last}: {reason}\n{''.join(errors[-12:])}", flush=True)
        seed = last + 1
    print(dict(counts), f"seeds {options.seed}..{seed - 1}")
    return counts["wrong"]


if __name__ == "__main__":
    sys.exit(min(main(), 1))
