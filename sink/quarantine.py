"""Looking into the quarantine: what was refused, why, and what became of it since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from battery.errors import BatteryError
from battery.message import Place
from battery.reading import Quality, Reason
from battery.refused import Fate, Refused
from sink.tables import require_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sink.warehouse import Warehouse

_FIND: Final = f"""
    with refused as (
        select *, count(*) over (partition by topic_id, "partition", "offset") as entries from battery_quarantine
    ),
    landed as (
        select cell_id, kafka_partition, kafka_offset, count(*) as readings from battery_ts_cleaned
        where quality & {int(Quality.RETRIED)} <> 0 group by all
    ),
    again as (
        select
            r.origin_topic_id, r.origin_partition, r.origin_offset, r.origin_row,
            list([r.topic_id, r."partition"::varchar, r."offset"::varchar] order by r."offset") as at,
            coalesce(sum(l.readings), 0) as readings
        from battery_retries as r left join landed as l
            on l.cell_id = r.cell_id and l.kafka_partition = r."partition" and l.kafka_offset = r."offset"
        group by all
    )
    select
        q.topic_id, q."partition", q."offset", q."row", q.row_count, q.cell_id, q.source_file, q.reason, q.detail,
        q.payload,
        q.entries = 1 and q."row" = 0 and not exists (
            from battery_ts_cleaned as t
            where t.cell_id = q.cell_id and t.kafka_partition = q."partition" and t.kafka_offset = q."offset"
        ) as is_whole,
        again.at, again.readings
    from refused as q left join again
        on again.origin_topic_id = q.topic_id and again.origin_partition = q."partition"
        and again.origin_offset = q."offset" and again.origin_row = q."row"
    where ($reason is null or q.reason = $reason) and ($cell is null or q.cell_id = $cell)
    order by q.topic_id, q."partition", q."offset", q."row"
"""  # noqa: S608  # names come from this module alone


def find_refused(warehouse: Warehouse, reason: str | None = None, cell_id: str | None = None) -> list[Refused]:
    """What is in the quarantine, in the order of the logs.

    Args:
        warehouse: the landing tables.
        reason: only what was refused for it.
        cell_id: only rows of this cell.

    Raises:
        BatteryError: there is no such reason, or no warehouse.
    """
    if reason is not None and reason not in set(Reason):
        raise BatteryError(f"there is no reason {reason}; it is one of {', '.join(Reason)}")
    with warehouse.connect("look into the quarantine", read_only=True) as connection:
        require_tables(connection)
        rows = connection.execute(_FIND, {"reason": reason, "cell": cell_id}).fetchall()
    found = []
    for topic_id, partition, offset, row, count, cell, file, why, detail, payload, is_whole, retries, readings in rows:
        again = tuple(Place(log, int(part), int(at), 0) for log, part, at in retries or ())
        fate = Fate.REFUSED if not again else Fate.LANDED if readings else Fate.RETRIED
        place = Place(topic_id, partition, offset, row)
        found.append(Refused(place, count, cell, file, why, detail, payload, is_whole, fate, again))
    return found


def by_id(found: Sequence[Refused], name: str) -> Refused:
    """The entry of an id `topic_id:partition:offset:row`; the topic id may be left out where one log is meant.

    Raises:
        BatteryError: there is none, or there are several.
    """
    matches = [entry for entry in found if str(entry.place) == name or str(entry.place).endswith(f":{name}")]
    if not matches:
        raise BatteryError(f"the quarantine holds no {name}; `battery quarantine list` shows the ids")
    if len(matches) > 1:
        raise BatteryError(
            f"{name} is in {len(matches)} logs: say which, {' or '.join(str(entry.place) for entry in matches)}"
        )
    return matches[0]
