"""Photographs in every format that `restore` reads, drawn and written by other software."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from restore import Restorer, RestoreSettings
from restore.album.job import Done, run_job
from restore.album.plan import Job

HEIGHT, WIDTH = 46, 71
DPI = 600

MODELS = Path(__file__).parent / "models"
"""Tiny files of weights: `tiny.zip` changes photographs, `identity.zip` doesn't."""


def load_restorer(name: str, **options: Any) -> Restorer:
    """A restorer with tiny weights, on one thread: more would wait for one another."""
    return Restorer.load(MODELS / f"{name}.zip", "cpu", num_threads=1, **options)


def finish_job(restorer: Restorer, job: Job, settings: RestoreSettings) -> dict[str, Any]:
    """Restore a photograph from file to file, and what is reported of it."""
    *_, done = run_job(restorer, job, settings)
    assert isinstance(done, Done)
    return done.report


def draw_photo(height: int = HEIGHT, width: int = WIDTH, *, deep: bool = False) -> NDArray[Any]:
    """(height, width, 3) smooth colours with edges; no two corners alike."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    y, x = y / max(height - 1, 1), x / max(width - 1, 1)
    photo = np.stack([0.15 + 0.7 * x, 0.2 + 0.6 * y, 0.8 - 0.5 * x * y], axis=-1)
    photo[: height // 4, : width // 3] *= 0.5
    photo[(y - 0.6) ** 2 + (x - 0.6) ** 2 < 0.05] = (0.9, 0.7, 0.5)
    return np.rint(photo * (65535 if deep else 255)).astype(np.uint16 if deep else np.uint8)


def draw_grey(*, deep: bool = False) -> NDArray[Any]:
    """(HEIGHT, WIDTH)."""
    return draw_photo(deep=deep)[..., 1]


@cache  # one made a second later differs in the time that it notes
def profile(name: str) -> bytes:
    """An ICC profile: "srgb", or the one drawn here from Adobe RGB's primaries and gamma 2.2."""
    if name == "srgb":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if name == "adobe":
        return _matrix_profile([(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087),
                                (0.14919, 0.06322, 0.74457)], 563)  # fmt: skip
    if name == "p3":
        return _matrix_profile([(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189),
                                (0.15710, 0.06657, 0.78407)], 563)  # fmt: skip
    return _grey_profile(461)


def _matrix_profile(primaries: list[tuple[float, ...]], gamma_256ths: int) -> bytes:
    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(
            round(v * 65536).to_bytes(4, "big", signed=True) for v in values
        )

    tags = {b"wtpt": xyz((0.9642, 1.0, 0.8249))}
    for letter, values in zip("rgb", primaries, strict=True):
        tags[f"{letter}XYZ".encode()] = xyz(values)
        tags[f"{letter}TRC".encode()] = _curve(gamma_256ths)
    return _profile(b"RGB ", tags)


def _grey_profile(gamma_256ths: int) -> bytes:
    return _profile(b"GRAY", {b"kTRC": _curve(gamma_256ths)})


def _curve(gamma_256ths: int) -> bytes:
    return b"curv\0\0\0\0\0\0\0\1" + gamma_256ths.to_bytes(2, "big") + b"\0\0"


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = b"drawn by tests"
    tags[b"desc"] = b"desc\0\0\0\0" + (len(text) + 1).to_bytes(4, "big") + text + b"\0" * 79
    tags[b"cprt"] = b"text\0\0\0\0none\0"
    table, data = b"", b""
    offset = 132 + 12 * len(tags)
    for name, value in tags.items():
        value += b"\0" * (-len(value) % 4)
        table += name + (offset + len(data)).to_bytes(4, "big") + len(value).to_bytes(4, "big")
        data += value
    body = len(tags).to_bytes(4, "big") + table + data
    header = bytearray(128)
    header[0:4] = (128 + len(body)).to_bytes(4, "big")
    header[8:12], header[12:16], header[16:20] = b"\2\x40\0\0", b"mntr", space
    header[20:24], header[36:40] = b"XYZ ", b"acsp"
    header[68:80] = b"\x00\x00\xf6\xd6\x00\x01\x00\x00\x00\x00\xd3\x2d"
    return bytes(header) + body


