"""A few samples of a painted photograph, by which two machines tell that they render alike."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from degrade.arrays import one_thread
from degrade.build.samples import SampleMaker

_SIZE_PX = 64
_NUM_SAMPLES = 8


def digest_probe(maker: SampleMaker) -> str:
    """Render some samples with a build's own seed, profile and textures.

    Returns:
        The digest of their values.
    """
    y, x = np.mgrid[0:96, 0:128]  # whole numbers alone, so that it is the same everywhere
    photo = np.stack([x * 2, (x // 16 + y // 16) % 2 * 120 + 60, 255 - y * 2], axis=-1)
    small = replace(maker, size_px=_SIZE_PX, crop="square", keep_grey=True)
    digest = hashlib.blake2b(digest_size=16)
    with one_thread():
        for variant in range(_NUM_SAMPLES):
            for value in small.make(photo.astype(np.uint8), "probe", variant):
                digest.update(value)
    return digest.hexdigest()
