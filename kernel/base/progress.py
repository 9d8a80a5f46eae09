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
"""Between two log lines where there is no terminal."""

BAR_COLUMNS: Final = 24
"""Width of the bar itself: with its figures it fits into a terminal of 80 columns."""

FEW: Final = 10
"""A rate below this is shown with a decimal."""


class Progress:
    """Shows how far some work is, with its rate, and the time left where the total is known, or has become known.

    Without a terminal, with logs as JSON, or with `lines`, it tells so in log lines.
    """

    def __init__(self, what: str, unit: str, total: int | None = None, *, lines: bool = False) -> None:
        self._what, self._unit, self._total = plain(what), unit, total
        self._done = 0
        self._started = self._told = time.monotonic()
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
        """Note how many units it will be, which may become known, or change, on the way."""
        if total != self._total:
            self._total = total
            if self._bar is not None and total is not None:
                self._bar.update(self._task, total=total)

    def advance(self, count: int) -> None:
        """Note that `count` more units are done."""
        self._done += count
        if self._bar is not None:
            self._bar.advance(self._task, count)
        elif time.monotonic() - self._told > LINE_SECONDS:
            self._tell()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar, or one last line, behind."""
        self._drawn.close()
        if self._bar is None and self._done:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        rate = self._done / max(self._told - self._started, 1e-9)
        _log.info(self._what, done=self._done, total=self._total, unit=self._unit, per_second=round(rate))


@cache
def _console() -> Console:
    """The terminal, which bars within bars share."""
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
        """Units a second: lately, or on the whole once all is done."""

        def render(self, task: Task) -> Text:
            lately = None if task.finished else task.speed
            rate = lately or task.completed / max(task.elapsed or 0.0, 1e-9)
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
