"""Tables that a mapping file describes: as text, Parquet and workbook, with any units, signs, counters and cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.twins import table
from support.twins.cell import assert_same_cycles, restarted, twin_cell

from producer.readers.base import BadWorkbookError, ReadOptions
from producer.readers.mapped import READER
from producer.readers.mapping_file import MappingFile
from producer.readers.usual_states import USUAL_STATES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from producer.readers.base import Workbook

CELL = twin_cell()
PRECISE = 1e-9


def read(path: Path, mapping: str = table.MAPPING, **options: object) -> Workbook:
    return READER.read(path, ReadOptions(path.name, mapping=MappingFile("mapping.yaml", mapping), **options))  # type: ignore[arg-type]


def write_parquet(path: Path, columns: dict[str, list[object]]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [("CELL_1.csv", table.write_text), ("CELL_1.parquet", write_parquet), ("CELL_1.xlsx", table.write_workbook)],
)
def test_a_table_gives_the_cycles_that_were_written(tmp_path: Path, name: str, write: Callable[..., Path]) -> None:
    (test,) = read(write(tmp_path / name, table.columns_of(CELL))).tests
    assert_same_cycles(test, CELL, PRECISE, energies=False)
    assert (test.cell_id, test.test_id) == ("CELL_1", "2024-03-14T09:35:15")
    assert test.readings["temperature(c)"].to_pylist() == CELL.temperature.tolist()
    assert test.about.metadata == {"time_zone": "Europe/Berlin"}
    assert test.about.reader == "table"


@pytest.mark.parametrize("counter", ["net", "both"])
def test_an_unsigned_current_gets_its_sign_from_the_state_and_one_counter_is_shared_out(
    tmp_path: Path, counter: str
) -> None:
    path = table.write_text(tmp_path / "CELL_1.csv", table.short_columns(CELL, counter))
    (test,) = read(path, table.SHORT_MAPPING.format(counter=counter)).tests
    assert_same_cycles(test, CELL, PRECISE, energies=False)


def test_a_sign_that_is_stated_is_never_turned_by_what_the_data_seems_to_say(tmp_path: Path) -> None:
    columns = {"t": [0.0, 60.0, 120.0], "i": [1.0, 1.0, 1.0], "u": [3.9, 3.8, 3.7], "x": [-1.0, 1.0, -1.0]}
    path = table.write_text(tmp_path / "a.csv", columns)
    mapping = "columns: {t: {quantity: test_time, unit: s}, i: current, u: voltage}\nsign: %s\n"
    for sign, current in (("charge positive", 1.0), ("discharge positive", -1.0)):
        (test,) = read(path, mapping % sign).tests
        assert test.readings["current(a)"].to_pylist() == [current] * 3


def test_rows_before_the_titles_and_below_them_are_left_out(tmp_path: Path) -> None:
    columns = {name: ["unit", *values] for name, values in table.columns_of(CELL).items()}
    rows = "header_row: 4\ndata_row: 6\n"
    for path in (
        table.write_text(tmp_path / "a.txt", columns, delimiter=";", before="x\n\ny;z\n"),
        table.write_workbook(tmp_path / "a.xlsx", columns, before=3),
    ):
        (test,) = read(path, f"{table.MAPPING}{rows}sheet: Daten\n").tests
        assert_same_cycles(test, CELL, PRECISE, energies=False)


def test_a_cell_of_a_workbook_is_named_as_a_spreadsheet_counts_its_row(tmp_path: Path) -> None:
    columns = {name: ["unit", *values] for name, values in table.columns_of(CELL).items()}
    columns["Spannung"][3] = "high"
    path = table.write_workbook(tmp_path / "a.xlsx", columns, before=3)
    with pytest.raises(
        BadWorkbookError, match=r"^a\.xlsx, sheet Daten, column Spannung, row 8: 'high' is not a number"
    ):
        read(path, f"{table.MAPPING}header_row: 4\ndata_row: 6\n")


def test_titles_are_found_below_a_preamble_without_being_told(tmp_path: Path) -> None:
    for path in (
        table.write_text(tmp_path / "a.txt", table.columns_of(CELL), delimiter="\t", before="lab\n\nmore\n"),
        table.write_workbook(tmp_path / "a.xlsx", table.columns_of(CELL), before=5),
    ):
        (test,) = read(path).tests
        assert_same_cycles(test, CELL, PRECISE, energies=False)


def test_decimals_behind_a_comma_are_read(tmp_path: Path) -> None:
    path = table.write_text(tmp_path / "a.csv", table.columns_of(CELL), delimiter=";", decimal=",")
    (test,) = read(path).tests
    assert_same_cycles(test, CELL, PRECISE, energies=False)


def test_times_may_be_durations_or_follow_from_dates(tmp_path: Path) -> None:
    hours: list[object] = [f"{int(t) // 3600}:{int(t) % 3600 // 60:02}:{int(t) % 60:02}" for t in CELL.test_time]
    columns = table.columns_of(CELL) | {"Zeit": hours}
    (test,) = read(
        table.write_text(tmp_path / "a.csv", columns), table.MAPPING.replace("unit: min", "unit: duration")
    ).tests
    assert test.readings["test_time(s)"].to_pylist() == CELL.test_time.tolist()
    without = "\n".join(line for line in table.MAPPING.splitlines() if "Zeit" not in line)
    (test,) = read(tmp_path / "a.csv", without).tests
    assert test.readings["test_time(s)"].to_pylist() == (CELL.test_time - CELL.test_time[0]).tolist()
    assert any("taken from its dates" in one for one in test.about.assumptions)


def test_a_column_tells_the_cell_and_each_is_a_test_of_its_own(tmp_path: Path) -> None:
    one = table.columns_of(CELL)
    rows = len(CELL)
    both: dict[str, list[object]] = {
        name: [x for value in values for x in (value, value)] for name, values in one.items()
    }
    both["Zelle"] = ["A", "B"] * rows
    path = table.write_text(tmp_path / "lab.csv", both)
    mapping = table.MAPPING.replace("columns:\n", "columns:\n  Zelle: cell\n")
    tests = read(path, mapping).tests
    assert [test.cell_id for test in tests] == ["A", "B"]
    for test in tests:
        assert_same_cycles(test, CELL, PRECISE, energies=False)
    assert [test.cell_id for test in read(path, mapping, cell_id="X").tests] == ["X_A", "X_B"]
    assert [test.cell_id for test in read(path, mapping, channel_cells={"B": "C"}).tests] == ["A", "C"]
    bad = both | {"Zelle": ["A", "B", "", *["A"] * (2 * rows - 3)]}
    with pytest.raises(BadWorkbookError, match=r"^bad\.csv, column Zelle, row 4: the cell is empty"):
        read(table.write_text(tmp_path / "bad.csv", bad), mapping)


def test_channels_of_one_file_are_cells_that_begin_with_its_name(tmp_path: Path) -> None:
    columns = table.columns_of(CELL) | {"Kanal": [1 + number % 2 for number in range(len(CELL))]}
    path = table.write_text(tmp_path / "lab.csv", columns)
    mapping = table.MAPPING.replace("columns:\n", "columns:\n  Kanal: channel\n")
    tests = read(path, mapping).tests
    assert [(test.cell_id, test.channel) for test in tests] == [("lab_1", "1"), ("lab_2", "2")]


def test_the_mapping_names_the_cell_where_the_user_does_not(tmp_path: Path) -> None:
    path = table.write_text(tmp_path / "lab.csv", table.columns_of(CELL))
    assert read(path, f"{table.MAPPING}cell: CELL_7\n").tests[0].cell_id == "CELL_7"
    assert read(path, f"{table.MAPPING}cell: CELL_7\n", cell_id="X").tests[0].cell_id == "X"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            ("Spannung:", "Voltage:"),
            r"no line has all columns that mapping\.yaml names \(Zeit, .*Voltage.*\); the first line",
        ),
        (("unit: mV", "unit: mX"), r"mapping\.yaml, line 4, columns\.Spannung\.unit: 'mX' is not one of V, "),
        (
            ("sign: dis", "sign: this"),
            r"mapping\.yaml, line 11, sign: 'thischarge positive' is not one of charge positive",
        ),
        (("counters: step", "counters: [step"), r"mapping\.yaml, line 13: is no YAML"),
    ],
)
def test_a_mapping_that_does_not_fit_is_one_line_with_its_place(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    path = table.write_text(tmp_path / "a.csv", table.columns_of(CELL))
    with pytest.raises(BadWorkbookError, match=rf"^a\.csv.*: {says}") as caught:
        read(path, table.MAPPING.replace(*change))
    assert "\n" not in str(caught.value)


def test_a_title_that_a_named_row_lacks_is_said_with_its_line_in_the_mapping(tmp_path: Path) -> None:
    path = table.write_text(tmp_path / "a.csv", table.columns_of(CELL))
    mapping = table.MAPPING.replace("Spannung:", "Voltage:") + "header_row: 1\n"
    with pytest.raises(
        BadWorkbookError, match=r"column Voltage, row 1: is not there, and mapping\.yaml, line 4, names it"
    ):
        read(path, mapping)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"u": ["3.7", "high", "3.6"]}, r"^a\.csv, column u, row 3: 'high' is not a number"),
        ({"what": ["x", "y", "z"]}, r"^a\.csv, column what, row 2: says nowhere what charges"),
        ({"n": ["1", "1.5", "2"]}, r"^a\.csv, column n, row 3: 1\.5 is not a whole number"),
    ],
)
def test_a_value_that_cannot_be_taken_is_one_line_with_its_place(
    tmp_path: Path, columns: dict[str, list[object]], says: str
) -> None:
    whole = {name: values[:3] for name, values in table.short_columns(CELL, "net").items()}
    path = table.write_text(tmp_path / "a.csv", whole | columns)
    with pytest.raises(BadWorkbookError, match=says):
        read(path, table.SHORT_MAPPING.format(counter="net"))


def test_a_time_has_to_have_a_unit_and_other_quantities_have_that_of_the_contract(tmp_path: Path) -> None:
    columns = {"t": [0.0, 60.0], "i": [1.0, 1.0], "u": [3.9, 3.8]}
    path = table.write_text(tmp_path / "a.csv", columns)
    with pytest.raises(
        BadWorkbookError, match=r"column t, row 1: names no unit, and mapping\.yaml, line 1, names none"
    ):
        read(path, "columns: {t: test_time, i: current, u: voltage}\n")
    (test,) = read(path, "columns: {t: {quantity: test_time, unit: min}, i: current, u: voltage}\n").tests
    assert test.readings["test_time(s)"].to_pylist() == [0.0, 3600.0]
    assert test.readings["voltage(v)"].to_pylist() == columns["u"]


def test_a_table_without_a_mapping_is_answered_with_the_command(tmp_path: Path) -> None:
    path = table.write_text(tmp_path / "run 7.csv", table.columns_of(CELL))
    with pytest.raises(BadWorkbookError) as refused:
        READER.read(path, ReadOptions(path.name))
    said = f"run 7.csv: is a table without a mapping file; `battery columns '{path}'` proposes one"
    assert str(refused.value) == said
    with pytest.raises(BadWorkbookError, match=r"`battery columns 'in a zip.csv'` proposes one"):
        READER.read(path, ReadOptions("in a zip.csv"))


def test_numbers_are_rounded_nowhere(tmp_path: Path) -> None:
    (test,) = read(write_parquet(tmp_path / "a.parquet", table.columns_of(CELL))).tests
    assert np.allclose(test.readings["voltage(v)"].to_numpy(), CELL.voltage, rtol=1e-15)


PLAIN = """columns:
  t: {quantity: test_time, unit: s}
  i: current
  u: voltage
  c: cycle
