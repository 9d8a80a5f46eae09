"""Somebody who gets mails: a server on this machine that keeps what it is sent."""

from __future__ import annotations

import socketserver
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def getting_mails() -> Iterator[tuple[int, list[bytes]]]:
    """Take mails until the block ends, with just enough of SMTP; the port, and what has come."""
    mails: list[bytes] = []

    class MailServer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                verb = line[:4].upper()
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    mail = []
                    while (part := self.rfile.readline()) != b".\r\n":
                        mail.append(part)
                    mails.append(b"".join(mail))
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), MailServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], mails
        server.shutdown()
