"""What was repaired, what was guessed, what isn't explained: as overlays, and in plain words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.report.faithfulness import Faithfulness, measure_faithfulness
from restore.report.unexplained import UNEXPLAINED
from restore.web.preview import Shown

KINDS = ("repaired", "guessed", "unexplained")
_COLORS = {"repaired": (217, 26, 26), "guessed": (0, 115, 178), "unexplained": (230, 130, 0)}
_CHROMA_RANGE = 0.15
_OPACITY = 0.8


def measure_shown(shown: Shown, *, photo_size: tuple[int, int]) -> Faithfulness:
    """Measure how well a restored preview explains its photograph.

    Args:
        shown: The preview.
        photo_size: Width and height of the photograph, px.

    Raises:
        RestoreError: If it is too small to measure.
    """
    return measure_faithfulness(
        shown.before_exact, shown.after_exact, shown.marks, photo_size=photo_size
    )


def draw_overlay(measured: Faithfulness, kind: str) -> NDArray[np.uint8]:
    """(h, w, 4) RGB and opacity: where a kind applies, to be laid over the photograph."""
    maps = measured.maps
    amount = {
        "repaired": maps.marks,
        "guessed": np.maximum(maps.added_chroma / _CHROMA_RANGE, 0),
        "unexplained": (maps.unexplained - 1) / (UNEXPLAINED - 1),
    }[kind]
    drawn = np.empty((*amount.shape, 4), np.uint8)
    drawn[..., :3] = _COLORS[kind]
    drawn[..., 3] = np.rint(amount.clip(0, 1) * (255 * _OPACITY))
    return drawn


def explain(measured: Faithfulness) -> dict[str, Any]:
    """The numbers that the page shows, and what they mean."""
    count = len(measured.flagged_regions)
    return {
        "score": round(measured.score, 4),
        "marks_frac": round(measured.marks_frac, 4),
        "colorized_frac": round(measured.colorized_frac, 4),
        "unexplained_frac": round(measured.unexplained_frac, 4),
        "regions": [region._asdict() for region in measured.flagged_regions[:50]],
        "sentences": [
            _say_repaired(measured.marks_frac),
            _say_guessed(measured.colorized_frac),
            _say_unexplained(count),
        ],
    }


def _say_repaired(frac: float) -> str:
    if frac < 0.0005:
        return "Repaired: next to nothing was taken for damage and filled in."
    return f"Repaired: {_percent(frac)} of the picture was taken for damage and filled in."


def _say_guessed(frac: float) -> str:
    if frac < 0.005:
        return "Guessed: no colours were made up."
    return (
        f"Guessed: {_percent(frac)} of the picture was given colours that the original doesn't "
        "show. They are plausible, not known."
    )


def _say_unexplained(count: int) -> str:
    if count == 0:
        return "Faithful: damaged again, the restored picture looks like the original everywhere."
    places = "One place differs" if count == 1 else f"{count} places differ"
    return (
        f"Unexplained: {places} from the original by more than its damage explains. Compare them "
        "with the original."
    )


def _percent(frac: float) -> str:
    return f"{100 * frac:.1f} %" if frac < 0.1 else f"{100 * frac:.0f} %"
