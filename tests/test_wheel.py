"""What a wheel installs, away from the checkout: commands find their experiments, and the model its weights."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
import sys
from importlib.metadata import distribution
site = sys.argv[1]
sys.path.insert(0, site)
import configs, pipelines, saccade
assert all(list(package.__path__)[0].startswith(site) for package in (configs, pipelines, saccade))
with saccade.load() as eye:
    assert eye.engine.spec.model == "nano"
(script,) = distribution("saccade").entry_points.select(group="console_scripts", name="saccade")
sys.argv[1:] = ["experiment", "no-such-experiment", "--output", "out"]
script.load()()
"""


@pytest.mark.slow
def test_a_wheel_works_from_any_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "-q", "-w", str(tmp_path)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    (tmp_path / "away").mkdir()
    program = [sys.executable, "-c", PROGRAM, str(site)]
    done = subprocess.run(program, cwd=tmp_path / "away", capture_output=True, text=True)
    said = " ".join((done.stdout + done.stderr).split())
    assert "no-such-experiment" in said and "looks" in said, said  # the error lists what there is
