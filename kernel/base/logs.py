"""Logging: structlog on stderr, as lines for people or JSON for machines, never a secret."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, TextIO, cast

import click
import structlog

from kernel.base.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from structlog.typing import EventDict, WrappedLogger

_SECRET_NAME = re.compile(r"password|secret|token|access_key", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"((?:motherduck_token|password|secret_key|token)=)[^&\s'\";]+", re.IGNORECASE)
_URL = re.compile(r"\b(?P<scheme>[a-z][a-z0-9+.-]*:/{1,3})(?P<rest>[^\s'\"<>]+)", re.IGNORECASE)
_HOST = re.compile(r"(?:\[[0-9a-f:.%]+\]|[^:/]*)(?::\d{1,5})?(?:/|$)", re.IGNORECASE)


def mask_urls(text: str) -> str:
    """A text without the user information, query strings and fragments of the URLs in it, which may be secrets."""
    return _URL.sub(_masked, text)


def _masked(url: re.Match[str]) -> str:
    head, mark, tail = re.fullmatch(r"([^?#]*)([?#]?)(.*)", url["rest"], re.DOTALL).groups()  # type: ignore[union-attr]
    user, at, place = head.rpartition("@")
    if not _HOST.match(place) or ("@" in tail and ":" in place.partition("/")[0]):
        return f"{url['scheme']}***"  # a password with a mark of its own in it: nothing tells where it ends
    return f"{url['scheme']}{'***@' if user or at else ''}{place}{mark}{'***' if tail else ''}"


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide values whose name, or whose text, says that they are a secret."""
    for name, value in event.items():
        if _SECRET_NAME.search(name):
            event[name] = "***"
        elif isinstance(value, str):
            event[name] = mask_urls(_SECRET_TEXT.sub(r"\1***", value))
    return event


class Lines:
    """Standard error as the log writes to it: a whole line at a time, above whatever is drawn on the terminal."""

    def __init__(self) -> None:
        self.as_json = False
        self._drawn_on: Console | None = None

    @property
    def may_draw(self) -> bool:
        """Whether a person looks at it on a terminal, who sees more in a bar than in lines."""
        return not self.as_json and sys.stderr.isatty()

    @contextmanager
    def above(self, console: Console) -> Iterator[None]:
        """While something is drawn on a console, lines go through it: it puts them above and draws again below."""
        before, self._drawn_on = self._drawn_on, console
        try:
            yield
        finally:
            self._drawn_on = before

    def write(self, text: str) -> int:
        """Write a line."""
        if self._drawn_on is not None and sys.stderr.isatty():
            from rich.text import Text  # noqa: PLC0415  # a command that draws nothing need not pay for it

            # Long lines are the terminal's to wrap: what is copied from it is then still one line.
            self._drawn_on.print(Text.from_ansi(text.rstrip("\n")), soft_wrap=True)
        else:
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        sys.stderr.flush()


LINES: Final = Lines()


def plain_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Have nothing from outside reach a terminal raw; of a traceback each line by itself.

    What is no text is shown as Python writes it, which writes out all that is not to be printed.
    """
    for name, value in event.items():
        if name == "exception" and isinstance(value, str):
            event[name] = "\n".join(map(plain, value.split("\n")))
        elif isinstance(value, str):
            event[name] = plain(value)
    return event


def say(*lines: object, err: bool = False) -> None:
    """Print lines that people read; what in them is not to be shown on a terminal is escaped, line breaks included."""
    click.echo("\n".join(plain(str(line)) for line in lines), err=err)


def configure_logging(log_format: Literal["console", "json"] = "console", *, debug: bool = False) -> None:
    """Send structured log lines to stderr; stdout is for a command's own result."""
    LINES.as_json = log_format == "json"
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            *([] if log_format == "json" else [plain_values]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", LINES)),
        cache_logger_on_first_use=True,
    )


def complain(text: str, level: Literal["error", "warning"] = "error") -> None:
    """Tell a person on stderr what is wrong, in one line that begins with `battery: `, or is JSON where the log is."""
    text = mask_urls(text)
    if LINES.as_json or os.environ.get("LOG_FORMAT") == "json":  # the settings may be what is wrong
        said = {"event": text, "level": level, "complaint": True, "timestamp": datetime.now(UTC).isoformat()}
        text = json.dumps(redact(None, "error", said))
    else:
        text = plain(f"battery: {text}")
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class JsonLines(io.TextIOBase):
    """A standard error on which each line is JSON, whoever writes it: what is none becomes the `event` of a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = ""
        self._one_at_a_time = threading.RLock()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream below."""
        return self._stream.encoding

    def fileno(self) -> int:
        """That of the stream below."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, text: str) -> int:
        """Write the lines that are whole by now."""
        with self._one_at_a_time:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                self._tell(line)
        return len(text)

    def flush(self) -> None:
        """Write what has begun as a line of its own."""
        with self._one_at_a_time:
            line, self._begun = self._begun, ""
            self._tell(line)
            self._stream.flush()

    def _tell(self, line: str) -> None:
        if not line.strip():
            return
        if fields_of(line) is None:
            said = {"event": line, "level": "warning", "timestamp": datetime.now(UTC).isoformat()}
            line = json.dumps(redact(None, "warning", said))
        self._stream.write(f"{line}\n")


def fields_of(line: str) -> dict[str, object] | None:
    """The fields of a log line in JSON; None where it is none."""
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
