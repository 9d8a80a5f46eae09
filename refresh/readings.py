"""The readings as Parquet objects, one a test, which are read without opening the warehouse.

A publication writes the tests whose models have changed, and then `readings/index.parquet`, which names the object of
each test. The objects before stay until the next publication, for readers that have just read the index.
"""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import structlog

from kernel.base.errors import BatteryError
from kernel.edges.warehouse import HeldError
from refresh.dbt import PUBLISHED
from refresh.host_models import landing_of, turn_of
from sink.layout import INTERNAL
from sink.parquet import DamagedObjectError, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse

_log = structlog.get_logger()

FOLDER: Final = "readings/"
INDEX: Final = f"{FOLDER}index.parquet"

BATCH_ROWS: Final = 1_000_000
"""About so many readings are taken from the warehouse at a time."""

GROUP_ROWS: Final = 65_536

WRITERS: Final = 8
"""How many objects are written at a time."""

_ENCODINGS: Final = dict.fromkeys(("data_point", "date_time"), "DELTA_BINARY_PACKED") | dict.fromkeys(
    (
        "test_time_s", "step_time_s", "current_a", "voltage_v", "charge_counter_ah", "discharge_counter_ah",
        "charge_energy_counter_wh", "discharge_energy_counter_wh",
    ),
    "BYTE_STREAM_SPLIT",
)  # fmt: skip
_FEW_VALUES: Final = (
    "cell_id", "test_id", "cycle_index", "step_index", "temperature_c", "internal_resistance_ohm", "quality",
)  # fmt: skip
"""Columns by the encoding that suits them."""

_COLUMNS_VERSION: Final = "2"
"""Of the columns of the objects, in their keys: a test whose object has the columns of another version is written
again."""

_ALL_COLUMNS: Final = frozenset({*_ENCODINGS, *_FEW_VALUES, "is_kept"})

_INDEX: Final = pa.schema({"cell_id": pa.string(), "test_id": pa.string(), "key": pa.string()})

_PUBLISHED: Final = f"""
    select marks.cell_id, marks.test_id, {{stamp}} as stamp, tests.reading_count
    from {INTERNAL}._refreshed as marks
    inner join {PUBLISHED}.battery_tests as tests on marks.cell_id = tests.cell_id and marks.test_id = tests.test_id
    where marks.model = 'battery_cleaned'
    order by marks.cell_id, marks.test_id
"""  # noqa: S608  # names come from this module alone

_BY_RUN: Final = "marks.built_by"
_BY_CONTENT: Final = "marks.version || ' ' || coalesce(marks.code, '')"
"""By what the object of a test is named: the dbt run that has built it or, where several hosts build, of what, so that
all of them name it alike."""

_READINGS: Final = f"""
    with landed as (
        select wanted.number, readings.*
        from battery_ts_cleaned as readings inner join wanted using (cell_id, test_id)
    ), kept as (
        select wanted.number, cleaned.data_point
        from {PUBLISHED}.battery_cleaned as cleaned inner join wanted using (cell_id, test_id)
    )
    select
        number, cycle_index, data_point, step_index,
        "test_time(s)" as test_time_s, "step_time(s)" as step_time_s,
        "current(a)" as current_a, "voltage(v)" as voltage_v,
        "charge_capacity(ah)" as charge_counter_ah, "discharge_capacity(ah)" as discharge_counter_ah,
        "temperature(c)" as temperature_c, quality,
        date_time,
        "charge_energy(wh)" as charge_energy_counter_wh, "discharge_energy(wh)" as discharge_energy_counter_wh,
        "internal_resistance(ohm)" as internal_resistance_ohm,
        exists (
            select 1 from kept where kept.number = landed.number and kept.data_point = landed.data_point
        ) as is_kept
    from landed
    order by number, data_point
"""  # noqa: S608
"""Times in s, currents in A, voltages in V, counters in Ah and Wh as the cycler has them, temperatures in °C, the
cycler's wall clock, resistances in Ohm, and whether the models keep a reading."""


class NotExportedError(BatteryError):
    """Readings are not among those that the last publication has left in the store."""


