"""Progress of long work: a bar on a terminal, plain log lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, Self

import structlog

if TYPE_CHECKING:
    from types import TracebackType

_log = structlog.get_logger()

LINE_SECONDS: Final = 10.0
"""Between two log lines where there is no terminal."""


class Progress:
    """Shows how far some work is, with its rate, and the time left where the total is known."""

    def __init__(self, what: str, unit: str, total: int | None = None) -> None:
        self._what, self._unit, self._total = what, unit, total
        self._done = 0
        self._started = self._told = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> Self:
        """Show the bar where there is a terminal."""
        if self._terminal:
            from rich.console import Console  # noqa: PLC0415  # a command without a terminal need not pay for it
            from rich.progress import (  # noqa: PLC0415
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as Bar  # noqa: PLC0415

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(self._unit),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(self._what, total=self._total)
            self._bar.start()
        return self

    def advance(self, count: int) -> None:
        """Note that `count` more units are done."""
        self._done += count
        if self._terminal:
            self._bar.advance(self._task, count)
        elif time.monotonic() - self._told > LINE_SECONDS:
            self._tell()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar, or one last line, behind."""
        if self._terminal:
            self._bar.stop()
        elif self._done:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        rate = self._done / max(self._told - self._started, 1e-9)
        _log.info(self._what, done=self._done, total=self._total, unit=self._unit, per_second=round(rate))
