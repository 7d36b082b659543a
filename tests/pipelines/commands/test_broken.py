"""A picture that cannot be read is named by every command that is given one."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.commands.app import app
from saccade.errors import PictureError
from saccade.picture import naming
from tests.broken_images import encoded, page


@pytest.mark.parametrize(
    "command",
    [
        ["ask", "{broken}", "What?"],
        ["show", "{broken}", "--what", "print-size"],
        ["analyze", "{broken}", "--output", "{folder}/numbers"],
        ["levels", "{broken}", "--question", "What?"],
        ["eye", "--image", "{broken}", "--output", "{folder}/eye"],
    ],
    ids=lambda words: words[0],
)
def test_a_broken_picture_is_named(command: list[str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(encoded(page())[:100])
    result = CliRunner().invoke(app, [word.format(broken=broken, folder=tmp_path) for word in command])
    assert str(result.exception).startswith(f"'{broken}': cannot decode the image"), result.output


def test_a_name_is_said_once() -> None:
    for said in ("the image file 'x/page.png' is empty (0 bytes)", "'x/page.png': truncated"):
        with pytest.raises(PictureError) as error, naming(Path("x/page.png")):
            raise PictureError(said.removeprefix("'x/page.png': "))
        assert str(error.value) == said