def export_readings(warehouse: Warehouse, store: ObjectStore) -> int:
    """Write the readings of those tests whose models have changed since the last export.

    Returns:
        How many readings were written.

    Raises:
        BatteryError: warehouse or store cannot be used; readers see the readings of the last export.
    """
    stamp = _BY_RUN if landing_of(warehouse) is warehouse else _BY_CONTENT
    with _opened(warehouse) as connection:
        published = connection.execute(_PUBLISHED.format(stamp=stamp)).to_arrow_table()
    keys = list(map(_key, *(published[name].to_pylist() for name in ("cell_id", "test_id", "stamp"))))
    index = published.select(["cell_id", "test_id"]).append_column("key", pa.array(keys, pa.string())).cast(_INDEX)
    earlier = _read_index(store)
    is_new = pc.invert(pc.is_in(index["key"], value_set=earlier["key"].combine_chunks()))
    counts = published["reading_count"].to_numpy()
    written = 0
    for wanted in _batches(index.filter(is_new), counts[is_new.to_numpy()]):
        places = _places(wanted)

        def put(test: pa.Table, places: Mapping[tuple[str, str], str] = places) -> int:
            store.put(places[test["cell_id"][0].as_py(), test["test_id"][0].as_py()], _parquet(test))
            return int(test.num_rows)

        with ThreadPoolExecutor(WRITERS) as writers:  # a store takes its time to answer for each object
            written += sum(writers.map(put, read_readings(warehouse, list(places))))
    if index != earlier:
        with turn_of(warehouse) as turn:
            if not turn.is_newest:  # whoever has published a newer landing removes what was written here
                return 0
            store.put(INDEX, _parquet(index))
            used = {INDEX, *keys, *earlier["key"].to_pylist()}
            for stored in store.list(FOLDER):
                if stored.key not in used:
                    store.delete(stored.key)
    return written


def read_readings(warehouse: Warehouse, tests: Sequence[tuple[str, str]]) -> Iterator[pa.Table]:
    """The readings of each of some tests in their order, as the warehouse has them.

    Args:
        warehouse: the landing tables and the published models.
        tests: the cell and the test of each.

    Raises:
        HeldError: another process has the warehouse for too long.
        BatteryError: the warehouse cannot be read.
    """
    numbered = {"cell_id": [cell for cell, _ in tests], "test_id": [test for _, test in tests]}
    with _opened(warehouse) as connection:
        connection.register("wanted", pa.table({**numbered, "number": range(len(tests))}))
        readings = connection.execute(_READINGS).to_arrow_table()
    numbers = readings["number"].to_numpy()
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    for start, end in pairwise([*starts.tolist(), len(numbers)]):
        test = readings.slice(start, end - start).drop_columns(["number"])
        for place, (name, value) in enumerate(zip(("cell_id", "test_id"), tests[numbers[start]], strict=True)):
            test = test.add_column(place, name, pa.repeat(value, test.num_rows))
        yield test


def readings_of(
    store: ObjectStore | None, warehouse: Warehouse | None, cell_id: str, cycles: Sequence[tuple[str, int]]
) -> pa.Table:
    """The readings of some cycles of a cell in their order, without the warehouse where that is possible.

    They are those that the last publication has left in the store. Where it has not got as far yet, the warehouse is
    asked.

    Args:
        store: where they are; None where there is none yet.
        warehouse: the landing tables and the published models; None where it is not to be opened.
        cell_id: the cell.
        cycles: each by its test and its number within it; one at least.

    Raises:
        HeldError: the warehouse must be asked, and another process has it for too long.
        NotExportedError: the warehouse would have to be asked, and is not to be opened.
        BatteryError: there are none, or store or warehouse cannot be read.
    """
    numbers: dict[str, list[int]] = {}
    for test, number in sorted(cycles):
        numbers.setdefault(test, []).append(number)
    places = {} if store is None else _places(_read_index(store))
    parts = {test: _exported(store, places.get((cell_id, test)), wanted) for test, wanted in numbers.items()}
    missing = [test for test, found in parts.items() if not _has_all(found, numbers[test])]
    if missing and warehouse is None:
        raise _not_exported(missing, len(parts), cell_id)
    if missing and warehouse is not None:
        try:
            for test, readings in zip(missing, _in_order(warehouse, cell_id, missing), strict=True):
                parts[test] = _of_cycles(readings, numbers[test])
        except HeldError:
            if not any(parts.values()):
                raise
    found = [part for part in parts.values() if part is not None]
    if not found:
        raise BatteryError(f"there are no readings of these cycles of {cell_id} any more; look at the cell again")
    return pa.concat_tables(found, promote_options="default")  # an object may be of the version before


