"""An address of a Ray cluster: what is told when nobody answers there, or somebody else, or one that wants a token."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import grpc
import pytest

from pipelines.execute.address import HELLO, check_address, refused
from pipelines.execute.session import ray_started
from saccade.errors import ConfigError


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@contextmanager
def answering(status: grpc.StatusCode) -> Iterator[str]:
    """A gRPC server that ends the first question of Ray in one way; its address."""

    class Head(grpc.GenericRpcHandler):
        def service(self, call: Any) -> Any:
            def answer(request: bytes, context: Any) -> bytes:
                if call.method != HELLO:
                    context.abort(grpc.StatusCode.UNIMPLEMENTED, call.method)
                if status != grpc.StatusCode.OK:
                    context.abort(status, "InvalidAuthToken: Authentication token is missing or incorrect")
                return b""

            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Head()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None)


def test_nobody_is_told_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    address, started = f"127.0.0.1:{free_port()}", time.monotonic()
    with pytest.raises(ConfigError, match=rf"nobody answers at '{address}' \(Connection refused\): is the cluster up"):
        with ray_started(address, "tests"):
            raise AssertionError("there is a cluster")
    assert time.monotonic() - started < 9


def test_a_name_that_is_none_and_an_address_without_a_port() -> None:
    with pytest.raises(ConfigError, match="nobody answers at 'no-such-host.invalid:6379'"):
        check_address("no-such-host.invalid:6379")
    with pytest.raises(ConfigError, match=r"has no port: give host:port \(head:6379\), or auto"):
        check_address("head")


class Page(BaseHTTPRequestHandler):
    """Some other server."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *args: Any) -> None:
        """Nothing is logged."""


def test_another_server_is_no_cluster() -> None:
    with HTTPServer(("127.0.0.1", 0), Page) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with pytest.raises(ConfigError, match="nobody answers|no Ray cluster"):
            check_address(f"127.0.0.1:{other.server_port}")
        other.shutdown()
    with answering(grpc.StatusCode.UNIMPLEMENTED) as address:
        with pytest.raises(ConfigError, match=f"what answers at '{address}' is no Ray cluster"):
            check_address(address)


def test_one_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.execute.address.PROBE_S", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(ConfigError, match="did not answer within"):
            check_address(f"127.0.0.1:{silent.getsockname()[1]}")


def test_a_token_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with answering(grpc.StatusCode.UNAUTHENTICATED) as address:
        with pytest.raises(ConfigError, match=f"cluster at '{address}' asks for a token: set RAY_AUTH_MODE=token"):
            check_address(address)
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        check_address(address)  # Ray itself sends the token
    assert "Is the token that of the cluster" in str(refused("head:1", ConnectionError("no")))
    monkeypatch.delenv("RAY_AUTH_MODE")
    assert str(refused("head:1", ConnectionError("no"))) == "cannot connect to the Ray cluster at 'head:1': no"


@pytest.mark.parametrize("address", ["auto", "ray://nowhere:10001"])
def test_what_is_left_to_ray(address: str) -> None:
    check_address(address)


def test_a_cluster_answers() -> None:
    with answering(grpc.StatusCode.OK) as address:
        check_address(address)
