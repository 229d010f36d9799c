"""Marks from the infrared channel of a film scanner: dust and scratches are dark in it, dyes clear.

The channel is compared with its own surroundings (a median over `_CELL_FRAC` of the side); what is
darker than these by more than its noise explains is a mark.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.errors import PhotoError
from restore.scan.metadata.tiff import read_pages
from restore.scan.opening import open_file
from restore.scan.photo import Photo
from restore.scan.profiles import scale_to_unit

Floats = NDArray[np.float32]

# Darker than the surroundings by this share, or by so many deviations of the noise if that is more.
_MIN_LOSS_FRAC, _NOISE_SIGMAS = 0.06, 6.0
_SMALL_PX, _MEDIAN_PX = 512, 31
# Silver (black-and-white film, Kodachrome in part) stops infrared as dust does: then the channel
# shows the picture.
_MAX_MARKS_FRAC, _MAX_CORRELATION = 0.25, 0.75
_CHUNK_PX = 1 << 22


def find_dust(photo: Photo) -> NDArray[np.uint8]:
    """Find marks in a photograph's infrared channel.

    Args:
        photo: With a further sample that isn't transparency, or a second, grey page of its size.

    Returns:
        (H, W), 255 where infrared was stopped; upright.

    Raises:
        PhotoError: If there is no infrared channel, or it shows the picture itself.
    """
    read, whole = _open_infrared(photo)
    background = _find_background(whole)
    sigma = _measure_noise(whole, background)
    loss = max(_MIN_LOSS_FRAC, _NOISE_SIGMAS * sigma)
    marks = np.empty((photo.height, photo.width), np.uint8)
    step = max(16, _CHUNK_PX // photo.width)
    for y0 in range(0, photo.height, step):
        y1 = min(y0 + step, photo.height)
        around = _enlarge_rows(background, y0, y1, photo.height, photo.width)
        marks[y0:y1] = (read(y0, y1) < around * (1 - loss)) * np.uint8(255)
    marks = np.asarray(cv2.dilate(marks, np.ones((3, 3), np.uint8)), np.uint8)
    if np.count_nonzero(marks) > _MAX_MARKS_FRAC * marks.size or _shows_picture(photo, whole):
        raise PhotoError(
            f"{photo.path}: its infrared shows the picture itself, as with silver film, so it "
            "tells no dust; leave out --marks-in infrared"
        )
    return marks


def _open_infrared(photo: Photo) -> tuple[Callable[[int, int], Floats], Floats]:
    """A reader of rows, called in unbroken order, and a reduced copy."""
    band = photo.infrared_band
    if band is not None:
        return _rows_of(photo, band), _reduce(photo, band)
    if photo.format == "tiff":
        with open_file(photo.path) as file:
            pages = read_pages(file)
        for number, page in enumerate(pages, 1):
            if number != photo.page and page.photometric in (0, 1) and page.num_samples == 1:
                other = Photo(photo.path, number)
                if (other.width, other.height) == (photo.width, photo.height):
                    return _rows_of(other, 0), _reduce(other, 0)
    raise PhotoError(f"{photo.path}: has no infrared channel; leave out --marks-in infrared")


def _rows_of(photo: Photo, band: int) -> Callable[[int, int], Floats]:
    read = photo.open_rows()
    return lambda y0, y1: scale_to_unit(read(y0, y1)[..., band])


def _reduce(photo: Photo, band: int) -> Floats:
    scale = min(1.0, _SMALL_PX / max(photo.width, photo.height))
    size = (max(1, round(photo.height * scale)), max(1, round(photo.width * scale)))
    return scale_to_unit(photo.reduced(*size, band=band)[..., 0])


def _find_background(whole: Floats) -> Floats:
    """What infrared would be without dust: a wide median, of a copy continued at its borders."""
    side = min(_MEDIAN_PX, min(whole.shape) // 2 * 2 + 1)
    half = side // 2
    samples = np.rint(whole.clip(0, 1) * 255).astype(np.uint8)
    padded = cv2.copyMakeBorder(samples, half, half, half, half, cv2.BORDER_REFLECT)
    median = np.asarray(cv2.medianBlur(padded, side))[half : half + whole.shape[0]]
    smooth = median[:, half : half + whole.shape[1]].astype(np.float32) / np.float32(255)
    return np.asarray(cv2.GaussianBlur(smooth, (0, 0), 3), np.float32).clip(1e-3)


def _measure_noise(whole: Floats, background: Floats) -> float:
    """Deviation of the channel from its surroundings where there is no dust."""
    ratio = whole / background
    return float(1.4826 * np.median(np.abs(ratio - np.median(ratio))))


def _enlarge_rows(small: Floats, y0: int, y1: int, height: int, width: int) -> Floats:
    """Rows y0..y1 of a reduced map, enlarged to (y1 - y0, width)."""
    y = (np.arange(y0, y1, dtype=np.float32) + 0.5) * (small.shape[0] / height) - 0.5
    x = (np.arange(width, dtype=np.float32) + 0.5) * (small.shape[1] / width) - 0.5
    first = int(np.clip(np.floor(y[0]), 0, small.shape[0] - 1))
    part = small[first : int(np.ceil(y[-1])) + 2]
    grid_y, grid_x = np.broadcast_to((y - first)[:, None], (len(y), width)), x[None]
    maps = np.ascontiguousarray(np.broadcast_to(grid_x, grid_y.shape)), np.ascontiguousarray(grid_y)
    return np.asarray(
        cv2.remap(part, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def _shows_picture(photo: Photo, whole: Floats) -> bool:
    """Whether infrared and visible light go together over most of the photograph."""
    visible = photo.reduced(*whole.shape).astype(np.float32).mean(axis=-1)
    if visible.std() < 1e-6 or whole.std() < 0.02:
        return False
    return float(np.corrcoef(visible.ravel(), whole.ravel())[0, 1]) > _MAX_CORRELATION
