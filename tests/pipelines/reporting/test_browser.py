"""The page of `saccade report` in a real browser, opened as a file: it zooms, fetches nothing, runs nothing foreign."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.reporting.page import report
from tests.pipelines.written_run import HOSTILE, answer, error_row, look, write_run

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Eight answers, one of them hostile, and an error."""
    rows = [answer(n, f"INV-{n}", n / 10, 0.1 * n, page=f"{n % 2}.png") for n in range(7)]
    hostile = [look(0.25, 0.5, range(9), HOSTILE, 0.99, reason=HOSTILE)]
    rows += [answer(7, HOSTILE, 0.0, 0.99, question=HOSTILE, looks=hostile), error_row(8, HOSTILE, question=HOSTILE)]
    folder = write_run(tmp_path_factory.mktemp("report") / "data" / "run", rows, shape=(640, 480))
    return report(folder, None, 3).as_uri()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    said: list[str] = []
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    opened.on("request", lambda sent: said.append(sent.url[:80]) if sent.url != address else None)
    opened.set_default_timeout(30_000)
    opened.goto(address)
    yield opened
    assert opened.evaluate("window.hacked") is None
    opened.close()
    assert [text for text in said if not text.startswith("data:")] == []


def box(page: Any) -> list[float]:
    """x, y, width and height of what is shown of the page."""
    return [float(part) for part in page.get_attribute("#stage svg", "viewBox").split()]


def under(page: Any, x: float, y: float) -> list[float]:
    """Which place of the page is at a place of the screen."""
    script = """([x, y]) => { const at = new DOMPoint(x, y).matrixTransform(
        document.querySelector('#stage svg').getScreenCTM().inverse()); return [at.x, at.y] }"""
    return list(page.evaluate(script, [x, y]))


def test_the_page_fits_wide_and_narrow_screens(page: Any) -> None:
    for width in (1280, 400, 320):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".example").count() == 6
    assert page.locator("svg.chart").count() == 6


def test_wheel_zooms_about_the_pointer_and_drag_moves(page: Any) -> None:
    page.click(".example .open >> nth=0")
    assert box(page) == [0, 0, 480, 640]
    page.mouse.move(700, 500)
    before = under(page, 700, 500)
    page.mouse.wheel(0, -500)
    page.wait_for_function("document.querySelector('#stage svg').viewBox.baseVal.width < 400")
    assert under(page, 700, 500) == pytest.approx(before, abs=0.5)
    zoomed = box(page)
    page.mouse.down()
    page.mouse.move(640, 470, steps=4)
    page.mouse.up()
    assert under(page, 640, 470) == pytest.approx(before, abs=0.5)  # what was held is where it was let go
    assert box(page)[2:] == zoomed[2:] and box(page)[:2] != zoomed[:2]
    page.mouse.wheel(0, 20_000)
    page.wait_for_function("document.querySelector('#stage svg').viewBox.baseVal.width > 480")
    assert box(page)[2] == pytest.approx(1.2 * 480)  # no farther
    page.click("#all")
    assert box(page) == [0, 0, 480, 640]


def test_buttons_keys_and_the_overlay(page: Any) -> None:
    page.click(".example .open >> nth=1")
    page.click("#in")
    assert box(page)[2] == pytest.approx(480 / 1.4)
    page.keyboard.press("-")
    assert box(page)[2] == pytest.approx(480)
    page.keyboard.press("ArrowRight")
    assert box(page)[0] == pytest.approx(60)
    page.keyboard.press("0")
    assert box(page)[0] == 0
    assert page.locator("#stage .over").is_visible()
    page.click("#over")
    assert not page.locator("#stage .over").is_visible()
    page.keyboard.press("Escape")
    page.wait_for_selector("#stage svg", state="detached")  # a dialog tells that it was closed a moment later
    page.click(".example .open >> nth=0")
    assert not page.locator("#stage .over").is_visible()  # as it was left


def test_numbers_keep_their_size_and_the_gaze_its_place(page: Any) -> None:
    page.click(".example .open >> nth=0")

    def disc() -> dict[str, float]:
        return page.locator("#stage .mark circle").first.bounding_box()

    before = disc()
    page.click("#in")
    page.click("#in")
    after = disc()
    assert after["width"] == pytest.approx(before["width"], abs=0.5)
    centre = under(page, after["x"] + after["width"] / 2, after["y"] + after["height"] / 2)
    assert centre == pytest.approx([0.3 * 480, 0.4 * 640], abs=1)  # the first gaze of every answer but the hostile one


def test_what_was_kept_is_clear_and_the_rest_is_grey(page: Any) -> None:
    page.click(".example .open >> nth=0")
    page.wait_for_timeout(200)
    import io

    import numpy as np
    from PIL import Image

    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(float)

    def spread(row: int, col: int) -> float:
        script = """([x, y]) => { const at = new DOMPoint(x, y).matrixTransform(
            document.querySelector('#stage svg').getScreenCTM()); return [at.x, at.y] }"""
        x, y = page.evaluate(script, [(col + 0.5) * 80, (row + 0.5) * 80])
        return float(shot[int(y) - 20 : int(y) + 20, int(x) - 20 : int(x) + 20].std())

    assert spread(0, 1) > 2 * spread(7, 1)  # cells 0 to 9 are kept, the last rows are not


def test_a_hostile_question_is_text(page: Any) -> None:
    shown = page.locator(".example .q").all_inner_texts()
    assert any("<img src=x onerror=" in text for text in shown)
    number = next(n for n, text in enumerate(shown) if "<img" in text)
    page.locator(".example .open").nth(number).click()
    assert "<script>window.hacked = 1</script>" in page.inner_text("#caption")
    page.click("#close")
    for summary in page.locator("summary").all():
        summary.click()
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1


def test_a_script_that_got_in_would_not_run(browser: Any, address: str, tmp_path: Path) -> None:
    html = Path(address.removeprefix("file://")).read_text()
    (tmp_path / "bad.html").write_text(html.replace("<main>", "<main><script>window.hacked = 1</script>", 1))
    opened = browser.new_page()
    opened.goto((tmp_path / "bad.html").as_uri())
    assert opened.evaluate("[window.hacked ?? null, document.scripts.length]") == [None, 2]
    opened.close()


def test_an_experiments_page(browser: Any, tmp_path: Path) -> None:
    entry = {
        "score": {
            "mean": 0.5,
            "low": 0.4,
            "high": 0.6,
            "num_questions": 3,
            "num_pages": 2,
            "num_resamples": 9,
            "seed": 0,
        },
        "exact": None,
        "coverage": None,
        "visual_tok": 273.0,
        "prefill_tok": 9.0,
        "fixations": 1.0,
        "read_s": 0.1,
        "plan_s": 0.1,
        "encoder_passes": 1.0,
        "bins": [],
    }
    variants = {f"variant {HOSTILE}@{n}": {**entry, "visual_tok": 100.0 * n} for n in range(1, 11)}
    (tmp_path / "results.json").write_text(json.dumps({"bins": [], "variants": {"full": entry, **variants}}))
    opened = browser.new_page(viewport={"width": 400, "height": 800})
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(report(tmp_path, None, 4).as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth") <= 400
    assert opened.locator("svg.chart").count() == 2
    assert opened.evaluate("window.hacked ?? null") is None and said == []
    opened.close()
