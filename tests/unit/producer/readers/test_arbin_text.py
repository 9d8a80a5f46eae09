"""Arbin's text exports of each vintage: the simulated cell is read back from each, and what is peculiar to each."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.asked import Asked
from support.twins import arbin as twins
from support.twins.cell import assert_same_cycles, restarted, twin_cell

from producer.readers.arbin import READER
from producer.readers.base import BadWorkbookError, FileSample, ReadOptions, UndatedWorkbookError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from support.twins.arbin import Columns
    from support.twins.cell import TwinCell

    from producer.readers.base import Test

CELL = twin_cell()
FIRST = datetime(2024, 3, 14, 9, 35, 15)  # noqa: DTZ001  # a cycler's wall clock has no zone


def read(path: Path, **options: Any) -> Test:
    (test,) = READER.read(path, ReadOptions(path.name, **options)).tests
    return test


ASKED = Asked(READER)
refusal = ASKED.refusal


def written(
    path: Path, make: Callable[[TwinCell], Columns] = twins.mits7, changes: Mapping[str, Any] | None = None
) -> Path:
    """A file of the cell with some columns changed, or left out where they are None."""
    columns = {**make(CELL), **(changes or {})}
    return twins.write_text(path, {title: values for title, values in columns.items() if values is not None})


@pytest.mark.parametrize(
    ("make", "first"),
    [
        (twins.mits7, 1),
        (twins.mits10, 1),
        (twins.without_units, 0),
        (twins.battery_archive, 1),
        (twins.calce, 1),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_cell_is_read_back_from_each_vintage(
    tmp_path: Path, make: Callable[[TwinCell], Columns], first: int
) -> None:
    path = written(tmp_path / "CELL_1.csv", make)
    assert READER.recognises(FileSample.of(path))
    test = read(path)
    assert_same_cycles(twins.followed(test), CELL, 1e-12, first=first, energies=make is not twins.calce)
    assert (test.cell_id, test.about.reader, test.started_at) == ("CELL_1", "arbin", FIRST)
    assert test.readings["test_time(s)"].to_pylist() == CELL.test_time.tolist()
    if make is not twins.calce:
        assert test.readings["temperature(c)"].to_pylist() == CELL.temperature.tolist()


@pytest.mark.parametrize(
    ("encoding", "delimiter", "line_end"),
    [("utf-8-sig", ",", "\r\n"), ("utf-16", "\t", "\n"), ("utf-8", "\t", "\n"), ("utf-8", ";", "\n")],
)
def test_a_text_is_read_in_any_encoding_with_any_mark_between_cells(
    tmp_path: Path, encoding: str, delimiter: str, line_end: str
) -> None:
    path = twins.write_text(
        tmp_path / "A.txt", twins.mits7(CELL), encoding=encoding, delimiter=delimiter, line_end=line_end
    )
    assert READER.recognises(FileSample.of(path))
    assert_same_cycles(twins.followed(read(path)), CELL, 1e-12)


def test_a_title_may_have_a_tab_before_it_between_commas(tmp_path: Path) -> None:
    columns = twins.mits10(CELL)
    tabbed = {("\t" + title if title == "Date Time" else title): values for title, values in columns.items()}
    assert read(twins.write_text(tmp_path / "A.csv", tabbed)).started_at == FIRST


@pytest.mark.parametrize(
    ("dates", "says"),
    [
        (twins.unix_seconds, "Unix seconds, so UTC"),
        (twins.ticks, "ticks of 1e-7 s since 1970, so UTC"),
        (twins.days_since_0, "as MATLAB counts"),
        (twins.days_since_1900, "as spreadsheets count"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_clock_that_counts_is_told_by_its_size_and_its_zone_is_kept(
    tmp_path: Path, dates: Callable[[TwinCell], Any], says: str
) -> None:
    test = read(twins.write_text(tmp_path / "A.csv", twins.without_units(CELL, dates)))
    assert test.readings["date_time"].to_pylist() == CELL.date_time.tolist()
    assert any(says in line for line in test.about.assumptions)
    assert test.about.metadata.get("time_zone") == ("UTC" if "UTC" in says else None)


def test_counters_that_never_fall_stay_as_the_file_has_them_to_the_last_digit(tmp_path: Path) -> None:
    test = read(written(tmp_path / "A.csv", twins.mits10))
    assert test.readings["charge_capacity(ah)"].to_pylist() == CELL.charge_capacity.tolist()
    assert test.readings["discharge_energy(wh)"].to_pylist() == CELL.discharge_energy.tolist()


def test_counters_that_begin_again_stay_so_and_parts_of_a_test_are_parts_of_it(tmp_path: Path) -> None:
    """A part that begins within a cycle does not know what the parts before it have counted."""
    columns = twins.mits7(CELL)
    whole = read(twins.write_text(tmp_path / "A.csv", columns)).readings
    assert whole["charge_capacity(ah)"].to_pylist() == columns["Charge_Capacity(Ah)"]
    middle = len(CELL) // 2
    second = read(twins.write_text(tmp_path / "B.csv", {title: values[middle:] for title, values in columns.items()}))
    same = [name for name in whole.column_names if name not in {"cell_id", "test_id", "source_file"}]
    assert second.readings.select(same) == whole.slice(middle).select(same)


def test_a_counter_that_starts_above_zero_gains_nothing_by_that(tmp_path: Path) -> None:
    charge = (restarted(CELL.charge_capacity, CELL.cycle) + np.where(CELL.cycle == 1, 0.88, 0.0)).tolist()
    test = read(written(tmp_path / "A.csv", changes={"Charge_Capacity(Ah)": charge}))
    counter = twins.followed(test).readings["charge_capacity(ah)"].to_numpy()
    assert counter[0] == charge[0]
    assert counter[-1] - counter[0] == pytest.approx(CELL.charge_capacity[-1] - CELL.charge_capacity[0], abs=1e-12)


def test_readings_without_a_number_are_numbered_in_their_order_and_that_is_said(tmp_path: Path) -> None:
    test = read(written(tmp_path / "A.csv", changes={"Data_Point": None}))
    assert test.readings["data_point"].to_pylist() == list(range(1, len(CELL) + 1))
    assert "the file has no Data_Point; readings were numbered in their order" in test.about.assumptions


def test_steps_that_a_file_has_not_are_told_by_the_current(tmp_path: Path) -> None:
    test = read(written(tmp_path / "A.csv", twins.battery_archive))
    step = test.readings["step_index"].to_numpy()
    direction = CELL.direction
    assert (np.diff(step)[np.diff(direction) != 0] == 1).all()
    assert any("no steps" in line for line in test.about.assumptions)


def test_a_cells_temperature_is_preferred_to_that_of_its_chamber_and_one_with_values_to_one_without(
    tmp_path: Path,
) -> None:
    test = read(written(tmp_path / "A.csv", twins.battery_archive))
    assert test.readings["temperature(c)"].to_pylist() == CELL.temperature.tolist()
    empty = {"Cell_Temperature (C)": [""] * len(CELL)}
    test = read(written(tmp_path / "B.csv", twins.battery_archive, empty))
    assert set(test.readings["temperature(c)"].to_pylist()) == {20.0}
    sensors = {"Aux_Temperature_1 (C)": [""] * len(CELL), "Aux_Temperature_2 (C)": CELL.temperature.tolist()}
    test = read(written(tmp_path / "C.csv", twins.mits10, sensors))
    assert test.readings["temperature(c)"].to_pylist() == CELL.temperature.tolist()


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("Twin_Channel_5_Wb_2.csv", {"test_name": "Twin", "channel": "5"}),
        ("Twin_2_Channel_1-053_Wb_1_3_14_24.CSV", {"test_name": "Twin_2", "channel": "1-053"}),
        ("Twin.csv", {}),
    ],
)
def test_the_name_of_a_file_states_the_test_and_its_channel(tmp_path: Path, name: str, stated: dict[str, str]) -> None:
    assert read(written(tmp_path / name)).about.metadata == stated


def test_titles_without_units_are_said_to_be_taken_in_those_of_arbin(tmp_path: Path) -> None:
    said = "titles name no units"
    test = read(written(tmp_path / "A.csv", twins.without_units))
    assert any(said in line for line in test.about.assumptions)
    assert not any(said in line for line in read(written(tmp_path / "B.csv")).about.assumptions)


def test_energies_that_a_file_has_not_are_computed_and_flagged(tmp_path: Path) -> None:
    test = read(written(tmp_path / "A.csv", twins.calce))
    assert test.about.integrated == ("charge_energy(wh)", "discharge_energy(wh)")


def test_units_in_titles_are_converted(tmp_path: Path) -> None:
    columns = twins.mits7(CELL)
    renamed = {title.replace("Current(A)", "Current(mA)"): values for title, values in columns.items()}
    renamed["Current(mA)"] = (CELL.current * 1000).tolist()
    test = read(twins.write_text(tmp_path / "A.csv", renamed))
    assert test.readings["current(a)"].to_numpy() == pytest.approx(CELL.current, rel=1e-15)


def test_dates_have_the_month_first_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    """In a test that is over on its first day, nothing shows which number of 03/04/2024 is the month."""
    columns = {title: values[:3] for title, values in twins.mits7(CELL).items()}
    columns["Date_Time"] = [f"03/04/2024 10:0{minute}:00" for minute in range(3)]
    columns["Test_Time(s)"] = [60.0, 120.0, 180.0]
    path = twins.write_text(tmp_path / "A.csv", columns)
    assert read(path).test_id == "2024-03-04T10:00:00"
    assert any("month first" in line for line in read(path).about.assumptions)
    assert read(path, dates="dmy").test_id == "2024-04-03T10:00:00"


def test_a_clock_without_am_and_pm_is_refused(tmp_path: Path) -> None:
    stamps = [f"{stamp:%m/%d/%Y %I:%M:%S}" for stamp in CELL.date_time.tolist()]
    said = refusal(written(tmp_path / "A.csv", changes={"Date_Time": stamps}))
    assert "A.csv, column Date_Time, row" in said
    assert "has lost AM and PM" in said


@pytest.mark.parametrize(
    ("title", "cell", "says"),
    [
        ("Voltage(V)", "high", "A.csv, column Voltage(V), row 5: 'high' is not a number"),
        ("Current(A)", "", "A.csv, column Current(A), row 5: the cell is empty"),
        ("Current(A)", "inf", "A.csv, column Current(A), row 5"),
        ("Cycle_Index", "1.5", "A.csv, column Cycle_Index, row 5: 1.5 is not a whole number"),
        ("Date_Time", "yesterday", "A.csv, column Date_Time, row 5"),
        ("Voltage(V)", "3.4,5", "A.csv, row 5: has 17 cells, and the header has 16"),
    ],
)
def test_a_bad_cell_is_one_line_with_its_place(tmp_path: Path, title: str, cell: str, says: str) -> None:
    values = [*twins.mits7(CELL)[title]]
    values[3] = cell
    said = refusal(written(tmp_path / "A.csv", changes={title: values}))
    assert says in said
    assert "\n" not in said


def test_a_title_with_an_unknown_unit_is_refused(tmp_path: Path) -> None:
    path = twins.write_text(
        tmp_path / "A.csv",
        {title.replace("(A)", "(hp)"): values for title, values in twins.mits7(CELL).items()},
    )
    assert "A.csv, column Current(hp), row 1: has the unit 'hp', which is not known" in refusal(path)


def test_a_header_without_readings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "A.csv"
    path.write_text(",".join(twins.mits7(CELL)) + "\n")
    assert "has a header but no readings" in refusal(path)


@pytest.mark.parametrize(
    "content",
    [
        "Test Time / s,Voltage / V,Current / A,Cycle_Index\n1,3.7,0.1,1\n",
        "DataPoint,Cycle Index,Step Index,Step Type,Time,Current(A),Voltage(V)\n",
        "Time_sec, Current_Amp, Cycle_Index, Test_Time(s) and Voltage(V)\n",
        "Rec#\tCyc#\tStep\tTest (Sec)\tAmps\tVolts\n",
    ],
)
def test_a_text_of_another_maker_is_not_claimed(content: str) -> None:
    assert not READER.recognises(FileSample(".csv", content.encode()))


def test_open_dates_of_a_user_are_no_guess(tmp_path: Path) -> None:
    """The order that a user gives holds, even where the file could not be in it."""
    with pytest.raises((BadWorkbookError, UndatedWorkbookError), match="Date_Time"):
        read(written(tmp_path / "A.csv"), dates="dmy")


def outcome(path: Path) -> str | int:
    """How many readings a file gives, or the line that refuses it."""
    try:
        return READER.read(path, ReadOptions(path.name)).row_count
    except BadWorkbookError as error:
        return str(error)


@pytest.mark.parametrize("make", [twins.mits7, twins.mits10, twins.without_units, twins.battery_archive, twins.calce])
def test_damage_anywhere_ends_in_readings_or_one_line(tmp_path: Path, make: Callable[[TwinCell], Columns]) -> None:
    columns = {title: values[:40] for title, values in make(CELL).items()}
    whole = twins.write_text(tmp_path / "A.csv", columns).read_bytes()
    choose = np.random.default_rng(20)
    path = tmp_path / "B.csv"
    outcomes = []
    for _ in range(200):
        content = bytearray(whole)
        start, length = int(choose.integers(len(content))), int(choose.choice((1, 2, 16, 400)))
        kinds = (choose.bytes(length), bytes(length), b"", b"9" * length, b'"', b",", b"\n", b"-1e308")
        content[start : start + length] = kinds[int(choose.integers(len(kinds)))]
        path.write_bytes(content)
        outcomes.append(outcome(path))
    lines = [one for one in outcomes if isinstance(one, str)]
    assert 20 < len(lines) < 200, "damage that is seen"
    assert [line for line in lines if not line.startswith("B.csv") or "\n" in line] == []


def test_statistics_are_no_readings(tmp_path: Path) -> None:
    path = written(
        tmp_path / "A_StatisticByCycle.csv",
        changes={
            "Charge_Time(s)": CELL.test_time,
            "DisCharge_Time(s)": CELL.test_time,
            "Vmax_On_Cycle(V)": CELL.voltage,
        },
    )
    assert not READER.recognises(FileSample.of(path))
    assert "is Arbin's statistics of cycles or steps" in refusal(path)


def test_titles_with_nothing_below_them_are_columns_that_a_file_has_not(tmp_path: Path) -> None:
    nothing = [""] * len(CELL)
    columns = ("Step_Time(s)", "Step_Index", "Cycle_Index", "Data_Point")
    full = read(written(tmp_path / "A.csv", changes=dict.fromkeys(columns, nothing)))
    bare = read(
        written(tmp_path / "B.csv", changes={"Step_Time(s)": None, "Step_Index": None, "Cycle_Index": CELL.cycle})
    )
    assert "the file has no cycles; one begins where a charge follows a discharge" in full.about.assumptions
    assert "the file has no steps; they were told by the current" in full.about.assumptions
    assert full.readings["step_index"].equals(bare.readings["step_index"])
    assert full.readings["charge_capacity(ah)"].equals(bare.readings["charge_capacity(ah)"])


def test_a_column_that_is_empty_in_part_is_refused(tmp_path: Path) -> None:
    cycles = ["", *map(str, CELL.cycle[1:])]
    assert "column Cycle_Index, row 2: the cell is empty" in refusal(
        written(tmp_path / "A.csv", changes={"Cycle_Index": cycles})
    )


def test_rows_of_a_database_are_sorted_by_their_numbers(tmp_path: Path) -> None:
    columns = twins.mits7(CELL)
    middle = len(CELL) // 2
    turned: Columns = {title: [*values[middle:], *values[:middle]] for title, values in columns.items()}
    test = read(twins.write_text(tmp_path / "A.csv", turned))
    assert test.readings.equals(read(written(tmp_path / "A.csv")).readings)


@pytest.mark.parametrize("title", ["Channel_Index", "Test_ID"])
def test_tests_of_several_channels_in_one_table_are_cells_of_their_own(tmp_path: Path, title: str) -> None:
    columns = twins.mits7(CELL)
    both = {name: [*values, *values] for name, values in columns.items()}
    path = twins.write_text(tmp_path / "A.csv", {title: [7] * len(CELL) + [9] * len(CELL), **both})
    book = READER.read(path, ReadOptions(path.name))
    assert [test.cell_id for test in book.tests] == ["A_7", "A_9"]
    for test in book.tests:
        assert_same_cycles(twins.followed(test), CELL, 1e-12, first=1)
    named = READER.read(path, ReadOptions(path.name, channel_cells={"7": "LEFT", "9": "RIGHT"}))
    assert [test.cell_id for test in named.tests] == ["LEFT", "RIGHT"]


def test_tests_one_after_the_other_in_one_table_are_of_one_cell(tmp_path: Path) -> None:
    columns = twins.mits7(CELL)
    later = [str(one).replace("T", " ") for one in (CELL.date_time + np.timedelta64(30, "D")).astype("datetime64[s]")]
    dates = [str(one).replace("T", " ") for one in CELL.date_time.astype("datetime64[s]")]
    both: Columns = {name: [*values, *values] for name, values in columns.items()}
    both["Date_Time"] = [*dates, *later]
    path = twins.write_text(tmp_path / "A.csv", {"Test_ID": [1] * len(CELL) + [2] * len(CELL), **both})
    assert [test.cell_id for test in READER.read(path, ReadOptions(path.name)).tests] == ["A", "A"]


def test_tests_that_a_script_put_below_each_other_stay_tests_of_their_own(tmp_path: Path) -> None:
    columns = twins.mits7(CELL)
    later = [str(one).replace("T", " ") for one in (CELL.date_time + np.timedelta64(30, "D")).astype("datetime64[s]")]
    dates = [str(one).replace("T", " ") for one in CELL.date_time.astype("datetime64[s]")]
    both: Columns = {name: [*values, *values] for name, values in columns.items()}
    both["Date_Time"] = [*dates, *later]
    path = twins.write_text(tmp_path / "A.csv", both)
    tests = READER.read(path, ReadOptions(path.name)).tests
    assert [test.cell_id for test in tests] == ["A", "A"]
    for test in tests:
        assert_same_cycles(twins.followed(test), CELL, 1e-12, first=1)
