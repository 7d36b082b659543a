"""`saccade eye`: the biology behind foveation, as tables, pictures and one JSON file."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.execute.say import say

console = Console()


def eye(
    output: Annotated[Path, typer.Option(help="Folder for the pictures and eye.json.")] = Path("eye"),
    image: Annotated[
        Path | None,
        typer.Option(help="Draw with this picture (default: a generated page).", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """Print and draw the biology behind foveation, and where its usual derivation fails.

    Magnification fitted to the macaque's data, human and macaque side by side. Distance and area on
    the cortex, and hypercolumns beside 273. Cones, rods, acuity, the letters it reads. Tokens by
    eccentricity. Log-polar maps, what foveation keeps (SSIM), what a wrong gaze loses. No model is needed.

    Example: saccade eye --output eye
    """
    import json

    from pipelines.runs.provenance import provenance
    from saccade.errors import ConfigError
    from saccade.files import write_text
    from saccade.picture import naming
    from saccade.studies.biology import blank_scene, draw, facts_of, open_page
    from saccade.studies.biology_tables import report

    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output} is a file: give a folder")
    picture = open_page(image)
    with naming(image or "the generated page"):
        scene = blank_scene(picture)
        facts = facts_of(picture, scene)
    for part in report(facts):
        console.print(part, highlight=False)
    draw(picture, scene, facts, output)
    name = "a generated page" if image is None else image.name
    write_text(output / "eye.json", json.dumps({"picture": name, **facts, **provenance()}, indent=1) + "\n")
    say(console, f"the pictures and eye.json are in {output}")
