"""Readings of cycles as lines to draw: each line within one step, and no more points than a screen can show.

A line is a pair of arrays with NaN between two steps, so that nothing is drawn where nothing was measured: no line
leads from a charge to a discharge, or over a rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc

from dashboard.figures.measures import column
from dashboard.figures.style import kept_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt
    import pyarrow as pa

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

SECONDS_PER_HOUR: Final = 3600.0

MOST_OVER_CHARGE: Final = 400
"""Points of a charge or a discharge that are drawn; there may be a hundred cycles."""

MOST_OVER_TIME: Final = 2_000
"""Points of a cycle over time that are drawn; there are a few cycles."""

REST_SHARE: Final = 1e-4
"""Of the largest current of a cycle; below it nothing flows."""

MOST_TURNS: Final = 6
"""Of the current in what a file calls one step, up to which it is parted: rest, charge, rest, discharge, rest."""

WAYS: Final = {"charge": 1.0, "discharge": -1.0}
"""The directions, with the sign of the current."""

_NOTHING: Final = (np.array([], dtype=np.float64), np.array([], dtype=np.float64))


@dataclass(frozen=True)
class ChargeLines:
    """One cycle's voltage in V over the charge in Ah moved since its charge, or its discharge, began."""

    number: int
    charge: tuple[Floats, Floats]
    discharge: tuple[Floats, Floats]


@dataclass(frozen=True)
class TimeLines:
    """One cycle over the hours since it began: voltage in V and current in A, with NaN between steps.

    `is_single` is true at a step of one reading, of which there is no line; `left_out` are the hours, voltages and
    currents of readings that the models leave out.
    """

    number: int
    hours: Floats
    voltage: Floats
    current: Floats
    is_single: Flags
    left_out: tuple[Floats, Floats, Floats]


def over_charge_lines(readings: pa.Table, steps: pa.Table, numbers: Mapping[tuple[str, int], int]) -> list[ChargeLines]:
    """The voltage over the charge of each cycle, rests and readings that the models leave out left out.

    Args:
        readings: with the columns of `dashboard.cycle.curves.with_charge`.
        steps: rows of `battery_steps` of the cell.
        numbers: of the cycles by test and number within it.
    """
    resting = _at_rest(readings, steps)
    used = column(readings, "is_kept").astype(bool) & ~resting
    voltage, current, step = (column(readings, name) for name in ("voltage_v", "current_a", "step_number"))
    moved = {way: column(readings, f"{way}_ah") for way in WAYS}
    of_cycles = []
    for number, first, last in _cycles(readings, numbers):
        rows = np.arange(first, last)[used[first:last]]
        lines = {}
        for way, sign in WAYS.items():
            flowing = (sign * current[rows] > 0) & np.isfinite(moved[way][rows]) & np.isfinite(voltage[rows])
            lines[way] = _line(moved[way][rows], voltage[rows], step[rows], flowing)
        of_cycles.append(ChargeLines(number, lines["charge"], lines["discharge"]))
    return sorted(of_cycles, key=lambda lines: lines.number)


def over_time_lines(readings: pa.Table, numbers: Mapping[tuple[str, int], int]) -> list[TimeLines]:
    """Voltage and current of each cycle over the hours since it began.

    Args:
        readings: with the columns of `dashboard.cycle.curves.with_charge`.
        numbers: of the cycles by test and number within it.
    """
    used = column(readings, "is_kept").astype(bool)
    time, voltage, current, step = (
        column(readings, name) for name in ("test_time_s", "voltage_v", "current_a", "step_number")
    )
    of_cycles = []
    for number, first, last in _cycles(readings, numbers):
        hours = (time[first:last] - time[first]) / SECONDS_PER_HOUR
        rows = np.flatnonzero(used[first:last])
        v, i = voltage[first:last][rows], current[first:last][rows]
        at = _pieces(step[first:last][rows], i)
        begins = np.concatenate(([True], np.diff(at) != 0))[: len(rows)]
        ends = np.concatenate((begins[1:], [True]))[: len(rows)]
        drawn = np.union1d(kept_rows(v, MOST_OVER_TIME), kept_rows(i, MOST_OVER_TIME))
        drawn = np.union1d(drawn, np.flatnonzero(begins | ends)) if len(rows) else drawn
        gaps = np.flatnonzero(np.diff(at[drawn]) != 0) + 1
        apart = np.flatnonzero(~used[first:last])
        of_cycles.append(
            TimeLines(
                number,
                np.insert(hours[rows][drawn], gaps, np.nan),
                np.insert(v[drawn], gaps, np.nan),
                np.insert(i[drawn], gaps, np.nan),
                np.insert((begins & ends)[drawn], gaps, False),
                (hours[apart], voltage[first:last][apart], current[first:last][apart]),
            )
        )
    return sorted(of_cycles, key=lambda lines: lines.number)


