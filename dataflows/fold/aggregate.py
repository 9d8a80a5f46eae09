"""Per-cell aggregates as *parts*: what some accepted readings add to a window or a cycle.

A part holds counts, extremes and whole-number sums, so merging parts is exact in any grouping: the same log
gives the same bits however it was cut, and a late test simply adds to windows that were closed long ago. The
landing merges parts in the transaction that lands their readings; means and efficiencies are derived there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataflows.fold.tails import NO_CLOCK, latest
from kernel.contract.results import CYCLE_PART, WINDOW_PART

if TYPE_CHECKING:
    import numpy.typing as npt

    from dataflows.fold.late import Correction

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

NANO: Final = 1e9
"""Sums of volts, amperes, degrees and ohms are whole nano-units."""

CAPACITIES: Final = ("charge_capacity_pah", "discharge_capacity_pah", "charge_energy_pwh", "discharge_energy_pwh")
"""Columns of a cycle's gains, in the order of `kernel.contract.reading.COUNTERS`."""

SUMS: Final = ("_nv", "_na", "_nc", "_pah", "_pwh")
"""Endings of a window's whole-number sums."""

_STAMP: Final = pa.timestamp("us")


@dataclass(frozen=True)
class Accepted:
    """Accepted readings, those of a cell together and in log order, a column an array of shape (n,).

    `cell` and `test` are codes into lists of cell and test ids; `gained` and `counted` are those of
    `dataflows.fold.runs.Outcome`.
    """

    cell: Integers
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
    cell_ids: pa.Array, accepted: Accepted, window_us: int, open_window: Integers
) -> tuple[pa.RecordBatch, Integers]:
    """Cut readings into tumbling windows of event time; those without a clock are in no window.

    Args:
        cell_ids: what the codes of `accepted.cell` stand for.
        accepted: the readings.
        window_us: width of a window in microseconds.
        open_window: start of the window that each cell was in before, in microseconds, `NO_CLOCK` for none; shape (c,).

    Returns:
        The parts (`WINDOW_PART`) and the windows that the cells are in now. The windows they left are final.
    """
    timed = accepted.date_time != NO_CLOCK
    at: slice | Integers = slice(None) if timed.all() else np.flatnonzero(timed)
    window = accepted.date_time[at] // window_us * window_us
    if len(window) == 0:
        return _batch(WINDOW_PART, {}), open_window
    cell = accepted.cell[at]
    start = _starts(cell, window)
    left = open_window[cell[start]]
    enters = _first(cell[start])
    closed = start[enters & (left != NO_CLOCK) & (left != window[start])]
    groups = _Groups(start, cell, closed)
    gained = np.where(accepted.counted, accepted.gained, 0)[:, at]
    temperature = accepted.temperature[at]
    columns: dict[str, object] = {
        "cell_id": cell_ids.take(pa.array(groups.cells())),
        "window_start": groups.with_closed(window[start], open_window[cell[closed]]),
        "reading_count": groups.sizes(),
        "flagged_count": groups.sum(accepted.flagged[at]),
        "charge_throughput_pah": groups.sum(gained[0] + gained[1]),
        "energy_throughput_pwh": groups.sum(gained[2] + gained[3]),
        "is_final": groups.left(),
        "as_of_offset": groups.as_of(accepted.offset[at]),
    }
    for name, unit, sum_unit, values in (
        ("voltage", "v", "nv", accepted.voltage[at]),
        ("current", "a", "na", accepted.current[at]),
        ("temperature", "c", "nc", temperature),
    ):
        columns[f"{name}_sum_{sum_unit}"] = groups.sum(_whole(values, NANO))
        columns[f"{name}_min_{unit}"] = groups.extreme(np.fmin, values)
        columns[f"{name}_max_{unit}"] = groups.extreme(np.fmax, values)
        columns[f"{name}_last_{unit}"] = groups.last_measured(values)
    columns["temperature_count"] = groups.sum(~np.isnan(temperature))
    last = groups.end - 1
    leaves = last[np.append(enters[1:], True)]
    now = open_window.copy()
    now[cell[leaves]] = window[leaves]
    return _batch(WINDOW_PART, columns), now


@dataclass(frozen=True)
class OpenCycles:
    """The cycle that each of c cells is in: the id of its test, None where there is no cycle, and its index."""

    test_id: npt.NDArray[Any]
    cycle_index: Integers