def readings_of_test(store: ObjectStore | None, warehouse: Warehouse | None, cell_id: str, test_id: str) -> pa.Table:
    """All readings of a test in their order, as the last publication has left them, else as the warehouse has them.

    Args:
        store: where they are; None where there is none yet.
        warehouse: the landing tables and the published models; None where it is not to be opened.
        cell_id: the cell.
        test_id: the test.

    Raises:
        HeldError: the warehouse must be asked, and another process has it for too long.
        NotExportedError: the warehouse would have to be asked, and is not to be opened.
        BatteryError: there are none, or store or warehouse cannot be read.
    """
    key = None if store is None else _places(_read_index(store)).get((cell_id, test_id))
    found = None if store is None or key is None else _get(store, key)
    if found is None or not _ALL_COLUMNS.issubset(found.schema.names):
        if warehouse is None:
            raise _not_exported([test_id], 1, cell_id)
        (found,) = _in_order(warehouse, cell_id, [test_id])
    if found is None:
        raise BatteryError(
            f"there are no readings of test {test_id} of {cell_id} any more; `battery transform` looks again"
        )
    return found


def _not_exported(missing: Sequence[str], tests: int, cell_id: str) -> NotExportedError:
    return NotExportedError(
        f"the store lacks readings of {len(missing)} of {tests} tests of {cell_id}: where a publication is exporting "
        "them, ask again in a minute; else `battery publish` exports them"
    )


def _exported(store: ObjectStore | None, key: str | None, numbers: Sequence[int]) -> pa.Table | None:
    return None if store is None or key is None else _of_cycles(_get(store, key), numbers)


def _has_all(readings: pa.Table | None, numbers: Sequence[int]) -> bool:
    return readings is not None and pc.count_distinct(readings["cycle_index"]).as_py() == len(set(numbers))


def _in_order(warehouse: Warehouse, cell_id: str, tests: Sequence[str]) -> list[pa.Table | None]:
    """The readings of tests of a cell from the warehouse; None for a test that it does not have."""
    found = {test["test_id"][0].as_py(): test for test in read_readings(warehouse, [(cell_id, test) for test in tests])}
    return [found.get(test) for test in tests]


def _get(store: ObjectStore, key: str) -> pa.Table | None:
    """An object; None where a publication has removed it since the index was read, or it is damaged."""
    try:
        return read_rows(store.get(key), key)
    except BatteryError as error:
        _log.warning("readings cannot be had from the store", error=str(error))
        return None


def _of_cycles(test: pa.Table | None, numbers: Sequence[int]) -> pa.Table | None:
    """The readings of some cycles of a test, by their numbers within it."""
    if test is None:
        return None
    return test.filter(
        pc.is_in(test["cycle_index"], value_set=pa.array(numbers, test.schema.field("cycle_index").type))
    )


@contextmanager
def _opened(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        with warehouse.connect("export readings", read_only=True) as connection:
            yield connection
    except duckdb.Error as error:
        raise BatteryError(f"the readings could not be exported: {str(error).splitlines()[0]}") from error


def _read_index(store: ObjectStore) -> pa.Table:
    """The index of the last export; an empty one where there is none, or where it is damaged."""
    if not any(stored.key == INDEX for stored in store.list(INDEX)):
        return _INDEX.empty_table()
    try:
        return read_rows(store.get(INDEX), INDEX, columns=_INDEX.names).cast(_INDEX)
    except DamagedObjectError:
        return _INDEX.empty_table()


def _key(cell_id: str, test_id: str, stamp: str) -> str:
    """The key of the object of a test as it was built; ids may hold characters that no key may."""
    name = hashlib.sha256(f"{cell_id}\0{test_id}\0{stamp}\0{_COLUMNS_VERSION}".encode()).hexdigest()
    return f"{FOLDER}{name[:2]}/{name[2:34]}.parquet"


def _places(index: pa.Table) -> dict[tuple[str, str], str]:
    """The key of the object of each test, by cell and test."""
    cells, tests, keys = (index[name].to_pylist() for name in _INDEX.names)
    return dict(zip(zip(cells, tests, strict=True), keys, strict=True))


def _batches(tests: pa.Table, counts: npt.NDArray[np.int64]) -> Iterator[pa.Table]:
    """Tests in pieces of about `BATCH_ROWS` readings, and of one test at least."""
    ends = np.cumsum(counts)
    first = 0
    while first < tests.num_rows:
        done = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, done + BATCH_ROWS, side="right")), first + 1)
        yield tests.slice(first, last - first)
        first = last


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    is_index = table.schema.names == _INDEX.names
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        row_group_size=GROUP_ROWS,
        use_dictionary=is_index or list(_FEW_VALUES),
        column_encoding=None if is_index else _ENCODINGS,
    )
    return buffer.getvalue()
