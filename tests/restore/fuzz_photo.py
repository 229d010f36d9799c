"""Fuzz the reader for as long as wanted: `python tests/restore/fuzz_photo.py --seconds 600`.

Photographs in every format are damaged at random (bytes changed, cut, doubled, swapped with another
format's) and restored from file to file by a network that changes nothing. A child process does
the work, so that a crash or a hang is seen from outside and its seed named. Every case must end in
a whole restored file or in one `PhotoError`, and leave nothing else behind.

With `--metadata` only what photographs say beside their pixels is damaged: lengths, counts,
nesting, encodings, texts. What comes out must then be readable by Pillow, exifread, tifffile and,
where it is installed, exiftool, without complaint; but for XMP that is no XML, which is kept.
"""

from __future__ import annotations

import argparse
import random
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

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


_MARKS = (
    *(b"Exif\0\0", b"II*\0", b"MM\0*", b"<?xpacket", b"<rdf:", b"8BIM", b"Photoshop 3.0"),
    *(b"\x1c\x02", b"iTXt", b"tEXt", b"zTXt", b"eXIf", b"EXIF", b"XMP ", b"infe", b"iloc"),
    *(
        b"http://ns.adobe.com",
        b"Raw profile",
        b"VP8X",
        b"Maker\0",
        b"UNICODE\0",
        b"!\xff",
        b"!\xfe",
    ),
)
_ODD_TEXTS = (
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\0", b"\xe9\xdf", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"]]>"),
    *(b"</rdf:RDF>", b"<x>", b"&amp;", b'"', b"\x1c\x02\x78\x7f\xff", b"\xff\xe1\x00\x02"),
)


