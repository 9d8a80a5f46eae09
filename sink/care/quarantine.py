"""The quarantine, read: which rows were refused, for which reason, and whether a retry of them has landed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from kernel.base.errors import BatteryError
from kernel.contract.about import TestAbout
from kernel.contract.message import Place
from kernel.contract.reading import Quality, Reason
from sink.tables import require_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import duckdb

    from kernel.edges.warehouse import Warehouse

_FIND: Final = """
    select
        q.topic_id, q."partition", q."offset", q."row", q.row_count, q.cell_id, q.source_file, q.reason, q.detail,
        q.payload, a.test_id, a.reader, a.assumptions, a.metadata, a.integrated
    from battery_quarantine as q left join battery_about as a
        on a.topic_id = q.topic_id and a."partition" = q."partition" and a."offset" = q."offset"
    where ($reason is null or q.reason = $reason) and ($cell is null or q.cell_id = $cell)
    order by q.topic_id, q."partition", q."offset", q."row"
"""

_SAID: Final = ("test_id", "reader", "assumptions", "metadata", "integrated")

_RETRIES: Final = f"""
    with landed as (
        select cell_id, kafka_partition, kafka_offset from battery_ts_cleaned
        where quality & {int(Quality.RETRIED)} <> 0 group by all
    )
    select
        r.origin_topic_id, r.origin_partition, r.origin_offset, r.origin_row,
        r.topic_id, r."partition", r."offset", l.cell_id is not null as has_landed
    from battery_retries as r left join landed as l
        on l.cell_id = r.cell_id and l.kafka_partition = r."partition" and l.kafka_offset = r."offset"
    order by r.topic_id, r."partition", r."offset"
"""  # noqa: S608  # names come from this module alone


_RETRIABLE: Final = f"""
    select coalesce(sum(row_count), 0)::bigint from battery_quarantine
    where reason <> '{Reason.DUPLICATE}' and (topic_id, "partition", "offset", "row") not in (
        select unnest($topics::varchar[]), unnest($partitions::integer[]), unnest($offsets::bigint[]),
            unnest($rows::integer[])
    )
"""  # noqa: S608


class RetryStatus(StrEnum):
    """What has become of a quarantined row."""

    REFUSED = "refused"
    """It has not been retried."""

    RETRIED = "retried"
    """It was retried, and refused again."""

    LANDED = "landed"
    """A retry of it has landed."""


@dataclass(frozen=True)
class QuarantineEntry:
    """A row of `battery_quarantine`: `row_count` rows of a message, from `place` on, refused for one reason.

    `retries` are the places in the log of the messages that published it again. `about_test` is what its message said
    of a test, as the header has it.
    """

    place: Place
    row_count: int
    cell_id: str | None
    source_file: str | None
    reason: str
    detail: str
    payload: str | None
    retry_status: RetryStatus
    retries: tuple[Place, ...]
    about_test: str | None = None


def find_refused(warehouse: Warehouse, reason: str | None = None, cell_id: str | None = None) -> list[QuarantineEntry]:
    """The entries of the quarantine, in the order of the logs.

    Args:
        warehouse: the landing tables.
        reason: only entries with this reason.
        cell_id: only entries of this cell.

    Raises:
        BatteryError: there is no such reason, or no warehouse.
    """
    if reason is not None and reason not in set(Reason):
        raise BatteryError(f"there is no reason {reason}; it is one of {', '.join(Reason)}")
    with warehouse.connect("look into the quarantine", read_only=True) as connection:
        require_tables(connection)
        rows = connection.execute(_FIND, {"reason": reason, "cell": cell_id}).fetchall()
        retries = _Retries(connection.execute(_RETRIES).fetchall())
    entries = []
    for topic_id, partition, offset, row, *shown in rows:
        place = Place(topic_id, partition, offset, row)
        count, cell, file, why, detail, payload, *said = shown
        about = TestAbout.from_row(dict(zip(_SAID, said, strict=True)))
        entries.append(
            QuarantineEntry(
                place, count, cell, file, why, detail, payload, retries.status_of(place), tuple(retries.of(place)),
                about.to_text() if about.about else None,
            )
        )  # fmt: skip
    return entries


def retriable_rows(connection: duckdb.DuckDBPyConnection) -> int:
    """How many quarantined rows may be retried: all except duplicates, and rows of which a retry has landed."""
    retries = _Retries(connection.execute(_RETRIES).fetchall())
    landed = [place for place in retries.origins if retries.status_of(place) is RetryStatus.LANDED]
    count = connection.execute(
        _RETRIABLE,
        {
            "topics": [place.topic_id for place in landed],
            "partitions": [place.partition for place in landed],
            "offsets": [place.offset for place in landed],
            "rows": [place.row for place in landed],
        },
    ).fetchone()
    return int(count[0]) if count else 0


class _Retries:
    """Which messages published which rows again. Such a message may be refused and be published again, too."""

    def __init__(self, rows: Sequence[tuple[str, int, int, int, str, int, int, bool]]) -> None:
        self._of: dict[Place, list[Place]] = {}
        self._from: dict[tuple[str, int, int], list[Place]] = {}
        self._landed: set[Place] = set()
        for topic_id, partition, offset, row, log, part, at, has_landed in rows:
            origin, again = Place(topic_id, partition, offset, row), Place(log, part, at, 0)
            self._of.setdefault(origin, []).append(again)
            self._from.setdefault((topic_id, partition, offset), []).append(origin)
            if has_landed:
                self._landed.add(again)

    @property
    def origins(self) -> Iterable[Place]:
        """The rows that were published again."""
        return self._of

    def of(self, place: Place) -> list[Place]:
        """The messages that published a row again."""
        return self._of.get(place, [])

    def status_of(self, place: Place) -> RetryStatus:
        """The status of a row, which counts the retries of its retries."""
        due, seen = list(self.of(place)), {place}
        if not due:
            return RetryStatus.REFUSED
        while due:
            again = due.pop()
            if again in self._landed:
                return RetryStatus.LANDED
            for origin in self._from.get((again.topic_id, again.partition, again.offset), []):
                if origin not in seen:
                    seen.add(origin)
                    due += self.of(origin)
        return RetryStatus.RETRIED


def by_id(entries: Sequence[QuarantineEntry], name: str) -> QuarantineEntry:
    """The entry with an id `topic_id:partition:offset:row`; the topic id may be left out if one log has such an entry.

    Raises:
        BatteryError: there is no such entry, or more than one.
    """
    matches = [entry for entry in entries if str(entry.place) == name or str(entry.place).endswith(f":{name}")]
    if not matches:
        raise BatteryError(f"the quarantine holds no {name}; `battery quarantine list` shows the ids")
    if len(matches) > 1:
        raise BatteryError(
            f"{name} is in {len(matches)} logs: say which, {' or '.join(str(entry.place) for entry in matches)}"
        )
    return matches[0]
