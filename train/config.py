"""What a training run does, as typed and frozen records that are read from TOML.

The presets lie in `train/presets/`. The resolved configuration is saved beside every run, and the
exported weights carry it.
"""

from __future__ import annotations

from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from train.errors import ConfigError
from train.network.config import GeneratorConfig

Positive = Annotated[float, msgspec.Meta(gt=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Weight = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]

# Configurations of earlier versions name it; they knew a second one.
_ONLY_ENCODER = "plain"


class _Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every record of a configuration."""


class LossWeights(_Config, frozen=True, kw_only=True):
    """Weight of each term of the generator's loss; 0 leaves the term out.

    The five from `color` on are those of the colour network, which has no others. The last two are
    for generators with a close look.

    Attributes:
        luma: Charbonnier distance of luma.
        psnr: Logarithm of each photograph's mean squared error of luma.
        chroma: Charbonnier distance of chroma, rebalanced towards saturated colours.
        detail: Charbonnier distance of luma's and chroma's Laplacian pyramids.
        marks: Cross-entropy and Dice of the marks.
        adversarial: Hinge loss against the critic.
        features: Feature matching on the critic.
        consistency: Charbonnier distance of the output, damaged again, from the input.
        color: Distance of chroma, weighted as `LossShape.color_weighting` says.
        perceptual: Distance of a frozen classifier's features.
        stray_edges: Chroma that changes where luma doesn't.
        fringes: Chroma that changes more than the truth.
        hints: Error of chroma under hints.
        projected: Hinge loss against the projected critic.
        false_alarms: Cross-entropy of what is most surely called a mark where there are none.
        perceptual_detail: Distance of a frozen classifier's features of luma's detail.
    """

    luma: Weight = 0.5
    psnr: Weight = 0.0
    chroma: Weight = 1.0
    detail: Weight = 1.0
    marks: Weight = 0.2
    adversarial: Weight = 0.01
    features: Weight = 0.1
    consistency: Weight = 0.3
    color: Weight = 4.0
    perceptual: Weight = 0.15
    stray_edges: Weight = 0.4
    fringes: Weight = 0.0
    hints: Weight = 2.0
    projected: Weight = 0.03
    false_alarms: Weight = 0.0
    perceptual_detail: Weight = 0.0


LOSS_NAMES: tuple[str, ...] = LossWeights.__struct_fields__


class LossShape(_Config, frozen=True, kw_only=True):
    """Shape of the loss terms.

    Attributes:
        saturation_boost: How much more a fully saturated colour weighs than grey in `chroma`.
        marks_boost: How much more a pixel hidden by marks weighs in `luma` and `chroma`.
        color_weighting: Whether colours weigh more in `color` as they are saturated, or as they
            are rare.
        color_boost: How much more a fully saturated colour weighs than grey in `color`.
        thin_boost: How much more a thin opaque mark weighs in the `marks` of a close look.
        missed_share: Weight there of what is missed, against false alarms; 0.5: alike.
    """

    saturation_boost: Weight = 4.0
    marks_boost: Weight = 2.0
    color_weighting: Literal["saturation", "rarity"] = "saturation"
    color_boost: Weight = 6.0
    thin_boost: Weight = 0.0
    missed_share: Fraction = 0.5


class CriticConfig(_Config, frozen=True, kw_only=True):
    """Size of the critic.

    Attributes:
        widths: Channels per convolution of stride 2.
        num_scales: How many halvings of the photograph are judged besides the photograph.
    """

    widths: tuple[Count, ...] = (32, 64, 128, 128)
    num_scales: Count = 2


class FeaturesConfig(_Config, frozen=True, kw_only=True):
    """The frozen classifier that photographs are compared by, and the projected critic on it.

    Attributes:
        version: Of the classifier; the package that carries its weights must be installed.
        vary: Whether the critic sees photographs mirrored, shifted and with a part cut out.
    """

    version: Literal["lite0", "lite2"] = "lite0"
    vary: bool = False


class StageConfig(_Config, frozen=True, kw_only=True):
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
        aspect_frac: In a colour stage, photographs are stretched along one side by up to this much;
            their sources may have been squashed.
        recolor_prob: In a colour stage, probability that the thing under a sample's first hint has
            been given another colour: hints say what a family remembers, not what is likely.
        frozen_blocks: In a global or colour stage, so many blocks of the encoder, from the
            photograph on, keep their weights; the first ones take most of the time.
        known_prob: Probability that the generator is told the true marks of a photograph, as by a
            user; else it has those that it finds.
        undamaged_prob: Probability that it is given the clean photograph, which is to stay so.
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
    aspect_frac: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.0
    recolor_prob: Fraction = 0.0
    frozen_blocks: Annotated[int, msgspec.Meta(ge=0)] = 0
    known_prob: Fraction = 0.0
    undamaged_prob: Fraction = 0.0
    weights: dict[str, Weight] = {}

    def __post_init__(self) -> None:
        """Refuse probabilities that exceed one together, and what is for other stages."""
        if self.whole_prob + self.native_prob > 1:
            raise ValueError("whole_prob and native_prob exceed 1 together")
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
        if self.undamaged_prob and (self.is_global or self.is_color):
            raise ValueError("undamaged_prob: only in stages that repair")
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
        """Whether some photographs come undamaged, or with known marks."""
        return bool(self.known_prob or self.undamaged_prob)

    @property
    def is_adversarial(self) -> bool:
        """Whether generator and critic learn by turns."""
        return self.kind == "adversarial"

    @property
    def trains_generator(self) -> bool:
        """Whether the generator, or a part of it, learns."""
        return self.kind != "critic"

    @property
    def trains_critic(self) -> bool:
        """Whether the critic learns."""
        return self.kind in ("critic", "adversarial")


class TrainConfig(_Config, frozen=True, kw_only=True):
    """Everything that decides a run, but the pairs and the time limit.

    Attributes:
        name: Name of the preset.
        seed: Of the weights, the order of the photographs and the augmentation.
        generator: Size of the generator.
        pretrained: Whether the encoders of its global branch and of its colour network start from
            ImageNet weights.
        critic: Size of the critic.
        features: The classifier that photographs are compared by.
        weights: Weights of the loss terms.
        shape: Shape of the loss terms.
        stages: One after the other.
        ema_decay: Of the weight average that is exported, per step.
        clip_norm: Gradients longer than this are shortened.
        weight_decay: Decoupled, on convolution weights only.
        warmup_frac: Part of a stage in which the learning rate rises.
        precision: Of the forward pass; the weights are float32 always.
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
    precision: Literal["bf16", "fp32"] = "bf16"
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
            raise ValueError("pretrained: only with global_px or color_encoder")
        if not self.generator.global_px and any(stage.is_global for stage in self.stages):
            raise ValueError("a global stage needs a generator with global_px")
        if not self.generator.color_encoder and any(stage.is_color for stage in self.stages):
            raise ValueError("a colour stage needs a generator with color_encoder")
        needs_close_look = any(s.kind in ("marks", "detail-adversarial") for s in self.stages)
        if needs_close_look and not self.generator.has_close_look:
            raise ValueError("a marks or detail-adversarial stage needs marks_widths")
        if any(stage.undamaged_prob and self.has_consistency(stage) for stage in self.stages):
            raise ValueError("undamaged_prob: not with consistency, which knows the damage only")

    @property
    def has_classifier(self) -> bool:
        """Whether the generator has an encoder that may start from ImageNet weights."""
        return bool(self.generator.global_px or self.generator.color_encoder)

    def weigh_terms(self, stage: StageConfig) -> LossWeights:
        """The weights of the loss terms in a stage."""
        return msgspec.structs.replace(self.weights, **stage.weights)

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


def list_presets() -> list[str]:
    """Names of the presets that come with the package."""
    folder = files("train") / "presets"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith("toml"))


