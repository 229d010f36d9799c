"""The API: what comes back is the command's, what is wrong is said in one line."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from photo_zoo import MODELS, ZOO, draw_photo, profile
from PIL import Image
from running import Client, running_server

from restore.cli import main

NAME = "Großmutter 写真 #1%.jpg"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with running_server() as client:
        yield client


def _jpeg(size: tuple[int, int] = (71, 46), **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw_photo(size[1], size[0])).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def _png(photo: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG")
    return file.getvalue()


def _command(folder: Path, name: str, content: bytes, *options: str) -> Path:
    """What the command makes of a file."""
    (folder / name).write_bytes(content)
    before = set(folder.iterdir())
    arguments = [str(folder / name), "--model", str(MODELS / "tiny.zip"), "--tile", "256", *options]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    (made,) = set(folder.iterdir()) - before
    return made


@pytest.mark.parametrize("name", ZOO)
def test_result_is_the_commands_byte_for_byte(client: Client, tmp_path: Path, name: str) -> None:
    """In every format, under the name that the command gives."""
    ZOO[name][0](tmp_path / name)
    content = (tmp_path / name).read_bytes()
    made = _command(tmp_path, name, content, "--no-provenance")
    answer = client.post("/api/restore", {"photo": (name, content)}, no_provenance=1)
    assert answer.status == 200, answer.body
    assert made.name in answer.headers["Content-Disposition"]
    assert answer.body == made.read_bytes()


def test_result_says_the_same_of_its_making(client: Client, tmp_path: Path) -> None:
    """All but the second: so the command takes it for done."""
    made = _command(tmp_path, "a.jpg", _jpeg())
    answer = client.post("/api/restore", {"photo": ("a.jpg", _jpeg())})
    when = rb"20\d\d-\d\d-\d\dT[\d:]+(\+00:00|Z)"
    assert re.search(when, answer.body)
    assert re.sub(when, b"", answer.body) == re.sub(when, b"", made.read_bytes())


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        (["--strength", "0.4", "--regrain", "0.5"], {"strength": 0.4, "regrain": 0.5}),
        (["--no-colorize", "--quality", "60"], {"no-colorize": "true", "quality": 60}),
        (["--denoise", "0", "--tone", "0.2"], {"denoise": 0, "tone": 0.2, "color": 1}),
    ],
)
def test_fields_are_the_commands_options(
    client: Client, tmp_path: Path, options: list[str], fields: dict[str, object]
) -> None:
    """Each does what the option does."""
    made = _command(tmp_path, "a.jpg", _jpeg(), *options, "--no-provenance")
    answer = client.post("/api/restore", {"photo": ("a.jpg", _jpeg())}, no_provenance=1, **fields)
    assert answer.body == made.read_bytes()


def test_marks_are_taken_as_a_file(client: Client, tmp_path: Path) -> None:
    """As --marks-in takes them."""
    mask = np.zeros((46, 71), np.uint8)
    mask[10:20] = 255
    (tmp_path / "mask.png").write_bytes(_png(mask))
    options = ("--marks-in", str(tmp_path / "mask.png"), "--marks-mode", "replace")
    made = _command(tmp_path, "a.jpg", _jpeg(), *options, "--no-provenance")
    files = {"photo": ("a.jpg", _jpeg()), "marks": ("m.png", _png(mask))}
    answer = client.post("/api/restore", files, no_provenance=1, marks_mode="replace")
    assert answer.body == made.read_bytes()


def test_suffix_of_output_decides_the_format(client: Client) -> None:
    """As with -o."""
    answer = client.post("/api/restore", {"photo": ("a.jpg", _jpeg())}, output="b.png")
    assert answer.body.startswith(b"\x89PNG")
    assert "b.png" in answer.headers["Content-Disposition"]
    answer = client.post("/api/restore", {"photo": ("a.jpg", _jpeg())}, output="b.bmp")
    assert answer.status == 422
    assert "can't write .bmp" in answer.error


def test_quality_changes_the_bytes(client: Client) -> None:
    """And smaller is smaller; without it, no loss that one sees."""
    sizes = [
        len(client.post("/api/restore", {"photo": ("a.jpg", _jpeg())}, quality=q).body)
        for q in (30, 70, 95)
    ]
    assert sizes == sorted(set(sizes))


def test_name_of_any_script_round_trips(client: Client) -> None:
    """Umlauts, characters, a hash, a percent sign and spaces."""
    answer = client.post("/api/restore", {"photo": (NAME, _jpeg())})
    header = answer.headers["Content-Disposition"]
    stem = "Gro%C3%9Fmutter%20%E5%86%99%E7%9C%9F%20%231%25.restored.jpg"
    assert header.endswith(f"filename*=UTF-8''{stem}")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_photograph_comes_back_upright(client: Client, orientation: int) -> None:
    """All eight orientations; preview, result and tag agree."""
    exif = Image.Exif()
    exif[274] = orientation
    content = _jpeg(exif=exif)
    upright = np.asarray(_upright(content))
    photo = client.upload("t.jpg", content)
    assert tuple(photo["size"]) == upright.shape[1::-1]
    before = Image.open(io.BytesIO(client.get(f"/api/photos/{photo['id']}/preview/before").body))
    assert np.abs(np.asarray(before).astype(int) - upright).max() <= 3
    after = Image.open(
        io.BytesIO(client.get(f"/api/photos/{photo['id']}/preview/after?strength=0").body)
    )
    assert (np.asarray(after) == np.asarray(before)).all()
    restored = client.post("/api/restore", {"photo": ("t.jpg", content)}, strength=0.01)
    image = Image.open(io.BytesIO(restored.body))
    assert image.getexif().get(274, 1) == 1
    assert np.abs(np.asarray(image).astype(int) - upright).max() <= 12


def _upright(content: bytes) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.exif_transpose(Image.open(io.BytesIO(content)))


def test_deep_ramp_keeps_its_levels(client: Client) -> None:
    """A 16-bit grey ramp has more than 256 levels afterwards; its preview isn't white."""
    ramp = np.tile(np.linspace(0, 65535, 1000).astype(np.uint16), (40, 1))
    file = io.BytesIO()
    tifffile.imwrite(file, ramp, photometric="minisblack", metadata=None)
    answer = client.post(
        "/api/restore", {"photo": ("r.tif", file.getvalue())}, no_colorize=1, strength=0.05
    )
    restored = tifffile.imread(io.BytesIO(answer.body))
    assert restored.dtype == np.uint16
    assert len(np.unique(restored)) > 256
    photo = client.upload("r.tif", file.getvalue())
    shown = Image.open(io.BytesIO(client.get(f"/api/photos/{photo['id']}/preview/before").body))
    row = np.asarray(shown)[20, :, 0].astype(int)
    assert np.abs(row - np.linspace(0, 255, len(row))).max() <= 2


