"""Makes torchvision, torchaudio and torchcodec importable where their wheels are CUDA builds beside a CPU torch.

pip installs exactly that for vLLM on CPU. Then `import torchvision` dies with "operator torchvision::nms does not
exist" and the other two with an OSError, and transformers, which imports what it finds installed, goes down with them,
and vLLM with it, in every process.

`install` puts a finder in front of the import system that acts when one of the three is imported, not before. A
torchvision whose library does not load gets the operators declared that it registers shapes for; nothing calls them,
and its parts in plain torch work. The other two, which saccade has no use for, become empty modules that say why when
something is taken from them. Where the libraries load, nothing changes.

Every process of ours that loads a model has it because `saccade.families` is imported before transformers; plain
`import saccade` does not come here. Every process of vLLM's has it because the entry point `vllm.platform_plugins`
names `install`: vLLM calls it while it looks for its platform, which comes before it imports transformers.
"""

import importlib.machinery
import re
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType

import torch

WHEELS = ("torchvision", "torchaudio", "torchcodec")
REGISTERED = re.compile(r'register_(?:meta|fake)\("(?:torchvision::)?(\w+)"')

_kept: list[torch.library.Library] = []  # declared operators live as long as their library object


class WheelFinder(MetaPathFinder):
    """Finds the three packages where they are and has them loaded with care."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec that Python would find, with a loader that repairs; None for every other name."""
        if fullname not in WHEELS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None or spec.origin is None:
            return spec
        load, folder = spec.loader.exec_module, Path(spec.origin).parent

        def carefully(module: ModuleType) -> None:
            if fullname == "torchvision":
                declare_operators(folder)
            try:
                load(module)
            except OSError as error:
                empty(module, f"{fullname} is installed, but its library does not load: {error}")

        spec.loader.exec_module = carefully  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Puts the finder in front, once. Returns None, which tells vLLM that this is not a platform."""
    if not any(isinstance(finder, WheelFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, WheelFinder())


def empty(module: ModuleType, reason: str) -> None:
    """Leaves nothing of a package that loaded half: its submodules are not found, its attributes raise `reason`."""

    def absent(name: str) -> None:
        raise AttributeError(f"{name} is missing: {reason}")

    name = module.__name__
    for loaded in [other for other in sys.modules if other.startswith(f"{name}.")]:
        del sys.modules[loaded]
    for attribute in [key for key in vars(module) if not key.startswith("__")]:
        delattr(module, attribute)
    module.__path__ = []
    module.__getattr__ = absent  # type: ignore[method-assign]


def declare_operators(folder: Path) -> list[str]:
    """Declares the operators of the torchvision in `folder` if its library does not load; their names."""
    libraries = sorted(folder.glob("_C*.so")) + sorted(folder.glob("_C*.pyd"))
    registrations = folder / "_meta_registrations.py"
    if not libraries or not registrations.exists() or _kept:
        return []
    try:
        torch.ops.load_library(str(libraries[0]))  # type: ignore[no-untyped-call]
        return []
    except OSError:
        names = sorted(set(REGISTERED.findall(registrations.read_text())))
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in names:
        library.define(f"{name}(...) -> ...")  # type: ignore[no-untyped-call]
    _kept.append(library)
    return names
