"""`--pages` in ask, batch and serve: each page is a picture, and none is taken in silence."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from rich.console import Console
from typer import Exit
from typer.testing import CliRunner

from pipelines.commands.app import app
from pipelines.commands.ask import answer
from pipelines.commands.settings import merged, run_config, serve_config
from pipelines.execute.run import batch
from pipelines.serving.settings import ServeConfig
from saccade.config import Episode
from saccade.datasets import Row
from saccade.engines.hf import HF
from saccade.errors import ConfigError, PictureError
from tests.broken_images import encoded, page
from tests.decoding.test_pages import SHEETS, file_of


@pytest.fixture(scope="module")
def fax(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fax")
    (folder / "fax.tif").write_bytes(file_of("TIFF", [sheet.resize((140, 196)) for sheet in SHEETS]))
    (folder / "one.png").write_bytes(encoded(page(140, 196)))
    return folder


def ask(
    model: Path, image: Path, pages: str | None, trace: Path | None = None, *, as_json: bool = False, status: int = 0
) -> str:
    console = Console(record=True, width=200, file=open("/dev/null", "w"))
    episode = Episode(budget={"name": "fixed", "tokens": 12}, fixations=1)
    engine = HF(model=str(model), max_new_tok=2, device="cpu")
    with pytest.raises(Exit, match=f"^{status}$") if status else nullcontext():
        answer(image, "What?", engine, episode, trace, pages, console, as_json=as_json)
    return console.export_text()


def test_ask_answers_for_each_page(qwen2_5_vl: Path, fax: Path, tmp_path: Path) -> None:
    said = ask(qwen2_5_vl, fax / "fax.tif", None, tmp_path / "looked.png")
    assert [line for line in said.splitlines() if line.startswith("page ")] == [f"page {n} of 3" for n in (1, 2, 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"looked-page{n}.png" for n in (1, 2, 3)]
    said = ask(qwen2_5_vl, fax / "fax.tif", "2", tmp_path / "two.png")
    assert "page 2 of 3" in said and "page 1" not in said and (tmp_path / "two.png").exists()
    assert "page" not in ask(qwen2_5_vl, fax / "one.png", None)
    with pytest.raises(ConfigError, match=r"fax.tif' has 3 pages; --pages 7- chooses none of them"):
        ask(qwen2_5_vl, fax / "fax.tif", "7-")
    with pytest.raises(ConfigError, match=r"fax.tif' has 3 pages; --pages 2,9 asks for page 9 as well"):
        ask(qwen2_5_vl, fax / "fax.tif", "2,9")
    with pytest.raises(ConfigError, match=r"fax.tif' has 3 pages; --pages 1,3-5 asks for pages 4-5 as well \(2- means"):
        ask(qwen2_5_vl, fax / "fax.tif", "1,3-5")
    with pytest.raises(ConfigError, match=r"one.png' has 1 page; --pages 2 chooses none"):
        ask(qwen2_5_vl, fax / "one.png", "2")


def test_a_page_that_cannot_be_read_costs_itself(qwen2_5_vl: Path, fax: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from saccade.decoding import files

    read = files.size_px

    def broken(data: bytes, number: int | None) -> tuple[int, int]:
        if number == 2:
            raise PictureError("page 2 is damaged")
        return read(data, number)

    monkeypatch.setattr(files, "size_px", broken)
    said = ask(qwen2_5_vl, fax / "fax.tif", None, status=3)
    assert "error: page 2 is damaged" in said and "page 3 of 3" in said
    with pytest.raises(PictureError, match="page 2 is damaged"):
        ask(qwen2_5_vl, fax / "fax.tif", "2")  # nothing else was asked


def test_json_stands_alone(
    qwen2_5_vl: Path, fax: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from saccade.decoding import files

    read = files.size_px

    def broken(data: bytes, number: int | None) -> tuple[int, int]:
        if number == 1:
            raise PictureError("it is damaged")
        return read(data, number)

    monkeypatch.setattr(files, "size_px", broken)
    said = ask(qwen2_5_vl, fax / "fax.tif", "1-2", tmp_path / "looked.png", as_json=True, status=3)
    assert [json.loads(line)["page"] for line in said.splitlines()] == [2]
    told = capsys.readouterr().err
    assert "page 1: error: it is damaged" in told and "drawn in" in told


def test_batch_says_first_which_pages_there_are_not(qwen2_5_vl: Path, fax: Path, tmp_path: Path) -> None:
    options = {"dataset": str(fax), "question": "What?", "output": tmp_path / "run", "pages": "1,3-5"}
    options |= {"model": str(qwen2_5_vl), "device": "cpu", "in_process": True}
    console = Console(record=True, width=200, file=open("/dev/null", "w"))
    summary = batch(run_config(merged(None, options, None)), console)
    assert "of --pages 1,3-5: fax.tif (the file has 3 pages; chosen are 1,3-5)" in console.export_text()
    assert summary["skipped"] == {"no_such_page": 1} and summary["questions"] == 3


@pytest.mark.parametrize(("pages", "listed"), [("2", 1), ("1,3-5", 2), (None, 3)])
def test_batch_lists_the_chosen_pages(fax: Path, pages: str | None, listed: int, tmp_path: Path) -> None:
    options = {"dataset": str(fax), "question": "What?", "output": tmp_path / "run"} | (
        {"pages": pages} if pages else {}
    )
    config = run_config(merged(None, options, None))
    rows = [row for row in config.open_dataset().rows() if isinstance(row, Row) and "fax" in row.image_id]
    assert len(rows) == listed and config.dataset["pages"] == pages
    (tmp_path / "run.yaml").write_text(f"dataset: {{name: '{fax}', question: 'What?'}}\npages: 3\n")
    assert run_config(merged(tmp_path / "run.yaml", {}, None)).dataset["pages"] == "3"
    with pytest.raises(ConfigError, match="pages = '0'"):
        run_config(merged(None, options | {"pages": "0"}, None))
    with pytest.raises(ConfigError, match="data set 'synthdoc' takes no --pages"):
        run_config(merged(None, {"dataset": "synthdoc", "pages": "1"}, None))


def test_serve_takes_pages_and_origins() -> None:
    options = {"pages": "1,3-5", "allow_origin": ["https://app.test", "*"]}
    config = serve_config(merged(None, options, None, plain=ServeConfig.model_fields))
    assert (config.pages, config.allow_origins) == ("1,3-5", ("https://app.test", "*"))
    assert serve_config({"pages": 3}).pages == "3"
    with pytest.raises(ConfigError, match="pages = 'x'"):
        serve_config({"pages": "x"})


@pytest.mark.parametrize("command", ["ask", "batch", "serve"])
def test_the_help_tells_of_pages(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert "--pages" in result.output and "1,3-5" in result.output


@pytest.mark.parametrize("command", [["show", "--what", "print-size"], ["analyze"], ["levels", "--question", "What?"]])
def test_what_draws_or_measures_an_image_takes_one_page(command: list[str], fax: Path, tmp_path: Path) -> None:
    name, *options = command
    if name != "levels":
        options += ["--output", str(tmp_path / ("drawn.png" if name == "show" else "numbers"))]

    def said(*pages: str) -> str:
        result = CliRunner().invoke(app, [name, str(fax / "fax.tif"), *options, *pages])
        return str(result.exception) if result.exception else "done"

    assert "fax.tif': the file has 3 pages, and a picture is one of them: choose one (--pages 1 to --pages 3" in said()
    assert said("--pages", "1-2") == "pages = '1-2': one page is looked at here; write one number"
    assert said("--pages", "4").endswith("fax.tif': there is no page 4: the file has 3 pages")
    assert said("--pages", "2") == "done"
