"""The page in a real browser: the whole way, with mouse, finger, keyboard and zoom."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browser import Page, chromium, needs_chromium
from photo_zoo import draw_photo, load_restorer
from PIL import Image
from running import Client, running_server
from still_network import StillNetwork

from restore import Restorer

pytestmark = [needs_chromium, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server() -> Iterator[Client]:
    with running_server() as client:
        yield client


@pytest.fixture
def page(browser: Any, server: Client) -> Iterator[Page]:
    page = Page(browser, server.address)
    page.open()
    yield page
    page.close()


def _photo(height: int = 300, width: int = 400, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw_photo(height, width)).save(file, kind)
    return file.getvalue()


def _marks(server: Client, page: Page) -> np.ndarray:
    """(H, W) what the server has as edited marks of the photograph that is open."""
    photo_id = page.page.evaluate("location.hash.slice(1)")
    content = server.get(f"/api/photos/{photo_id}/marks").body
    return np.asarray(Image.open(io.BytesIO(content)))


def test_empty_page_invites(browser: Any) -> None:
    """It says what to do, and that everything stays here."""
    with running_server() as client:
        page = Page(browser, client.address)
        page.open()
        text = page.page.inner_text("main")
        assert "Drop an old photograph here" in text
        assert "Nothing leaves this computer" in text
        page.shoot("empty")
        page.close()


def test_dropped_photograph_is_restored_and_compared(page: Page, server: Client) -> None:
    """Drop it; before on the left of the divider, after on the right; keys move the divider."""
    name = "Großmutter 写真 #1%.png"
    data = page.page.evaluate_handle(
        """([name, content]) => {
            const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, { type: "image/png" }));
            return transfer;
        }""",
        [name, base64.b64encode(_photo()).decode()],
    )
    for event in ("dragenter", "dragover", "drop"):
        page.page.dispatch_event("body", event, {"dataTransfer": data})
    page.shown("Großmutter")
    page.page.locator("#split").focus()
    page.page.keyboard.press("Home")
    after = page.pixels()
    page.page.keyboard.press("End")
    before = page.pixels()
    photo = draw_photo(300, 400).astype(int)
    x0, y0 = (round(v) for v in _inside(page, 200, 60))
    assert np.abs(before[y0, x0] - photo[60, 200]).max() <= 4
    assert np.abs(after - before).mean() > 1
    page.page.keyboard.press("ArrowLeft")
    assert page.page.input_value("#split") == "99"
    assert "left 99 %" in page.page.get_attribute("#canvas", "aria-label")
    page.page.locator("#split").fill("50")
    page.shoot("photo")


def test_pasted_photograph_is_taken(page: Page) -> None:
    """As from the clipboard, without a name of its own."""
    page.page.evaluate(
        """(content) => {
            const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "image.png", { type: "image/png" }));
            dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer }));
        }""",
        base64.b64encode(_photo()).decode(),
    )
    page.shown("image.png")


def _inside(page: Page, x: float, y: float) -> tuple[float, float]:
    box = page.page.locator("#canvas").bounding_box()
    sx, sy = page.place(x, y)
    return sx - box["x"], sy - box["y"]


def test_strength_changes_the_picture_without_the_network(browser: Any) -> None:
    """Every slider; the network is asked once."""

    class Counting:
        def __init__(self, network: Any) -> None:
            self.network, self.num_asked = network, 0
            self.metadata, self.device = network.metadata, network.device
            self.alignment, self.takes_hints = network.alignment, network.takes_hints
            self.has_close_look = network.has_close_look
            self.repairs_neutral = network.repairs_neutral
            self.look = network.look

        def repair(self, *arguments: Any) -> Any:
            self.num_asked += 1
            return self.network.repair(*arguments)

    network = Counting(load_restorer("tiny").network)
    with running_server(restorer=Restorer(network, tile_px=256)) as client:  # type: ignore[arg-type]
        page = Page(browser, client.address)
        page.open()
        page.choose("a.png", _photo())
        asked = network.num_asked
        page.page.locator("#split").fill("0")
        for name in ("strength", "tone", "regrain"):
            before = page.pixels()
            page.page.locator(f"#s-{name}").fill("40")
            page.idle()
            assert np.abs(page.pixels() - before).mean() > 0.05, name
        assert network.num_asked == asked
        page.page.click("#reset")
        page.idle()
        page.close()


def test_download_is_the_apis_result(page: Page, server: Client) -> None:
    """At full size, under its own name; with the settings of the sliders."""
    content = _photo(260, 340, "TIFF")
    page.choose("Tante Ré.tif", content)
    page.page.locator("#s-denoise").fill("20")
    page.idle()
    with page.page.expect_download() as waiting:
        page.page.click("#download")
    download = waiting.value
    assert download.suggested_filename == "Tante Ré.restored.tif"
    mine = np.asarray(Image.open(download.path()))
    answer = server.post("/api/restore", {"photo": ("Tante Ré.tif", content)}, denoise=0.2)
    assert (mine == np.asarray(Image.open(io.BytesIO(answer.body)))).all()
    page.page.wait_for_selector("#job a:has-text('Save Tante Ré.restored.tif')")
    page.shoot("downloaded")


@pytest.mark.parametrize(("ratio", "size"), [(1, (300, 400)), (2, (200, 600)), (3, (300, 400))])
def test_stroke_lands_where_it_was_painted(
    browser: Any, server: Client, ratio: int, size: tuple[int, int]
) -> None:
    """Within one pixel, at any pixel ratio of the screen, zoomed in and out."""
    height, width = size
    page = Page(browser, server.address, device_scale_factor=ratio)
    page.open()
    page.choose("a.png", _photo(height, width))
    page.page.keyboard.press("b")
    page.page.locator("#brush-size").fill("0")
    assert page.page.text_content("#brush-px") == "1 px"
    for zoom in (None, "#zoom-one", "#zoom-in"):
        if zoom:
            page.page.click(zoom)
        x, y = width // 2 + 7, height // 2 - 11
        sx, sy = page.place(x + 0.5, y + 0.5)
        page.page.mouse.click(sx, sy)
        page.page.wait_for_timeout(700)
        page.idle()
        where = np.argwhere(_marks(server, page) == 255)
        assert len(where) == 1
        assert np.abs(where[0] - (y, x)).max() <= 1
        page.page.click("#undo")
        page.page.wait_for_timeout(700)
        page.idle()
    page.close()


def test_brush_adds_erases_and_undoes(page: Page, server: Client) -> None:
    """Strokes outlive a change of tool, a new run and a reload; undo and redo too."""
    page.choose("a.png", _photo())
    page.page.keyboard.press("b")
    start, end = page.place(100, 100), page.place(300, 100)
    page.page.mouse.move(*start)
    page.page.mouse.down()
    page.page.mouse.move(*end, steps=10)
    page.page.mouse.up()
    page.page.wait_for_timeout(700)
    page.idle()
    page.shoot("brush")
    painted = _marks(server, page)
    assert (painted[100, 110:290] == 255).all()
    page.page.keyboard.press("e")
    page.page.mouse.move(*page.place(200, 60))
    page.page.mouse.down()
    page.page.mouse.move(*page.place(200, 140), steps=6)
    page.page.mouse.up()
    page.page.wait_for_timeout(700)
    page.idle()
    both = _marks(server, page)
    assert both[100, 200] == 0
    assert both[100, 120] == 255
    page.page.keyboard.press("v")
    page.page.locator("#s-tone").fill("50")
    page.idle()
    assert (_marks(server, page) == both).all()
    page.page.reload()
    page.shown("a.png")
    assert (_marks(server, page) == both).all()
    page.page.keyboard.press("Control+z")
    page.page.wait_for_timeout(700)
    page.idle()
    assert (_marks(server, page) == painted).all()
    page.page.keyboard.press("Control+Shift+z")
    page.page.wait_for_timeout(700)
    page.idle()
    assert (_marks(server, page) == both).all()
    page.page.keyboard.press("b")
    page.page.click("#marks-clear")
    page.page.wait_for_timeout(700)
    page.idle()
    assert (_marks(server, page) == 128).all()
    page.page.click("#reset")
    page.page.keyboard.press("v")


def test_stroke_is_kept_whatever_comes_next(page: Page, server: Client) -> None:
    """At once another photograph, a reload, or the result: the server knows it first."""
    page.choose("a.png", _photo())
    first = page.page.evaluate("location.hash.slice(1)")
    page.choose("b.png", _photo())
    page.page.keyboard.press("b")

    def paint(x: int) -> None:
        page.page.mouse.click(*page.place(x, 100))

    paint(100)
    page.page.evaluate(f"location.hash = '{first}'")
    page.shown("a.png")
    page.page.go_back()
    page.shown("b.png")
    assert _marks(server, page)[100, 100] == 255
    page.page.keyboard.press("b")
    paint(200)
    page.page.reload()
    page.shown("b.png")
    assert _marks(server, page)[100, 200] == 255
    page.page.keyboard.press("b")
    paint(300)
    with page.page.expect_download():
        page.page.click("#download")
    paths = [address.removeprefix(server.address) for address in page.requests]
    sent = [i for i, path in enumerate(paths) if path.endswith("/edits")]
    assert sent[-1] < paths.index("/api/jobs")
    assert _marks(server, page)[100, 300] == 255


def test_saved_marks_are_loaded_again(page: Page, server: Client, tmp_path: Path) -> None:
    """Save, clear, load: the same marks."""
    page.choose("a.png", _photo())
    page.page.keyboard.press("b")
    page.page.mouse.click(*page.place(150, 90))
    page.page.wait_for_timeout(700)
    page.idle()
    painted = _marks(server, page)
    with page.page.expect_download() as waiting:
        page.page.click("#marks-save")
    assert waiting.value.suggested_filename == "a.marks.png"
    page.page.click("#marks-clear")
    page.page.wait_for_timeout(700)
    page.idle()
    page.page.set_input_files(
        "#marks-file",
        {"name": "a.marks.png", "mimeType": "image/png",
         "buffer": Path(waiting.value.path()).read_bytes()},
    )  # fmt: skip
    page.page.wait_for_timeout(900)
    page.idle()
    assert (_marks(server, page) == painted).all()


class Spreading(StillNetwork):
    """Takes hints: what is hinted tints the whole photograph."""

    def __init__(self) -> None:
        self.metadata = load_restorer("identity").network.metadata

    def choose_chroma(self, luma: np.ndarray, hints: np.ndarray | None) -> np.ndarray:
        """Half of the mean hint's chroma."""
        laid = super().choose_chroma(luma, hints)
        if hints is not None and hints[..., 2].any():
            laid += 0.5 * hints[hints[..., 2] > 0][:, :2].mean(axis=0)
        return laid


