"""One stage of a training: what learns, on which photographs, for how long."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from train.config.losses import LOSS_NAMES
from train.config.schema import Config, Count, Fraction, Positive, Weight


class StageConfig(Config, frozen=True, kw_only=True):
    """One stage of the training.

    Attributes:
        kind: Whether the generator's global branch learns alone, its colour network (color; against
            the projected critic: color-adversarial), the marks network of its close look, the rest
            of the generator (against the projected critic: detail-adversarial), the critic, or the
            last two by turns.
        size_px: Side of the square photographs.
        batch: Photographs a step, over all processes.
        steps: Length, where the run has no time limit.
        time_frac: Share of a time limit, relative to the other stages' shares.
        lr: Highest learning rate of the generator (of the critic in a critic stage).
        lr_end_frac: What is left of it at the stage's end.
        critic_lr: Highest learning rate of the critic in an adversarial stage; the only one of the
            projected critic.
        critic_alone_steps: So many steps the projected critic learns and doesn't count yet.
        whole_prob: Probability that a photograph is shrunk nearly whole to `size_px`.
        native_prob: Probability of a crop at native resolution; otherwise a scale in between.
        magnified_prob: In a marks stage, probability of a smaller crop, magnified: of an old
            scratch many scans show a soft line, several pixels wide.
        aspect_frac: In a colour stage, photographs are stretched along one side by up to this much;
            their sources may have been squashed.
        recolor_prob: In a colour stage, probability that the thing under a sample's first hint has
            been given another colour: hints say what a family remembers, not what is likely.
        frozen_blocks: In a global or colour stage, so many blocks of the encoder, from the
            photograph on, keep their weights; the first ones take most of the time.
        known_prob: Probability that the generator is told the true marks of a photograph, as by a
            user; else it has those that it finds.
        undamaged_prob: Probability that it is given the clean photograph, which is to stay so.
        marked_prob: Probability that it is given the clean photograph under marks alone.
        grey_prob: Probability that a clean photograph which it is given so has no colours.
        grey_scan_prob: Probability that another is scanned in grey, marks and all, or with a trace
            of one tone over everything: then chroma doesn't tell what is a mark.
        norms_rest: In a marks stage, whether its norms keep the statistics that they have: the
            network learns as it is used, without the noise of small batches.
        weights: Weights of loss terms, by name, where they aren't those of the run.
    """

    kind: Literal[
        "global",
        "color",
        "color-adversarial",
        "marks",
        "generator",
        "detail-adversarial",
        "critic",
        "adversarial",
    ]
    size_px: Annotated[int, msgspec.Meta(ge=32, multiple_of=32)]
    batch: Count
    steps: Count
    time_frac: Positive
    lr: Positive
    lr_end_frac: Fraction = 1e-3
    critic_lr: Positive = 2e-4
    critic_alone_steps: Annotated[int, msgspec.Meta(ge=0)] = 0
    whole_prob: Fraction = 0.5
    native_prob: Fraction = 0.3
    magnified_prob: Fraction = 0.0
    aspect_frac: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.0
    recolor_prob: Fraction = 0.0
    frozen_blocks: Annotated[int, msgspec.Meta(ge=0)] = 0
    known_prob: Fraction = 0.0
    undamaged_prob: Fraction = 0.0
    marked_prob: Fraction = 0.0
    grey_prob: Fraction = 0.0
    grey_scan_prob: Fraction = 0.0
    norms_rest: bool = False
    weights: dict[str, Weight] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse probabilities that exceed one together, and what is for other stages."""
        if self.whole_prob + self.native_prob + self.magnified_prob > 1:
            raise ValueError("whole_prob, native_prob and magnified_prob exceed 1 together")
        if self.magnified_prob and not self.is_marks:
            raise ValueError("magnified_prob: only in marks stages")
        if self.aspect_frac and not self.is_color:
            raise ValueError("aspect_frac: only in colour stages")
        if self.recolor_prob and not self.is_color:
            raise ValueError("recolor_prob: only in colour stages")
        if self.critic_alone_steps and not self.has_projected_critic:
            raise ValueError(
                "critic_alone_steps: only in color-adversarial and detail-adversarial stages"
            )
        if self.known_prob and (self.is_global or self.is_color or self.is_marks):
            raise ValueError("known_prob: only where the generator paints")
        for name in ("undamaged_prob", "marked_prob", "grey_scan_prob"):
            if getattr(self, name) and (self.is_global or self.is_color):
                raise ValueError(f"{name}: only in stages that repair")
        if self.undamaged_prob + self.marked_prob > 1:
            raise ValueError("undamaged_prob and marked_prob exceed 1 together")
        if self.grey_prob and not (self.undamaged_prob or self.marked_prob):
            raise ValueError("grey_prob: only with undamaged_prob or marked_prob")
        if self.norms_rest and not self.is_marks:
            raise ValueError("norms_rest: only in marks stages")
        for name in self.weights:
            if name not in LOSS_NAMES:
                raise ValueError(f"weights: no loss term {name!r}")

    @property
    def is_global(self) -> bool:
        """Whether the generator's global branch learns, and nothing else."""
        return self.kind == "global"

    @property
    def is_color(self) -> bool:
        """Whether the generator's colour network learns, and nothing else."""
        return self.kind in ("color", "color-adversarial")

    @property
    def has_projected_critic(self) -> bool:
        """Whether the projected critic learns beside the generator."""
        return self.kind in ("color-adversarial", "detail-adversarial")

    @property
    def is_marks(self) -> bool:
        """Whether the marks network of the generator's close look learns, and nothing else."""
        return self.kind == "marks"

    @property
    def is_given(self) -> bool:
        """Whether some photographs come undamaged or marked, or with known marks."""
        return bool(self.known_prob or self.undamaged_prob or self.marked_prob)

    @property
    def is_adversarial(self) -> bool:
        """Whether generator and critic learn by turns."""
        return self.kind == "adversarial"

    @property
    def may_end_early(self) -> bool:
        """Whether looks at what a critic has done tell when the stage is over."""
        return self.kind in ("adversarial", "color-adversarial")

    @property
    def trains_generator(self) -> bool:
        """Whether the generator, or a part of it, learns."""
        return self.kind != "critic"

    @property
    def trains_critic(self) -> bool:
        """Whether the critic learns."""
        return self.kind in ("critic", "adversarial")
