"""What the network is measured against: doing nothing, OpenCV without learning, true chroma."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.ycc import to_rgb, to_ycc

Photo = NDArray[np.uint8]

_MEDIAN_PX = 9
_MARK_CONTRAST = 40
_INPAINT_RADIUS_PX = 3
_DENOISE_STRENGTH = 7
_CLAHE_CLIP = 1.5
_CLAHE_TILES = (4, 4)


def keep_as_is(damaged: Photo) -> tuple[Photo, Photo]:
    """Do nothing, and find no marks."""
    return damaged, np.zeros(damaged.shape[:2], np.uint8)


def restore_classically(damaged: Photo) -> tuple[Photo, Photo]:
    """Inpainting of what stands out, non-local means, and local contrast.

    Args:
        damaged: (H, W, 3) uint8 RGB.

    Returns:
        The restored photograph, and the marks found (H, W), 0 or 255.

    Source:
        Telea 2004 (cv2.inpaint); Buades, Coll, Morel 2011 (cv2.fastNlMeansDenoisingColored);
        Zuiderveld 1994 (CLAHE). Marks: what differs strongly from the median around it.
    """
    grey = cv2.cvtColor(damaged, cv2.COLOR_RGB2GRAY)
    contrast = cv2.absdiff(grey, cv2.medianBlur(grey, _MEDIAN_PX))
    marks = cv2.threshold(contrast, _MARK_CONTRAST, 255, cv2.THRESH_BINARY)[1]
    marks = cv2.dilate(marks, np.ones((3, 3), np.uint8))
    photo = cv2.inpaint(damaged, marks, _INPAINT_RADIUS_PX, cv2.INPAINT_TELEA)
    photo = cv2.fastNlMeansDenoisingColored(
        photo, None, _DENOISE_STRENGTH, _DENOISE_STRENGTH, 7, 15
    )
    lab = cv2.cvtColor(photo, cv2.COLOR_RGB2LAB)
    lab[:, :, 0] = cv2.createCLAHE(_CLAHE_CLIP, _CLAHE_TILES).apply(lab[:, :, 0])
    return _as_photo(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)), _as_photo(marks)


def lay_true_chroma(damaged: Photo, clean: Photo) -> Photo:
    """The floor for colours: the true chroma on the luma of the damaged photograph.

    Args:
        damaged: (H, W, 3) uint8 RGB.
        clean: (H, W, 3) uint8 RGB.
    """
    ycc = [to_ycc(photo.astype(np.float32) / np.float32(255)) for photo in (damaged, clean)]
    laid = to_rgb(np.concatenate([ycc[0][..., :1], ycc[1][..., 1:]], axis=-1))
    return _as_photo(np.rint(255 * laid.clip(0, 1)))


def _as_photo(array: NDArray[np.generic]) -> Photo:
    return np.asarray(array, dtype=np.uint8)