def test_wide_gamut_previews_in_srgb_and_keeps_its_profile(client: Client) -> None:
    """A P3 photograph's preview is what a colour-managed viewer shows; a no-op changes nothing."""
    from PIL import ImageCms

    p3 = profile("p3")
    content = _jpeg(icc_profile=p3)
    photo = client.upload("p3.jpg", content)
    shown = np.asarray(
        Image.open(io.BytesIO(client.get(f"/api/photos/{photo['id']}/preview/before").body))
    )
    wanted = ImageCms.profileToProfile(
        Image.open(io.BytesIO(content)),
        ImageCms.ImageCmsProfile(io.BytesIO(p3)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert np.abs(shown.astype(int) - np.asarray(wanted)).mean() < 1.5
    restored = client.post("/api/restore", {"photo": ("p3.jpg", content)}, strength=0.001)
    image = Image.open(io.BytesIO(restored.body))
    assert image.info["icc_profile"] == p3
    original = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    assert np.abs(np.asarray(image).astype(int) - original).mean() < 1


def test_ten_edits_that_change_nothing_are_the_same_file(client: Client) -> None:
    """Strength 0, ten times over."""
    content = first = _jpeg()
    for _ in range(10):
        content = client.post("/api/restore", {"photo": ("a.jpg", content)}, strength=0).body
    assert content == first


def test_content_decides_what_a_file_is(client: Client) -> None:
    """A PNG that is called .jpg, JFIF, and a name without a suffix are taken."""
    for name in ("a.jfif", "a", "a.png"):
        photo = client.upload(name, _jpeg())
        assert photo["name"] in ("a.jfif", "a.jpg")
    assert client.upload("b.jpg", _png(draw_photo()))["name"] == "b.png"
    bmp = cv2.imencode(".bmp", draw_photo())[1].tobytes()
    for name in ("c.bmp", "c.jpg", "c"):
        assert client.upload(name, bmp)["name"] == "c.bmp"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"BM" + bytes(100), "BMP"),
        (b"%PDF-1.7" + bytes(100), "PDF"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100), "JPEG XL"),
        (b"hello there, this is text", "not a photograph"),
        (b"", "empty"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300), "HEIC"),
    ],
)
def test_other_formats_are_named(client: Client, content: bytes, named: str) -> None:
    """415, and what it is."""
    answer = client.post("/api/restore", {"photo": ("a.jpg", content)})
    assert answer.status == 415
    assert named in answer.error


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"strength": 2}, "strength: 2 is not in the range 0..1"),
        ({"strength": "nan"}, "strength"),
        ({"repair": "much"}, "repair: 'much' is not a number"),
        ({"marks_mode": "all"}, "marks-mode"),
        ({"sharpness": 1}, "sharpness: there is no such setting"),
        ({"quality": 0}, "quality"),
        ({"no_colorize": "perhaps"}, "no-colorize"),
    ],
)
def test_wrong_field_is_named(client: Client, fields: dict[str, object], reason: str) -> None:
    """400, one line."""
    answer = client.post("/api/restore", {"photo": ("a.jpg", _jpeg())}, **fields)
    assert answer.status == 400
    assert reason in answer.error
    assert "\n" not in answer.error


