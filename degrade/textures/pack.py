"""Texture packs: found, checked and loaded.

A pack is a folder with `masks/*.png`, `grain/*.png` (8 bit, one channel) and a
`manifest.json` that gives each texture's kind, digest and parameters. The pack shipped with
the package is painted by `degrade.textures.paint`; a pack of one's own replaces the shipped
textures kind by kind, and needs no manifest: `masks/dust-anything.png` is dust.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np

from degrade.arrays import Mask
from degrade.errors import TextureError
from degrade.textures.kinds import KINDS
from degrade.textures.painters.sheets import SHEET_FRAME_PX

FORMAT_VERSION = 1

_ROTATIONS = (-1, cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE)
_TILE_KINDS = ("field", "screen")
_ADDED_KINDS = (
    frozenset[str](),
    frozenset({"flake"}),
    frozenset({"flake", "strand", "fold", "wear"}),
)
"""Kinds of marks that this pack's predecessors don't have; the last was that of version 0.1."""


class TextureInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One texture of a pack.

    Attributes:
        name: Path inside the pack, POSIX style.
        kind: What it shows: grain, screen, field or a kind of mark.
        sha256: Hex digest of the file.
        layout: "sheet" (covers the photograph, repeats) or "sprite" (placed once).
        seamless: Whether a sheet repeats without a visible edge; else it is mirrored.
        density: How crowded it is relative to the measured frames.
        sigma_px: Of grain, the spread of one grain.
        period_px: Of half-tone screens, the distance between dots along the rows.
        frame_width_px: Of sheets, the width of the scanned frame whose scale it has.
        seed: What it was painted from, if it was.
    """

    name: str
    kind: str
    sha256: str
    layout: str = "sheet"
    seamless: bool = True
    density: float = 1.0
    sigma_px: float = 0.0
    period_px: float = 0.0
    frame_width_px: int = SHEET_FRAME_PX
    seed: int | None = None


class PackManifest(msgspec.Struct, frozen=True, kw_only=True):
    """A pack's `manifest.json`."""

    format_version: int
    seed: int | None
    textures: list[TextureInfo]


def turn(mask: Mask, quarter_turns: int, flip: bool) -> Mask:
    """Turn a mask by quarters (anticlockwise), then mirror it left to right.

    OpenCV writes the rows in their new order; NumPy would leave a view whose every use is slow.
    """
    turned = mask
    if quarter_turns % 4:
        turned = np.asarray(cv2.rotate(mask, _ROTATIONS[quarter_turns % 4]), np.uint8)
    return np.asarray(cv2.flip(turned, 1), np.uint8) if flip else turned


