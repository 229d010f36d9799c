"""A whole run: its networks, its losses, its stages, and how often it is measured and saved."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from train.config.critics import CriticConfig, FeaturesConfig
from train.config.losses import LOSS_NAMES, LossShape, LossWeights
from train.config.schema import Config, Count, Fraction, Positive, Weight
from train.config.stages import StageConfig
from train.errors import ConfigError
from train.network.config import GeneratorConfig


class TrainConfig(Config, frozen=True, kw_only=True):
    """Everything that decides a run, but the pairs and the time limit.

    Attributes:
        name: Name of the preset.
        seed: Of the weights, the order of the photographs and the augmentation.
        generator: Size of the generator.
        pretrained: Whether its encoders of classifiers start from ImageNet weights.
        critic: Size of the critic.
        features: The classifier that photographs are compared by.
        weights: Weights of the loss terms.
        shape: Shape of the loss terms.
        stages: One after the other.
        ema_decay: Of the weight average that is exported, per step.
        clip_norm: Gradients longer than this are shortened.
        weight_decay: Decoupled, on convolution weights only.
        warmup_frac: Part of a stage in which the learning rate rises.
        precision: Of the forward pass; the weights are float32 always. "auto" is "bf16" where the
            device has instructions for it, else "fp32".
        num_workers: Processes that read pairs; 0 reads in the trainer itself.
        log_steps: Steps between two lines of the log.
        report_steps: Steps between two looks at the held-out photographs.
        report_s: Seconds between them, where the run has a time limit.
        save_s: Seconds between two saved states.
        heldout_num: Held-out photographs to measure on.
        heldout_size_px: Their size.
    """

    name: str
    seed: int = 0
    generator: GeneratorConfig = GeneratorConfig()
    pretrained: bool = False
    critic: CriticConfig = CriticConfig()
    features: FeaturesConfig = FeaturesConfig()
    weights: LossWeights = LossWeights()
    shape: LossShape = LossShape()
    stages: Annotated[tuple[StageConfig, ...], msgspec.Meta(min_length=1)]
    ema_decay: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.999
    clip_norm: Positive = 1.0
    weight_decay: Weight = 0.01
    warmup_frac: Fraction = 0.1
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    num_workers: Annotated[int, msgspec.Meta(ge=0)] = 1
    log_steps: Count = 10
    report_steps: Count = 100
    report_s: Positive = 300.0
    save_s: Positive = 120.0
    heldout_num: Count = 32
    heldout_size_px: Annotated[int, msgspec.Meta(ge=32, multiple_of=32)] = 128

    def __post_init__(self) -> None:
        """Refuse what the network has no place for."""
        if self.pretrained and not self.has_classifier:
            raise ValueError("pretrained: only with global_px, color_encoder or marks_encoder")
        if not self.generator.global_px and any(stage.is_global for stage in self.stages):
            raise ValueError("a global stage needs a generator with global_px")
        if not self.generator.color_encoder and any(stage.is_color for stage in self.stages):
            raise ValueError("a colour stage needs a generator with color_encoder")
        needs_close_look = any(s.kind in ("marks", "detail-adversarial") for s in self.stages)
        if needs_close_look and not self.generator.has_close_look:
            raise ValueError("a marks or detail-adversarial stage needs marks_widths")
        for name in ("undamaged_prob", "marked_prob"):
            if any(getattr(s, name) and self.has_consistency(s) for s in self.stages):
                raise ValueError(f"{name}: not with consistency, which knows the damage only")
        alignment = self.generator.alignment
        sides = (self.heldout_size_px, *(stage.size_px for stage in self.stages))
        if any(side % alignment for side in sides):
            raise ValueError(
                f"sizes of photographs must be multiples of {alignment} px, the cells of the "
                "coarsest of so many widths"
            )

    @property
    def has_classifier(self) -> bool:
        """Whether the generator has an encoder that may start from ImageNet weights."""
        size = self.generator
        return bool(size.global_px or size.color_encoder or size.marks_encoder)

    def weigh_terms(self, stage: StageConfig) -> LossWeights:
        """The weights of the loss terms in a stage."""
        return msgspec.structs.replace(self.weights, **stage.weights)

    def find_look_px(self, stage: StageConfig) -> int:
        """Side of the looks at whole photographs that a stage needs; 0: none.

        Where a close look is trained, `restore` has settled the tone from the whole. What was
        trained before there was one goes on as it began.
        """
        is_apart = stage.is_global or stage.is_color
        return 0 if is_apart or not self.generator.has_close_look else self.generator.global_px

    def has_consistency(self, stage: StageConfig) -> bool:
        """Whether the steps of a stage pay for the damage consistency."""
        is_apart = stage.is_global or stage.is_color or stage.is_marks
        has_term = stage.trains_generator and not is_apart
        return has_term and self.weigh_terms(stage).consistency > 0

    def needs_features(self, stage: StageConfig) -> bool:
        """Whether a stage compares photographs by the frozen classifier."""
        weights = self.weigh_terms(stage)
        if stage.is_color:
            return stage.has_projected_critic or weights.perceptual > 0
        if stage.is_global or stage.is_marks or not stage.trains_generator:
            return False
        return self.generator.has_close_look and (
            stage.has_projected_critic or weights.perceptual_detail > 0
        )

    def without(self, *names: str) -> TrainConfig:
        """The same configuration with some loss terms switched off.

        Raises:
            ConfigError: If there is no such term.
        """
        for name in names:
            if name not in LOSS_NAMES:
                raise ConfigError(f"no loss term {name!r}; there are {', '.join(LOSS_NAMES)}")
        weights = msgspec.structs.replace(self.weights, **dict.fromkeys(names, 0.0))
        stages = tuple(
            msgspec.structs.replace(
                stage, weights={k: v for k, v in stage.weights.items() if k not in names}
            )
            for stage in self.stages
        )
        return msgspec.structs.replace(self, weights=weights, stages=stages)