def test_hints_are_placed_changed_and_removed(browser: Any) -> None:
    """With weights that take hints: click, see it spread, change, undo, save, load, remove."""
    with running_server(restorer=Restorer(Spreading())) as client:  # type: ignore[arg-type]
        page = Page(browser, client.address)
        page.open()
        grey = io.BytesIO()
        Image.fromarray(draw_photo(300, 400)[..., 1]).save(grey, "PNG")
        page.choose("g.png", grey.getvalue())
        page.page.locator("#split").fill("0")
        plain = page.pixels()
        page.page.keyboard.press("c")
        page.page.get_by_role("radio", name="red cloth").click()
        page.page.mouse.click(*page.place(120, 200))
        page.page.wait_for_timeout(700)
        page.idle()
        red = page.pixels()
        x, y = (round(v) for v in _inside(page, 300, 250))
        assert (red[y, x] - plain[y, x])[0] > 8
        page.page.mouse.click(*page.place(250, 100))
        page.page.wait_for_timeout(700)
        page.idle()
        assert page.page.locator("#hint-list li").count() == 2
        page.shoot("hints")
        page.page.locator("#hint-list input").first.fill("#2050d0")
        page.page.locator("#hint-list input").first.dispatch_event("change")
        page.page.get_by_role("button", name="Remove hint 2").click()
        page.page.wait_for_timeout(700)
        page.idle()
        photo_id = page.page.evaluate("location.hash.slice(1)")
        saved = client.get(f"/api/photos/{photo_id}/hints")
        (hint,) = saved.json["hints"]
        assert hint["color"] == "#2050d0"
        assert (hint["x"], hint["y"]) == pytest.approx((120, 200), abs=1.5)
        blue = page.pixels()
        assert (blue[y, x] - plain[y, x])[2] > 8
        page.page.reload()
        page.shown("g.png")
        assert page.page.locator("#hint-list li").count() == 1
        page.page.keyboard.press("Control+z")
        page.page.wait_for_timeout(700)
        assert page.page.locator("#hint-list li").count() == 2
        page.page.click("#hints-clear")
        page.page.wait_for_timeout(700)
        page.idle()
        page.page.set_input_files(
            "#hints-file", {"name": "h.json", "mimeType": "", "buffer": saved.body}
        )
        page.page.wait_for_timeout(900)
        page.idle()
        assert page.page.locator("#hint-list li").count() == 1
        page.page.set_input_files(
            "#sample-file", {"name": "other.png", "mimeType": "image/png", "buffer": _photo()}
        )
        page.page.locator("#sample-canvas").click(position={"x": 10, "y": 10})
        assert page.page.input_value("#wheel") != "#2050d0"
        page.close()


