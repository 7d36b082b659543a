"""The page of `saccade review`, in a real browser and by its requests: corrections are kept, nothing else changes."""

import errno
import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from pipelines.annotating import review
from pipelines.annotating.export import export
from pipelines.annotating.places import Places
from pipelines.annotating.review import HTML, Queue, review_app
from pipelines.commands import app as cli
from saccade.annotation.values import Flag
from saccade.errors import ConfigError
from tests.pipelines.annotating.conftest import SAID, annotated
from tests.pipelines.serving.test_page import served, watched
from tests.pipelines.written_run import HOSTILE

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def client(run: Path) -> TestClient:
    return TestClient(review_app(Queue(run)), base_url="http://127.0.0.1:8010")


def corrections(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Places(run).corrections.read_text().splitlines()]


def test_what_needs_review_is_queued(client: TestClient, run: Path) -> None:
    assert client.get("/items").json() == {"folder": str(run), "count": 5, "left": 5, "first": 0}
    one = client.get("/items/1").json()
    assert (one["image"], one["field"], one["text"], one["flag"]) == ("b.png", "total", "twelve", "not_an_amount")
    assert client.get("/items/5").status_code == 404
    assert len(Queue(run, every=True).items) == 9 and len(Queue(run, fields=["total"]).items) == 2


def test_every_flag_has_its_words_on_the_page() -> None:
    page = HTML.read_text()
    assert [flag for flag in get_args(Flag) if f'{flag}: "' not in page] == []


def test_a_crop_is_of_the_evidence_and_marked(client: TestClient) -> None:
    crop, whole = (
        Image.open(io.BytesIO(client.get(f"/items/0/crop.png?whole={whole}").content)) for whole in ("false", "true")
    )
    assert whole.size == (120, 160) and crop.size == (80, 38)  # 20 x 20 px, a quarter of the page to its sides
    assert whole.convert("RGB").getpixel((40, 20)) == (213, 94, 0)
    missing = client.get("/items/2/crop.png")
    assert missing.status_code == 404 and "PictureError" in missing.json()["detail"]


def test_what_does_not_fit_is_said_first_and_kept_when_insisted_on(client: TestClient, run: Path) -> None:
    refused = client.post("/items/1", json={"text": "dozen"})
    assert (refused.status_code, refused.json()) == (422, {"flag": "not_an_amount"})
    assert not Places(run).corrections.exists()
    assert client.post("/items/1", json={"text": "dozen", "anyway": True}).json() == {"left": 4}
    assert client.post("/items/1", json={"text": "12.00"}).json() == {"left": 4}
    assert [(line["text"], line["read"]) for line in corrections(run)] == [("dozen", "twelve"), ("12.00", "twelve")]


def test_what_is_accepted_keeps_its_box_however_it_was_spaced(tmp_path: Path) -> None:
    """A line of a page's form holds no line breaks, and joins the words around them."""
    read = "ACME Ltd\n12  Main St"
    run = annotated(tmp_path / "run", {**SAID, "b.png": {**SAID["b.png"], "company": (read, 0.5)}})
    client = TestClient(review_app(Queue(run)), base_url="http://127.0.0.1:8010")
    shown = client.get("/items/0").json()["text"]
    assert shown == "ACME Ltd 12 Main St"
    assert client.post("/items/0", json={"text": shown}).json() == {"left": 4}
    assert [(line["text"], line["read"]) for line in corrections(run)] == [(shown, read)]
    export(run)
    line = json.loads(Places(run).annotations_jsonl.read_text().splitlines()[1])["fields"]["company"]
    assert (line["text"], line["box"], line["by"]) == (shown, [40, 20, 60, 40], "person")


def test_a_full_disk_is_said_and_nothing_counts_as_seen(
    client: TestClient, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(Places(run).corrections))

    monkeypatch.setattr(review, "append_correction", full)
    told = client.post("/items/1", json={"text": "12.00"})
    assert told.status_code == 507 and "the disk is full: make room" in told.json()["detail"]
    assert client.get("/items").json()["left"] == 5


