"""How much room a pipeline takes, and how fast it grows: by sizes of files and objects, and by `_commits`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from refresh.readings import FOLDER as READINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel.base.settings import Settings
    from kernel.edges.objects import ObjectStore
    from sink.care.overview import Overview

RAW: Final = "raw/"
"""Where the store keeps files as they came."""

DAYS: Final = 7.0
"""Growth is told by the commits of so many days."""

LEAST_DAYS: Final = 1.0
"""A younger pipeline is taken to be a day old: what an hour brings, a first import may be."""

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True)
class StorageStatus:
    """The room that a pipeline takes, in bytes.

    `warehouse` is None where it is a service. `objects` are those that `_commits` names, `readings` those of the last
    publications, `raw` the files as they came. `rows_per_day` and `bytes_per_day` are of the landed objects; None
    where nothing has landed. `free` is what the disk of the warehouse has left, None where it is a service.
    """

    warehouse: int | None
    objects: int
    readings: int
    raw: int
    rows_per_day: float | None
    bytes_per_day: float | None
    free: int | None

    def lines(self) -> Iterator[str]:
        """The figures for a person."""
        parts = {"warehouse": self.warehouse, "objects": self.objects, "readings": self.readings, "raw files": self.raw}
        sizes = [f"{name} {in_units(size)}" for name, size in parts.items() if size is not None]
        free = "" if self.free is None else f"; {in_units(self.free)} free"
        yield f"storage      {', '.join(sizes)}{free}"
        if self.rows_per_day is not None and self.bytes_per_day is not None:
            yield (
                f"growth       {self.rows_per_day:,.0f} rows and {in_units(self.bytes_per_day)} of objects a day, "
                f"over the last {DAYS:.0f} days"
            )


def storage_status(settings: Settings, overview: Overview, store: ObjectStore | None) -> StorageStatus:
    """Tell how much room all takes; raw files and readings are listed.

    Raises:
        BatteryError: the store does not answer.
    """
    file = settings.warehouse_address.file
    warehouse = free = None
    if file is not None and file.exists():
        log = file.with_name(f"{file.name}.wal")
        warehouse = file.stat().st_size + (log.stat().st_size if log.exists() else 0)
        free = shutil.disk_usage(file.parent).free
    readings, raw = (0, 0) if store is None else (_bytes_below(store, READINGS), _bytes_below(store, RAW))
    (growth,) = overview.tables["growth"].to_pylist()
    rows_per_day = bytes_per_day = None
    if growth["first_commit"] is not None:
        days = days_of(growth["first_commit"], datetime.now(UTC).replace(tzinfo=None))
        rows_per_day, bytes_per_day = growth["week_rows"] / days, growth["week_bytes"] / days
    return StorageStatus(warehouse, growth["bytes"], readings, raw, rows_per_day, bytes_per_day, free)


def days_of(first_commit: datetime, now: datetime) -> float:
    """Over how many days the commits of the last week are spread, from `LEAST_DAYS` to `DAYS`.

    >>> days_of(datetime(2026, 3, 1), datetime(2026, 3, 4)), days_of(datetime(2026, 1, 1), datetime(2026, 3, 4))
    (3.0, 7.0)
    """
    return min(DAYS, max(LEAST_DAYS, (now - first_commit) / timedelta(days=1)))


def in_units(size: float) -> str:
    """Bytes for a person.

    >>> in_units(999), in_units(141_832_192), in_units(2.5e12)
    ('999 B', '141.8 MB', '2.5 TB')
    """
    for unit in _UNITS[:-1]:
        if size < 1000:  # noqa: PLR2004  # the step between SI units
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {_UNITS[-1]}"


def _bytes_below(store: ObjectStore, prefix: str) -> int:
    return sum(stored.size for stored in store.list(prefix))
