"""Titles of columns taken apart: what they name, and in which unit."""

from __future__ import annotations

import pytest

from producer.readers.tables.titles import WRITTEN, TitleError, base_and_unit, columns_of
from producer.readers.units import SAME, Unit

NAMES = {
    "testtime": ("test_time", "s"),
    "total": ("test_time", ""),
    "current": ("current", "A"),
    "voltage": ("voltage", WRITTEN),
    "qchargedischarge": ("capacity", "Ah"),
    "state": ("state", ""),
    "cyclecount": ("cycle", ""),
}


@pytest.mark.parametrize(
    ("title", "base", "unit"),
    [
        ("Test_Time(s)", "testtime", "s"),
        ("Test Time / s", "testtime", "s"),
        ("TestTime/Sec", "testtime", "Sec"),
        ("U[V]", "u", "V"),
        ("dV/dt(V/s)", "dvdt", "V/s"),
        ("Q charge/discharge/mA.h", "qchargedischarge", "mA.h"),
        ("  Cycle\tIndex ", "cycleindex", None),
        ("Rec#", "rec#", None),
        ("T1[\u00b0C]", "t1", "\u00b0C"),
    ],
)
def test_a_title_is_a_base_and_a_unit(title: str, base: str, unit: str | None) -> None:
    assert base_and_unit(title) == (base, unit)


@pytest.mark.parametrize(
    ("title", "quantity", "unit"),
    [
        ("TestTime/Sec", "test_time", SAME),
        ("Test Time (h)", "test_time", Unit(times=3600.0)),
        ("Test Time (h:m:s)", "test_time", None),
        ("Total", "test_time", None),
        ("Current(mA)", "current", Unit(divided_by=1e3)),
        ("Current", "current", SAME),
        ("Q charge/discharge", "capacity", SAME),
        ("State", "state", None),
        ("Cycle Count / 1", "cycle", SAME),
    ],
)
def test_a_name_has_the_unit_that_its_title_writes_or_else_that_of_the_format(
    title: str, quantity: str, unit: Unit | None
) -> None:
    column = columns_of([title], NAMES)[quantity]
    assert (column.title, column.unit) == (title, unit)


def test_the_first_of_two_columns_counts() -> None:
    assert columns_of(["Current(mA)", "Current(A)"], NAMES)["current"].title == "Current(mA)"


@pytest.mark.parametrize(
    ("title", "says"),
    [("Voltage", "names no unit"), ("Voltage(X)", "has the unit 'X', which is not known here; convert it to one of V")],
)
def test_a_unit_that_is_missing_or_unknown_is_an_error_that_lists_those_that_are_known(title: str, says: str) -> None:
    with pytest.raises(TitleError, match=says):
        columns_of([title], NAMES)