def cycle_parts(cell_ids: pa.Array, test_ids: pa.Array, accepted: Accepted, open_cycle: OpenCycles) -> pa.RecordBatch:
    """Cut readings into cycles; the internal resistance of a cycle is that of its discharging readings.

    Args:
        cell_ids: what the codes of `accepted.cell` stand for.
        test_ids: what the codes of `accepted.test` stand for.
        accepted: the readings, at least one.
        open_cycle: where the cells were before; leaving a cycle makes it final.
    """
    start = _starts(accepted.cell, accepted.test, accepted.cycle_index)
    tests = test_ids.take(pa.array(accepted.test[start]))
    cell = accepted.cell[start]
    enters = np.flatnonzero(_first(cell))
    came = cell[enters]
    was = pa.array(open_cycle.test_id[came], pa.string())
    other = pc.not_equal(was, tests.take(pa.array(enters)))
    leaves = pc.fill_null(other, fill_value=False).to_numpy(zero_copy_only=False)
    leaves |= was.is_valid().to_numpy(zero_copy_only=False) & (
        open_cycle.cycle_index[came] != accepted.cycle_index[start[enters]]
    )
    closed = start[enters[leaves]]
    groups = _Groups(start, accepted.cell, closed)
    discharging = (accepted.gained[1] > 0) & ~np.isnan(accepted.resistance)
    clock = np.where(accepted.date_time == NO_CLOCK, np.nan, accepted.date_time.astype(np.float64))
    columns: dict[str, object] = {
        "cell_id": cell_ids.take(pa.array(groups.cells())),
        "test_id": pa.concat_arrays([was.filter(pa.array(leaves)), tests]),
        "cycle_index": groups.with_closed(accepted.cycle_index[start], open_cycle.cycle_index[came[leaves]]),
        "reading_count": groups.sizes(),
        "voltage_min_v": groups.extreme(np.fmin, accepted.voltage),
        "voltage_max_v": groups.extreme(np.fmax, accepted.voltage),
        "temperature_min_c": groups.extreme(np.fmin, accepted.temperature),
        "temperature_max_c": groups.extreme(np.fmax, accepted.temperature),
        "resistance_count": groups.sum(discharging),
        "resistance_sum_no": groups.sum(np.where(discharging, _whole(accepted.resistance, NANO), 0)),
        "started_at": groups.extreme(np.fmin, clock),
        "ended_at": groups.extreme(np.fmax, clock),
        "is_final": groups.left(),
        "as_of_offset": groups.as_of(accepted.offset),
    }
    for index, name in enumerate(CAPACITIES):
        measured = groups.sum(accepted.counted[index]) > 0
        columns[name] = pa.array(groups.sum(accepted.gained[index]), mask=~measured)
    return _batch(CYCLE_PART, columns)


def late_parts(
    cell_ids: pa.Array,
    test_ids: pa.Array,
    late: Accepted,
    correction: Correction,
    window_us: int,
    open_window: int,
    open_cycle: tuple[str, int] | None,
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """What late readings in one hole add, and what the reading after the hole loses.

    Args:
        cell_ids: what the codes of `late.cell` stand for.
        test_ids: what the codes of `late.test` stand for.
        late: the readings, of one cell.
        correction: what changes of the reading behind them.
        window_us: width of a window in microseconds.
        open_window: start of the window that the cell is in, in microseconds, `NO_CLOCK` for none.
        open_cycle: test and cycle index that the cell is in. What late readings are in beside these has been left.

    Returns:
        Parts of windows (`WINDOW_PART`) and of cycles (`CYCLE_PART`).
    """
    behind, test_id = correction.behind, test_ids[int(late.test[0])].as_py()
    cell_id = cell_ids[int(late.cell[0])].as_py()
    nowhere = OpenCycles(np.full(len(cell_ids), None), np.zeros(len(cell_ids), dtype=np.int64))
    at = np.flatnonzero(late.date_time != NO_CLOCK)
    window = late.date_time[at] // window_us * window_us
    windows, _ = window_parts(cell_ids, late, window_us, np.full(len(cell_ids), NO_CLOCK))
    if len(at):
        start = _starts(window)
        windows = _with(windows, "is_final", window[start] != open_window)
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
    cycles = cycle_parts(cell_ids, test_ids, late, nowhere)
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
    """Consecutive groups of rows, and before them an empty group for each that a cell has just left.

    Args:
        start: the first row of each group.
        cell: the cell of each row.
        closed: the rows with which cells have left what they were in before.
    """

    def __init__(self, start: Integers, cell: Integers, closed: Integers) -> None:
        self._start = start
        self._cell = cell
        self._closed = closed
        self.end = np.append(start[1:], len(cell))

    def with_closed(self, values: Integers, closed: Integers) -> Integers:
        return np.concatenate((closed, values)) if len(self._closed) else values

    def cells(self) -> Integers:
        return self.with_closed(self._cell[self._start], self._cell[self._closed])

    def sizes(self) -> Integers:
        return self.with_closed(self.end - self._start, np.zeros(len(self._closed), dtype=np.int64))

    def sum(self, values: Integers | Flags) -> Integers:
        found: Integers = np.add.reduceat(values, self._start, dtype=np.int64)
        return self.with_closed(found, np.zeros(len(self._closed), dtype=np.int64))

    def as_of(self, offset: Integers) -> Integers:
        """The offset of the last reading that counted: for a group that was left, the reading that left it."""
        found = offset[np.where(self.left_within(), np.append(self._start[1:], 0), self.end - 1)]
        return self.with_closed(found, offset[self._closed])

    def extreme(self, function: np.ufunc, values: Floats) -> Floats:
        return self._with_nan(function.reduceat(values, self._start))

    def last_measured(self, values: Floats) -> Floats:
        missing = np.isnan(values)
        if not missing[self.end - 1].any():
            return self._with_nan(values[self.end - 1])
        place = latest(~missing)[self.end - 1]
        return self._with_nan(np.where(place >= self._start, values[place], np.nan))

    def left_within(self) -> Flags:
        """Whether a group was left: all but the last of each cell."""
        cell = self._cell[self._start]
        return np.append(cell[1:] == cell[:-1], False)

    def left(self) -> Flags:
        return np.concatenate((np.ones(len(self._closed), dtype=np.bool_), self.left_within()))

    def _with_nan(self, found: Floats) -> Floats:
        return np.concatenate((np.full(len(self._closed), np.nan), found)) if len(self._closed) else found


def _starts(*keys: Integers) -> Integers:
    changes: Flags = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return np.concatenate(([0], np.flatnonzero(changes) + 1))


def _first(cell: Integers) -> Flags:
    """Where the rows of each cell begin."""
    return np.concatenate(([True], cell[1:] != cell[:-1]))


def _whole(values: Floats, unit: float) -> Integers:
    return np.rint(np.nan_to_num(values) * unit).astype(np.int64)


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
    return pa.array(np.where(missing, 0, values).astype(np.int64), mask=missing).view(_STAMP)
