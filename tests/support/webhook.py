"""Somebody who listens to alerts: an HTTP server on this machine that keeps what it is sent."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Webhook:
    """What has been heard at a port."""

    port: int
    bodies: list[bytes] = field(default_factory=list)
    status: int = 200
    """What it answers; what it does not take is not among `bodies`."""
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    @property
    def connection(self) -> str:
        """An Airflow connection that leads here."""
        return json.dumps({"conn_type": "http", "host": f"http://127.0.0.1:{self.port}/hook"})


@contextmanager
def listening() -> Iterator[Webhook]:
    """Listen until the block ends."""
    heard = Webhook(0)

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.headers.append(dict(self.headers))
            if heard.status < 400:
                heard.bodies.append(body)
            self.send_response(heard.status)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        heard.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield heard
        server.shutdown()
