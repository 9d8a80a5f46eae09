"""Names and units of columns as different software writes them."""

from __future__ import annotations

import numpy as np
import pytest

from producer.readers.sheets.header import HeaderError, contract_name, read_header


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Data_Point", "data_point"),
        ("Data Point", "data_point"),
        ("DataPoint", "data_point"),
        ("\tDate Time", "date_time"),
        ("DateTime", "date_time"),
        ("Test Time (s)", "test_time(s)"),
        ("TEST_TIME(S)", "test_time(s)"),
        ("Test_Time", "test_time(s)"),
        ("Test_Time(h:min:s.ms)", "test_time(s)"),
        ("Current [mA]", "current(a)"),
        ("dV/dt (V/s)", "dv/dt(v/s)"),
        ("Internal Resistance(Ohm)", "internal_resistance(ohm)"),
        ("Aux_Temperature_1 (C)", "temperature(c)"),
        ("Aux_Temperature(°C)_1", "temperature(c)"),
        ("Is FC Data", "is_fc_data"),
        ("Voltage(V)_2", None),
        ("Environment_Temperature (C)", None),
        ("Cell_ID", None),
        ("", None),
    ],
)
def test_names_are_compared_without_case_blanks_and_underscores(title: str, name: str | None) -> None:
    assert contract_name(title) == name


@pytest.mark.parametrize(
    ("title", "number", "converted"),
    [
        ("Current(A)", 1.1, 1.1),
        ("Current(mA)", 1000.0, 1.0),
        ("Current(mA)", 0.7, 0.7 / 1000),
        ("CURRENT(MA)", 1000.0, 1.0),
        ("Current(uA)", 86.0, 86.0 / 1e6),
        ("Current(µA)", 86.0, 86.0 / 1e6),
        ("Current(\u03bcA)", 86.0, 86.0 / 1e6),
        ("Current(kA)", 2.0, 2000.0),
        ("Voltage (mV)", 3700.0, 3.7),
        ("Charge_Capacity(mAh)", 3.0, 0.003),
        ("Charge Capacity (mA.h)", 3.0, 0.003),
        ("Discharge_Energy(mWh)", 3.0, 0.003),
        ("Test_Time(h)", 1.5, 5400.0),
        ("Test_Time(min)", 1.5, 90.0),
        ("Test_Time(ms)", 1500.0, 1.5),
        ("Internal_Resistance(mOhm)", 94.0, 0.094),
        ("Internal_Resistance(m\u03a9)", 94.0, 0.094),
        ("Temperature(°C)", 25.0, 25.0),
        ("Temperature(K)", 273.15, 0.0),
    ],
)
def test_numbers_are_converted_from_the_unit_of_the_header(title: str, number: float, converted: float) -> None:
    (place,) = read_header([title]).places.values()
    assert place.unit is not None
    assert place.unit.convert(np.array([number])).tolist() == [converted]


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("Current(hp)", r"has the unit 'hp', which is not known here; convert it to one of A, mA, uA, nA, kA"),
        ("Charge_Energy(MWh)", r"has the unit 'MWh', which is not known here"),
        ("Temperature(F)", r"has the unit 'F', which is not known here; convert it to one of C"),
        ("Test_Time(fortnight)", "is not known here; convert it to one of s"),
        ("Current", r"names no unit; name the column Current\(A\), or in another unit: A, mA"),
        ("Charge Capacity", r"names no unit; name the column Charge_Capacity\(Ah\)"),
    ],
)
def test_a_unit_that_is_not_known_or_not_named_is_refused(title: str, said: str) -> None:
    with pytest.raises(HeaderError, match=said) as caught:
        read_header([title])
    assert caught.value.column == title


def test_of_two_columns_that_mean_the_same_the_first_counts_and_it_is_said() -> None:
    header = read_header(["Current(A)", "Current(mA)"])
    assert header.places["current(a)"].index == 0
    assert header.notes == ("column Current(mA) is passed over, as Current(A) stands before it",)


def test_a_unit_that_is_not_known_does_no_harm_beside_one_that_is() -> None:
    header = read_header(["Charge_Capacity(mAh/g)", "Charge_Capacity(Ah)", "Temperature"])
    assert {name: place.index for name, place in header.places.items()} == {"charge_capacity(ah)": 1}
