"""Likeness: shares, medians, intervals; that all else is measured without its packages."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from training_runs import TINY, build_pairs

from degrade import PairReader
from train.errors import TrainError
from train.measure import details
from train.measure.evaluate import Evaluation
from train.measure.faces import Face, FaceChange, Photo, Recognizer, find_recognizer
from train.measure.likeness import describe_likeness, format_likeness
from train.measure.table import format_table
from train.network.generator import Generator


def change(source: str, damaged: float, restored: float, lost: Sequence[str] = ()) -> FaceChange:
    return FaceChange(source, {"restored": restored, "damaged": damaged}, frozenset(lost))


FACES = [
    change("a", 0.3, 0.2), change("a", 0.4, 0.5), change("b", 0.2, 0.1),
    change("c", 0.05, 0.1), change("d", 0.7, 0.65, ["restored"]),
]  # fmt: skip


class MeanRecognizer:
    """Stands in for dlib's: one face a photograph, far by how different pixels are on the mean."""

    def find_faces(self, photo: Photo) -> list[Face]:
        """The whole photograph."""
        return [Face(8, 8, 8, None, photo.astype(np.float64))]

    def compare(
        self, source: str, faces: Sequence[Face], versions: Mapping[str, Photo]
    ) -> list[FaceChange]:
        """By pixels."""
        return [
            FaceChange(
                source,
                {n: float(np.abs(v - face.embedding).mean()) for n, v in versions.items()},
                frozenset(),
            )
            for face in faces
        ]


def test_likeness_counts_as_nearer_only_faces_that_the_damage_changed() -> None:
    """Four of five were changed by .1 or more, and three of these came nearer."""
    section = describe_likeness(FACES, damaged="damaged")
    assert (section["num_faces"], section["num_photos"], section["num_changed"]) == (5, 4, 4)
    assert section["methods"]["restored"]["nearer_frac"] == {"value": 0.75}
    assert "nearer_frac" not in section["methods"]["damaged"]


def test_likeness_tells_median_worst_strangers_and_the_lost() -> None:
    """Of the restored faces one is beyond .6, and one isn't found any more."""
    values = describe_likeness(FACES)["methods"]["restored"]
    shown = {name: estimate["value"] for name, estimate in values.items()}
    expected = {"median": 0.2, "worst": 0.65, "same_person_frac": 0.8, "lost_frac": 0.2}
    assert shown == pytest.approx(expected)


def test_likeness_intervals_are_over_photographs_and_differences_paired() -> None:
    """Faces that all come nearer by .1 do so in every draw."""
    faces = [change(str(i), 0.2 + i / 100, 0.1 + i / 100) for i in range(20)]
    section = describe_likeness(faces, damaged="damaged", ours=["restored"], num_draws=100)
    median = section["methods"]["restored"]["median"]
    assert median["low"] < median["value"] < median["high"]
    minus = section["ours_minus"]["restored"]["damaged"]["median"]
    assert [minus["low"], minus["high"]] == pytest.approx([-0.1, -0.1])
    assert section["methods"]["restored"]["nearer_frac"]["low"] == 1
    assert "5 faces" in format_likeness(describe_likeness(FACES, damaged="damaged"))


def test_likeness_of_no_faces_says_so() -> None:
    """Photographs without people are no error."""
    assert format_likeness(describe_likeness([], damaged="damaged")).startswith("0 faces")


def test_likeness_names_the_extra_that_brings_its_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without dlib there is one line, and no traceback."""
    monkeypatch.setitem(sys.modules, "dlib", None)
    recognizer, notes = find_recognizer()
    assert recognizer is None
    assert len(notes) == 1
    assert "pip install '.[bench]'" in notes[0]
    with pytest.raises(TrainError, match="likeness is left out"):
        Recognizer()


def test_evaluation_measures_the_rest_without_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but likeness is there, and a line says what is missing."""
    monkeypatch.setitem(sys.modules, "dlib", None)
    reader = PairReader(build_pairs(tmp_path, num_photos=8), split="train")
    evaluation = Evaluation(Generator(TINY.generator).eval(), reader, baselines=False)
    evaluation.add_pair(0)
    results = evaluation.summarise()
    assert "likeness" not in results
    assert sum("likeness is left out" in note for note in results["notes"]) == 1
    assert "marks_recall" in results["methods"]["network"]
    assert "likeness" not in format_table(results)