def write_pillow(mode: str, **options: Any) -> Callable[[Path], None]:
    """A writer of the drawn photograph in one of Pillow's modes."""

    def write(path: Path) -> None:
        image = Image.fromarray(draw_photo()).convert(mode)
        if mode in ("LA", "RGBA"):
            ramp = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
            image.putalpha(Image.fromarray(ramp))
        image.save(path, dpi=(DPI, DPI), **options)

    return write


def write_tifffile(photo: NDArray[Any], **options: Any) -> Callable[[Path], None]:
    """A writer of samples by tifffile."""

    def write(path: Path) -> None:
        tifffile.imwrite(
            path, photo, resolution=(DPI, DPI), resolutionunit="inch", metadata=None, **options
        )

    return write


def write_png16(photo: NDArray[np.uint16]) -> Callable[[Path], None]:
    """A writer of 16-bit grey PNG by Pillow."""
    return lambda path: Image.fromarray(photo).save(path, dpi=(DPI, DPI))


def read_with_pillow(path: Path) -> Image.Image:
    """Read by Pillow, all of it."""
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        image.load()
        return image


# name: writer, bands of the photograph, alpha, bits
ZOO: dict[str, tuple[Callable[[Path], None], int, bool, int]] = {
    "grey.jpg": (write_pillow("L", quality=95), 1, False, 8),
    "rgb.jpeg": (write_pillow("RGB", quality=95, subsampling=0), 3, False, 8),
    "progressive.jpg": (write_pillow("RGB", quality=95, progressive=True), 3, False, 8),
    "cmyk.jpg": (write_pillow("CMYK", quality=95), 3, False, 8),
    "grey.png": (write_pillow("L"), 1, False, 8),
    "greyalpha.png": (write_pillow("LA"), 1, True, 8),
    "rgb.png": (write_pillow("RGB"), 3, False, 8),
    "rgba.png": (write_pillow("RGBA"), 3, True, 8),
    "palette.png": (write_pillow("P"), 3, False, 8),
    "onebit.png": (write_pillow("1"), 1, False, 8),
    "grey16.png": (write_png16(draw_grey(deep=True)), 1, False, 16),
    "grey8.tif": (write_tifffile(draw_grey()), 1, False, 8),
    "grey16.tif": (write_tifffile(draw_grey(deep=True)), 1, False, 16),
    "rgb8.tiff": (write_tifffile(draw_photo(), photometric="rgb"), 3, False, 8),
    "rgb16.tif": (write_tifffile(draw_photo(deep=True), photometric="rgb"), 3, False, 16),
    "deflate16.tif": (
        write_tifffile(draw_photo(deep=True), photometric="rgb", compression="zlib"),
        *(3, False, 16),
    ),
    "tiled16.tif": (
        write_tifffile(draw_photo(deep=True), photometric="rgb", tile=(32, 32)),
        *(3, False, 16),
    ),
    "big.tif": (
        write_tifffile(draw_photo(deep=True), photometric="rgb", bigtiff=True),
        *(3, False, 16),
    ),
    "motorola.tif": (
        write_tifffile(draw_photo(deep=True), photometric="rgb", byteorder=">"),
        *(3, False, 16),
    ),
    "rgba16.tif": (
        write_tifffile(
            np.dstack([draw_photo(deep=True), draw_grey(deep=True)]),
            photometric="rgb",
            extrasamples=["unassalpha"],
        ),
        *(3, True, 16),
    ),
    "cmyk.tif": (write_pillow("CMYK"), 3, False, 8),
    "rgb.webp": (write_pillow("RGB", quality=95), 3, False, 8),
    "rgba.webp": (write_pillow("RGBA", lossless=True, exact=True), 3, True, 8),
    "rgb.avif": (write_pillow("RGB", quality=95), 3, False, 8),
    "palette.gif": (write_pillow("P"), 3, False, 8),
}
