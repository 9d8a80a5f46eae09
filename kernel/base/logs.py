"""Logging: structlog on stderr, as lines for people or as JSON for machines, without secrets.

With JSON, the lines and warnings of libraries and uncaught exceptions are log lines, too.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Literal, TextIO, cast

import structlog

from kernel.base.masking import redact
from kernel.base.output import LINES
from kernel.base.plain import plain

if TYPE_CHECKING:
    from types import TracebackType

    from structlog.typing import EventDict, Processor, WrappedLogger


def configure_logging(log_format: Literal["console", "json"] = "console", *, debug: bool = False) -> None:
    """Send structured log lines to stderr; stdout is for a command's own result."""
    LINES.as_json = log_format == "json"
    fields: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    rendered: list[Processor] = (
        [structlog.processors.JSONRenderer()]
        if LINES.as_json
        else [plain_values, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *fields, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", LINES)),
        cache_logger_on_first_use=True,
    )
    if LINES.as_json:
        _log_libraries(fields)


def _log_libraries(fields: list[Processor]) -> None:
    """Write the log lines of libraries, warnings and uncaught exceptions as JSON."""
    handler = logging.StreamHandler(cast("TextIO", LINES))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=fields,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda hook: _log_uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is not None and not isinstance(error, SystemExit):
        logging.getLogger(__name__).error("uncaught %s: %s", kind.__name__, error, exc_info=(kind, error, trace))


def plain_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape text from outside for a terminal; of a traceback each line by itself.

    A value that is not text is shown by its `repr`, which escapes by itself.
    """
    for name, value in event.items():
        if name == "exception" and isinstance(value, str):
            event[name] = "\n".join(map(plain, value.split("\n")))
        elif isinstance(value, str):
            event[name] = plain(value)
    return event
