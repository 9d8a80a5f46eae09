"""Changing what a lab knows of its cells: the one way, for the command, a table, and a page alike.

What is known now is read from what has landed, the change is made, and all that is then known of a cell goes out as one
message, which lands at once. Where somebody else has changed the same cell in between, the change is made again on top
of theirs, so that neither is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernel.base.errors import BatteryError
from kernel.contract.cell_metadata import (
    changed,
    column_name,
    from_landed,
    in_order,
    require_cell_id,
    to_json,
    value_text,
)
from kernel.edges.cells_topic import open_cells_topic, send_cells
from sink.cells.events import known_metadata, land_cell_events, land_where_possible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kernel.base.settings import Settings
    from kernel.contract.cell_metadata import Value
    from kernel.edges.kafka import Topic
    from kernel.edges.warehouse import Warehouse

ATTEMPTS: Final = 5
"""How often a change is made again because others changed the same cells."""

_OVERTAKEN: Final = """
    select cell_id, arg_max(metadata, "offset") from battery_cell_events
    where fault is null and topic_id = $topic_id and cell_id = $cell_id and "partition" = $partition
        and "offset" > $base and "offset" < $own
    group by cell_id
"""


@dataclass(frozen=True)
class CellChange:
    """What was known of a cell before a change, and after it."""

    cell_id: str
    before: Mapping[str, Value]
    after: Mapping[str, Value]

    def lines(self) -> Iterator[str]:
        """A line for each value that changes.

        >>> print(*CellChange("A1", {"mass_g": 45.0, "lot": "7"}, {"group": "fast", "mass_g": 46.5}).lines(), sep="; ")
        A1  group: (nothing) -> fast; A1  mass_g: 45 -> 46.5; A1  lot: 7 -> (nothing)
        >>> print(*CellChange("A1", {"mass_g": 45.0, "lot": "7"}, {"mass_g": 45.0, "lot": "8"}).lines())
        A1  lot: 7 -> 8
        """
        for name in in_order({*self.before, *self.after}):
            old, new = self.before.get(name), self.after.get(name)
            if old != new:
                yield f"{self.cell_id}  {name}: {_shown(old)} -> {_shown(new)}"


class OvertakenError(BatteryError):
    """Others have changed values since they were read; nothing was changed. `now` is all that is known of each cell."""

    def __init__(self, names: str, now: Mapping[str, Mapping[str, Value]]) -> None:
        super().__init__(f"others have changed {names} since it was read; nothing was changed")
        self.now = now


def _shown(value: Value | None) -> str:
    return "(nothing)" if value is None else value_text(value)


def read_known(settings: Settings, warehouse: Warehouse) -> dict[str, dict[str, Value]]:
    """What is known of each cell, with what the topic has new, where its broker is there.

    Raises:
        BatteryError: the warehouse cannot be opened.
    """
    land_where_possible(settings, warehouse)
    with warehouse.connect("read the metadata of cells", read_only=True) as connection:
        return known_metadata(connection)


def _known_so_far(settings: Settings, warehouse: Warehouse) -> dict[str, dict[str, Value]]:
    """What has landed of each cell; nothing where there is no warehouse yet, which is not made."""
    file = settings.warehouse_address.file
    if file is not None and not file.exists():
        return {}
    with warehouse.connect("read the metadata of cells", read_only=True) as connection:
        return known_metadata(connection)


def change_cells(
    settings: Settings,
    warehouse: Warehouse,
    changes: Mapping[str, Mapping[str, Value | None]],
    *,
    read: Mapping[str, Mapping[str, Value]] | None = None,
    dry_run: bool = False,
) -> tuple[CellChange, ...]:
    """Change what is known of cells, by messages that land at once.

    Either all changes are sound and are made, or none is.

    Args:
        settings: where the broker is.
        warehouse: where they land.
        changes: by cell and column, which may be called as in the tables (`cell_group`), with values as
            `kernel.contract.cell_metadata.parse_value` reads them; None takes a value away. What is not named stays.
        read: what was known of the cells when whoever changes them has read it; None where that does not matter. What
            others write in the moment of the sending itself is not seen in time: it stands in the history.
        dry_run: whether nothing is published.

    Returns:
        The cells of which something else is known now (or would be).

    Raises:
        OvertakenError: another value than the one that was read is known now of what would change, and not the new one.
        NoBrokerError: no broker answers.
        BatteryError: a value is no good, or topic or warehouse cannot be used.
    """
    changes = {cell_id: _named(cell_id, change) for cell_id, change in changes.items()}
    if dry_run:
        land_where_possible(settings, warehouse)
        known = _known_so_far(settings, warehouse)
        _require_read(known, changes, read)
        return _differences(known, changes)
    topic = open_cells_topic(settings, create=True)
    land_cell_events(settings, warehouse, topic)
    with warehouse.connect("read the metadata of cells", read_only=True) as connection:
        known = known_metadata(connection)
        strays = [cell for (cell,) in connection.execute(_OF_ANOTHER_LOG, [topic.topic_id]).fetchall()]
        base = dict(connection.execute(_LAST, [topic.topic_id]).fetchall())
    _require_read(known, changes, read)
    differences = _differences(known, changes)
    if not differences:
        return ()
    # A topic that was created again gets what the one before held.
    values = {cell: to_json(known[cell]) for cell in strays} | {
        difference.cell_id: to_json(difference.after) for difference in differences
    }
    waiting: dict[str, Mapping[str, Value | None]] = {cell: {} for cell in strays}
    waiting |= {difference.cell_id: changes[difference.cell_id] for difference in differences}
    for _ in range(ATTEMPTS):
        places = send_cells(settings, topic, values)
        land_cell_events(settings, warehouse, topic)
        overtaken = _overtaken(warehouse, topic, {cell: places[cell] for cell in waiting}, base)
        base |= {partition: max(base.get(partition, -1), offset) for partition, offset in places.values()}
        again = {cell: changed(metadata, waiting[cell]) for cell, metadata in overtaken.items()}
        values = {cell: to_json(metadata) for cell, metadata in again.items()}
        waiting = {cell: waiting[cell] for cell in again}
        if not waiting:
            return differences
    raise BatteryError(f"others keep changing {', '.join(sorted(waiting))}; look at `battery cells show` and try again")


_OF_ANOTHER_LOG: Final = (
    "select cell_id from battery_cell_latest where topic_id <> ? and metadata <> '{}' order by cell_id"
)

_LAST: Final = 'select "partition", max("offset") from battery_cell_events where topic_id = ? group by "partition"'


def _named(cell_id: str, change: Mapping[str, Value | None]) -> dict[str, Value | None]:
    """A change of a cell by the names of the columns.

    Raises:
        BatteryError: a name is no good, or two mean the same column.
    """
    require_cell_id(cell_id)
    named: dict[str, Value | None] = {}
    for name, value in change.items():
        try:
            column = column_name(name)
        except BatteryError as error:
            raise BatteryError(f"cell {cell_id}: {error}") from None
        if column in named:
            raise BatteryError(f"cell {cell_id}: {column} is there twice")
        named[column] = value
    return named


def _require_read(
    known: Mapping[str, Mapping[str, Value]],
    changes: Mapping[str, Mapping[str, Value | None]],
    read: Mapping[str, Mapping[str, Value]] | None,
) -> None:
    """Check that what is to be changed is still what was read.

    Raises:
        OvertakenError: it is not; names it.
    """
    if read is None:
        return
    overtaken = [
        f"{name} of {cell_id}"
        for cell_id, change in changes.items()
        for name, value in change.items()
        if known.get(cell_id, {}).get(name) not in (read.get(cell_id, {}).get(name), value)
    ]
    if overtaken:
        raise OvertakenError(", ".join(overtaken), known)


def _differences(
    known: Mapping[str, Mapping[str, Value]], changes: Mapping[str, Mapping[str, Value | None]]
) -> tuple[CellChange, ...]:
    """The cells that changes make a difference to.

    Raises:
        BatteryError: a value is no good; says which cell it is of.
    """
    differences = []
    for cell_id, change in changes.items():
        before = known.get(cell_id, {})
        try:
            after = changed(before, change)
        except BatteryError as error:
            raise BatteryError(f"cell {cell_id}: {error}") from None
        if after != before:
            differences.append(CellChange(cell_id, before, after))
    return tuple(differences)


def _overtaken(
    warehouse: Warehouse, topic: Topic, places: Mapping[str, tuple[int, int]], base: Mapping[int, int]
) -> dict[str, dict[str, Value]]:
    """The cells that others have changed after they were read and before our message, with what those have said."""
    found: dict[str, dict[str, Value]] = {}
    with warehouse.connect("look whether others have changed the same cells") as connection:
        for cell_id, (partition, offset) in places.items():
            row = connection.execute(
                _OVERTAKEN,
                {
                    "topic_id": topic.topic_id,
                    "cell_id": cell_id,
                    "partition": partition,
                    "base": base.get(partition, -1),
                    "own": offset,
                },
            ).fetchone()
            if row is not None:
                found[row[0]] = from_landed(row[1])
    return found
