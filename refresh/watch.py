"""The refresh that keeps running: models built and published whenever something new has landed and there is a pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from kernel.base.errors import BatteryError
from kernel.base.pauses import Pauses
from kernel.base.stopping import STOP
from refresh.dbt import lock_models
from refresh.news import news
from refresh.publish import publish
from refresh.stage import stage_models
from sink.tables import require_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kernel.base.settings import Settings
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse
    from refresh.publish import PublishResult

_log = structlog.get_logger()

MOST_LOOKS: Final = 12
"""Looks that find something newer each time before models are built all the same: a live stream never pauses."""

FIRST_RETRY_SECONDS: Final = 30.0
LONGEST_RETRY_SECONDS: Final = 600.0


def refresh_on_news(
    settings: Settings, warehouse: Warehouse, store: ObjectStore, pause: Callable[[float], object] = STOP.wait
) -> Iterator[PublishResult]:
    """Look for news every commit interval, and build and publish once two looks in a row find the same, until `STOP`.

    A refresh that fails is told of and tried again after a pause, each longer than the one before, or when something
    more has landed.
    """
    before = failed = None
    looks, waits = 0, 0.0
    pauses = Pauses(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
    while not STOP.is_set():
        found = _news(settings, warehouse)
        looks = looks + 1 if found else 0
        is_due = found != failed or waits <= 0
        if found and not STOP.is_set() and is_due and (found == before or looks >= MOST_LOOKS):
            looks = 0
            try:
                yield _refresh(settings, warehouse, store)
            except BatteryError as error:
                failed, waits = found, pauses.next()
                _log.error(
                    "the refresh failed; it is tried again, or sooner when something more has landed",
                    error=str(error),
                    in_seconds=waits,
                )
            else:
                pauses.reset()
        before = found
        pause(settings.commit_interval_seconds)
        waits -= settings.commit_interval_seconds


def _refresh(settings: Settings, warehouse: Warehouse, store: ObjectStore) -> PublishResult:
    with lock_models(settings) as lock:
        stage_models(settings, warehouse, ("build",), lock)
        return publish(warehouse, store)


def _news(settings: Settings, warehouse: Warehouse) -> str | None:
    """What is new; nothing while nothing at all has landed, or where the warehouse cannot be looked at."""
    try:
        with warehouse.connect("look for news", read_only=True) as connection:
            require_tables(connection)
            landed = connection.execute("select count(*) from _commits").fetchone()
        return None if landed == (0,) else news(settings, warehouse)
    except BatteryError as error:
        _log.debug("cannot look for news", error=str(error))
        return None
