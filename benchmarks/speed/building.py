"""Cost of `degrade build`: against the bare floor, an albumentations chain and an Augraphy chain.

    python -m benchmarks.speed.building PHOTOS [--num 200] [--size 256]

All chains run in this process, by turns on the same photographs, and are measured in CPU time, so
that what else the machine does matters little. Augraphy is measured where it is installed; it
wants another build of OpenCV, so install it without its dependencies (`pip install --no-deps
augraphy numba llvmlite`).

The floor is what any renderer must do: decode, resize, encode two JPEGs and a mask, put. Ratios
are printed; everything is kept in benchmarks/results/build-speed.json with the machine's
description.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import cv2
import lmdb
import numpy as np
from numpy.typing import NDArray

from benchmarks.shared.machine import RESULTS, describe_machine
from degrade.build.samples import encode_marks
from degrade.build.workers import keep_freed_memory
from degrade.damage.ageing import age
from degrade.damage.crop import resize_photo
from degrade.damage.curve import apply_curve
from degrade.damage.draw import draw_recipe
from degrade.damage.emulsion import respond
from degrade.damage.grain import add_grain
from degrade.damage.lens import blur_lens
from degrade.damage.render import cut_photo, expose_and_print, render, render_fields, without
from degrade.damage.scan import apply_scan, stored_quality
from degrade.damage.tone import apply_tone
from degrade.profile import load_profile
from degrade.recipe import encode_recipe
from degrade.textures import Textures

Photo = NDArray[np.uint8]
Chain = Callable[[bytes, int], None]
"""Takes an encoded photograph and its number, and puts a pair into the store."""


def decode_rgb(encoded: bytes) -> Photo:
    """(H, W, 3) RGB."""
    bgr = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None, "no photograph"
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def encode_jpeg(photo: Photo, quality: int) -> bytes:
    """RGB to JPEG."""
    bgr = cv2.cvtColor(photo, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


class Store:
    """An LMDB to put samples into, in batches as `degrade build` does."""

    def __init__(self, folder: str) -> None:
        self.env = lmdb.open(folder, map_size=1 << 34, lock=False, sync=False)
        self.pending: list[tuple[bytes, bytes]] = []
        self.count = 0

    def put(self, clean: bytes, damaged: bytes, marks: bytes, recipe: bytes) -> None:
        """Put the parts of one pair."""
        parts = (("clean.jpg", clean), ("damaged.jpg", damaged), ("marks.png", marks))
        for name, value in (*parts, ("recipe.json", recipe)):
            self.pending.append((f"{self.count:08d}/{name}".encode(), value))
        self.count += 1
        if len(self.pending) >= 256:
            with self.env.begin(write=True) as transaction:
                transaction.cursor().putmulti(self.pending)
            self.pending = []


def make_albumentations(size: int) -> Callable[[Photo], Photo]:
    """The faults of the default profile, each as often as there, from albumentations alone."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it calls a package index at import
    import albumentations as A

    chain = A.Compose(
        [
            A.OneOf([A.GaussianBlur(sigma_limit=(0.3, 2)), A.Defocus(), A.MotionBlur()], p=0.6),
            A.ToGray(p=0.85),
            A.RandomToneCurve(p=0.85),  # characteristic curve
            A.RandomBrightnessContrast(p=0.85),  # levels
            A.ShotNoise(p=0.75),  # grain that follows the tone
            A.Illumination(p=0.4),  # vignette
            A.ToSepia(p=0.35),
            A.PlasmaBrightnessContrast(p=0.45),  # uneven fading and yellowing
            A.PlasmaShadow(p=0.2),  # stains
            A.Spatter(mode="mud", p=0.25),  # foxing, water marks
            A.RandomGravel(p=0.55),  # dust and dirt
            A.RandomRain(p=0.4),  # scratches and hairs
            A.CoarseDropout(p=0.25),  # losses
            A.Downscale(scale_range=(0.5, 0.9), p=0.35),
            A.Sharpen(p=0.3),
            A.ISONoise(p=0.35),  # the scanner's sensor
            A.ImageCompression(quality_range=(30, 95), p=0.7),
        ],
        seed=1,
    )
    return lambda photo: np.asarray(chain(image=photo)["image"], np.uint8)