def test_other_sites_cannot_correct(client: TestClient, run: Path) -> None:
    said = {"text": "1"}
    assert client.post("/items/1", json=said, headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.post("/items/1", json=said, headers={"Host": "evil.example"}).status_code == 400  # rebound DNS
    assert client.post("/items/1", content=json.dumps(said), headers={"Content-Type": "text/plain"}).status_code == 422
    assert not Places(run).corrections.exists()
    assert client.post("/items/1", json=said, headers={"Origin": "http://127.0.0.1:8010"}).status_code == 200


def test_a_folder_that_is_no_annotation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not the --output of a `saccade annotate`"):
        Queue(tmp_path)


def test_a_port_that_is_taken_is_said_before_an_address_is(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr("sys.argv", ["saccade", "review", str(run), "--port", str(taken.getsockname()[1])])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
    told = capsys.readouterr()
    assert stopped.value.code == 2 and told.out == "" and told.err.count("\n") == 1
    assert "Address already in use. Choose another --port" in told.err


def test_what_was_said_in_a_review_that_was_killed_is_written_by_the_next(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing is left to review."""
    export(run)
    queue = Queue(run)
    for item in queue.items:
        assert queue.say(item, review.Said(text="12.00", anyway=True)) is None
    monkeypatch.setattr("sys.argv", ["saccade", "review", str(run)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = " ".join(capsys.readouterr().out.split())
    assert (
        ended.value.code == 0 and "nothing needs review" in told and "5 values by a person, 0 still to review" in told
    )
    second = json.loads(Places(run).annotations_jsonl.read_text().splitlines()[1])
    assert second["fields"]["total"]["text"] == "12.00" and not second["review"]
    assert Places(run).review_jsonl.read_text() == ""
    with pytest.raises(SystemExit):
        cli.main()
    assert "written again" not in capsys.readouterr().out


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    with watched(browser, 1100, allowed=("data:",)) as page:
        yield page
        assert page.evaluate("window.hacked") is None


def test_values_are_corrected_with_the_keyboard(page: Any, run: Path) -> None:
    answers = {path.name: path.read_bytes() for path in (run / "answers").iterdir()}
    with served(review_app(Queue(run))) as address:
        page.goto(address)
        page.wait_for_function("document.querySelector('#left').textContent.startsWith('1 of 5, 5 left')")
        assert page.input_value("#text") == "Blue" and "not sure, 50 % sure" in page.text_content("#why")
        page.wait_for_function("document.querySelector('#crop').naturalWidth === 80")
        page.keyboard.press("Enter")  # accepted
        page.wait_for_function("document.querySelector('#left').textContent.startsWith('2 of 5, 4 left')")
        page.keyboard.press("Enter")
        page.wait_for_function("document.querySelector('#why').textContent.includes('Enter again keeps it')")
        page.keyboard.type("12.00")  # what stood there is selected
        page.keyboard.press("Enter")
        page.wait_for_function("document.querySelector('#left').textContent.startsWith('3 of 5, 3 left')")
        page.wait_for_selector("#nopage:not([hidden])")
        page.keyboard.press("PageUp")
        page.wait_for_function("document.querySelector('#text').value === '12.00'")
        page.keyboard.press("Alt+w")
        page.wait_for_function("document.querySelector('#crop').naturalWidth === 120")
        for _ in range(3):
            page.keyboard.press("PageDown")
            page.wait_for_timeout(200)
        page.wait_for_selector("#choice:not([hidden])")
        page.keyboard.press("y")  # chooses yes
        page.keyboard.press("Enter")
        page.wait_for_function("document.querySelector('#left').textContent.includes('2 left')")
    said = [(line["image_id"], line["field"], line["text"]) for line in corrections(run)]
    assert said == [("b.png", "company", "Blue"), ("b.png", "total", "12.00"), ("bad.png", "paid", "yes")]
    assert export(run).by_person == 3
    assert {path.name: path.read_bytes() for path in (run / "answers").iterdir()} == answers


def test_what_was_read_is_text_and_nothing_else(page: Any, tmp_path: Path) -> None:
    said = {**SAID, "b.png": {name: (HOSTILE, 0.1) for name in ("company", "total", "paid")}}
    with served(review_app(Queue(annotated(tmp_path / "run", said)))) as address:
        page.goto(address)
        page.wait_for_function(f"document.querySelector('#text').value === {json.dumps(HOSTILE)}")
        page.wait_for_timeout(300)


def test_keys_faster_than_the_replies_correct_only_what_is_shown(page: Any, run: Path) -> None:
    def shows(left: str, text: str) -> None:
        page.wait_for_function(
            "([left, text]) => document.querySelector('#left').textContent === left"
            " && document.querySelector('#text').value === text",
            arg=[left, text],
        )

    def hold(route: Any) -> None:
        late.append(route)

    def held(count: int) -> None:
        """Waits until so many requests are held, and then for any more that should not be made."""
        while len(late) < count:
            page.wait_for_timeout(20)
        page.wait_for_timeout(300)
        assert len(late) == count

    def answer_late() -> None:
        for route in late:
            route.continue_()
        late.clear()

    late: list[Any] = []
    with served(review_app(Queue(run))) as address:
        page.goto(address)
        page.wait_for_function("document.querySelector('#text').value === 'Blue'")
        page.route("**/items/1", hold)
        page.keyboard.press("PageDown")
        page.keyboard.press("Enter")  # the second value is not there yet
        held(1)
        assert late[0].request.method == "GET"
        answer_late()
        shows("2 of 5, 5 left", "twelve")
        page.route("**/items/2", hold)
        page.keyboard.press("PageDown")
        page.keyboard.press("PageUp")
        held(2)
        late.sort(key=lambda route: route.request.url)
        answer_late()  # the one asked for last comes first
        page.wait_for_timeout(300)
        shows("2 of 5, 5 left", "twelve")
        page.unroute("**/items/2")
        page.fill("#text", "12.00")
        page.keyboard.press("Enter")
        page.keyboard.press("PageDown")  # it is being kept still
        held(1)
        answer_late()
        page.wait_for_function("document.querySelector('#left').textContent === '3 of 5, 4 left'")
    assert [(line["field"], line["text"]) for line in corrections(run)] == [("total", "12.00")]
