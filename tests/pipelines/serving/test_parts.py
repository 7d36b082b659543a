"""Parts of the endpoint by themselves: the tokens of an answer, settings from options."""

import threading
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from pipelines.commands.settings import merged, serve_config
from pipelines.serving.encoder import Cache
from pipelines.serving.reader import Piece, pieces_of
from pipelines.serving.replica import Replica
from pipelines.serving.reply import Final
from pipelines.serving.settings import MIB, hashed
from saccade.engines.hf import HFEngine
from saccade.errors import ConfigError, EngineDead, QuestionError
from saccade.types import Answer


def test_tokens_of_an_answer_are_text_and_bytes(engine: HFEngine) -> None:
    tokenizer = engine.family.tokenizer
    for text in ("12.50", "é€", " two words"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        pieces = pieces_of(tokenizer, ids)
        assert b"".join(piece.data for piece in pieces).decode() == text
        assert len(pieces) == len(ids)
    half = pieces_of(tokenizer, tokenizer("é", add_special_tokens=False)["input_ids"][:1])
    assert half == (Piece("\ufffd", "é".encode()[:1]),)  # a byte-level token may be a part of a character


@pytest.mark.parametrize("most, text, finish", [(1, "a", "length"), (2, "ab", "length"), (3, "ab", "stop")])
def test_an_answer_of_exactly_max_tokens_did_not_reach_its_end(most: int, text: str, finish: str) -> None:
    """As with OpenAI and vLLM, where the end token would be one more."""
    answer = Answer("ab", (-0.1, -0.2, -0.3), 0.9, 1, 0, 1, 0.0, token_ids=(5, 6))
    looked = SimpleNamespace(trace=SimpleNamespace(answer=answer), pieces=(Piece("a", b"a"), Piece("b", b"b")))
    final = Final.of(cast(Any, SimpleNamespace(max_tok=most, stop=())), cast(Any, looked), 96)
    assert (final.text, final.finish) == (text, finish)


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


@pytest.mark.parametrize(
    "setting, text",
    [
        ("max_request_mib=many", "max_request_mib must be a number of MiB, 1 or more; got 'many'"),
        ("max_request_mib=0", "max_request_mib must be a number of MiB, 1 or more; got 0"),
        ("allow_host=5", "allow_host must be a text or a list of them; got 5"),
        ("allow_origin=[5]", r"allow_origin must be a text or a list of them; got \[5\]"),
        ("api_key_file=5", "api_key_file must be the path of a file; got 5"),
        ("allow_host=https://images.example", "allow_host 'https://images.example' is no host: give its name alone"),
        ("allow_host=images.example:8080", "allow_host 'images.example:8080' is no host"),
        ("allow_origin=https://app.example/", "allow_origin 'https://app.example/' is no origin: give scheme and host"),
        ("allow_origin=app.example", "allow_origin 'app.example' is no origin"),
        ("max_images=100", r"max_images: must be at least 1 and at most 64 \(got 100\)$"),
        ("max_queue=-1", r"max_queue: must be at least 0 \(got -1\)$"),
    ],
)
def test_a_setting_of_a_wrong_kind_is_one_line(setting: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        serve_config(merged(None, {}, [setting]))


@pytest.mark.parametrize(
    "origin", ["*", "null", "https://app.example", "http://localhost:3000", "capacitor://localhost"]
)
def test_origins_as_browsers_send_them(origin: str) -> None:
    assert serve_config(merged(None, {"allow_origin": [origin]}, None)).allow_origins == (origin,)