def test_colour_tool_says_why_it_is_off(page: Page) -> None:
    """With weights that take no hints the tool is disabled, and the reason is there to read."""
    page.choose("a.png", _photo())
    assert page.page.locator("input[name=tool][value=hint]").is_disabled()
    assert "tiny can't take hints of colour" in page.page.inner_text("#hint-reason")
    page.page.keyboard.press("c")
    assert page.page.get_attribute("#picture", "data-tool") == "look"


def test_overlays_show_what_was_invented(page: Page) -> None:
    """Repaired, guessed, unexplained; with sentences in plain words."""
    page.choose("a.png", _photo())
    for kind in ("repaired", "guessed", "unexplained"):
        page.page.locator(f"#overlays input[value={kind}]").check()
    page.page.wait_for_selector('#overlays[data-shown="repaired guessed unexplained"]')
    page.idle()
    text = page.page.inner_text("#sentences")
    assert "Repaired:" in text
    assert "Guessed:" in text
    page.shoot("invented")


def test_zoom_to_one_shows_native_pixels(browser: Any, server: Client) -> None:
    """Beyond the preview both halves come at native resolution, and move together."""
    photo = cv2.resize(draw_photo(300, 400), (1600, 1200))
    photo[::2, ::2] //= 2  # a pattern that no reduced copy can hold
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG")
    page = Page(browser, server.address, viewport={"width": 860, "height": 620})
    page.open()
    page.choose("large.png", file.getvalue())
    page.page.click("#zoom-one")
    page.page.wait_for_selector('#picture[data-part*="x="]')
    page.idle()
    page.page.locator("#split").fill("100")
    shown = page.pixels()
    view = page.page.evaluate("window.view()")
    x0, y0 = round(-view["x"]) + 200, round(-view["y"]) + 150
    wanted = photo[y0 : y0 + 100, x0 : x0 + 100]
    near = [
        np.abs(shown[150 + dy : 250 + dy, 200 + dx : 300 + dx] - wanted).mean()
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    ]
    assert min(near) < 3
    page.shoot("one-to-one")
    page.close()