def _cycles(readings: pa.Table, numbers: Mapping[tuple[str, int], int]) -> Iterator[tuple[int, int, int]]:
    """The number of each cycle among the readings, and where its rows begin and end."""
    if not readings.num_rows:
        return
    test = readings["test_id"].combine_chunks().dictionary_encode()
    code, index = test.indices.to_numpy(), readings["cycle_index"].to_numpy()
    starts = np.concatenate(([0], np.flatnonzero((np.diff(code) != 0) | (np.diff(index) != 0)) + 1, [len(code)]))
    for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        number = numbers.get((test.dictionary[int(code[first])].as_py(), int(index[first])))
        if number is not None:
            yield number, first, last


def _line(x: Floats, y: Floats, step: Floats, chosen: Flags) -> tuple[Floats, Floats]:
    """The chosen points of a line, with a gap wherever the step changes or others lie between."""
    rows = np.flatnonzero(chosen)
    if not len(rows):
        return _NOTHING
    piece = np.concatenate(([0], np.cumsum((np.diff(rows) > 1) | (np.diff(step[rows]) != 0))))
    ends = np.flatnonzero(np.diff(piece) != 0)
    drawn = np.union1d(kept_rows(y[rows], MOST_OVER_CHARGE), np.concatenate((ends, ends + 1)))
    gaps = np.flatnonzero(np.diff(piece[drawn]) != 0) + 1
    return np.insert(x[rows][drawn], gaps, np.nan), np.insert(y[rows][drawn], gaps, np.nan)


def _pieces(step: Floats, current: Floats) -> Floats:
    """The number of the piece that each reading belongs to: a step, or less where the file tells not all steps apart.

    A step in which the current turns a few times, to a rest or to the other direction, is several; one in which it
    turns often is a load profile, and whole.
    """
    if not len(step):
        return step
    floor = REST_SHARE * np.abs(current).max()
    way = np.where(np.abs(current) > floor, np.sign(current), 0.0)
    steps = np.concatenate(([0], np.cumsum(np.diff(step) != 0)))
    turns = (np.diff(way) != 0) & (np.diff(steps) == 0)
    few = np.bincount(steps[1:][turns], minlength=steps[-1] + 1) <= MOST_TURNS
    return np.concatenate(([0.0], np.cumsum((np.diff(steps) != 0) | (turns & few[steps[1:]]))))


def _at_rest(readings: pa.Table, steps: pa.Table) -> Flags:
    """Which readings lie in a step that the models call a rest, whatever the noise of its current."""
    resting = np.zeros(readings.num_rows, dtype=bool)
    tests = readings["test_id"].combine_chunks().dictionary_encode()
    code, points = tests.indices.to_numpy(), column(readings, "data_point")
    for number, test in enumerate(tests.dictionary.to_pylist()):
        of_test = steps.filter(pc.equal(steps["test_id"], test)).sort_by("first_data_point")
        if of_test.num_rows:
            rows = np.flatnonzero(code == number)
            rests = pc.equal(of_test["kind"], "rest").to_numpy(zero_copy_only=False).astype(bool)
            place = np.searchsorted(column(of_test, "first_data_point"), points[rows], side="right") - 1
            resting[rows] = (place >= 0) & rests[np.maximum(place, 0)]
    return resting
