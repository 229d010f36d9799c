"""Write how faithful a restoration is: a page to read and look at, and the same numbers as JSON.

The page holds its pictures itself and loads nothing from anywhere.
"""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.errors import PhotoError
from restore.report.faithfulness import Faithfulness, Floats
from restore.report.grain_fit import SIGMA_FLOOR
from restore.report.unexplained import Region
from restore.scan.output import PrivateFolder
from restore.ycc import LUMA_WEIGHTS

_JPEG_QUALITY = 88
_MARKS_COLOR, _INVENTED_COLOR, _CHROMA_COLOR = (0.85, 0.1, 0.1), (0.95, 0.55, 0.0), (0.0, 0.45, 0.7)
_BOX_COLOR = (0.0, 0.75, 0.2)
_DARKER, _LIGHTER = np.array([0.13, 0.35, 0.75]), np.array([0.8, 0.2, 0.1])
_DIFFERENCE_RANGE = 5.0
"""Deviations that are drawn in full colour."""
_CHROMA_RANGE = 0.15
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 2em auto;
  max-width: 75em; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.2em; margin-top: 2em; }
.verdict { font-size: 1.15em; border-left: .4em solid #3a7; padding: .4em 1em;
  background: #f4f7f5; }
.verdict.doubt { border-color: #c60; background: #fdf6ee; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(20em, 1fr));
  gap: 1.5em; }
figure { margin: 0; } img { max-width: 100%; height: auto; display: block; }
figcaption { margin-top: .4em; font-size: .95em; } figcaption b { display: block; }
table { border-collapse: collapse; } th, td { text-align: left; vertical-align: top;
  padding: .25em 1.5em .25em 0; border-bottom: 1px solid #ddd; font-weight: normal; }
td { font-variant-numeric: tabular-nums; white-space: nowrap; }
.swatch { display: inline-block; width: 3em; height: 1.2em; border: 1px solid #888;
  vertical-align: middle; margin-right: .5em; }
svg { max-width: 26em; width: 100%; height: auto; }
"""


def write_report(
    measured: Faithfulness,
    paths: tuple[Path, Path],
    *,
    photo: Path,
    restored: Path,
    mode: int,
    model: str,
    version: str,
) -> None:
    """Write the page and the JSON.

    Args:
        measured: What was found.
        paths: Of the page and of the JSON.
        photo: The original, for its name.
        restored: The restored photograph, for its name.
        mode: Permissions of the files.
        model: Name of the weights.
        version: Of this software.

    Raises:
        PhotoError: If they can't be written.
    """
    about = {"photo": photo.name, "restored": restored.name, "model": model, "version": version}
    page, numbers = paths
    texts = {
        page: describe(measured, **about),
        numbers: json.dumps({**about, **measured.to_json()}, indent=1, ensure_ascii=False) + "\n",
    }
    for path, text in texts.items():
        with PrivateFolder(path) as folder:
            written = folder.path / "report"
            try:
                written.write_text(text, encoding="utf-8")
            except OSError as error:
                raise PhotoError(f"{path}: can't be written ({error.strerror})") from error
            folder.publish(written, mode)


def describe(measured: Faithfulness, *, photo: str, restored: str, model: str, version: str) -> str:
    """The page, as HTML.

    Args:
        measured: What was found.
        photo: Name of the original.
        restored: Name of the restored photograph.
        model: Name of the weights.
        version: Of this software.
    """
    name = html.escape(photo)
    parts = [
        f"<h1>How faithful is the restoration of {name}?</h1>",
        _verdict(measured),
        f"<p>The restored photograph (<i>{html.escape(restored)}</i>) was damaged again, with the "
        "damage that the original seems to have: its tones, tint, fading, blur and grain, but "
        "without its scratches and stains. If the restoration is faithful, the result looks like "
        "the original.</p>",
        '<div class="pictures">',
        *_figures(measured),
        "</div>",
        "<h2>In numbers</h2>",
        _table(_scores(measured)),
        _regions(measured.flagged_regions),
        "<h2>The damage, as estimated</h2>",
        _table(_parameters(measured)),
        '<div class="pictures">',
        *_damage_figures(measured),
        "</div>",
        f"<p><small>Measured on a copy of {measured.maps.marks.shape[1]} × "
        f"{measured.maps.marks.shape[0]} px of the photograph of {measured.width_px} × "
        f"{measured.height_px} px. Model: {html.escape(model)}. old-pictures-restoration "
        f"{html.escape(version)}.</small></p>",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>Restoration of {name}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def _verdict(measured: Faithfulness) -> str:
    count = len(measured.flagged_regions)
    if count == 0:
        return (
            '<p class="verdict">The restoration explains the photograph: no place differs by more '
            "than grain, slightly moved edges and slightly changed tones would account for.</p>"
        )
    places = "One place isn’t" if count == 1 else f"{count} places aren’t"
    share = _percent(measured.unexplained_frac)
    return (
        f'<p class="verdict doubt">{places} explained by the restoration ({share} of the '
        "photograph; boxes in the pictures). Something there was painted in, moved or left out, or "
        "is damage that wasn’t recognised as such. Compare it with the original.</p>"
    )


def _figures(measured: Faithfulness) -> list[str]:
    maps = measured.maps
    boxes = _to_maps(measured)
    grey = np.repeat((maps.restored @ LUMA_WEIGHTS)[..., None], 3, axis=-1)
    marked = _tint(maps.original, maps.marks, _MARKS_COLOR)
    invented = _tint(
        np.float32(0.35) + np.float32(0.6) * grey, maps.added_chroma / _CHROMA_RANGE, _CHROMA_COLOR
    )
    invented = _tint(invented, maps.marks, _INVENTED_COLOR)
    return [
        _figure(maps.original, "Original", "The photograph as it was scanned."),
        _figure(
            _box(maps.restored, boxes),
            "Restored",
            "What the restoration made of it." + _note(boxes),
        ),
        _figure(
            maps.damaged_again,
            "Restored, then damaged again",
            "The restored photograph with the estimated damage, its scratches and stains left out. "
            "It should look like the original.",
        ),
        _figure(
            _box(_draw_difference(maps.difference), boxes),
            "Difference, in units of the expected grain",
            "Blue: the original is darker than the restoration explains, red: lighter; full colour "
            f"at {_DIFFERENCE_RANGE:.0f} deviations. Even speckle is grain. Shapes that can be "
            "recognised are what was sharpened, smoothed or changed." + _note(boxes),
        ),
        _figure(
            marked,
            "What was removed",
            f"Red: taken for damage on the print, {_percent(measured.marks_frac)} of the area.",
        ),
        _figure(
            invented,
            "What was invented",
            f"Orange: filled in where damage hid the photograph "
            f"({_percent(measured.marks_frac)}). Blue: colour where the original had none "
            f"({_percent(measured.colorized_frac)}); such colours are plausible, not known.",
        ),
    ]


def _note(boxes: list[tuple[int, int, int, int]]) -> str:
    return " Boxes: places that aren’t explained." if boxes else ""


def _scores(measured: Faithfulness) -> list[tuple[str, str]]:
    return [
        ("Score: share of the photograph that is explained", f"{100 * measured.score:.1f} of 100"),
        ("Places that aren’t explained", f"{len(measured.flagged_regions)}"),
        ("Their area", _percent(measured.unexplained_frac)),
        (
            "Pixels within three deviations of the expected grain",
            _percent(measured.within_3_sigma_frac),
        ),
        (
            "Share of the original’s light and dark that is explained",
            _percent(measured.explained_variance_frac),
        ),
        ("Removed as damage, and filled in", _percent(measured.marks_frac)),
        ("Given colour where there was none", _percent(measured.colorized_frac)),
    ]


def _regions(regions: tuple[Region, ...]) -> str:
    if not regions:
        return ""
    rows = "".join(
        f"<tr><td>{i}</td><td>{r.left_px}, {r.top_px}</td><td>{r.width_px} × {r.height_px}</td>"
        f"<td>{r.excess:.1f}</td></tr>"
        for i, r in enumerate(regions, start=1)
    )
    return (
        "<h2>Places that aren’t explained</h2>\n<table><tr><th></th><th>left, top (px)</th>"
        "<th>size (px)</th><th>times more different than is licensed</th></tr>" + rows + "</table>"
    )


def _parameters(measured: Faithfulness) -> list[tuple[str, str]]:
    damage, grain, scale = measured.damage, measured.grain, measured.analysed_scale
    kind = "black and white, or toned" if damage.is_monochrome else "in colour"
    names = ("red", "green", "blue")
    if damage.is_monochrome:
        response = ", ".join(
            f"{name} {100 * w:.0f} %" for name, w in zip(names, damage.response[0], strict=True)
        )
    else:
        response = "; ".join(
            f"{name} from " + ", ".join(f"{100 * w:.0f}" for w in row)
            for name, row in zip(names, damage.response, strict=True)
        )
        response += " % of red, green, blue"
    curve = damage.print_curve()
    swatches = "".join(
        f'<span class="swatch" style="background: rgb({_css(curve[:, i])})"></span>'
        for i in (0, curve.shape[1] // 2, curve.shape[1] - 1)
    )
    blur = damage.blur_sigma_px / scale
    peak = float(np.max(grain.sigma(grain.tones, grain.slopes), initial=SIGMA_FLOOR))
    return [
        ("Photograph", kind),
        ("What the emulsion saw", response),
        ("Black, middle grey and white have become", swatches),
        ("Blur against the restored photograph", f"{blur:.1f} px" if blur else "none found"),
        ("Light lost in the darkest place", _percent(1 - float(damage.light.min()))),
        ("Faded more than elsewhere, where most", _percent(float(damage.fade.clip(0, 1).max()))),
        ("Grain and noise, where strongest", f"± {255 * peak:.1f} of 255 levels"),
        ("Size of the grain", f"{grain.size_px / scale:.1f} px"),
    ]


def _damage_figures(measured: Faithfulness) -> list[str]:
    curve = measured.damage.print_curve()
    steps = np.linspace(0, 1, curve.shape[1])
    lines = [
        (steps, curve[c], color, dash)
        for c, (color, dash) in enumerate((("#c22", ""), ("#282", "7 3"), ("#22c", "2 3")))
    ]
    grain = measured.grain
    sigmas = 255 * grain.sigma(grain.tones, grain.slopes)
    top = 1.1 * float(np.max([*sigmas, *(255 * grain.sigmas)], initial=5.0))
    dots = [(float(t), 255 * float(s)) for t, s in zip(grain.tones, grain.sigmas, strict=True)]
    return [
        _chart(
            lines,
            [],
            1.0,
            "Tones",
            "From black to white in the restored photograph (left to right) to the print (bottom "
            "to top); red unbroken, green dashed, blue dotted. Thin: no change.",
            diagonal=True,
        ),
        _chart(
            [(grain.tones, sigmas, "#222", "")],
            dots,
            top,
            "Grain by tone",
            f"Deviation of the grain from black to white, up to {top:.0f} of 255 levels. Dots: "
            "measured in even places; line: the law that was fitted.",
        ),
        _figure(
            measured.maps.plain,
            "Light, fading and tint",
            "What the estimated damage would make of a sheet of even middle grey.",
        ),
    ]


def _chart(
    lines: list[tuple[NDArray[Any], NDArray[Any], str, str]],
    dots: list[tuple[float, float]],
    top: float,
    title: str,
    caption: str,
    *,
    diagonal: bool = False,
) -> str:
    """A figure with lines and dots over [0, 1] × [0, top], as inline SVG."""

    def place(x: float, y: float) -> tuple[float, float]:
        return round(10 + 280 * x, 1), round(190 - 180 * y / top, 1)

    shapes = ['<rect x="10" y="10" width="280" height="180" fill="none" stroke="#999"/>']
    if diagonal:
        shapes.append('<path d="M10 190 L290 10" stroke="#bbb" fill="none"/>')
    for xs, ys, color, dash in lines:
        points = " ".join("{},{}".format(*place(x, y)) for x, y in zip(xs, ys, strict=True))
        shapes.append(
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2" '
            f'stroke-dasharray="{dash}"/>'
        )
    shapes += ['<circle cx="{}" cy="{}" r="3" fill="#c60"/>'.format(*place(*dot)) for dot in dots]
    return (
        f'<figure><svg viewBox="0 0 300 200" role="img" aria-label="{html.escape(caption)}">'
        + "".join(shapes)
        + f"</svg><figcaption><b>{html.escape(title)}</b>{html.escape(caption)}</figcaption>"
        "</figure>"
    )


def _figure(picture: Floats, title: str, caption: str) -> str:
    levels = np.rint(picture.clip(0, 1) * 255).astype(np.uint8)
    _, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(levels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    data = base64.b64encode(encoded.tobytes()).decode("ascii")
    height, width = levels.shape[:2]
    return (
        f'<figure><img width="{width}" height="{height}" alt="{html.escape(title)}: '
        f'{html.escape(caption)}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption><b>{html.escape(title)}</b>{html.escape(caption)}</figcaption></figure>"
    )


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in rows)
    return f"<table>{cells}</table>"


def _percent(frac: float) -> str:
    percent = 100 * frac
    return f"{percent:.1f} %" if percent >= 0.05 or percent == 0 else "under 0.1 %"


def _css(color: Floats) -> str:
    return ", ".join(str(round(255 * float(v))) for v in color.clip(0, 1))


def _tint(picture: Floats, amount: Floats, color: tuple[float, float, float]) -> Floats:
    """Lay a colour over a picture, (h, w, 3), by an amount (h, w)."""
    share = 0.85 * amount.clip(0, 1)[..., None]
    return np.asarray(picture + share * (np.array(color) - picture), np.float32)


def _draw_difference(difference: Floats) -> Floats:
    """White where nothing differs, blue where the original is darker, red where it is lighter."""
    amount = (np.abs(difference) / _DIFFERENCE_RANGE).clip(0, 1)[..., None]
    color = np.where(difference[..., None] < 0, _DARKER, _LIGHTER)
    return np.asarray(1 + amount * (color - 1), np.float32)


def _to_maps(measured: Faithfulness) -> list[tuple[int, int, int, int]]:
    """The regions' boxes, left, top, right, bottom, in pixels of the maps."""
    height, width = measured.maps.marks.shape
    across, down = width / measured.width_px, height / measured.height_px
    return [
        (
            int(r.left_px * across),
            int(r.top_px * down),
            int((r.left_px + r.width_px) * across),
            int((r.top_px + r.height_px) * down),
        )
        for r in measured.flagged_regions
    ]


def _box(picture: Floats, boxes: list[tuple[int, int, int, int]]) -> Floats:
    """Draw boxes on a copy."""
    drawn = np.ascontiguousarray(picture)
    if boxes:
        drawn = drawn.copy()
    thickness = max(1, max(picture.shape[:2]) // 300)
    for left, top, right, bottom in boxes:
        cv2.rectangle(drawn, (left, top), (right - 1, bottom - 1), _BOX_COLOR, thickness)
    return drawn