def test_album_is_restored_across_a_closed_tab(browser: Any, tmp_path: Path) -> None:
    """Start it, close the tab, open it again: finished, beside the originals, the bad one named."""
    for name in ("a.jpg", "b.png"):
        kind = "JPEG" if name.endswith("jpg") else "PNG"
        (tmp_path / name).write_bytes(_photo(300, 400, kind))
    (tmp_path / "bad.jpg").write_bytes(_photo(300, 400, "JPEG")[:900])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with running_server(tmp_path) as client:
        page = Page(browser, client.address)
        page.open()
        page.page.click("#restore-all")
        page.page.wait_for_selector(".thumb:has-text('restor')")
        page.close()
        page = Page(browser, client.address)
        page.open()
        page.page.wait_for_selector(".thumb .done >> nth=1", timeout=60_000)
        page.page.wait_for_selector(".thumb .failed")
        assert "damaged" in page.page.inner_text(".thumb .failed")
        page.page.locator("#album").scroll_into_view_if_needed()
        page.shoot("album", full_page=True)
        page.close()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {*before, "a.restored.jpg", "b.restored.png"}
    assert all((tmp_path / name).read_bytes() == content for name, content in before.items())


def test_error_is_one_line_that_can_be_closed(page: Page) -> None:
    """A file that is no photograph."""
    page.page.set_input_files(
        "#files", {"name": "letter.doc", "mimeType": "", "buffer": b"Dear grandmother"}
    )
    page.page.wait_for_selector("#errors p")
    text = page.page.inner_text("#errors span")
    assert "letter.doc: not a photograph in a known format" in text
    page.shoot("error")
    page.page.get_by_role("button", name="Close").click()
    assert page.page.locator("#errors p").count() == 0


