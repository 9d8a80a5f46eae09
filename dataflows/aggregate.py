"""Per-cell aggregates as *parts*: what some accepted readings add to a window or a cycle.

A part holds counts, extremes and whole-number sums, so merging parts is exact in any grouping: the same log
gives the same bits however it was cut, and a late test simply adds to windows that were closed long ago. The
landing merges parts in the transaction that lands their readings; means and efficiencies are derived there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from battery.cleaned import CYCLE_PART, WINDOW_PART
from dataflows.course import NO_CLOCK

if TYPE_CHECKING:
    import numpy.typing as npt

    from dataflows.holes import Correction

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

NANO: Final = 1e9
"""Sums of volts, amperes, degrees and ohms are whole nano-units."""

CAPACITIES: Final = ("charge_capacity_pah", "discharge_capacity_pah", "charge_energy_pwh", "discharge_energy_pwh")
"""Columns of a cycle's gains, in the order of `battery.reading.COUNTERS`."""

SUMS: Final = ("_nv", "_na", "_nc", "_pah", "_pwh")
"""Endings of a window's whole-number sums."""

_STAMP: Final = pa.timestamp("us")


@dataclass(frozen=True)
class Accepted:
    """The accepted readings of one cell in log order, a column an array of shape (n,).

    `test` are codes into the list of test ids; `gained` and `counted` are those of `dataflows.course.Course`.
    """

    test: Integers
    date_time: Integers
    cycle_index: Integers
    current: Floats
    voltage: Floats
    resistance: Floats
    temperature: Floats
    gained: Integers
    counted: Flags
    flagged: Flags
    offset: Integers

    def part(self, rows: slice) -> Accepted:
        """Some of the readings, in the same order."""
        return Accepted(**{name: values[..., rows] for name, values in vars(self).items()})


def window_parts(
    cell_id: str, accepted: Accepted, window_us: int, open_window: int | None
) -> tuple[pa.RecordBatch, int | None]:
    """Cut readings into tumbling windows of event time; those without a clock are in no window.

    Args:
        cell_id: the cell.
        accepted: its readings.
        window_us: width of a window in microseconds.
        open_window: start of the window that the cell was in before, in microseconds.

    Returns:
        The parts (`WINDOW_PART`) and the window that the cell is in now. The window it left is final.
    """
    at = np.flatnonzero(accepted.date_time != NO_CLOCK)
    if len(at) == 0:
        return _batch(WINDOW_PART, {}), open_window
    window = accepted.date_time[at] // window_us * window_us
    start = _starts(window)
    closed = None if open_window is None or open_window == window[0] else open_window
    groups = _Groups(start, len(at), extra=closed is not None)
    gained = np.where(accepted.counted, accepted.gained, 0)[:, at]
    columns: dict[str, object] = {
        "cell_id": [cell_id] * groups.count,
        "window_start": groups.with_first(window[start], closed or 0),
        "reading_count": groups.sizes(),
        "flagged_count": groups.sum(accepted.flagged[at].astype(np.int64)),
        "charge_throughput_pah": groups.sum(gained[0] + gained[1]),
        "energy_throughput_pwh": groups.sum(gained[2] + gained[3]),
        "is_final": groups.closed(),
        "as_of_offset": groups.as_of(accepted.offset[at]),
    }
    for name, unit, sum_unit, values in (
        ("voltage", "v", "nv", accepted.voltage[at]),
        ("current", "a", "na", accepted.current[at]),
        ("temperature", "c", "nc", accepted.temperature[at]),
    ):
        columns[f"{name}_sum_{sum_unit}"] = groups.sum(_whole(values, NANO))
        columns[f"{name}_min_{unit}"] = groups.extreme(np.fmin, values)
        columns[f"{name}_max_{unit}"] = groups.extreme(np.fmax, values)
        columns[f"{name}_last_{unit}"] = groups.last_measured(values)
    columns["temperature_count"] = groups.sum((~np.isnan(accepted.temperature[at])).astype(np.int64))
    return _batch(WINDOW_PART, columns), int(window[-1])


