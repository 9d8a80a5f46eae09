"""Requests to an application in this process, without a server."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from starlette.applications import Starlette


@dataclass(frozen=True)
class Answer:
    """What was answered; `said` is its JSON."""

    status: int
    headers: dict[str, str]
    said: Any

    @property
    def problems(self) -> list[str]:
        """The lines of a refusal."""
        found: list[str] = self.said["problems"]
        return found


def ask(
    app: Starlette,
    path: str,
    body: bytes | list[bytes] = b"",
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    *,
    stalls: bool = False,
) -> Answer:
    """Send a request, its body in one part or in several, and read the answer; if it stalls, more of it is owed."""
    parts = [body] if isinstance(body, bytes) else list(body)
    split = urlsplit(path)
    named = {"host": "127.0.0.1:8600", "content-type": "application/json", **(headers or {})}
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": split.path, "raw_path": split.path.encode(),
        "query_string": split.query.encode(), "headers": [(n.encode(), v.encode()) for n, v in named.items()],
        "scheme": "http", "server": ("127.0.0.1", 8600), "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if stalls and not parts:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": parts.pop(0) if parts else b"", "more_body": bool(parts) or stalls}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    with ThreadPoolExecutor(1) as thread:  # a browser's tests leave a loop running in the thread that tests run in
        thread.submit(lambda: asyncio.run(app(scope, receive, send))).result()
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], found, json.loads(b"".join(part.get("body", b"") for part in sent[1:])))
