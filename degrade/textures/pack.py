"""Texture packs: grain tiles and mask textures, drawn, stored, found and loaded.

A pack is a folder with `masks/*.png`, `grain/*.png` (8 bit, one channel) and a
`manifest.json` that gives each texture's kind, digest and parameters. The pack shipped with
the package is drawn by `make_textures`; a pack of one's own replaces the shipped textures
kind by kind, and needs no manifest: `masks/dust-anything.png` is dust.
"""

import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from degrade.errors import TextureError
from degrade.textures.noise import blur_wrapped, white_noise
from degrade.textures.painters.sheets import DRAWERS, SHEET_FRAME_PX

FORMAT_VERSION = 1
GRAIN_DEVIATION = 32.0
"""Standard deviation of a grain tile, in 1/255; its mean is 128."""

_ROTATIONS = (-1, cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE)
_GRAIN_SIGMAS_PX = (0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5)
_CLUMPED_SIGMAS_PX = ((0.7, 1.8), (0.9, 2.4), (1.1, 3.0), (0.8, 4.0))
_SCREEN_PERIODS_PX = (4, 5, 6, 8)


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
        seed: What it was drawn from, if it was.
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


class _PackManifest(msgspec.Struct, frozen=True, kw_only=True):
    format_version: int
    seed: int | None
    textures: list[TextureInfo]


def turn(mask: NDArray[np.uint8], quarter_turns: int, flip: bool) -> NDArray[np.uint8]:
    """Turn a mask by quarters (anticlockwise), then mirror it left to right.

    OpenCV writes the rows in their new order; NumPy would leave a view whose every use is slow.
    """
    turned = mask
    if quarter_turns % 4:
        turned = np.asarray(cv2.rotate(mask, _ROTATIONS[quarter_turns % 4]), np.uint8)
    return np.asarray(cv2.flip(turned, 1), np.uint8) if flip else turned


