"""How good the generator is at points of an adversarial stage, and when that stage should end."""

from __future__ import annotations

from dataclasses import asdict, dataclass

# A restoration may lose this much fidelity to the critic for free; beyond, it is paid for.
_FREE_LOSS_DB = 0.25
_FREE_DRIFT_FRAC = 0.02


@dataclass(frozen=True)
class Look:
    """The generator on held-out photographs at one point of an adversarial stage.

    Attributes:
        step: Of the stage; 0 is before it.
        distance: Of the photographs as a set, lower is more natural: sliced Wasserstein, in colour
            stages kernel distance.
        luma_psnr_db: Fidelity; in colour stages, which leave luma alone, 0.
        delta_e: Colour error.
    """

    step: int
    distance: float
    luma_psnr_db: float
    delta_e: float


def score_look(look: Look, start: Look) -> float:
    """One number for how good a look is beside the start, whose score is 1; lower is better.

    The gain in naturalness (relative distance), plus what was paid for it: each
    dB of fidelity beyond a quarter costs as much as 10 % of the distance, and each percent of
    colour drift beyond two costs 1 %.
    """
    lost_db = max(0.0, start.luma_psnr_db - look.luma_psnr_db - _FREE_LOSS_DB)
    drift = max(0.0, look.delta_e / max(start.delta_e, 1e-6) - 1 - _FREE_DRIFT_FRAC)
    return look.distance / max(start.distance, 1e-6) + 0.1 * lost_db + drift


def judge_looks(looks: list[Look], patience: int = 4) -> tuple[Look, bool]:
    """The best look so far, and whether `patience` looks since have brought nothing better."""
    scores = [score_look(look, looks[0]) for look in looks]
    best = min(range(len(looks)), key=scores.__getitem__)
    return looks[best], len(looks) - 1 - best >= patience


def describe_verdict(looks: list[Look]) -> dict[str, object]:
    """How an adversarial stage ended, as JSON values."""
    best, _ = judge_looks(looks)
    return {
        "rule": score_look.__doc__,
        "chosen_step": best.step,
        "looks": [asdict(look) | {"score": score_look(look, looks[0])} for look in looks],
    }