def test_broken_photograph_is_refused_as_by_the_command(client: Client, tmp_path: Path) -> None:
    """The same line, with the name for the path."""
    content = _jpeg()[:800]
    (tmp_path / "bad.jpg").write_bytes(content)
    arguments = [str(tmp_path / "bad.jpg"), "--model", str(MODELS / "tiny.zip")]
    said = CliRunner().invoke(main, arguments).stderr.splitlines()[-1]
    answer = client.post("/api/restore", {"photo": ("bad.jpg", content)})
    assert answer.status == 422
    assert answer.error == said.removeprefix("Error: ").replace(f"{tmp_path}/", "")


def test_bomb_is_refused(client: Client) -> None:
    """By its header, before a pixel is decoded."""
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    bomb += struct.pack(">I", zlib.crc32(chunk)) + bytes(2000)
    answer = client.post("/api/restore", {"photo": ("bomb.png", bomb)})
    assert answer.status == 422
    assert answer.error.startswith("bomb.png: ")


def test_hints_are_refused_by_weights_that_take_none(client: Client) -> None:
    """In one line, by the API and by the command."""
    hints = b'{"hints": [{"x": 50, "y": 50, "unit": "%", "color": "#7a4b2c"}]}'
    files = {"photo": ("a.jpg", _jpeg()), "hints": ("h.json", hints)}
    answer = client.post("/api/restore", files)
    assert answer.status == 422
    assert answer.error.startswith("the weights tiny can't take hints of colour")
    assert client.get("/api/state").json["no_hints"] == answer.error


def test_health_answers_at_any_load(client: Client) -> None:
    """While photographs are restored."""
    content = _png(draw_photo(500, 700))
    threads = [
        threading.Thread(target=client.post, args=("/api/restore", {"photo": ("a.png", content)}))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    answers = []
    while any(thread.is_alive() for thread in threads):
        answers.append(client.get("/api/health"))
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    assert len(answers) > 3
    assert {answer.status for answer in answers} == {200}
    assert answers[0].json["status"] == "ok"