def test_evaluation_compares_faces_where_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An untrained network leaves faces as far from the clean ones as the damage did."""
    monkeypatch.setattr(details, "find_recognizer", lambda: (MeanRecognizer(), []))
    reader = PairReader(build_pairs(tmp_path, num_photos=8), split="train")
    evaluation = Evaluation(Generator(TINY.generator).eval(), reader)
    for index in evaluation.choose_pairs(4):
        evaluation.add_pair(index)
    results = evaluation.summarise(20)
    methods = results["likeness"]["methods"]
    assert {"network", "damaged", "grey copy", "classical"} <= set(methods)
    assert methods["network"]["median"]["value"] == methods["damaged"]["median"]["value"] > 0
    assert methods["network"]["nearer_frac"]["value"] == 0
    assert "4 faces" in format_table(results)


def test_evaluation_slices_marks_by_kind(tmp_path: Path) -> None:
    """Every pixel of the marks is of one of the kinds that recipes name; nothing finds none."""
    reader = PairReader(build_pairs(tmp_path, num_photos=8), split="train")
    evaluation = Evaluation(Generator(TINY.generator).eval(), reader, likeness=False)
    for index in range(len(reader)):
        evaluation.add_pair(index)
    slices = evaluation.summarise()["marks"]
    kinds = {name: s for name, s in slices["nothing"].items() if name.startswith("kind")}
    assert kinds
    assert sum(s["num_true"] for s in kinds.values()) == slices["nothing"]["all"]["num_true"] > 0
    assert slices["nothing"]["all"]["recall"] == 0


@pytest.mark.parametrize(
    ("confidence", "off_px", "found"), [(1.0, 0, True), (0.6, 0, False), (1.0, 60, False)]
)
def test_face_is_found_again_only_for_sure_and_at_its_place(
    confidence: float, off_px: int, found: bool
) -> None:
    """A doubtful box, or one of another face beside it, doesn't count."""

    def detect(photo: Photo, _: int) -> list[SimpleNamespace]:
        center = SimpleNamespace(x=photo.shape[1] / 2 + off_px, y=photo.shape[0] / 2)
        rect = SimpleNamespace(center=lambda: center)
        return [SimpleNamespace(rect=rect, confidence=confidence)]

    recognizer = Recognizer.__new__(Recognizer)
    recognizer._detect = detect
    face = Face(30, 20, 50, None, np.zeros(128))
    assert recognizer.finds_again(np.zeros((64, 64, 3), np.uint8), face) is found


@pytest.mark.slow
def test_recognizer_knows_a_face_from_its_copies() -> None:
    """A face is itself, its grey copy the same person, and lost under a grey patch."""
    pytest.importorskip("dlib", exc_type=ImportError)
    pytest.importorskip("face_recognition_models", exc_type=ImportError)
    from skimage.data import astronaut

    from train.measure.faces import make_grey

    photo = np.ascontiguousarray(astronaut()[:256, 96:352])
    recognizer = Recognizer()
    (face,) = recognizer.find_faces(photo)
    assert 40 < face.width_px < 200
    hidden = photo.copy()
    top, left = (round(center - face.width_px) for center in (face.center_y_px, face.center_x_px))
    side = round(2 * face.width_px)
    hidden[max(top, 0) : top + side, max(left, 0) : left + side] = 128
    versions = {"same": photo, "grey": make_grey(photo), "hidden": hidden}
    (found,) = recognizer.compare("astronaut", [face], versions)
    assert found.distances["same"] == 0
    assert 0 < found.distances["grey"] < 0.3 < found.distances["hidden"]
    assert found.lost == {"hidden"}
