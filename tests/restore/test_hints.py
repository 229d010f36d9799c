"""Hints: what a user writes, saves and paints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from restore.errors import RestoreError
from restore.hints import (
    Hint,
    hints_from_json,
    hints_to_json,
    paint_hints,
    parse_hint,
    read_hints,
    write_hints,
)

COLORS = st.tuples(*[st.integers(0, 255)] * 3)
HINTS = st.builds(
    Hint,
    st.integers(0, 1000).map(lambda v: v / 10),
    st.integers(0, 1000).map(lambda v: v / 10),
    COLORS,
    st.booleans(),
)


@given(HINTS)
def test_text_round_trip(hint: Hint) -> None:
    """What is printed is understood."""
    assert parse_hint(str(hint)) == hint


@given(st.lists(HINTS, max_size=5))
def test_json_round_trip(hints: list[Hint]) -> None:
    """What is saved is loaded."""
    assert hints_from_json(hints_to_json(hints)) == tuple(hints)


@pytest.mark.parametrize(
    "text", ["", "1,2", "1,2=red", "1,2=#12345", "-1,2=#123456", "1%,2=#123456", "1%,101%=#123456"]
)
def test_what_is_no_hint_is_refused(text: str) -> None:
    """With a reason."""
    with pytest.raises(ValueError, match=r"hint"):
        parse_hint(text)


def test_hint_has_one_place_at_any_size() -> None:
    """Pixels count on the photograph; maps of it are smaller."""
    hint = parse_hint("900,300=#00ff00")
    painted = paint_hints([hint], 60, 100, of=(600, 1000))
    y, x = np.argwhere(painted[..., 2] > 0).mean(axis=0)
    assert (x, y) == pytest.approx((90, 30), abs=1)


def test_picture_round_trip(tmp_path: Path) -> None:
    """Strokes of a picture come back as hints of that colour and place."""
    hints = (Hint(20, 30, (200, 40, 10)), Hint(150, 80, (0, 90, 250)))
    write_hints(hints, tmp_path / "h.png", width=200, height=100)
    read = read_hints(tmp_path / "h.png")
    assert {hint.color for hint in read} == {hint.color for hint in hints}
    for hint in read:
        wanted = next(h for h in hints if h.color == hint.color)
        assert hint.x_px * 2 == pytest.approx(wanted.x_px, abs=3)
        assert hint.y_px == pytest.approx(wanted.y_px, abs=3)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"hints": 3}', b"nonsense", b"[" * 5000])
def test_file_that_is_no_hints_is_one_line(tmp_path: Path, content: bytes) -> None:
    """Naming it."""
    path = tmp_path / "hints.json"
    path.write_bytes(content)
    with pytest.raises(RestoreError, match=r"hints\.json: [^\n]+$"):
        read_hints(path)


def test_opaque_picture_is_no_strokes(tmp_path: Path) -> None:
    """A photograph isn't taken for a painting of hints."""
    Image.new("RGB", (30, 20), (10, 20, 30)).save(tmp_path / "h.png")
    with pytest.raises(RestoreError, match="transparency"):
        read_hints(tmp_path / "h.png")
