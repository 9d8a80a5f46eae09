"""From what fastnda reads of a Neware file to a record: units, counters of the test, times.

Capacities and energies are those of a step. Newer files count charge and discharge apart; older ones have one counter,
to which fastnda gives the sign of the step, or of the current in a step that goes both ways, as a pulse does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import pyarrow as pa

from producer.readers.base import BadWorkbookError
from producer.readers.meaning.counters import begins
from producer.readers.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from producer.readers.record import Floats

    Bools = npt.NDArray[np.bool_]

MILLI: Final = 1000.0
OF_STEPS: Final = "counters begin again with each step; they were added up over the test"

_EARLIEST, _LATEST = 3.0e8, 4.2e9
"""s since 1970 that a clock may have: 1979 to 2103."""


class Series(Protocol):
    """A column."""

    def to_numpy(self) -> npt.NDArray[np.float64]:
        """Its values, shape (n,); NaN where there is none."""


class Frame(Protocol):
    """What is asked of a frame of polars, or of pandas."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns."""

    def __len__(self) -> int:
        """Rows."""

    def __getitem__(self, name: str, /) -> Series:
        """A column."""


def record_of_frame(frame: Frame, name: str) -> Record:
    """The record of a frame of polars, n >= 1 readings; `date_time` are the numbers of its clock, as they are.

    Args:
        frame: with the columns of fastnda: index, voltage_V, current_mA, step_time_s, and others.
        name: what to call the file in errors.

    Raises:
        BadWorkbookError: a column is missing, a number is none, or there is no reading.
    """
    if not len(frame):
        raise BadWorkbookError(name, "holds no readings; export or copy it again")
    _require(frame, name, "index", "voltage_V", "current_mA", "step_time_s")
    step_time = _numbers(frame, "step_time_s", name)
    cycle, count = _whole(frame, "cycle_count", name), _whole(frame, "step_count", name)
    step = _whole(frame, "step_index", name)
    if step is None:
        step = count
    fresh = begins(count if count is not None else step, len(frame)) | begins(cycle, len(frame))
    fresh[1:] |= np.diff(step_time) < 0  # a step that follows itself
    record = Record(
        _numbers(frame, "current_mA", name) / MILLI,
        _numbers(frame, "voltage_V", name),
        _test_time(frame, step_time, fresh, name),
        step_time,
        data_point=_whole(frame, "index", name),
        step=step,
        cycle=cycle,
        counters_of="test",
        assumed=[OF_STEPS],
    )
    record.counters = _counters(frame, fresh, name)
    record.date_time = _clock(frame, name)
    temperature = next((one for one in frame.columns if one.endswith("temperature_degC")), None)
    if temperature is not None:
        values = _floats(frame, temperature)
        record.extra["temperature(c)"] = pa.array(values, pa.float64(), mask=~np.isfinite(values))
    return record


def one_way(values: Floats, fresh: Bools) -> Floats:
    """A counter of the test from one of steps, Ah or Wh, shape (n,).

    Between two readings with counters fastnda adds what the current makes, which may be more than the next one says.
    So a counter that falls within a step does not begin again there; it waits until it is passed.

    Args:
        values: what flowed since the step began, shape (n,); NaN before the first reading with counters.
        fresh: where a step begins, shape (n,).

    >>> one_way(np.array([0.0, 2.0, 1.5, 3.0, 0.5]), np.array([1, 0, 0, 0, 1]) > 0).tolist()
    [0.0, 2.0, 2.0, 3.0, 3.5]
    """
    values = np.nan_to_num(values, nan=0.0)
    first = np.flatnonzero(fresh)
    ends = np.append(values[first[1:] - 1], 0.0)
    before = np.concatenate(([0.0], np.cumsum(ends)[:-1]))
    total: Floats = np.maximum.accumulate(values + np.repeat(before, np.diff(first, append=len(values))))
    return total


