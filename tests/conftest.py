"""Fixtures shared by all tests: tiny random checkpoints, opened once a session."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests import `tiny` and other helpers by name

import tiny  # noqa: E402

from saccade.engines.hf import HF, HFEngine  # noqa: E402


@pytest.fixture(scope="session")
def qwen2_5_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen2.5-VL checkpoint."""
    return tiny.qwen2_5_vl(tmp_path_factory.mktemp("qwen2_5_vl"))


@pytest.fixture(scope="session")
def engine(qwen2_5_vl: Path) -> Iterator[HFEngine]:
    """It, opened. Caches persist between tests on purpose: nothing may depend on them."""
    with HF(model=str(qwen2_5_vl), max_new_tok=6).open() as opened:
        yield opened
