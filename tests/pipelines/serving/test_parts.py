"""Parts of the endpoint by themselves: the tokens of an answer, settings from options."""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from pipelines.commands.settings import merged, serve_config
from pipelines.serving.encoder import Cache
from pipelines.serving.reader import Piece, pieces_of
from pipelines.serving.replica import Replica
from pipelines.serving.settings import MIB, hashed
from saccade.engines.hf import HFEngine
from saccade.errors import ConfigError, EngineDead, QuestionError


def test_tokens_of_an_answer_are_text_and_bytes(engine: HFEngine) -> None:
    tokenizer = engine.family.tokenizer
    for text in ("12.50", "é€", " two words"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        pieces = pieces_of(tokenizer, ids)
        assert b"".join(piece.data for piece in pieces).decode() == text
        assert len(pieces) == len(ids)
    half = pieces_of(tokenizer, tokenizer("é", add_special_tokens=False)["input_ids"][:1])
    assert half == (Piece("\ufffd", "é".encode()[:1]),)  # a byte-level token may be a part of a character


def test_an_error_costs_a_request_or_the_engine() -> None:
    replica = Replica(threads=1)
    assert isinstance(replica.failed(QuestionError("empty")), QuestionError)
    assert str(replica.failed(ValueError("odd"))) == "ValueError: odd"
    replica.check_health()
    assert isinstance(replica.failed(torch.AcceleratorError("device-side assert")), EngineDead)
    with pytest.raises(EngineDead, match="device-side assert"):
        replica.check_health()


def test_an_encoding_may_be_dropped_while_another_thread_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(OrderedDict[Any, Any]):
        def get(self, *args: Any) -> Any:
            found = super().get(*args)
            dropping.start()
            dropping.join(0.2)  # it waits
            return found

    monkeypatch.setattr("pipelines.serving.encoder.size_of", lambda _: 1)
    cache, first, second = Cache(1), ("a", "", ""), ("b", "", "")
    cache.kept = Slow()
    cache.put(first, cast(Any, "encoded"))
    dropping = threading.Thread(target=cache.put, args=(second, "encoded too"))
    assert cache.get(first) == "encoded"
    dropping.join()
    assert list(cache.kept) == [second] and cache.size_bytes == 1


def test_settings_come_from_options_files_and_set(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("one\n")
    (tmp_path / "serve.yaml").write_text("max_queue: 3\nfixations: 5\nengine: {name: hf, max_new_tok: 7}\n")
    given = {"max_request_mib": 2, "allow_host": ["a.test"], "api_key_file": tmp_path / "keys", "fixations": 4}
    config = serve_config(merged(tmp_path / "serve.yaml", given, ["cache_bytes=5", "device=cpu"]))
    assert (config.max_queue, config.cache_bytes, config.max_request_bytes) == (3, 5, 2 * MIB)
    assert (config.url_hosts, config.key_hashes) == (("a.test",), (hashed("one"),))
    assert (config.episode.fixations, config.engine["max_new_tok"], config.engine["device"]) == (4, 7, "cpu")
    for wrong in ({"nonsense": 1}, {"max_queue": -1}, {"engine": {"name": "gpt"}}, {"device": "tpu"}):
        with pytest.raises(ConfigError):
            serve_config(merged(None, wrong, None))
