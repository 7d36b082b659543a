"""`saccade eye`: the tables say what the formulas give, the pictures are there."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from pipelines.commands import app as cli
from saccade.errors import ConfigError
from tests import tiny

PICTURES = (
    ["allocation", "cortex", "foveation", "homunculus", "invariances"]
    + ["magnification", "retina", "rows", "scene_aware"]
)  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What is printed for a small picture, and the folder."""
    folder = tmp_path_factory.mktemp("eye")
    Image.fromarray(tiny.page(300, 240)).save(folder / "page.png")
    arguments = ["eye", "--image", str(folder / "page.png"), "--output", str(folder / "out")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "400")
        result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split()), folder / "out"


def test_it_says_what_follows_and_what_does_not(drawn: tuple[str, Path]) -> None:
    text, _ = drawn
    for part in (
        "The data give M0 = 12.5 mm and e0 = 1.93 deg",
        "175.6 for M0 = 1, e0 = 0.5 and 2,958 for the human values",
        "1,287 hypercolumns within 30 deg of human V1 (644 per hemisphere)",
        "2,500/4 = 625 human, 1,200/4 = 300 macaque",
        "273 is none of them",
        "M(10)/M(0) is 0.07 human, 0.16 macaque",
        "macaque: least squares 12.45 1.93 6.44 0.31",
        "acuity 32.7% 34.5% 32.7%",
        "integral of 1/acuity 1.4% 11.7% 87.0%",
        "60 0 2,000 +2,000 58,428 2.7 30.5",  # no second table at 60 deg
    ):
        assert part in text, part


def test_halving_and_pictures(drawn: tuple[str, Path]) -> None:
    text, folder = drawn
    assert re.search(r"0 0\.75 1\.93 1 1\.75 2\.93", text)
    assert sorted(path.stem for path in folder.glob("*.png")) == PICTURES
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) > 400


def test_the_numbers_are_in_a_file(drawn: tuple[str, Path]) -> None:
    facts = json.loads((drawn[1] / "eye.json").read_text())
    assert facts["picture"] == "page.png" and facts["px"] == [300, 240]
    shares = facts["allocation"]["shares"]
    assert set(shares) == {"kept tokens", "expected of M", "all tokens"}
    for each in shares.values():
        assert sum(each) == pytest.approx(1)
    assert shares["expected of M"][0] >= shares["all tokens"][0]
    assert facts["allocation"]["kept"] == min(273, (300 // 16) * (240 // 16))
    noise = facts["foveation"]["1/f noise"]["ssim"]
    assert noise["256 x 512"][0] > noise["256 x 512"][1] > noise["256 x 512"][2]
    assert noise["256 x 512"][0] > noise["256 x 512, even samples"][0]
    assert facts["foveation"]["this picture"]["ssim"]["64 x 128"][2] is None  # 300 px are 9 degrees
    errors = facts["foveation"]["1/f noise"]["fovea"]
    assert [row[1] for row in errors][-1] < errors[0][1]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "eye").write_text("")
    with pytest.raises(ConfigError, match="is a file: give a folder"):
        CliRunner().invoke(cli.app, ["eye", "--output", str(tmp_path / "eye")], catch_exceptions=False)
