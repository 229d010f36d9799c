"""The log of a run: one CSV line every few steps, TensorBoard, and progress on a terminal."""

from __future__ import annotations

import csv
import io
import time
import warnings
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from degrade.store.whole import write_whole
from train import parallel
from train.config.losses import LOSS_NAMES
from train.data.batches import Batch
from train.fastai_names import Callback
from train.measure.color import COLOR_COLUMNS
from train.run.callbacks import Guard
from train.run.folder import HELDOUT_NAME, LOG_NAME
from train.run.order import Order
from train.run.pace import Pace
from train.run.rates import read_rate
from train.run.state import Position

LOG_COLUMNS = (
    "stage",
    "step",
    "total_steps",
    "run_s",
    "lr",
    "grad_norm",
    *LOSS_NAMES,
    "critic",
    "images_per_s",
    "waiting_frac",
)
HELDOUT_COLUMNS = (
    "stage",
    "step",
    "total_steps",
    "run_s",
    "luma_psnr_db",
    "delta_e",
    "swd",
    "colorfulness_frac",
    "marks_f1",
    "called_frac",
    *COLOR_COLUMNS,
)

# Columns of logs that earlier versions began, and their names now.
_RENAMED = {"colourfulness_frac": "colorfulness_frac"}


class CsvTable:
    """A CSV file that grows line by line; lines after `keep_steps` are dropped at opening."""

    def __init__(self, path: Path, columns: tuple[str, ...], keep_steps: int) -> None:
        self.path = path
        self.columns = columns
        kept: list[dict[str, str]] = []
        if keep_steps > 0 and path.exists():
            with path.open(newline="") as file:
                for row in csv.DictReader(file):
                    total_steps = row["total_steps"] or ""  # of a line that was cut off
                    if total_steps.isdecimal() and int(total_steps) <= keep_steps:
                        kept.append({_RENAMED.get(name, name): v for name, v in row.items()})
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(kept)
        write_whole(path, [text.getvalue().encode()])

    def append(self, row: dict[str, Any]) -> None:
        """Add a line; floats are written so that they read back exactly."""
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns, restval="").writerow(row)


class RunLog:
    """Tables and TensorBoard of a run."""

    def __init__(self, folder: Path, position: Position) -> None:
        keep_steps = position.total_steps
        self.steps = CsvTable(folder / LOG_NAME, LOG_COLUMNS, keep_steps)
        self.heldout = CsvTable(folder / HELDOUT_NAME, HELDOUT_COLUMNS, position.looked_steps)
        with warnings.catch_warnings():
            # tensorboard's own imports; nothing that we could mend.
            warnings.simplefilter("ignore", DeprecationWarning)
            from torch.utils.tensorboard import SummaryWriter
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=keep_steps or None)

    def add(self, table: CsvTable, row: dict[str, Any]) -> None:
        """Write a line to a table and its numbers to TensorBoard."""
        table.append(row)
        group = "heldout" if table is self.heldout else "train"
        for name, value in row.items():
            if isinstance(value, float) and name != "run_s":
                self.board.add_scalar(f"{group}/{name}", value, row["total_steps"])

    def close(self) -> None:
        """Flush TensorBoard's file."""
        self.board.close()


class StepLog(Callback):  # type: ignore[misc]  # fastai ships no types
    """Logs the means over a window of steps and over all processes; the main one writes."""

    order = Order.STEP_LOG
    run_valid = False

    def __init__(
        self,
        log: RunLog | None,
        pace: Pace,
        guard: Guard,
        *,
        stage_name: str,
        log_steps: int,
        broken: set[int],
    ) -> None:
        """Begin with an empty window.

        Args:
            log: Where to write; None writes nothing.
            pace: Of the stage.
            guard: Knows the length of the gradient.
            stage_name: Stands at the beginning of each line.
            log_steps: Length of the window.
            broken: Indices of the broken samples that are met are added to it.
        """
        self.log = log
        self.pace = pace
        self.guard = guard
        self.stage_name = stage_name
        self.log_steps = log_steps
        self.broken = broken
        self._ready_s = time.monotonic()
        self._is_first = True
        self._clear()

    def before_train(self) -> None:
        """Starting the workers is waiting too, but it isn't counted as such."""
        self._ready_s = time.monotonic()
        self._window_start_s = self._ready_s
        self._is_first = True

    def before_batch(self) -> None:
        """Count the seconds that the trainer waited for pairs."""
        if not self._is_first:
            self._waiting_s += time.monotonic() - self._ready_s
        self._is_first = False

    def after_batch(self) -> None:
        """Gather; write a line when the window is full."""
        values = {**self.loss_func.terms, "grad_norm": self.guard.grad_norm}
        for name, value in values.items():  # summed where they are: a GPU isn't waited for
            total = self._sums.get(name)
            self._sums[name] = value.detach() if total is None else total + value.detach()
        self._num += 1
        batch: Batch = self.batch
        self._num_images += len(batch.damaged)
        self.broken.update(int(b) for b in batch.broken.tolist() if b >= 0)
        position = self.pace.position
        if position.step % self.log_steps == 0:
            seconds = max(time.monotonic() - self._window_start_s, 1e-9)
            means = {name: float(total) / self._num for name, total in self._sums.items()}
            shares = parallel.gather((means, sorted(self.broken)))
            self.broken.update(*(broken for _, broken in shares))
            row: dict[str, Any] = {n: sum(s[n] for s, _ in shares) / len(shares) for n in means}
            row |= {
                "stage": self.stage_name,
                "step": position.step,
                "total_steps": position.total_steps,
                "run_s": round(position.run_s + position.stage_s, 1),
                "lr": read_rate(self.opt),
                "images_per_s": round(parallel.count() * self._num_images / seconds, 2),
                "waiting_frac": round(self._waiting_s / seconds, 4),
            }
            if self.log is not None:
                self.log.add(self.log.steps, row)
            self._clear()
        self._ready_s = time.monotonic()

    def _clear(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._num = self._num_images = 0
        self._waiting_s = 0.0
        self._window_start_s = time.monotonic()


class Progress(Callback):  # type: ignore[misc]  # fastai ships no types
    """Shows how much of a stage is over, where stderr is a terminal; closed at the stage's end."""

    order = Order.PROGRESS
    run_valid = False

    def __init__(self, pace: Pace, stage_name: str) -> None:
        self.pace = pace
        self.stage_name = stage_name
        self._bar: tqdm[Any] | None = None

    def before_fit(self) -> None:
        """Show it from the first pass on."""
        if self._bar is None:
            hidden = None if parallel.is_main() else True  # None: where stderr is no terminal
            self._bar = tqdm(total=100, desc=self.stage_name, unit="%", disable=hidden)

    def after_batch(self) -> None:
        """Move it."""
        if self._bar is not None:
            self._bar.update(round(100 * self.pace.done_frac) - self._bar.n)

    def close(self) -> None:
        """End the line."""
        if self._bar is not None:
            self._bar.close()
