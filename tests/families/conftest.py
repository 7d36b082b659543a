"""Every family's tiny checkpoint, opened once a session."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from saccade.engines.hf import HF, HFEngine
from saccade.registry import names
from tests import tiny


@pytest.fixture(scope="session")
def open_tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], HFEngine]]:
    """`open_tiny(name)`: an engine with a family's tiny checkpoint. Caches persist between tests on purpose."""
    with ExitStack() as stack:

        @functools.cache
        def get(name: str) -> HFEngine:
            folder = getattr(tiny, name)(tmp_path_factory.mktemp(name))
            return stack.enter_context(HF(model=str(folder), max_new_tok=6).open())

        yield get


@pytest.fixture(params=names("families"))
def family_engine(request: pytest.FixtureRequest, open_tiny: Callable[[str], HFEngine]) -> HFEngine:
    """Each family in turn: one that is added to the folder needs a function in tests/tiny.py, and has these tests."""
    return open_tiny(request.param)


@pytest.fixture(params=[name for name in names("families") if name.startswith("qwen")])
def qwen(request: pytest.FixtureRequest, open_tiny: Callable[[str], HFEngine]) -> HFEngine:
    """Each Qwen family in turn."""
    return open_tiny(request.param)
