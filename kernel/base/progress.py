"""Progress of long work: a bar on a terminal, plain log lines elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Final, Self

import structlog

from kernel.base.output import LINES
from kernel.base.plain import plain

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console
    from rich.progress import Progress as Bar

_log = structlog.get_logger()

LINE_SECONDS: Final = 10.0
"""Time between two log lines where there is no terminal, s."""

BAR_COLUMNS: Final = 24
"""Width of the bar without its figures; with them it fits into a terminal of 80 columns."""

FEW: Final = 10
"""Units a second; a lower rate is shown with a decimal."""


class Progress:
    """Shows the progress of some work, its rate, and the time left where the total is known.

    It is a bar on a terminal, and log lines without one, with logs as JSON, or with `lines`.
    """

    def __init__(self, what: str, unit: str, total: int | None = None, *, lines: bool = False) -> None:
        self._what, self._unit, self._total = plain(what), unit, total
        self._done = 0
        self._started = self._logged = time.monotonic()
        self._bar = None if lines or not LINES.may_draw else _bar(unit)
        self._drawn = ExitStack()

    def __enter__(self) -> Self:
        """Show the bar where there is a terminal."""
        if self._bar is not None:
            self._task = self._bar.add_task(self._what, total=self._total)
            self._drawn.enter_context(LINES.above(self._bar.console))
            self._drawn.enter_context(self._bar)
        return self

    def expect(self, total: int | None) -> None:
        """Set the total number of units, which may become known, or change, on the way."""
        if total != self._total:
            self._total = total
            if self._bar is not None and total is not None:
                self._bar.update(self._task, total=total)

    def advance(self, count: int) -> None:
        """Note that `count` more units are done."""
        self._done += count
        if self._bar is not None:
            self._bar.advance(self._task, count)
        elif time.monotonic() - self._logged > LINE_SECONDS:
            self._log_line()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bar, or write a last log line."""
        self._drawn.close()
        if self._bar is None and self._done:
            self._log_line()

    def _log_line(self) -> None:
        self._logged = time.monotonic()
        rate = self._done / max(self._logged - self._started, 1e-9)
        _log.info(self._what, done=self._done, total=self._total, unit=self._unit, per_second=round(rate))


@cache
def _console() -> Console:
    """The terminal, which nested bars share."""
    from rich.console import Console  # noqa: PLC0415  # a command without a terminal need not pay for it

    return Console(stderr=True)


def _bar(unit: str) -> Bar:
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class Rate(ProgressColumn):
        """Units a second: of the last seconds, or of the whole work once it is done."""

        def render(self, task: Task) -> Text:
            recent = None if task.finished else task.speed
            rate = recent or task.completed / max(task.elapsed or 0.0, 1e-9)
            return Text(f"{rate:,.{1 if rate < FEW else 0}f} {unit}/s", style="progress.data.speed")

    return Bar(
        TextColumn("{task.description}", markup=False),  # what is downloaded may have brackets in its name
        BarColumn(BAR_COLUMNS),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=_console(),
        redirect_stdout=sys.stdout.isatty(),  # else it is somebody's input, and not for the terminal
    )
