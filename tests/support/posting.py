"""A running `battery gateway`, and a sender to it."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from support.harness import finish, wait_for

from kernel.base.ports import free_port

if TYPE_CHECKING:
    from support.forks import Process
    from support.pipeline import Pipeline

ANSWER_SECONDS = 90


class Gateway:
    """A `battery gateway` of a pipeline; it answers when this is made."""

    def __init__(self, pipeline: Pipeline, *arguments: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.process: Process = pipeline.start("gateway", "--port", str(self.port), *arguments)
        self.said = wait_for(self.process, "http://")

    @property
    def url(self) -> str:
        """Where readings are posted to."""
        return f"http://127.0.0.1:{self.port}/readings"

    def post(
        self, body: bytes, query: str = "", kind: str = "application/json", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Post a body; the status, and what is answered."""
        request = urllib.request.Request(self.url + query, body, {"Content-Type": kind, **headers})
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)

    def end(self) -> str:
        """End it as an operator does; what it had left to say."""
        self.process.send_signal(signal.SIGTERM)
        return finish(self.process, 0)
