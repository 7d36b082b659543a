"""The page at /, in a real browser: an image goes in, fixations arrive one by one, full and resize beside them."""

import io
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image

from pipelines.serving.settings import hashed
from saccade.annotation.evidence import covers
from tests.pipelines.serving.client import in_process, png
from tests.pipelines.serving.test_http import Slow

pytestmark = pytest.mark.timeout(180)


class Server(uvicorn.Server):
    """In a thread: signals are the main thread's."""

    def install_signal_handlers(self) -> None:
        pass


@pytest.fixture(scope="module")
def site(qwen2_5_vl: Path) -> Iterator[str]:
    """Every read takes a while, so that fixations come apart from each other."""
    with in_process(qwen2_5_vl) as quick, in_process(qwen2_5_vl, Slow(quick.local, 0.2)) as endpoint:
        with served(endpoint.front.app()) as address:
            yield address


class served:  # noqa: N801
    """An app on a free port of this machine, while the block runs."""

    def __init__(self, app: Any) -> None:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.server = Server(uvicorn.Config(app, log_level="error", lifespan="off"))

    def __enter__(self) -> str:
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}/"

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.socket.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    with watched(browser, 1300, allowed=("blob:", "data:")) as page:
        yield page


@contextmanager
def watched(browser: Any, width_px: int, allowed: tuple[str, ...]) -> Iterator[Any]:
    """A tab that must not end with an error, nor with a request to elsewhere but to addresses that are `allowed`."""
    page, complaints = browser.new_page(viewport={"width": width_px, "height": 850}), list[str]()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if _unexpected(message) else None)
    page.on("request", lambda sent: complaints.append(sent.url) if "127.0.0.1" not in sent.url[:20] else None)
    page.set_default_timeout(30_000)
    yield page
    page.close()
    assert [text for text in complaints if not text.startswith(allowed)] == []


