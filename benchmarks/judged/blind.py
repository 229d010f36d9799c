"""Lay two sets of restorations side by side, for readers who mustn't know which is whose.

    python benchmarks/judged/blind.py A/ B/ ORIGINALS/ --sheets OUT/ [--key KEY.json]
    python benchmarks/judged/blind.py OURS/ TRUTH/ --sheets OUT/ [--key KEY.json]

With originals, each sheet has the original in the middle and A and B left and right of it by
chance; readers answer three questions. Without, B is the truth, each sheet has two pictures, and
readers say which one is the real photograph. For a fair test of colours alone the truth should have
the same luma as ours: true chroma on the same grey copy, which `benchmarks.picture.color --save`
keeps as `floor`.

Sheets are numbered in an order drawn by chance, and say nothing of files or sides. Readers get the
folder of sheets alone: in it are the questions and a table of votes to fill in. The key is written
elsewhere; `votes.py` counts with it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import cv2
import numpy as np
from numpy.typing import NDArray

Photo = NDArray[np.uint8]

QUESTIONS = {
    "natural": "Which looks more natural?",
    "repaired": "In which was more repaired?",
    "person": "In which is the person more the same as in the original (in the middle)?",
}
REAL_QUESTIONS = {"real": "One of the two is a real photograph. Which?"}
VOTES_NAME, QUESTIONS_NAME = "votes.csv", "questions.txt"
_MIN_SIDE_PX = 700
_GAP_PX = 16
_GAP_TONE = 128
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
_ENDING = ".restored"


class Pair(NamedTuple):
    """Two pictures of the same photograph, and the original if there is one."""

    name: str
    ours: Path
    other: Path
    original: Path | None


def list_pictures(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by the names of their photographs; `x.restored.jpg` is x's."""
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in _SUFFIXES:
            name = file.stem.removesuffix(_ENDING)
            if name in found:
                raise click.ClickException(f"{file}: {found[name].name} is of the same name")
            found[name] = file
    return found


def match_pictures(a: Path, b: Path, originals: Path | None) -> list[Pair]:
    """The photographs that are in all folders, by name.

    Raises:
        click.ClickException: If some are missing in one of them, or there are none.
    """
    ours, others = list_pictures(a), list_pictures(b)
    before = None if originals is None else list_pictures(originals)
    if set(ours) != set(others):
        odd = min(set(ours) ^ set(others))
        raise click.ClickException(f"{odd}: only in one of {a} and {b}; both need the same names")
    if not ours:
        raise click.ClickException(f"{a}: no pictures")
    if before is not None and not set(ours) <= set(before):
        odd = min(set(ours) - set(before))
        raise click.ClickException(f"{odd}: not in {originals}")
    return [
        Pair(name, file, others[name], None if before is None else before[name])
        for name, file in ours.items()
    ]


def draw_order(pairs: Sequence[Pair], rng: np.random.Generator) -> Iterator[tuple[Pair, bool]]:
    """Draw the order of the sheets, and whether A is on the left: in half of them."""
    order = rng.permutation(len(pairs))
    left = rng.permutation(np.arange(len(pairs)) % 2 == 0)
    for number, is_left in zip(order, left, strict=True):
        yield pairs[number], bool(is_left)


def paint_sheet(pictures: Sequence[Photo], side_px: int) -> Photo:
    """Pictures (H, W, 3) of one photograph beside each other, all of the size of the first.

    Args:
        pictures: From left to right.
        side_px: Long side of each, enlarged or reduced.
    """
    height, width = pictures[0].shape[:2]
    scale = side_px / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    gap = np.full((size[1], _GAP_PX, 3), _GAP_TONE, np.uint8)
    parts: list[Photo] = []
    for picture in pictures:
        fitted = np.asarray(cv2.resize(picture, size, interpolation=method), np.uint8)
        parts += [fitted, gap]
    return np.concatenate(parts[:-1], axis=1)