def cycle_parts(
    cell_id: str, test_ids: list[str], accepted: Accepted, open_cycle: tuple[str, int] | None
) -> pa.RecordBatch:
    """Cut readings into cycles; the internal resistance of a cycle is that of its discharging readings.

    Args:
        cell_id: the cell.
        test_ids: what the codes of `accepted.test` stand for.
        accepted: its readings, at least one.
        open_cycle: test and cycle index that the cell was in before; leaving it makes it final.
    """
    start = _starts(accepted.test, accepted.cycle_index)
    first = (test_ids[accepted.test[0]], int(accepted.cycle_index[0]))
    closed = None if open_cycle is None or open_cycle == first else open_cycle
    groups = _Groups(start, len(accepted.test), extra=closed is not None)
    tests = [test_ids[code] for code in accepted.test[start].tolist()]
    discharging = (accepted.gained[1] > 0) & ~np.isnan(accepted.resistance)
    clock = np.where(accepted.date_time == NO_CLOCK, np.nan, accepted.date_time.astype(np.float64))
    columns: dict[str, object] = {
        "cell_id": [cell_id] * groups.count,
        "test_id": tests if closed is None else [closed[0], *tests],
        "cycle_index": groups.with_first(accepted.cycle_index[start], closed[1] if closed else 0),
        "reading_count": groups.sizes(),
        "voltage_min_v": groups.extreme(np.fmin, accepted.voltage),
        "voltage_max_v": groups.extreme(np.fmax, accepted.voltage),
        "temperature_min_c": groups.extreme(np.fmin, accepted.temperature),
        "temperature_max_c": groups.extreme(np.fmax, accepted.temperature),
        "resistance_count": groups.sum(discharging.astype(np.int64)),
        "resistance_sum_no": groups.sum(np.where(discharging, _whole(accepted.resistance, NANO), 0)),
        "started_at": groups.extreme(np.fmin, clock),
        "ended_at": groups.extreme(np.fmax, clock),
        "is_final": groups.closed(),
        "as_of_offset": groups.as_of(accepted.offset),
    }
    for index, name in enumerate(CAPACITIES):
        measured = groups.sum(accepted.counted[index].astype(np.int64)) > 0
        columns[name] = pa.array(groups.sum(accepted.gained[index]), mask=~measured)
    return _batch(CYCLE_PART, columns)