def test_keyboard_alone_does_the_whole_way(page: Page, server: Client) -> None:
    """Choose, move the divider, paint, undo, download, with no pointer."""
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Tab")
    assert page.page.evaluate("document.activeElement.id") == "choose"
    with page.page.expect_file_chooser() as waiting:
        page.page.wait_for_timeout(500)  # until the browser knows that we wait
        page.page.keyboard.press("Enter")
    waiting.value.set_files({"name": "k.png", "mimeType": "image/png", "buffer": _photo()})
    page.shown("k.png")
    page.page.locator("#tools input").first.focus()
    page.page.keyboard.press("ArrowRight")
    assert page.page.get_attribute("#picture", "data-tool") == "add"
    for _ in range(12):
        page.page.keyboard.press("Tab")
        if page.page.evaluate("document.activeElement.id") == "canvas":
            break
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowDown", "Space"):
        page.page.keyboard.press(key)
    page.page.wait_for_timeout(700)
    page.idle()
    page.shoot("keyboard")
    assert (_marks(server, page) == 255).any()
    page.page.keyboard.press("Control+z")
    page.page.wait_for_timeout(700)
    page.idle()
    assert (_marks(server, page) == 128).all()
    for _ in range(40):
        page.page.keyboard.press("Tab")
        if page.page.evaluate("document.activeElement.id") == "download":
            break
    with page.page.expect_download() as download:
        page.page.keyboard.press("Enter")
    assert download.value.suggested_filename == "k.restored.png"


def test_phone_draws_with_one_finger_and_moves_with_two(browser: Any, server: Client) -> None:
    """A phone's width; nothing is cut off; a pinch zooms and paints nothing."""
    page = Page(
        browser, server.address, viewport={"width": 390, "height": 780},
        device_scale_factor=3, is_mobile=True, has_touch=True,
    )  # fmt: skip
    page.open()
    page.choose("p.png", _photo())
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.shoot("phone", full_page=True)
    page.page.locator("#tools label:has-text('Mark damage')").tap()
    touch = page.context.new_cdp_session(page.page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        touch.send(
            "Input.dispatchTouchEvent",
            {
                "type": kind,
                "touchPoints": [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)],
            },
        )

    page.page.evaluate("window.scrollTo(0, 0)")
    start, end = page.place(100, 150), page.place(300, 150)
    send("touchStart", start)
    for part in np.linspace(0.1, 1, 10):
        send("touchMove", tuple(np.array(start) + part * (np.array(end) - start)))
    send("touchEnd")
    page.page.wait_for_timeout(700)
    page.idle()
    drawn = _marks(server, page)
    assert (drawn[150, 110:290] == 255).all()
    page.shoot("phone-brush")
    scale = page.page.evaluate("window.view().scale")
    (ax, ay), (bx, by) = page.place(150, 150), page.place(250, 150)
    send("touchStart", (ax, ay))
    send("touchStart", (ax, ay), (bx, by))
    for step in range(1, 8):
        send("touchMove", (ax - 8 * step, ay), (bx + 8 * step, by))
    send("touchEnd")
    page.page.wait_for_timeout(700)
    page.idle()
    assert page.page.evaluate("window.view().scale") > 1.5 * scale
    assert (_marks(server, page) == drawn).all()
    page.close()


