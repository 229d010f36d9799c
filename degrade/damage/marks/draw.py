"""Draw the marks of one photograph: which damage it has suffered, where, and how badly."""

import math
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from degrade.damage.marks.records import KindRanges, Mark, MarksRanges, Rim
from degrade.damage.streams import Draws
from degrade.schema import Rgb
from degrade.textures.kinds import KINDS, MarkKind
from degrade.textures.pack import TextureInfo, Textures
from degrade.textures.painters.sheets import SHEET_FRAME_PX

_MOST_MARKS = 8
"""Of one kind, where severity multiplies their number."""

_Box = tuple[float, float, float, float]

_DARK: tuple[Rgb, Rgb] = ((0.03, 0.03, 0.03), (0.25, 0.22, 0.19))
_LIGHT: tuple[Rgb, Rgb] = ((0.80, 0.78, 0.72), (1.0, 1.0, 0.98))
_PAPER: tuple[Rgb, Rgb] = ((0.78, 0.74, 0.66), (1.0, 1.0, 1.0))


def _place_box(
    draws: Draws, kind: MarkKind, size_frac: float, aspect: float, reach: float
) -> tuple[_Box, int]:
    """A sprite's box, in fractions of the photograph, and its turn.

    `aspect` is width over height of the photograph; `reach` how far the print extends beyond
    the photograph (1: not at all).
    """
    turn = draws.whole((0, 3))
    wide, high = size_frac, size_frac * aspect
    if kind.place == "across":
        # They run across the whole print, of which the photograph may be a part.
        size = reach * draws.uniform((1.0, 1.25))
        left, top = -draws.unit() * (size - 1), -draws.unit() * (size - 1)
        box = (left, top, left + size, top + size)
    elif kind.place == "along edge":
        # Textures of edges lie along the top: turn by turn along left, bottom, right.
        depth = size_frac * 0.4
        box = {
            0: (0.0, 0.0, 1.0, depth * aspect),
            1: (0.0, 0.0, depth, 1.0),
            2: (0.0, 1.0 - depth * aspect, 1.0, 1.0),
            3: (1.0 - depth, 0.0, 1.0, 1.0),
        }[turn]
    elif kind.place == "in corner":
        x, y = (0.0 if turn in (0, 1) else 1 - wide), (0.0 if turn in (0, 3) else 1 - high)
        box = (x, y, x + wide, y + high)
    elif kind.place == "from edge":
        along = draws.unit()
        x = {1: 0.0, 3: 1.0 - wide}.get(turn, along * (1 - wide))
        y = {0: 0.0, 2: 1.0 - high}.get(turn, along * (1 - high))
        box = (x, y, x + wide, y + high)
    else:
        stretch = draws.log_uniform((0.7, 1.4))
        wide, high = wide * stretch, high / stretch
        high *= kind.flatness
        x, y = draws.uniform((-0.2, 1.2)) - wide / 2, draws.uniform((-0.2, 1.2)) - high / 2
        box = (x, y, x + wide, y + high)
    left, top, right, bottom = (round(side, 5) for side in box)
    return (left, top, right, bottom), turn


def _draw_ink(
    draws: Draws, kind: MarkKind, ranges: KindRanges, light_prob: float, inks: Mapping[str, Rgb]
) -> Rgb:
    if kind.ink == "paper":
        # What is lost bares the paper, unless a share is dark: what lies under the print.
        bare = ranges.light_prob is None or draws.chance(ranges.light_prob)
        return inks["paper"] if bare else inks["dark"]
    if kind.ink == "light or dark":
        return inks["light"] if draws.chance(light_prob) else inks["dark"]
    return draws.tint(*kind.ink)