def make_augraphy() -> Callable[[Photo], Photo] | None:
    """A chain of comparable faults from Augraphy, if it is installed."""
    try:
        import augraphy as ag
    except ImportError:
        return None
    chain = ag.AugraphyPipeline(
        ink_phase=[ag.Letterpress(p=0.3), ag.LowInkRandomLines(p=0.3)],
        paper_phase=[ag.NoiseTexturize(p=0.5), ag.BrightnessTexturize(p=0.3)],
        post_phase=[
            ag.SubtleNoise(p=0.6), ag.Gamma(p=0.7), ag.Folding(fold_count=1, p=0.2),
            ag.Scribbles(p=0.0), ag.BadPhotoCopy(p=0.2), ag.DirtyDrum(p=0.3),
            ag.LightingGradient(p=0.3), ag.Jpeg(p=0.7), ag.Stains(p=0.15),
        ],
    )  # fmt: skip

    def apply(photo: Photo) -> Photo:
        out = chain(photo)
        return np.asarray(out[0] if isinstance(out, tuple | list) else out, np.uint8)

    return apply


def time_chains(chains: dict[str, Chain], encoded: list[bytes]) -> dict[str, float]:
    """CPU milliseconds a photograph of each chain, medians of three rounds.

    The chains take turns every ten photographs, so that a machine that slows down or speeds up
    does so for all of them. Augraphy takes part in one turn of ten.
    """
    rounds: dict[str, list[float]] = {name: [] for name in chains}
    for function in chains.values():
        for i, value in enumerate(encoded[:3]):
            function(value, i)
    for _ in range(3):
        spent, counts = dict.fromkeys(chains, 0.0), dict.fromkeys(chains, 0)
        for turn, first in enumerate(range(0, len(encoded), 10)):
            for name, function in chains.items():
                if name == "augraphy" and turn % 10:
                    continue
                start = time.process_time()
                for i, value in enumerate(encoded[first : first + 10], first):
                    function(value, i)
                    counts[name] += 1
                spent[name] += time.process_time() - start
        for name, seconds in spent.items():
            rounds[name].append(seconds / counts[name] * 1e3)
    return {name: round(float(np.median(values)), 3) for name, values in rounds.items()}


def time_stages(encoded: list[bytes], size: int, textures: Textures) -> dict[str, float]:
    """CPU milliseconds of each part of our pipeline, averaged over all photographs."""
    profile = load_profile("family-album")
    spent: dict[str, float] = {}

    def clock(name: str, start: float) -> float:
        now = time.process_time()
        spent[name] = spent.get(name, 0.0) + now - start
        return now

    for i, value in enumerate(encoded):
        t = time.process_time()
        source = decode_rgb(value)
        t = clock("decode", t)
        recipe = draw_recipe(
            profile, textures, seed=1, key=str(i), variant=0, source_size=source.shape[1::-1],
            size_px=size,
        )  # fmt: skip
        t = clock("draw", t)
        photo = cut_photo(source, recipe)
        t = clock("cut", t)
        fields = render_fields(recipe, textures)
        t = clock("fields (grain, vignette, ageing, frame, marks)", t)
        image = respond(photo, recipe.emulsion)
        t = clock("emulsion", t)
        if recipe.lens is not None:
            image = blur_lens(image, recipe.lens)
        t = clock("lens", t)
        developed = apply_curve(image, recipe.curve)
        t = clock("curve", t)
        if recipe.grain is not None and fields.grain is not None:
            developed = add_grain(developed, recipe.grain, fields.grain)
        t = clock("grain", t)
        developed = apply_tone(developed, recipe.tone)
        t = clock("tone", t)
        if recipe.ageing is not None and fields.ageing is not None:
            developed = age(developed, recipe.ageing, fields.ageing)
        t = clock("ageing", t)
        expose_and_print(photo, without(recipe, frozenset({"marks"})), fields._replace(marks=[]))
        t = time.process_time()
        rendered = render(photo, recipe, textures)
        t = clock("render, whole", t)
        apply_scan(rendered.damaged, recipe.scan, textures)
        t = clock("scan", t)
        encode_jpeg(rendered.clean, 95)
        encode_jpeg(rendered.damaged, stored_quality(recipe.scan))
        t = clock("encode JPEGs", t)
        encode_marks(rendered.marks)
        t = clock("encode marks", t)
        encode_recipe(recipe)
        clock("encode recipe", t)
    return {name: round(seconds / len(encoded) * 1e3, 3) for name, seconds in spent.items()}


