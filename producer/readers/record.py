"""What a file says of one test, column by column, in the units of the contract but not yet with its meaning.

Counters may count a step, a cycle or a test, or both directions in one; the current may have the other sign, or none;
steps, cycles and clocks may be missing. `producer/readers/meaning/` makes a record the columns of the contract.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from producer.readers.meaning.sign import NO_CURRENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Column

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

CHARGE: Final = 1
REST: Final = 0
DISCHARGE: Final = -1

_EXTRA: Final = {
    "dvdt": "dv/dt(v/s)",
    "internal_resistance": "internal_resistance(ohm)",
    "ac_impedance": "ac_impedance(ohm)",
    "aci_phase_angle": "aci_phase_angle(deg)",
    "temperature": "temperature(c)",
    "is_fc_data": "is_fc_data",
}
"""Quantities that the contract takes as they are, and its columns for them."""

COLDEST, HOTTEST = -200.0, 1400.0
"""Temperatures outside of these, C, stand for an input without a sensor: some -2500 in Maccor's files, or -9999."""

COUNTED: Final = ("charge_capacity", "discharge_capacity", "charge_energy", "discharge_energy", "capacity", "energy")


@dataclass
class Record:
    """One test, n >= 1 readings in the order of the file.

    Attributes:
        current: A, shape (n,); the sign is as the file has it.
        voltage: V, shape (n,).
        test_time: s since the test began, shape (n,); None where the file has times of steps alone.
        step_time: s since the step began, shape (n,), or None.
        date_time: the cycler's wall clock (timestamp in us), or None where the file has no date.
        data_point: numbers of the readings, which rise; None where the file has none.
        step: which step each reading is of, shape (n,): it changes where a step begins. None where the file has none.
        cycle: numbers of cycles, shape (n,), or None.
        direction: what the file says that was done, CHARGE, DISCHARGE or REST, shape (n,); None where it does not.
        counters: Ah and Wh, shape (n,) each, by names of `COUNTED`. NaN stands where the cell is empty.
        net: whether `capacity` and `energy` fall while discharging; otherwise they rise in either direction.
        counters_of: what the counters count: `test`, `cycle` or `step`; None where the data has to tell. `as_read`
            leaves counters of one direction as they are, as a test that comes in parts or in several formats needs.
        extra: columns that the contract takes as they are, by its names.
        assumed: lines on what was assumed so far.
    """

    current: Floats
    voltage: Floats
    test_time: Floats | None = None
    step_time: Floats | None = None
    date_time: pa.Array | None = None
    data_point: Integers | None = None
    step: Integers | None = None
    cycle: Integers | None = None
    direction: Integers | None = None
    counters: dict[str, Floats] = field(default_factory=dict)
    net: bool = False
    counters_of: str | None = None
    extra: dict[str, pa.Array] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """Readings."""
        return len(self.current)


def record_of(
    table: Table,
    found: Mapping[str, Column],
    *,
    states: Mapping[str, int] | None = None,
    dates: str | None = None,
    usual_dates: str | None = None,
) -> Record:
    """The record that a table's columns make.

    Args:
        table: the table of one test.
        found: the column of each quantity, at least those of current and voltage.
        states: what the texts of the column `state` say, in lower case: CHARGE, DISCHARGE or REST; others say nothing,
            and the whole column is passed over where none says anything.
        dates: the order of dates that the user gives.
        usual_dates: that of the format.

    Raises:
        BadWorkbookError: a cell cannot be taken.
        UndatedWorkbookError: the order of dates is open.
    """

    def numbers(quantity: str, *, required: bool = False) -> Floats | None:
        column = found.get(quantity)
        return None if column is None else table.numbers(column.title, column.unit, required=required)

    def seconds(quantity: str) -> Floats | None:
        column = found.get(quantity)
        return None if column is None else table.seconds(column.title, column.unit)

    def whole(quantity: str) -> Integers | None:
        column = found.get(quantity)
        return None if column is None or table.is_empty(column.title) else table.whole_numbers(column.title)

    steps_timed = "step_time" in found and not table.is_empty(found["step_time"].title)
    current, voltage = numbers("current", required=True), numbers("voltage", required=True)
    if current is None or voltage is None:
        raise KeyError("current and voltage")
    record = Record(
        current,
        voltage,
        seconds("test_time"),
        seconds("step_time") if steps_timed else None,
        data_point=whole("data_point"),
        step=whole("step"),
        cycle=whole("cycle"),
    )
    record.counters = {
        name: values for name in COUNTED if (values := numbers(name)) is not None and not np.isnan(values).all()
    }
    if "state" in found and states:
        _take_states(record, table.texts(found["state"].title), states)
    if "date_time" in found:
        times = record.test_time if record.test_time is not None else np.arange(len(record), dtype=np.float64)
        record.date_time, assumed = table.stamps(found["date_time"].title, times, dates, usual_dates)
        record.assumed += [assumed] if assumed else []
    for quantity, name in _EXTRA.items():
        values = numbers(quantity)
        if values is not None:
            is_none = np.isnan(values)
            if quantity == "temperature":
                is_none |= (values < COLDEST) | (values > HOTTEST)
            record.extra[name] = pa.array(values, pa.float64(), mask=is_none)
    return record


def _take_states(record: Record, texts: pa.Array, states: Mapping[str, int]) -> None:
    """Take the directions that states say.

    Where a current flows in a state that says nothing, the reading has the direction of its current, if currents have
    the signs that the other states say.
    """
    encoded = texts.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    said = [states.get(text.casefold()) for text in names]
    if all(one is None for one in said):
        return
    places = encoded.indices.to_numpy()
    direction: Integers = np.array([REST if one is None else one for one in said], np.int64)[places]
    record.direction = direction
    current = record.current
    flows = np.abs(current) > NO_CURRENT * np.abs(current).max(initial=0.0)
    untold = flows & np.array([one is None for one in said])[places]
    sign = _orientation(np.where(flows, current, 0.0), direction) if untold.any() else 0
    if not sign:
        return
    record.direction = np.where(untold, sign * np.sign(current), direction).astype(np.int64)
    silent = ", ".join(sorted({names[place] for place in np.unique(places[untold]).tolist()}))
    record.assumed.append(f"the state {silent} says no direction; its readings have that of their current")


def _orientation(current: Floats, direction: Integers) -> int:
    """1 where charge is positive, -1 where discharge is, by what states say; 0 where currents have no sign."""
    charge, discharge = (int(np.sign(np.sign(current[direction == way]).sum())) for way in (CHARGE, DISCHARGE))
    if not (current < 0).any() or charge * discharge > 0:
        return 0
    return -discharge or charge
