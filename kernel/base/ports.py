"""Ports of this machine for servers that are about to start."""

from __future__ import annotations

import secrets
import socket
from typing import Final

from kernel.base.errors import BatteryError

PORT_TRIES: Final = 100
"""How many ports are tried in search of a free one."""

SERVER_PORTS: Final = range(20_000, 32_000)
"""Ports that systems do not give to connections that go out: a port from there stays free until its server takes it."""


def free_port(count: int = 1) -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at the moment: the first of `count` such ports in a row.

    Raises:
        BatteryError: there is none.
    """
    tried = [SERVER_PORTS.start + secrets.randbelow(len(SERVER_PORTS) - count + 1) for _ in range(PORT_TRIES)]
    for first in tried:
        if all(map(_is_free, range(first, first + count))):
            return first
    raise BatteryError(f"none of {PORT_TRIES} ports from {SERVER_PORTS.start} to {SERVER_PORTS.stop} is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a closed connection is no matter
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
