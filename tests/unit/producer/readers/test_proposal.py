"""Mapping files that are proposed: what columns are taken for, where that is unsure, and that it reads the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openpyxl
import pytest
from support.twins import table
from support.twins.cell import assert_same_cycles, twin_cell

from producer.readers.base import BadWorkbookError, ReadOptions
from producer.readers.guesses import guess
from producer.readers.look import look
from producer.readers.mapped import READER
from producer.readers.mapping import mapping_of
from producer.readers.mapping_file import MappingFile
from producer.readers.proposal import propose

if TYPE_CHECKING:
    from pathlib import Path

CELL = twin_cell()


def proposed(path: Path) -> str:
    return propose(look(path), path.name)


@pytest.mark.parametrize(
    ("title", "quantity", "unit"),
    [
        ("Spannung [mV]", "voltage", ""),
        ("Current_mA", "current", "mA"),
        ("Time_sec", "test_time", "sec"),
        ("Test Time / h", "test_time", ""),
        ("test_time_second", "test_time", "second"),
        ("Rec#", "data_point", ""),
        ("Q-", "discharge_capacity", "Ah"),
        ("Barcode", "cell", ""),
        ("Voltage#V", "voltage", ""),
        ("Program Duration#s", "test_time", ""),
        ("Current_measured", "current", "A"),
        ("Terminal voltage [V]", "voltage", ""),
        ("Entladekapazität (Ah)", "discharge_capacity", ""),
        ("uts", "date_time", ""),
        ("Datenum_d", "date_time", ""),
        ("充电容量(mAh)", "charge_capacity", ""),
        ("AhCha#AH", "charge_capacity", ""),
        ("Amp-Hours AH", "capacity", "AH"),
        ("Working Electrode (V)", "voltage", ""),
        ("System Time", "date_time", ""),
        ("Step Mode", "state", ""),
        ("Strom", "current", "A"),
        ("Zeit", "test_time", "s"),
        ("Zyklus", "cycle", ""),
        ("Schritt", "step", ""),
        ("Entladung [Ah]", "discharge_capacity", ""),
        ("Ladung [Ah]", "charge_capacity", ""),
        ("Zellspannung_mV", "voltage", "mV"),
        ("Courant (mA)", "current", ""),
        ("Tension", "voltage", "V"),
        ("Capacité de décharge (Ah)", "discharge_capacity", ""),
        ("Temps écoulé (s)", "test_time", ""),
        ("Tensión (V)", "voltage", ""),
        ("Corriente", "current", "A"),
        ("Tiempo (s)", "test_time", ""),
        ("Ciclo", "cycle", ""),
        ("电压(V)", "voltage", ""),
        ("电流", "current", "A"),
        ("容量/mAh", "capacity", ""),
        ("时间(s)", "test_time", ""),
        ("循环", "cycle", ""),
        ("電圧(V)", "voltage", ""),
    ],
)
def test_a_title_is_known_from_any_reader_or_from_what_people_write(title: str, quantity: str, unit: str) -> None:
    found = guess(title)
    assert found is not None
    assert (found.quantity, found.unit) == (quantity, unit)


@pytest.mark.parametrize(("titles", "is_doubted"), [(("Ladung", "Entladung"), False), (("Ladung", "Temperatur"), True)])
def test_a_charge_beside_a_discharge_is_of_one_direction_and_alone_may_be_of_both(
    tmp_path: Path, titles: tuple[str, str], is_doubted: bool
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"t [s],i [A],u [V],{','.join(f'{one} [Ah]' for one in titles)}\n0,1,3.7,0,0\n10,1,3.8,1,0\n")
    assert ('"Ladung [Ah]": charge_capacity  # unsure: may be capacity' in proposed(path)) is is_doubted


def test_a_unit_that_the_title_does_not_write_is_a_guess_that_is_said() -> None:
    found = guess("voltage")
    assert found is not None
    assert found.unit == "V"
    assert "the title has no unit; V is a guess" in found.doubts


@pytest.mark.parametrize(("name", "write"), [("a.csv", table.write_text), ("a.xlsx", table.write_workbook)])
def test_a_proposal_reads_the_table_that_it_is_for(tmp_path: Path, name: str, write: object) -> None:
    columns = {
        "Zeit [min]": (CELL.test_time / 60).tolist(),
        "I / mA": (1e3 * CELL.current).tolist(),
        "Spannung / V": CELL.voltage.tolist(),
        "Zyklus": CELL.cycle.tolist(),
        "Schritt": CELL.step.tolist(),
        "Charge Capacity (mAh)": (1e3 * CELL.charge_capacity).tolist(),
        "Discharge Capacity (mAh)": (1e3 * CELL.discharge_capacity).tolist(),
        "mood": ["fine"] * len(CELL),
    }
    path = write(tmp_path / name, columns)  # type: ignore[operator]
    text = proposed(path)
    assert '# "mood": ?  # such as fine, fine' in text
    (test,) = READER.read(path, ReadOptions(name, mapping=MappingFile("m.yaml", text))).tests
    assert_same_cycles(test, CELL, 1e-9, energies=False)


def test_the_better_known_of_two_titles_is_proposed_and_the_other_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t,Total Time (Seconds),i,u\n187,0.0,1.0,3.7\n187,1.0,1.0,3.8\n")
    text = proposed(path)
    assert '  "Total Time (Seconds)": test_time\n' in text
    assert '  # "t": test_time  # Total Time (Seconds) is that already' in text


def test_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("zeit,strom,hum\n0.0,1.0,3.7\n1.0,1.0,3.8\n")
    assert "  # ?: voltage  # which column is it? it is needed" in proposed(path)


def test_the_row_of_titles_and_the_sheet_are_stated(tmp_path: Path) -> None:
    columns = {"t [s]": [1.0, 2.0], "i [A]": [0.1, 0.1], "u [V]": [3.7, 3.8]}
    text = proposed(table.write_workbook(tmp_path / "a.xlsx", columns, before=3))
    assert 'header_row: 4\nsheet: "Daten"\n' in text
    mapping = mapping_of(MappingFile("m.yaml", text))
    assert (mapping.header_row, mapping.sheet, len(mapping.columns)) == (4, "Daten", 3)


def test_titles_with_signs_of_yaml_are_quoted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('t: "x" #1,{i},u [V]\n0.0,1.0,3.7\n1.0,1.0,3.8\n')
    mapping = mapping_of(MappingFile("m.yaml", proposed(path) + '  "t: \\"x\\" #1": step_time\n'))
    assert [one.title for one in mapping.columns] == ["{i}", "u [V]", 't: "x" #1']


def test_a_text_without_a_table_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Minutes of the meeting\nthose present: two\n")
    with pytest.raises(
        BadWorkbookError, match=r"^notes\.txt: has no line of titles above lines with numbers; it begins"
    ):
        look(path)


@pytest.mark.parametrize("second", ["U [V]", "whatever"])
def test_a_table_of_two_columns_is_one_and_what_it_lacks_is_said(tmp_path: Path, second: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"Zeit,{second}\n0:00:00,3.7\n0:00:10,3.8\n")
    text = proposed(path)
    assert '  "Zeit": {quantity: test_time, unit: duration}\n' in text
    assert (
        "  # ?: current  # which column is it? it is needed: there are no capacities and no cycles without one" in text
    )


def test_what_will_be_computed_is_said_and_nothing_of_what_a_column_has(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t [s],i [A],u [V]\n0,1,3.7\n10,1,3.8\n")
    text = proposed(path)
    for said in ("capacities will be integrals of the current over time", "No column counts cycles", "1970-01-01"):
        assert said in text
    path.write_text("t [s],i [A],u [V],q [Ah],cycle,date\n0,1,3.7,0,1,2024-03-01\n10,1,3.8,1,1,2024-03-01\n")
    assert "# No column" not in proposed(path)


def test_states_are_sorted_as_far_as_they_are_known(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"{n},1,3.7,{state}\n" for n, state in enumerate(["PAU"] * 6 + ["CHA", "DCH", "XYZ"]))
    path.write_text(f"t [s],i [A],u [V],state\n{rows}")
    said = '# states: {charge: ["CHA"], discharge: ["DCH"], rest: ["PAU"]}  # sort them in: XYZ'
    assert said in proposed(path)


def test_other_sheets_with_a_table_are_named(tmp_path: Path) -> None:
    path = table.write_workbook(tmp_path / "a.xlsx", {"t [s]": [1.0, 2.0], "i [A]": [0.1, 0.1], "u [V]": [3.7, 3.8]})
    book = openpyxl.load_workbook(path)
    for row in (["Zyklus", "Kapazität", "Note"], [1, 1.0, 0.9]):
        book["Notizen"].append(row)
    book.save(path)
    assert 'sheet: "Daten"  # a mapping reads one sheet; Notizen has a table too' in proposed(path)


def test_a_capacity_that_is_the_same_in_each_row_is_no_counter(tmp_path: Path) -> None:
    path = table.write_text(
        tmp_path / "a.csv", {"Time": [0, 1, 2], "I": [-1, -1, -1], "U": [4, 3, 2], "Capacity": [1.5] * 3}
    )
    assert '  # "Capacity": capacity  # 1.5 in each row, so it hardly counts' in proposed(path)


def test_a_row_of_units_below_the_titles_gives_units_and_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.DTA"
    rows = "".join(f"\t{n}\t{10 * n}\t3.5\t0.1\t..\n" for n in range(4))
    path.write_text(f"EXPLAIN\nCURVE\tTABLE\t4\n\tPt\tT\tVf\tIm\tOver\n\t#\ts\tV vs. Ref.\tA\tbits\n{rows}")
    text = proposed(path)
    assert "data_row: 5" in text
    assert '"T": {quantity: test_time, unit: s}\n' in text
    (test,) = READER.read(path, ReadOptions("a.DTA", mapping=MappingFile("m.yaml", text))).tests
    assert test.readings["test_time(s)"].to_pylist() == [0.0, 10.0, 20.0, 30.0]
    assert test.readings["current(a)"].to_pylist() == [0.1] * 4


def test_a_first_row_without_numbers_that_names_no_units_is_a_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t,i,u,note\n-,-,-,start\n0,1,3.5,x\n10,1,3.6,x\n")
    assert "data_row" not in proposed(path)


def test_a_title_that_stands_twice_is_proposed_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t [s],i [A],u [V],u [V],\n0,1,3.7,3.9,\n10,1,3.8,3.9,\n")
    mapping = mapping_of(MappingFile("m.yaml", proposed(path)))
    assert [one.title for one in mapping.columns] == ["t [s]", "i [A]", "u [V]"]
    assert '  # "u [V]_4": ?  # such as 3.9, 3.9' in proposed(path)
    book = table.write_workbook(tmp_path / "a.xlsx", {"t [s]": [1.0, 2.0], "i [A]": [0.1, 0.1], "u [V]": [3.7, 3.8]})
    opened = openpyxl.load_workbook(book)
    opened["Daten"]["D1"], opened["Daten"]["D2"], opened["Daten"]["D3"] = "u [V]", 3.9, 3.9
    opened.save(book)
    assert '  # "u [V]": voltage  # u [V] is that already' in proposed(book)


def test_a_column_of_dates_that_nobody_knows_is_the_time_where_no_other_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("wann,i [A],u [V]\n2024-03-01 10:00:00,1,3.7\n2024-03-01 10:00:10,1,3.8\n")
    assert '  "wann": date_time  # unsure: nobody calls a column so, but its values are dates' in proposed(path)
    path.write_text("wann,t [s],i [A],u [V]\n2024-03-01 10:00:00,0,1,3.7\n2024-03-01 10:00:10,10,1,3.8\n")
    assert '  # "wann": ?' in proposed(path)


def test_a_text_with_blanks_between_its_cells_is_proposed_as_it_lands(tmp_path: Path) -> None:
    path = table.write_text(
        tmp_path / "a.txt",
        {"t/s": CELL.test_time.tolist(), "I/A": CELL.current.tolist(), "U/V": CELL.voltage.tolist()},
        delimiter=" ",
    )
    text = proposed(path)
    assert 'delimiter: " "\n' in text
    (test,) = READER.read(path, ReadOptions("a.txt", mapping=MappingFile("m.yaml", text))).tests
    assert_same_cycles(test, CELL, 2e-3, energies=False)


def test_what_yaml_takes_nowhere_is_escaped_and_the_title_found_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t\x7f [s],i\x07 [A],u\u200b [V],x\n0,1,3.7,\x07\n10,1,3.8,\U000f0000\n")
    text = proposed(path)
    (test,) = READER.read(path, ReadOptions("a.csv", mapping=MappingFile("m.yaml", text))).tests
    assert test.readings["voltage(v)"].to_pylist() == [3.7, 3.8]