def damage_metadata(content: bytes, name: str, rng: random.Random) -> bytes:
    """One to six faults in what isn't pixels."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        places = [i for mark in _MARKS if (i := data.find(mark)) >= 0]
        start = rng.choice(places) if places else 0
        place = min(start + int(rng.paretovariate(0.5)) - 1, start + 600, len(data) - 8)
        place = max(place, 0)
        match rng.randrange(7):
            case 0:  # a length or a count, small, huge, or off by a little
                size = rng.choice([1, 2, 4])
                order: Any = rng.choice(["little", "big"])
                old = int.from_bytes(data[place : place + size], order)
                new = rng.choice([0, 1, old + 1, old - 1, old * 2, 256**size - 1, 8, len(data)])
                data[place : place + size] = (new % 256**size).to_bytes(size, order)
            case 1:
                data[place : place + 4] = rng.randbytes(4)
            case 2:
                data[place] ^= 1 << rng.randrange(8)
            case 3:  # nested: an entry that points back to the first directory
                head = max(data.find(b"II*\0"), data.find(b"MM\0*"))
                if head >= 0:
                    first = head + 8 + 2 + 12 * rng.randrange(12)
                    tag = rng.choice([34665, 34853, 40965, 330, 37500])
                    little = data[head : head + 2] == b"II"
                    form = "<HHII" if little else ">HHII"
                    data[first : first + 12] = struct.pack(form, tag, 4, 1, rng.choice([8, 9, 26]))
            case 4:  # encodings
                text = rng.choice(_ODD_TEXTS)
                data[place : place + len(text)] = text
            case 5:  # the same block twice, of the same length
                other = rng.choice(places) if places else 0
                size = rng.randint(4, 64)
                data[place : place + size] = data[other : other + size]
            case 6:  # an entry's type
                data[place : place + 2] = bytes([rng.randrange(20), 0])
    return mend_checksums(bytes(data)) if name.endswith(".png") else bytes(data)


def mend_checksums(content: bytes) -> bytes:
    """A PNG file whose chunks have right checksums again, so that they are looked at."""
    parts, place = [content[:8]], 8
    while place + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, place)
        body = content[place + 4 : place + 8 + size]
        parts.append(content[place : place + 4] + body + struct.pack(">I", zlib.crc32(body)))
        place += 12 + size
    return b"".join(parts)


def complain(path: Path, *, with_exiftool: bool) -> str:
    """What other software has against a restored file; empty if nothing."""
    import exifread
    import tifffile
    from PIL import Image
    from rich_metadata import HAS_EXIFTOOL

    with Image.open(path) as image:
        image.load()
        exif = image.getexif()
        for number in (0x8769, 0x8825, 0xA005):
            dict(exif.get_ifd(number))
        dict(exif)
    with path.open("rb") as file:
        exifread.process_file(file, details=False)
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as tiff:
            [tag.value for tag in tiff.pages[0].tags.values()]
            tiff.asarray()
    if with_exiftool and HAS_EXIFTOOL:
        command = ["exiftool", "-q", "-s3", "-error", "-warning", path]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        lines = done.stdout.splitlines()
        serious = [line for line in lines if not re.search(r"\[minor\]|XMP", line, re.IGNORECASE)]
        return "; ".join(serious)
    return ""


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


def work(first_seed: int, *, metadata: bool) -> None:
    """Restore damaged photographs for ever, saying each seed and how it ended."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from photo_zoo import ZOO, load_restorer
    from rich_metadata import make_exif, write_rich

    from restore.album.job import run_job
    from restore.album.plan import Job
    from restore.errors import PhotoError
    from restore.events import Progress
    from restore.settings import RestoreSettings

    restorer = load_restorer("identity", tile_px=128)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if metadata:
            for suffix in (".jpg", ".png", ".tif", ".webp", ".avif"):
                for order in "<>":
                    exif = make_exif(order=order, orientation=6 if order == ">" else 1)
                    write_rich(folder / f"{ord(order)}{suffix}", exif=exif)
            ZOO["palette.gif"][0](folder / "a.gif")
        else:
            for zoo_name, entry in ZOO.items():
                entry[0](folder / zoo_name)
        contents = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        place = folder / "case"
        place.mkdir()
        seed = first_seed
        while True:
            rng = random.Random(seed)
            zoo_name = rng.choice(sorted(contents))
            print(f"seed {seed}", flush=True)
            photo = place / zoo_name
            if metadata:
                photo.write_bytes(damage_metadata(contents[zoo_name], zoo_name, rng))
            else:
                photo.write_bytes(damage(contents[zoo_name], list(contents.values()), rng))
            suffixes = [".png", ".jpg", ".tif", ".webp"] + [".avif"] * metadata
            output = place / f"out{rng.choice(suffixes)}"
            try:
                job = Job(photo, output, version="0")
                for event in run_job(restorer, job, RestoreSettings()):
                    if isinstance(event, Progress):
                        tell_busy(event.done_frac)
                expected = {photo, output}
                if metadata and (said := complain(output, with_exiftool=seed % 4 == 0)):
                    print(f"said {zoo_name} {output.suffix} {said}", flush=True)
                    print("end complained", flush=True)
                else:
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
    parser.add_argument("--metadata", action="store_true", help="damage nothing but metadata")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.seed, metadata=options.metadata)
    deadline = time.monotonic() + options.seconds
    seed, counts = options.seed, Counter[str]()
    while time.monotonic() < deadline:
        child = subprocess.Popen(
            [sys.executable, __file__, "--work", "--seed", str(seed)]
            + ["--metadata"] * options.metadata,
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
            elif kind == "said":
                print(f"seed {last}: {value.strip()}", flush=True)
        child.wait()
        if reasons != ["time is over"]:
            reason = reasons[0] if reasons else f"exit status {child.returncode}"
            counts["wrong"] += 1
            print(f"seed {last}: {reason}\n{''.join(errors[-12:])}", flush=True)
        seed = last + 1
    print(dict(counts), f"seeds {options.seed}..{seed - 1}")
    return counts["wrong"] + counts["complained"]


if __name__ == "__main__":
    sys.exit(min(main(), 1))
