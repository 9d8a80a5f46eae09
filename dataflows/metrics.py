"""Prometheus metrics of a running worker, counted once a poll or a commit, never by row.

Rows count as landed or quarantined after their transaction, so that the counters never exceed what the warehouse holds.
`dataflows.endpoint` serves the metrics.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from kernel.base.errors import BatteryError
from kernel.contract.reading import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dataflows.health import Pulse
    from kernel.base.settings import Settings

SECONDS: Final = (
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    20.0,
    40.0,
    80.0,
    160.0,
    320.0,
    640.0,
    math.inf,
)
"""Bounds of the histograms of durations, in s: from a small commit to as long as a warehouse is waited for."""

BYTES: Final = (*(float(4**power * 1024) for power in range(10)), math.inf)
"""Bounds of the histogram of object sizes, in bytes: 1 KiB to 256 MiB."""


@dataclass(frozen=True)
class _Place:
    """The next offset of a partition to land, how many messages wait, and since when both hold (monotonic, s)."""

    landed: int
    messages: int
    since: float


class Metrics:
    """The metrics of one process of the worker, in a registry of their own."""

    def __init__(self, settings: Settings, pulse: Pulse) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody asks for
        self.registry = CollectorRegistry()
        self._pulse = pulse
        self._places: dict[int, _Place] = {}
        self._closed: dict[int, float] = {}
        self._began = self._last_commit = time.time()
        ProcessCollector(registry=self.registry)
        self._messages = Counter(
            "battery_messages_read", "Messages read from the topic.", ["partition"], registry=self.registry
        )
        self._rows_in = Counter(
            "battery_rows_in",
            "Rows of messages read that had not landed before: landed + quarantined, once all has landed.",
            registry=self.registry,
        )
        self._landed = Counter("battery_rows_landed", "Rows whose landing has been committed.", registry=self.registry)
        self._quarantined = Counter(
            "battery_rows_quarantined",
            "Rows whose quarantine has been committed, by reason.",
            ["reason"],
            registry=self.registry,
        )
        for reason in Reason:
            self._quarantined.labels(reason.value)
        self._lag = Gauge(
            "battery_lag_messages",
            "Messages that have not landed, up to where the log ended at the last fetch.",
            ["partition"],
            registry=self.registry,
        )
        self._commit_seconds = Histogram(
            "battery_commit_duration_seconds",
            "From a commit's last row to the end of its transaction: storing its objects, and landing it.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._epoch_seconds = Histogram(
            "battery_epoch_duration_seconds",
            "From one close of a partition's epoch to the next, commits or not.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._object_bytes = Histogram(
            "battery_object_bytes", "Sizes of the committed objects.", buckets=BYTES, registry=self.registry
        )
        self._committed_at = Gauge(
            "battery_last_commit_timestamp_seconds",
            "When this process has last committed, in s since 1970; 0 before it has.",
            registry=self.registry,
        )
        self._add_gauge(
            "battery_last_commit_age_seconds",
            "Since the last commit of this process, or since it began.",
            self.commit_age,
        )
        self._add_gauge(
            "battery_last_epoch_age_seconds",
            "Since all processes were done with an epoch, or since this one began.",
            self.epoch_age,
        )
        self._add_gauge(
            "battery_waiting_seconds",
            "How long messages of a partition have waited without any of it landing; 0 where none wait.",
            self.waiting,
        )
        for name, described, limit in (
            ("battery_epoch_limit_seconds", "What /health lets the two ages above come to.", pulse.longest),
            ("battery_lag_limit_messages", "MAX_LAG_MESSAGES.", settings.max_lag_messages),
            ("battery_commit_interval_seconds", "COMMIT_INTERVAL_SECONDS.", settings.commit_interval_seconds),
        ):
            Gauge(name, described, registry=self.registry).set(limit)

    def _add_gauge(self, name: str, described: str, value: Callable[[], float]) -> None:
        Gauge(name, described, registry=self.registry).set_function(value)

    def read(self, partition: int, messages: int) -> None:
        """Count the messages of a poll."""
        self._messages.labels(partition).inc(messages)

    def came_in(self, rows: int) -> None:
        """Count the rows of a result."""
        self._rows_in.inc(rows)

    def reached(self, partition: int, landed: int, messages: int) -> None:
        """Note where a partition stands: the next offset to land, and how many messages have not landed."""
        last = self._places.get(partition)
        since = time.monotonic()
        if last is not None and last.landed == landed and last.messages > 0:  # they still wait
            since = last.since
        self._places[partition] = _Place(landed, messages, since)
        self._lag.labels(partition).set(messages)

    def committed(self, landed: int, quarantined: Mapping[str, int], objects: Iterable[int], seconds: float) -> None:
        """Count a commit after its transaction.

        Args:
            landed: its rows in `battery_ts_cleaned`.
            quarantined: its rows refused, by reason.
            objects: the sizes of its objects, in bytes.
            seconds: how long it took, in s.
        """
        self._landed.inc(landed)
        for reason, rows in quarantined.items():
            self._quarantined.labels(reason).inc(rows)
        for size in objects:
            self._object_bytes.observe(size)
        self._commit_seconds.observe(seconds)
        self._last_commit = time.time()
        self._committed_at.set(self._last_commit)

    def epoch_closed(self, partition: int) -> None:
        """Count an epoch of a partition."""
        now = time.monotonic()
        if partition in self._closed:
            self._epoch_seconds.observe(now - self._closed[partition])
        self._closed[partition] = now

    def commit_age(self) -> float:
        """How long ago, in s, this process has last committed, or began where it has not."""
        return time.time() - self._last_commit

    def epoch_age(self) -> float:
        """How long ago, in s, all processes had ended an epoch, or this process began where that is later."""
        since_began = time.time() - self._began
        since_epoch = self._pulse.since()
        return since_began if since_epoch is None else min(since_epoch, since_began)

    def waiting(self) -> float:
        """How long, in s, messages of the worst partition have waited without any of it landing; 0 where none wait."""
        return max((time.monotonic() - place.since for _, place in self._waiting()), default=0.0)

    def _waiting(self) -> list[tuple[int, _Place]]:
        return [(partition, place) for partition, place in list(self._places.items()) if place.messages]

    def health(self) -> str:
        """One line on a healthy worker: its epochs close, and what is in the topic lands.

        Raises:
            BatteryError: no epoch closes, or messages wait and none lands, for longer than a healthy worker takes.
        """
        age = self._pulse.age()
        for partition, place in self._waiting():
            waited = time.monotonic() - place.since
            if waited > self._pulse.longest:
                raise BatteryError(
                    f"{place.messages} messages of partition {partition} wait, and none has landed for "
                    f"{waited:.0f} s, expected within {self._pulse.longest:.0f} s; the worker's log says why"
                )
        return f"the worker closed an epoch {age:.0f} s ago"
