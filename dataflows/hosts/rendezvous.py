"""How the supervisors hear of each other: each tells its state over HTTP to whoever asks, and asks all others.

What is told is small JSON without secrets: `curl http://lab-1:2101/` shows a person the same. Nothing that is received
is run or written anywhere. A host counts as heard for a while after its last answer; a link that swallows everything
looks the same as a host that has lost its power.
"""

from __future__ import annotations

import socket
import threading
import time
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from socketserver import TCPServer
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from dataflows.hosts.plan import Heard, Told
from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from dataflows.hosts.places import Hosts

BEAT_SECONDS: Final = 0.5
"""Time between two questions to the same host, s."""

ANSWER_SECONDS: Final = 2.0
"""How long one answer may take, s."""

IDLE_SECONDS: Final = 10.0
"""How long a connection may be silent, s."""

MOST_BYTES: Final = 64 * 1024
"""No answer of a supervisor is longer."""


class Rendezvous:
    """What this supervisor tells, and what it has heard of the others.

    Args:
        hosts: all of them.
        told: what this one tells at first.
        silence: a host that has not answered for so long is lost, s.
    """

    def __init__(self, hosts: Hosts, told: Told, silence: float) -> None:
        self._hosts = hosts
        self._told = told
        self._silence = silence
        self._lock = threading.Lock()
        self._last: dict[int, tuple[Told, float, float]] = {}
        self._trouble: dict[int, str] = {}
        self._asked: dict[int, Told] = {}
        self._closed = threading.Event()
        self._server = _open_server(hosts, self._answer)
        threading.Thread(target=self._server.serve_forever, name="rendezvous", daemon=True).start()
        for index in hosts.others:
            threading.Thread(target=self._ask_on, args=(index,), name=f"ask-{index}", daemon=True).start()

    def tell(self, told: Told) -> None:
        """Tell this from now on."""
        with self._lock:
            self._told = told

    def heard(self) -> dict[int, Heard]:
        """What the others have told, of those that have answered lately."""
        now = time.monotonic()
        with self._lock:
            return {
                index: Heard(told, now - since)
                for index, (told, since, at) in self._last.items()
                if now - at <= self._silence
            }

    def trouble(self, index: int) -> str:
        """Why a host is not heard, in a few words."""
        with self._lock:
            return self._trouble.get(index, "no answer yet")

    def await_asked(self, others: Collection[int], seconds: float) -> None:
        """Wait until other hosts have asked for what is told now, but not for ever: one of them may be lost."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self._lock:
                if all(self._asked.get(index) is self._told for index in others):
                    return
            self._closed.wait(BEAT_SECONDS / 10)

    def close(self) -> None:
        """Tell nothing any more, and ask nobody."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, asker: int | None) -> bytes:
        if self._closed.is_set():
            raise ConnectionAbortedError  # on a connection that was there before
        with self._lock:
            hears = frozenset(
                index for index, (_, _, at) in self._last.items() if time.monotonic() - at <= self._silence
            )
            if asker in self._hosts.others:
                self._asked[asker] = self._told
            return msgspec.json.encode(msgspec.structs.replace(self._told, hears=hears))

    def _ask_on(self, index: int) -> None:
        """Ask one host again and again, over one connection as long as that holds."""
        place = self._hosts.places[index]
        connection = HTTPConnection(place.host, place.port, timeout=min(ANSWER_SECONDS, self._silence / 2))
        while not self._closed.is_set():
            began = time.monotonic()
            try:
                told = _ask(connection, self._hosts.index, index)
            except (OSError, HTTPException, ValueError, BatteryError) as error:
                connection.close()  # the next question connects again
                with self._lock:
                    self._trouble[index] = str(error) or type(error).__name__
            else:
                now = time.monotonic()
                with self._lock:
                    last = self._last.get(index)
                    since = now if last is None or now - last[2] > self._silence else last[1]
                    self._last[index] = told, since, began
            self._closed.wait(min(BEAT_SECONDS, self._silence / 6))
        connection.close()


def _ask(connection: HTTPConnection, asker: int, index: int) -> Told:
    """Ask a host what it tells.

    Raises:
        OSError, HTTPException: it does not answer.
        ValueError: what answers there is no supervisor.
        BatteryError: it is another host.
    """
    connection.request("GET", f"/?from={asker}")
    try:
        told = msgspec.json.decode(connection.getresponse().read(MOST_BYTES), type=Told)
    except msgspec.MsgspecError:
        raise BatteryError("what answers there is no supervisor of this release") from None
    if told.index != index:
        raise BatteryError(f"it says that it is host {told.index}; see its --index and --hosts")
    return told


def _require_reachable(hosts: Hosts, address: str) -> None:
    """Refuse an address that only this machine reaches, where another host is on another one.

    Raises:
        BatteryError: it is such an address.
    """
    here = hosts.here.host
    if ip_address(address).is_loopback and any(hosts.places[index].host != here for index in hosts.others):
        raise BatteryError(
            f"{hosts.name(hosts.index)}: this machine takes {here} for {address}, which no other machine reaches; mend "
            "/etc/hosts, or name addresses in --hosts"
        )


def _open_server(hosts: Hosts, answer: Callable[[int | None], bytes]) -> ThreadingHTTPServer:
    """A server at the place of this host.

    Raises:
        BatteryError: the address is not of this machine, or taken.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # one connection for all questions of a host
        timeout = IDLE_SECONDS

        def do_GET(self) -> None:
            asker = parse_qs(urlsplit(self.path).query).get("from", [""])[0]
            body = answer(int(asker) if asker.isdecimal() else None)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing: two questions a second are no news."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_port = False
        request_queue_size = 64

        def server_bind(self) -> None:
            TCPServer.server_bind(self)  # without the look-up of a name, which may take long where there is no resolver

        def handle_error(self, *_: object) -> None:
            """Log nothing: whoever went away will ask again."""

    here = hosts.here
    try:
        family, _, _, _, address = socket.getaddrinfo(here.host, here.port, type=socket.SOCK_STREAM)[0]
        _require_reachable(hosts, str(address[0]))
        Server.address_family = family
        return Server((str(address[0]), here.port), Handler)
    except (OSError, UnicodeError) as error:  # the latter for a name that can be none
        reason = getattr(error, "strerror", None) or str(error)
        raise BatteryError(
            f"{hosts.name(hosts.index)}: the supervisor cannot listen there: {reason}; --hosts names addresses of the "
            "machines themselves, and --index says which one this is"
        ) from None
