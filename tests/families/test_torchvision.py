"""CUDA wheels beside a CPU torch: mended where their libraries do not load, left alone where they do."""

import _ctypes
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VISION = """
import torch
from torch.library import register_fake
{own}
from . import _meta_registrations
"""
REGISTRATIONS = """
import torch
def register_meta(name):
    return lambda fn: torch.library.Library("torchvision", "IMPL", "Meta").impl(name, fn)
@register_meta("roi_align")
def align(): ...
@torch.library.register_fake("torchvision::nms")
def nms(): ...
"""
LIBRARY = "import torch; torch.ops.load_library(__path__[0] + '/lib.so')\nload = 'it works'\n"


def wheels(folder: Path, *, healthy: bool) -> None:
    """The three packages as far as they matter here. A healthy torchvision defines its operators itself."""
    own = 'kept = torch.library.Library("torchvision", "DEF")\n'
    own += 'kept.define("nms() -> ()"), kept.define("roi_align() -> ()")'
    sources = {
        "torchvision": VISION.format(own=own if healthy else ""),
        "torchaudio": LIBRARY,
        "torchcodec": "from . import decoders\n",
    }
    for name, source in sources.items():
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(source)
        library = folder / name / ("_C.so" if name == "torchvision" else "lib.so")
        shutil.copy(_ctypes.__file__, library) if healthy else library.write_text("for another machine")
    (folder / "torchvision" / "_meta_registrations.py").write_text(REGISTRATIONS)
    (folder / "torchcodec" / "decoders.py").write_text(LIBRARY.replace("__path__[0]", "__file__.rpartition('/')[0]"))


def run(folder: Path, code: str) -> str:
    """What a fresh process prints last: its errors, if it dies of one."""
    program = f"import sys; sys.path.insert(0, {str(folder)!r})\n{textwrap.dedent(code)}"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize("healthy", [True, False])
def test_torchvision(tmp_path: Path, healthy: bool) -> None:
    wheels(tmp_path, healthy=healthy)
    mended = run(
        tmp_path,
        """
        import saccade.families._torchvision as wheels, torchvision, torch
        print(len(wheels._kept), torch.ops.torchvision.nms.default._schema)
        """,
    )
    assert mended == ("0 torchvision::nms() -> ()" if healthy else "1 torchvision::nms(...) -> ...")
    if not healthy:
        assert run(tmp_path, "import torchvision") == "RuntimeError: operator torchvision::roi_align does not exist"


def test_what_does_not_load_is_empty(tmp_path: Path) -> None:
    wheels(tmp_path, healthy=False)
    assert run(tmp_path, "import torchaudio").startswith("OSError")
    said = run(tmp_path, "import saccade.families, torchaudio; torchaudio.load")
    assert said.startswith("AttributeError: load is missing: torchaudio is installed, but its library does not load")
    said = run(tmp_path, "import saccade.families, torchcodec; import torchcodec.decoders")
    assert said == "ModuleNotFoundError: No module named 'torchcodec.decoders'"


def test_what_loads_is_left_alone(tmp_path: Path) -> None:
    wheels(tmp_path, healthy=True)
    assert run(tmp_path, "import saccade.families, torchaudio, torchcodec.decoders as d; print(d.load)") == "it works"


def test_absent_packages_stay_absent(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        import importlib.util, saccade.families._torchvision as wheels
        sys.path[:] = [place for place in sys.path if "site-packages" not in place]
        wheels.install(), wheels.install()
        print([importlib.util.find_spec(name) for name in wheels.WHEELS],
              sum(type(finder).__name__ == "WheelFinder" for finder in sys.meta_path))
        """,
    )
    assert said == "[None, None, None] 1"
