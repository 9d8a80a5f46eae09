"""Running a command line: errors in one line for people or as JSON for machines, and exit codes that scripts go by."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import click

from kernel.base.errors import battery_error_in, causes
from kernel.base.output import complain, logs_are_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_INCOMPLETE = 1
"""Part of the work could not be done, or a check failed."""

EXIT_ERROR = 2
"""The command failed."""

EXIT_NOTHING_NEW = 3
"""There was nothing to do."""

EXIT_TERMINATED = 143
"""The command was ended by SIGTERM: 128 + 15, as shells have it."""


def run(command: click.Command, name: str, arguments: Sequence[str] | None = None) -> None:
    """Run a command line and exit with its code.

    Args:
        command: what to run.
        name: how a person calls it, for its usage.
        arguments: what stands behind the name; None for those of this process.
    """
    debug = "--debug" in (sys.argv if arguments is None else arguments)
    try:
        code = command.main(
            args=None if arguments is None else list(arguments), prog_name=name, standalone_mode=False, obj=debug
        )
    except click.ClickException as error:
        if logs_are_json():
            complain(error.format_message())
        else:
            _show(error)
        sys.exit(EXIT_ERROR)
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted")
        sys.exit(130)
    except Exception as error:
        leave = next((cause for cause in causes(error) if isinstance(cause, SystemExit)), None)
        if leave is not None:  # a signal came in the midst of a library, which wrapped the exception
            sys.exit(leave.code)
        if debug:
            raise
        complain(_reason(error))
        sys.exit(EXIT_ERROR)
    sys.exit(code if isinstance(code, int) else 0)


def _show(error: click.ClickException) -> None:
    """Print what is wrong with the command line, with its usage."""
    shown = io.StringIO()
    error.show(shown)
    say(*shown.getvalue().rstrip("\n").split("\n"), err=True)


def _reason(error: BaseException) -> str:
    """An error in one line: our own error wherever it is in the chain of causes, else the innermost one."""
    own = battery_error_in(error)
    if own is not None:
        return str(own)
    *_, innermost = causes(error)
    message = (str(innermost).splitlines() or ["no message"])[0]
    return f"unexpected {type(innermost).__name__}: {message}; `battery --debug …` shows the traceback"
