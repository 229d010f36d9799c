"""Restored files, read back by software other than ours: nothing of the original is lost."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from photo_zoo import (
    DPI,
    HEIGHT,
    WIDTH,
    ZOO,
    draw_grey,
    draw_photo,
    finish_job,
    load_restorer,
    profile,
    read_with_pillow,
    write_pillow,
    write_png16,
    write_tifffile,
)
from PIL import Image

from restore.album.plan import Job, default_output
from restore.errors import PhotoError
from restore.restorer import Restorer
from restore.scan.metadata.areas import Turning
from restore.scan.metadata.xmp import set_upright
from restore.scan.photo import Photo
from restore.scan.provenance import Provenance, extend_xmp
from restore.settings import RestoreSettings

GREY = RestoreSettings(colorize=False)
UNTOUCHED = load_restorer("identity")
CHANGED = load_restorer("tiny")


def _restore(
    path: Path,
    output: Path | None = None,
    settings: RestoreSettings = GREY,
    restorer: Restorer = UNTOUCHED,
    **options: Any,
) -> Path:
    output = output or default_output(path)
    finish_job(restorer, Job(path, output, version="0", **options), settings)
    return output


def _samples(path: Path) -> np.ndarray:
    if path.suffix in (".tif", ".tiff"):
        return np.asarray(tifffile.imread(path))
    with Photo(path) as photo:  # Pillow can't read 16-bit RGB
        if photo.depth_bits == 16:
            return photo.open_rows()(0, photo.height).squeeze()
    return np.asarray(read_with_pillow(path))


@pytest.mark.parametrize("name", ZOO)
def test_restored_photo_keeps_size_bands_depth_and_dpi(name: str, tmp_path: Path) -> None:
    """What comes out has the size, bands, alpha, depth and resolution of what went in."""
    write, num_bands, has_alpha, depth_bits = ZOO[name]
    write(tmp_path / name)
    output = _restore(tmp_path / name)
    samples = _samples(output)
    assert samples.shape[:2] == (HEIGHT, WIDTH)
    assert (1 if samples.ndim == 2 else samples.shape[2]) == num_bands + has_alpha
    assert samples.dtype.itemsize * 8 == depth_bits
    if Path(name).suffix in (".jpg", ".jpeg", ".png", ".tif", ".tiff"):
        assert read_with_pillow(output).info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)


@pytest.mark.parametrize(
    "name",
    [
        *("rgb.png", "rgba.png", "grey16.png", "rgb8.tiff", "rgb16.tif", "deflate16.tif"),
        *("tiled16.tif", "big.tif", "motorola.tif", "rgba16.tif", "grey8.tif", "grey16.tif"),
    ],
)
def test_unchanged_samples_stay_bit_for_bit(name: str, tmp_path: Path) -> None:
    """A network that changes nothing gives back every sample, of 8 or 16 bits."""
    ZOO[name][0](tmp_path / name)
    restored = _samples(_restore(tmp_path / name))
    assert (restored == _samples(tmp_path / name)).all()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp", ".avif"])
def test_grey_photo_becomes_colour(suffix: str, tmp_path: Path) -> None:
    """A grey photograph that is given colour is written as sRGB, and says so."""
    write_pillow("L")(tmp_path / "photo.png")
    output = _restore(tmp_path / "photo.png", tmp_path / f"out{suffix}", RestoreSettings(), CHANGED)
    image = read_with_pillow(output)
    assert image.mode == "RGB"
    assert image.info["icc_profile"]
    assert np.asarray(image).std(axis=-1).max() > 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(orientation: int, tmp_path: Path) -> None:
    """The restored photograph is upright and asks for no turning."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/></rdf:RDF></x:xmpmeta>'  # noqa: E501  # as Adobe writes it
    for suffix in (".jpg", ".png", ".tif"):
        path = tmp_path / f"photo{suffix}"
        options: dict[str, Any] = {"xmp": xmp.encode()} if suffix == ".jpg" else {}
        Image.fromarray(draw_photo()).save(path, exif=exif, **options)
        image = read_with_pillow(_restore(path))
        assert image.size == ((WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH))
        assert image.getexif().get(0x0112, 1) == 1
        if suffix == ".jpg":
            assert b'tiff:Orientation="1"' in image.info["xmp"]


