"""What a look at the pipeline reads: one publication of the marts, and the readings behind it, as Arrow tables.

Notebooks, the dashboard, reports, exports and alerts all read through it. A table is read when it is first asked for,
and kept. All tables are of one publication until `refresh` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kernel.base.errors import BatteryError
from kernel.edges.objects import open_store, open_to_look
from kernel.edges.warehouse import open_warehouse
from refresh.marts import ExportedMarts, WarehouseMarts
from refresh.readings import readings_of
from refresh.unknown_cell import unknown_cell

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    import numpy.typing as npt

    from kernel.base.settings import Settings
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse
    from refresh.marts import Marts, MartsVersion

    Numbers = npt.NDArray[np.int64]


STORE_SECONDS: Final = 5.0
"""How long a store may take to answer while a visitor of the dashboard waits, in s."""


class RepublishedError(BatteryError):
    """The marts have been published again, so a table that was not read before cannot be had any more."""


def open_publication(
    settings: Settings, *, seconds: float = STORE_SECONDS, make: bool = True, lock_seconds: float | None = None
) -> Publication:
    """The publication that the settings name; nothing is read yet.

    Args:
        settings: of the pipeline.
        seconds: how long the store may take to answer.
        make: whether a bucket that is not there is made; else it is an error. A folder is never made.
        lock_seconds: how long to wait for a warehouse of one file, which is then asked for readings that the store has
            not got yet; None leaves it to those who write it.

    Raises:
        BatteryError: the store cannot be reached.
    """
    if settings.warehouse_address.holds_models and settings.warehouse_address.admits_readers:
        warehouse = open_warehouse(settings)
        return Publication(WarehouseMarts(warehouse), open_to_look(settings), warehouse)
    patience = {"object_store_timeout_seconds": min(settings.object_store_timeout_seconds, seconds)}
    is_bucket = settings.object_store.startswith("s3://")
    store = open_store(settings.model_copy(update=patience), make=make and is_bucket)
    if lock_seconds is None or not settings.warehouse_address.holds_models:
        return Publication.of_store(store)
    waiting = {"warehouse_lock_timeout_seconds": min(settings.warehouse_lock_timeout_seconds, lock_seconds)}
    return Publication(ExportedMarts(store), store, open_warehouse(settings.model_copy(update=waiting)))


class Publication:
    """The marts of one publication, and the readings behind them.

    Nothing is read before it is asked for.
    """

    def __init__(self, marts: Marts, store: ObjectStore | None, warehouse: Warehouse | None = None) -> None:
        """The places.

        Args:
            marts: where the marts are.
            store: where the readings are; None where there is none yet.
            warehouse: which is asked where the store has not got the readings; None leaves it to those who write it.
        """
        self._marts = marts
        self._store = store
        self._warehouse = warehouse
        self._version: MartsVersion | None = None
        self._is_fixed = False
        self._tables: dict[str, pa.Table] = {}

    @classmethod
    def of_store(cls, store: ObjectStore) -> Publication:
        """What the publications have exported to a store; no warehouse is opened."""
        return cls(ExportedMarts(store), store)

    def at(self, version: MartsVersion) -> Publication:
        """The same place at one publication, which stays the one that is seen."""
        fixed = Publication(self._marts, self._store, self._warehouse)
        fixed._version, fixed._is_fixed = version, True
        return fixed

    def newest(self) -> MartsVersion:
        """The newest publication, whichever one is seen.

        Raises:
            NothingYetError: nothing has been published.
            BatteryError: the marts cannot be reached.
        """
        return self._marts.newest()

    @property
    def version(self) -> MartsVersion:
        """Which publication it is: the newest one when this was first asked.

        Raises:
            NothingYetError: nothing has been published.
            BatteryError: the marts cannot be reached.
        """
        if self._version is None:
            self._version = self._marts.newest()
        return self._version

    @property
    def published_at(self) -> datetime | None:
        """When it was published (UTC, without a zone); None where the warehouse has no record of it."""
        return self.version.published_at

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its tables, in the order of the alphabet."""
        return tuple(sorted(self.version.places))

    def refresh(self) -> bool:
        """See the newest publication from now on.

        Returns:
            Whether it is another one than before.
        """
        before, self._version = self._version, self._marts.newest()
        is_new = before != self._version
        if is_new:
            self._tables.clear()
        return is_new

    def table(self, name: str) -> pa.Table:
        """One of its tables, whole, sorted by its columns from left to right.

        Raises:
            RepublishedError: it was not read before the next publication.
            BatteryError: there is no such table, or it cannot be read.
        """
        if name not in self._tables:
            self._tables[name] = self._read(name)
        return self._tables[name]

    def rows(self, name: str, cells: Collection[str] | None = None) -> pa.Table:
        """The rows of some cells, or of all where `cells` is None.

        Raises:
            UnknownCellError: one of the cells has not been published.
            BatteryError: the table cannot be read.
        """
        table = self.table(name)
        if cells is None:
            return table
        published = self.table("battery_cells")["cell_id"].to_pylist()
        for cell in cells:
            if cell not in published:
                raise unknown_cell(cell, published)
        return table.filter(pc.is_in(table["cell_id"], value_set=pa.array(cells, pa.string())))

    def readings(self, cell: str, cycles: pa.Table) -> pa.Table:
        """The readings of some cycles of a cell, as the last export of the readings has them.

        Args:
            cell: its id.
            cycles: rows of `battery_cycles`; one at least.

        Returns:
            The readings of one test after the other, as `readings_of` gives them, with `cycle_number` among their
            columns.

        Raises:
            BatteryError: they cannot be read, or have not been exported as far as the marts.
        """
        keys = list(zip(cycles["test_id"].to_pylist(), cycles["cycle_index"].to_pylist(), strict=True))
        found = self.readings_by_test(cell, keys)
        numbers = _cycle_numbers(found, cycles)
        place = found.column_names.index("cycle_index")
        return found.add_column(place, "cycle_number", pa.array(numbers, pa.int32()))

    def readings_by_test(self, cell: str, cycles: Sequence[tuple[str, int]]) -> pa.Table:
        """The same of cycles named by their test and their number within it.

        Returns:
            As `readings`, without a number over all tests.

        Raises:
            BatteryError: as `readings`.
        """
        return readings_of(self._store, self._warehouse, cell, cycles)

    def _read(self, name: str) -> pa.Table:
        if name not in self.version.places:
            raise BatteryError(
                f"there is no table {name} among the published marts: {', '.join(self.names)}; if an earlier version "
                "published them, `battery transform` adds what is new"
            )
        try:
            table = self._marts.table(self.version, name)
            # A warehouse holds one publication, so this table may be of a later one than those that were read before.
            if self._marts.keeps_earlier or self._marts.newest() == self.version:
                return table
        except BatteryError:
            if self._marts.newest() == self.version:
                raise
        if self._tables or self._is_fixed:
            raise RepublishedError(
                f"the marts have been published again, and {name} was not read before: refresh to see it"
            )
        self.refresh()
        return self._marts.table(self.version, name)


def _cycle_numbers(readings: pa.Table, cycles: pa.Table) -> Numbers:
    """The number of the cycle of each reading over all tests of the cell."""
    tests = pa.array(sorted(set(cycles["test_id"].to_pylist())), pa.string())

    def keys(table: pa.Table) -> Numbers:
        test = pc.index_in(table["test_id"], value_set=tests).to_numpy().astype(np.int64)
        key: Numbers = (test << 32) + table["cycle_index"].to_numpy()
        return key

    known = keys(cycles)
    order = np.argsort(known)
    places = order[np.searchsorted(known, keys(readings), sorter=order)]
    numbers: Numbers = cycles["cycle_number"].to_numpy()[places].astype(np.int64)
    return numbers
