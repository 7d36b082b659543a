"""The command line: help that teaches, one-line errors, settings that overrule each other in the right order."""

import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from pipelines.commands import app as cli
from pipelines.commands import doctor
from pipelines.commands.list import KINDS
from pipelines.commands.settings import merged
from pipelines.execute.run import Stopped
from saccade.engines.hf import HF
from saccade.errors import ConfigError
from saccade.registry import names
from tests import tiny
from tests.pipelines import written_run

COMMANDS = [
    "",
    "analyze",
    "annotate",
    "ask",
    "batch",
    "doctor",
    "experiment",
    "eye",
    "levels",
    "list",
    "rank",
    "report",
    "review",
    "serve",
    "show",
    "train",
    "train budget",
    "train calibration",
    "train head",
    "train joint",
    "train gates",
    "train keep",
    "train nano",
    "tune",
]
PASSED_ON = ["evaluate", "train gaze", "train levels", "train codec", "train quantiles"]
"""Their options are those of a module of saccade/training."""

DECLARED = ["numpy>=2.0", "ray[data,serve]>=2.60,<2.61", "transformers>=5.16.1,<5.20", 'pytest>=8; extra == "test"']


def plain(text: str) -> str:
    """Help without colours and without the spaces that pad lines."""
    return "\n".join(line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()) + "\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("TERM", "dumb")
    result = CliRunner().invoke(cli.app, [*command.split(), "--help"], terminal_width=110, prog_name="saccade")
    assert result.exit_code == 0, result.output
    golden(f"help/{command.replace(' ', '-') or 'saccade'}.txt", plain(result.output))


def test_every_command_is_in_the_golden_help() -> None:
    assert cli.names() == sorted({name.split()[0] for name in [*COMMANDS, *PASSED_ON] if name})


@pytest.mark.parametrize("command", PASSED_ON)
def test_options_of_training_are_its_own(command: str) -> None:
    shown = CliRunner().invoke(cli.app, [*command.split(), "--help"])
    assert shown.exit_code == 0 and re.search(rf"usage: (saccade {command}|python -m saccade)", shown.output)
    wrong = CliRunner().invoke(cli.app, [*command.split(), "--bogus"])
    assert wrong.exit_code == 2 and sys.argv[0] != f"saccade {command}"


@pytest.mark.parametrize("kind", KINDS)
def test_list(kind: str) -> None:
    lines = CliRunner().invoke(cli.app, ["list", kind]).output.splitlines()
    assert [line.split()[0] for line in lines] == names(kind)
    for line in lines:
        assert re.fullmatch(r"\S+ +\S.*\S\.", line), f"a name and one sentence: {line!r}"


def test_list_names_views_and_pictures_as_options_take_them() -> None:
    views, drawn = (CliRunner().invoke(cli.app, ["list", kind]).output for kind in ("views", "pictures"))
    assert [line.split()[0] for line in views.splitlines()] == ["ink", "full", "resize", "gundam"]
    pictures = [name.replace("_", "-") for name in names("viz.pictures")]
    assert [line.split()[0] for line in drawn.splitlines()] == pictures


def test_list_takes_scorers_for_importance() -> None:
    scorers, importance = (CliRunner().invoke(cli.app, ["list", kind]).output for kind in ("scorers", "importance"))
    assert scorers == importance and "edges" in scorers


