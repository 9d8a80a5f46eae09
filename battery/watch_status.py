"""`battery status --watch`: the status again and again, redrawn in place where there is a terminal."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from kernel.base.errors import BatteryError
from kernel.base.output import LINES, say
from kernel.base.plain import plain
from kernel.base.stopping import STOP
from kernel.edges.warehouse import open_warehouse
from refresh.status import status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.base.settings import Settings

PATIENCE_SECONDS: Final = 2.0
"""How long a look waits for a warehouse that another process holds; the next one comes soon."""


def watch_status(settings: Settings, seconds: float, *, as_json: bool) -> None:
    """Show the status every so many seconds, until a signal ends it.

    What keeps a look from being had, such as a warehouse that another process holds, is shown in its place.
    """
    patience = min(settings.warehouse_lock_timeout_seconds, PATIENCE_SECONDS)
    looks = _Looks(settings.model_copy(update={"warehouse_lock_timeout_seconds": patience}))
    console = Console(highlight=False)
    with ExitStack() as drawn:
        live = None
        if console.is_terminal and not as_json:
            live = drawn.enter_context(Live(console=console, auto_refresh=False, redirect_stderr=False))
            drawn.enter_context(LINES.above(console))
        while not STOP.is_set():
            if as_json:
                say(json.dumps(looks.figures(), default=str))
            elif live is not None:
                live.update(Text("\n".join(map(plain, looks.lines()))), refresh=True)
            else:
                say(*looks.lines(), "")
            STOP.wait(seconds)


class _Looks:
    """Looks at the status, each of which knows the one before."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._warehouse = open_warehouse(settings)
        self._before: tuple[float, int] | None = None

    def figures(self) -> dict[str, object]:
        """A look for a program: the figures, or the `error` that kept it from having them."""
        try:
            found = status(self._settings, self._warehouse)
        except BatteryError as error:
            return {"error": str(error)}
        return {**found.figures(), "rows_per_second": self._rate(found.rows)}

    def lines(self) -> Sequence[str]:
        """A look for a person."""
        try:
            found = status(self._settings, self._warehouse)
        except BatteryError as error:
            return [str(error)]
        return list(found.lines(self._rate(found.rows)))

    def _rate(self, rows: int) -> float | None:
        """Rows a second that have landed since the last look; None at the first one."""
        now, before = time.monotonic(), self._before
        self._before = now, rows
        return None if before is None else round((rows - before[1]) / max(now - before[0], 1e-9), 1)
