"""Draw the pictures of docs/gallery.md: free photographs, damaged by profile and seed, restored.

    python docs/make_gallery.py [--model FILE]

Rows are sorted by how well they came out (L-PSNR against the clean photograph), so the worst stand
last. Nothing is chosen by hand: for each profile the seeds are 1 and 2.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click
import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from degrade.build.single import draw_whole
from degrade.damage.render import render
from degrade.profile import list_profiles, load_profile
from degrade.textures import Textures
from restore import Restorer
from train.measure.evaluate import to_tensor
from train.measure.metrics import measure_luma_psnr

DOCS = Path(__file__).resolve().parent
_SIDE_PX = 320
_SEEDS = (1, 2)
_ROWS_A_PICTURE = 5
_BORDER_PX = 6

Photo = NDArray[np.uint8]


class Row(NamedTuple):
    """One line of the gallery."""

    name: str
    damaged: Photo
    restored: Photo
    clean: Photo
    before_db: float
    after_db: float


def list_photos() -> dict[str, Photo]:
    """Photographs in colour that come with scikit-image: public domain or CC0."""
    names = ("astronaut", "chelsea", "coffee", "rocket")
    return {name: _shrink(getattr(data, name)()) for name in names}


def _shrink(photo: Photo) -> Photo:
    """A square from the middle; scans are seldom much smaller than this."""
    side = min(photo.shape[:2])
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    square = np.ascontiguousarray(photo[top : top + side, left : left + side])
    small = cv2.resize(square, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def make_rows(restorer: Restorer) -> list[Row]:
    """Every profile and seed, on the photographs by turns; best first."""
    textures = Textures.load(None)
    photos = list(list_photos().items())
    rows = []
    for i, profile in enumerate(sorted(list_profiles())):
        for seed in _SEEDS:
            name, clean = photos[(i + seed) % len(photos)]
            recipe = draw_whole(clean, name, load_profile(profile), textures, seed, None)
            rendered = render(clean, recipe, textures)
            restored = restorer.restore(rendered.damaged).restored
            before, after = (_measure(p, rendered.clean) for p in (rendered.damaged, restored))
            label = f"{name}, {profile}, seed {seed}"
            rows.append(Row(label, rendered.damaged, restored, rendered.clean, before, after))
    return sorted(rows, key=lambda row: -row.after_db)


def _measure(photo: Photo, clean: Photo) -> float:
    return float(measure_luma_psnr(to_tensor(photo), to_tensor(clean)))


def draw_rows(rows: list[Row]) -> Photo:
    """Damaged, restored and clean side by side."""
    border = ((_BORDER_PX, _BORDER_PX), (_BORDER_PX, _BORDER_PX), (0, 0))
    lines = []
    for row in rows:
        cells = [
            np.pad(p, border, constant_values=255) for p in (row.damaged, row.restored, row.clean)
        ]
        lines.append(np.concatenate(cells, axis=1))
    return np.concatenate(lines)


@click.command()
@click.option("--model", type=click.Path(path_type=Path), help="Weights; the default's otherwise.")
def main(model: Path | None) -> None:
    """Write docs/gallery.md and its pictures."""
    restorer = Restorer.load(model)
    rows = make_rows(restorer)
    lines = [
        "# Gallery",
        "",
        f"Photographs of [scikit-image](https://scikit-image.org) (public domain or CC0) at "
        f"{_SIDE_PX} px, damaged by `degrade` and restored by the default model "
        f"(`{restorer.name}`). From left to right: damaged, restored, the clean photograph. None "
        "of them was trained on, nothing is chosen by hand, and the worst come last; "
        "`python docs/make_gallery.py` draws them again. L-PSNR against the clean photograph, "
        "before → after, stands under each picture, from top to bottom.",
    ]
    for start in range(0, len(rows), _ROWS_A_PICTURE):
        part = rows[start : start + _ROWS_A_PICTURE]
        name = f"gallery-{start // _ROWS_A_PICTURE + 1}.jpg"
        bgr = np.ascontiguousarray(draw_rows(part)[:, :, ::-1])
        (DOCS / "images").mkdir(exist_ok=True)
        cv2.imwrite(str(DOCS / "images" / name), bgr, [cv2.IMWRITE_JPEG_QUALITY, 82])
        lines += ["", f"![Damaged, restored, clean](images/{name})", ""]
        lines += [f"1. {r.name}: {r.before_db:.1f} → {r.after_db:.1f} dB" for r in part]
    (DOCS / "gallery.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    click.echo(f"{len(rows)} photographs")


if __name__ == "__main__":
    main()
