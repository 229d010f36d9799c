"""Restore photographs: load the weights once, then call `Restorer.restore`.

Arrays that fit into memory go through `Restorer.restore`; `Restorer.restore_rows` does the same
with photographs of any size, reading and giving back some rows at a time.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from restore.checkpoint import CheckpointInfo, default_model_path, load_generator
from restore.colors import ColorSpace, Srgb, scale_to_samples
from restore.errors import CheckpointError, RestoreError
from restore.fusion import (
    CELL_REDUCED_PX,
    Enlarger,
    Floats,
    GlobalPass,
    LowFrequencies,
    Weights,
    fit_gamut,
    fuse,
    measure_colorfulness,
    to_ycc,
)
from restore.grain import Grain
from restore.network import Generator
from restore.tiling import Band, TiledRun

# Short side of the reduced copy for the global pass, and the area it may have.
GLOBAL_SIDE_PX = 256
_GLOBAL_AREA_PX = 1_000_000
# Up to this much larger than the reduced copy, the local pass sees the photograph as a whole.
_ONE_PASS_SCALE = 1.5
# bfloat16 is used where it changes the probe by no more than this.
_BF16_TOLERANCE = 1 / 255
_CHUNK_PX = 1 << 19

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True, kw_only=True)
class RestoreSettings:
    """What is wanted of a restoration.

    Attributes:
        strength: Of everything below but `regrain`; 0 leaves the photograph as it is.
        denoise: How much of the fine change outside the marks: grain, blur, noise.
        damage: How much of the change inside the marks: scratches, dust, stains, tears.
        tone: How much of the change of brightness and contrast over larger areas.
        color: How much of the change of colour outside the marks.
        colorize: Whether photographs without colours (grey, sepia) are given some.
        regrain: Strength of fresh fine grain, 0..1.
        marks_mode: "add": marks given by the caller count besides those found; "replace": instead,
            and what only the network takes for damage is left alone.
    """

    strength: float = 1.0
    denoise: float = 1.0
    damage: float = 1.0
    tone: float = 1.0
    color: float = 1.0
    colorize: bool = True
    regrain: float = 0.0
    marks_mode: Literal["add", "replace"] = "add"

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: Naming the value.
        """
        for name in ("strength", "denoise", "damage", "tone", "color", "regrain"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0..1, got {getattr(self, name)}")
        if self.marks_mode not in ("add", "replace"):
            raise ValueError(f'marks_mode must be "add" or "replace", got {self.marks_mode!r}')

    @property
    def changes_nothing(self) -> bool:
        """Whether the photograph comes back as it was."""
        aspects = (self.denoise, self.damage, self.tone, self.color)
        return self.regrain == 0 and (self.strength == 0 or not any(aspects))

    @property
    def gives_color(self) -> bool:
        """Whether a grey photograph may come back in colour."""
        return self.colorize and self.strength * self.color > 0


class Restoration(NamedTuple):
    """A restored photograph.

    Attributes:
        restored: (H, W, 3) RGB, or (H, W) if the photograph was grey and stays it; of its dtype.
        marks: (H, W) uint8, 255 where physical damage was found or given.
    """

    restored: NDArray[Any]
    marks: NDArray[np.uint8]


class RestoredRows(NamedTuple):
    """Some rows of a restored photograph.

    Attributes:
        y0: First row.
        samples: (h, W, C) samples, or None where the photograph's own colour space can't hold the
            result; of the source's dtype, its further bands (alpha) included.
        marks: (h, W) uint8.
    """

    y0: int
    samples: NDArray[Any]
    marks: NDArray[np.uint8]


class RowSource(Protocol):
    """A photograph that is read from top to bottom, any number of times.

    Attributes:
        height: px.
        width: px.
        num_bands: 1 (grey) or 3; samples may have further ones, which are passed through.
        space: What the samples mean.
    """

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def num_bands(self) -> int: ...
    @property
    def space(self) -> ColorSpace: ...

    def reduced(self, height: int, width: int) -> NDArray[Any]:
        """A reduced copy's samples, (height, width, C)."""

    def open_rows(self) -> Callable[[int, int], NDArray[Any]]:
        """A reader that is called with y0, y1 in unbroken order: (y1 - y0, W, C) samples."""


class Restorer:
    """A network ready to restore; may be shared between threads."""

    def __init__(
        self,
        generator: Generator,
        info: CheckpointInfo | None = None,
        *,
        device: torch.device | str = "cpu",
        tile_px: int = 1024,
        precision: Literal["auto", "fp32"] = "auto",
    ) -> None:
        """Take a generator as it is; `load` is the usual way.

        Args:
            generator: In evaluation mode, on `device`.
            info: What the weights file says of itself.
            device: Where it runs.
            tile_px: Side of the tiles of the local pass.
            precision: "auto" takes bfloat16 where the processor has it and where, on a probe, it
                agrees with float32.
        """
        self.info = info
        self.device = torch.device(device)
        self._tile_px = tile_px
        self._generator = generator
        self._precision_lock = threading.Lock()
        self._half: bool | None = None if precision == "auto" else False

    @classmethod
    def load(
        cls,
        model: Path | str | None = None,
        device: Device = "auto",
        *,
        tile_px: int = 1024,
        precision: Literal["auto", "fp32"] = "auto",
    ) -> Self:
        """Load weights.

        Args:
            model: Weights file; None takes the weights that come with the package.
            device: "auto" takes CUDA, then Apple's MPS, then the processor.
            tile_px: Side of the tiles of the local pass; less needs less memory.
            precision: See `Restorer`.

        Returns:
            A restorer.

        Raises:
            CheckpointError: If the file is missing, damaged or not one of ours.
            RestoreError: If the device isn't there.
        """
        path = default_model_path() if model is None else Path(model)
        if model is None and not path.is_file():
            raise CheckpointError(
                f"{path}: the default weights are missing; install the package again, or give "
                "weights of your own with --model"
            )
        where = choose_device(device)
        generator, info = load_generator(path, where)
        return cls(generator, info, device=where, tile_px=tile_px, precision=precision)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.info.metadata.name if self.info else "unnamed model"

    def restore(
        self,
        photo: NDArray[Any],
        settings: RestoreSettings = RestoreSettings(),
        *,
        marks_in: NDArray[Any] | None = None,
        on_notice: Callable[[str], None] = lambda line: None,
        on_progress: Callable[[float], None] = lambda done_frac: None,
    ) -> Restoration:
        """Restore one photograph.

        Args:
            photo: (H, W, 3) RGB or (H, W) grey, sRGB, uint8 or uint16; left unchanged.
            settings: What is wanted.
            marks_in: (h, w) of any size, stretched over the photograph: where it isn't zero (for
                uint8 and uint16: from half the range on) there is damage.
            on_notice: Receives lines for the user (smaller tiles, ...).
            on_progress: Receives what part is done.

        Returns:
            The restored photograph and the marks.

        Raises:
            ValueError: If the array is no photograph.
            RestoreError: If memory doesn't suffice.
        """
        if photo.dtype not in (np.uint8, np.uint16) or 0 in photo.shape:
            raise ValueError(f"expected uint8 or uint16 pixels, got {photo.dtype} {photo.shape}")
        if photo.ndim not in (2, 3) or (photo.ndim == 3 and photo.shape[2] != 3):
            raise ValueError(f"expected (H, W, 3) or (H, W), got {photo.shape}")
        source = ArraySource(photo if photo.ndim == 3 else photo[..., None])
        num_out = 3 if photo.ndim == 3 or settings.gives_color else 1
        restored = np.empty((*photo.shape[:2], num_out), photo.dtype)
        marks = np.empty(photo.shape[:2], np.uint8)
        for rows in self.restore_rows(
            source, settings, marks_in=marks_in, on_notice=on_notice, on_progress=on_progress
        ):
            y1 = rows.y0 + len(rows.samples)
            restored[rows.y0 : y1], marks[rows.y0 : y1] = rows.samples, rows.marks
        return Restoration(restored if num_out == 3 else restored[..., 0], marks)

    def restore_rows(
        self,
        source: RowSource,
        settings: RestoreSettings = RestoreSettings(),
        *,
        target: ColorSpace | None = None,
        marks_in: NDArray[Any] | None = None,
        on_notice: Callable[[str], None] = lambda line: None,
        on_progress: Callable[[float], None] = lambda done_frac: None,
    ) -> Iterator[RestoredRows]:
        """Restore a photograph of any size; memory is bounded by its width times the tile.

        Args:
            source: The photograph.
            settings: What is wanted.
            target: Colour space to give back; None keeps the source's.
            marks_in: As in `restore`.
            on_notice: Receives lines for the user.
            on_progress: Receives what part is done.

        Yields:
            Adjacent rows from top to bottom. A grey photograph has three bands if it is given
            colour, and its further bands follow.

        Raises:
            RestoreError: If memory doesn't suffice.
        """
        yield from _Run(self, source, settings, target, marks_in, on_notice, on_progress).rows()

    def run_network(
        self, photo: Floats, known_marks: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """One run of the bare network.

        Args:
            photo: (h, w, 3) in [0, 1]; sides are multiples of the generator's alignment.
            known_marks: (h, w) in [0, 1].

        Returns:
            Restored (h, w, 3), not clipped, and the marks' probability (h, w).
        """
        if self._half is None:
            with self._precision_lock:
                if self._half is None:
                    self._half = self._check_half()
        return self._run(photo, known_marks, half=self._half)

    @property
    def alignment(self) -> int:
        """Sides that the network takes are multiples of it."""
        return self._generator.alignment

    @property
    def tile_px(self) -> int:
        """Side of the tiles to start with."""
        return self._tile_px

    @torch.inference_mode()
    def _run(
        self, photo: Floats, known_marks: Floats | None, *, half: bool
    ) -> tuple[Floats, Floats]:
        pixels = torch.from_numpy(np.ascontiguousarray(photo)).permute(2, 0, 1)[None]
        pixels = pixels.to(self.device).contiguous(memory_format=torch.channels_last)
        known = None
        if known_marks is not None:
            known = torch.from_numpy(np.ascontiguousarray(known_marks))[None, None].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            restored, logits = self._generator(pixels, known)
        marks = torch.sigmoid(logits.float())[0, 0]
        return restored[0].float().permute(1, 2, 0).cpu().numpy(), marks.cpu().numpy()

    def _check_half(self) -> bool:
        """Whether bfloat16 is fast here and agrees with float32 on a drawn photograph."""
        if not _has_bfloat16(self.device):
            return False
        side = 4 * self.alignment
        rng = np.random.default_rng(0)
        coarse = rng.random((6, 6, 3), dtype=np.float32)
        probe = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
        probe += rng.normal(0, 0.05, probe.shape).astype(np.float32)
        probe[side // 2 : side // 2 + 2] = 1
        probe = probe.clip(0, 1)
        full, marks = self._run(probe, None, half=False)
        half, marks_half = self._run(probe, None, half=True)
        worst = max(np.abs(full - half).max(), np.abs(marks - marks_half).max() / 8)
        return bool(worst <= _BF16_TOLERANCE)


class _Run:
    """One photograph's restoration."""

    def __init__(
        self,
        restorer: Restorer,
        source: RowSource,
        settings: RestoreSettings,
        target: ColorSpace | None,
        marks_in: NDArray[Any] | None,
        on_notice: Callable[[str], None],
        on_progress: Callable[[float], None],
    ) -> None:
        self.restorer, self.source, self.settings = restorer, source, settings
        self.target = target or source.space
        self.known = None if marks_in is None else KnownMarks(marks_in, source.height, source.width)
        self.on_notice, self.on_progress = on_notice, on_progress
        self.num_out = 3 if source.num_bands == 3 or settings.gives_color else 1
        self.grain = Grain(settings.regrain) if settings.regrain else None

        height, width = source.height, source.width
        scale = min(height, width) / GLOBAL_SIDE_PX
        scale = max(scale, math.sqrt(height * width / _GLOBAL_AREA_PX))
        one_pass = scale <= _ONE_PASS_SCALE
        scale = 1.0 if one_pass else scale
        small = (max(1, round(height / scale)), max(1, round(width / scale)))
        reduced = self._to_photo(source.reduced(*small))
        self.colorfulness = measure_colorfulness(reduced)
        self.global_pass = None if one_pass else self._run_global(reduced)
        self.low = LowFrequencies(height, width, max(1, round(CELL_REDUCED_PX * scale)))
        # Without a wish for colour, colours that are there may still be mended.
        color = settings.color * (1.0 if settings.colorize else self.colorfulness)
        self.weights = Weights(
            *(settings.strength * w for w in (settings.denoise, settings.damage, settings.tone)),
            color=settings.strength * color,
        )

    def rows(self) -> Iterator[RestoredRows]:
        height, width = self.source.height, self.source.width
        done_px = 0

        def count(area_px: int) -> None:
            nonlocal done_px
            done_px += area_px
            self.on_progress(done_px / (height * width))

        run = TiledRun(
            network=self.restorer.run_network,
            alignment=self.restorer.alignment,
            height=height,
            width=width,
            read=self.source.open_rows(),
            to_photo=self._to_photo,
            known_marks=self.known.rows if self.known else None,
            tile_px=self.restorer.tile_px,
            on_notice=self.on_notice,
            on_tile=count,
        )
        waiting: list[Band] = []
        for band in run.bands():
            for y0, y1 in _chunks(band.y0, band.y1, width):
                rows = slice(y0 - band.y0, y1 - band.y0)
                change = self._change(band, rows)
                self.low.add(y0, change, band.marks[rows])
            waiting.append(band)
            while waiting and min(waiting[0].y1 + self.low.reach_px, height) <= band.y1:
                yield from self._fuse(waiting.pop(0))

    def _to_photo(self, samples: NDArray[Any]) -> Floats:
        return self.source.space.to_srgb(samples[..., : self.source.num_bands]).clip(0, 1)

    def _change(self, band: Band, rows: slice) -> Floats:
        """(h, W, 3) YCbCr change of the local pass."""
        restored = band.restored[rows].astype(np.float32) / np.float32(65535)
        return to_ycc(restored - self._to_photo(band.samples[rows]))

    def _run_global(self, reduced: Floats) -> GlobalPass:
        height, width = reduced.shape[:2]
        known = self.known.whole(height, width) if self.known else None
        run = TiledRun(
            network=self.restorer.run_network,
            alignment=self.restorer.alignment,
            height=height,
            width=width,
            read=lambda y0, y1: reduced[y0:y1],
            to_photo=lambda samples: samples,
            known_marks=None if known is None else lambda y0, y1: known[y0:y1],
            tile_px=max(height, width),
            on_notice=self.on_notice,
        )
        bands = list(run.bands())
        restored = np.concatenate([band.restored for band in bands]).astype(np.float32) / 65535
        marks = np.concatenate([band.marks for band in bands])
        marks = marks if known is None else np.maximum(marks, known)
        return GlobalPass(
            reduced, restored, marks, height=self.source.height, width=self.source.width
        )

    def _fuse(self, band: Band) -> Iterator[RestoredRows]:
        num_bands, dtype = self.source.num_bands, band.samples.dtype
        for y0, y1 in _chunks(band.y0, band.y1, self.source.width):
            rows = slice(y0 - band.y0, y1 - band.y0)
            samples, marks = band.samples[rows], band.marks[rows]
            found = marks
            spared = np.zeros_like(marks)
            if self.known is not None:
                given = self.known.rows(y0, y1)
                if self.settings.marks_mode == "replace":
                    marks, spared = given, found
                else:
                    marks = np.maximum(found, given)
            photo = self.source.space.to_srgb(samples[..., :num_bands])
            global_rows = None
            if self.global_pass is not None:
                global_rows = (self.global_pass.tone(y0, y1), self.global_pass, y0)
            fused = fuse(
                photo,
                self._change(band, rows),
                self.low.rows(y0, y1),
                marks,
                spared,
                self.weights,
                global_rows=global_rows,
                colorfulness=self.colorfulness,
            )
            if self.grain is not None:
                fused = fit_gamut(photo, fused + self.grain.rows(y0, fused)[..., None])
            out = self.target.from_srgb(fused, self.num_out, dtype)
            if self.target is self.source.space and self.num_out == num_bands:
                # Bit for bit, whatever the way there and back rounds.
                same = (fused == photo).all(axis=-1)
                out[same] = samples[same][:, :num_bands]
            out = np.concatenate([out, samples[..., num_bands:]], axis=-1)
            yield RestoredRows(y0, out, scale_to_samples(marks, np.dtype(np.uint8)))


class ArraySource:
    """An sRGB photograph in memory, as a `RowSource`."""

    def __init__(self, photo: NDArray[Any]) -> None:
        """Take (H, W, 1 or 3) uint8 or uint16 samples."""
        self._photo = photo
        self.height, self.width, self.num_bands = photo.shape
        self.space: ColorSpace = Srgb()

    def reduced(self, height: int, width: int) -> NDArray[Any]:
        """A reduced copy's samples, (height, width, C)."""
        if (height, width) == self._photo.shape[:2]:
            return self._photo
        small = cv2.resize(self._photo, (width, height), interpolation=cv2.INTER_AREA)
        return small.reshape(height, width, self.num_bands)

    def open_rows(self) -> Callable[[int, int], NDArray[Any]]:
        """A reader of rows."""
        return lambda y0, y1: self._photo[y0:y1]


class KnownMarks:
    """Marks that the caller painted, at any size, laid over a photograph."""

    def __init__(self, marks: NDArray[Any], height: int, width: int) -> None:
        """Take (h, w) marks; unsigned integers count from half their range on.

        Raises:
            ValueError: If the array isn't (h, w).
        """
        if marks.ndim != 2 or 0 in marks.shape:
            raise ValueError(f"expected marks (h, w), got {marks.shape}")
        if marks.dtype in (np.uint8, np.uint16):
            marks = marks > np.iinfo(marks.dtype).max // 2
        self._marks = (marks != 0).astype(np.float32)
        if marks.shape[0] > height or marks.shape[1] > width:
            size = (min(marks.shape[1], width), min(marks.shape[0], height))
            self._marks = cv2.resize(self._marks, size, interpolation=cv2.INTER_AREA)
            self._marks = np.ceil(self._marks - 0.05)  # a thin stroke stays a stroke
        self._enlarger = Enlarger(
            height / self._marks.shape[0], width / self._marks.shape[1], width
        )

    def rows(self, y0: int, y1: int) -> Floats:
        """(y1 - y0, W) in [0, 1]."""
        return self._enlarger.rows(self._marks[..., None], y0, y1)[..., 0]

    def whole(self, height: int, width: int) -> Floats:
        """(height, width) in [0, 1]."""
        shrinks = self._marks.shape[0] > height
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return cv2.resize(self._marks, (width, height), interpolation=how).astype(np.float32)


def choose_device(device: Device) -> torch.device:
    """The device that is meant.

    Raises:
        RestoreError: If it isn't there.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return torch.device(next(name for name, there in present.items() if there))
    if not present[device]:
        raise RestoreError(f"device {device}: not available on this machine; try --device auto")
    return torch.device(device)


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def _chunks(y0: int, y1: int, width: int) -> Iterator[tuple[int, int]]:
    """Runs of rows of about `_CHUNK_PX` pixels: what float temporaries are made for."""
    step = max(1, _CHUNK_PX // width)
    for start in range(y0, y1, step):
        yield start, min(start + step, y1)
