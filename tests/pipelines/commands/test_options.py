"""Options make themselves: a setting that is added in one file is found wherever settings are given or shown."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field
from typer.testing import CliRunner

from pipelines.commands import app as cli
from pipelines.commands.options import flags
from pipelines.runs.config import Looking, RunConfig
from pipelines.serving.settings import ServeConfig
from saccade.config import Episode
from saccade.settings import Option, Settings, Short, option_of

ROOT = Path(__file__).parents[3]
LINES = 2 * 45
"""Lines of two screens."""

NEW = """    patience: Annotated[int, OF_LOOKS] = Field(
        2, ge=1, description="Looks that may change nothing before looking stops."
    )
"""
PROBE = """
import json
from pathlib import Path
from typer.testing import CliRunner
from pipelines.commands import app as cli
from pipelines.commands.settings import episode_and_engine, merged, run_config, serve_config
from pipelines.serving.form import inputs
from pipelines.serving.schema import parse
from saccade.config import Episode

found = {}
for command in ("ask", "batch", "annotate", "serve", "analyze", "levels"):
    found[command] = "--patience" in CliRunner().invoke(cli.app, [command, "--help"], terminal_width=100).output
found["list"] = "patience" in CliRunner().invoke(cli.app, ["list", "settings"]).output
found["file"] = episode_and_engine(merged(Path("settings.yaml"), {}, None))[0].patience == 5
found["--set"] = run_config(merged(None, {}, ["patience=6"])).episode.patience == 6
found["option"] = serve_config(merged(None, {"patience": 7}, None)).episode.patience == 7
found["page"] = "patience" in [each["name"] for each in inputs(Episode())]
image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}
said = {"role": "user", "content": [image, {"type": "text", "text": "Who?"}]}
body = {"model": "nano", "messages": [said], "saccade": {"patience": 8}}
found["request"] = parse(json.dumps(body).encode(), "nano", Episode()).episode.patience == 8
Path("page.png").touch()
words = ["ask", "page.png", "Who?", "--sampler", "ink", "--patience", "9"]
found["refused"] = "--patience would change nothing" in str(CliRunner().invoke(cli.app, words).exception)
print(json.dumps(found))
"""


def test_a_setting_of_the_episode_is_added_in_one_file(tmp_path: Path) -> None:
    for top in ("saccade", "pipelines"):
        shutil.copytree(ROOT / top, tmp_path / top, ignore=shutil.ignore_patterns("__pycache__"))
    config = tmp_path / "saccade" / "config.py"
    text = config.read_text()
    config.write_text(text.replace("    stop_at: float", f"{NEW}    stop_at: float", 1))
    (tmp_path / "settings.yaml").write_text("patience: 5\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    probe = [sys.executable, "-W", "ignore", "-c", PROBE]
    found = subprocess.run(probe, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    missing = [place for place, there in json.loads(found.stdout.splitlines()[-1]).items() if not there]
    assert not missing


@pytest.mark.parametrize("settings", [Looking, RunConfig, ServeConfig])
def test_every_setting_of_an_episode_is_an_option(settings: type[Settings]) -> None:
    made = {flag.name: flag for flag in flags(settings)}
    for name, field in Episode.model_fields.items():
        if name != "budget" and option_of(field.metadata).hidden:
            assert name not in made
            continue
        flag = made["tokens" if name == "budget" else name]
        assert flag.help and (name == "budget" or flag.help.rstrip(".") in (field.description or "").rstrip("."))
        assert flag.default == ("273" if name == "budget" else field.default)


COMMANDS = [*cli.names(), *(f"train {name}" for name in sorted(cli.load("train").commands))]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_two_screens(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    shown = CliRunner().invoke(cli.app, [*command.split(), "--help"], terminal_width=100)
    lines = shown.output.splitlines()
    assert len(lines) <= LINES and max(map(len, lines)) <= 100


def test_what_a_field_says_is_what_its_option_says() -> None:
    class Kinds(Settings):
        panel = "Kinds"

        whole: int = Field(3, ge=1, le=9, description="A number; None: none.")
        part: float | None = Field(None, description="A share; None: all of it.")
        choice: Annotated[Literal["a", "b"], Option(panel="Others")] = Field("a", description="One of two.")
        long: Literal["thirteen", "fourteen", "fifteen"] = Field("thirteen", description="One of many (all).")
        many: tuple[str, ...] = Field((), description="Some.")
        path: Path = Field(description="Where.")
        hidden: Annotated[int, Option(hidden=True)] = 1
        other: Annotated[int, Option(spelled=Short(name="spelled", takes=int, help="In MiB."))] = 1
        sampler: Annotated[Any, Option(names="samplers", shorts=(Short(name="ratio", of="hybrid"),))] = "hybrid"

    class More(Kinds):
        panel = "More"

    made = {flag.name: flag for flag in flags(More)}
    assert list(made) == ["whole", "part", "choice", "long", "many", "path", "spelled", "sampler", "ratio"]
    assert {flag.panel for flag in made.values()} == {"Kinds", "Others"}
    assert made["whole"].metavar == "1-9" and made["choice"].metavar == "a|b" and made["spelled"].metavar == "N"
    assert made["part"].help == "A share (default: all of it)." and made["part"].takes is float
    assert made["choice"].help_text == "One of two (default: a)." and made["part"].help_text == made["part"].help
    assert made["long"].metavar == "NAME" and made["long"].help == "One of many (all): thirteen, fourteen, fifteen."
    assert made["sampler"].with_default("topk").help_text.endswith("(default: topk).")
    assert replace(made["whole"], help="In px (`list`).").help_text == "In px (`list`; default: 3)."
    assert made["many"].takes == list[str] and made["path"].default is None
    assert made["sampler"].completes == "samplers" and made["ratio"].default == 0.6 or made["ratio"].takes is float


def test_limits_are_the_fields_own() -> None:
    result = CliRunner().invoke(cli.app, ["batch", "--fixations", "99"])
    assert re.search("fixations: must be at least 0 and at most 64 .got 99.", str(result.exception))


def test_commands_are_the_files_of_their_folder() -> None:
    for name in cli.names():
        module = importlib.import_module(f"pipelines.commands.{name}")
        assert hasattr(module, name) and cli.sentence(name), name
