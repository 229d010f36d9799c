"""The size of a generator: apart from the network, so that reading it needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

COLOR_ENCODERS = ("lite0", "lite2")
# What files of earlier versions say nothing of.
_YOUNGER = {
    "global_px": 0,
    "tone_bins": 0,
    "stem_photos": 1,
    "color_encoder": "",
    "color_px": 256,
    "marks_widths": (),
    "marks_blocks": (),
    "marks_encoder": "",
    "shrunk_bands": 0,
    "native_width": 0,
}


@dataclass(frozen=True)
class GeneratorConfig:
    """Size of a generator; the file of weights carries it.

    Attributes:
        widths: Channels per scale, from native resolution down (with a close look, from half
            resolution down); each scale halves the sides.
        encoder_blocks: Residual blocks per scale on the way down.
        decoder_blocks: Residual blocks per scale on the way up (the deepest scale has none).
        marks_width: Channels of the decoder that finds the marks, where there is no close look.
        tone_scale: Scale at which tone and colour are read off; 3 is an eighth of the size (with a
            close look, 2 is).
        global_px: Short side of the reduced copy from which a global branch settles tone and
            colour first; 0: no such branch.
        tone_bins: Bins of the tally of tones that the global branch is told; 0: it isn't.
        stem_photos: Photographs that the stem sees: 1, what the global branch made of it; 2, also
            the original, in which marks are as they came (paper white is white). A close look
            sees both where it looks for marks, whatever this says.
        color_encoder: Classifier (one of COLOR_ENCODERS) of the network that lays colours on
            photographs without any; empty: there is none, and the global branch does.
        color_px: Short side of the reduced copy that it sees.
        marks_widths: Channels per scale, from half resolution down, of a network that finds the
            marks first. Where there is one, a close look (train/network/local/close_look.py) takes
            the place of the U-Net with two decoders; empty: it doesn't.
        marks_blocks: Blocks of two layers per scale on its way down; on its way up there is one.
        marks_encoder: Classifier (one of COLOR_ENCODERS) that tells it what is in the picture;
            empty: none does.
        shrunk_bands: Finest bands of a pyramid that a close look shrinks by the noise in them,
            before it refines what is filled (train/network/local/shrinkage.py); 0: none.
        native_width: Channels of one more scale of its refining network, at native resolution, with
            a block on either way; 0: it begins at half resolution.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128, 256, 256)
    encoder_blocks: tuple[int, ...] = (1, 1, 1, 1, 2, 3)
    decoder_blocks: tuple[int, ...] = (1, 1, 1, 1, 1)
    marks_width: int = 16
    tone_scale: int = 3
    global_px: int = 0
    tone_bins: int = 0
    stem_photos: int = 1
    color_encoder: str = ""
    color_px: int = 256
    marks_widths: tuple[int, ...] = ()
    marks_blocks: tuple[int, ...] = ()
    marks_encoder: str = ""
    shrunk_bands: int = 0
    native_width: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes that describe no network.

        Raises:
            ValueError: If the lists disagree or a number is out of range.
        """
        if not 2 <= len(self.widths) <= 8:
            raise ValueError(f"widths: 2 to 8 scales are possible, got {len(self.widths)}")
        if len(self.encoder_blocks) != len(self.widths):
            raise ValueError("encoder_blocks: one number per entry of widths is needed")
        if len(self.decoder_blocks) != len(self.widths) - 1:
            raise ValueError("decoder_blocks: one number fewer than widths is needed")
        if not 0 <= self.tone_scale < len(self.decoder_blocks):
            raise ValueError("tone_scale: the decoder has no such scale")
        if not all(
            4 <= width <= 1024 for width in (*self.widths, self.marks_width, *self.marks_widths)
        ):
            raise ValueError("widths, marks_width, marks_widths: each must lie in 4..1024")
        if not all(
            0 <= num <= 16
            for num in (*self.encoder_blocks, *self.decoder_blocks, *self.marks_blocks)
        ):
            raise ValueError("encoder_blocks, decoder_blocks, marks_blocks: each must lie in 0..16")
        if self.marks_widths and not 2 <= len(self.marks_widths) <= len(self.widths):
            raise ValueError("marks_widths: 2 scales are possible, and as many as widths has")
        if len(self.marks_blocks) != len(self.marks_widths):
            raise ValueError("marks_blocks: one number per entry of marks_widths is needed")
        if self.marks_encoder not in ("", *COLOR_ENCODERS):
            raise ValueError(f"marks_encoder: must be one of {', '.join(COLOR_ENCODERS)}, or empty")
        if self.marks_encoder and not 3 <= len(self.marks_widths) <= 6:
            raise ValueError("marks_encoder: 3 to 6 marks_widths are possible beside it")
        if not 0 <= self.shrunk_bands <= 4:
            raise ValueError("shrunk_bands: must lie in 0..4")
        if self.shrunk_bands and not (self.marks_widths and len(self.widths) >= 4):
            raise ValueError("shrunk_bands: only with marks_widths, and with 4 widths or more")
        if self.native_width and not (self.marks_widths and 4 <= self.native_width <= 1024):
            raise ValueError("native_width: must be 0, or lie in 4..1024 beside marks_widths")
        if self.global_px and not 32 <= self.global_px <= 512:
            raise ValueError("global_px: must be 0 or lie in 32..512")
        if self.tone_bins and not (self.global_px and 4 <= self.tone_bins <= 256):
            raise ValueError("tone_bins: must be 0, or lie in 4..256 beside a global_px")
        if self.color_encoder not in ("", *COLOR_ENCODERS):
            raise ValueError(f"color_encoder: must be one of {', '.join(COLOR_ENCODERS)}, or empty")
        if not 32 <= self.color_px <= 1024:
            raise ValueError("color_px: must lie in 32..1024")
        if self.stem_photos not in (1, 2) or (self.stem_photos == 2 and not self.global_px):
            raise ValueError("stem_photos: must be 1, or 2 with a global branch (global_px)")

    @property
    def has_close_look(self) -> bool:
        """Whether marks are found and filled before anything else."""
        return bool(self.marks_widths)

    @property
    def repairs_neutral(self) -> bool:
        """Whether photographs without colours are repaired without toning, and coloured after."""
        return self.has_close_look and bool(self.color_encoder)

    @property
    def alignment(self) -> int:
        """Sides of photographs are multiples of so many pixels: the coarsest scale's cells."""
        return int(2 ** (len(self.widths) - (not self.has_close_look)))

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain JSON values; without what came later, as it always was."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        if not self.has_close_look:
            del values["marks_widths"], values["marks_blocks"]
        if not self.marks_encoder:
            del values["marks_encoder"]
        if not self.shrunk_bands:
            del values["shrunk_bands"]
        if not self.native_width:
            del values["native_width"]
        if not self.tone_bins:
            del values["tone_bins"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            ValueError: If a key is unknown or missing, or a value is out of range. Those that
                older files haven't may be missing.
        """
        values = {**_YOUNGER, **values}
        if values.pop("encoder", "plain") != "plain":  # files of version 0.1 name it
            raise ValueError("generator configuration: encoders other than plain are gone")
        expected = set(cls.__dataclass_fields__)
        if set(values) != expected:
            odd = ", ".join(sorted(set(values) ^ expected))
            raise ValueError(f"generator configuration: unknown or missing {odd}")
        lists = ("widths", "encoder_blocks", "decoder_blocks", "marks_widths", "marks_blocks")
        names = {"color_encoder", "marks_encoder"}
        if not all(isinstance(values[name], str) for name in names):
            raise ValueError("generator configuration: encoders must be names")
        for name in expected - names:
            numbers = values[name] if name in lists else [values[name]]
            if not isinstance(numbers, list | tuple) or not all(type(n) is int for n in numbers):
                raise ValueError(f"generator configuration: {name} must be whole numbers")
        return cls(**{k: tuple(v) if k in lists else v for k, v in values.items()})  # type: ignore[arg-type]  # checked above