def default_folder() -> Path:
    """Where the shipped pack lies: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "assets"
    return installed if installed.is_dir() else package.parent / "assets"


def _kind_of(path: Path, folder: str) -> str:
    kind = path.stem.split("-")[0].split("_")[0].lower()
    if folder == "grain":
        return "grain"
    if kind not in KINDS and kind not in _TILE_KINDS:
        known = ", ".join(sorted((*KINDS, *_TILE_KINDS)))
        raise TextureError(f"{path}: name must begin with its kind, one of {known}")
    return kind


def _scan_folder(folder: Path) -> list[TextureInfo]:
    """Describe a pack that has no manifest by the names of its files."""
    found = []
    for part in ("masks", "grain"):
        for path in sorted((folder / part).glob("*.png")):
            kind = _kind_of(path, part)
            layout = KINDS[kind].layout if kind in KINDS else "sheet"
            found.append(
                TextureInfo(
                    name=f"{part}/{path.name}",
                    kind=kind,
                    sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                    layout=layout,
                    seamless=False,
                    sigma_px=1.0 if kind == "grain" else 0.0,
                    period_px=6.0 if kind == "screen" else 0.0,
                )
            )
    return found


def _read_infos(folder: Path) -> list[TextureInfo]:
    if not folder.is_dir():
        raise TextureError(f"{folder}: no such folder of textures")
    manifest_path = folder / "manifest.json"
    try:
        if not manifest_path.exists():
            infos = _scan_folder(folder)
        else:
            manifest = msgspec.json.decode(manifest_path.read_bytes(), type=PackManifest)
            if manifest.format_version != FORMAT_VERSION:
                raise TextureError(
                    f"{manifest_path}: format {manifest.format_version}, expected {FORMAT_VERSION}"
                )
            infos = manifest.textures
    except msgspec.MsgspecError as error:
        raise TextureError(f"{manifest_path}: {error}") from error
    except OSError as error:
        raise TextureError(f"{folder}: {error.strerror or error}") from error
    if not infos:
        raise TextureError(f"{folder}: no textures; expected masks/KIND-*.png or grain/*.png")
    return infos


class Textures:
    """A pack in use: finds textures by kind, decodes each once, keeps reduced copies."""

    def __init__(self, folder: Path, entries: dict[str, tuple[TextureInfo, Path]]) -> None:
        self.folder = folder
        self._entries = entries
        self._levels: dict[str, list[Mask]] = {}
        self._turned: dict[tuple[str, int, int, bool], Mask] = {}
        self._kinds: dict[str, tuple[TextureInfo, ...]] = {}
        for info, _ in entries.values():
            self._kinds[info.kind] = (*self._kinds.get(info.kind, ()), info)
        self.digest = self._hash(frozenset())

    def _hash(self, but_kinds: frozenset[str]) -> str:
        hashed = hashlib.blake2b(digest_size=16)
        for name in sorted(self._entries):
            info = self._entries[name][0]
            if info.kind not in but_kinds:
                hashed.update(f"{name}={info.sha256}\n".encode())
        return hashed.hexdigest()

    def repeats(self, digest: str) -> bool:
        """Whether damage done with the pack of a digest comes out the same with this one.

        It does with the same pack, and with an earlier one to which kinds were added.
        """
        return digest in map(self._hash, _ADDED_KINDS)

    @classmethod
    def load(cls, folder: Path | None = None) -> "Textures":
        """Open a pack without decoding anything.

        Args:
            folder: A pack of one's own, whose kinds replace the shipped ones; None: the
                shipped pack alone.

        Raises:
            TextureError: If the folder is missing, empty or malformed.
        """
        shipped = default_folder()
        infos = {info.name: (info, shipped) for info in _read_infos(shipped)}
        if folder is not None and folder.resolve() != shipped:
            own = _read_infos(folder)
            replaced = {info.kind for info in own}
            infos = {k: v for k, v in infos.items() if v[0].kind not in replaced}
            infos.update({info.name: (info, folder) for info in own})
        return cls(folder or shipped, dict(sorted(infos.items())))

    def __reduce__(self) -> tuple[object, ...]:
        return (Textures, (self.folder, self._entries))

    def __iter__(self) -> Iterator[TextureInfo]:
        return (info for info, _ in self._entries.values())

    def of_kind(self, kind: str) -> tuple[TextureInfo, ...]:
        """Every texture of a kind, in order of name; empty if there is none."""
        return self._kinds.get(kind, ())

    def info(self, name: str) -> TextureInfo:
        """What the manifest says of one texture.

        Raises:
            TextureError: If the pack holds no such texture.
        """
        if name not in self._entries:
            raise TextureError(f"{self.folder}: no texture {name}; the recipe needs another pack")
        return self._entries[name][0]

    def level(self, name: str, index: int = 0) -> Mask:
        """A texture, halved `index` times (or as often as it can be).

        Returns:
            (H, W) uint8.

        Raises:
            TextureError: If the file is missing, damaged, or not the one in the manifest.
        """
        levels = self._levels.get(name)
        if levels is None:
            levels = self._levels[name] = [self._decode(name)]
        while len(levels) <= index and min(levels[-1].shape) >= 16:
            height, width = levels[-1].shape
            levels.append(
                cv2.resize(
                    levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA
                ).astype(np.uint8, copy=False)
            )
        return levels[min(index, len(levels) - 1)]

    def turned(self, name: str, index: int, quarter_turns: int, flip: bool) -> Mask:
        """A level of a texture, turned by quarters (anticlockwise), then mirrored left to right.

        Returns:
            (H, W) uint8, kept for the next time: ask for small levels only.
        """
        way = name, index, quarter_turns % 4, flip
        found = self._turned.get(way)
        if found is None:
            found = self._turned[way] = turn(self.level(name, index), quarter_turns, flip)
        return found

    def _decode(self, name: str) -> Mask:
        info = self.info(name)
        path = self._entries[name][1] / name
        try:
            encoded = path.read_bytes()
        except OSError as error:
            raise TextureError(f"{path}: {error.strerror or error}") from error
        if hashlib.sha256(encoded).hexdigest() != info.sha256:
            raise TextureError(f"{path}: differs from its manifest; paint the pack again")
        texture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
        if texture is None:
            raise TextureError(f"{path}: not an image OpenCV can decode")
        if not info.seamless and info.layout == "sheet":
            texture = np.hstack([texture, texture[:, ::-1]])
            texture = np.vstack([texture, texture[::-1]])
        return np.ascontiguousarray(texture, np.uint8)
