"""What samples mean: infrared, Lab, PNG's colours, pages, negatives, BMP and JPEG 2000."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from photo_zoo import (
    DPI,
    HEIGHT,
    MODELS,
    WIDTH,
    draw_grey,
    draw_photo,
    finish_job,
    load_restorer,
    profile,
    read_with_pillow,
)
from PIL import Image, ImageCms

from restore.album.plan import Job
from restore.cli import main
from restore.errors import PhotoError
from restore.scan.icc import ADOBE_RGB, DISPLAY_P3, SRGB, make_profile
from restore.scan.infrared import find_dust
from restore.scan.negative import is_negative
from restore.scan.photo import Photo
from restore.scan.profiles import read_profile
from restore.settings import RestoreSettings

UNTOUCHED = load_restorer("identity")
GREY = RestoreSettings(colorize=False)


def _restore(photo: Path, output: Path, **options: Any) -> list[str]:
    notices: list[str] = finish_job(UNTOUCHED, Job(photo, output, **options), GREY)["notices"]
    return notices


def _run(*arguments: object) -> Result:
    model = str(MODELS / "identity.zip")
    return CliRunner().invoke(main, [*map(str, arguments), "--model", model, "--no-colorize"])


def _read(path: Path) -> NDArray[Any]:
    with Photo(path) as photo:
        return photo.open_rows()(0, photo.height)


def _infrared(*, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint16]:
    """Even, with noise and a few dark specks."""
    rng = np.random.default_rng(0)
    shade = np.linspace(52_000, 46_000, width)[None] + rng.normal(0, 300, (height, width))
    for y, x in ((10, 12), (30, 50), (33, 20)):
        shade[y : y + 3, x : x + 4] *= 0.5
    return shade.astype(np.uint16)


def _write_tiff(path: Path, samples: NDArray[Any], **options: Any) -> Path:
    options = {"photometric": "rgb", "metadata": None, **options}
    tifffile.imwrite(path, samples, **options)
    return path


def _drop_extra_tag(path: Path) -> None:
    """Turn the tag ExtraSamples into one that nobody knows, but keep the order of tags."""
    content = path.read_bytes()
    place = content.index(struct.pack("<HH", 338, 3))
    path.write_bytes(content[:place] + struct.pack("<H", 336) + content[place + 2 :])


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("grey", [True, False])
def test_further_sample_is_not_transparency(declared: bool, grey: bool, tmp_path: Path) -> None:
    """What isn't declared alpha stays in TIFF, undeclared, and never shows in other formats."""
    colors = draw_grey(deep=True)[..., None] if grey else draw_photo(deep=True)
    samples = np.dstack([colors, _infrared() // 2])
    options: dict[str, Any] = {"photometric": "minisblack"} if grey else {}
    photo = _write_tiff(
        tmp_path / "a.tif", samples, extrasamples=["unspecified"], planarconfig="contig", **options
    )
    if not declared:
        _drop_extra_tag(photo)
    assert _restore(photo, tmp_path / "out.tif") == []
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.pages[0].tags[338].value in ((0,), 0)
        assert (file.asarray() == samples).all()
    for suffix in (".png", ".jpg", ".webp", ".avif"):
        notices = _restore(photo, tmp_path / f"out{suffix}")
        assert any("infrared" in notice for notice in notices)
        image = read_with_pillow(tmp_path / f"out{suffix}")
        shown = np.asarray(image.convert("L"), float)
        assert "A" not in image.mode
        expected = np.asarray(
            Image.fromarray((colors >> 8).astype(np.uint8).squeeze()).convert("L")
        )
        if suffix != ".png" or not grey:  # Pillow shows 16-bit grey otherwise
            assert np.abs(shown - expected).mean() < 4


@pytest.mark.parametrize("alpha", ["assocalpha", "unassalpha"])
def test_declared_alpha_beside_infrared_is_alpha(alpha: str, tmp_path: Path) -> None:
    """Five samples: colours, transparency, infrared; each goes its way."""
    opaque = np.full((HEIGHT, WIDTH), 65535, np.uint16)
    samples = np.dstack([draw_photo(deep=True), opaque, _infrared()])
    photo = _write_tiff(tmp_path / "a.tif", samples, extrasamples=[alpha, "unspecified"])
    with Photo(photo) as opened:
        assert opened.has_alpha
        assert opened.infrared_band == 4
    _restore(photo, tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert tuple(file.pages[0].tags[338].value) == (2, 0)
        assert np.abs(file.asarray().astype(int) - samples).max() <= 1
    _restore(photo, tmp_path / "out.png")
    with Photo(tmp_path / "out.png") as opened:
        assert opened.has_alpha
        assert (opened.open_rows()(0, HEIGHT)[..., 3] == 65535).all()


@pytest.mark.parametrize("layout", ["sample", "page"])
def test_infrared_finds_dust(layout: str, tmp_path: Path) -> None:
    """The specks, and little else; in a fourth sample or a second page."""
    infrared = _infrared()
    path = tmp_path / "a.tif"
    if layout == "sample":
        samples = np.dstack([draw_photo(deep=True), infrared])
        _write_tiff(path, samples, extrasamples=["unspecified"])
    else:
        _write_tiff(path, draw_photo(deep=True))
        tifffile.imwrite(path, infrared, append=True, metadata=None, photometric="minisblack")
    with Photo(path) as photo:
        marks = find_dust(photo)
    assert marks.shape == (HEIGHT, WIDTH)
    for y, x in ((10, 12), (30, 50), (33, 20)):
        assert (marks[y : y + 3, x : x + 4] == 255).all()
    assert (marks > 0).mean() < 0.04
    result = _run(path, "--marks-in", "infrared", "--marks-out", tmp_path / "m.png")
    assert result.exit_code == 0, result.output
    written = np.asarray(read_with_pillow(tmp_path / "m.png"))
    assert (written[marks > 0] > 127).mean() > 0.9


def test_infrared_follows_orientation(tmp_path: Path) -> None:
    """Marks are found upright, like the photograph."""
    samples = np.dstack([draw_photo(deep=True), _infrared()])
    turned = np.ascontiguousarray(np.rot90(samples))
    tags = [(274, 3, 1, 6, True)]
    _write_tiff(tmp_path / "a.tif", turned, extrasamples=["unspecified"], extratags=tags)
    with Photo(tmp_path / "a.tif") as photo:
        marks = find_dust(photo)
    assert (marks[10:13, 12:16] == 255).all()
    assert marks.shape == (HEIGHT, WIDTH)


def test_infrared_that_shows_the_picture_is_refused(tmp_path: Path) -> None:
    """Silver stops infrared, so that it tells no dust."""
    grey = draw_grey(deep=True)
    samples = np.dstack([grey, grey, grey, grey])
    _write_tiff(tmp_path / "a.tif", samples, extrasamples=["unspecified"])
    with Photo(tmp_path / "a.tif") as photo, pytest.raises(PhotoError, match="silver film"):
        find_dust(photo)


def test_photo_without_infrared_is_refused(tmp_path: Path) -> None:
    """With what to do."""
    Image.fromarray(draw_photo()).save(tmp_path / "a.png")
    result = _run(tmp_path / "a.png", "--marks-in", "infrared")
    assert result.exit_code == 1
    assert "has no infrared channel" in result.stderr


def _srgb_to_lab(photo: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(H, W, 3) L, a, b relative to the display's white, by the textbook."""
    values = photo / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = linear @ matrix.T / matrix.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("photometric", ["cielab", "icclab"])
def test_lab_is_read_in_eight_and_sixteen_bits(
    photometric: str, deep: bool, tmp_path: Path
) -> None:
    """Signed (CIELab) and offset (ICCLab): the colours that were meant."""
    lab = _srgb_to_lab(draw_photo())
    scale = (65280 if photometric == "icclab" else 65535) / 100 if deep else 2.55
    step, kind = (256, np.uint16) if deep else (1, np.uint8)
    offset = 128 * step if photometric == "icclab" else 0
    samples = np.dstack([lab[..., 0] * scale, lab[..., 1:] * step + offset])
    stored = np.rint(samples).astype(np.int64).astype(kind)
    _write_tiff(tmp_path / "a.tif", stored, photometric=photometric)
    with Photo(tmp_path / "a.tif") as photo:
        rows = photo.open_rows()(0, HEIGHT)
        assert photo.depth_bits == (16 if deep else 8)
        assert any("Lab" in notice for notice in photo.notices)
    off = np.abs(rows.astype(float) / (257 if deep else 1) - draw_photo())
    assert off.mean() < (0.7 if deep else 1.5)
    assert off.max() < (2 if deep else 8)
    assert _run(tmp_path / "a.tif").exit_code == 0
    with_alpha = np.dstack([stored, stored[..., :1]])
    _write_tiff(
        tmp_path / "b.tif", with_alpha, photometric=photometric, extrasamples=["unassalpha"]
    )
    assert (_read(tmp_path / "b.tif") == np.dstack([rows, stored[..., :1]])).all()


def _png_with(path: Path, photo: NDArray[Any], chunks: dict[bytes, bytes]) -> Path:
    Image.fromarray(photo).save(path)
    content = path.read_bytes()
    added = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )
    path.write_bytes(content[:33] + added + content[33:])
    return path


def _chrm(primaries: Any) -> bytes:
    return struct.pack(">8I", *(round(v * 100_000) for xy in primaries for v in xy))


def _gama(gamma: float) -> bytes:
    return struct.pack(">I", round(100_000 / gamma))


@pytest.mark.parametrize(
    ("chunks", "primaries", "gamma"),
    [
        ({b"gAMA": _gama(1.8)}, SRGB, 1.8),
        ({b"gAMA": _gama(1.0)}, SRGB, 1.0),
        ({b"gAMA": _gama(563 / 256), b"cHRM": _chrm(ADOBE_RGB)}, ADOBE_RGB, 563 / 256),
        ({b"cHRM": _chrm(DISPLAY_P3)}, DISPLAY_P3, 0.0),
        ({b"cICP": bytes([12, 13, 0, 1])}, DISPLAY_P3, 0.0),
    ],
)
def test_png_says_its_colours_without_a_profile(
    chunks: dict[bytes, bytes], primaries: Any, gamma: float, tmp_path: Path
) -> None:
    """gAMA, cHRM and cICP are honoured, and come out as a profile that says the same."""
    photo = _png_with(tmp_path / "a.png", draw_photo(), chunks)
    icc = make_profile(gamma, primaries, "test")
    assert icc is not None
    expected = read_profile(icc)
    with Photo(photo) as opened:
        srgb = opened.space.to_srgb(opened.open_rows()(0, HEIGHT))
        assert not opened.space.is_srgb
    assert expected is not None
    assert np.abs(srgb - expected.to_srgb(draw_photo())).max() < 2 / 255
    for suffix in (".png", ".jpg", ".tif"):
        _restore(photo, tmp_path / f"out{suffix}")
        written = read_with_pillow(tmp_path / f"out{suffix}").info["icc_profile"]
        assert ImageCms.ImageCmsProfile(in_memory(written)).profile.xcolor_space.strip() == "RGB"
    assert (_read(tmp_path / "out.png") == draw_photo()).all()


def in_memory(content: bytes) -> Any:
    """A file in memory."""
    import io

    return io.BytesIO(content)


@pytest.mark.parametrize(
    "chunks",
    [
        {b"gAMA": struct.pack(">I", 45455)},
        {b"gAMA": struct.pack(">I", 45455), b"cHRM": _chrm(SRGB)},
        {b"gAMA": _gama(1.0), b"sRGB": b"\0"},
        {b"gAMA": struct.pack(">I", 0)},
        {b"cHRM": bytes(32)},
        {b"cICP": bytes([1, 13, 0, 1])},
        {b"cHRM": b"short"},
    ],
)
def test_png_that_says_srgb_or_nonsense_stays_without_profile(
    chunks: dict[bytes, bytes], tmp_path: Path
) -> None:
    """SRGB's chunk goes before the others; gamma 1/2.2 is what writers put for sRGB."""
    with Photo(_png_with(tmp_path / "a.png", draw_photo(), chunks)) as photo:
        assert photo.space.is_srgb
        assert photo.icc is None


def test_grey_png_with_gamma_is_understood(tmp_path: Path) -> None:
    """As a grey profile."""
    with Photo(_png_with(tmp_path / "a.png", draw_grey(), {b"gAMA": _gama(1.8)})) as photo:
        srgb = photo.space.to_srgb(photo.open_rows()(0, HEIGHT))
        assert photo.icc is not None
    linear = (draw_grey() / 255) ** 1.8
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(srgb[..., 0] - expected).max() < 3e-3


def test_adobe_rgb_by_exif_is_honoured(tmp_path: Path) -> None:
    """Cameras say it by an uncalibrated colour space and the index R03."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 0xFFFF
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    Image.fromarray(draw_photo()).save(tmp_path / "a.jpg", exif=exif, quality=95)
    with Photo(tmp_path / "a.jpg") as photo:
        assert not photo.space.is_srgb
        assert np.abs(
            photo.space.to_srgb(draw_photo()) - read_profile(profile("adobe")).to_srgb(draw_photo())  # type: ignore[union-attr]  # ours
        ).max() < (1 / 255)


def _thumbnail(photo: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(photo[::4, ::4])


@pytest.mark.parametrize("says_so", [True, False])
def test_full_resolution_is_restored_where_a_thumbnail_comes_first(
    says_so: bool, tmp_path: Path
) -> None:
    """Whether the small page says that it is a copy or not; and the user is told."""
    path, photo = tmp_path / "a.tif", draw_photo(96, 128)
    with tifffile.TiffWriter(path) as file:
        options: dict[str, Any] = {"photometric": "rgb", "metadata": None}
        file.write(_thumbnail(photo), subfiletype=1 if says_so else 0, **options)
        file.write(photo, **options)
    notices = _restore(path, tmp_path / "out.tif")
    assert any("small copy" in notice for notice in notices)
    assert (tifffile.imread(tmp_path / "out.tif") == photo).all()


def test_full_resolution_below_a_thumbnail_is_restored(tmp_path: Path) -> None:
    """Some files hang the photograph below its preview (SubIFDs)."""
    path, photo = tmp_path / "a.tif", draw_photo(96, 128)
    with tifffile.TiffWriter(path) as file:
        options: dict[str, Any] = {"photometric": "rgb", "metadata": None}
        file.write(_thumbnail(photo), subifds=1, subfiletype=1, **options)
        file.write(photo, **options)
    _restore(path, tmp_path / "out.png")
    assert (_read(tmp_path / "out.png") == photo).all()


def _write_album(path: Path, num: int = 3) -> list[NDArray[Any]]:
    pages = [draw_photo(40 + 4 * i, 60) // (i + 1) for i in range(num)]
    with tifffile.TiffWriter(path) as file:
        for i, page in enumerate(pages):
            file.write(page, photometric="rgb", metadata=None, description=f"page {i + 1}")
    return pages


def test_one_page_is_chosen(tmp_path: Path) -> None:
    """--page counts from 1; its own tags go along; another one isn't there."""
    pages = _write_album(tmp_path / "album.tif")
    result = _run(tmp_path / "album.tif", "--page", 2)
    assert result.exit_code == 0, result.output
    with tifffile.TiffFile(tmp_path / "album.2.restored.tif") as file:
        assert (file.asarray() == pages[1]).all()
        assert file.pages[0].description == "page 2"
    result = _run(tmp_path / "album.tif", "--page", 4)
    assert result.exit_code == 1
    assert "has no page 4, only 3" in result.stderr


def test_all_pages_become_a_tiff_of_as_many(tmp_path: Path) -> None:
    """Each with its own pixels and tags."""
    pages = _write_album(tmp_path / "album.tif")
    result = _run(tmp_path / "album.tif", "--pages", "all")
    assert result.exit_code == 0, result.output
    with tifffile.TiffFile(tmp_path / "album.restored.tif") as file:
        assert len(file.pages) == 3
        for i, page in enumerate(pages):
            assert (file.pages[i].asarray() == page).all()
            assert file.pages[i].description == f"page {i + 1}"
    with Image.open(tmp_path / "album.restored.tif") as image:
        assert image.n_frames == 3  # type: ignore[attr-defined]  # of TIFF
        image.seek(2)
        assert (np.asarray(image) == pages[2]).all()
    assert "done already" in _run(tmp_path / "album.tif", "--pages", "all").stderr


def test_all_pages_become_numbered_files_elsewhere(tmp_path: Path) -> None:
    """Where a format has one page only."""
    pages = _write_album(tmp_path / "album.tif")
    result = _run(tmp_path / "album.tif", "--pages", "all", "-o", tmp_path / "x.png")
    assert result.exit_code == 0, result.output
    for i, page in enumerate(pages):
        assert (_read(tmp_path / f"x.{i + 1}.png") == page).all()


def test_big_pages_are_joined_too(tmp_path: Path) -> None:
    """BigTIFF, as large albums need it."""
    from restore.scan.metadata.tiff import join_pages

    paths = []
    for i in range(3):
        paths.append(_write_tiff(tmp_path / f"{i}.tif", draw_photo() // (i + 1)))
    join_pages(tmp_path / "all.tif", paths, big=True)
    with tifffile.TiffFile(tmp_path / "all.tif") as file:
        assert file.is_bigtiff
        assert [(page.asarray() == draw_photo() // (i + 1)).all() for i, page in
                enumerate(file.pages)] == [True] * 3  # fmt: skip


def test_page_and_pages_exclude_each_other(tmp_path: Path) -> None:
    """Exit status 2; and several pages have no one report."""
    _write_album(tmp_path / "album.tif")
    assert _run(tmp_path / "album.tif", "--page", 1, "--pages", "all").exit_code == 2
    result = _run(tmp_path / "album.tif", "--pages", "all", "--report")
    assert result.exit_code == 1
    assert "choose it with --page" in result.stderr


def _invert_on_film(photo: NDArray[np.uint8], gamma: float = 0.6) -> NDArray[np.float32]:
    """A colour negative of a photograph, as a scanner sees it: densities above an orange base."""
    values = photo.astype(np.float64) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    density = gamma * (np.log10(linear + 0.01) + 2) + np.array([0.25, 0.6, 0.9])
    seen = 10 ** -(density - 0.25)
    curved = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    return np.clip(curved, 0, 1).astype(np.float32)


def _pictures() -> dict[str, NDArray[np.uint8]]:
    from skimage import data

    names = ("astronaut", "chelsea", "coffee", "rocket")
    return {name: getattr(data, name)()[::4, ::4, :3] for name in names}


@pytest.mark.parametrize("gamma", [0.5, 0.65, 0.8])
def test_colour_negatives_are_recognised(gamma: float) -> None:
    """Photographs on simulated film of several contrasts, with a strip of unexposed film."""
    base = _invert_on_film(np.zeros((1, 1, 3), np.uint8), gamma)[0, 0]
    for name, photo in _pictures().items():
        negative = _invert_on_film(photo, gamma)
        negative[: len(negative) // 16] = base
        assert is_negative(negative), name
    for name in ("astronaut", "rocket"):  # these have deep shadows
        assert is_negative(_invert_on_film(_pictures()[name], gamma)), name


def test_prints_are_not_taken_for_negatives() -> None:
    """As they are, grey, sepia, yellowed, faded (each dye by its own factor), and inverted."""
    for name, photo in _pictures().items():
        values = photo.astype(np.float32) / 255
        grey = values.mean(axis=-1, keepdims=True)
        sepia = grey * np.array([1.0, 0.85, 0.62], np.float32)
        density = -np.log10(values**2.2 * 0.98 + 0.01)
        for factors, stain in (((0.4, 0.9, 0.9), (0, 0, 0.1)), ((0.9, 0.9, 0.35), (0, 0.04, 0.12))):
            faded = 10 ** (-(density * factors + stain) / 2.2)
            assert not is_negative(faded.astype(np.float32)), name
        for shown in (values, np.repeat(grey, 3, axis=-1), sepia, sepia * 0.6 + 0.2):
            assert not is_negative(shown), name


def test_negative_is_named(tmp_path: Path) -> None:
    """In a notice; it is restored nevertheless."""
    negative = _invert_on_film(_pictures()["astronaut"])
    Image.fromarray(np.rint(negative * 255).astype(np.uint8)).save(tmp_path / "a.png")
    notices = _restore(tmp_path / "a.png", tmp_path / "out.png")
    assert any("colour negative" in notice for notice in notices)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_bmp_is_read_and_written_as_png(mode: str, tmp_path: Path) -> None:
    """Samples and resolution; another suffix if asked for."""
    image = Image.fromarray(draw_photo()).convert(mode)
    image.save(tmp_path / "a.bmp", dpi=(DPI, DPI))
    result = _run(tmp_path / "a.bmp")
    assert result.exit_code == 0, result.output
    restored = read_with_pillow(tmp_path / "a.restored.png")
    assert (np.asarray(restored.convert("RGB")) == np.asarray(image.convert("RGB"))).all()
    assert restored.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
    assert _run(tmp_path / "a.bmp", "-o", tmp_path / "x.jpg").exit_code == 0
    assert _run(tmp_path).exit_code == 0  # folders take it, too


def test_bmp_of_32_bits_has_no_alpha_unless_it_says_so(tmp_path: Path) -> None:
    """The fourth byte is nobody's in a file with the old header."""
    pixels = np.dstack([draw_photo()[..., ::-1], np.full((HEIGHT, WIDTH), 7, np.uint8)])[::-1]
    head = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 32, 0, 0, 0, 0, 0, 0)
    content = b"BM" + struct.pack("<IHHI", 54 + pixels.nbytes, 0, 0, 54) + head + pixels.tobytes()
    (tmp_path / "a.bmp").write_bytes(content)
    assert (_read(tmp_path / "a.bmp") == draw_photo()).all()


def test_bmp_with_the_header_of_os2_has_colours(tmp_path: Path) -> None:
    """OpenCV takes it for grey."""
    rows = np.zeros((HEIGHT, (WIDTH * 3 + 3) // 4 * 4), np.uint8)
    rows[:, : WIDTH * 3] = draw_photo()[::-1, :, ::-1].reshape(HEIGHT, -1)
    head = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 24)
    content = b"BM" + struct.pack("<IHHI", 26 + rows.size, 0, 0, 26) + head + rows.tobytes()
    (tmp_path / "a.bmp").write_bytes(content)
    assert (_read(tmp_path / "a.bmp") == draw_photo()).all()


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("suffix", [".jp2", ".j2k"])
def test_jpeg_2000_is_read(suffix: str, deep: bool, tmp_path: Path) -> None:
    """With 8 and 16 bits, without loss; written as PNG."""
    path = tmp_path / f"a{suffix}"
    photo = draw_photo(deep=deep)
    encoded = cv2.imencode(".jp2", photo[..., ::-1], [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])
    content = encoded[1].tobytes()
    path.write_bytes(content if suffix == ".jp2" else content[content.index(b"\xff\x4f\xff\x51") :])
    samples = _read(path)
    assert samples.dtype == photo.dtype
    assert np.abs(samples.astype(int) - photo).max() <= (300 if deep else 2)
    assert _run(path).exit_code == 0
    assert (tmp_path / "a.restored.png").exists()
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])
    with pytest.raises(PhotoError, match="ends early"):
        Photo(path)