"""


def plain(**more: list[float]) -> dict[str, list[object]]:
    """The simulated cell by its shortest names, and other columns."""
    columns = {"t": CELL.test_time, "i": CELL.current, "u": CELL.voltage, "c": CELL.cycle}
    return {name: list(values) for name, values in {**{n: v.tolist() for n, v in columns.items()}, **more}.items()}


NET = CELL.charge_capacity - CELL.discharge_capacity


@pytest.mark.parametrize(
    ("quantity", "values"),
    [("discharge_capacity", (-NET).tolist()), ("capacity", NET.tolist())],
    ids=["a simulation's", "a cycler's"],
)
def test_a_counter_that_falls_little_by_little_is_net_without_a_word_in_the_mapping(
    tmp_path: Path, quantity: str, values: list[float]
) -> None:
    path = table.write_text(tmp_path / "a.csv", plain(q=values))
    (test,) = read(path, f"{PLAIN}  q: {quantity}\n").tests
    assert_same_cycles(test, CELL, PRECISE, energies=False)
    assert any("it was taken as net" in line for line in test.about.assumptions)


def test_a_counter_of_one_direction_that_begins_again_is_not_net(tmp_path: Path) -> None:
    path = table.write_text(tmp_path / "a.csv", plain(q=restarted(CELL.discharge_capacity, CELL.cycle).tolist()))
    (test,) = read(path, f"{PLAIN}  q: discharge_capacity\n").tests
    assert not any("net" in line for line in test.about.assumptions)
    total = test.readings["discharge_capacity(ah)"].to_numpy()[-1]
    assert total == pytest.approx(CELL.discharge_capacity[-1], rel=PRECISE)


def test_times_that_begin_again_with_each_cycle_go_on_and_it_is_said(tmp_path: Path) -> None:
    began = np.array([CELL.test_time[np.argmax(CELL.cycle == one)] for one in CELL.cycle])
    path = table.write_text(tmp_path / "a.csv", plain() | {"t": (CELL.test_time - began).tolist()})
    (test,) = read(path, PLAIN).tests
    times = test.readings["test_time(s)"].to_numpy()
    assert (np.diff(times) >= 0).all()
    between = np.diff(CELL.test_time)[np.diff(CELL.cycle) > 0].sum()  # nothing tells how long cycles were apart
    assert times[-1] == pytest.approx(np.ptp(CELL.test_time) - between)
    assert "the time of the test begins again in the file; it was added up" in test.about.assumptions


@pytest.mark.parametrize(("seconds", "unit"), [(60.0, "min"), (3600.0, "h"), (1e-3, "ms")])
def test_a_unit_of_times_that_the_dates_deny_is_refused(tmp_path: Path, seconds: float, unit: str) -> None:
    dates = [str(one).replace("T", " ") for one in CELL.date_time.astype("datetime64[s]")]
    path = table.write_text(tmp_path / "a.csv", plain() | {"t": (CELL.test_time / seconds).tolist(), "d": list(dates)})
    with pytest.raises(BadWorkbookError, match=f"column t: holds {unit} by the dates of the file, not s"):
        read(path, f"{PLAIN}  d: date_time\n")


def test_what_digatron_calls_its_steps_is_known() -> None:
    assert [USUAL_STATES[text] for text in ("cha", "dch", "pau", "恒流充电")] == [1, -1, 0, 1]


STATES = """columns:
  t: {quantity: test_time, unit: s}
  n: step
  i: current
  u: voltage
  q: capacity
  s: state