def _unexpected(message: Any) -> bool:
    """Chromium itself writes a line for every answer that is not 200; those are the page's to show."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")


def put(page: Any, address: str, data: bytes) -> None:
    page.goto(address)
    page.set_input_files("#file", {"name": "page.png", "mimeType": "image/png", "buffer": data})
    page.wait_for_selector("#drop.full")


def pixel(page: Any, x: float, y: float) -> list[int]:
    """(r, g, b) of the drawn picture at uv."""
    script = """([x, y]) => { const c = document.querySelector('#canvas'), d = c.getContext('2d');
        return [...d.getImageData(Math.floor(x * c.width), Math.floor(y * c.height), 1, 1).data].slice(0, 3) }"""
    return list(page.evaluate(script, [x, y]))


def test_fixations_arrive_one_by_one_and_are_drawn(page: Any, site: str) -> None:
    put(page, site, png())
    before = page.evaluate("document.querySelector('#canvas').toDataURL()")
    page.fill("#question", "What is field 1?")
    page.evaluate("""() => { window.seen = []; new MutationObserver(() => window.seen.push(
        [document.querySelectorAll('#list li').length, document.querySelector('#result').hidden]))
        .observe(document.querySelector('#list'), {childList: true}) }""")
    page.click("#ask")
    page.wait_for_selector("#result:not([hidden])")
    seen = page.evaluate("window.seen")
    assert seen[0] == [1, True], "the first fixation is there before the answer"
    assert page.locator("#list li").count() == 2
    assert re.fullmatch(r"(< )?\d+ % sure · 24 of 35 tokens · [\d.]+ s", page.inner_text("#facts"))
    page.wait_for_timeout(600)
    assert page.evaluate("document.querySelector('#canvas').toDataURL()") != before
    page.click("#list li:first-child button")
    assert page.get_attribute("#list li:first-child button", "aria-pressed") == "true"
    first = page.evaluate("document.querySelector('#canvas').toDataURL()")
    page.click("#list li:nth-child(2) button")
    assert page.evaluate("document.querySelector('#canvas').toDataURL()") != first
    page.click("[data-view=picture]")
    assert page.evaluate("document.querySelector('#canvas').toDataURL()") == before
    page.click("[data-view=importance]")
    assert page.evaluate("document.querySelector('#canvas').toDataURL()") not in (before, first)


def test_full_and_resize_stand_beside_it(page: Any, site: str) -> None:
    put(page, site, png(seed=3))
    page.fill("#question", "What is field 2?")
    page.press("#question", "Enter")
    page.wait_for_selector("#compare:not([hidden])")
    for name, tokens in (("full", "35 tokens"), ("resize", r"\d+ tokens")):
        page.click(f"#{name} button")
        page.wait_for_selector(f"#{name} .c")
        found = re.search(rf"sure · ({tokens}) · ", page.inner_text(f"#{name} .c"))
        assert found and int(found[1].split()[0]) <= 35
    assert int(re.search(r"(\d+) tokens", page.inner_text("#resize .c"))[1]) <= 24  # type: ignore[index]


def test_what_was_asked_of_another_picture_is_not_shown(page: Any, site: str) -> None:
    def change(width_px: int) -> None:
        """Another picture while something is asked; then the time in which the reply would come."""
        new = {"name": "new.png", "mimeType": "image/png", "buffer": png(width_px)}
        page.set_input_files("#file", new)
        page.wait_for_function("width => state.picture?.width === width", arg=width_px)
        page.wait_for_timeout(1500)
        assert page.locator("#list li").count() == 0 and page.inner_text("#ask") == "Ask"
        assert page.is_hidden("#result") and page.is_hidden("#error") and page.is_enabled("#ask")

    put(page, site, png(seed=5))
    page.fill("#question", "What is field 1?")
    page.click("#ask")
    change(168)
    page.click("#ask")
    page.wait_for_selector("#compare:not([hidden])")
    page.click("#full button")
    change(196)
    page.click("#ask")
    page.wait_for_selector("#compare:not([hidden])")
    assert page.locator("#full .c").count() == 0 and page.is_enabled("#full button")


def test_as_many_tokens_as_the_picture_is_complex(page: Any, site: str) -> None:
    put(page, site, png(seed=4))
    page.fill("#question", "What?")
    page.fill("#tokens", "some")
    page.click("#ask")
    assert not page.evaluate("document.querySelector('#tokens').checkValidity()"), "nothing is sent"
    page.fill("#tokens", "auto")
    with page.expect_request("**/chat/completions") as sent:
        page.click("#ask")
    assert sent.value.post_data_json["saccade"]["tokens"] == "auto"
    page.wait_for_selector("#result:not([hidden])")
    assert "35 tokens" in page.inner_text("#facts")  # all there are: fewer than the least that auto gives


def test_kept_tokens_stay_clear_and_others_fade(page: Any, site: str) -> None:
    put(page, site, _white())
    page.fill("#question", "What?")
    page.fill("#fixations", "1")
    page.click("#ask")
    page.wait_for_selector("#result:not([hidden])")
    page.wait_for_timeout(600)
    colours = {tuple(pixel(page, (col + 0.5) / 5, (row + 0.3) / 7)) for col in range(5) for row in range(7)}
    assert (255, 255, 255) in colours and any(max(rgb) < 190 and max(rgb) - min(rgb) < 20 for rgb in colours)


def test_coarse_tokens_are_drawn_as_large_as_they_are(page: Any, site: str) -> None:
    put(page, site, _white(392, 308))
    page.fill("#question", "What?")
    page.fill("#fixations", "1")
    page.click("#more summary")
    for name, value in (("sampler", "pyramid"), ("levels", "3")):
        choose = page.select_option if page.evaluate(f"document.querySelector('[name={name}]').options") else page.fill
        choose(f"[name={name}]", value)
    page.click("#ask")
    page.wait_for_selector("#result:not([hidden])")
    page.wait_for_timeout(600)
    (look,), grid = page.evaluate("[state.looks, state.grid]")
    assert set(look["levels"]) > {0}, "some are coarse, and some are not"
    drawn = page.evaluate("covered(state.looks[0])")
    tokens = list(zip(look["kept"], look["levels"], strict=True))
    assert drawn == [covers([token], grid) for token in tokens]
    sharp, all_of_them = (set(covers(some, grid)) for some in ([t for t in tokens if t[1] == 0], tokens))
    for cell in range(grid["rows"] * grid["cols"]):
        row, col = divmod(cell, grid["cols"])
        grey = sum(pixel(page, (col + 0.5) / grid["cols"], (row + 0.3) / grid["rows"])) / 3
        assert grey > 250 if cell in sharp else 200 < grey < 230 if cell in all_of_them else grey < 180, (row, col)


def _white(width_px: int = 140, height_px: int = 196) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width_px, height_px), "white").save(buffer, "png")
    return buffer.getvalue()


def test_errors_are_shown_and_the_page_goes_on(page: Any, site: str) -> None:
    put(page, site, png(2800, 12))
    page.fill("#question", "What?")
    page.click("#ask")
    page.wait_for_selector("#error:not([hidden])")
    assert "Crop it" in page.inner_text("#error")
    put(page, site, png())
    page.fill("#question", "What?")
    page.click("#ask")
    page.wait_for_selector("#result:not([hidden])")


def test_an_answer_that_broke_off_is_said(page: Any, site: str) -> None:
    """The server was ended in the middle of it, and the browser calls that the end of the answer."""
    put(page, site, png())
    opening = 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(status=200, content_type="text/event-stream", body=opening),
    )
    page.fill("#question", "What?")
    page.click("#ask")
    page.wait_for_selector("#error:not([hidden])", timeout=5_000)
    assert "broke off" in page.inner_text("#error") and page.is_enabled("#ask")


def test_the_sample_page_and_a_key(page: Any, browser: Any, qwen2_5_vl: Path) -> None:
    with in_process(qwen2_5_vl, key_hashes=(hashed("sesame"),)) as endpoint, served(endpoint.front.app()) as address:
        page.goto(address)
        page.wait_for_selector("#keyrow:not([hidden])")
        page.click("#sample")
        page.wait_for_selector("#drop.full")
        assert page.input_value("#question").strip()
        page.fill("#key", "sesame")
        page.click("#ask")
        page.wait_for_selector("#result:not([hidden])")


def test_a_narrow_screen_does_not_scroll_sideways(page: Any, site: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    put(page, site, png(900, 300))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
