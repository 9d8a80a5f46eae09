"""`battery status --watch`: the status again and again, redrawn in place where there is a terminal."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from kernel.base.errors import BatteryError
from kernel.base.output import LINES, say
from kernel.base.plain import plain
from kernel.base.stopping import STOP
from refresh.status import status
from sink.care.overview import look_at_overview

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.base.settings import Settings


def watch_status(settings: Settings, seconds: float, *, as_json: bool) -> None:
    """Show the status every so many seconds, until a signal ends it.

    Where the status cannot be read, for example as there is no warehouse yet, the reason is shown instead.
    """
    reader = _StatusReader(settings)
    console = Console(highlight=False)
    with ExitStack() as drawn:
        live = None
        if console.is_terminal and not as_json:
            live = drawn.enter_context(Live(console=console, auto_refresh=False, redirect_stderr=False))
            drawn.enter_context(LINES.above(console))
        while not STOP.is_set():
            if as_json:
                say(json.dumps(reader.figures(), default=str))
            elif live is not None:
                live.update(Text("\n".join(map(plain, reader.lines()))), refresh=True)
            else:
                say(*reader.lines(), "")
            STOP.wait(seconds)


class _StatusReader:
    """Reads the status, and computes the rate of rows since the reading before."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._before: tuple[float, int] | None = None

    def figures(self) -> dict[str, object]:
        """The figures for a program, or the `error` that kept them from being read."""
        try:
            current = status(self._settings, look_at_overview(self._settings))
        except BatteryError as error:
            return {"error": str(error)}
        return {**current.figures(), "rows_per_second": self._rate(current.rows)}

    def lines(self) -> Sequence[str]:
        """The status for a person, or the reason that kept it from being read."""
        try:
            current = status(self._settings, look_at_overview(self._settings))
        except BatteryError as error:
            return [str(error)]
        return list(current.lines(self._rate(current.rows)))

    def _rate(self, rows: int) -> float | None:
        """Rows a second that have landed since the last reading; None at the first one."""
        now, previous = time.monotonic(), self._before
        self._before = now, rows
        return None if previous is None else round((rows - previous[1]) / max(now - previous[0], 1e-9), 1)
