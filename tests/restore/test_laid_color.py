"""Colours that are laid on: found at two scales, and joined."""

from typing import Any

import cv2
import numpy as np
import pytest
from still_network import LumaPainter, Mender, StillNetwork, look_at

from restore import Restorer, RestoreSettings
from restore.engine.specks import calm_specks
from restore.passes.color import calm_outlines, join_scales, lay_color, size_finer
from restore.passes.local import Band
from restore.passes.look import Look
from restore.passes.run import RestoredRows, ask, fuse_said
from restore.restorer import ArraySource

SIDE_PX = 128


def make_fine() -> tuple[np.ndarray, np.ndarray]:
    """Luma with one outline down the middle, and chroma with detail on either side of it."""
    luma = np.full((SIDE_PX, SIDE_PX), 0.3, np.float32)
    luma[:, SIDE_PX // 2 :] = 0.8
    detail = 0.05 * np.sin(np.arange(SIDE_PX) * np.pi / 2)
    chroma = np.zeros((SIDE_PX, SIDE_PX, 2), np.float32)
    chroma[..., 0] = detail[:, None]
    return luma, chroma


def test_specks_go_and_colored_things_stay() -> None:
    """A vivid pixel or two becomes as what is around; edges and what hints ask for stay."""
    chroma = np.zeros((64, 64, 2), np.float32)
    chroma[:, 40:] = 0.1
    chroma[10:20, 10:14, 1] = 0.12
    kept = chroma.copy()
    chroma[30:50, 20:22] = (-0.1, -0.2)
    chroma[5, 30] += 0.01  # no more than texture
    kept[5, 30] += 0.01
    calmed = calm_specks(chroma, np.zeros((128, 128), np.float32))
    np.testing.assert_allclose(calmed[:, :9], kept[:, :9], atol=1e-6)
    np.testing.assert_allclose(calmed[12:18, 10:14], kept[12:18, 10:14], atol=1e-6)
    np.testing.assert_allclose(calmed[22:], kept[22:], atol=1e-6)
    assert calmed[5, 30, 0] == kept[5, 30, 0]
    asked = np.zeros((128, 128), np.float32)
    asked[80, 41] = 1
    calmed = calm_specks(chroma, asked)
    assert calmed[40, 20].tolist() == chroma[40, 20].tolist()
    assert calmed[30, 20].tolist() == [0, 0]


def test_scales_that_agree_are_left_as_they_are() -> None:
    """Where both copies give the same colours, those come out."""
    luma, chroma = make_fine()
    np.testing.assert_allclose(join_scales(luma, chroma, chroma), chroma, atol=1e-6)


def test_slow_colors_are_the_coarse_ones_and_detail_the_fine() -> None:
    """A cast of the fine colours goes, their detail stays."""
    luma, fine = make_fine()
    coarse = np.zeros_like(fine)
    joined = join_scales(luma, coarse, fine + np.float32(0.1))
    np.testing.assert_allclose(joined, fine, atol=0.015)


def test_slow_colors_end_at_outlines() -> None:
    """Of a thing that is red in the small copy alone, the ground beside it takes nothing."""
    luma, fine = make_fine()
    red = np.zeros_like(fine)
    red[:, SIDE_PX // 2 :, 1] = 0.2
    joined = join_scales(luma, fine + red, fine) - fine
    edge = SIDE_PX // 2
    assert np.abs(joined[16:-16, : edge - 1]).max() < 0.03
    assert joined[16:-16, edge + 1 :, 1].min() > 0.15


def test_outlines_have_the_colors_beside_them() -> None:
    """A fringe of four pixels goes, colours on both sides and a thing without outline stay."""
    luma, chroma = np.full((64, 64), 0.2, np.float32), np.zeros((64, 64, 2), np.float32)
    luma[:, 32:] = 0.7
    chroma[:, :32, 1], chroma[:, 32:, 0] = 0.15, 0.1
    fringed = chroma.copy()
    fringed[:, 30:34] = (-0.2, -0.2)
    calm = calm_outlines(luma, fringed)
    np.testing.assert_allclose(calm[:, :29], chroma[:, :29], atol=0.03)
    np.testing.assert_allclose(calm[:, 31:33], chroma[:, 31:33], atol=0.05)
    np.testing.assert_allclose(calm[:, 35:], chroma[:, 35:], atol=0.03)
    even = np.full((64, 64), 0.5, np.float32)
    chroma[:] = 0
    chroma[20:44, 20:44, 0] = 0.1
    np.testing.assert_allclose(calm_outlines(even, chroma), chroma, atol=1e-6)


def test_hinted_outlines_keep_the_hinted_color() -> None:
    """Along an outline within what a hint reaches, the colour is the hint's; it spreads nowhere."""
    luma = np.full((SIDE_PX, SIDE_PX), 0.2, np.float32)
    luma[:, 64:] = 0.7
    hints = np.zeros((SIDE_PX, SIDE_PX, 3), np.float32)
    hints[40:80, 40:90] = (0.1, -0.1, 1)

    class Obedient(StillNetwork):
        color_px = SIDE_PX

        def choose_chroma(self, luma: np.ndarray, hints: np.ndarray | None) -> np.ndarray:
            stripes = np.where(np.arange(SIDE_PX) % 2, 0.05, -0.05).astype(np.float32)
            laid = np.repeat(stripes[None, :, None], SIDE_PX, 0).repeat(2, axis=2)
            return laid if hints is None else np.where(hints[..., 2:] > 0, hints[..., :2], laid)

    laid = lay_color(Obedient(), luma, hints, 0.0, (SIDE_PX, SIDE_PX))  # type: ignore[arg-type]
    np.testing.assert_allclose(laid.chroma[56:64, 40:90], hints[56:64, 40:90, :2], atol=2e-3)
    assert np.abs(laid.chroma[:20, 63:65]).max() < 0.03
    np.testing.assert_allclose(np.abs(laid.chroma[:20, :50]), 0.05, atol=1e-3)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((100, 80), (100, 80)), ((700, 900), (512, 658)), ((2000, 400), (1024, 205))],
)
def test_finer_copy_is_never_enlarged_nor_longer_than_networks_take(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    """Its short side is twice that of what colours are first looked for in, if both allow it."""
    assert size_finer(*size, 256) == expected


class Noter(Mender):
    """Notes in what luma it lays colours."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def lay_color(self, luma: np.ndarray, *args: Any, **options: Any) -> np.ndarray:
        """Lay no colours."""
        self.seen.append(luma)
        return super().lay_color(luma, *args, **options)


def test_colors_are_looked_for_where_fine_marks_are_mended() -> None:
    """A crack too thin for the reduced copy is found in the finer one, whose detail stays."""
    stripes = np.repeat(np.tile(np.array([90, 140], np.uint8), 256), 2)[:, None]
    photo = np.repeat(stripes.repeat(1024, 1)[..., None], 3, axis=2)
    photo[:, 512:514] = 255
    network = Noter()
    look_at(network, ArraySource(photo))  # type: ignore[arg-type]
    assert {luma.shape for luma in network.seen} == {(512, 512)}
    np.testing.assert_allclose(network.seen[0][:, 256], 0.5, atol=0.01)
    np.testing.assert_allclose(network.seen[0][:, 9], np.tile([90, 140], 256) / 255, atol=0.01)


class Counter(Noter):
    """Has a close look; notes how large the windows are."""

    has_close_look = True

    def __init__(self) -> None:
        super().__init__()
        self.windows: list[tuple[int, ...]] = []

    def repair(self, photo: np.ndarray, *args: Any) -> tuple[np.ndarray, np.ndarray]:
        """Grey instead of white."""
        self.windows.append(photo.shape[:2])
        return super().repair(photo, *args)


@pytest.mark.parametrize(
    ("shape", "has_color", "expected"),
    [
        ((600, 800), False, 2),
        ((1400, 1500), False, 5),
        ((600, 800), True, 2),
        ((300, 350), False, 2),
    ],
)
def test_small_photographs_are_restored_once(
    shape: tuple[int, int], has_color: bool, expected: int
) -> None:
    """Beside a reduced copy, or an enlarged one of small ones; of others a finer copy, too.

    Either way colours are looked for in what was mended, at the size of the finer copy.
    """
    photo = np.full((*shape, 3), 100, np.uint8)
    if has_color:
        blocks = np.random.default_rng(0).integers(0, 230, (20, 20, 3)).astype(np.uint8)
        photo = np.asarray(cv2.resize(blocks, shape[::-1], interpolation=cv2.INTER_NEAREST))
    photo[:, 48:60] = 255
    network = Counter()
    source, settings = ArraySource(photo), RestoreSettings()
    said = ask(network, source, settings, marks_in=None, tile_px=1024)  # type: ignore[arg-type]
    assert isinstance(next(said), Look)
    assert any(isinstance(event, Band) for event in said)
    assert len(network.windows) == expected
    assert bool(network.seen) != has_color
    for luma in network.seen:
        assert luma.shape == size_finer(*shape, network.color_px)
        assert luma[:, 54 * luma.shape[1] // shape[1]].max() < 0.6


def test_colors_do_not_depend_on_the_tiles() -> None:
    """Neither of a small photograph nor of a large one."""
    for shape in ((600, 800), (1100, 1200)):
        photo = np.full((*shape, 3), 100, np.uint8)
        photo[:, 448:451] = 255
        restored = [
            Restorer(LumaPainter(), tile_px=px).restore(photo).restored  # type: ignore[arg-type]
            for px in (256, 2048)
        ]
        assert np.ptp(restored[0], axis=2).max() > 10
        assert np.abs(restored[0].astype(int) - restored[1]).max() <= 2


def test_colors_that_nobody_wants_are_not_looked_for() -> None:
    """Without them a grey photograph becomes what it becomes where they are laid and left out."""
    photo = np.random.default_rng(0).integers(60, 200, (400, 500, 1), np.uint8).repeat(3, axis=2)
    photo[:, 48:60] = 255
    source, wanted = ArraySource(photo), RestoreSettings(colorize=False)

    def fuse(network: Counter, asked: RestoreSettings) -> np.ndarray:
        said = ask(network, source, asked, marks_in=None, tile_px=1024)  # type: ignore[arg-type]
        rows = fuse_said(
            source, wanted, [event for event in said if isinstance(event, Look | Band)]
        )
        return np.concatenate([r.samples for r in rows if isinstance(r, RestoredRows)])

    with_colors, without = Counter(), Counter()
    both = fuse(with_colors, RestoreSettings()), fuse(without, wanted)
    assert (both[0] == both[1]).all()
    assert (both[0] != photo).any()
    assert with_colors.seen
    assert not without.seen


class Sides(StillNetwork):
    """Notes how large the copies are that it is asked about."""

    color_px = 64

    def __init__(self) -> None:
        self.asked: list[int | None] = []

    def lay_color(self, *args: Any, side_px: int | None = None, **options: Any) -> np.ndarray:
        """Lay no colours."""
        self.asked.append(side_px)
        return super().lay_color(*args, side_px=side_px, **options)


@pytest.mark.parametrize(
    ("shape", "expected"), [((64, 90), [None]), ((100, 96), [None, 96]), ((300, 200), [None, 128])]
)
def test_second_copy_is_as_large_as_the_photograph_allows(
    shape: tuple[int, int], expected: list[int | None]
) -> None:
    """Twice the first at most, never enlarged; there is none of a small photograph."""
    network = Sides()
    lay_color(network, np.full(shape, 0.5, np.float32), None, 0.0, (64, 64))  # type: ignore[arg-type]
    assert network.asked == expected
