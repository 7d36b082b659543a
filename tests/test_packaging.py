"""What is shipped: one version everywhere, texts beside the code, configurations in the wheel, no path of a machine."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import tomllib
import venv
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import saccade
from pipelines.commands import app as cli
from pipelines.runs.experiment import CONFIGS
from tests.pipelines.serving.test_ray import free_port

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


def wheel(folder: Path) -> Path:
    """A wheel of what a container's build has."""
    source = folder / "source"  # a build leaves folders behind
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
    words = ["-m", "pip", "wheel", "-q", "--no-deps", str(source), "-w", str(folder)]
    subprocess.run([sys.executable, *words], check=True, cwd=folder)
    (made,) = folder.glob("saccade-*.whl")
    return made


@pytest.mark.slow
def test_a_wheel_works_from_any_folder(tmp_path: Path) -> None:
    words = ["-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path / "site"), str(wheel(tmp_path))]
    subprocess.run([sys.executable, *words], check=True, cwd=tmp_path)
    code = (
        "import pipelines.runs.experiment as e, pipelines.serving.routes, saccade\n"
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


def instruction(name: str) -> str:
    """What an instruction of the Dockerfile says, its lines joined."""
    text = (ROOT / ".github" / "Dockerfile").read_text().replace("\\\n", " ")
    (found,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return found.removeprefix(name).strip()


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_container_serves_says_that_it_is_well_and_stops_on_sigterm(qwen2_5_vl: Path, tmp_path: Path) -> None:
    """What the Dockerfile runs, word for word but for places, in an environment of its own, as there is no docker."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    (site,) = home.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))  # the dependencies are those of the tests
    built = str(wheel(tmp_path))
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(home), "install", "-q", "--no-deps", built], check=True
    )
    work = tmp_path / "work"
    shutil.copytree(tmp_path / "source", work, symlinks=True)  # COPY . . in WORKDIR
    (tmp_path / "keys.txt").write_text("sesame\n")
    port = free_port()
    declared = dict(pair.split("=") for pair in instruction("ENV").split())
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {**declared, "HF_HOME": str(tmp_path / "models"), "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}
    entry = [word.replace("/keys.txt", str(tmp_path / "keys.txt")) for word in json.loads(instruction("ENTRYPOINT"))]
    entry += ["--port", str(port), "--model", str(qwen2_5_vl), "--device", "cpu"]
    health = instruction("HEALTHCHECK").partition("CMD ")
    check = [word.replace(":8000", f":{port}") for word in json.loads(health[2])]
    limits = {key: float(value.rstrip("s")) for key, value in re.findall(r"--([a-z-]+)=(\w+)", health[0])}

    def run(words: list[str], **more: Any) -> Any:
        words = [shutil.which(words[0], path=environment["PATH"]) or words[0], *words[1:]]
        return subprocess.Popen(words, cwd=work, env=environment, stderr=subprocess.STDOUT, **more)

    def healthy() -> bool:
        return bool(run(check, stdout=subprocess.DEVNULL).wait(60) == 0)

    assert not healthy(), "nothing listens there yet"
    with (tmp_path / "log").open("w") as log:
        server = run(entry, stdout=log)
    try:
        deadline = time.monotonic() + limits["start-period"] + limits["retries"] * limits["interval"]
        while not healthy():
            assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(1)
        server.send_signal(getattr(signal, instruction("STOPSIGNAL")))
        assert server.wait(60) == 0, (tmp_path / "log").read_text()
    finally:
        server.kill()
    said = (tmp_path / "log").read_text()
    assert "closed" in said and "Traceback" not in said and "anyone who reaches" not in said
    assert not healthy()
