"""One network on ONNX Runtime: it looks at a reduced copy, and repairs windows of the whole."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.engine.model_file import COLOR, REPAIR, TONE, ModelFile, default_model_path, read_model
from restore.engine.specks import calm_specks
from restore.engine.toning import make_neutral, replace_colors
from restore.errors import ModelError, RestoreError
from restore.ycc import measure_own_color

try:
    import onnxruntime
except ImportError as error:
    raise RestoreError(
        f"ONNX Runtime can't be loaded ({str(error).splitlines()[0]}); on Windows it needs the "
        "Microsoft Visual C++ Redistributable, https://aka.ms/vs/17/release/vc_redist.x64.exe"
    ) from error

Floats = NDArray[np.float32]

Device = Literal["auto", "cpu", "cuda", "coreml", "directml", "mps"]
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda", "coreml", "directml", "mps")

# Sides of what tone.onnx and color.onnx take are multiples of this, and no larger than the limit.
_LOOK_ALIGNMENT, LOOK_MAX_PX = 32, 1024
# A cell of the reduced copy that hints cover to this share has their colour.
_HINT_COVER = 0.2
# ONNX Runtime's names; "auto" takes the first that is installed. Apple's mps is reached by Core ML.
_PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
_OUT_OF_MEMORY = ("failed to allocate", "bad allocation", "bad_alloc", "out of memory")


class Network:
    """The graphs of a file of weights, ready to run; may be shared between threads.

    Attributes:
        metadata: What the file says of itself.
        device: Where it runs, one of DEVICES without "auto".
    """

    def __init__(
        self, model: ModelFile, device: Device = "auto", *, num_threads: int | None = None
    ) -> None:
        """Load the graphs.

        Args:
            model: From `read_model`.
            device: "auto" takes what is installed: CUDA, DirectML, Core ML, the processor.
            num_threads: None takes as many as there are cores that this process may use.

        Raises:
            ModelError: If ONNX Runtime can't load a graph.
            RestoreError: If the device isn't there.
        """
        self.metadata = model.metadata
        self.device = choose_device(device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads or count_usable_cores()
        # Windows come in many sizes: a plan of memory for each would be kept for ever.
        options.enable_mem_pattern = False
        options.log_severity_level = 4
        providers = list(dict.fromkeys([_PROVIDERS[self.device], _PROVIDERS["cpu"]]))
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        for name, graph in model.graphs.items():
            try:
                session = onnxruntime.InferenceSession(graph, options, providers=providers)
            except Exception as error:  # its errors have no common base of their own
                raise ModelError(f"{name}.onnx can't be loaded ({_line(error)})") from error
            self._sessions[name] = session
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        path: Path | str | None = None,
        device: Device = "auto",
        *,
        num_threads: int | None = None,
    ) -> Self:
        """Load a file of weights; None takes those that come with the package.

        Raises:
            ModelError: If the file is missing, damaged or not one of ours.
            RestoreError: If the device isn't there.
        """
        file = default_model_path() if path is None else Path(path)
        if path is None and not file.is_file():
            raise ModelError(
                f"{file}: the default weights are missing; install the package again, or give "
                "weights of your own with --model"
            )
        return cls(read_model(file), device, num_threads=num_threads)

    @property
    def alignment(self) -> int:
        """Sides of windows are multiples of it, and windows start at one."""
        return self.metadata.alignment

    @property
    def takes_hints(self) -> bool:
        """Whether the weights can lay colours, and so take hints of them."""
        return COLOR in self._sessions

    @property
    def has_close_look(self) -> bool:
        """Whether `repair` has a close look: finds wide marks, too, and doubts as it is told."""
        return bool(self.metadata.config.get("marks_widths"))

    @property
    def repairs_neutral(self) -> bool:
        """Whether photographs without colours are repaired without toning, and coloured after."""
        return self.has_close_look and self.takes_hints

    def look(self, reduced: Floats) -> Floats:
        """Settle a photograph's tone and colour from a reduced copy of the whole.

        A photograph whose colours are nothing but toning gets those of its neutral copy, or none
        where it `repairs_neutral`.

        Args:
            reduced: (h, w, 3) sRGB in [0, 1].

        Returns:
            (12, h', w') grid of colour matrices, for `repair`; zeros change nothing.
        """
        if TONE not in self._sessions:
            return np.zeros((12, 1, 1), np.float32)
        small = _reduce(reduced, self.metadata.look_px)
        grid = self._look_once(small)
        toning = 1 - 2 * measure_own_color(small)  # none from the first doubt on
        if toning <= 0:
            return grid
        none = self.repairs_neutral
        colors = np.zeros_like(grid) if none else self._look_once(make_neutral(small))
        return replace_colors(grid, colors, toning)

    @property
    def color_px(self) -> int:
        """Short side of the copy in which colours are looked for; others are brought to it."""
        return self.metadata.color_px

    def lay_color(
        self,
        luma: Floats,
        hints: Floats | None = None,
        size: tuple[int, int] | None = None,
        *,
        side_px: int | None = None,
    ) -> Floats:
        """Give colours to a photograph.

        Args:
            luma: (h, w) of a reduced copy, in [0, 1].
            hints: (h, w, 3): Cb and Cr in [-0.5, 0.5], and 1 where there is a hint, else all 0.
            size: Rows and columns of what is returned; None: those of `luma`.
            side_px: Short side of the copy that the network sees; None: `color_px`.

        Returns:
            (h', w', 2) Cb and Cr.
        """
        short, long = sorted(luma.shape)
        small = _reduce(luma[..., None], min(side_px or self.color_px, LOOK_MAX_PX * short / long))
        if hints is None:
            given = np.zeros((*small.shape[:2], 3), np.float32)
        else:
            given = _fit_hints(hints, *small.shape[:2])
        chroma = self._run(COLOR, {"luma": _to_tensor(small), "hints": _to_tensor(given)})[0][0]
        planes = calm_specks(chroma.transpose(1, 2, 0), given[..., 2])
        height, width = luma.shape if size is None else size
        method = cv2.INTER_AREA if height < len(planes) else cv2.INTER_LINEAR
        return cv2.resize(planes, (width, height), interpolation=method).astype(np.float32)

    def repair(
        self,
        window: Floats,
        grid: Floats,
        place: tuple[Floats, Floats],
        known_marks: Floats | None = None,
    ) -> tuple[Floats, Floats]:
        """Restore a window of a photograph, and find its marks.

        Args:
            window: (h, w, 3) sRGB in [0, 1]; sides are multiples of `alignment`.
            grid: (12, h', w') of the whole photograph, from `look`.
            place: (h, h') and (w, w') weights of the grid's cells in the window's rows and columns,
                from `weigh_cells`.
            known_marks: (h, w) in [-1, 1]; below 0: doubt. None: nothing is known.

        Returns:
            Restored (h, w, 3), not clipped, and how far each pixel was taken for a mark and filled
            (h, w) in [0, 1].

        Raises:
            MemoryError: If the window doesn't fit into memory.
        """
        down, across = place
        if known_marks is None:
            known_marks = np.zeros(window.shape[:2], np.float32)
        feed = {
            "photo": _to_tensor(window),
            "grid": grid[None],
            "down": down,
            "across": across,
            "known": np.ascontiguousarray(known_marks, np.float32)[None, None],
        }
        restored, marks = self._run(REPAIR, feed)
        return restored[0].transpose(1, 2, 0), marks[0, 0]

    def _look_once(self, reduced: Floats) -> Floats:
        grid: Floats = self._run(TONE, {"photo": _to_tensor(reduced)})[0][0]
        return grid

    def _run(self, name: str, feed: dict[str, Floats]) -> list[Any]:
        try:
            outputs: list[Any] = self._sessions[name].run(None, feed, _run_options(name))
        except Exception as error:
            if any(sign in str(error).lower() for sign in _OUT_OF_MEMORY):
                raise MemoryError(_line(error)) from error
            raise
        return outputs


def _run_options(name: str) -> onnxruntime.RunOptions:
    """Graphs that run once a photograph give their memory back; windows take it again and again."""
    options = onnxruntime.RunOptions()
    if name != REPAIR:
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def weigh_cells(index: NDArray[np.intp], size: int, num_cells: int) -> Floats:
    """How much each cell of a grid weighs in given pixels: linear between the cells' centres.

    Args:
        index: (n,) rows or columns of the photograph.
        size: Of the whole photograph, px.
        num_cells: Of the grid along this side.

    Returns:
        (n, num_cells).
    """
    position = ((index + 0.5) * (num_cells / size) - 0.5).clip(0, num_cells - 1)
    distance = np.abs(position[:, None] - np.arange(num_cells))
    return (1 - distance).clip(min=0).astype(np.float32)


def choose_device(device: Device) -> Device:
    """The device that is meant.

    Raises:
        RestoreError: If ONNX Runtime isn't installed for it.
    """
    installed = onnxruntime.get_available_providers()
    if device == "auto":
        # Core ML takes long to prepare graphs of free size: only where it is asked for.
        present: tuple[Device, ...] = ("cuda", "directml", "cpu")
        return next(name for name in present if _PROVIDERS[name] in installed)
    device = "coreml" if device == "mps" else device
    if _PROVIDERS[device] not in installed:
        raise RestoreError(
            f"device {device}: the installed onnxruntime doesn't have it; try --device auto, or "
            "see docs/restore.md for the build that does"
        )
    return device


def count_usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _reduce(photo: Floats, side_px: float) -> Floats:
    """A copy (h, w, C) whose short side is about side_px and whose sides a graph takes."""
    scale = side_px / min(photo.shape[:2])
    step = _LOOK_ALIGNMENT
    height, width = (
        min(max(step, round(side * scale / step) * step), LOOK_MAX_PX) for side in photo.shape[:2]
    )
    down, across = _average(photo.shape[0], height), _average(photo.shape[1], width)
    rows = np.tensordot(down, photo, axes=(1, 0))  # (height, w, 3)
    return np.einsum("xw,hwc->hxc", across, rows, optimize=True).astype(np.float32)


def _fit_hints(hints: Floats, height: int, width: int) -> Floats:
    """Hints (h, w, 3) on another grid: each cell takes the mean colour of those in it."""
    down, across = _average(hints.shape[0], height), _average(hints.shape[1], width)
    fitted = np.einsum("xw,hwc->hxc", across, np.tensordot(down, hints, axes=(1, 0)), optimize=True)
    given = (fitted[..., 2:] > _HINT_COVER).astype(np.float32)
    chroma = fitted[..., :2] / np.maximum(fitted[..., 2:], np.float32(1e-6))
    return np.concatenate([chroma * given, given], axis=-1).astype(np.float32)


def _average(size: int, new_size: int) -> Floats:
    """(new_size, size) weights of a triangle filter that is as wide as what it must cover."""
    scale = size / new_size
    reach = max(scale, 1.0)
    centre = (np.arange(new_size) + 0.5) * scale
    distance = np.abs(np.arange(size) + 0.5 - centre[:, None]) / reach
    weights = (1 - distance).clip(min=0)
    normed: Floats = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normed


def _to_tensor(photo: Floats) -> Floats:
    """(1, 3, h, w)."""
    return np.ascontiguousarray(photo.transpose(2, 0, 1), np.float32)[None]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
