"""Something between the worker and a server, which fails the way networks and servers do."""

from __future__ import annotations

import http.client
import select
import socket
import threading
import time
from contextlib import suppress
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from kernel.base.ports import free_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self


class Fault(StrEnum):
    """What happens to a PUT of an object."""

    NONE = "none"
    REFUSED = "connection refused"
    UNAVAILABLE = "503"
    TIMEOUT = "time-out"
    SLOW = "slow"


SLOW_SECONDS = 1.0


class S3Proxy:
    """A reverse proxy before an S3 server, on a port of its own, whose PUTs fail as `fault` says."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self.port = free_port()
        self.fault = Fault.NONE
        self.failed = threading.Event()
        self._healed = threading.Event()
        self._listener: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._healed.set()
        self._deafen()

    def strike(self, fault: Fault) -> None:
        """From now on, PUTs fail."""
        self.fault = fault
        if fault is Fault.REFUSED:
            self._deafen()

    def heal(self) -> None:
        """From now on, all is well."""
        refused = self.fault is Fault.REFUSED
        self.fault = Fault.NONE
        self._healed.set()
        if refused:
            self._listen()

    def _listen(self) -> None:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.command == "PUT" and proxy.fault is not Fault.NONE and not proxy.let_through(self):
                    return
                connection = http.client.HTTPConnection("127.0.0.1", proxy._server_port, timeout=30)
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                answer = connection.getresponse()
                data = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in {"transfer-encoding", "connection", "content-length", "date", "server"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)) if self.command != "HEAD" else "0")
                self.end_headers()
                self.wfile.write(data)
                connection.close()

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_any  # noqa: N815  # the library's names

            def log_message(self, *_: Any) -> None:
                pass

        ThreadingHTTPServer.allow_reuse_address = True
        self._listener = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._listener.daemon_threads = True
        threading.Thread(target=self._listener.serve_forever, daemon=True).start()

    def let_through(self, handler: BaseHTTPRequestHandler) -> bool:
        """Fail one PUT; whether it may go on all the same."""
        self.failed.set()
        if self.fault is Fault.SLOW:
            time.sleep(SLOW_SECONDS)
            return True
        if self.fault is Fault.UNAVAILABLE:
            handler.send_response(503)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        else:
            self._healed.wait(60)  # says nothing for longer than anybody waits
            handler.close_connection = True
        return False

    def _deafen(self) -> None:
        if self._listener is not None:
            self._listener.shutdown()
            self._listener.server_close()
            self._listener = None


class TcpProxy:
    """Forwards bytes between clients and a server; can be cut, as if the server had gone down and come up again."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self.port = free_port()
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()

    def start(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen()
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """Refuse new connections and break those that are open."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
            self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                with self._lock:
                    self._open += [client, server]
                self._forward(client, server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=_pump(source, target), daemon=True).start()


def _pump(
    source: socket.socket, target: socket.socket, passes: Callable[[bytes], bool] = lambda _: True
) -> Callable[[], None]:
    """Forward bytes until one side ends, or until some do not pass; these are lost with the connection."""

    def pump() -> None:
        with suppress(OSError):
            while (data := source.recv(65536)) and passes(data):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    return pump


class CommitProxy(TcpProxy):
    """Stands before a PostgreSQL server and breaks one connection: the answer to a COMMIT that names objects is lost.

    Args:
        server_port: the server's.
        losing: which of these answers, counted over all connections.
    """

    def __init__(self, server_port: int, losing: int) -> None:
        super().__init__(server_port)
        self._losing = losing
        self._commits = 0
        self.lost = threading.Event()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        names_objects = threading.Event()  # this connection is one of the worker's that commit
        asked, answered = _Last(), _Last()

        def look_at_question(data: bytes) -> bool:
            if asked.hold(data, b"insert into internal._commits"):
                names_objects.set()
            return True

        def look_at_answer(data: bytes) -> bool:
            if not (answered.hold(data, _COMMITTED) and names_objects.is_set()):
                return True
            with self._lock:
                self._commits += 1
                is_due = self._commits == self._losing
            if is_due:
                self.lost.set()
            return not is_due

        threading.Thread(target=_pump(client, server, look_at_question), daemon=True).start()
        threading.Thread(target=_pump(server, client, look_at_answer), daemon=True).start()


class TlsFront(TcpProxy):
    """Speaks TLS with the clients of a PostgreSQL server that has none; a client that does not ask for it is left.

    Args:
        server_port: the server's.
        certificate: what the front shows its clients.
    """

    def __init__(self, server_port: int, certificate: ssl.SSLContext) -> None:
        super().__init__(server_port)
        self._certificate = certificate
        self.served = 0

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):  # a client that does not believe the certificate ends
            if client.recv(len(_ASKS_FOR_TLS)) == _ASKS_FOR_TLS:
                client.sendall(b"S")
                encrypted = self._certificate.wrap_socket(client, server_side=True)
                self.served += 1
                threading.Thread(target=_relay, args=(encrypted, server), daemon=True).start()
                return
        for connection in (client, server):
            connection.close()


def _relay(encrypted: ssl.SSLSocket, server: socket.socket) -> None:
    """Forward bytes both ways until one side ends, in one thread: no two may use a TLS connection at once."""
    with suppress(OSError), encrypted, server:
        while True:
            ready, _, _ = select.select([encrypted, server], [], [])
            for source, target in ((encrypted, server), (server, encrypted)):
                if source in ready:
                    data = source.recv(65536)
                    while source is encrypted and encrypted.pending():
                        data += encrypted.recv(65536)
                    if not data:
                        return
                    target.sendall(data)


_ASKS_FOR_TLS = (8).to_bytes(4) + (80877103).to_bytes(4)
"""The message by which a client asks PostgreSQL for TLS: `SSLRequest` of its protocol, before anything else."""

_COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"
"""The message by which PostgreSQL says that a transaction has been committed."""


class _Last:
    """Finds a text in bytes that come in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def hold(self, data: bytes, text: bytes) -> bool:
        data = self._rest + data
        self._rest = data[-len(text) + 1 :]
        return text in data
