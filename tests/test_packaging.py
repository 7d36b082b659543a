"""What is shipped: one version everywhere, texts beside the code, configurations in the wheel, no path of a machine."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import saccade
from pipelines.commands import app as cli
from pipelines.runs.experiment import CONFIGS

ROOT = Path(__file__).parents[1]


def test_one_version_everywhere() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert result.output == f"saccade {saccade.__version__}\n"
    assert yaml.safe_load((ROOT / ".github" / "CITATION.cff").read_text())["version"] == saccade.__version__
    assert f"## [{saccade.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_license_is_the_one_that_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "LICENSE").read_text()
    assert project["license"] == "Apache-2.0" and "Apache License\n" in text and "Version 2.0" in text
    assert all((ROOT / name).is_file() for name in project["license-files"])


def test_the_shell_completes_commands_and_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def completed(*words: str) -> list[str]:
        words_ = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        environment = {"_SACCADE_COMPLETE": "complete_bash", **words_}
        result = CliRunner().invoke(cli.app, [], prog_name="saccade", env=environment)
        return result.output.split()

    assert completed("saccade", "ra") == ["rank"]
    assert "logpolar" in completed("saccade", "ask", "--sampler", "lo")


def sent() -> set[str]:
    """What of the root `docker build` is sent: everything is left out but what .dockerignore names."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*" and all(line.startswith(("!", "**/")) for line in patterns[1:])
    return {line[1:] for line in patterns if line.startswith("!")}


def test_a_container_is_built_of_the_project_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name.removesuffix("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    named = {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"}
    linked = {Path(os.readlink(ROOT / "pipelines" / "configs")).name}
    assert sent() == packages | named | linked
    assert all((ROOT / name).exists() for name in sent())


@pytest.mark.slow
def test_a_wheel_works_from_any_folder(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a build leaves folders behind; it is what a container's build has as well
    kept, ignored = sent(), shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")
    shutil.copytree(
        ROOT,
        source,
        symlinks=True,
        ignore=lambda folder, names: {
            *ignored(folder, names),
            *(name for name in names if Path(folder) == ROOT and name not in kept),
        },
    )
    for command in (
        ["wheel", "-q", "--no-deps", str(source), "-w", str(tmp_path)],
        [
            "install",
            "-q",
            "--no-deps",
            "--target",
            str(tmp_path / "site"),
            "saccade",
            "--no-index",
            "-f",
            str(tmp_path),
        ],
    ):
        subprocess.run([sys.executable, "-m", "pip", *command], check=True, cwd=tmp_path)
    code = (
        "import pipelines.runs.experiment as e, pipelines.serving.front, saccade\n"
        "from pipelines.commands import app as cli\n"
        f"assert e.__file__.startswith({str(tmp_path)!r}), e.__file__\n"
        "[cli.load(name) for name in cli.names()]\n"
        "print(*[e.read_experiment(path).title for path in e.CONFIGS.glob('*.yaml')], sep='\\n')"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(list(CONFIGS.glob("*.yaml")))