def default_folder() -> Path:
    """Where the shipped pack lies: inside an installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent.parent
    installed = here / "assets"
    return installed if installed.is_dir() else here.parent / "assets"


def _rng(seed: int, label: str) -> np.random.Generator:
    digest = hashlib.blake2b(f"{seed}|{label}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def _draw_grain(rng: np.random.Generator, sigmas_px: tuple[float, ...]) -> NDArray[np.uint8]:
    """A seamless tile of grain; several scales summed make grain that clumps."""
    total = np.zeros((512, 512), np.float32)
    for i, sigma_px in enumerate(sigmas_px):
        layer = blur_wrapped(white_noise(rng, 512, 512), sigma_px)
        total += layer / np.float32(layer.std(dtype=np.float64)) * np.float32(0.6**i)
    total -= np.float32(total.mean(dtype=np.float64))
    total *= np.float32(GRAIN_DEVIATION / total.std(dtype=np.float64))
    return np.clip(np.rint(total + 128), 0, 255).astype(np.uint8)


def _draw_screen(period_px: int) -> NDArray[np.uint8]:
    """A seamless 45° half-tone screen: the threshold at which each point turns to ink."""
    side = 240
    wave = np.array([math.cos(2 * math.pi * i / period_px) for i in range(period_px)])
    y, x = np.mgrid[0:side, 0:side]
    field = 0.5 + 0.25 * (wave[(x + y) % period_px] + wave[(x - y) % period_px])
    return np.rint(field * 255).astype(np.uint8)


def _encode(texture: NDArray[np.uint8]) -> bytes:
    done, png = cv2.imencode(".png", texture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert done
    return png.tobytes()


def _draw_pack(
    seed: int, progress: Callable[[int, int], None] | None
) -> list[tuple[TextureInfo, bytes]]:
    jobs: list[tuple[TextureInfo, Callable[[np.random.Generator], NDArray[np.uint8]]]] = []

    def plan(info: TextureInfo, draw: Callable[[np.random.Generator], NDArray[np.uint8]]) -> None:
        jobs.append((info, draw))

    for kind, (function, layout, densities) in DRAWERS.items():
        for i, density in enumerate(densities):
            info = TextureInfo(
                name=f"masks/{kind}-{i:02d}.png",
                kind=kind,
                sha256="",
                layout=layout,
                density=density,
                seed=seed,
            )
            plan(info, lambda rng, f=function, d=density: f(rng, d))  # type: ignore[misc]
    for period_px in _SCREEN_PERIODS_PX:
        info = TextureInfo(
            name=f"masks/screen-{period_px:02d}.png",
            kind="screen",
            sha256="",
            period_px=period_px,
            seed=seed,
        )
        plan(info, lambda rng, p=period_px: _draw_screen(p))  # type: ignore[misc]
    grains = [(s,) for s in _GRAIN_SIGMAS_PX] + list(_CLUMPED_SIGMAS_PX)
    for i, sigmas_px in enumerate(grains):
        info = TextureInfo(
            name=f"grain/grain-{i:02d}.png",
            kind="grain",
            sha256="",
            sigma_px=sigmas_px[0],
            seed=seed,
        )
        plan(info, lambda rng, s=sigmas_px: _draw_grain(rng, s))  # type: ignore[misc]

    drawn = []
    for i, (info, draw) in enumerate(jobs):
        png = _encode(draw(_rng(seed, info.name)))
        digest = hashlib.sha256(png).hexdigest()
        drawn.append((msgspec.structs.replace(info, sha256=digest), png))
        if progress is not None:
            progress(i + 1, len(jobs))
    return drawn


def make_textures(
    out: Path, seed: int, *, progress: Callable[[int, int], None] | None = None
) -> None:
    """Draw a complete pack; the same seed gives the same bytes.

    Args:
        out: Folder to create; it must not exist yet.
        seed: Seed of every texture.
        progress: Called with (done, total) after each texture.

    Raises:
        TextureError: If `out` exists or cannot be written.
    """
    if out.exists():
        raise TextureError(f"{out}: already exists; choose a new folder")
    aside: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        drawn = _draw_pack(seed, progress)
        for folder in ("masks", "grain"):
            (aside / folder).mkdir()
        for info, png in drawn:
            (aside / info.name).write_bytes(png)
        manifest = _PackManifest(
            format_version=FORMAT_VERSION, seed=seed, textures=[info for info, _ in drawn]
        )
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        (aside / "manifest.json").write_bytes(text + b"\n")
        aside.chmod(0o755)
        os.replace(aside, out)
    except OSError as error:
        raise TextureError(f"{out}: cannot write textures: {error.strerror or error}") from error
    finally:
        if aside is not None and aside.exists():
            shutil.rmtree(aside, ignore_errors=True)


def _kind_of(path: Path, folder: str) -> str:
    kind = path.stem.split("-")[0].split("_")[0].lower()
    if folder == "grain":
        return "grain"
    if kind not in DRAWERS and kind != "screen":
        known = ", ".join(sorted(DRAWERS))
        raise TextureError(f"{path}: name must begin with its kind, one of {known}")
    return kind


def _scan_folder(folder: Path) -> list[TextureInfo]:
    """Describe a pack that has no manifest by the names of its files."""
    found = []
    for part in ("masks", "grain"):
        for path in sorted((folder / part).glob("*.png")):
            kind = _kind_of(path, part)
            layout = DRAWERS[kind][1] if kind in DRAWERS else "sheet"
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
            manifest = msgspec.json.decode(manifest_path.read_bytes(), type=_PackManifest)
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
        self._levels: dict[str, list[NDArray[np.uint8]]] = {}
        self._turned: dict[tuple[str, int, int, bool], NDArray[np.uint8]] = {}
        self._kinds: dict[str, tuple[TextureInfo, ...]] = {}
        for info, _ in entries.values():
            self._kinds[info.kind] = (*self._kinds.get(info.kind, ()), info)
        hashed = hashlib.blake2b(digest_size=16)
        for name in sorted(entries):
            hashed.update(f"{name}={entries[name][0].sha256}\n".encode())
        self.digest = hashed.hexdigest()

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

    def level(self, name: str, index: int = 0) -> NDArray[np.uint8]:
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

    def turned(self, name: str, index: int, quarter_turns: int, flip: bool) -> NDArray[np.uint8]:
        """A level of a texture, turned by quarters (anticlockwise), then mirrored left to right.

        Returns:
            (H, W) uint8, kept for the next time: ask for small levels only.
        """
        way = name, index, quarter_turns % 4, flip
        found = self._turned.get(way)
        if found is None:
            found = self._turned[way] = turn(self.level(name, index), quarter_turns, flip)
        return found

    def _decode(self, name: str) -> NDArray[np.uint8]:
        info = self.info(name)
        path = self._entries[name][1] / name
        try:
            encoded = path.read_bytes()
        except OSError as error:
            raise TextureError(f"{path}: {error.strerror or error}") from error
        if hashlib.sha256(encoded).hexdigest() != info.sha256:
            raise TextureError(f"{path}: differs from its manifest; draw the pack again")
        texture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
        if texture is None:
            raise TextureError(f"{path}: not an image OpenCV can decode")
        if not info.seamless and info.layout == "sheet":
            texture = np.hstack([texture, texture[:, ::-1]])
            texture = np.vstack([texture, texture[::-1]])
        return np.ascontiguousarray(texture, np.uint8)
