"""Faces in photographs: found, and compared with the same face in other versions of the photograph.

Faces are found in a reference, which is the clean photograph or the original. In every other
version of the photograph the same place is embedded, by the landmarks of the reference, so that a
distance tells what changed in the face and not where the detector put its box. Whether the
detector still finds a face there is told apart.

Needs dlib and its models, which only the extra `bench` brings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from train.errors import TrainError

Photo = NDArray[np.uint8]

_MIN_CONFIDENCE = 0.7
_MIN_WIDTH_PX = 40
# Longest sides between which photographs are searched: the detector finds faces from 80 px on, and
# takes 8 seconds for a million pixels.
_SEARCH_RANGE_PX = (512, 1024)
_MAX_ENLARGING = 2.0
# Where a face is looked for again: a square of so many widths around it, the face so wide.
_AGAIN_WIDTHS, _AGAIN_FACE_PX = 2.5, 100


class Face(NamedTuple):
    """A face of the reference.

    Attributes:
        center_x_px: Of its box.
        center_y_px: Likewise.
        width_px: Of its box.
        landmarks: Five points as dlib keeps them.
        embedding: (128,).
    """

    center_x_px: float
    center_y_px: float
    width_px: float
    landmarks: Any
    embedding: NDArray[np.float64]


class FaceChange(NamedTuple):
    """How far a face is from itself in each version of its photograph.

    Attributes:
        source: Key of the photograph.
        distances: By version.
        lost: Versions in which the detector no longer finds it.
    """

    source: str
    distances: dict[str, float]
    lost: frozenset[str]


class Recognizer:
    """Finds faces and embeds them; learns nothing.

    Source:
        King 2009, "Dlib-ml: a machine learning toolkit"; its max-margin CNN detector, five
        landmarks and face recognition ResNet.
    """

    def __init__(self) -> None:
        """Load the models.

        Raises:
            TrainError: If they aren't installed; says what is left out, and the remedy.
        """
        try:
            import dlib
            import face_recognition_models as models
        except ImportError as error:
            raise TrainError(
                "likeness is left out: dlib and its face models aren't installed; "
                "pip install '.[bench]' brings them"
            ) from error
        self._dlib = dlib
        self._detect = dlib.cnn_face_detection_model_v1(models.cnn_face_detector_model_location())
        self._find_landmarks = dlib.shape_predictor(
            models.pose_predictor_five_point_model_location()
        )
        self._embedder = dlib.face_recognition_model_v1(models.face_recognition_model_location())

    def find_faces(self, photo: Photo) -> list[Face]:
        """Faces of a photograph (H, W, 3), the surest first.

        Only those count that are wider than 40 px, and that the detector also finds when it looks
        at them alone, as it does at those of other versions.
        """
        low, high = _SEARCH_RANGE_PX
        longest = max(photo.shape[:2])
        scale = min(high / longest, max(1.0, min(_MAX_ENLARGING, low / longest)))
        faces = []
        for box in self._detect(_resize(photo, scale), 0):
            rect = box.rect
            if box.confidence <= _MIN_CONFIDENCE or rect.width() / scale <= _MIN_WIDTH_PX:
                continue
            left, top, right, bottom = (
                round(side / scale)
                for side in (rect.left(), rect.top(), rect.right(), rect.bottom())
            )
            shape = self._find_landmarks(photo, self._dlib.rectangle(left, top, right, bottom))
            face = Face(
                (left + right) / 2, (top + bottom) / 2, right - left, shape,
                self._embed(photo, shape),
            )  # fmt: skip
            if self.finds_again(photo, face):
                faces.append(face)
        return faces

    def measure_distance(self, photo: Photo, face: Face) -> float:
        """Distance of a face from the same place of another version, of equal size."""
        return float(np.linalg.norm(self._embed(photo, face.landmarks) - face.embedding))

    def finds_again(self, photo: Photo, face: Face) -> bool:
        """Whether the detector finds a face at the place of a face of the reference."""
        reach = round(face.width_px * _AGAIN_WIDTHS / 2)
        padded = cv2.copyMakeBorder(photo, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
        left, top = round(face.center_x_px), round(face.center_y_px)
        cut = padded[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
        scale = _AGAIN_FACE_PX / face.width_px
        middle = scale * cut.shape[1] / 2
        for box in self._detect(_resize(np.asarray(cut, np.uint8), scale), 0):
            center = box.rect.center()
            off = np.hypot(center.x - middle, center.y - middle)
            if box.confidence > _MIN_CONFIDENCE and off < _AGAIN_FACE_PX / 2:
                return True
        return False

    def compare(
        self, source: str, faces: Sequence[Face], versions: Mapping[str, Photo]
    ) -> list[FaceChange]:
        """How each face changed in each version (H, W, 3) of the reference it was found in."""
        return [
            FaceChange(
                source,
                {name: self.measure_distance(photo, face) for name, photo in versions.items()},
                frozenset(n for n, photo in versions.items() if not self.finds_again(photo, face)),
            )
            for face in faces
        ]

    def _embed(self, photo: Photo, landmarks: Any) -> NDArray[np.float64]:
        chosen = np.ascontiguousarray(photo)
        return np.array(self._embedder.compute_face_descriptor(chosen, landmarks))


def find_recognizer() -> tuple[Recognizer | None, list[str]]:
    """What recognises faces, or None and a line that says why not."""
    try:
        return Recognizer(), []
    except TrainError as error:
        return None, [str(error)]


def make_grey(photo: Photo) -> Photo:
    """(H, W, 3): the luma of a photograph (H, W, 3) alone."""
    return np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=-1)


def _resize(photo: Photo, scale: float) -> Photo:
    if scale == 1:
        return np.ascontiguousarray(photo)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(photo, None, fx=scale, fy=scale, interpolation=way), np.uint8)
