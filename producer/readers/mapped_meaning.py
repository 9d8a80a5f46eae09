"""What tables of people and scripts leave open: counters that are net or stand still, times that begin again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from producer.readers.meaning.counters import NOISE
from producer.readers.meaning.times import BACK_SECONDS, UNITS, gone_on, true_unit
from producer.readers.tables.starts import DATED_BY_START, clock_since

if TYPE_CHECKING:
    from producer.readers.record import Floats, Record
    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Column


ONE_WAY: Final = 0.9
"""The share of a voltage's course that is one way, where it is to turn a current of one sign."""


def leave_out_still(record: Record) -> None:
    """Leave counters out that never move while current flows, as where a script fills columns up with zeros."""
    if np.count_nonzero(record.current) < 2:  # noqa: PLR2004  # one reading moves nothing yet
        return
    for single in ("capacity", "energy"):
        present = [name for name in (single, f"charge_{single}", f"discharge_{single}") if name in record.counters]
        if present and all(np.nanmin(record.counters[name]) == np.nanmax(record.counters[name]) for name in present):
            for name in present:
                del record.counters[name]
            record.assumed.append(f"{' and '.join(present)} never move while current flows; they were left out")


def turn_one_way(record: Record) -> None:
    """Turn a current of one sign, of which nothing but the voltage tells anything, where that goes the other way."""
    flows = record.current != 0
    signs = np.unique(np.sign(record.current[flows]))
    told = record.direction is not None and (flows & (record.direction != 0)).any()
    if told or len(signs) != 1 or any(name in record.counters for name in ("charge_capacity", "discharge_capacity")):
        return
    within = flows[1:] & flows[:-1]
    course = np.diff(record.voltage)[within]
    if len(course) > 1 and float(course.sum() * signs[0]) <= -ONE_WAY * float(np.abs(course).sum()) < 0:
        record.current = -record.current
        now, what = ("positive", "discharging") if signs[0] > 0 else ("negative", "charging")
        record.assumed.append(f"current is {now} while {what} in the file; its sign was turned, as the voltages tell")


def take_net(record: Record) -> None:
    """Take the only counter of a kind as net where it falls little by little instead of beginning again.

    Cyclers write such a counter without a direction, simulations call it that of discharge, which may fall below 0.
    """
    for single in ("capacity", "energy"):
        present = [name for name in (single, f"charge_{single}", f"discharge_{single}") if name in record.counters]
        if len(present) != 1:
            continue
        values = record.counters[present[0]]
        filled = ~np.isnan(values)
        given, sizes = values[filled], np.abs(values[filled])
        size = sizes.max(initial=0.0)
        same_cycle = np.diff((np.zeros(len(values)) if record.cycle is None else record.cycle)[filled]) == 0
        falls = np.flatnonzero((np.diff(sizes) < -NOISE * size) & same_cycle)
        partial = sizes[falls + 1] >= sizes[falls] / 2
        is_negative = present != [single] and (given < -NOISE * size).any()
        if is_negative or partial.sum() > len(falls) / 2:
            record.counters[single] = record.counters.pop(present[0]) * (-1 if present[0].startswith("dis") else 1)
            record.net = True
            record.assumed.append(f"{present[0]} falls while the other direction flows; it was taken as net")


def mend_times(record: Record, table: Table, found: dict[str, Column]) -> None:
    """Have times go on where they begin again; refuse those whose unit is another one by the dates.

    Raises:
        BadWorkbookError: the unit is another one.
    """
    if record.date_time is not None and record.test_time is not None:
        _let_clock_run(record, record.test_time)
    clock = None
    if record.date_time is not None and not record.date_time.null_count:
        clock = record.date_time.cast(pa.int64()).to_numpy() / 1e6
    for quantity in ("test_time", "step_time"):
        time = getattr(record, quantity)
        unit = None if clock is None or time is None else true_unit(time, clock)
        if unit is not None:
            problem = f"holds {UNITS[unit]} by the dates of the file, not s; give that unit in the mapping"
            raise table.error(found[quantity].title, problem)
    if record.test_time is None or record.step_time is not None:
        return
    time = gone_on(record.test_time, clock)
    if time is not None:
        record.test_time = time
        record.assumed.append("the time of the test begins again in the file; it was added up")


def _let_clock_run(record: Record, time: Floats) -> None:
    """Let the clock run with the times of the test where it stands still, as where a date is that of the start."""
    dates = record.date_time
    if dates is None or dates.null_count or time[-1] - time[0] <= BACK_SECONDS or len(dates.unique()) > 1:
        return
    record.date_time = clock_since(dates[0].as_py(), time - time[0])
    record.assumed.append(DATED_BY_START)