@pytest.mark.parametrize("name", ["srgb", "adobe", "p3"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_profile_is_kept(name: str, suffix: str, tmp_path: Path) -> None:
    """The restored photograph carries the profile that it came with."""
    path = tmp_path / f"photo{suffix}"
    write_pillow("RGB", icc_profile=profile(name))(path)
    assert read_with_pillow(_restore(path)).info["icc_profile"] == profile(name)


@pytest.mark.parametrize("name", ["adobe", "p3"])
def test_colours_outside_srgb_survive(name: str, tmp_path: Path) -> None:
    """What isn't changed isn't forced into sRGB, not even the purest green."""
    photo = draw_photo(deep=True)
    photo[10:20, 10:20] = (0, 65535, 0)
    path = tmp_path / "photo.tif"
    write_tifffile(photo, photometric="rgb", iccprofile=profile(name))(path)
    assert np.abs(tifffile.imread(_restore(path)).astype(int) - photo).max() <= 32
    changed = _restore(path, tmp_path / "c.tif", restorer=CHANGED)
    off = np.abs(tifffile.imread(changed).astype(int) - photo)
    assert 500 < off.mean() < 8000


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_cmyk_becomes_srgb(suffix: str, tmp_path: Path) -> None:
    """CMYK comes out as sRGB of the colours that a reader would have shown."""
    path = tmp_path / f"photo{suffix}"
    write_pillow("CMYK")(path)
    image = read_with_pillow(_restore(path))
    assert image.mode == "RGB"
    assert image.info["icc_profile"]


def test_exif_is_kept_and_preview_dropped(tmp_path: Path) -> None:
    """Camera, artist and date stay; the preview of the damaged photograph goes."""
    exif = Image.Exif()
    exif[0x010F], exif[0x013B], exif[0x0131] = "Voigtländer", "Grandpa", "ScanTool 1"
    exif.get_ifd(0x8769)[0x9003] = "1951:06:01 12:00:00"
    path = tmp_path / "photo.jpg"
    Image.fromarray(draw_photo()).save(path, exif=exif, dpi=(DPI, DPI))
    kept = read_with_pillow(_restore(path)).getexif()
    assert (kept[0x013B], kept[0x0131]) == ("Grandpa", "ScanTool 1")
    assert kept.get_ifd(0x8769)[0x9003] == "1951:06:01 12:00:00"
    assert not kept.get_ifd(1)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_tiff_tags_are_kept(byteorder: str, bigtiff: bool, tmp_path: Path) -> None:
    """The tags that describe a TIFF file are kept, whatever its byte order."""
    path = tmp_path / "photo.tif"
    tifffile.imwrite(
        path,
        draw_photo(deep=True),
        photometric="rgb",
        byteorder=byteorder,
        bigtiff=bigtiff,
        metadata=None,
        description="Grandmother, 1951",
        extratags=[
            (315, 2, 0, "Grandpa", False),
            (271, 2, 0, "EPSON", False),
            (33432, 2, 0, "nobody", False),
        ],
        software="ScanTool 1",
    )
    with tifffile.TiffFile(_restore(path)) as file:
        tags = file.pages[0].tags
        values = {name: tags[name].value for name in ("Artist", "Make", "Copyright", "Software")}
        assert values == {
            "Artist": "Grandpa",
            "Make": "EPSON",
            "Copyright": "nobody",
            "Software": "ScanTool 1",
        }
        assert tags["ImageDescription"].value == "Grandmother, 1951"
        assert (file.asarray() == draw_photo(deep=True)).all()


def test_exif_survives_from_tiff_to_tiff_and_jpeg(tmp_path: Path) -> None:
    """EXIF inside a TIFF file stays in a TIFF file; its texts reach a JPEG file."""
    exif = Image.Exif()
    exif[0x013B] = "Grandpa"
    exif.get_ifd(0x8769)[0x9003] = "1951:06:01 12:00:00"
    stored = Image.Exif()
    stored.load(exif.tobytes())
    path = tmp_path / "photo.tif"
    Image.fromarray(draw_photo()).save(path, exif=stored)
    kept = read_with_pillow(_restore(path)).getexif()
    assert kept[0x013B] == "Grandpa"
    assert kept.get_ifd(0x8769)[0x9003] == "1951:06:01 12:00:00"
    jpeg = read_with_pillow(_restore(path, tmp_path / "out.jpg")).getexif()
    assert jpeg[0x013B] == "Grandpa"
    again = _restore(tmp_path / "out.jpg", tmp_path / "again.tif")
    assert read_with_pillow(again).getexif()[0x013B] == "Grandpa"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
def test_provenance_is_written_unless_unwanted(suffix: str, tmp_path: Path) -> None:
    """The metadata name software, model and date of the restoration; or stay as they were."""
    write_pillow("RGB")(tmp_path / "photo.png")
    said = _restore(tmp_path / "photo.png", tmp_path / f"a{suffix}")
    silent = _restore(tmp_path / "photo.png", tmp_path / f"b{suffix}", add_provenance=False)
    with Photo(said) as photo:
        xmp = photo.header.get("xmp-data")
    assert b"old-pictures-restoration 0" in xmp
    assert b"restored with identity" in xmp
    assert str(datetime.now().year).encode() in xmp
    with Photo(silent) as photo:
        assert not photo.header.get_typeof("xmp-data")
    assert b"old-pictures" not in silent.read_bytes()


def test_provenance_joins_the_history() -> None:
    """A second restoration is added to the history; other metadata stay as they were."""
    when = datetime.fromisoformat("2024-01-02T03:04:05+00:00")
    first = extend_xmp(b"", Provenance("restore 1", "model <1>", "a", when))
    second = extend_xmp(first, Provenance('restore "2"', "model 2", "b", when))
    import xml.etree.ElementTree as ET

    items = ET.fromstring(second).findall(".//{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li")
    agents = [
        item.attrib["{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}softwareAgent"]
        for item in items
    ]
    assert agents == ["restore 1", 'restore "2"']
    assert extend_xmp(b"\xff\xfenonsense", Provenance("r", "m", "s", when)) == b"\xff\xfenonsense"


def test_xmp_orientation_is_set_upright() -> None:
    """Both ways of writing it."""
    for said in ('<a tiff:Orientation="{}"/>', "<a><tiff:Orientation>{}</tiff:Orientation></a>"):
        said = said.replace("<a", '<a xmlns:tiff="t"', 1)
        packet, _ = set_upright(said.format(6).encode(), Turning(6, 3, 2))
        assert packet == said.format(1).encode()


@pytest.mark.parametrize(
    ("name", "restored"),
    [
        ("a.jpeg", "a.restored.jpeg"),
        ("a.b.TIF", "a.b.restored.TIF"),
        ("a.heic", "a.restored.jpg"),
        ("a.gif", "a.restored.png"),
    ],
)
def test_default_name_follows_the_photo(name: str, restored: str, tmp_path: Path) -> None:
    """`photo.restored.jpg` beside the photograph; PNG and JPEG for what can't be written."""
    write = write_pillow("P") if name.endswith("gif") else write_pillow("RGB")
    if name.endswith("heic"):
        Image.fromarray(draw_photo()).save(tmp_path / name, format="AVIF")
    else:
        write(tmp_path / name)
    assert default_output(tmp_path / name) == tmp_path / restored


def test_deep_photo_as_jpeg_has_eight_bits(tmp_path: Path) -> None:
    """16 bits become 8 where the format asked for holds no more, and the user is told."""
    write_png16(draw_grey(deep=True))(tmp_path / "photo.png")
    report = finish_job(UNTOUCHED, Job(tmp_path / "photo.png", tmp_path / "out.jpg"), GREY)
    assert "8 bits" in report["notices"][0]
    assert np.abs(_samples(tmp_path / "out.jpg").astype(int) - draw_grey()).max() <= 8


def test_alpha_becomes_white_in_jpeg(tmp_path: Path) -> None:
    """What is transparent is shown on white where a format has no alpha."""
    write_pillow("RGBA")(tmp_path / "photo.png")
    pixels = _samples(_restore(tmp_path / "photo.png", tmp_path / "out.jpg"))
    assert (pixels[:, 0] > 240).all()


def test_output_keeps_permissions_and_leaves_nothing_else(tmp_path: Path) -> None:
    """The restored file may be read by those who may read the photograph."""
    write_pillow("RGB")(tmp_path / "photo.png")
    (tmp_path / "photo.png").chmod(0o640)
    output = _restore(tmp_path / "photo.png")
    assert output.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.png", "photo.restored.png"]


def test_failed_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photograph that breaks off in the middle leaves neither output nor temporary files."""
    path = tmp_path / "photo.png"
    Image.fromarray(draw_photo(600, 400)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PhotoError):
        _restore(path, restorer=load_restorer("tiny", tile_px=64))
    assert [entry.name for entry in tmp_path.iterdir()] == ["photo.png"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux' /proc")
def test_no_file_stays_open(tmp_path: Path) -> None:
    """Restoring many photographs holds neither files nor deleted ones' disk space."""
    write_pillow("RGB")(tmp_path / "photo.png")
    _restore(tmp_path / "photo.png", tmp_path / "out.tif", marks_out=tmp_path / "m.png")
    links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]
    targets = [str(link.readlink()) for link in links if link.is_symlink()]
    assert not [target for target in targets if str(tmp_path) in target]


def test_photo_itself_is_never_overwritten(tmp_path: Path) -> None:
    """Not even through a link."""
    write_pillow("RGB")(tmp_path / "photo.png")
    (tmp_path / "link.png").symlink_to("photo.png")
    before = (tmp_path / "photo.png").read_bytes()
    for output in ("photo.png", "link.png"):
        with pytest.raises(PhotoError, match="never overwritten"):
            _restore(tmp_path / "photo.png", tmp_path / output)
    assert (tmp_path / "photo.png").read_bytes() == before


def test_all_aspects_at_zero_copy_the_file(tmp_path: Path) -> None:
    """Where nothing is to change, not even the encoding does."""
    write_pillow("RGB", quality=80)(tmp_path / "photo.jpg")
    output = _restore(tmp_path / "photo.jpg", settings=RestoreSettings(strength=0))
    assert output.read_bytes() == (tmp_path / "photo.jpg").read_bytes()


@pytest.mark.parametrize("suffix", [".heic", ".bmp", ".gif", ""])
def test_unwritable_format_is_refused(suffix: str, tmp_path: Path) -> None:
    """The error names the formats that can be written."""
    write_pillow("RGB")(tmp_path / "photo.png")
    with pytest.raises(PhotoError, match=r"use \.jpg, \.png, \.tif"):
        _restore(tmp_path / "photo.png", tmp_path / f"out{suffix}")


def test_unwritable_folder_is_refused(tmp_path: Path) -> None:
    """One line that names the file."""
    write_pillow("RGB")(tmp_path / "photo.png")
    with pytest.raises(PhotoError, match=r"nowhere/out\.png: can't be written"):
        _restore(tmp_path / "photo.png", tmp_path / "nowhere" / "out.png")