def both_ways(values: Floats, fresh: Bools) -> tuple[Floats, Floats]:
    """Charge and discharge counters of the test from a counter of steps that has the sign of its direction.

    Args:
        values: positive while charging, negative while discharging, shape (n,). In a step that goes both ways its size
            may go on growing, or fall as charge flows back; either is what flowed since the reading before.
        fresh: where a step begins, shape (n,).

    >>> [one.tolist() for one in both_ways(np.array([0.0, 2.0, -3.0, 0.0, -1.0]), np.array([1, 0, 0, 1, 0]) > 0)]
    [[0.0, 2.0, 2.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0, 2.0]]
    """
    sizes = np.abs(values)
    gains = np.abs(np.diff(sizes, prepend=0.0))
    gains[fresh] = sizes[fresh]
    return np.cumsum(np.where(values > 0, gains, 0.0)), np.cumsum(np.where(values < 0, gains, 0.0))


def _counters(frame: Frame, fresh: Bools, name: str) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for kind, unit in (("capacity", "mAh"), ("energy", "mWh")):
        charge, discharge, single = f"charge_{kind}_{unit}", f"discharge_{kind}_{unit}", f"{kind}_{unit}"
        if charge in frame.columns and discharge in frame.columns:
            pair = [one_way(np.abs(_finite(frame, one, name)), fresh) for one in (charge, discharge)]
        elif single in frame.columns:
            pair = list(both_ways(_finite(frame, single, name), fresh))
        else:
            continue
        found[f"charge_{kind}"], found[f"discharge_{kind}"] = pair[0] / MILLI, pair[1] / MILLI
    return found


def _test_time(frame: Frame, step_time: Floats, fresh: Bools, name: str) -> Floats:
    """Seconds since the test began, shape (n,): the file's own, or its steps end to end, as BTSDA shows it."""
    if "total_time_s" in frame.columns:
        return _numbers(frame, "total_time_s", name)
    first = np.flatnonzero(fresh)
    longest = np.maximum.reduceat(step_time, first)
    began = np.concatenate(([0.0], np.cumsum(longest)[:-1]))
    time: Floats = np.round(began[np.cumsum(fresh) - 1] + step_time, 6)
    return time


def _clock(frame: Frame, name: str) -> pa.Array | None:
    """The clock in us (int64) as the file counts it, or None where it has none."""
    if "unix_time_s" not in frame.columns:
        return None
    values = _floats(frame, "unix_time_s")
    known = np.isfinite(values) & (values > 0)
    if not known.any():
        return None
    wrong = known & ((values < _EARLIEST) | (values > _LATEST))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise BadWorkbookError(
            name, f"its clock is at {values[at]:g} s since 1970; the file is damaged, copy it again", row=at + 1
        )
    us = np.round(np.where(known, values, 0.0) * 1e6).astype(np.int64)
    return pa.array(us, pa.int64(), mask=~known)


def _require(frame: Frame, name: str, *columns: str) -> None:
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise BadWorkbookError(
            name, f"holds no {' and no '.join(missing)}; export its records with BTSDA, and publish that file"
        )


def _floats(frame: Frame, column: str) -> Floats:
    values: Floats = frame[column].to_numpy().astype(np.float64, copy=False)
    return values


def _finite(frame: Frame, column: str, name: str) -> Floats:
    values = _floats(frame, column)
    if np.isinf(values).any():
        raise _no_number(column, int(np.argmax(np.isinf(values))), name)
    return values


def _numbers(frame: Frame, column: str, name: str) -> Floats:
    values = _floats(frame, column)
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise _no_number(column, int(np.argmax(wrong)), name)
    return values


def _whole(frame: Frame, column: str, name: str) -> npt.NDArray[np.int64] | None:
    return None if column not in frame.columns else _numbers(frame, column, name).astype(np.int64)


def _no_number(column: str, at: int, name: str) -> BadWorkbookError:
    return BadWorkbookError(
        name, "has no number there; the file is damaged or of an unknown kind, copy it again", column=column, row=at + 1
    )
