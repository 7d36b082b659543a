"""Parts of the endpoint by themselves: the tokens of an answer, settings from options."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pipelines import options
from pipelines.serving.reader import pieces_of
from pipelines.serving.resolve import serve_config
from pipelines.serving.settings import MIB, hashed
from saccade.engines.hf import HFEngine
from saccade.errors import ConfigError
from saccade.types import Answer


def said(engine: HFEngine, ids: list[int], text: str) -> Answer:
    """An answer of these tokens."""
    tokens = engine.family.embed(torch.tensor(ids)).detach()
    return Answer(text, (-0.1,) * (len(ids) + 1), 0.5, 0, 0, 0, 0.0, True, tokens)


def test_tokens_of_an_answer_are_found_by_their_embeddings(engine: HFEngine) -> None:
    tokenizer = engine.family.tokenizer
    for text in ("12.50", "é€", " two words"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        pieces = pieces_of(engine, said(engine, ids, text.strip()))
        assert b"".join(piece.data for piece in pieces).decode() == text and all(piece.known for piece in pieces)
        assert len(pieces) == len(ids)


def test_an_engine_without_a_table_compares_what_its_tokenizer_says(engine: HFEngine) -> None:
    family = SimpleNamespace(tokenizer=engine.family.tokenizer, model=SimpleNamespace())
    bare = SimpleNamespace(family=family, embeddings=lambda ids: engine.family.embed(torch.tensor(ids)).detach())
    ids = family.tokenizer(" 12.50", add_special_tokens=False)["input_ids"]
    assert pieces_of(bare, said(engine, ids, "12.50")) == pieces_of(engine, said(engine, ids, "12.50"))
    strange = pieces_of(bare, said(engine, ids, "another text"))
    assert "".join(piece.text for piece in strange) == "another text" and not any(piece.known for piece in strange)


def test_settings_come_from_options_files_and_set(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("one\n")
    (tmp_path / "serve.yaml").write_text("max_queue: 3\nfixations: 5\nengine: {name: hf, max_new_tok: 7}\n")
    given = {"max_request_mib": 2, "allow_host": ["a.test"], "api_key_file": tmp_path / "keys", "fixations": 4}
    config = serve_config(options.settings(tmp_path / "serve.yaml", given, ["cache_bytes=5", "device=cpu"]))
    assert (config.max_queue, config.cache_bytes, config.max_request_bytes) == (3, 5, 2 * MIB)
    assert (config.url_hosts, config.key_hashes) == (("a.test",), (hashed("one"),))
    assert (config.episode.fixations, config.engine["max_new_tok"], config.engine["device"]) == (4, 7, "cpu")
    for wrong in ({"nonsense": 1}, {"max_queue": -1}, {"engine": {"name": "gpt"}}, {"device": "tpu"}):
        with pytest.raises(ConfigError):
            serve_config(options.settings(None, wrong, None))