@pytest.mark.parametrize("percent", [50, 150, 200])
def test_page_zoomed_by_the_browser_holds_together(
    browser: Any, server: Client, percent: int
) -> None:
    """As its zoom lays it out: fewer CSS pixels, more of the screen's for each."""
    viewport = {"width": 128_000 // percent, "height": 82_000 // percent}
    page = Page(browser, server.address, viewport=viewport, device_scale_factor=percent / 100)
    page.open()
    page.choose("z.png", _photo())
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.page.keyboard.press("b")
    page.page.locator("#brush-size").fill("0")
    page.page.locator("#canvas").scroll_into_view_if_needed()
    page.page.mouse.click(*page.place(120.5, 80.5))
    page.page.wait_for_timeout(700)
    page.idle()
    page.shoot(f"zoom-{percent}", full_page=True)
    (where,) = np.argwhere(_marks(server, page) == 255)
    assert np.abs(where - (80, 120)).max() <= 1
    page.close()


def test_full_screen_shows_the_picture_alone(browser: Any, server: Client) -> None:
    """And the brush still meets the pixel under it."""
    page = Page(browser, server.address)
    page.open()
    page.choose("f.png", _photo())
    page.page.keyboard.press("b")
    page.page.locator("#brush-size").fill("0")
    page.page.click("#full")
    page.page.wait_for_function("document.fullscreenElement && innerHeight == screen.height")
    page.page.wait_for_timeout(300)
    page.idle()
    page.shoot("full-screen")
    page.page.mouse.click(*page.place(200.5, 150.5))
    page.page.wait_for_timeout(700)
    page.idle()
    (where,) = np.argwhere(_marks(server, page) == 255)
    assert np.abs(where - (150, 200)).max() <= 1
    page.close()


def test_large_camera_photograph_needs_no_large_canvas(browser: Any, server: Client) -> None:
    """48 megapixels: every canvas stays far below what a phone allows."""
    photo = cv2.resize(draw_photo(300, 400), (8000, 6000))
    done, content = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 70])
    assert done
    page = Page(
        browser, server.address, viewport={"width": 390, "height": 780}, device_scale_factor=3
    )
    page.open()
    page.choose("camera.jpg", content.tobytes())
    areas = page.page.evaluate(
        "[...document.querySelectorAll('canvas')].map((c) => c.width * c.height)"
    )
    assert max(areas) < 4_000_000
    assert np.abs(np.diff(page.pixels().astype(int), axis=1)).max() > 10
    page.close()


def test_everything_has_a_name(page: Page) -> None:
    """Every control and picture is named for those who don't see it."""
    page.choose("a.png", _photo())
    nameless = page.page.evaluate(
        """[...document.querySelectorAll("button, a, input, select, img, canvas, progress")]
        .filter((each) => each.offsetParent !== null)
        .filter((each) => !(each.getAttribute("aria-label") || each.labels?.[0]?.textContent.trim()
            || each.textContent.trim() || each.alt || each.title
            || each.querySelector("img")?.alt))
        .map((each) => each.outerHTML)"""
    )
    assert nameless == []
    page.page.locator("#download").focus()
    page.page.keyboard.press("Shift+Tab")
    page.page.keyboard.press("Tab")
    outline = page.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_text_has_contrast(page: Page) -> None:
    """At least 4.5 to 1 for every text that can be read."""
    page.choose("a.png", _photo())
    poor = page.page.evaluate(
        """() => {
        const light = (rgb) => {
            const [r, g, b] = rgb.map((v) => v / 255)
                .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const parse = (text) => text.match(/[\\d.]+/g).map(Number);
        const behind = (each) => {
            for (let at = each; at; at = at.parentElement) {
                const color = parse(getComputedStyle(at).backgroundColor);
                if (color.length < 4 || color[3] > 0.5) return color.slice(0, 3);
            }
            return [255, 255, 255];
        };
        const found = [];
        for (const each of document.querySelectorAll("body *")) {
            const own = [...each.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
            if (!own || each.offsetParent === null || each.disabled) continue;
            if (each.closest(".hidden, .skip")) continue;
            if (each.previousElementSibling?.disabled) continue;
            const front = parse(getComputedStyle(each).color).slice(0, 3);
            const [a, b] = [light(front), light(behind(each))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) found.push([each.textContent.trim().slice(0, 40), ratio]);
        }
        return found;
        }"""
    )
    assert poor == []
