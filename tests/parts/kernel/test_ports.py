"""Ports for servers of this machine."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from kernel.base import ports
from kernel.base.errors import BatteryError
from kernel.base.ports import free_port

OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


def listen(port: int) -> socket.socket:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port))
    server.listen()
    return server


def test_ports_in_a_row_are_free_together(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_port(5)
    with ExitStack() as listening:
        for taken in (first, first + 2):
            listening.enter_context(listen(taken))
        monkeypatch.setattr(ports, "SERVER_PORTS", range(first, first + 5))
        assert free_port(2) == first + 3


@pytest.mark.skipif(not OUTGOING.exists(), reason="another system than Linux")
def test_no_connection_that_goes_out_takes_a_port_before_its_server_does() -> None:
    lowest, highest = map(int, OUTGOING.read_text().split())
    given = {free_port() for _ in range(200)} & set(range(lowest, highest + 1))
    assert given == set()


def test_where_all_ports_are_taken_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with listen(free_port()) as server:
        taken = server.getsockname()[1]
        monkeypatch.setattr(ports, "SERVER_PORTS", range(taken, taken + 1))
        with pytest.raises(BatteryError, match=f"none of 100 ports from {taken} to {taken + 1} is free"):
            free_port()
