"""Checks within seconds whether a Ray cluster answers at an address; Ray itself would be silent for minutes."""

import os

import grpc

from saccade.errors import ConfigError

PROBE_S = 10.0
"""A cluster answers this question in milliseconds, one that is busy or far away in seconds."""

HELLO = "/ray.rpc.NodeInfoGcsService/GetClusterId"
"""The first thing that Ray itself asks of a cluster; the empty request is a valid one."""

DEFAULT_PORT = 6379
"""Where `ray start --head` listens, unless it is told otherwise."""


def check_address(address: str) -> None:
    """Asks for the cluster's name at `host:port`. `auto`, `ray://...` and clusters behind TLS are left to Ray.

    Raises:
        ConfigError: nothing listens there, it is not a Ray cluster, or it asks for a token and this process has none.
    """
    if address == "auto" or "://" in address or os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return
    if ":" not in address:
        raise ConfigError(f"--address {address!r} has no port: give host:port ({address}:{DEFAULT_PORT}), or auto")
    status, detail = _hello(address)
    if status == grpc.StatusCode.UNAUTHENTICATED:
        if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
            raise ConfigError(
                f"the Ray cluster at {address!r} asks for a token: set RAY_AUTH_MODE=token, and put the token into "
                "RAY_AUTH_TOKEN, or into ~/.ray/auth_token as it is on the cluster's head"
            )
    elif status == grpc.StatusCode.UNAVAILABLE:
        raise ConfigError(f"nobody answers at {address!r} ({detail}): is the cluster up? `ray start --head` starts one")
    elif status == grpc.StatusCode.DEADLINE_EXCEEDED:
        raise ConfigError(
            f"{address!r} did not answer within {PROBE_S:.0f} s: is the cluster up, and is the port open from here?"
        )
    elif status != grpc.StatusCode.OK:
        raise ConfigError(f"what answers at {address!r} is no Ray cluster ({detail}): give its head's host:port")


def refused(address: str, error: Exception) -> ConfigError:
    """Why Ray would not connect to a cluster that answers."""
    token = os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
    more = ". Is the token that of the cluster (RAY_AUTH_TOKEN, ~/.ray/auth_token)?" if token else ""
    return ConfigError(f"cannot connect to the Ray cluster at {address!r}: {' '.join(str(error).split())}{more}")


def _hello(address: str) -> tuple[grpc.StatusCode, str]:
    """How the question ended, and the last part of what gRPC says about it."""
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(HELLO)(b"", timeout=PROBE_S)
        except grpc.RpcError as error:
            return error.code(), error.details().rpartition(": ")[2]
    return grpc.StatusCode.OK, ""
