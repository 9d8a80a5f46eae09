"""From a record to the columns of the contract, with what was assumed on the way.

The order matters: counters tell the sign where nothing else does, the sign tells the directions, directions share out a
counter of both, and cycles follow directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import pyarrow as pa

from producer.readers.meaning.counters import (
    AS_READ,
    SECONDS_PER_HOUR,
    accumulate,
    begins,
    integrate,
    kind_of,
    last_direction,
    share_out,
    split_net,
)
from producer.readers.meaning.one_way import flows, uncounted_direction
from producer.readers.meaning.sign import settle_sign
from producer.readers.meaning.steps import cycles_of, directions_of, steps_of
from producer.readers.meaning.times import elapsed

if TYPE_CHECKING:
    import numpy.typing as npt

    from producer.readers.record import Floats, Record

    Bools = npt.NDArray[np.bool_]

_PAIRS: Final = (
    ("capacity", "charge_capacity", "discharge_capacity", "(ah)"),
    ("energy", "charge_energy", "discharge_energy", "(wh)"),
)
_OF: Final = {
    "step": "counters begin again with each step; they were added up over the test",
    "cycle": "counters begin again with each cycle; they were added up over the test",
    "irregular": "counters begin again at places that are neither steps nor cycles; they were added up over the test",
}
_MICROSECONDS: Final = 1e6
_MANY: Final = {"capacity": "capacities", "energy": "energies"}
_FLOWS: Final = {1: "charge", -1: "discharge"}


@dataclass(frozen=True)
class Settled:
    """The columns of a test by the names of the contract, what was assumed, and which counters were computed."""

    columns: dict[str, pa.Array]
    assumptions: tuple[str, ...]
    integrated: tuple[str, ...] = ()


def settle(record: Record) -> Settled:
    """Give a record the meaning of the contract.

    Args:
        record: the columns of one test; nothing of it changes.

    Returns:
        All columns of the contract that a test needs but those of the file; `date_time` is null where there is none.

    Raises:
        ValueError: the record has neither a test time nor a step time.
    """
    if record.test_time is None and record.step_time is None:
        raise ValueError("a record needs a test time or a step time")
    course = _Course(record)
    course.take_pairs()
    course.settle_sign()
    course.split_singles()
    course.integrate_missing()
    return course.settled()


class _Course:
    """A record on its way: what has been found of it so far, and what was assumed."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._assumed = [*record.assumed]
        self._cycles = begins(record.cycle, len(record))
        self._steps = _step_begins(record) | self._cycles
        self._current = record.current
        self._direction = np.zeros(len(record), np.int64)
        self._pairs: dict[str, Floats] = {}
        self._kinds: dict[str, str] = {}
        self._absent: list[tuple[str, str, int]] = []
        self._integrated: list[str] = []
        self._time = self._test_time()

    def _test_time(self) -> Floats:
        """Seconds since the test began, by the file or by its steps."""
        record = self._record
        if record.test_time is not None or record.step_time is None:
            return cast("Floats", record.test_time)
        clock = None if record.date_time is None else _numbers(record.date_time)
        self._assumed.append("the file has times of steps alone; test times were made of them")
        return elapsed(record.step_time, self._steps, clock)

    def take_pairs(self) -> None:
        """Make counters of charge and of discharge those of the test."""
        counters = self._record.counters
        for single, *both, _ in _PAIRS:
            present = [counters[name] for name in both if name in counters]
            if not present or (len(present) < len(both) and single in counters):
                continue
            kind = self._record.counters_of or _kind(present, self._steps, self._cycles)
            self._kinds[single] = kind
            self._absent += [
                (single, name, way) for name, way in zip(both, (1, -1), strict=True) if name not in counters
            ]
            for name in both:
                values = counters[name] if name in counters else np.zeros(len(self._record))
                values = values if kind == AS_READ else np.abs(values)
                self._pairs[name] = accumulate(values, kind, self._steps, self._cycles)

    def settle_sign(self) -> None:
        """Let the current be positive while charging; tell steps by it where the file has none."""
        record = self._record
        self._current, said = settle_sign(record.current, record.voltage, record.direction, self._pairs, record.step)
        self._assumed += [said] if said else []
        if record.step is None:
            self._steps = begins(self._step(), len(record)) | self._cycles
            self._assumed.append("the file has no steps; they were told by the current")
        self._direction = directions_of(self._current)
        if record.direction is not None:
            moves = (self._direction != 0) & (record.direction != 0)
            self._direction = np.where(moves, record.direction, self._direction)

    def _step(self) -> npt.NDArray[np.int64]:
        return steps_of(self._current) if self._record.step is None else self._record.step

    def split_singles(self) -> None:
        """Make one counter of both directions two."""
        record, way = self._record, None
        for single, charge, discharge, _ in _PAIRS:
            values = record.counters.get(single)
            if charge in self._pairs or values is None:
                continue
            values = values if record.net else np.abs(values)
            kind = record.counters_of or ("test" if record.net else kind_of(values, self._steps, self._cycles))
            self._kinds[single] = kind
            moved = self._moved(single)
            uncounted = uncounted_direction(values, self._direction, moved, net=record.net)
            if record.net:
                both = split_net(values, kind, self._steps, self._cycles)
                said = f"{single} counts charge up and discharge down; it was split into two counters"
            elif uncounted:
                both = (accumulate(values, kind, self._steps, self._cycles),) * 2
            else:
                if way is None:
                    way = last_direction(self._direction if record.direction is None else record.direction)
                both = share_out(values, way, kind, self._steps, moved)
                said = f"{single} counts both directions in one; it was shared out by their readings"
            self._pairs[charge], self._pairs[discharge] = both
            if uncounted:
                del self._pairs[charge if uncounted > 0 else discharge]
                said = (
                    f"{single} gains nothing in {_FLOWS[uncounted]}; it was taken as that of {_FLOWS[-uncounted]} alone"
                )
            self._assumed.append(said)
        self._assumed += dict.fromkeys(_OF[kind] for kind in self._kinds.values() if kind in _OF)

    def _moved(self, single: str) -> Floats:
        """What the current moved since the reading before, Ah or Wh by the name of a counter, shape (n,)."""
        rate = np.abs(self._current if single == "capacity" else self._current * self._record.voltage)
        moved: Floats = rate * np.diff(self._time, prepend=self._time[0]).clip(min=0.0) / SECONDS_PER_HOUR
        return moved

    def integrate_missing(self) -> None:
        """Compute the counters that the file has not."""
        for single, name, way in self._absent:  # the sign of the current is settled by now
            if flows(way, self._direction, self._moved(single)):
                del self._pairs[name]
        missing = {single: [name for name in both if name not in self._pairs] for single, *both, _ in _PAIRS}
        for single, *both, unit in _PAIRS:
            if not missing[single]:
                continue
            rate = self._current if single == "capacity" else self._current * self._record.voltage
            integrals = dict(zip(both, integrate(rate, self._time, self._steps), strict=True))
            self._pairs |= {name: integrals[name] for name in missing[single]}
            self._integrated += [f"{name}{unit}" for name in missing[single]]
        whole = [_MANY[single] for single, names in missing.items() if len(names) > 1]
        parts = [name.replace("_", " ") for names in missing.values() if len(names) == 1 for name in names]
        if whole:
            self._assumed.append(f"the file has no {' and '.join(whole)}; they are integrals of the current over time")
        self._assumed += [f"the file has no {part}; it is the integral of the current over time" for part in parts]

    def settled(self) -> Settled:
        """What has become of the record."""
        record, size = self._record, len(self._record)
        cycle, point = record.cycle, record.data_point
        if cycle is None:
            cycle = cycles_of(self._direction)
            self._assumed.append("the file has no cycles; one begins where a charge follows a discharge")
        if point is not None and (np.diff(point) <= 0).any():
            point = None
            self._assumed.append("numbers of the readings do not rise; readings were numbered in their order")
        clock = pa.nulls(size, pa.timestamp("us")) if record.date_time is None else record.date_time
        columns = {
            "data_point": pa.array(np.arange(1, size + 1) if point is None else point),
            "test_time(s)": pa.array(self._time),
            "date_time": clock,
            "step_index": pa.array(self._step()),
            "cycle_index": pa.array(cycle),
            "current(a)": pa.array(self._current),
            "voltage(v)": pa.array(record.voltage),
            **{f"{name}{unit}": pa.array(self._pairs[name]) for _, *both, unit in _PAIRS for name in both},
            **record.extra,
        }
        if record.step_time is not None:
            columns["step_time(s)"] = pa.array(record.step_time)
        return Settled(columns, tuple(dict.fromkeys(self._assumed)), tuple(self._integrated))


def _step_begins(record: Record) -> Bools:
    """Where a step begins: as the file numbers them, or where the time of the step falls."""
    if record.step is not None or record.step_time is None:
        return begins(record.step, len(record))
    found = begins(None, len(record))
    found[1:] |= np.diff(record.step_time) < 0
    return found


def _kind(pair: list[Floats], steps: Bools, cycles: Bools) -> str:
    """What both counters of a pair count: that of the one that begins again more narrowly."""
    kinds = {kind_of(np.abs(values), steps, cycles) for values in pair}
    return next(kind for kind in ("irregular", "step", "cycle", "test") if kind in kinds)


def _numbers(clock: pa.Array) -> Floats:
    values: Floats = clock.cast(pa.int64()).to_numpy(zero_copy_only=False).astype(np.float64) / _MICROSECONDS
    values[~np.asarray(clock.is_valid())] = np.nan
    return values
