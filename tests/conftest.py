"""Fixtures shared by all tests: tiny random checkpoints, opened once a session."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from saccade.engines.hf import HF, HFEngine
from tests import tiny


@pytest.fixture(scope="session")
def qwen2_5_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen2.5-VL checkpoint."""
    return tiny.qwen2_5_vl(tmp_path_factory.mktemp("qwen2_5_vl"))


@pytest.fixture(scope="session")
def engine(qwen2_5_vl: Path) -> Iterator[HFEngine]:
    """It, opened. Caches persist between tests on purpose: nothing may depend on them."""
    with HF(model=str(qwen2_5_vl), max_new_tok=6).open() as opened:
        yield opened


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden and the READMEs' tables")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)`: the text is that of tests/golden/NAME."""

    def check(name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert text == path.read_text(), f"{name} changed: look at it, then pytest --update-golden"

    return check