"""


def by_states(path: Path, *, way: float, discharge: float = -1.0) -> Workbook:
    rows = [("Chrg", way, 0.0), ("Chrg", way, 0.1), ("ODD", discharge, 0.0), ("ODD", discharge, 0.1)]
    columns: dict[str, list[object]] = {
        "t": [0.0, 360.0, 720.0, 1080.0],
        "n": [1, 1, 2, 2],
        "i": [current for _, current, _ in rows],
        "u": [3.4, 3.6, 3.6, 3.4],
        "q": [capacity for *_, capacity in rows],
        "s": [state for state, *_ in rows],
    }
    return read(table.write_text(path, columns), STATES)


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_state_that_says_nothing_has_the_direction_of_its_signed_current(tmp_path: Path, way: float) -> None:
    (test,) = by_states(tmp_path / "a.csv", way=way, discharge=-way).tests
    assert test.readings["current(a)"].to_pylist() == [1.0, 1.0, -1.0, -1.0]
    assert test.readings["discharge_capacity(ah)"].to_pylist()[-1] == pytest.approx(0.1)
    assert any(line.startswith("the state ODD says no direction") for line in test.about.assumptions)


def test_a_state_that_says_nothing_of_a_current_without_a_sign_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BadWorkbookError, match=r"a\.csv, column s, row 4: 'ODD' says neither charge nor discharge"):
        by_states(tmp_path / "a.csv", way=1.0, discharge=1.0)


def test_counters_that_never_move_while_current_flows_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    path = table.write_text(tmp_path / "a.csv", plain(qc=[0.0] * len(CELL), qd=[0.0] * len(CELL)))
    (test,) = read(path, f"{PLAIN}  qc: charge_capacity\n  qd: discharge_capacity\n").tests
    assert_same_cycles(test, CELL, 2e-3, energies=False)
    said = "charge_capacity and discharge_capacity never move while current flows; they were left out"
    assert said in test.about.assumptions
    assert "charge_capacity(ah)" in test.about.integrated


@pytest.mark.parametrize("counters", ["", "counters: both\n", "counters: net\n"], ids=["untold", "both", "net"])
def test_a_capacity_of_charge_alone_gets_its_discharge_by_the_current_whatever_the_mapping_says(
    tmp_path: Path, counters: str
) -> None:
    path = write_parquet(tmp_path / "a.parquet", plain(q=CELL.charge_capacity.tolist()))
    (test,) = read(path, f"{PLAIN}  q: capacity\n{counters}").tests
    assert_same_cycles(test, CELL, 2e-3, energies=False)
    assert "discharge_capacity(ah)" in test.about.integrated
    assert "charge_capacity(ah)" not in test.about.integrated
    assert "capacity gains nothing in discharge; it was taken as that of charge alone" in test.about.assumptions


def test_a_clock_that_stands_still_runs_with_the_times_of_the_test(tmp_path: Path) -> None:
    columns: dict[str, list[object]] = plain() | {"d": ["2024-03-14 09:35:15"] * len(CELL)}
    path = table.write_text(tmp_path / "a.csv", columns)
    (test,) = read(path, f"{PLAIN}  d: date_time\n").tests
    dates = test.readings["date_time"].to_numpy()
    assert str(dates[0]) == "2024-03-14T09:35:15.000000"
    assert (dates[-1] - dates[0]) / np.timedelta64(1, "s") == pytest.approx(np.ptp(CELL.test_time))
    assert any("dates the start of the test alone" in line for line in test.about.assumptions)


@pytest.mark.parametrize(
    ("amps", "volts", "read_as"),
    [
        (1.0, [4.0, 3.9, 3.7], -1.0),
        (1.0, [3.7, 3.9, 4.0], 1.0),
        (-1.0, [3.7, 3.9, 4.0], 1.0),
        (1.0, [4, 3.6, 4.1], 1.0),
    ],
)
def test_a_current_of_one_sign_is_turned_where_the_voltage_goes_the_other_way(
    tmp_path: Path, amps: float, volts: list[float], read_as: float
) -> None:
    path = table.write_text(tmp_path / "a.csv", {"t": [0.0, 60.0, 120.0], "i": [amps] * 3, "u": list(volts)})
    (test,) = read(path, "columns: {t: {quantity: test_time, unit: s}, i: current, u: voltage}\n").tests
    assert test.readings["current(a)"].to_pylist() == [read_as] * 3
    assert any("its sign was turned" in line for line in test.about.assumptions) == (read_as != amps)


UNITS = "columns: {Zeit: test_time, Strom: current, Spannung: voltage, Temp: temperature, Schritt: step}\n"


@pytest.mark.parametrize("above", ["", "Digatron\nTest;7\n"])
def test_a_row_of_units_below_the_titles_is_understood_even_where_it_names_one_that_is_none(
    tmp_path: Path, above: str
) -> None:
    path = tmp_path / "a.csv"
    rows = "0:00:00;10,5;3700;25;1\n0:00:10;10,5;3710;25;1\n"
    path.write_text(f"{above}Zeit;Strom;Spannung;Temp;Schritt\n[h:m:s];[mA];[mV];[Grad];\n{rows}")
    (test,) = read(path, UNITS).tests
    assert test.readings["test_time(s)"].to_pylist() == [0.0, 10.0]
    assert test.readings["current(a)"].to_pylist() == [0.0105] * 2
    assert test.readings["voltage(v)"].to_pylist() == [3.7, 3.71]
    said = "the row below the titles names units: Zeit in h:m:s, Strom in mA, Spannung in mV"
    assert said in test.about.assumptions


def test_a_row_of_units_of_a_workbook_is_understood(tmp_path: Path) -> None:
    columns = {"Zeit": ["min", 0.0, 1.0], "Strom": ["mA", 10.5, 10.5], "Spannung": ["mV", 3700.0, 3710.0]}
    path = table.write_workbook(tmp_path / "a.xlsx", columns)
    (test,) = read(path, "columns: {Zeit: test_time, Strom: current, Spannung: voltage}\n").tests
    assert test.readings["test_time(s)"].to_pylist() == [0.0, 60.0]
    assert test.readings["voltage(v)"].to_pylist() == [3.7, 3.71]


def test_a_unit_of_the_mapping_or_the_title_comes_before_that_of_the_row_below(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t [s],i,u\nmin,mA,mV\n0,1,3.7\n10,1,3.8\n")
    text = "columns: {'t [s]': test_time, i: {quantity: current, unit: A}, u: {quantity: voltage, unit: V}}\n"
    (test,) = read(path, text).tests
    assert test.readings["test_time(s)"].to_pylist() == [0.0, 10.0]
    assert test.readings["current(a)"].to_pylist() == [1.0, 1.0]
    assert not any("row below" in line for line in test.about.assumptions)


def test_a_row_that_names_no_units_is_a_reading_that_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t [s],i,u\n-,none,none\n0,1,3.7\n10,1,3.8\n")
    with pytest.raises(BadWorkbookError, match=r"row 2"):
        read(path, "columns: {'t [s]': test_time, i: current, u: voltage}\n")


@pytest.mark.parametrize(("zone", "kept"), [("", "UTC+01:00"), ("time: {zone: Europe/Berlin}\n", "Europe/Berlin")])
def test_the_zone_of_dates_with_an_offset_is_kept_unless_the_mapping_names_one(
    tmp_path: Path, zone: str, kept: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("d,i,u\n2024-03-14T09:35:00+01:00,1,3.7\n2024-03-14T09:35:10+01:00,1,3.8\n")
    (test,) = read(path, f"columns: {{d: date_time, i: current, u: voltage}}\n{zone}").tests
    assert test.about.metadata["time_zone"] == kept


@pytest.mark.parametrize(
    ("cells", "volts"),
    [(("3,7", "3,85"), [3.7, 3.85]), (("3,700", "3,800"), None), (("1,203.5", "12"), [1203.5, 12.0])],
    ids=["decimals", "either", "thousands"],
)
def test_decimal_commas_in_quotes_between_commas_are_told_from_thousands(
    tmp_path: Path, cells: tuple[str, str], volts: list[float] | None
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("".join(["t [s],i,u\n", *(f'{n},1,"{cell}"\n' for n, cell in enumerate(cells))]))
    text = "columns: {'t [s]': test_time, i: current, u: voltage}\n"
    if volts is None:  # nothing tells
        with pytest.raises(BadWorkbookError, match="'3,700' is not a number"):
            read(path, text)
        return
    (test,) = read(path, text).tests
    assert test.readings["voltage(v)"].to_pylist() == volts


@pytest.mark.parametrize("kind", [pa.timestamp("us", "Europe/Berlin"), pa.timestamp("ns", "UTC")])
def test_dates_of_parquet_with_a_zone_are_taken_in_utc_and_that_is_kept(tmp_path: Path, kind: pa.DataType) -> None:
    stamps = pa.array([1_700_000_000, 1_700_000_010], pa.timestamp("s", "UTC")).cast(kind)
    pq.write_table(pa.table({"d": stamps, "i": [1.0, 1.0], "u": [3.7, 3.8]}), tmp_path / "a.parquet")
    (test,) = read(tmp_path / "a.parquet", "columns: {d: date_time, i: current, u: voltage}\n").tests
    assert test.about.metadata["time_zone"] == "UTC"
    assert str(test.readings["date_time"][0].as_py()) == "2023-11-14 22:13:20"


def test_dates_that_count_from_1970_are_in_utc(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("d,i,u\n1700000000,1,3.7\n1700000010,1,3.8\n")
    (test,) = read(path, "columns: {d: date_time, i: current, u: voltage}\n").tests
    assert test.about.metadata["time_zone"] == "UTC"
