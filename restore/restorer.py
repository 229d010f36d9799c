"""Restore photographs: load the weights once, then call `Restorer.restore`.

Arrays that fit into memory go through `Restorer.restore`; `Restorer.restore_rows` does the same
with photographs of any size, reading and giving back some rows at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restore.errors import CheckpointError, RestoreError
from restore.network.checkpoint import CheckpointInfo, default_model_path, load_generator
from restore.network.generator import Generator
from restore.network.global_branch import Place, adjust_by_grid
from restore.passes.fusion import Floats
from restore.passes.run import Adjuster, PhotoRun, RestoredRows, RowSource
from restore.scan.profiles import ColorSpace, Srgb
from restore.settings import RestoreSettings

# bfloat16 is used where it changes the probe by no more than this.
_BF16_TOLERANCE = 1 / 255

Device = Literal["auto", "cpu", "cuda", "mps"]
_DEFAULTS = RestoreSettings()
# A probability of marks up to this counts as none, as in the generator's own gate.
_DOUBT = 0.05


class Restoration(NamedTuple):
    """A restored photograph.

    Attributes:
        restored: (H, W, 3) RGB, or (H, W) if the photograph was grey and stays it; of its dtype.
        marks: (H, W) uint8, 255 where physical damage was found or given.
    """

    restored: NDArray[Any]
    marks: NDArray[np.uint8]


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
        settings: RestoreSettings = _DEFAULTS,
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
        settings: RestoreSettings = _DEFAULTS,
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
        yield from PhotoRun(
            self.run_network,
            source,
            settings,
            target,
            marks_in,
            on_notice,
            on_progress,
            alignment=self.alignment,
            tile_px=self.tile_px,
            global_branch=self.look_at,
        ).rows()

    @torch.inference_mode()
    def look_at(self, reduced: Floats) -> Adjuster | None:
        """Have the global branch, if the network has one, settle a photograph's tone and colour.

        Args:
            reduced: (h, w, 3) in [0, 1], a reduced copy of the whole photograph.

        Returns:
            What applies it to windows of the photograph.
        """
        grid = self._generator.find_grid(self._to_tensor(reduced))
        return None if grid is None else partial(self._adjust, grid)

    @torch.inference_mode()
    def _adjust(
        self,
        grid: Tensor,
        window: Floats,
        rows: NDArray[np.intp],
        columns: NDArray[np.intp],
        *,
        height: int,
        width: int,
    ) -> Floats:
        y, x = (torch.from_numpy(index).to(self.device) for index in (rows, columns))
        place = Place(y, x, height, width)
        return _to_pixels(adjust_by_grid(self._to_tensor(window), grid, place))

    def run_network(
        self, photo: Floats, known_marks: Floats | None = None, original: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """One run of the network, without its global branch.

        Args:
            photo: (h, w, 3) in [0, 1]; sides are multiples of the generator's alignment.
            known_marks: (h, w) in [0, 1].
            original: (h, w, 3) before the global branch adjusted it; None: it did not.

        Returns:
            Restored (h, w, 3), not clipped, and the marks' probability (h, w).
        """
        if self._half is None:
            with self._precision_lock:
                if self._half is None:
                    self._half = self._check_half()
        return self._run(photo, known_marks, original, half=self._half)

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
        self, photo: Floats, known_marks: Floats | None, original: Floats | None, *, half: bool
    ) -> tuple[Floats, Floats]:
        pixels = self._to_tensor(photo)
        before = None if original is None else self._to_tensor(original)
        known = None
        if known_marks is not None:
            known = torch.from_numpy(np.ascontiguousarray(known_marks))[None, None].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            restored, logits = self._generator.restore_locally(pixels, known, before)
        marks = torch.sigmoid(logits.float())[0, 0]
        marks = (marks * (1 + 2 * _DOUBT) - _DOUBT).clamp(0, 1)
        return _to_pixels(restored), marks.cpu().numpy()

    def _to_tensor(self, photo: Floats) -> Tensor:
        """(1, 3, h, w) channels-last, on the device."""
        pixels = torch.from_numpy(np.ascontiguousarray(photo)).permute(2, 0, 1)[None]
        return pixels.to(self.device).contiguous(memory_format=torch.channels_last)

    def _check_half(self) -> bool:
        """Whether bfloat16 is fast here and agrees with float32 on a drawn photograph."""
        if not _has_bfloat16(self.device):
            return False
        side = 4 * self.alignment
        rng = np.random.default_rng(0)
        coarse = rng.random((6, 6, 3), dtype=np.float32)
        drawn = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
        drawn[side // 2 : side // 2 + 2] = 1
        grain = 0.05 * rng.standard_normal(drawn.shape, dtype=np.float32)
        probe = (drawn + grain).clip(0, 1).astype(np.float32)
        full, marks = self._run(probe, None, None, half=False)
        half, marks_half = self._run(probe, None, None, half=True)
        worst = max(np.abs(full - half).max(), np.abs(marks - marks_half).max() / 8)
        return bool(worst <= _BF16_TOLERANCE)


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


def _to_pixels(photo: Tensor) -> Floats:
    return photo[0].float().permute(1, 2, 0).cpu().numpy()


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False
