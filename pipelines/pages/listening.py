"""Whether a page can be served where it is asked for."""

import errno
import socket

from saccade.errors import ConfigError


def check_free(host: str, port: int) -> None:
    """Raises ConfigError if the address cannot be bound; the servers themselves would only log that."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        which = "host" if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else "port"
        raise ConfigError(
            f"cannot serve on {host}:{port}: {error.strerror or error}. Choose another --{which}"
        ) from error
