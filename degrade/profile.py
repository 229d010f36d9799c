"""What a period's photographs suffer: named ranges, read from TOML.

A profile either mixes other profiles by weight or gives the ranges of every stage. Ranges
are pairs [low, high]; weights of one section are relative to each other; a `prob` of 0
switches its stage off. Each stage's own ranges stand in its file under `degrade.damage`.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from degrade.damage.ageing import AgeingRanges
from degrade.damage.copy import CopyRanges
from degrade.damage.curve import CurveRanges
from degrade.damage.dyes import DyesRanges
from degrade.damage.emulsion import EmulsionRanges
from degrade.damage.frame import FrameRanges
from degrade.damage.grain import GrainRanges
from degrade.damage.halftone import HalftoneRanges
from degrade.damage.lens import LensRanges
from degrade.damage.marks.records import MarksRanges
from degrade.damage.scan import ScanRanges
from degrade.damage.tone import ToneRanges
from degrade.damage.uneven_tone import UnevenToneRanges
from degrade.damage.vignette import VignetteRanges
from degrade.errors import ProfileError
from degrade.schema import Frac, Ranges, Weight

_FOLDER = Path(__file__).resolve().parent / "profiles"


class Profile(Ranges, frozen=True, kw_only=True):
    """A profile.

    Attributes:
        name: Name of the file without its suffix.
        description: One line.
        undamaged_prob: Share of photographs left as they are.
        mix: Other profiles by weight; then every stage here is ignored.
        parts: The profiles of the mix, resolved when loaded.
    """

    name: str = ""
    description: str = ""
    undamaged_prob: Frac = 0.0
    mix: dict[str, Weight] = msgspec.field(default_factory=dict)
    parts: dict[str, "Profile"] = msgspec.field(default_factory=dict)
    lens: LensRanges = LensRanges()
    emulsion: EmulsionRanges = EmulsionRanges()
    dyes: DyesRanges = DyesRanges()
    curve: CurveRanges = CurveRanges()
    grain: GrainRanges = GrainRanges()
    vignette: VignetteRanges = VignetteRanges()
    halftone: HalftoneRanges = HalftoneRanges()
    tone: ToneRanges = ToneRanges()
    uneven_tone: UnevenToneRanges = UnevenToneRanges()
    ageing: AgeingRanges = AgeingRanges()
    frame: FrameRanges = FrameRanges()
    marks: MarksRanges = MarksRanges()
    scan: ScanRanges = ScanRanges()
    copy: CopyRanges = CopyRanges()


def _files() -> Iterator[Path]:
    return iter(sorted(_FOLDER.glob("*.toml")))


def list_profiles() -> dict[str, str]:
    """Name and description of every profile that is shipped."""
    return {path.stem: load_profile(path.stem).description for path in _files()}


def profile_text(name: str) -> str:
    """The TOML of a shipped profile.

    Raises:
        ProfileError: If there is none of that name.
    """
    return _path_of(name).read_text(encoding="utf-8")


def _path_of(name_or_path: str) -> Path:
    shipped = _FOLDER / f"{name_or_path}.toml"
    if Path(name_or_path).name == name_or_path and shipped.is_file():
        return shipped
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        return path
    names = ", ".join(p.stem for p in _files())
    raise ProfileError(f"{name_or_path}: no such profile or file; profiles are {names}")


def load_profile(name_or_path: str) -> Profile:
    """Load a shipped profile by name, or one's own by path.

    Args:
        name_or_path: A name from `list_profiles`, or a TOML file.

    Raises:
        ProfileError: If it is missing or wrong; the message names file, key and allowed range.
    """
    return _load(name_or_path, ())


def _load(name_or_path: str, above: tuple[Path, ...]) -> Profile:
    path = _path_of(name_or_path)
    if path in above:
        raise ProfileError(f"{path}: the mix contains itself")
    try:
        profile = msgspec.toml.decode(path.read_bytes(), type=Profile)
    except OSError as error:
        raise ProfileError(f"{path}: {error.strerror or error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        text = str(error).replace("$.", "")
        raise ProfileError(f"{path}: {text}") from error
    for reserved in ("name", "parts"):
        if getattr(profile, reserved):
            raise ProfileError(f"{path}: {reserved} is set by the program; remove it")
    if profile.mix and sum(profile.mix.values()) <= 0:
        raise ProfileError(f"{path}: mix: at least one weight must exceed 0")
    parts = {}
    for part in sorted(profile.mix):
        beside = path.parent / f"{part}.toml"
        parts[part] = _load(str(beside) if beside.is_file() else part, (*above, path))
    return msgspec.structs.replace(profile, name=path.stem, parts=parts)


def profile_to_json(profile: Profile) -> bytes:
    """A profile in full, its parts included, as canonical JSON."""
    return msgspec.json.encode(profile, order="sorted")