def read_picture(file: Path) -> Photo:
    """(H, W, 3) BGR, upright."""
    encoded = np.frombuffer(file.read_bytes(), np.uint8)
    picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    if picture is None:
        raise click.ClickException(f"{file}: not a picture that OpenCV can decode")
    return np.asarray(picture, np.uint8)


def lay_sheets(
    pairs: Sequence[Pair], sheets: Path, *, side_px: int, rng: np.random.Generator
) -> list[dict[str, str]]:
    """Paint a sheet for each pair, with the questions and an empty table of votes.

    Returns:
        The key: for each sheet its file, the photograph, and who is left and right: "a" or "b".
    """
    key = []
    for number, (pair, is_left) in enumerate(draw_order(pairs, rng), 1):
        sides = [pair.ours, pair.other] if is_left else [pair.other, pair.ours]
        middle = [] if pair.original is None else [pair.original]
        shown = [sides[0], *middle, sides[1]]
        sheet = paint_sheet([read_picture(file) for file in shown], side_px)
        name = f"{number:03d}.png"  # lossless: no reader judges an encoder
        (sheets / name).write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
        left, right = ("a", "b") if is_left else ("b", "a")
        key.append({"sheet": name, "photo": pair.name, "left": left, "right": right})
    questions = QUESTIONS if pairs[0].original is not None else REAL_QUESTIONS
    lines = [f"{word}: {question}" for word, question in questions.items()]
    text = "Answer left or right for each sheet and question; there are no ties.\n\n"
    (sheets / QUESTIONS_NAME).write_text(text + "\n".join(lines) + "\n", encoding="utf-8")
    with (sheets / VOTES_NAME).open("w", newline="", encoding="utf-8") as votes:
        table = csv.writer(votes)
        table.writerow(["reader", "sheet", "question", "choice"])
        table.writerows(["", entry["sheet"], word, ""] for entry in key for word in questions)
    return key


@click.command()
@click.argument("a", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("b", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("originals", required=False,
                type=click.Path(exists=True, file_okay=False, path_type=Path))  # fmt: skip
@click.option("--sheets", required=True, metavar="FOLDER", help="New or empty.",
              type=click.Path(file_okay=False, path_type=Path))  # fmt: skip
@click.option("--key", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="Who is where; else beside the folder of sheets.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), metavar="N",
              help="Lay so many photographs, drawn by chance; else all.")  # fmt: skip
@click.option("--side", "side_px", type=click.IntRange(min=_MIN_SIDE_PX), default=800,
              show_default=True, metavar="PX", help="Long side of each picture.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Of the order and the sides.")  # fmt: skip
def main(
    a: Path, b: Path, originals: Path | None, sheets: Path, key: Path | None, limit: int | None,
    side_px: int, seed: int,
) -> None:  # fmt: skip
    """Lay restorations A and B left and right of their ORIGINALS; B is the truth without these."""
    key = key or sheets.with_name(f"{sheets.resolve().name}.key.json")
    if sheets.resolve() in key.resolve().parents:
        raise click.ClickException(f"{key}: readers would see the key; write it elsewhere")
    if key.exists() or (sheets.exists() and any(sheets.iterdir())):
        taken = key if key.exists() else sheets
        raise click.ClickException(f"{taken}: exists; choose another, so that no votes are lost")
    rng = np.random.default_rng(seed)
    pairs = match_pictures(a, b, originals)
    if limit is not None and limit < len(pairs):
        pairs = [pairs[i] for i in sorted(rng.choice(len(pairs), limit, replace=False))]
    sheets.mkdir(parents=True, exist_ok=True)
    key.parent.mkdir(parents=True, exist_ok=True)
    entries = lay_sheets(pairs, sheets, side_px=side_px, rng=rng)
    described = {"a": str(a), "b": str(b), "seed": seed, "sheets": entries}
    key.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    click.echo(f"{len(entries)} sheets in {sheets}; the key is {key}")


if __name__ == "__main__":
    main()
