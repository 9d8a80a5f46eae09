"""PEC's exports: thousandths, energies that are called capacities, and several cells in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.asked import Asked
from support.twins.cell import TwinCell, assert_same_cycles, twin_cell
from support.twins.pec import TITLES, Placed, lines_of, write_text

from producer.readers.base import FileSample
from producer.readers.pec import READER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRECISION = 1e-5
"""What three decimals of mAh leave of the gains of a cycle of this cell, as a share of one."""


ASKED = Asked(READER)
read, only, refusal = ASKED.read, ASKED.only, ASKED.refusal


def renamed(titles: dict[str, str]) -> list[str]:
    return [titles.get(title, title) for title in TITLES]


def changed(line: str, title: str, cell: str) -> str:
    cells = line.split(",")
    cells[TITLES.index(title)] = cell
    return ",".join(cells)


@pytest.fixture(scope="module")
def cell() -> TwinCell:
    return twin_cell()


@pytest.fixture(scope="module")
def lines(cell: TwinCell) -> list[str]:
    return lines_of(Placed(cell))


def test_a_file_gives_the_cell_s_cycles_with_the_first_as_number_0(
    tmp_path: Path, cell: TwinCell, lines: list[str]
) -> None:
    test = only(write_text(tmp_path / "CELL_1.csv", lines))
    assert_same_cycles(test, cell, PRECISION, first=0)
    assert (test.cell_id, test.test_id) == ("CELL_1", "2024-03-14T09:35:15")
    assert test.readings["date_time"].to_pylist() == cell.date_time.tolist()
    assert test.readings["step_time(s)"].to_pylist() == cell.step_time.tolist()
    assert test.about.assumptions == ("counters begin again with each cycle; they were added up over the test",)


def test_metadata_are_those_of_the_test_and_its_place_and_no_person_is_named(tmp_path: Path, lines: list[str]) -> None:
    assert only(write_text(tmp_path / "CELL_1.csv", lines)).about.metadata == {
        "schedule": "formation and cycles",
        "started_at": "03/14/2024 09:30:15",
        "channel": "SBT0550-001-1",
        "test_name": "187",
        "rack": "SBT0550",
        "shelf": "001",
        "position": "1",
    }


@pytest.mark.parametrize("preamble", [(), ("Test:,187",) * 40])
def test_the_preamble_may_have_any_number_of_lines(
    tmp_path: Path, cell: TwinCell, lines: list[str], preamble: tuple[str, ...]
) -> None:
    assert_same_cycles(only(write_text(tmp_path / "CELL_1.csv", lines, preamble=preamble)), cell, PRECISION, first=0)


def test_energies_are_told_from_capacities_by_their_unit_in_any_order(
    tmp_path: Path, cell: TwinCell, lines: list[str]
) -> None:
    order = [*TITLES]
    for one, two in (("Charge Capacity (mAh)", "Charge Capacity (mWh)"), ("Voltage (mV)", "Current (mA)")):
        a, b = order.index(one), order.index(two)
        order[a], order[b] = order[b], order[a]
    places = [TITLES.index(title) for title in order]
    moved = [",".join(line.split(",")[place] for place in places) for line in lines]
    assert_same_cycles(only(write_text(tmp_path / "CELL_1.csv", moved, titles=order)), cell, PRECISION, first=0)


def test_a_current_without_a_sign_gets_that_of_the_counters(tmp_path: Path, cell: TwinCell) -> None:
    test = only(write_text(tmp_path / "CELL_1.csv", lines_of(Placed(cell), unsigned=True)))
    assert_same_cycles(test, cell, PRECISION, first=0)
    assert any("no sign" in line for line in test.about.assumptions)


@pytest.mark.parametrize(
    ("unit", "shown"),
    [
        ("(Hours in hh:mm:ss.xxx)", lambda s: f"{int(s) // 3600:02}:{int(s) // 60 % 60:02}:{int(s) % 60:02}.000"),
        ("(Decimal Hours)", lambda s: f"{s / 3600:.10f}"),
        ("(Minutes)", lambda s: f"{s / 60:.8f}"),
    ],
)
def test_times_may_be_in_other_units(
    tmp_path: Path, cell: TwinCell, lines: list[str], unit: str, shown: Callable[[float], str]
) -> None:
    rows = [
        changed(changed(line, "Total Time (Seconds)", shown(test)), "Step Time (Seconds)", shown(step))
        for line, test, step in zip(lines, cell.test_time, cell.step_time, strict=True)
    ]
    names = {f"{title} (Seconds)": f"{title} {unit}" for title in ("Total Time", "Step Time")}
    readings = only(write_text(tmp_path / "CELL_1.csv", rows, titles=renamed(names))).readings
    assert readings["test_time(s)"].to_pylist() == pytest.approx(cell.test_time.tolist(), abs=1e-6)
    assert readings["step_time(s)"].to_pylist() == pytest.approx(cell.step_time.tolist(), abs=1e-6)


def test_dates_have_the_month_first_unless_the_user_says_otherwise(tmp_path: Path, lines: list[str]) -> None:
    path = write_text(tmp_path / "CELL_1.csv", [line.replace("03/14/2024", "03/04/2024") for line in lines[:10]])
    assert only(path).test_id == "2024-03-04T09:35:15"
    assert read(path, dates="dmy").tests[0].test_id == "2024-04-03T09:35:15"


def test_the_cell_s_temperature_is_preferred_and_damaged_signs_do_no_harm(
    tmp_path: Path, cell: TwinCell, lines: list[str]
) -> None:
    test = only(write_text(tmp_path / "a.csv", lines))
    assert test.readings["temperature(c)"].to_pylist() == cell.temperature.tolist()
    without = [changed(line, "Cell surface temperature (ÃÂ°C)", "") for line in lines]
    test = only(write_text(tmp_path / "b.csv", without))
    assert set(test.readings["temperature(c)"].to_pylist()) == {19.5}


def test_a_temperature_that_is_measured_late_is_read(tmp_path: Path, lines: list[str]) -> None:
    ambient, surface = "Ambient temperature (ÃÂ°C)", "Cell surface temperature (ÃÂ°C)"
    rows = [changed(changed(line, ambient, ""), surface, "") for line in lines[:450]]
    rows.append(changed(lines[450], surface, "31.5"))
    readings = only(write_text(tmp_path / "a.csv", rows)).readings
    assert readings["temperature(c)"].to_pylist() == [None] * 450 + [31.5]


def test_a_resistance_of_zero_is_none(tmp_path: Path, lines: list[str]) -> None:
    measured = [*lines[:5], changed(lines[5], "Internal Resistance 1 (mOhm)", "2.5"), *lines[6:10]]
    readings = only(write_text(tmp_path / "a.csv", measured)).readings
    assert readings["internal_resistance(ohm)"].to_pylist() == [None] * 5 + [0.0025] + [None] * 4


def test_several_cells_of_a_file_are_cells_of_their_own(tmp_path: Path, cell: TwinCell) -> None:
    one, two = lines_of(Placed(cell)), lines_of(Placed(cell, position="2"))
    mixed = [line for pair in zip(one, two, strict=True) for line in pair]
    path = write_text(tmp_path / "LOT_1.csv", mixed)
    workbook = read(path)
    assert [(test.cell_id, test.channel) for test in workbook.tests] == [
        ("LOT_1_SBT0550-001-1", "SBT0550-001-1"),
        ("LOT_1_SBT0550-001-2", "SBT0550-001-2"),
    ]
    for test in workbook.tests:
        assert_same_cycles(test, cell, PRECISION, first=0)
    named = read(path, channel_cells={"SBT0550-001-1": "A", "SBT0550-001-2": "B"})
    assert [test.cell_id for test in named.tests] == ["A", "B"]
    assert {test.cell_id for test in read(path, cell_id="X").tests} == {"X_SBT0550-001-1", "X_SBT0550-001-2"}


def test_an_error_in_a_file_of_several_cells_says_its_row(tmp_path: Path, cell: TwinCell) -> None:
    one, two = lines_of(Placed(cell))[:5], lines_of(Placed(cell, position="2"))[:5]
    two[3] = changed(two[3], "Step", "first")
    mixed = [line for pair in zip(one, two, strict=True) for line in pair]
    path = write_text(tmp_path / "a.csv", mixed, preamble=())
    assert refusal(path).startswith("a.csv, column Step, row 9: 'first' is not a number")


def test_a_cell_that_the_file_names_has_that_name_unless_the_user_says_another(tmp_path: Path, cell: TwinCell) -> None:
    path = write_text(tmp_path / "LOT_1.csv", lines_of(Placed(cell, cell_id="B-17")))
    assert only(path).cell_id == "B-17"
    assert [test.cell_id for test in read(path, cell_id="X").tests] == ["X"]


def test_two_tests_in_one_place_are_two_tests_of_one_cell(tmp_path: Path, cell: TwinCell, lines: list[str]) -> None:
    later = [line.replace("/2024", "/2025") for line in lines_of(Placed(cell, test="188"))]
    workbook = read(write_text(tmp_path / "CELL_1.csv", [*lines, *later]))
    assert [(test.cell_id, test.test_id[:4]) for test in workbook.tests] == [("CELL_1", "2024"), ("CELL_1", "2025")]
    assert [test.about.metadata["test_name"] for test in workbook.tests] == ["187", "188"]


@pytest.mark.parametrize(
    "head",
    [
        b"Test:,187\r\nStart Time:,02/22/2019 16:23:26\r\n#RESULTS CHECK\r\nVoltage,Ok\r\n",
        b"Test,Cell,Rack,Shelf,Position,Cell ID,Step\n",
        b"Test:,187\nTest;Cell;Rack;Shelf;Position;Step\n",
    ],
)
def test_a_file_is_recognised_by_its_titles_or_its_preamble(head: bytes) -> None:
    assert READER.recognises(FileSample(".csv", head))


@pytest.mark.parametrize(
    "head", [b"Test,Cell,Voltage (mV)\n", b"Results: Test,Cell,Rack,Shelf,Position\n", b"\x00\x01"]
)
def test_another_file_is_not_recognised(head: bytes) -> None:
    assert not READER.recognises(FileSample(".csv", head))


def test_missing_columns_cut_rows_and_words_end_in_one_line_with_the_place(tmp_path: Path, lines: list[str]) -> None:
    def said(rows: list[str], titles: dict[str, str] | None = None) -> str:
        return refusal(write_text(tmp_path / "a.csv", rows, titles=renamed(titles or {}), preamble=("Test:,187",)))

    assert said(lines, {"Position": "Place"}).startswith("a.csv: has no line that begins with Test, Cell, Rack")
    assert said(lines, {"Current (mA)": "Amount"}).startswith("a.csv, row 2: has no column for current")
    assert said(lines, {"Current (mA)": "Current"}).startswith("a.csv, column Current, row 2: names no unit")
    assert said(lines, {"Voltage (mV)": "Voltage (mX)"}).startswith(
        "a.csv, column Voltage (mX), row 2: has the unit 'mX'"
    )
    assert said([*lines[:5], lines[5][:-30]]).startswith("a.csv, row 8: has ")
    for title in ("Voltage (mV)", "Charge Capacity (mWh)", "Total Time (Seconds)", "Cycle", "Real Time"):
        assert said([*lines[:5], changed(lines[5], title, "high")]).startswith(f"a.csv, column {title}, row 8: ")
    assert said([]).startswith("a.csv, row 2: has a header but no readings")
