from __future__ import annotations

import re

import pytest
from support.places import ROOT

from kernel.contract.reading import READING
from producer.gateway.names import COLUMNS, EXAMPLES, UnknownUnitError, plan
from producer.readers.bdf import BASES


def test_every_quantity_of_bdf_stands_for_a_column_of_the_contract_or_for_none() -> None:
    assert set(COLUMNS.values()) <= set(READING.names)
    assert set(COLUMNS) | {"capacity", "energy", "state"} == set(BASES)
    assert all(plan([label]).columns == (column,) for column, label in EXAMPLES.items())


def test_the_contracts_own_names_stay() -> None:
    assert plan(READING.names).columns == tuple(READING.names)
    assert plan(READING.names).ignored == ()


def test_the_names_of_the_pipelines_own_bdf_table_come_back_as_what_they_were() -> None:
    model = (ROOT / "dbt_project" / "models" / "marts" / "bdf_timeseries.sql").read_text()
    final = model[model.index("final as (") :]
    renamed = re.findall(r'^ +"?([a-z_/()]+)"? as (\w+),$', final, re.MULTILINE)
    assert len(renamed) > 7
    known = [(column, name) for column, name in renamed if column in READING.names]
    assert [(plan([name]).columns[0], name) for _, name in known] == known


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("Test Time / s", "test_time(s)"),
        ("test time/s", "test_time(s)"),
        ("Voltage / V", "voltage(v)"),
        ("Current / A", "current(a)"),
        ("Unix Time / s", "date_time"),
        ("Cycle Count / 1", "cycle_index"),
        ("Step Count / 1", "step_index"),
        ("Charging Capacity / Ah", "charge_capacity(ah)"),
        ("Discharging Capacity / Ah", "discharge_capacity(ah)"),
        ("charging_capacity_ampere_hour", "charge_capacity(ah)"),
        ("Ambient Temperature / °C", "temperature(c)"),
        ("Data_Point", "data_point"),
        ("Test_Time(s)", "test_time(s)"),
        ("dV/dt(V/s)", "dv/dt(v/s)"),
        ("CELL_ID", "cell_id"),
    ],
)
def test_a_name_in_any_case_is_read(name: str, column: str) -> None:
    assert plan([name]).columns == (column,)


@pytest.mark.parametrize("name", ["Net Capacity / Ah", "mood", "", "/"])
def test_a_name_that_gives_no_column_is_kept_and_told(name: str) -> None:
    assert (plan([name]).columns, plan([name]).ignored) == ((name,), (name,))


def test_of_two_names_for_a_column_the_better_one_counts_and_the_other_is_kept_and_told() -> None:
    found = plan(["step_count", "Step ID", "Voltage / V", "voltage(v)", "Ambient Temperature / degC", "temperature(c)"])
    assert found.columns == (
        "step_count", "step_index", "Voltage / V", "voltage(v)", "Ambient Temperature / degC", "temperature(c)",
    )  # fmt: skip
    assert found.ignored == ("step_count", "Voltage / V", "Ambient Temperature / degC")


@pytest.mark.parametrize("names", [["Voltage(V)", "voltage(v)"], ["voltage(v)", "Voltage(V)"]])
def test_the_contracts_own_spelling_is_the_better_one(names: list[str]) -> None:
    assert plan(names).ignored == ("Voltage(V)",)


def test_seconds_since_1970_are_told_from_a_time_stamp() -> None:
    assert plan(["cell_id", "Unix Time / s"]).unix_time == 1
    assert plan(["cell_id", "date_time"]).unix_time is None
    assert plan(["unix_time_second", "date_time"]).unix_time is None


@pytest.mark.parametrize(
    ("name", "factor"),
    [("Current / mA", 1e-3), ("current_milliampere", 1e-3), ("Test Time / h", 3600.0), ("Unix Time / ms", 1e-3)],
)
def test_a_name_with_another_unit_is_converted(name: str, factor: float) -> None:
    (((place, unit),),) = (plan(["cell_id", name]).units,)
    assert (place, unit.times / unit.divided_by) == (1, factor)


def test_a_unit_that_is_not_known_is_told_with_the_name() -> None:
    with pytest.raises(UnknownUnitError, match="'Current / furlong' has the unit 'furlong', which is not known here"):
        plan(["cell_id", "Current / furlong"])
