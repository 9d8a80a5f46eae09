"""The refresh that keeps running: it builds and publishes the models when something new has landed, after a pause."""

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
"""After so many looks that each find something newer, models are built without a pause: a live stream has none."""

FIRST_RETRY_SECONDS: Final = 30.0
LONGEST_RETRY_SECONDS: Final = 600.0


def refresh_on_news(
    settings: Settings, warehouse: Warehouse, store: ObjectStore, pause: Callable[[float], object] = STOP.wait
) -> Iterator[PublishResult]:
    """Look for news every commit interval, until `STOP`; build and publish when two looks in a row find the same news.

    A refresh that fails is logged. It is tried again when something more has landed, or after a pause, which grows with
    each failure.

    Args:
        settings: what dbt needs.
        warehouse: where the models are built.
        store: where the marts are exported.
        pause: waits for so many seconds.

    Yields:
        The result of each refresh that has succeeded.
    """
    last_news = failed_news = None
    looks, retry_in_seconds = 0, 0.0
    pauses = Pauses(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
    while not STOP.is_set():
        current_news = _news(settings, warehouse)
        looks = looks + 1 if current_news else 0
        may_try = current_news != failed_news or retry_in_seconds <= 0
        is_due = current_news == last_news or looks >= MOST_LOOKS
        if current_news and not STOP.is_set() and may_try and is_due:
            looks = 0
            try:
                yield _refresh(settings, warehouse, store)
            except BatteryError as error:
                failed_news, retry_in_seconds = current_news, pauses.next()
                _log.error(
                    "the refresh failed; it is tried again, or sooner when something more has landed",
                    error=str(error),
                    in_seconds=retry_in_seconds,
                )
            else:
                pauses.reset()
        last_news = current_news
        pause(settings.commit_interval_seconds)
        retry_in_seconds -= settings.commit_interval_seconds


def _refresh(settings: Settings, warehouse: Warehouse, store: ObjectStore) -> PublishResult:
    with lock_models(settings) as lock:
        stage_models(settings, warehouse, ("build",), lock)
        return publish(warehouse, store)


def _news(settings: Settings, warehouse: Warehouse) -> str | None:
    """What is new; None if nothing has landed at all, or the warehouse cannot be read."""
    try:
        with warehouse.connect("look for news", read_only=True) as connection:
            require_tables(connection)
            landed = connection.execute("select count(*) from _commits").fetchone()
        return None if landed == (0,) else news(settings, warehouse)
    except BatteryError as error:
        _log.debug("cannot look for news", error=str(error))
        return None