def late_parts(
    cell_id: str,
    test_ids: list[str],
    late: Accepted,
    correction: Correction,
    window_us: int,
    open_window: int | None,
    open_cycle: tuple[str, int] | None,
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """What late readings of one hole add, and what the reading behind them gives back.

    Args:
        cell_id: the cell.
        test_ids: what the codes of `late.test` stand for.
        late: the readings.
        correction: what changes of the reading behind them.
        window_us: width of a window in microseconds.
        open_window: start of the window that the cell is in, in microseconds.
        open_cycle: test and cycle index that the cell is in. What late readings are in beside these has been left.

    Returns:
        Parts of windows (`WINDOW_PART`) and of cycles (`CYCLE_PART`).
    """
    behind, test_id = correction.behind, test_ids[late.test[0]]
    at = np.flatnonzero(late.date_time != NO_CLOCK)
    window = late.date_time[at] // window_us * window_us
    windows, _ = window_parts(cell_id, late, window_us, None)
    if len(at):
        start = _starts(window)
        windows = _with(windows, "is_final", window[start] != (NO_CLOCK if open_window is None else open_window))
        windows = _with(windows, "as_of_offset", late.offset[at[np.append(start[1:], len(at)) - 1]])
        # The reading behind them is later: where it is in the same window, that one's last value is not theirs.
        window_behind = None if behind.date_time is None else behind.date_time // window_us * window_us
        is_last = window[start] != (NO_CLOCK if window_behind is None else window_behind)
        for name in (
            "voltage_last_v",
            "current_last_a",
            *(["temperature_last_c"] if behind.temperature is not None else []),
        ):
            windows = _with(windows, name, pc.if_else(pa.array(is_last), windows.column(name), None))
    start = _starts(late.test, late.cycle_index)
    cycles = cycle_parts(cell_id, test_ids, late, None)
    cycle = late.cycle_index[start]
    cycles = _with(cycles, "is_final", np.array([(test_id, index) != open_cycle for index in cycle.tolist()]))
    cycles = _with(cycles, "as_of_offset", late.offset[np.append(start[1:], len(late.test)) - 1])

    gained = np.where(correction.counted, correction.gained, 0).tolist()
    common = {"cell_id": cell_id, "reading_count": 0, "is_final": False, "as_of_offset": int(late.offset[-1])}
    weight = 0 if behind.resistance is None else correction.discharging
    part: dict[str, object] = common | {
        "test_id": test_id,
        "cycle_index": behind.cycle_index,
        "resistance_count": weight,
        "resistance_sum_no": weight * int(_whole(np.array([behind.resistance or 0.0]), NANO)[0]),
    }
    for name, gain, counted in zip(CAPACITIES, gained, correction.counted.tolist(), strict=True):
        part[name] = gain if counted else None
    cycles = pa.concat_batches([cycles, pa.RecordBatch.from_pylist([part], schema=CYCLE_PART)])
    if behind.date_time is not None:
        part = dict.fromkeys((name for name in WINDOW_PART.names if name.endswith((*SUMS, "_count"))), 0)
        part |= common | {
            "window_start": behind.date_time // window_us * window_us,
            "charge_throughput_pah": gained[0] + gained[1],
            "energy_throughput_pwh": gained[2] + gained[3],
        }
        windows = pa.concat_batches([windows, pa.RecordBatch.from_pylist([part], schema=WINDOW_PART)])
    return windows, cycles


def _with(parts: pa.RecordBatch, name: str, values: npt.NDArray[np.generic] | pa.Array) -> pa.RecordBatch:
    index = parts.schema.get_field_index(name)
    return parts.set_column(index, parts.schema.field(index), pa.array(values))


class _Groups:
    """Consecutive groups of rows, and before them, when `extra`, an empty one for what the cell has just left."""

    def __init__(self, start: Integers, rows: int, *, extra: bool) -> None:
        self._start = start
        self._end = np.append(start[1:], rows)
        self._extra = extra
        self.count = len(start) + extra

    def with_first(self, values: Integers, first: int) -> Integers:
        return np.concatenate(([first], values)).astype(np.int64) if self._extra else values

    def sizes(self) -> Integers:
        return self.with_first(self._end - self._start, 0)

    def sum(self, values: Integers) -> Integers:
        found: Integers = np.add.reduceat(values, self._start)
        return self.with_first(found, 0)

    def as_of(self, offset: Integers) -> Integers:
        """The offset of the last reading that had a say: for a group that was left, the one that left it."""
        found = np.append(offset[self._start[1:]], offset[-1])
        return self.with_first(found, int(offset[0]))

    def extreme(self, function: np.ufunc, values: Floats) -> Floats:
        found = function.reduceat(values, self._start)
        return np.concatenate(([np.nan], found)) if self._extra else found

    def last_measured(self, values: Floats) -> Floats:
        place = np.where(np.isnan(values), -1, np.arange(len(values)))
        place = np.maximum.reduceat(place, self._start)
        found = np.where(place >= 0, values[place], np.nan)
        return np.concatenate(([np.nan], found)) if self._extra else found

    def closed(self) -> Flags:
        """Every group but the last has been left."""
        flags = np.ones(self.count, dtype=np.bool_)
        flags[-1] = False
        return flags


def _starts(*keys: Integers) -> Integers:
    changes: Flags = np.logical_or.reduce([np.diff(key) != 0 for key in keys])
    return np.concatenate(([0], np.flatnonzero(changes) + 1))


def _whole(values: Floats, unit: float) -> Integers:
    return np.rint(np.where(np.isnan(values), 0.0, values) * unit).astype(np.int64)


def _batch(schema: pa.Schema, columns: dict[str, object]) -> pa.RecordBatch:
    if not columns:
        return pa.RecordBatch.from_pylist([], schema=schema)
    arrays = []
    for field in schema:
        values = columns[field.name]
        if isinstance(values, pa.Array):
            arrays.append(values)
        elif pa.types.is_timestamp(field.type):
            arrays.append(_stamps(np.asarray(values)))
        else:
            arrays.append(pa.array(values, field.type, from_pandas=True))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _stamps(values: Floats | Integers) -> pa.Array:
    missing = np.isnan(values)
    return pa.array(np.where(missing, 0, values).astype(np.int64), mask=missing).cast(_STAMP)