def build_seconds(photos: Path, size: int, num: int, workers: int) -> dict[str, float]:
    """Wall and CPU seconds and peak memory of a whole `degrade build`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "degrade", "build", str(photos), f"{folder}/out", "--seed", "1",
            "--size", str(size), "--limit", str(num), "--workers", str(workers),
        ]  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run(command, check=False, capture_output=True)
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(wall, 2), "cpu_s": round(cpu, 2), "pairs_per_s": round(num / wall, 1)}


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--num", default=200, show_default=True, help="Photographs.")
@click.option("--size", default=256, show_default=True, help="Short side of the samples, px.")
def main(photos: Path, num: int, size: int) -> None:
    """Measure, print ratios, keep the figures."""
    cv2.setNumThreads(1)
    # As the workers of a build do; all chains profit.
    keep_freed_memory()
    files = sorted(photos.rglob("*.jpg"))
    files = files[:: max(1, len(files) // num)][:num]
    encoded = [path.read_bytes() for path in files]
    textures, profile = Textures.load(), load_profile("family-album")
    for info in textures:
        textures.level(info.name, 8)
    sparse = np.zeros((size, size), np.uint8)
    sparse[::9, ::7] = 200
    chains: dict[str, Chain] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)

        def finish(clean: Photo, damaged: Photo, marks: Photo, quality: int, recipe: bytes) -> None:
            store.put(
                encode_jpeg(clean, 95), encode_jpeg(damaged, quality), encode_marks(marks), recipe
            )

        def shrink(value: bytes) -> Photo:
            # All chains resize as ours does, which takes a fifth of the time of averaging areas.
            return resize_photo(decode_rgb(value), size, size)

        def floor(value: bytes, i: int) -> None:
            photo = shrink(value)
            finish(photo, photo, sparse, 95, b"{}")

        def ours(value: bytes, i: int) -> None:
            source = decode_rgb(value)
            recipe = draw_recipe(
                profile, textures, seed=1, key=str(i), variant=0,
                source_size=source.shape[1::-1], size_px=size,
            )  # fmt: skip
            made = render(cut_photo(source, recipe), recipe, textures)
            finish(made.clean, made.damaged, made.marks, stored_quality(recipe.scan),
                   encode_recipe(recipe))  # fmt: skip

        chains["floor"], chains["degrade"] = floor, ours
        others = {"albumentations": make_albumentations(size), "augraphy": make_augraphy()}
        for name, chain in others.items():
            if chain is not None:

                def other(value: bytes, i: int, chain: Callable[[Photo], Photo] = chain) -> None:
                    photo = shrink(value)
                    damaged = cv2.resize(chain(photo), (size, size))
                    finish(photo, np.asarray(damaged, np.uint8), sparse, 95, b"{}")

                chains[name] = other
        with contextlib.chdir(folder):  # Augraphy keeps copies of photographs in the current one
            cost = time_chains(chains, encoded)
    result = {
        "machine": describe_machine(1, "opencv-python-headless", "numpy"),
        "photographs": len(encoded),
        "size_px": size,
        "cpu_ms_per_pair": cost,
        "ratio_to_floor": {n: round(v / cost["floor"], 2) for n, v in cost.items()},
        "throughput_over": {
            n: round(v / cost["degrade"], 2) for n, v in cost.items() if n in others
        },
        "stages_cpu_ms": time_stages(encoded, size, textures),
        "build": {str(w): build_seconds(photos, size, num * 4, w) for w in (1, 2)},
        "peak_mb_of_this_process": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    text = json.dumps(result, indent=1)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "build-speed.json").write_text(text + "\n", encoding="utf-8")
    click.echo(text)


if __name__ == "__main__":
    main()
