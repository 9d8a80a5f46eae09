"""Pre-cleaning: a pure fold over messages, each cell with a state of its own, all cells in one go.

Every row of every message comes out exactly once, landed or quarantined with its reason. Nothing here reads a
clock, touches Bytewax or does I/O; results do not depend on how the log is cut into calls.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataflows.fold.admit import Fold
from dataflows.fold.aggregate import Accepted, OpenCycles, cycle_parts, late_parts, window_parts
from dataflows.fold.lineage import Lineage, progress_of, retried, spans_of
from dataflows.fold.runs import Run
from dataflows.fold.said import integrated, said
from dataflows.fold.state import CellState
from dataflows.fold.states import CellStates
from dataflows.fold.tails import NO_CLOCK
from dataflows.fold.validate import validate
from kernel.contract.reading import COUNTERS, INSTRUMENT_RANGE, NO_DOUBT, Quality
from kernel.contract.results import CYCLE_PART, WINDOW_PART, Cleaned

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from dataflows.fold.late import Correction
    from dataflows.fold.states import GroupStates
    from kernel.contract.batch import Batch
    from kernel.contract.reading import Range

    Rows = npt.NDArray[np.int64]
    Texts = npt.NDArray[Any]

_NO_WINDOWS: Final = pa.RecordBatch.from_pylist([], schema=WINDOW_PART)
_NO_CYCLES: Final = pa.RecordBatch.from_pylist([], schema=CYCLE_PART)


def clean(
    cells: GroupStates, batch: Batch, window_seconds: int, ranges: Mapping[str, Range] = INSTRUMENT_RANGE
) -> Cleaned[CellStates] | None:
    """Fold messages into the states of their cells.

    Args:
        cells: the states that the messages before have left; nothing of them changes.
        batch: messages of one log; those that a state has already folded are passed over.
        window_seconds: width of the aggregates' event-time windows, s.
        ranges: what the instrument can report, by column.

    Returns:
        What the messages became, or None when there was nothing new.
    """
    fresh = _fresh(cells, batch)
    if fresh is None:
        return None
    lineage = Lineage(fresh)
    valid = validate(fresh.readings, ranges)
    test_of, test_ids = _tests(valid.readings)
    fold = Fold(
        cells.of(fresh.cell_ids),
        _columns(valid.readings, fresh.leaps),
        lineage,
        valid.verdict.copy(),
        test_of,
        np.array(test_ids.to_pylist(), dtype=np.object_),
    )
    fold.run()

    at, outcome = fold.accepted()
    quality = outcome.quality
    quality[np.flatnonzero(fresh.value_dropped[at] | valid.value_dropped[at])] |= Quality.VALUE_DROPPED
    quality[np.flatnonzero(lineage.is_retry[at])] |= Quality.RETRIED
    quality[np.flatnonzero(fold.is_late[at] & ~lineage.is_retry[at])] |= Quality.LATE
    quality[integrated(fresh, valid.readings, at, outcome.leapt)] |= Quality.COUNTER_INTEGRATED
    run = fold.columns.take(at)
    accepted = Accepted(
        cell=lineage.cell[at],
        test=test_of[at],
        date_time=run.date_time,
        cycle_index=run.cycle_index,
        current=run.current,
        voltage=run.voltage,
        resistance=np.where(outcome.unmeasured, np.nan, run.resistance),
        temperature=run.temperature,
        gained=outcome.gained,
        counted=outcome.counted,
        flagged=(quality & ~np.int32(NO_DOUBT)) != 0,
        offset=lineage.offset[at],
    )
    position = _Position(pa.array(fresh.cell_ids, pa.string()), fold.test_ids, window_seconds * 1_000_000, fold.before)
    start = 0
    for correction, group in groupby(fold.pieces, lambda piece: piece.correction):
        end = start + sum(len(piece.outcome.quality) for piece in group)
        position.pass_along(accepted.part(slice(start, end)), correction)
        start = end

    return Cleaned(
        lineage.landed(valid.readings, at, quality, outcome.unmeasured, outcome.leapt),
        lineage.quarantined(valid, fold.verdict),
        lineage.repeated(valid.readings, fold.verdict),
        retried(fresh),
        said(fresh),
        pa.concat_batches([_NO_WINDOWS, *position.windows]),
        pa.concat_batches([_NO_CYCLES, *position.cycles]),
        progress_of(fresh),
        spans_of(fresh),
        len(fresh.offset),
        _states_after(fresh, fold, position),
        _spread(fresh, fold.before),
    )


def _fresh(cells: GroupStates, batch: Batch) -> Batch | None:
    """The messages that no state has folded yet."""
    before = cells.of(batch.cell_ids)
    folded = np.full(len(batch.offset), -1)
    for partition in np.unique(batch.partition).tolist():
        mine = batch.partition == partition
        folded[mine] = before.folded(batch.topic_id, partition)[batch.cell[mine]]
    keep = batch.offset > folded
    return batch.take(keep) if keep.any() else None


def _states_after(batch: Batch, fold: Fold, position: _Position) -> CellStates:
    before, topic_id = fold.before, batch.topic_id
    # A cell's messages stand in the order of their offsets.
    last = np.flatnonzero(np.append(np.diff(batch.cell) != 0, True))
    partition = batch.partition[last]
    found = CellStates(
        batch.cell_ids,
        np.full(len(before), topic_id, dtype=np.object_),
        partition,
        batch.offset[last],
        position.test_id,
        position.window,
        fold.refusals,
        fold.tails,
        dict(before.rest),
    )
    elsewhere = (before.offset >= 0) & ((before.topic_id != topic_id) | (before.partition != partition))
    elsewhere[batch.cell[batch.partition != partition[batch.cell]]] = True
    elsewhere[list(fold.moved)] = True
    apart = np.flatnonzero(elsewhere)
    if len(apart):
        found.put(apart, _one_by_one(apart, batch, fold, found))
    return found


def _one_by_one(cells: Rows, batch: Batch, fold: Fold, found: CellStates) -> CellStates:
    """The states of cells that changed log, partition or test; those of all others are as in `found`."""
    progress: dict[int, dict[int, int]] = {code: {} for code in cells.tolist()}
    at = np.flatnonzero(np.isin(batch.cell, cells))
    places = (batch.cell[at], batch.partition[at], batch.offset[at])
    for code, partition, offset in zip(*(column.tolist() for column in places), strict=True):
        progress[code].pop(partition, None)  # the latest stands last
        progress[code][partition] = offset
    states = {}
    for code, before, after in zip(cells.tolist(), fold.before.objects(cells), found.objects(cells), strict=True):
        offsets = dict(before.offsets)
        known = offsets.pop(batch.topic_id, {})
        offsets[batch.topic_id] = {part: last for part, last in known.items() if part not in progress[code]}
        offsets[batch.topic_id] |= progress[code]
        states[batch.cell_ids[code]] = CellState(
            offsets,
            before.tests | fold.moved[code] if code in fold.moved else after.tests,
            after.test_id,
            after.window,
            after.refusals,
        )
    return CellStates.of(states)


def _spread(batch: Batch, before: CellStates) -> list[str]:
    """Cells whose messages come over a partition for the first time, after they came over another one."""
    found = []
    for partition in np.unique(batch.partition).tolist():
        mine = np.unique(batch.cell[batch.partition == partition])
        new = before.came_over(batch.topic_id) & (before.folded(batch.topic_id, partition) < 0)
        found += [batch.cell_ids[code] for code in mine[new[mine]].tolist() if batch.cell_ids[code]]
    return found


class _Position:
    """Follows cells along their accepted readings, in the order of the log, and collects parts of windows and cycles.

    A late reading adds its part and leaves its cell where it is. `test_id` and `window` are where each cell is.
    """

    def __init__(self, cell_ids: pa.Array, test_ids: Texts, window_us: int, states: CellStates) -> None:
        self._cell_ids = cell_ids
        self._test_ids = test_ids
        self._tests = pa.array(test_ids, pa.string())
        self._window_us = window_us
        self._cycle = states.tails.cycle_index.copy()
        self.test_id = states.test_id.copy()
        self.window = states.window
        self.windows: list[pa.RecordBatch] = []
        self.cycles: list[pa.RecordBatch] = []

    def pass_along(self, accepted: Accepted, correction: Correction | None) -> None:
        """Follow accepted readings; they are late where there is a `correction`."""
        if correction is None:
            windows, self.window = window_parts(self._cell_ids, accepted, self._window_us, self.window)
            cycles = cycle_parts(self._cell_ids, self._tests, accepted, OpenCycles(self.test_id, self._cycle))
            last = np.flatnonzero(np.append(accepted.cell[1:] != accepted.cell[:-1], True))
            cell = accepted.cell[last]
            self._cycle[cell] = accepted.cycle_index[last]
            self.test_id[cell] = self._test_ids[accepted.test[last]]
        else:
            code = int(accepted.cell[0])
            test_id = self.test_id[code]
            windows, cycles = late_parts(
                self._cell_ids,
                self._tests,
                accepted,
                correction,
                self._window_us,
                int(self.window[code]),
                None if test_id is None else (test_id, int(self._cycle[code])),
            )
        self.windows.append(windows)
        self.cycles.append(cycles)


def _tests(readings: pa.RecordBatch) -> tuple[Rows, pa.Array]:
    """The test of each reading as a code, -1 where it has none, and what the codes stand for."""
    encoded = readings.column("test_id").dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, encoded.dictionary


def _columns(readings: pa.RecordBatch, leaps: npt.NDArray[np.int32]) -> Run:
    def floats(name: str) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = readings.column(name).to_numpy(zero_copy_only=False)
        return found.astype(np.float64, copy=False)

    def integers(name: str, missing: int = 0) -> npt.NDArray[np.int64]:
        column = readings.column(name)
        if column.null_count:
            column = pc.fill_null(column, missing)
        found: npt.NDArray[np.int64] = column.to_numpy(zero_copy_only=False)
        return found.astype(np.int64, copy=False)

    clock = readings.column("date_time").cast(pa.int64())
    return Run(
        data_point=integers("data_point"),
        test_time=floats("test_time(s)"),
        date_time=pc.fill_null(clock, NO_CLOCK).to_numpy(zero_copy_only=False),
        step_time=floats("step_time(s)"),
        step_index=integers("step_index"),
        cycle_index=integers("cycle_index"),
        current=floats("current(a)"),
        voltage=floats("voltage(v)"),
        counters=np.stack([floats(name) for name in COUNTERS]),
        resistance=floats("internal_resistance(ohm)"),
        temperature=floats("temperature(c)"),
        leaps=leaps,
    )
