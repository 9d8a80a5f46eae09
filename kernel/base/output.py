"""Output of a command on stdout and stderr: plain lines for people, JSON where the log is JSON.

`battery --help` needs this module, so it imports nothing heavy.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

import click

from kernel.base.masking import mask_urls
from kernel.base.plain import plain, plain_coloured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console


class Lines:
    """The stream that the log writes to: stderr, a whole line at a time, above a bar where one is drawn."""

    def __init__(self) -> None:
        self.as_json = False
        self._drawn_on: Console | None = None

    @property
    def may_draw(self) -> bool:
        """Whether stderr is a terminal on which a bar may be drawn."""
        return not self.as_json and sys.stderr.isatty()

    @contextmanager
    def above(self, console: Console) -> Iterator[None]:
        """Until the block ends, write lines through a console, which puts them above what it draws."""
        outer, self._drawn_on = self._drawn_on, console
        try:
            yield
        finally:
            self._drawn_on = outer

    def write(self, text: str) -> int:
        """Write a line."""
        if self._drawn_on is not None and sys.stderr.isatty():
            from rich.text import Text  # noqa: PLC0415  # a command that draws nothing need not pay for it

            # The terminal wraps long lines itself, so that a line copied from it is still one line.
            self._drawn_on.print(Text.from_ansi(text.rstrip("\n")), soft_wrap=True)
        else:
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush stderr."""
        sys.stderr.flush()


LINES: Final = Lines()


def say(*lines: object, err: bool = False) -> None:
    """Print lines for people; characters that a terminal would act on are escaped, line breaks included."""
    click.echo("\n".join(plain(str(line)) for line in lines), err=err)


def complain(text: str, level: Literal["error", "warning"] = "error") -> None:
    """Report on stderr what is wrong, in one line that begins with `battery: `, or in JSON where the log is JSON."""
    text = mask_urls(text)
    if not logs_are_json():
        say(f"battery: {text}", err=True)
        return
    import structlog  # noqa: PLC0415  # it takes longer to import than all else that `battery --help` needs

    from kernel.base.logs import configure_logging  # noqa: PLC0415

    if not LINES.as_json:
        configure_logging("json")
    log = structlog.get_logger()
    (log.error if level == "error" else log.warning)(text, complaint=True)


def relay_line(text: str, *, err: bool = False) -> None:
    """Print a line of another program, with its colours; on stderr it becomes a log line where the log is JSON.

    A line that is JSON already stays as it is.
    """
    if not (err and LINES.as_json) or fields_of(text) is not None:
        click.echo(plain_coloured(text), err=err)
    elif text.strip():
        import structlog  # noqa: PLC0415

        structlog.get_logger().warning(text)


def logs_are_json() -> bool:
    """Whether log lines are JSON, or are to be: the settings that say so may be what is wrong."""
    return LINES.as_json or os.environ.get("LOG_FORMAT") == "json"


def fields_of(line: str) -> dict[str, object] | None:
    """The fields of a log line in JSON; None where it is none."""
    if not line.startswith("{"):
        return None
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None
