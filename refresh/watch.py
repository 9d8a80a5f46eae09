"""The refresh that keeps running: it builds and publishes the models soon after something new has landed."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb
import structlog

from kernel.base.errors import BatteryError
from kernel.base.stopping import STOP
from refresh.dbt import BUILDING, lock_models
from refresh.host_models import landing_of
from refresh.news import news
from refresh.notice import Board
from refresh.pace import Pace
from refresh.publish import publish
from refresh.stage import stage_models
from refresh.warm import WarmDbt
from refresh.warned import in_words
from sink.care.overview import state_of_file
from sink.tables import require_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kernel.base.settings import Settings
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse
    from refresh.publish import PublishResult

_log = structlog.get_logger()

LOOK_SECONDS: Final = 0.5
"""How often it looks whether the warehouse's file has changed; the file is opened only then, and every commit interval.

The models' code and BATTERY_CELLS change without it, and a warehouse that is a service has none."""

PREPARE_SECONDS: Final = 10.0
"""After so long dbt is made warm although nothing has landed yet: then the first drop does not wait for it."""


def refresh_on_news(
    settings: Settings,
    warehouse: Warehouse,
    store: ObjectStore,
    pause: Callable[[float], object] = STOP.wait,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[PublishResult]:
    """Look for news until `STOP`, and build and publish at the pace of `refresh.pace`, by a dbt that stays warm.

    A refresh that fails is logged. It is tried again when something more has landed, or after a pause, which grows with
    each failure. What is being modelled stands in `refresh.json` (`refresh.notice`).

    Args:
        settings: what dbt needs.
        warehouse: where the models are built, from `open_models`.
        store: where the marts are exported.
        pause: waits for so many seconds.
        clock: tells the time, in s.

    Yields:
        The result of each refresh that has succeeded.
    """
    board, looks = Board(settings), _Looks(settings, warehouse)
    pace, prepare_at = Pace(clock()), clock() + PREPARE_SECONDS
    with ExitStack() as ending:
        dbt = ending.enter_context(WarmDbt(settings, BUILDING))
        ending.callback(board.idle)
        refresh = _Refresh(settings, warehouse, store, dbt, board)
        while not STOP.is_set():
            now = clock()
            current_news = looks.look(now)
            if current_news:
                board.waiting(current_news)
            else:
                board.idle()
            if (current_news or now >= prepare_at) and dbt.pid is None:
                with suppress(BatteryError, OSError):  # the refresh says what is wrong
                    dbt.prepare()
            if pace.is_due(current_news, now) and not STOP.is_set():
                try:
                    result = refresh.run(current_news)
                except BatteryError as error:
                    retry_in_seconds = pace.failed(now, clock())
                    _log.error(
                        "the refresh failed; it is tried again, or sooner when something more has landed",
                        error=str(error),
                        in_seconds=retry_in_seconds,
                    )
                else:
                    pace.refreshed(now, clock())
                    if result is not None:
                        yield result
                looks.forget()
            pause(LOOK_SECONDS)


@dataclass
class _Refresh:
    """Builds and publishes, and says of what the tests warn where that has changed."""

    settings: Settings
    warehouse: Warehouse
    store: ObjectStore
    dbt: WarmDbt
    board: Board
    _warned: str = ""

    def run(self, current_news: str | None) -> PublishResult | None:
        """Build and publish; None where another process has done so by now."""
        with lock_models(self.settings) as lock:
            if _news(self.settings, self.warehouse) is None:
                return None
            with self.board.modelling(self.warehouse, current_news), _foreseen():
                warnings = stage_models(self.settings, self.warehouse, ("build",), lock, self.dbt.run).warnings
                result = publish(self.warehouse, self.store)
        warned = in_words(self.warehouse, warnings) if warnings else ""
        if warned and warned != self._warned:
            _log.warning(warned)
        self._warned = warned
        return result


@contextmanager
def _foreseen() -> Iterator[None]:
    """Have an error that nobody has foreseen end one refresh, and not the process that would only begin anew."""
    try:
        yield
    except BatteryError:
        raise
    except Exception as error:
        _log.debug("the refresh failed", exc_info=True)
        reason = (str(error).splitlines() or [""])[0]
        raise BatteryError(f"unexpected {type(error).__name__}: {reason}; report it") from error


class _Looks:
    """What is new, looked up again when the warehouse's file has changed, and every commit interval."""

    def __init__(self, settings: Settings, warehouse: Warehouse) -> None:
        self._settings = settings
        self._warehouse = warehouse
        self._state: str | None = None
        self._due = 0.0
        self._news: str | None = None

    def look(self, now: float) -> str | None:
        """What is new; None if nothing is."""
        file = self._settings.warehouse_address.file
        state = None if file is None else state_of_file(file)
        if state != self._state or now >= self._due:
            self._state, self._due = state, now + self._settings.commit_interval_seconds
            self._news = _news(self._settings, self._warehouse)
        return self._news

    def forget(self) -> None:
        """Have the next look open the warehouse."""
        self._due = 0.0


def _news(settings: Settings, warehouse: Warehouse) -> str | None:
    """What is new; None if nothing has landed at all, or the warehouse cannot be read."""
    try:
        with landing_of(warehouse).connect("look for news", read_only=True) as connection:
            require_tables(connection)
            landed = connection.execute("select count(*) from internal._commits").fetchone()
        return None if landed == (0,) else news(settings, warehouse)
    except (BatteryError, duckdb.Error) as error:
        _log.debug("cannot look for news", error=str(error))
        return None