def load_preset(name_or_path: str) -> TrainConfig:
    """Read a preset by name, or a configuration file by path.

    Raises:
        ConfigError: If there is no such preset or file, or it holds a wrong field or value.
    """
    if name_or_path in list_presets():
        return _decode_preset(
            (files("train") / "presets" / f"{name_or_path}.toml").read_bytes(), name_or_path
        )
    if not name_or_path.endswith(".toml"):
        names = ", ".join(list_presets())
        raise ConfigError(f"no preset {name_or_path!r}; there are {names}, or give a .toml file")
    try:
        content = Path(name_or_path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{name_or_path}: {error.strerror}") from error
    return _decode_preset(content, name_or_path)


def encode_config(config: TrainConfig) -> bytes:
    """Canonical JSON: equal configurations give equal bytes."""
    return msgspec.json.encode(config, order="sorted")


def decode_config(content: bytes, name: str) -> TrainConfig:
    """Read what `encode_config` wrote.

    Raises:
        ConfigError: If it isn't a configuration; the message starts with `name`.
    """
    try:
        return _convert(msgspec.json.decode(content), name)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{name}: {error}") from error


def _decode_preset(content: bytes, name: str) -> TrainConfig:
    try:
        return _convert(msgspec.toml.decode(content), name)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{name}: {error}") from error


def _convert(plain: Any, name: str) -> TrainConfig:
    """A configuration of plain values.

    Raises:
        ConfigError: If its generator has fields that there aren't, or are no more. msgspec would
            pass over those of a dataclass in silence.
        msgspec.ValidationError: If anything else is wrong.
    """
    generator = plain.get("generator") if isinstance(plain, dict) else None
    if isinstance(generator, dict):
        generator = dict(generator)
        encoder = generator.pop("encoder", _ONLY_ENCODER)
        if encoder != _ONLY_ENCODER:
            raise ConfigError(
                f"{name}: its generator has the encoder {encoder!r}, which this version doesn't "
                "build any more; leave the field out and train anew"
            )
        unknown = sorted(generator.keys() - {field.name for field in fields(GeneratorConfig)})
        if unknown:
            raise ConfigError(f"{name}: [generator] has no field {', '.join(unknown)}")
        plain = {**plain, "generator": generator}
    return msgspec.convert(plain, TrainConfig)


def describe_config(config: TrainConfig) -> dict[str, Any]:
    """The configuration as plain JSON values."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    return plain
