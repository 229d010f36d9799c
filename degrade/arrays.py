"""Photographs as arrays: names for their shapes, and what every part does with OpenCV.

A photograph is (H, W, 3) where it is read, shown or stored. The stages of damage work on planes,
(H, W) for a silver image and (3, H, W) for one in colour, because arithmetic on planes is several
times faster.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

from degrade.errors import StoreError
from degrade.schema import Rgb

Photo = NDArray[np.uint8]
"""(H, W, 3) RGB."""
Mask = NDArray[np.uint8]
"""(H, W): an opacity or a texture, in 1/255."""
Planes = NDArray[np.uint8]
"""(3, H, W) RGB."""
Deep = NDArray[np.uint16]
"""(H, W) or (3, H, W), 16 bit: exposures before the characteristic curve."""
Field = NDArray[np.float32]
"""(H, W) or (3, H, W), mostly in [0, 1]."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep OpenCV on one thread: processes run side by side, and small pictures gain no time."""
    num_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(num_threads)


def split_photo(photo: Photo) -> Planes:
    """(H, W, 3) to (3, H, W)."""
    planes = np.empty((3, *photo.shape[:2]), np.uint8)
    cv2.split(photo, list(planes))
    return planes


def merge_photo(image: Field) -> Photo:
    """(3, H, W) in [0, 1] to (H, W, 3) RGB."""
    return np.asarray(cv2.merge(list(to_bytes(image))), np.uint8)


def to_bytes(field: Field) -> NDArray[np.uint8]:
    """[0, 1] to 0 … 255, rounded half to even, same shape of two or three dimensions."""
    # OpenCV takes the absolute value, which is 0 where rounding left a trifle below it.
    flat = cv2.convertScaleAbs(field.reshape(-1, field.shape[-1]), alpha=255)
    return np.asarray(flat, np.uint8).reshape(field.shape)


def blend_over(photo: Field, opacity: Field, color: Rgb) -> None:
    """Lay a colour over a (3, H, W) photograph by its (H, W) opacity, in place."""
    for plane, value in zip(photo, color, strict=True):
        lack = np.float32(value) - plane
        lack *= opacity
        plane += lack


def encode_jpeg(photo: Photo, quality: int) -> bytes:
    """Encode a photograph as JPEG.

    Args:
        photo: (H, W, 3) RGB.
        quality: 1 to 100.

    Raises:
        StoreError: If it is larger than such a file may be.
    """
    return _encode(photo, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_photo(photo: Photo, suffix: str) -> bytes:
    """Encode a photograph as files of that suffix are, with OpenCV's own settings.

    Args:
        photo: (H, W, 3) RGB.
        suffix: ``.png``, ``.tif`` and so on.

    Raises:
        StoreError: If it is larger than such a file may be.
    """
    return _encode(photo, suffix, [])


def _encode(photo: Photo, suffix: str, options: list[int]) -> bytes:
    done, encoded = cv2.imencode(suffix, cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), options)
    if not done:
        height, width = photo.shape[:2]
        raise StoreError(f"{width} x {height} px are more than a {suffix} file holds; take another")
    return encoded.tobytes()
