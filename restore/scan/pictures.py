"""Small pictures of our own as files, under any name.

OpenCV's own reading and writing of files knows no names beyond the code page on Windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def write_picture(path: Path, samples: NDArray[Any], options: Sequence[int] = ()) -> None:
    """Write (H, W), (H, W, 3) BGR or (H, W, 4) BGRA in the format of the name's suffix.

    Raises:
        OSError: If it can't be written.
    """
    done, encoded = cv2.imencode(path.suffix, samples, list(options))
    assert done, f"OpenCV can't write {path.suffix}"
    path.write_bytes(encoded.tobytes())


def read_grey_picture(path: Path) -> NDArray[np.uint8] | None:
    """(H, W) of a picture, or None where there is none that can be read."""
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        return None
    if not len(content):
        return None
    grey = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
    return None if grey is None else np.asarray(grey, np.uint8)