def _draw_kind(
    draws: Draws,
    name: str,
    ranges: KindRanges,
    marks: MarksRanges,
    infos: tuple[TextureInfo, ...],
    scale: float,
    reach: float,
    aspect: float,
    inks: Mapping[str, Rgb],
    num_factor: float,
) -> list[Mark]:
    kind = KINDS[name]
    found = []
    light_prob = marks.light_prob if ranges.light_prob is None else ranges.light_prob
    num = draws.whole(ranges.num_range)
    if num and num_factor != 1:
        most = max(_MOST_MARKS, ranges.num_range[1])
        num = min(max(round(num * num_factor), 1), most)
    for _ in range(num):
        info = draws.texture(infos)
        opacity = draws.uniform(ranges.opacity_frac_range)
        ink = _draw_ink(draws, kind, ranges, light_prob, inks)
        box, turn = None, draws.whole((0, 3))
        if kind.layout == "sprite":
            size = draws.log_uniform(ranges.size_frac_range)
            box, turn = _place_box(draws, kind, size, aspect, reach)
        sheet_turn = turn if not kind.runs_down or draws.chance(0.3) else 0
        found.append(
            Mark(
                kind=name,
                texture=info.name,
                x_px=draws.offset(),
                y_px=draws.offset(),
                scale=round(scale * SHEET_FRAME_PX / info.frame_width_px, 5),
                box=box,
                quarter_turns=turn if box else sheet_turn,
                flip=draws.chance(0.5) and not kind.at_edge,
                opacity_frac=opacity,
                ink=ink,
                blend="lighten" if marks.lighten and ink == inks["light"] else "over",
            )
        )
    return found


def _add_rims(
    draws: Draws, marks: Iterable[Mark], ranges: MarksRanges, short_px: int
) -> Iterator[Mark]:
    """Give some marks a shadow: one lamp throws all shadows of a photograph to one side."""
    angle = draws.uniform((0.0, 2 * math.pi))
    width_px = max(short_px * draws.log_uniform((0.0015, 0.006)), 0.4)
    rim = Rim(
        opacity_frac=draws.uniform((0.25, 0.8)),
        width_px=round(width_px, 3),
        x_px=round(1.5 * width_px * math.cos(angle), 3),
        y_px=round(1.5 * width_px * math.sin(angle), 3),
        ink=draws.tint(*_DARK),
    )
    for mark in marks:
        rim_prob = ranges.kinds[mark.kind].rim_prob
        rimmed = rim_prob > 0 and draws.chance(rim_prob)
        yield msgspec.structs.replace(mark, rim=rim) if rimmed else mark


def draw_marks(
    draws: Draws, ranges: MarksRanges, textures: Textures, width: int, height: int
) -> tuple[Mark, ...]:
    """Draw the marks of one photograph.

    Args:
        draws: The stream of the marks.
        ranges: What they may be.
        textures: The pack to choose textures from.
        width: Of the photograph, in px.
        height: Likewise.

    Returns:
        The marks from the lowest to the highest.
    """
    severity = math.exp(ranges.severity_sigma * draws.normal())
    # The virtual scan of the whole print; the photograph is the whole of it or a part.
    short_px = min(width, height)
    scan_px = max(draws.log_uniform(ranges.scan_width_px_range), short_px / 2)
    scale = scan_px / SHEET_FRAME_PX
    reach = draws.log_uniform((1.0, 3.0)) if draws.chance(0.35) else 1.0
    inks = {
        "light": (1.0, 1.0, 1.0) if ranges.lighten else draws.tint(*_LIGHT),
        "dark": draws.tint(*_DARK),
        "paper": draws.tint(*_PAPER),
    }
    # Two draws for every kind of the profile, whether it happens or not.
    found: list[Mark] = []
    for name in sorted(ranges.kinds):
        kind_ranges = ranges.kinds[name]
        happens = draws.chance(min(1.0, kind_ranges.prob * severity))
        own = draws.split()
        infos = textures.of_kind(name)
        if not infos or not happens:
            continue
        if reach > 1.2 and KINDS[name].at_edge:
            continue
        found += _draw_kind(
            own, name, kind_ranges, ranges, infos, scale, reach, width / height, inks,
            math.sqrt(severity) if ranges.severity_in_numbers else 1.0,
        )  # fmt: skip
    found = list(_add_rims(draws, found, ranges, short_px))

    def find_height(mark: Mark) -> int:
        below = ranges.foxing_below and mark.kind == "foxing"
        return -1 if below else KINDS[mark.kind].height

    # Equal inks of one height come together, for speed.
    return tuple(sorted(found, key=lambda mark: (find_height(mark), mark.ink)))
