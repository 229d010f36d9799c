"""Where a run stands: everything that the next step depends on, kept in one file.

The file is written aside and renamed, so a killed run loses what came after the last save and
nothing else. It is read with torch's restricted unpickler; it is for one's own runs, what users
load is the exported safetensors.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from degrade.errors import StoreError
from degrade.store.whole import write_whole
from train.errors import RunError, shorten

STATE_NAME = "state.pt"
FORMAT_VERSION = 1


@dataclass
class Position:
    """How far a run has come.

    Attributes:
        stage: Number of the stage under way; as many as there are stages when all is done.
        step: Steps done in this stage.
        total_steps: Steps done in the run.
        num_updates: Of the weight average.
        looked_steps: `total_steps` at the last look at the held-out photographs.
        stage_s: Seconds spent in this stage.
        run_s: Seconds spent before this stage.
        stage_budget_s: Seconds that this stage may take; 0 without a time limit.
    """

    stage: int = 0
    step: int = 0
    total_steps: int = 0
    num_updates: int = 0
    looked_steps: int = -1
    stage_s: float = 0.0
    run_s: float = 0.0
    stage_budget_s: float = 0.0

    def begin_stage(self, stage: int) -> None:
        """Stand at the start of a stage."""
        self.run_s += self.stage_s
        self.stage, self.step, self.stage_s, self.stage_budget_s = stage, 0, 0.0, 0.0


@dataclass
class RunState:
    """The content of a state file.

    Attributes:
        config: The resolved configuration as JSON.
        pairs: Where the builds are.
        pairs_digest: Of their manifests.
        minutes: The time limit, 0 for none.
        position: How far the run has come.
        tensors: State of the networks and optimisers, by name.
        rng: State of torch's generators.
        looks: Measurements of the adversarial stage so far.
        broken: Indices of the broken samples met so far.
    """

    config: str
    pairs: list[str]
    pairs_digest: str
    minutes: float
    position: Position
    tensors: dict[str, Any]
    rng: dict[str, Any]
    looks: list[dict[str, float]] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)


def save_state(folder: Path, state: RunState) -> None:
    """Write a run's state; the old one stays until the new one is whole.

    Raises:
        RunError: If it can't be written.
    """
    path = folder / STATE_NAME
    document = {**asdict(state), "format_version": FORMAT_VERSION, "tensors": state.tensors}
    content = io.BytesIO()
    torch.save(document, content)
    try:
        write_whole(path, [content.getbuffer()])
    except StoreError as error:
        raise RunError(str(error)) from error


def load_state(folder: Path) -> RunState:
    """Read a run's state.

    Raises:
        RunError: If there is none, or it can't be read.
    """
    path = folder / STATE_NAME
    if not path.is_file():
        raise RunError(f"{folder}: no {STATE_NAME} in it, so there is no run to resume")
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
        version = document.pop("format_version")
        if version != FORMAT_VERSION:
            raise RunError(f"{path}: format version {version}; this version reads {FORMAT_VERSION}")
        if isinstance(document["pairs"], str):  # as it was before there could be several
            document["pairs"] = [document["pairs"]]
        return RunState(**{**document, "position": Position(**document["position"])})
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise RunError(f"{path}: not a whole state of a run ({shorten(error)})") from error


def get_rng_state() -> dict[str, Any]:
    """State of torch's generators."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Put torch's generators where `get_rng_state` found them."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])
