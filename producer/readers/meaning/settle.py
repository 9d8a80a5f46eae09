"""From a record to the columns of the contract, with what was assumed on the way.

The order matters: counters tell the sign where nothing else does, the sign tells the directions, directions share out a
counter of both, and cycles follow directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from producer.readers.meaning.counters import accumulate, begins, integrate, kind_of, share_out, split_net
from producer.readers.meaning.sign import settle_sign
from producer.readers.meaning.steps import cycles_of, directions_of, steps_of
from producer.readers.meaning.times import test_time_of

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
_SEEN: Final = 1e-6
"""The share of its largest value that a counter must gain to be one: some files have columns of zeros."""


@dataclass(frozen=True)
class Settled:
    """The columns of a test as the contract has them, by its names; what was assumed; and which counters were computed."""

    columns: dict[str, pa.Array]
    assumptions: tuple[str, ...]
    integrated: tuple[str, ...] = ()


def settle(record: Record) -> Settled:
    """Give a record the meaning of the contract.

    Args:
        record: the columns of one test; nothing of it changes.

    Returns:
        All columns of the contract that a test needs but those of the file; `date_time` is null where there is none.
    """
    size, assumed = len(record), [*record.assumed]
    if record.test_time is None and record.step_time is None:
        raise ValueError("a record needs a test time or a step time")
    if record.step is None:
        own = np.zeros(size, np.bool_)
        own[0] = True
        if record.step_time is not None:
            own[1:] |= np.diff(record.step_time) < 0
    else:
        own = begins(record.step, size)
    cycles = begins(record.cycle, size)
    steps = own | cycles
    time = record.test_time
    if time is None:
        clock = None
        if record.date_time is not None:
            clock = _numbers(record.date_time)
        time = test_time_of(record.step_time, steps, clock)  # type: ignore[arg-type]  # one of the two is there
        assumed.append("the file has times of steps alone; test times were made of them")

    pairs, kinds = {}, {}
    for single, charge, discharge, _ in _PAIRS:
        found = [record.counters.get(charge), record.counters.get(discharge)]
        present = [one for one in found if one is not None]
        if present and (len(present) == 2 or single not in record.counters):  # noqa: PLR2004
            kind = record.counters_of or _kind(present, steps, cycles)
            zero = np.zeros(size)
            pairs[charge], pairs[discharge] = (
                zero if one is None else accumulate(np.abs(one), kind, steps, cycles) for one in found
            )
            kinds[single] = kind
    current, said = settle_sign(record.current, record.voltage, record.direction, pairs, record.step)
    assumed += [said] if said else []

    step, missing_steps = record.step, record.step is None
    if step is None:
        step = steps_of(current)
        steps = begins(step, size) | cycles
        assumed.append("the file has no steps; they were told by the current")
    direction = directions_of(current)
    if record.direction is not None:
        direction = np.where(direction == 0, 0, np.where(record.direction == 0, direction, record.direction))
    for single, charge, discharge, _ in _PAIRS:
        values = record.counters.get(single)
        if charge in pairs or values is None:
            continue
        if record.net:
            kind = record.counters_of or "test"
            pairs[charge], pairs[discharge] = split_net(values, kind, steps, cycles)
            assumed.append(f"{single} counts charge up and discharge down; it was split into two counters")
        else:
            kind = record.counters_of or kind_of(np.abs(values), steps, cycles)
            way = direction if record.direction is None else record.direction
            pairs[charge], pairs[discharge] = share_out(values, way, kind, steps)
            assumed.append(
                f"{single} counts both directions in one; it was shared out by the direction of each reading"
            )
        kinds[single] = kind
    assumed += dict.fromkeys(_OF[kind] for kind in kinds.values() if kind in _OF)

    integrated = []
    for single, charge, discharge, unit in _PAIRS:
        if charge in pairs:
            continue
        rate = current if single == "capacity" else current * record.voltage
        pairs[charge], pairs[discharge] = integrate(rate, time, steps)
        integrated += [f"{charge}{unit}", f"{discharge}{unit}"]
    if integrated:
        what = (
            "capacities and energies"
            if len(integrated) > 2
            else ("energies" if "energy" in integrated[0] else "capacities")
        )
        assumed.append(f"the file has no {what}; they are integrals of the current over time")

    cycle = record.cycle
    if cycle is None:
        cycle = cycles_of(direction)
        assumed.append("the file has no cycles; one begins where a charge follows a discharge")
    point = record.data_point
    if point is None or (np.diff(point) <= 0).any():
        if point is not None:
            assumed.append("numbers of the readings do not rise; readings were numbered in their order")
        point = np.arange(1, size + 1)
    columns = {
        "data_point": pa.array(point),
        "test_time(s)": pa.array(time),
        "date_time": record.date_time if record.date_time is not None else pa.nulls(size, pa.timestamp("us")),
        "step_index": pa.array(_small(step)),
        "cycle_index": pa.array(cycle),
        "current(a)": pa.array(current),
        "voltage(v)": pa.array(record.voltage),
        **{f"{name}{unit}": pa.array(pairs[name]) for _, *both, unit in _PAIRS for name in both},
        **record.extra,
    }
    if record.step_time is not None and not missing_steps:
        columns["step_time(s)"] = pa.array(record.step_time)
    return Settled(columns, tuple(dict.fromkeys(assumed)), tuple(integrated))


def _kind(pair: list[Floats], steps: Bools, cycles: Bools) -> str:
    """What both counters of a pair count: that of the one that begins again more narrowly."""
    kinds = {kind_of(np.abs(values), steps, cycles) for values in pair}
    return next(kind for kind in ("irregular", "step", "cycle", "test") if kind in kinds)


def _small(step: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return step.astype(np.int64)


def _numbers(clock: pa.Array) -> Floats:
    values = clock.cast(pa.int64()).to_numpy(zero_copy_only=False).astype(np.float64) / _MICROSECONDS
    values[~np.asarray(clock.is_valid())] = np.nan
    return values