def test_expected_errors_are_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["saccade", "list", "smaplers"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith("error: no kind 'smaplers'. Did you mean 'samplers'? There are: samplers")
    assert "Traceback" not in text


@pytest.mark.parametrize(
    "line",
    [
        ["rank", "--page-px", "256", "--samplers", "topk", "--output"],
        ["train", "head", "--teacher", "reading", "--output"],
    ],
)
def test_a_file_in_the_place_of_a_folder_is_one_line(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "page.png").write_text("no folder")
    monkeypatch.setattr("sys.argv", ["saccade", *line, str(tmp_path / "page.png")])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    text = capsys.readouterr().err
    assert stopped.value.code == 2 and "is a file where a folder is needed: name another --output" in text
    assert (tmp_path / "page.png").read_text() == "no folder"


@pytest.mark.parametrize(
    "stopped, said",
    [(Stopped("stopped. Go on by --resume"), "Go on by --resume"), (KeyboardInterrupt(), "interrupted")],
)
def test_an_interrupted_command_says_how_to_go_on(
    stopped: KeyboardInterrupt, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def batch(*_: object) -> None:
        raise stopped

    monkeypatch.setattr("pipelines.commands.batch.run", batch)
    monkeypatch.setattr("sys.argv", ["saccade", "batch"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert said in capsys.readouterr().err


def test_set_reaches_into_a_strategy() -> None:
    assert merged(None, {}, ["sampler.ratio=0.6"])["sampler"] == {"name": "hybrid", "ratio": 0.6}
    assert merged(None, {"sampler": "cortical"}, ["sampler.seed=3"])["sampler"]["name"] == "cortical"
    with pytest.raises(ConfigError, match="--set takes KEY=VALUE"):
        merged(None, {}, ["sampler.ratio"])


def test_ask(tmp_path: Path, qwen2_5_vl: Path) -> None:
    Image.fromarray(tiny.page(300, 240)).save(tmp_path / "page.png")
    arguments = ["ask", str(tmp_path / "page.png"), "What is the total?", "--model", str(qwen2_5_vl)]
    arguments += ["--fixations", "2", "--tokens", "20", "--stop-at", "2", "--trace", str(tmp_path / "looked.png")]
    result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert len(re.findall(r"gaze \(0\.\d\d, 0\.\d\d\) +20 tokens", result.output)) == 2
    assert "40 of 99 tokens" in result.output and "\n40 visual tokens, " in result.output
    with Image.open(tmp_path / "looked.png") as drawn:
        assert min(drawn.size) > 200


def test_a_glimpse_beyond_the_page_is_said(tmp_path: Path, qwen2_5_vl: Path) -> None:
    Image.fromarray(tiny.page(300, 240)).save(tmp_path / "page.png")
    said = {}
    for glimpse in ("16", "5000"):
        arguments = ["ask", str(tmp_path / "page.png"), "What?", "--model", str(qwen2_5_vl), "--glimpse", glimpse]
        arguments += ["--tokens", "20", "--fixations", "1", "--stop-at", "2"]
        said[glimpse] = CliRunner().invoke(cli.app, arguments, catch_exceptions=False).output
    assert "--glimpse 5000 is more than this page has: it is shown all 99 tokens" in said["5000"]
    assert "more than this page" not in said["16"] and "36 visual tokens, 16 of them the glimpse's" in said["16"]


@pytest.mark.parametrize(
    "question, trace, text",
    [
        ("What?", "looked.bogus", "a picture is drawn as .png; got"),
        ("What?", "nowhere/looked.png", "there is no folder .*nowhere' to draw looked.png into"),
        (" ", "looked.png", "the question is empty"),
    ],
)
def test_ask_refuses_before_it_loads(
    question: str, trace: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(tiny.page(300, 240)).save(tmp_path / "page.png")
    monkeypatch.setattr(HF, "open", None)  # not callable
    arguments = ["ask", str(tmp_path / "page.png"), question, "--trace", str(tmp_path / trace)]
    with pytest.raises(ConfigError, match=text):
        CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert [path.name for path in tmp_path.iterdir()] == ["page.png"]


def without(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`saccade ARGUMENTS` where a module cannot be imported."""
    code = f"import sys; sys.modules[{module!r}] = None; from pipelines.commands.app import main; main()"
    wide = {**os.environ, "COLUMNS": "200"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, env=wide)


def test_doctor_runs_where_a_package_cannot_be_imported() -> None:
    result = without("cv2", "doctor")
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    found = " ".join(result.stdout.split())
    assert "nano does not load" in found and "not ready" in found
    assert "--force-reinstall 'opencv-python-headless>=4.10'" in found


def test_a_missing_package_is_one_line_that_leads_to_the_doctor() -> None:
    result = without("cv2", "list", "samplers")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: the package 'cv2' is missing: `saccade doctor` says how to install it\n"


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; import pipelines.commands.app; print(*{m.partition('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "ray", "transformers", "saccade", "pydantic", "cv2"} & set(loaded)


def test_doctor_compares_versions_with_what_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"transformers": "4.57.1", "ray": None}
    monkeypatch.setattr(doctor, "version", lambda name: there.get(name, "99!1"))
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: DECLARED)
    assert list(doctor.packages()) == [
        ("numpy", "99!1", ""),
        ("ray", "missing", "pip install 'ray[data,serve]<2.61,>=2.60'"),
        ("transformers", "4.57.1, not <5.20,>=5.16.1", "pip install 'transformers<5.20,>=5.16.1'"),
    ]


def test_doctor_says_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(cli.app, ["doctor"])
    assert result.exit_code == 0, result.output
    assert re.search(r"nano +loads and encodes \([\d.]+ M parameters, 16 tokens\)", result.output)
    assert "ready: saccade batch" in result.output


def test_brackets_of_a_path_are_not_markup(tmp_path: Path) -> None:
    run = written_run.write_run(tmp_path / "runs [draft]", [written_run.answer(0, "7", 1.0, 0.9)])
    page = tmp_path / "[red].html"
    for words, said in (
        (["report", str(run)], f"written to {run / 'report.html'} ("),
        (["report", str(run), "--output", str(page)], f"written to {page} ("),
        (["show", str(run)], f"drawn in {run / 'show'}/"),
    ):
        assert said in CliRunner().invoke(cli.app, words, catch_exceptions=False).output


def test_commands_say_their_lines_without_markup() -> None:
    for path in Path(cli.__file__).parent.glob("*.py"):
        if path.stem not in ("app", "doctor"):  # they colour words of their own
            assert not re.search(r'\.print\(\s*f?"', path.read_text()), path.name
